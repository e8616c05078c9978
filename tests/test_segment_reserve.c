/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reserving a segment's memory where the system refuses: huge pages that it does not have, a file system that fills up halfway. The
 * calls that can be refused are this file's own here, in front of the C library's.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/segment_dir.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

#define HUGE (UINT64_C(2) << 20)

/* What the calls do; 0 everywhere: as they always do. */
static struct {
    unsigned collapses_left; /* so many succeed, */
    int collapse_errno;      /* and then this */
    unsigned reserves_left;  /* fallocate(): the same, */
    unsigned reserves_fail;  /* so many times */
    int reserve_errno;
    time_t hurry_s; /* each look at the clock is so much later than the one before */
    bool plenty;    /* of room, says the look, whatever there is: another process takes it before the reserving */
} now;
static unsigned collapses, reserves;         /* asked for */
static const uint8_t *first_at, *second_end; /* of what was to be collapsed */

int madvise(void *at, size_t bytes, int advice) {
    if (advice == MADV_COLLAPSE) {
        collapses++;
        first_at = collapses == 1 ? at : first_at;
        second_end = collapses == 2 ? (const uint8_t *)at + bytes : second_end;
        if (now.collapse_errno != 0 && collapses > now.collapses_left) {
            errno = now.collapse_errno;
            return -1;
        }
    }
    return (int)syscall(SYS_madvise, at, bytes, advice);
}

int fallocate(int fd, int mode, off_t from, off_t bytes) {
    reserves++;
    if (now.reserve_errno != 0 && reserves > now.reserves_left && reserves - now.reserves_left <= now.reserves_fail) {
        errno = now.reserve_errno;
        return -1;
    }
    return (int)syscall(SYS_fallocate, fd, mode, from, bytes);
}

int fstatvfs(int fd, struct statvfs *out) {
    (void)fd;
    memset(out, 0, sizeof(*out));
    if (now.plenty) {
        out->f_blocks = out->f_bavail = UINT64_C(1) << 40;
        out->f_frsize = 4096;
    }
    return 0; /* f_blocks 0: a file system that does not say */
}

/* It stands still: how long the system may take for huge pages is asked of it. */
int clock_gettime(clockid_t id, struct timespec *out) {
    static time_t at_s = 1000;
    if (id != CLOCK_MONOTONIC) {
        return (int)syscall(SYS_clock_gettime, id, out);
    }
    *out = (struct timespec){ .tv_sec = at_s += now.hurry_s };
    return 0;
}

static int again(void **state) {
    memset(&now, 0, sizeof(now));
    collapses = reserves = 0;
    return clean(state);
}

#undef CASE
#define CASE(name) cmocka_unit_test_setup_teardown(name, again, clean)

/* Every page is there: nothing is left that a write could fail to get. */
static void assert_reserved(const struct segment *s) {
    struct stat st;
    assert_int_equal(fstat(s->fd, &st), 0);
    assert_int_equal(st.st_size, s->size_bytes);
    assert_true((uint64_t)st.st_blocks * 512 >= s->size_bytes);
}

static void assert_made(uint64_t size_bytes) {
    struct segment s = SEGMENT_INIT;
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_TABLE, 0, size_bytes), 0);
    assert_reserved(&s);
    s.base[0] = s.base[size_bytes - 1] = 1;
    segment_discard(&s);
    assert_int_equal(files_in(dir), 0);
}

static void assert_no_space(uint64_t size_bytes) {
    struct segment s = SEGMENT_INIT;
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_TABLE, 0, size_bytes), SHM_ERR_NO_SPACE);
    assert_int_equal(errno, ENOSPC); /* for the caller's log */
    assert_int_equal(s.fd, -1);
    assert_null(s.base);
    assert_int_equal(files_in(dir), 0);
}

/* ---- huge pages ------------------------------------------------------------------------------------------------------ */

static void collapse__not_this_kernel__small_pages_and_no_error(void **state) {
    (void)state;
    now.collapse_errno = EINVAL;
    assert_made(3 * HUGE + 4096);
    assert_int_equal(collapses, 1); /* not asked again */
}

static void collapse__none_left_after_the_first_step__the_rest_is_small_pages(void **state) {
    (void)state;
    const int errors[] = { ENOMEM, EAGAIN, EBUSY };
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        again(state);
        now.collapses_left = 1;
        now.collapse_errno = errors[i];
        assert_made(34 * HUGE +
                    4096); /* the start, where buckets are, then the end, where nodes are; a step is at most 16 */
        assert_int_equal(collapses, 2);
        assert_int_equal(second_end - first_at, 34 * HUGE);
    }
}

