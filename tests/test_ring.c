/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log ring: entries come back whole, marks and timestamps lead to them, hostile bytes do no harm. */
#include <stdatomic.h>

#include "shm/board.h"
#include "tests/lib/frames.h"

/* Write entries through several laps from a position and an index on, one reader close behind. */
static void through_laps(uint64_t pos, uint64_t index, uint64_t laps) {
    struct ring ring = help_ring_open(RING);
    atomic_store(&ring.log->leader.reclaimed, pos);
    struct replica_board *follower = &ring.log->replicas[3];
    assert_true(board_pin(ring.log, follower, pos));
    struct ring_writer w;
    ring_writer_init(&w, &ring, pos, index, 1000, 7);
    static struct made m;
    uint64_t at = pos, next = index;
    while (w.tail < pos + laps * RING) {
        make_entry(&m, w.next_index, VALUE_MOST);
        assert_int_equal(ring_reserve(&w, entry_bytes(&m)), 0);
        uint64_t got = ring_append(&w, &m.e, 1000 + w.next_index - index);
        assert_int_equal(got, w.next_index - 1);
        assert_int_equal(atomic_load(&ring.log->leader.commit), got == index ? 0 : got - 1); /* not yet */
        ring_commit(&w);
        assert_int_equal(atomic_load(&ring.log->leader.commit), got);
        assert_int_equal(atomic_load(&ring.log->leader.tail), w.tail);
        /* The reader lags by some ten frames, so that the ring is never empty and rarely full. */
        while (next + 10 <= got) {
            bool same = false;
            assert_int_equal(read_entry(&ring, &at, next, VALUE_MOST, &same), RING_OK);
            assert_true(same);
            board_publish(follower, next, 0, at);
            next++;
        }
    }
    assert_int_equal(board_state(follower), REPLICA_JOINING);
    help_ring_close(&ring);
}

static void ring_append__over_many_laps__every_frame_comes_back_whole(void **state) {
    (void)state;
    through_laps(0, 1, help_scaled(40));
}

static void ring_append__positions_and_indexes_near_powers_of_two__every_frame_comes_back_whole(void **state) {
    (void)state;
    const uint64_t starts[] = { RING - 8, (UINT64_C(1) << 32) - 64, (UINT64_C(1) << 32) * RING - 16,
                                UINT64_C(1) << 62 };
    const uint64_t indexes[] = { (UINT64_C(1) << 32) - 20, (UINT64_C(1) << 63) - 20, UINT64_MAX - 100000 };
    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        for (size_t k = 0; k < sizeof(indexes) / sizeof(indexes[0]); k++) {
            through_laps(starts[i], indexes[k], 3);
        }
    }
}

/* What stands behind the value belongs to the frame: the next one begins behind it. */
static void ring_append__expiry_and_version__room_of_their_own(void **state) {
    (void)state;
    static const uint8_t flags[] = { 0, FRAME_EXPIRES, FRAME_EXPIRES | FRAME_SOURCED };
    static const uint32_t behind[] = { 0, 8, 16 }; /* bytes */
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 500, 1);
    uint64_t pos = 0;
    for (uint32_t i = 0; i < 3; i++) {
        struct ring_entry e = { .key = "a key", .key_len = 5, .value = "value", .value_len = 5, .type = FRAME_PUT };
        e.flags = flags[i];
        e.expiry = UINT64_C(0x1111111111111111);
        e.version = UINT64_C(0x2222222222222222);
        e.payload_crc = crc32c(crc32c(0, e.key, e.key_len), e.value, e.value_len);
        ring_append(&w, &e, 600);
        assert_int_equal(w.tail - pos, (FRAME_HEADER_BYTES + 10 + behind[i] + 7) / 8 * 8);
        e.key = "ANOTHER KEY WITH A VALUE THAT COVERS WHAT IT CAN";
        e.key_len = 48;
        e.flags = 0;
        ring_append(&w, &e, 600);
        ring_commit(&w);
        struct frame f = { 0 };
        uint8_t bytes[16], want[16];
        memset(want, 0x11, 8);
        memset(want + 8, 0x22, 8);
        assert_int_equal(ring_header(&ring, pos, 2 * i + 1, &f), RING_OK);
        assert_int_equal(ring_payload_bytes(&f), 10 + behind[i]);
        bytes_copy_racy(bytes, ring_payload(&ring, pos) + 10, sizeof(bytes));
        assert_memory_equal(bytes, want, behind[i]);
        assert_int_equal(ring_header(&ring, pos + f.length, 2 * i + 2, &f), RING_OK);
        pos = w.tail;
    }
    help_ring_close(&ring);
}

