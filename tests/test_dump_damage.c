/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump` of segments in which something is wrong, and of tables. */
#include "tests/dump_case.h"

#include "shm/board.h"
#include "shm/hdr.h"
#include "shm/lag.h"

static void commit_beyond_frames__is_corrupt(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 30);
    b.seg->leader.commit = UINT64_C(1) << 60;
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 30);
    assert_has(out, "\"first\": 31, \"last\": 1152921504606846976, \"why\": \"damaged\"");
    free(out);
}

static void bad_crc__is_told_and_walked_over(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 5);
    uint64_t pos = build_put_text(&b, "victim", "value");
    build_fill(&b, 5);
    *build_at(&b, pos + FRAME_HEADER_BYTES + 7) ^= 1;
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 11);
    assert_int_equal(count_of(out, "\"crc\": \"bad\""), 1);
    free(out);
}

static void bad_crc_of_the_first_frame__is_told(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 5);
    *build_at(&b, FRAME_HEADER_BYTES) ^= 1;
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 5);
    free(out);
}

/* A frame whose header is set to something, its CRC made right: `expect` frames are still shown. */
static void check_damage(size_t off, uint32_t value, size_t bytes, uint32_t expect) {
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 3);
    uint64_t pos = build_put_text(&b, "victim", "value");
    build_fill(&b, 200);
    struct frame f;
    memcpy(&f, build_at(&b, pos), sizeof(f));
    memcpy((char *)&f + off, &value, bytes);
    f.crc = 0;
    build_put(&b, pos, &f, sizeof(f));
    char *out = DUMPED(&b, 1, "--json", "demo");
    uint32_t frames = json_lines(out, "frame");
    if (expect) {
        assert_int_equal(frames, expect);
    } else {
        assert_true(frames > 150 && frames < 204); /* it went on at a later mark */
    }
    free(out);
}

static void damaged_headers__are_told_and_jumped_over(void **state) {
    (void)state;
    check_damage(offsetof(struct frame, length), 0, 4, 0);
    check_damage(offsetof(struct frame, length), 8, 4, 0);
    check_damage(offsetof(struct frame, length), 49, 4, 0);
    check_damage(offsetof(struct frame, length), UINT32_MAX, 4, 0);
    check_damage(offsetof(struct frame, length), UINT32_MAX & ~7u, 4, 0);
    check_damage(offsetof(struct frame, key_len), 65535, 2, 0);
    check_damage(offsetof(struct frame, value_len), UINT32_MAX, 4, 0);
    check_damage(offsetof(struct frame, index), 0, 8 > sizeof(uint32_t) ? 4 : 8, 0);
    check_damage(offsetof(struct frame, type), 9, 1, 204);
    check_damage(offsetof(struct frame, term), 9, 4, 204);
}

static void wrong_marks__are_not_believed(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 200);
    b.seg->marks[0].pos = 8;
    b.seg->marks[1].pos = UINT64_MAX;
    b.seg->marks[2].index = UINT64_MAX;
    char *out = DUMPED(&b, 0, "--json", "demo"); /* `reclaimed` still leads to the first frame */
    assert_int_equal(json_lines(out, "frame"), 200);
    free(out);
}

static void wrong_reclaimed__is_told(void **state) {
    (void)state;
    static const uint64_t WRONG[] = { 8, 7, UINT64_MAX, UINT64_C(1) << 40 };
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        struct build b;
        build_new(&b, "demo");
        build_fill(&b, 200);
        b.seg->leader.reclaimed = WRONG[i];
        char *out = DUMPED(&b, 1, "--json", "demo");
        uint32_t frames = json_lines(out, "frame");
        assert_true(i < 2 ? frames > 150 && frames < 200 : frames == 0);
        free(out);
    }
}

static void all_frames_gone__ends(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 2000);
    memset(b.bytes + b.ring_off, 0, b.ring_bytes);
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 0);
    free(out);
}

static void bad_board__is_corrupt(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 2);
    b.seg->replicas[0].state = 99;
    b.seg->replicas[5].state = REPLICA_SERVING;
    b.seg->replicas[5].applied = 50;
    memset(b.seg->replicas[5].label, '\033', LAYOUT_LABEL);
    b.seg->leader.leader = 64;
    b.seg->replicas[6].state = REPLICA_SERVING | 1 << BOARD_MEMBER_SHIFT; /* only a claim has a member above it */
    b.seg->replicas[7].state = REPLICA_ORPHAN;
    b.seg->replicas[7].member = LAYOUT_MEMBERS;
    b.seg->members[2].used = 7;
    b.seg->lanes[0].owner = LAYOUT_MEMBERS + 1;
    b.seg->lanes[1].turn = 8 | 5;
    b.seg->lanes[2].turn = 8 | LANE_TAKEN;
    b.seg->lanes[2].request_bytes = LAYOUT_LANE_BYTES + 1;
    char *out = DUMPED(&b, 1, "demo");
    assert_has(out, "BAD: replica 6: there is no state 259");
    assert_has(out, "BAD: replica 7: there is no member 512");
    assert_has(out, "BAD: member 2: neither free nor used, but 7");
    assert_has(out, "BAD: lane 0: there is no owner 513");
    assert_has(out, "BAD: lane 1: there is no phase 5");
    assert_has(out, "BAD: lane 2: 32769 bytes of request do not fit it");
    assert_has(out, "BAD: replica 0: there is no state 99");
    assert_has(out, "BAD: replica 5: applied 50 is beyond commit 2");
    assert_has(out, "BAD: leader: there is no replica 64");
    assert_null(strchr(out, '\033'));
    free(out);
}

static void bad_geometry__shows_board_only(void **state) {
    (void)state;
    enum { FIRST = (sizeof(struct log_segment) + 4095) / 4096 * 4096 };
    static const uint64_t RINGS[][2] = {
        { 0, BUILD_RING_BYTES },      { UINT64_MAX, BUILD_RING_BYTES },
        { 12345, BUILD_RING_BYTES },  { FIRST, 65537 },
        { 4096, BUILD_RING_BYTES },   { FIRST, 0 },
        { FIRST, UINT64_C(1) << 63 }, { UINT64_MAX - 4095, 1 << 16 },
    };
    for (size_t i = 0; i < sizeof(RINGS) / sizeof(RINGS[0]); i++) {
        struct build b;
        build_new(&b, "demo");
        build_fill(&b, 2);
        b.seg->ring_off = RINGS[i][0];
        b.seg->ring_bytes = RINGS[i][1];
        char *out = DUMPED(&b, 1, "--json", "demo");
        assert_int_equal(json_lines(out, "replica"), 1);
        assert_int_equal(json_lines(out, "frame"), 0);
        free(out);
    }
}

static void foreign_header__is_corrupt(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct build b;
        build_new(&b, "demo");
        build_fill(&b, 2);
        if (i == 0) {
            b.seg->header.magic++;
        }
        if (i == 1) {
            b.seg->header.version++;
        }
        if (i == 2) {
            b.seg->header.fingerprint++;
        }
        if (i == 3) {
            b.seg->header.kind = 4;
        }
        if (i == 4) {
            b.seg->header.size_bytes++;
        }
        build_seal(&b);
        /* Another version's, or another build's, is no damage: the status that every command has for it. */
        char *out = DUMPED(&b, i == 1 || i == 2 ? 7 : 1, "--json", "demo");
        assert_true(json_lines(out, "problem") >= 1);
        assert_int_equal(json_lines(out, "frame"), i == 4 ? 2 : 0);
        free(out);
    }
}

static struct table_segment *build_table(size_t *size_bytes) {
    struct build b;
    build_new(&b, "demo");
    uint64_t all = (sizeof(struct table_segment) + 127) & ~UINT64_C(127);
    uint64_t windows = (all + lag_all_size_bytes() + 127) & ~UINT64_C(127);
    uint64_t buckets = (windows + lag_windows_size_bytes() + 4095) & ~UINT64_C(4095);
    *size_bytes = buckets + 65536;
    struct table_segment *t = aligned_alloc(4096, *size_bytes);
    memset((void *)t, 0, *size_bytes);
    t->header = b.seg->header;
    t->header.kind = SEGMENT_TABLE;
    t->header.size_bytes = *size_bytes;
    t->header.crc = crc32c(0, &t->header, offsetof(struct segment_header, crc));
    t->lag_all_off = all;
    t->lag_windows_off = windows;
    t->buckets_off = buckets;
    t->nodes_end = *size_bytes;
    t->buckets = 64;
    t->pages_off = *size_bytes - 32768;
    t->page_bytes = 4096;
    t->used_bytes = 8192;
    t->live_keys = 17;
    struct hdr *h = (struct hdr *)((char *)t + all);
    struct lag_windows *w = (struct lag_windows *)((char *)t + windows);
    assert_int_equal(lag_init(h, w), 0);
    for (int i = 1; i <= 100; i++) {
        lag_record(h, w, build_now(CLOCK_MONOTONIC), i * 1000, 1);
    }
    build_free(&b);
    return t;
}

static void save_table(const struct table_segment *t, size_t bytes) {
    struct build b = { .bytes = (uint8_t *)(uintptr_t)t };
    char table_path[160];
    snprintf(table_path, sizeof(table_path), "%s/tidemark.demo.r0", dir);
    build_save(&b, table_path, bytes);
}

static void table__shows_counts_and_lag(void **state) {
    (void)state;
    size_t bytes;
    struct table_segment *t = build_table(&bytes);
    save_table(t, bytes);
    struct ran ran = RUN_DUMP("demo.r0");
    assert_int_equal(ran.code, 0);
    assert_has(ran.out, "17 live keys");
    assert_has(ran.out, "64 from byte");
    assert_has(ran.out, "100 entries, p50 50");
    free(ran.out);
    ran = RUN_DUMP("demo.r0", "--json");
    assert_int_equal(json_lines(ran.out, "table"), 1);
    free(ran.out);
    ran = RUN_DUMP("demo.r0", "--follow");
    assert_int_equal(ran.code, 2);
    free(ran.out);
    free(t);
}

static void damaged_table__is_corrupt(void **state) {
    (void)state;
    for (int i = 0; i < 7; i++) {
        size_t bytes;
        struct table_segment *t = build_table(&bytes);
        if (i == 0) {
            t->lag_all_off = UINT64_MAX - 7;
        }
        if (i == 1) {
            t->lag_windows_off = bytes - 8;
        }
        if (i == 2) {
            ((struct hdr *)((char *)t + t->lag_all_off))->counts_len = INT32_MAX;
        }
        if (i == 3) {
            t->buckets = UINT64_MAX;
        }
        if (i == 4) {
            t->page_bytes = 5000;
        }
        if (i == 5) {
            t->nodes_end = UINT64_MAX;
        }
        save_table(t, i == 6 ? bytes - 1 : bytes);
        char *out = DUMP_SAYS(1, "demo.r0", "--json");
        assert_true(json_lines(out, "problem") >= 1);
        assert_int_equal(json_lines(out, "table"), 1);
        free(out);
        free(t);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commit_beyond_frames__is_corrupt),
        cmocka_unit_test(bad_crc__is_told_and_walked_over),
        cmocka_unit_test(bad_crc_of_the_first_frame__is_told),
        cmocka_unit_test(damaged_headers__are_told_and_jumped_over),
        cmocka_unit_test(wrong_marks__are_not_believed),
        cmocka_unit_test(wrong_reclaimed__is_told),
        cmocka_unit_test(all_frames_gone__ends),
        cmocka_unit_test(bad_board__is_corrupt),
        cmocka_unit_test(bad_geometry__shows_board_only),
        cmocka_unit_test(foreign_header__is_corrupt),
        cmocka_unit_test(table__shows_counts_and_lag),
        cmocka_unit_test(damaged_table__is_corrupt),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
