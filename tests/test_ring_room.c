/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log ring when it is full: followers are waited for, and lapped after the limit. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "shm/board.h"
#include "tests/lib/frames.h"

/* ---- room -------------------------------------------------------------------------------------------------------- */

static void ring_reserve__nobody_pinned__never_waits(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    ring.slow_follower_ns = UINT64_C(3600) * 1000000000;
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    static struct made m;
    while (w.tail < 10 * RING) {
        make_entry(&m, w.next_index, VALUE_MOST);
        assert_int_equal(ring_reserve(&w, entry_bytes(&m)), 0);
        ring_append(&w, &m.e, 1);
        ring_commit(&w);
        /* `reclaimed` covers the bytes that the leader is about to overwrite, and no byte that is less than a ring's length behind. */
        uint64_t reclaimed = atomic_load(&ring.log->leader.reclaimed);
        assert_true(w.tail <= reclaimed + RING);
        assert_true(reclaimed <= w.tail);
    }
    assert_int_equal(atomic_load(&ring.log->leader.waits), 0);
    assert_int_equal(atomic_load(&ring.log->leader.lapped), 0);
    help_ring_close(&ring);
}

static void ring_reserve__full_of_pinned__laps_after_the_limit(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    ring.slow_follower_ns = 2000000;
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    struct replica_board *slow = &ring.log->replicas[0], *fast = &ring.log->replicas[1];
    assert_true(board_pin(ring.log, slow, 0) && board_pin(ring.log, fast, 0));
    board_set_state(slow, REPLICA_SERVING);
    board_set_state(fast, REPLICA_SERVING);
    fill_until(&w, RING);
    board_publish(fast, w.next_index - 1, 0, w.tail);
    assert_true(ring_intact(&ring, 0));
    struct frame f;
    assert_int_equal(ring_header(&ring, 0, 1, &f), RING_OK);

    uint64_t first_tail = w.tail;
    assert_int_equal(ring_reserve(&w, RING / 4), 1);
    assert_int_equal(board_state(slow), REPLICA_LAPPED);
    assert_int_equal(board_state(fast), REPLICA_SERVING);
    assert_int_equal(atomic_load(&slow->lapped), 1);
    assert_int_equal(atomic_load(&ring.log->leader.lapped), 1);
    assert_int_equal(atomic_load(&ring.log->leader.waits), 1);
    assert_false(ring_intact(&ring, 0));
    assert_true(ring_intact(&ring, first_tail));
    assert_true(atomic_load(&ring.log->leader.reclaimed) >= first_tail + RING / 4 - RING);

    fill_until(&w, first_tail + RING / 4);
    assert_int_equal(ring_header(&ring, 0, 1, &f), RING_LAPPED);
    assert_false(board_change_state(slow, REPLICA_SERVING, REPLICA_SERVING));
    help_ring_close(&ring);
}

static void ring_reserve__after_a_lap__does_not_wait_for_the_lapped_again(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    ring.slow_follower_ns = 1000000;
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    assert_true(board_pin(ring.log, &ring.log->replicas[5], 0));
    fill_until(&w, RING);
    assert_int_equal(ring_reserve(&w, RING / 4), 1);
    for (int i = 0; i < 20; i++) {
        fill_until(&w, w.tail + RING / 8);
        assert_int_equal(ring_reserve(&w, RING / 4), 0);
    }
    assert_int_equal(atomic_load(&ring.log->leader.waits), 1);
    help_ring_close(&ring);
}