static void ring_append__time_that_falls__raised_to_the_last(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 500, 1);
    static struct made m;
    const uint64_t stamps[] = { 400, 600, 599, 601 }, want[] = { 500, 600, 600, 601 };
    uint64_t pos = 0;
    for (uint32_t i = 0; i < 4; i++) {
        make_entry(&m, i + 1, 100);
        ring_append(&w, &m.e, stamps[i]);
        ring_commit(&w);
        struct frame f = { 0 };
        assert_int_equal(ring_header(&ring, pos, i + 1, &f), RING_OK);
        assert_int_equal(f.commit_ts, want[i]);
        assert_int_equal(f.term, 1);
        pos += f.length;
    }
    help_ring_close(&ring);
}

static void ring_commit__of_a_group__covers_all_of_it_at_once(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    static struct made m;
    for (uint32_t i = 1; i <= 20; i++) {
        make_entry(&m, i, 50);
        ring_append(&w, &m.e, i);
        assert_int_equal(board_commit(ring.log), 0);
    }
    ring_commit(&w);
    assert_int_equal(board_commit(ring.log), 20);
    help_ring_close(&ring);
}

/* ---- marks ------------------------------------------------------------------------------------------------------- */

static void ring_marks__over_many_laps__lead_to_frames(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    for (uint64_t tail = RING / 2; tail < 6 * RING; tail += RING / 2) {
        uint64_t before = w.tail;
        while (w.tail < tail) {
            ring_reserve(&w, RING / 4);
            fill_until(&w, w.tail + RING / 8);
        }
        assert_true(w.tail > before);
        uint32_t good = 0;
        for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
            uint64_t index = atomic_load(&ring.log->marks[i].index), pos = atomic_load(&ring.log->marks[i].pos);
            struct frame f;
            if (index != 0 && pos >= atomic_load(&ring.log->leader.reclaimed)) {
                assert_int_equal(ring_header(&ring, pos, index, &f), RING_OK);
                good++;
            }
        }
        assert_true(good > 0);
    }
    help_ring_close(&ring);
}

static void ring_writer_init__by_the_next_leader__goes_on_behind_the_newest_mark(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    fill_until(&w, RING / 2);
    uint32_t mark = w.mark;
    struct ring_writer next;
    ring_writer_init(&next, &ring, w.tail, w.next_index, w.last_ts, 2);
    assert_int_equal(next.mark, mark);
    assert_int_equal(next.limit, w.limit);
    fill_until(&next, RING / 2 + RING / 8);
    /* Not at its own start, but a 64th of the ring behind the last mark. */
    uint64_t pos = atomic_load(&ring.log->marks[mark].pos), last = atomic_load(&ring.log->marks[mark - 1].pos);
    assert_in_range(pos, last + RING / LAYOUT_MARKS, last + 2 * RING / LAYOUT_MARKS);
    struct frame f;
    assert_int_equal(ring_header(&ring, pos, atomic_load(&ring.log->marks[mark].index), &f), RING_OK);
    help_ring_close(&ring);
}

