/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/fault.h"
#include "tests/segment_dir.h"

#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

/* ---- names ------------------------------------------------------------------------------------------------------- */

static void segment_path__good_and_bad_names__only_good_ones_have_a_path(void **state) {
    (void)state;
    char out[SEGMENT_PATH_BYTES], want[SEGMENT_PATH_BYTES];
    char longest[50];
    memset(longest, 'x', 48);
    longest[48] = '\0';
    const char *good[] = { "a", "A-z_0.9", "a.b", "-", "_", longest };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(segment_path(out, NULL, good[i], SEGMENT_LOG, 0), 0);
        assert_true(snprintf(want, sizeof(want), "%s/tidemark.%s.log", dir, good[i]) > 0);
        assert_string_equal(out, want);
        assert_int_equal(segment_path(out, NULL, good[i], SEGMENT_TABLE, 63), 0);
        assert_true(snprintf(want, sizeof(want), "%s/tidemark.%s.r63", dir, good[i]) > 0);
        assert_string_equal(out, want);
        assert_int_equal(segment_path(out, NULL, good[i], SEGMENT_SPILL, 63), 0);
        assert_true(snprintf(want, sizeof(want), "%s/tidemark.%s.l63", dir, good[i]) > 0);
        assert_string_equal(out, want);
    }
    strcpy(out, "untouched");
    longest[48] = 'x';
    longest[49] = '\0';
    const char *bad[] = { "", ".", ".a", "..", "a/b", "a b", "a\n", "\xc3\xa4", "a%s", longest };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(segment_path(out, NULL, bad[i], SEGMENT_LOG, 0), SHM_ERR_INVALID);
    }
    assert_int_equal(segment_path(out, NULL, NULL, SEGMENT_LOG, 0), SHM_ERR_INVALID);
    assert_int_equal(segment_path(out, NULL, "a", SEGMENT_TABLE, 64), SHM_ERR_INVALID);
    assert_int_equal(segment_path(out, NULL, "a", SEGMENT_SPILL, 64), SHM_ERR_INVALID);
    assert_int_equal(segment_path(out, NULL, "a", (enum segment_kind)0, 0), SHM_ERR_INVALID);
    assert_int_equal(segment_path(out, NULL, "a", (enum segment_kind)4, 0), SHM_ERR_INVALID);
    assert_string_equal(out, "untouched");
}

static void segment_path__directory_from_the_environment__must_be_absolute_and_short(void **state) {
    (void)state;
    char out[SEGMENT_PATH_BYTES];
    char deep[120];
    memset(deep, '/', sizeof(deep));
    deep[sizeof(deep) - 1] = '\0';
    setenv("TIDE_SHM_DIR", deep, 1);
    assert_int_equal(segment_path(out, NULL, "a", SEGMENT_LOG, 0), SHM_ERR_INVALID);
    setenv("TIDE_SHM_DIR", "here", 1);
    assert_int_equal(segment_path(out, NULL, "a", SEGMENT_LOG, 0), SHM_ERR_INVALID);
    setenv("TIDE_SHM_DIR", "", 1);
    assert_int_equal(segment_path(out, NULL, "a", SEGMENT_LOG, 0), 0);
    assert_string_equal(out, "/dev/shm/tidemark.a.log");
    setenv("TIDE_SHM_DIR", "/nowhere/at/all", 1);
    struct segment s = SEGMENT_INIT;
    int created = segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES), attached = attach();
    int removed = segment_unlink(NULL, "t", SEGMENT_LOG, 0);
    setenv("TIDE_SHM_DIR", dir, 1);
    /* Not "no such domain": to make one there would fail as well. */
    assert_int_equal(created, SHM_ERR_SYSTEM);
    assert_int_equal(attached, SHM_ERR_SYSTEM);
    assert_int_equal(removed, SHM_ERR_SYSTEM);
    assert_non_null(strstr(fault_text(), "/nowhere/at/all/, does not exist"));
}

/* ---- life -------------------------------------------------------------------------------------------------------- */