static void ring_reserve__leaders_own_pin_behind_a_full_group__not_lapped(void **state) {
    (void)state;
    struct ring ring = help_ring_open(RING);
    ring.slow_follower_ns = 1000000;
    struct replica_board *leader = &ring.log->replicas[0], *slow = &ring.log->replicas[1];
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    assert_true(board_pin(ring.log, leader, 0) && board_pin(ring.log, slow, 0));
    static struct made m;
    for (int group = 0; group < 60; group++) {
        uint64_t start = w.tail;
        for (;;) {
            make_entry(&m, w.next_index, VALUE_MOST);
            if (w.tail - start + entry_bytes(&m) > ring_group_max(&ring)) {
                break;
            }
            ring_reserve(&w, entry_bytes(&m));
            ring_append(&w, &m.e, 1);
        }
        ring_commit(&w);
        board_publish(leader, w.next_index - 1, 0, w.tail);
        assert_int_equal(board_state(leader), REPLICA_JOINING);
    }
    assert_int_equal(board_state(slow), REPLICA_LAPPED);
    assert_int_equal(atomic_load(&ring.log->leader.lapped), 1);
    help_ring_close(&ring);
}

struct consumer {
    struct ring ring;
    struct replica_board *board;
    _Atomic uint64_t last; /* entries to read; 0: not known yet */
    bool may_be_lapped;
    uint64_t laps;
};

static void *consume(void *arg) {
    struct consumer *c = arg;
    uint64_t pos = 0, next = 1;
    for (;;) {
        uint64_t last = atomic_load(&c->last);
        if (last != 0 && next > last) {
            return NULL;
        }
        if (board_commit(c->ring.log) < next) {
            sched_yield();
            continue;
        }
        bool same = false;
        enum ring_status status = read_entry(&c->ring, &pos, next, VALUE_MOST, &same);
        if (status == RING_LAPPED && c->may_be_lapped) {
            c->laps++;
            return NULL;
        }
        if (!help_check(status == RING_OK && same)) {
            board_set_state(c->board, REPLICA_STOPPED);
            return NULL;
        }
        board_publish(c->board, next, 0, pos);
        next++;
    }
}

static void writer_against_consumer(uint64_t slow_follower_ns, bool may_be_lapped, uint64_t laps, uint64_t *waits) {
    struct ring ring = help_ring_open(RING);
    ring.slow_follower_ns = slow_follower_ns;
    struct consumer c = { .ring = ring, .board = &ring.log->replicas[9], .may_be_lapped = may_be_lapped };
    assert_true(board_pin(ring.log, c.board, 0));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, consume, &c), 0);
    struct ring_writer w;
    ring_writer_init(&w, &ring, 0, 1, 0, 1);
    static struct made m;
    uint32_t lapped = 0;
    while (w.tail < laps * RING) {
        make_entry(&m, w.next_index, VALUE_MOST);
        lapped += ring_reserve(&w, entry_bytes(&m));
        ring_append(&w, &m.e, 1);
        ring_commit(&w);
    }
    atomic_store(&c.last, w.next_index - 1);
    pthread_join(thread, NULL);
    assert_true(may_be_lapped || lapped == 0);
    assert_true(c.laps <= lapped);
    *waits = atomic_load(&ring.log->leader.waits);
    help_assert_threads();
    help_ring_close(&ring);
}

static void ring_reserve__follower_that_moves_on__waited_for_and_loses_nothing(void **state) {
    (void)state;
    uint64_t waits;
    writer_against_consumer(UINT64_C(3600) * 1000000000, false, help_scaled(300), &waits);
}

static void ring_read__racing_with_a_leader_that_laps__whole_or_noticed(void **state) {
    (void)state;
    for (uint64_t i = 0; i < help_scaled(50); i++) {
        uint64_t waits;
        writer_against_consumer(1, true, 8, &waits);
    }
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring_reserve__nobody_pinned__never_waits),
        cmocka_unit_test(ring_reserve__full_of_pinned__laps_after_the_limit),
        cmocka_unit_test(ring_reserve__after_a_lap__does_not_wait_for_the_lapped_again),
        cmocka_unit_test(ring_reserve__leaders_own_pin_behind_a_full_group__not_lapped),
        cmocka_unit_test(ring_reserve__follower_that_moves_on__waited_for_and_loses_nothing),
        cmocka_unit_test(ring_read__racing_with_a_leader_that_laps__whole_or_noticed),
    };
    return cmocka_run_group_tests_name("ring_room", tests, NULL, NULL);
}
