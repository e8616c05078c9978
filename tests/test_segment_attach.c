/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Attaching to files that are no segments of the library, and to segments whose bytes cannot be right. */
#include "shm/crc.h"
#include "shm/fault.h"
#include "tests/segment_dir.h"

static void segment_attach__no_regular_file_of_ours__foreign(void **state) {
    (void)state;
    char other[SEGMENT_PATH_BYTES + 8];
    struct segment a = published();
    segment_detach(&a);
    assert_true(snprintf(other, sizeof(other), "%s.x", path) > 0);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(symlink(other, path), 0);
    assert_int_equal(attach(), SHM_ERR_FOREIGN);
    assert_int_equal(segment_unlink(NULL, "t", SEGMENT_LOG, 0), SHM_ERR_FOREIGN);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(attach(), SHM_ERR_FOREIGN);
    assert_int_equal(segment_attach(&a, NULL, "t", SEGMENT_LOG, 0, false), SHM_ERR_FOREIGN);
    assert_int_equal(segment_unlink(NULL, "t", SEGMENT_LOG, 0), SHM_ERR_FOREIGN);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(attach(), SHM_ERR_FOREIGN);
    assert_int_equal(segment_attach(&a, NULL, "t", SEGMENT_LOG, 0, false), SHM_ERR_FOREIGN);
    assert_int_equal(unlink(path), 0);
    int text = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(text >= 0 && ftruncate(text, BYTES) == 0 && close(text) == 0);
    assert_int_equal(segment_unlink_of(NULL, "t", SEGMENT_LOG, 0, 0), SHM_ERR_NO_DOMAIN); /* no incarnation is 0 */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(attach(), 0);
    for (mode_t bit = 1; bit <= 040; bit <<= 1) {
        assert_int_equal(chmod(path, 0600 | bit), 0);
        assert_int_equal(attach(), SHM_ERR_FOREIGN);
    }
    assert_int_equal(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, (gid_t)-1), 0);
        assert_int_equal(attach(), SHM_ERR_FOREIGN);
        assert_int_equal(segment_unlink(NULL, "t", SEGMENT_LOG, 0), SHM_ERR_FOREIGN);
    } else {
        print_message("not root: another owner's file was not tried\n");
    }
}

static void segment_attach__truncated_or_grown__corrupt_and_no_sigbus(void **state) {
    (void)state;
    struct segment a = published();
    const off_t sizes[] = { 0, 1, 143, 144, 145, 4096, BYTES - 1, BYTES + 1, BYTES * 2 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char whole[144];
        assert_int_equal(pread(a.fd, whole, sizeof(whole), 0), 144);
        assert_int_equal(ftruncate(a.fd, sizes[i]), 0);
        assert_int_equal(attach(), SHM_ERR_CORRUPT);
        assert_int_equal(ftruncate(a.fd, BYTES), 0);
        assert_int_equal(pwrite(a.fd, whole, sizeof(whole), 0), 144);
        assert_int_equal(attach(), 0);
    }
    segment_detach(&a);
}

static struct segment_header sealed(struct segment_header h) {
    h.crc = crc32c(0, &h, offsetof(struct segment_header, crc));
    return h;
}

static int attach_with(struct segment *s, struct segment_header h) {
    memcpy(s->base, &h, sizeof(h));
    return attach();
}