static void segment__created_published_attached__both_see_the_same_bytes(void **state) {
    (void)state;
    umask(0777); /* worse than any real one */
    struct segment a = SEGMENT_INIT, b = SEGMENT_INIT;
    assert_int_equal(segment_create(&a, NULL, "t", SEGMENT_LOG, 0, BYTES), 0);
    umask(022);
    assert_int_equal(attach(), SHM_ERR_NO_DOMAIN);
    for (uint64_t i = 0; i < BYTES; i++) {
        assert_int_equal(a.base[i], 0);
    }
    struct stat st;
    assert_int_equal(fstat(a.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_true((uint64_t)st.st_blocks * 512 >= BYTES); /* reserved, though hardly anything was written */
    a.base[BYTES - 1] = 42;
    assert_int_equal(segment_publish(&a, "t", SEGMENT_LOG, 0, 11, 22), 0);
    assert_int_equal(segment_is_current(&a), 1);
    assert_false(segment_is_unlinked(&a));
    assert_int_equal(files_in(dir), 1);
    assert_int_equal(segment_attach(&b, NULL, "t", SEGMENT_LOG, 0, true), 0);
    assert_int_equal(b.size_bytes, BYTES);
    assert_int_equal(b.base[BYTES - 1], 42);
    const struct segment_header *h = (const void *)b.base;
    assert_int_equal(h->incarnation, 11);
    assert_int_equal(h->segment_id, 22);
    assert_string_equal(h->name, "t");
    b.base[BYTES / 2] = 43;
    assert_int_equal(a.base[BYTES / 2], 43);
    segment_detach(&b);
    segment_detach(&b);
    assert_int_equal(segment_unlink(NULL, "t", SEGMENT_LOG, 0), 0);
    assert_int_equal(segment_is_current(&a), 0);
    assert_true(segment_is_unlinked(&a));
    assert_int_equal(a.base[BYTES / 2], 43); /* the memory stays */
    assert_int_equal(segment_unlink(NULL, "t", SEGMENT_LOG, 0), SHM_ERR_NO_DOMAIN);
    segment_discard(&a);
    assert_int_equal(files_in(dir), 0);
}

static void segment__attached_read_only__cannot_be_written(void **state) {
    (void)state;
    struct segment a = published(), b = SEGMENT_INIT;
    assert_int_equal(segment_attach(&b, NULL, "t", SEGMENT_LOG, 0, false), 0);
    assert_false(b.writable);
    assert_int_not_equal(mprotect(b.base, BYTES, PROT_READ | PROT_WRITE), 0);
    segment_detach(&b);
    segment_detach(&a);
}

static void segment_create__bad_arguments__nothing_is_made(void **state) {
    (void)state;
    struct segment s = SEGMENT_INIT;
    assert_int_equal(segment_create(&s, NULL, "a/b", SEGMENT_LOG, 0, BYTES), SHM_ERR_INVALID);
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, 0), SHM_ERR_INVALID);
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, UINT64_MAX), SHM_ERR_INVALID);
    assert_int_equal(s.fd, -1);
    assert_int_equal(files_in(dir), 0);
}

static void segment_publish__name_taken__answers_exists_and_cleans_up(void **state) {
    (void)state;
    struct segment a = published(), b = SEGMENT_INIT;
    assert_int_equal(segment_create(&b, NULL, "t", SEGMENT_LOG, 0, BYTES), 0);
    assert_int_equal(files_in(dir), 2);
    assert_int_equal(segment_publish(&b, "t", SEGMENT_LOG, 0, 33, 44), SHM_ERR_EXISTS);
    assert_int_equal(files_in(dir), 1);
    assert_int_equal(segment_publish(&b, "t", SEGMENT_LOG, 0, 33, 44), SHM_ERR_INVALID);
    assert_int_equal(segment_is_current(&a), 1);
    assert_false(segment_is_unlinked(&a));
    segment_detach(&b);
    segment_detach(&a);
}

static void segment_publish__wrong_use__refused(void **state) {
    (void)state;
    struct segment s = SEGMENT_INIT;
    assert_int_equal(segment_publish(&s, "t", SEGMENT_LOG, 0, 1, 1), SHM_ERR_INVALID);
    const struct {
        const char *name;
        uint64_t incarnation, id;
    } wrong[] = { { "other", 1, 1 }, { "t", 0, 1 }, { "t", 1, 0 } };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES), 0);
        assert_int_equal(segment_publish(&s, wrong[i].name, SEGMENT_LOG, 0, wrong[i].incarnation, wrong[i].id),
                         SHM_ERR_INVALID);
        segment_discard(&s);
        assert_int_equal(files_in(dir), 0);
    }
    s = published();
    segment_discard(&s); /* of a published one: the name stays */
    assert_int_equal(files_in(dir), 1);
}