static void collapse__takes_too_long__the_rest_is_small_pages(void **state) {
    (void)state;
    now.hurry_s = 1;
    assert_made(34 * HUGE + 4096);
    assert_int_equal(collapses, 0);
}

static void collapse__less_than_a_huge_page__is_not_asked_for(void **state) {
    (void)state;
    assert_made(HUGE - 4096);
    assert_int_equal(collapses, 0);
}

/* ---- room ------------------------------------------------------------------------------------------------------------ */

/* Four calls: one page in each of three huge ones, and then the whole. */
static void reserve__full_from_any_call_on__no_space_and_nothing_is_left(void **state) {
    for (unsigned n = 0; n < 4; n++) {
        again(state);
        now.reserves_left = n;
        now.reserves_fail = UINT32_MAX;
        now.reserve_errno = ENOSPC;
        assert_no_space(3 * HUGE);
        assert_int_equal(reserves, n == 3 ? 4 : n + 2);
    }
}

static void reserve__full_for_a_moment__huge_pages_are_not_worth_an_error(void **state) {
    for (unsigned n = 0; n < 3; n++) {
        again(state);
        now.reserves_left = n;
        now.reserves_fail = 1;
        now.reserve_errno = ENOSPC;
        assert_made(3 * HUGE);
    }
}

static void reserve__interrupted__goes_on(void **state) {
    for (unsigned n = 0; n < 4; n++) {
        again(state);
        now.reserves_left = n;
        now.reserves_fail = 3;
        now.reserve_errno = EINTR;
        assert_made(3 * HUGE);
    }
}

static void reserve__file_system_without_the_call__every_block_is_written_to(void **state) {
    (void)state;
    now.reserves_fail = UINT32_MAX;
    now.reserve_errno = EOPNOTSUPP;
    assert_made(2 * HUGE + 4096);
}

/* ---- a file system that is really full ------------------------------------------------------------------------------- */

#define NEED(condition)                                                                                                \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            _exit(__LINE__ % 200 == 77 ? 78 : __LINE__ % 200);                                                         \
        }                                                                                                              \
    } while (0)

/* In a mount namespace of a child's. The look at the free room says that there is plenty. */
static void in_small_tmpfs(void) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=10m,mode=0700") != 0) {
        _exit(77);
    }
    now.plenty = true;
    struct segment a = SEGMENT_INIT, b = SEGMENT_INIT;
    NEED(segment_create(&a, NULL, "t", SEGMENT_TABLE, 0, 8 * HUGE) == SHM_ERR_NO_SPACE);
    NEED(files_in(dir) == 0);
    NEED(segment_create(&a, NULL, "t", SEGMENT_TABLE, 0, 4 * HUGE) == 0);
    NEED(segment_create(&b, NULL, "u", SEGMENT_TABLE, 0, 4 * HUGE) == SHM_ERR_NO_SPACE);
    NEED(files_in(dir) == 1);
    memset(a.base, 7, a.size_bytes); /* SIGBUS, were a page of it not there */
    segment_discard(&a);
    NEED(segment_create(&b, NULL, "u", SEGMENT_TABLE, 0, 4 * HUGE) == 0);
    segment_discard(&b);
    _exit(0);
}

static void reserve__tmpfs_fills_up_halfway__no_space_and_no_sigbus(void **state) {
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        in_small_tmpfs();
    }
    assert_mounted_and_held(child);
}

int main(void) {
    alarm(120);
    const struct CMUnitTest tests[] = {
        CASE(collapse__not_this_kernel__small_pages_and_no_error),
        CASE(collapse__none_left_after_the_first_step__the_rest_is_small_pages),
        CASE(collapse__takes_too_long__the_rest_is_small_pages),
        CASE(collapse__less_than_a_huge_page__is_not_asked_for),
        CASE(reserve__full_from_any_call_on__no_space_and_nothing_is_left),
        CASE(reserve__full_for_a_moment__huge_pages_are_not_worth_an_error),
        CASE(reserve__interrupted__goes_on),
        CASE(reserve__file_system_without_the_call__every_block_is_written_to),
        CASE(reserve__tmpfs_fills_up_halfway__no_space_and_no_sigbus),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