static void ring_writer_init__marks_of_frames_never_committed__are_forgotten(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    fill_until(&w, RING / 2);
    uint64_t tail = w.tail, next_index = w.next_index;
    fill_until(&w, RING / 2 + RING / 8); /* as if it had died before this was committed */
    struct ring_writer next;
    ring_writer_init(&next, &ring, tail, next_index, w.last_ts, 2);
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        assert_true(atomic_load(&ring.log->marks[i].index) < next_index);
    }
    help_ring_close(&ring);
}

/* What another process stored there is not believed: room would be given that there is not, or none ever again. */
static void ring_writer_init__reclaimed_that_no_leader_stored__all_is_given_up(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    fill_until(&w, 3 * RING);
    const uint64_t impossible[] = { w.tail + 8, UINT64_MAX, w.tail - RING - 8, 0 };
    for (size_t i = 0; i < sizeof(impossible) / sizeof(impossible[0]); i++) {
        struct ring_writer next;
        atomic_store(&ring.log->leader.reclaimed, impossible[i]);
        ring_writer_init(&next, &ring, w.tail, w.next_index, w.last_ts, 2);
        assert_int_equal(atomic_load(&ring.log->leader.reclaimed), w.tail);
        assert_int_equal(next.limit, w.tail + RING);
    }
    struct ring_writer next;
    atomic_store(&ring.log->leader.reclaimed, w.tail - RING);
    ring_writer_init(&next, &ring, w.tail, w.next_index, w.last_ts, 2);
    assert_int_equal(next.limit, w.tail);
    help_ring_close(&ring);
}

/* ---- looking timestamps up --------------------------------------------------------------------------------------- */

static void ring_timestamp__of_each_entry_ahead__that_entrys(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    static struct made m;
    for (uint64_t i = 1; i <= 50; i++) {
        make_entry(&m, i, 100);
        ring_append(&w, &m.e, 1000 * i);
    }
    ring_commit(&w);
    for (uint64_t i = 1; i <= 50; i++) {
        assert_int_equal(ring_timestamp(&ring, 0, i, 128), 1000 * i);
        assert_int_equal(ring_timestamp(&ring, 0, i, (uint32_t)i - 1), 0); /* one step short */
    }
    assert_int_equal(ring_timestamp(&ring, 0, 0, 128), 0);
    assert_int_equal(ring_timestamp(&ring, 0, 51, 128), 0);
    assert_int_equal(ring_timestamp(&ring, ring_frame_bytes(1, 1) + 4096, 1, 128),
                     0); /* not a frame's start, or later */
    atomic_store(&ring.log->leader.reclaimed, w.tail);
    assert_int_equal(ring_timestamp(&ring, 0, 50, 128), 0); /* overwritten, for all that is known */
    help_ring_close(&ring);
}

/* ---- hostile bytes ----------------------------------------------------------------------------------------------- */

static void ring_header__each_field_off__corrupt(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    struct frame good = { .length = 64, .index = 9, .value_len = 10, .key_len = 6, .type = FRAME_PUT };
    struct frame bad[12], out;
    for (size_t i = 0; i < 12; i++) {
        bad[i] = good;
    }
    bad[0].length = 0;
    bad[1].length = FRAME_HEADER_BYTES - 8;
    bad[2].length = 72;
    bad[3].length = UINT32_MAX & ~7u;
    bad[4].index = 10;
    bad[5].index = 0;
    bad[6].type = 0;
    bad[7].type = 255;
    bad[8].key_len = 0;
    bad[8].value_len = 16;
    bad[9].value_len = UINT32_MAX;
    bad[10].value_len = (uint32_t)RING / 4; /* over a quarter, and the length goes with it */
    bad[10].length = (uint32_t)ring_frame_bytes(6, RING / 4);
    bad[11].type = FRAME_DELETE; /* with a value */
    memcpy(ring.base, &good, sizeof(good));
    assert_int_equal(ring_header(&ring, 0, 9, &out), RING_OK);
    assert_memory_equal(&out, &good, sizeof(good));
    for (size_t i = 0; i < 12; i++) {
        memcpy(ring.base, &bad[i], sizeof(good));
        memset(&out, 0x5a, sizeof(out));
        assert_int_equal(ring_header(&ring, 0, 9, &out), RING_CORRUPT);
        assert_int_equal(out.length, 0x5a5a5a5a); /* untouched */
    }
    struct frame term = { .length = FRAME_HEADER_BYTES, .index = 9, .type = FRAME_TERM };
    memcpy(ring.base, &term, sizeof(term));
    assert_int_equal(ring_header(&ring, 0, 9, &out), RING_OK);
    term.key_len = 4;
    term.length = (uint32_t)ring_frame_bytes(4, 0);
    memcpy(ring.base, &term, sizeof(term));
    assert_int_equal(ring_header(&ring, 0, 9, &out), RING_CORRUPT);
    atomic_store(&ring.log->leader.reclaimed, 64);
    assert_int_equal(ring_header(&ring, 0, 9, &out), RING_LAPPED);
    help_ring_close(&ring);
}