static void segment_attach__header_that_cannot_be__refused(void **state) {
    (void)state;
    struct segment s = published();
    struct segment_header good, h;
    memcpy(&good, s.base, sizeof(good));
#define WITH(change) (h = good, change, sealed(h))
    assert_int_equal(attach_with(&s, WITH(h.magic++)), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(h.version = 99)), SHM_ERR_VERSION);
    assert_non_null(strstr(fault_text(), "was made with layout version 99, this program knows "));
    assert_non_null(strstr(fault_text(), "tide snapshot save"));
    assert_int_equal(attach_with(&s, WITH(h.fingerprint ^= 1)), SHM_ERR_VERSION);
    assert_non_null(strstr(fault_text(), "was made by another build of layout version "));
    assert_int_equal(attach_with(&s, WITH(h.kind = SEGMENT_TABLE)), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(h.size_bytes--)), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(h.incarnation = 0)), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(h.segment_id = 0)), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(h.replica = 64)), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(h.name[0] = 'u')), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(memset(h.name, 'u', sizeof(h.name)))), SHM_ERR_CORRUPT);
    assert_int_equal(attach_with(&s, WITH(h.owner_uid = 4711)), SHM_ERR_FOREIGN);
    assert_non_null(strstr(fault_text(), "was made by user 4711; this process is user "));
    assert_int_equal(attach_with(&s, sealed(good)), 0);
    if (good.time_ns_inode != 0) {
        assert_int_equal(attach_with(&s, WITH(h.time_ns_inode++)), SHM_ERR_FOREIGN);
        assert_non_null(strstr(fault_text(), "was made in time namespace "));
        assert_int_equal(attach_with(&s, WITH(h.time_ns_inode = 0)), 0);
    }
    /* Any flipped bit, whatever it means: the CRC at the latest. */
    for (size_t bit = 0; bit < 8 * sizeof(good); bit++) {
        memcpy(s.base, &good, sizeof(good));
        s.base[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        int error = attach();
        assert_true(error == SHM_ERR_CORRUPT || error == SHM_ERR_VERSION);
    }
    memset(s.base, 0, sizeof(good));
    assert_int_equal(attach(), SHM_ERR_CORRUPT);
    segment_detach(&s);
}

static void segment_attach__file_under_another_name__corrupt(void **state) {
    (void)state;
    char other[SEGMENT_PATH_BYTES];
    struct segment s = SEGMENT_INIT, b = SEGMENT_INIT;
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_TABLE, 1, BYTES), 0);
    assert_int_equal(segment_publish(&s, "t", SEGMENT_TABLE, 1, 1, 1), 0);
    assert_int_equal(segment_path(other, NULL, "t", SEGMENT_TABLE, 2), 0);
    assert_int_equal(rename(s.path, other), 0);
    assert_int_equal(segment_attach(&b, NULL, "t", SEGMENT_TABLE, 2, false), SHM_ERR_CORRUPT);
    assert_int_equal(segment_attach(&b, NULL, "t", SEGMENT_TABLE, 1, false), SHM_ERR_NO_DOMAIN);
    segment_detach(&s);
}

static void segment_check_header__too_small_for_its_kind__corrupt(void **state) {
    (void)state;
    struct segment s = published();
    struct segment_header h;
    memcpy(&h, s.base, sizeof(h));
    assert_int_equal(segment_check_header(&h, BYTES, SEGMENT_LOG), 0);
    assert_int_equal(segment_check_header(&h, BYTES, SEGMENT_TABLE), SHM_ERR_CORRUPT);
    assert_int_equal(segment_check_header(&h, BYTES + 1, SEGMENT_LOG), SHM_ERR_CORRUPT);
    h.size_bytes = sizeof(struct log_segment) - 1;
    h = sealed(h);
    assert_int_equal(segment_check_header(&h, h.size_bytes, SEGMENT_LOG), SHM_ERR_CORRUPT);
    h.kind = SEGMENT_TABLE;
    h.size_bytes = sizeof(struct table_segment) - 1;
    h = sealed(h);
    assert_int_equal(segment_check_header(&h, h.size_bytes, SEGMENT_TABLE), SHM_ERR_CORRUPT);
    h.kind = SEGMENT_SPILL; /* however small */
    h.size_bytes = sizeof(struct segment_header);
    h = sealed(h);
    assert_int_equal(segment_check_header(&h, h.size_bytes, SEGMENT_SPILL), 0);
    assert_int_equal(segment_check_header(&h, h.size_bytes, SEGMENT_LOG), SHM_ERR_CORRUPT);
    segment_detach(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(segment_attach__no_regular_file_of_ours__foreign),
        CASE(segment_attach__truncated_or_grown__corrupt_and_no_sigbus),
        CASE(segment_attach__header_that_cannot_be__refused),
        CASE(segment_attach__file_under_another_name__corrupt),
        CASE(segment_check_header__too_small_for_its_kind__corrupt),
    };
    return cmocka_run_group_tests_name("segment_attach", tests, setup, teardown);
}