static void segment_publish_replace__dead_replicas_table__is_replaced(void **state) {
    (void)state;
    struct segment a = SEGMENT_INIT, b = SEGMENT_INIT, c = SEGMENT_INIT;
    assert_int_equal(segment_create(&a, NULL, "t", SEGMENT_TABLE, 5, BYTES), 0);
    assert_int_equal(segment_publish_replace(&a, "t", SEGMENT_TABLE, 5, 1, 2), 0);
    assert_int_equal(segment_create(&b, NULL, "t", SEGMENT_TABLE, 5, BYTES), 0);
    assert_int_equal(segment_publish_replace(&b, "t", SEGMENT_TABLE, 5, 1, 3), 0);
    assert_int_equal(segment_is_current(&a), 0);
    assert_true(segment_is_unlinked(&a));
    assert_int_equal(segment_is_current(&b), 1);
    assert_false(segment_is_unlinked(&b));
    assert_int_equal(segment_attach(&c, NULL, "t", SEGMENT_TABLE, 5, false), 0);
    assert_int_equal(((const struct segment_header *)(const void *)c.base)->segment_id, 3);
    assert_int_equal(files_in(dir), 1);
    segment_detach(&a);
    segment_detach(&b);
    segment_detach(&c);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void segment_create__more_than_there_is__no_space_at_once(void **state) {
    (void)state;
    struct segment s = SEGMENT_INIT;
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, UINT64_C(1) << 50), SHM_ERR_NO_SPACE);
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, INT64_MAX), SHM_ERR_NO_SPACE);
    assert_int_equal(s.fd, -1);
    assert_int_equal(files_in(dir), 0);
}

/* In a mount namespace of a child's: 0 done, 77 not permitted, else the line that failed. */
static int in_small_tmpfs(void) {
#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            return __LINE__ % 200 == 77 ? 78 : __LINE__ % 200;                                                         \
        }                                                                                                              \
    } while (0)
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=10m,mode=0700") != 0) {
        return 77;
    }
    struct segment a = SEGMENT_INIT, b = SEGMENT_INIT;
    NEED(segment_create(&a, NULL, "t", SEGMENT_LOG, 0, 4 * BYTES) == SHM_ERR_NO_SPACE);
    NEED(segment_create(&a, NULL, "t", SEGMENT_LOG, 0, 2 * BYTES) == 0);
    NEED(segment_create(&b, NULL, "u", SEGMENT_LOG, 0, 2 * BYTES) == SHM_ERR_NO_SPACE);
    /* Fill what is left: every byte of the segment can be written all the same. */
    char file[96];
    (void)snprintf(file, sizeof(file), "%s/fill", dir);
    int fd = open(file, O_CREAT | O_WRONLY, 0600);
    char page[4096] = { 1 };
    while (write(fd, page, sizeof(page)) > 0) {
    }
    NEED(errno == ENOSPC);
    memset(a.base, 7, a.size_bytes);
    NEED(segment_create(&b, NULL, "u", SEGMENT_LOG, 0, 4096) == SHM_ERR_NO_SPACE);
    NEED(segment_publish(&a, "t", SEGMENT_LOG, 0, 1, 1) == 0);
    segment_detach(&a);
    NEED(segment_unlink(NULL, "t", SEGMENT_LOG, 0) == 0);
    NEED(segment_create(&b, NULL, "u", SEGMENT_LOG, 0, 2 * BYTES) == 0);
    segment_discard(&b);
    return 0;
}

static void segment_create__tmpfs_is_full__no_space_and_no_sigbus(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(in_small_tmpfs());
    }
    assert_mounted_and_held(child);
}

static void segment_map_ring__written_over_the_end__appears_at_the_start(void **state) {
    (void)state;
    struct segment s = published(), r = SEGMENT_INIT;
    uint8_t *ring = NULL, *view = NULL;
    const uint64_t off = 128 << 10, bytes = 64 << 10;
    assert_int_equal(segment_map_ring(&s, off, bytes, &ring), 0);
    for (int i = 0; i < 16; i++) {
        ring[bytes - 8 + i] = (uint8_t)(100 + i);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(ring[bytes - 8 + i], 100 + i);
        assert_int_equal(ring[i], 108 + i);
        assert_int_equal(ring[bytes + i], 108 + i);
        assert_int_equal(s.base[off + i], 108 + i);
        assert_int_equal(ring[2 * bytes - 8 + i], 100 + i);
    }
    assert_int_equal(s.base[off + bytes], 0); /* not beyond the ring in the file */
    assert_int_equal(segment_attach(&r, NULL, "t", SEGMENT_LOG, 0, false), 0);
    assert_int_equal(segment_map_ring(&r, off, bytes, &view), 0);
    segment_detach(&r);
    assert_int_equal(view[bytes + 7], 115);
    segment_unmap_ring(view, bytes);
    segment_unmap_ring(ring, bytes);
    segment_unmap_ring(NULL, bytes);
    segment_detach(&s);
}