static void ring_readers__of_random_bytes__end_and_stay_inside(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    struct ring ring = help_ring_open(RING);
    for (uint64_t round = 0; round < help_scaled(20000); round++) {
        uint64_t pos = help_random(&r) >> help_below(&r, 60) & ~UINT64_C(7), index = 1 + help_below(&r, 4);
        struct frame f = { 0 };
        uint8_t *at = (uint8_t *)&f;
        for (size_t i = 0; i < sizeof(f); i++) {
            at[i] = help_below(&r, 3) == 0 ? (uint8_t)help_random(&r) : 0;
        }
        if (help_below(&r, 2) == 0) {
            f.index = index;
            f.length = (uint32_t)help_below(&r, RING / 4 + 64) & ~7u;
        }
        memcpy(ring_at(&ring, pos), &f, sizeof(f));
        struct frame out;
        if (ring_header(&ring, pos, index, &out) == RING_OK) {
            assert_true(out.length <= RING / 4 && out.length >= FRAME_HEADER_BYTES + out.key_len + out.value_len);
        }
        ring_timestamp(&ring, pos, index + 1, 128);
    }
    /* A ring of frames that all claim to come before what is looked for: the walk ends after its steps. */
    struct frame loop = { .length = FRAME_HEADER_BYTES, .index = 1, .type = FRAME_NOOP };
    for (uint64_t pos = 0; pos + sizeof(loop) <= 2 * RING; pos += sizeof(loop)) {
        memcpy(ring.base + pos, &loop, sizeof(loop));
    }
    assert_int_equal(ring_timestamp(&ring, 0, 2, UINT32_C(100000)), 0);
    help_ring_close(&ring);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_append__over_many_laps__every_frame_comes_back_whole),
        cmocka_unit_test(ring_append__positions_and_indexes_near_powers_of_two__every_frame_comes_back_whole),
        cmocka_unit_test(ring_append__expiry_and_version__room_of_their_own),
        cmocka_unit_test(ring_append__time_that_falls__raised_to_the_last),
        cmocka_unit_test(ring_commit__of_a_group__covers_all_of_it_at_once),
        cmocka_unit_test(ring_marks__over_many_laps__lead_to_frames),
        cmocka_unit_test(ring_writer_init__by_the_next_leader__goes_on_behind_the_newest_mark),
        cmocka_unit_test(ring_writer_init__marks_of_frames_never_committed__are_forgotten),
        cmocka_unit_test(ring_writer_init__reclaimed_that_no_leader_stored__all_is_given_up),
        cmocka_unit_test(ring_timestamp__of_each_entry_ahead__that_entrys),
        cmocka_unit_test(ring_header__each_field_off__corrupt),
        cmocka_unit_test(ring_readers__of_random_bytes__end_and_stay_inside),
    };
    return cmocka_run_group_tests_name("ring", tests, NULL, NULL);
}