/* Where the system gives huge pages, they can be mapped as such in both halves: file and address agree modulo their size. */
static void segment_map_ring__ring_of_huge_pages__lies_at_one(void **state) {
    (void)state;
    const uint64_t huge = UINT64_C(2) << 20, page = (uint64_t)sysconf(_SC_PAGESIZE), bytes = 2 * huge;
    struct segment s = SEGMENT_INIT;
    uint8_t *ring = NULL;
    uint64_t off = segment_ring_off(sizeof(struct segment_header), bytes);
    assert_int_equal(off, huge);
    assert_int_equal(segment_ring_off(huge, bytes), huge);
    assert_int_equal(segment_ring_off(sizeof(struct segment_header), huge / 2), page);
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, off + bytes), 0);
    assert_int_equal(segment_map_ring(&s, off, bytes, &ring), 0);
    assert_int_equal((uintptr_t)ring % huge, 0);
    for (uint64_t at = 0; at < bytes; at += page) {
        assert_int_equal(ring[at], 0);
        ring[bytes + at] = 1;
        assert_int_equal(s.base[off + at], 1);
    }
    segment_unmap_ring(ring, bytes);
    segment_discard(&s);
}

static void segment_map_ring__range_outside_or_crooked__refused(void **state) {
    (void)state;
    struct segment s = published();
    uint8_t *ring = NULL;
    const uint64_t bad[][2] = { { 0, 0 },
                                { 1, 4096 },
                                { 4096, 4095 },
                                { BYTES, 4096 },
                                { 4096, BYTES },
                                { 0, BYTES * 2 },
                                { UINT64_MAX - 4095, 8192 },
                                { 4096, UINT64_C(1) << 63 } };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(segment_map_ring(&s, bad[i][0], bad[i][1], &ring), SHM_ERR_INVALID);
    }
    assert_null(ring);
    segment_detach(&s);
    assert_int_equal(segment_map_ring(&s, 0, 4096, &ring), SHM_ERR_INVALID);
}

/* ---- races and deaths -------------------------------------------------------------------------------------------- */

static int race_once(void) {
    struct segment s = SEGMENT_INIT;
    int error = segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES);
    if (error != 0) {
        return 3;
    }
    error = segment_publish(&s, "t", SEGMENT_LOG, 0, segment_random(), segment_random());
    return error == 0 ? 1 : error == SHM_ERR_EXISTS ? 0 : 4;
}

static void segment_publish__processes_race__exactly_one_wins(void **state) {
    (void)state;
    for (int round = 0; round < 20; round++) {
        pid_t children[4];
        int go[2];
        assert_int_equal(pipe(go), 0);
        for (int i = 0; i < 4; i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0) {
                char byte;
                close(go[1]);
                (void)!read(go[0], &byte, 1); /* until all have started: the end of file */
                _exit(race_once());
            }
        }
        close(go[0]);
        close(go[1]);
        int winners = 0;
        for (int i = 0; i < 4; i++) {
            int status = -1;
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
            winners += WEXITSTATUS(status);
        }
        assert_int_equal(winners, 1);
        assert_int_equal(files_in(dir), 1);
        assert_int_equal(attach(), 0);
        assert_int_equal(segment_unlink(NULL, "t", SEGMENT_LOG, 0), 0);
    }
}

static void segment__creator_died_halfway__its_leftover_is_swept(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct segment s = SEGMENT_INIT;
        _exit(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES) == 0 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(files_in(dir), 1);
    /* Other names' files, and names that only look alike, stay. */
    char other[SEGMENT_PATH_BYTES + 64];
    (void)snprintf(other, sizeof(other), "%s.tmp.short", path);
    assert_true(close(open(other, O_CREAT | O_WRONLY, 0600)) == 0);
    struct segment working = SEGMENT_INIT;
    assert_int_equal(segment_create(&working, NULL, "u", SEGMENT_TABLE, 3, BYTES), 0);
    assert_int_equal(files_in(dir), 2); /* swept by the next creator, of whatever segment */
    assert_int_equal(segment_unlink(NULL, "t", SEGMENT_LOG, 0), SHM_ERR_NO_DOMAIN);
    assert_int_equal(files_in(dir), 2); /* one that is being worked on is not */
    assert_int_equal(segment_publish(&working, "u", SEGMENT_TABLE, 3, 1, 1), 0);
    segment_detach(&working);
    assert_int_equal(segment_unlink(NULL, "u", SEGMENT_TABLE, 3), 0);
    assert_int_equal(files_in(dir), 1);
}

static bool temporary_stays(const char *left, off_t bytes, time_t age_s) {
    char path[SEGMENT_PATH_BYTES];
    assert_true(snprintf(path, sizeof(path), "%s/%s", dir, left) > 0);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
    struct timespec times[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_sec = time(NULL) - age_s } };
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, bytes), 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    assert_int_equal(segment_unlink(NULL, "nobodys", SEGMENT_LOG, 0), SHM_ERR_NO_DOMAIN); /* sweeps */
    bool stays = access(path, F_OK) == 0;
    if (stays) {
        assert_int_equal(unlink(path), 0);
    }
    return stays;
}

/* A sweep that comes between the open and the lock of a file's maker leaves it the file. */
static void segment_sweep__files_without_a_lock__young_empty_ones_stay(void **state) {
    (void)state;
    const char *left = "tidemark.any.r3.tmp.0123456789abcdef";
    assert_true(temporary_stays(left, 0, 0));
    assert_false(temporary_stays(left, 0, 3600));
    assert_false(temporary_stays(left, 0, -3600)); /* the wall clock was set back */
    assert_false(temporary_stays(left, 4096, 0));
}

static void segment_unlink__of_a_domain__its_young_empty_temporaries_go_too(void **state) {
    (void)state;
    static const char *const files[] = { "tidemark.gone.l3.tmp.0123456789abcdef",
                                         "tidemark.gone2.l3.tmp.0123456789abcdef" };
    char path[2][SEGMENT_PATH_BYTES];
    for (int i = 0; i < 2; i++) {
        assert_true(snprintf(path[i], sizeof(path[i]), "%s/%s", dir, files[i]) > 0);
        int fd = open(path[i], O_RDWR | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(close(fd), 0);
    }
    assert_int_equal(segment_unlink(NULL, "gone", SEGMENT_LOG, 0), SHM_ERR_NO_DOMAIN);
    assert_int_not_equal(access(path[0], F_OK), 0);
    assert_int_equal(access(path[1], F_OK), 0); /* another domain's */
    assert_int_equal(unlink(path[1]), 0);
}

static void segment_random__many_draws__differ_and_are_never_zero(void **state) {
    (void)state;
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t next = segment_random();
        assert_true(next != 0 && next != last);
        last = next;
    }
}

static void layout_fingerprint__asked_twice__is_the_same(void **state) {
    (void)state;
    assert_true(layout_fingerprint() != 0);
    assert_true(layout_fingerprint() == layout_fingerprint());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(segment_path__good_and_bad_names__only_good_ones_have_a_path),
        CASE(segment_path__directory_from_the_environment__must_be_absolute_and_short),
        CASE(segment__created_published_attached__both_see_the_same_bytes),
        CASE(segment__attached_read_only__cannot_be_written),
        CASE(segment_create__bad_arguments__nothing_is_made),
        CASE(segment_publish__name_taken__answers_exists_and_cleans_up),
        CASE(segment_publish__wrong_use__refused),
        CASE(segment_publish_replace__dead_replicas_table__is_replaced),
        CASE(segment_create__more_than_there_is__no_space_at_once),
        CASE(segment_create__tmpfs_is_full__no_space_and_no_sigbus),
        CASE(segment_map_ring__written_over_the_end__appears_at_the_start),
        CASE(segment_map_ring__ring_of_huge_pages__lies_at_one),
        CASE(segment_map_ring__range_outside_or_crooked__refused),
        CASE(segment_publish__processes_race__exactly_one_wins),
        CASE(segment__creator_died_halfway__its_leftover_is_swept),
        CASE(segment_sweep__files_without_a_lock__young_empty_ones_stay),
        CASE(segment_unlink__of_a_domain__its_young_empty_temporaries_go_too),
        CASE(segment_random__many_draws__differ_and_are_never_zero),
        CASE(layout_fingerprint__asked_twice__is_the_same),
    };
    return cmocka_run_group_tests_name("segment", tests, setup, teardown);
}
