/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The board: slots, pins, laps, digests as pairs. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "shm/board.h"
#include "tests/lib/help.h"

#define RING (UINT64_C(64) << 10)

static int open_log(void **state) {
    static struct ring ring;
    ring = help_ring_open(RING);
    *state = ring.log;
    return 0;
}

static int close_log(void **state) {
    free(*state);
    return 0;
}

static void board_claim__free_and_stopped_slots__first_of_them(void **state) {
    struct log_segment *log = *state;
    assert_int_equal(board_claim(log, -1, 0), 0);
    assert_int_equal(board_claim(log, -1, 0), 1);
    assert_int_equal(board_state(&log->replicas[1]), REPLICA_CLAIMED);
    assert_int_equal(board_claim(log, 7, 0), 7);
    assert_int_equal(board_claim(log, 7, 0), -1);
    assert_int_equal(board_claim(log, 64, 0), -1);
    assert_int_equal(board_claim(log, INT32_MAX, 0), -1);
    board_set_state(&log->replicas[0], REPLICA_STOPPED);
    assert_int_equal(board_claim(log, -1, 0), 0);
    for (uint32_t taken = REPLICA_CLAIMED; taken <= REPLICA_ORPHAN; taken++) {
        board_set_state(&log->replicas[0], taken);
        assert_int_equal(board_claim(log, 0, 0), taken == REPLICA_STOPPED ? 0 : -1);
    }
}

static void board_claim__by_a_member__its_owner_is_known_at_once(void **state) {
    struct log_segment *log = *state;
    struct replica_board *b = &log->replicas[3];
    atomic_store(&b->member, 9); /* of the one that had the slot before */
    assert_int_equal(board_claim(log, 3, LAYOUT_MEMBERS - 1), 3);
    assert_int_equal(board_state(b), REPLICA_CLAIMED);
    assert_int_equal(board_owner(b), LAYOUT_MEMBERS - 1);
    assert_int_equal(board_claim(log, 3, 0), -1);
    atomic_store(&b->member, LAYOUT_MEMBERS - 1);
    board_set_state(b, REPLICA_SERVING);
    assert_int_equal(board_owner(b), LAYOUT_MEMBERS - 1);
    board_set_state(b, REPLICA_CLAIMED); /* as board_pin() leaves it where the ring has gone on */
    assert_int_equal(board_owner(b), LAYOUT_MEMBERS - 1);
}

static void board_claim__all_taken__none(void **state) {
    struct log_segment *log = *state;
    for (int i = 0; i < (int)LAYOUT_REPLICAS; i++) {
        assert_int_equal(board_claim(log, -1, 0), i);
    }
    assert_int_equal(board_claim(log, -1, 0), -1);
}

static void *claim_many(void *log) {
    uintptr_t got = 0;
    while (board_claim(log, -1, 0) >= 0) {
        got++;
    }
    return (void *)got;
}

static void board_claim__by_many_threads__each_slot_once(void **state) {
    pthread_t threads[4];
    uintptr_t sum = 0;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, claim_many, *state), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *got;
        pthread_join(threads[i], &got);
        sum += (uintptr_t)got;
    }
    assert_int_equal(sum, LAYOUT_REPLICAS);
}

static void board_pin__below_what_was_given_up__refused(void **state) {
    struct log_segment *log = *state;
    struct replica_board *b = &log->replicas[2];
    atomic_store(&log->leader.reclaimed, 1000);
    assert_false(board_pin(log, b, 992));
    assert_int_equal(board_state(b), REPLICA_CLAIMED);
    assert_true(board_pin(log, b, 1000));
    assert_int_equal(board_state(b), REPLICA_JOINING);
    assert_int_equal(board_pos(b), 1000);
}

static void board_least_pin__only_joining_and_serving_count(void **state) {
    struct log_segment *log = *state;
    assert_int_equal(board_least_pin(log, 4242), 4242);
    for (uint32_t s = REPLICA_FREE; s <= REPLICA_ORPHAN; s++) {
        board_publish(&log->replicas[s], 1, 1, 100 + s);
        board_set_state(&log->replicas[s], s);
    }
    assert_int_equal(board_least_pin(log, UINT64_MAX), 100 + REPLICA_JOINING);
    board_set_state(&log->replicas[REPLICA_JOINING], REPLICA_LAPPED);
    assert_int_equal(board_least_pin(log, UINT64_MAX), 100 + REPLICA_SERVING);
    board_set_state(&log->replicas[REPLICA_SERVING], REPLICA_LAPPED);
    assert_int_equal(board_least_pin(log, UINT64_MAX), UINT64_MAX);
}

static void board_lap__pinned_before_the_position__those_and_no_others(void **state) {
    struct log_segment *log = *state;
    for (uint32_t s = REPLICA_FREE; s <= REPLICA_ORPHAN; s++) {
        board_publish(&log->replicas[s], 1, 1, 100);
        board_set_state(&log->replicas[s], s);
    }
    board_publish(&log->replicas[20], 1, 1, 200);
    board_set_state(&log->replicas[20], REPLICA_SERVING);
    assert_int_equal(board_lap(log, 200), 2);
    assert_int_equal(board_state(&log->replicas[REPLICA_JOINING]), REPLICA_LAPPED);
    assert_int_equal(board_state(&log->replicas[REPLICA_SERVING]), REPLICA_LAPPED);
    assert_int_equal(board_state(&log->replicas[20]), REPLICA_SERVING);
    for (uint32_t s = REPLICA_FREE; s <= REPLICA_ORPHAN; s++) {
        if (s != REPLICA_JOINING && s != REPLICA_SERVING) {
            assert_int_equal(board_state(&log->replicas[s]), s);
        }
    }
    assert_int_equal(atomic_load(&log->leader.lapped), 2);
    assert_int_equal(board_lap(log, 200), 0);
    /* A newcomer that was lapped does not come to serve. */
    assert_false(board_change_state(&log->replicas[REPLICA_JOINING], REPLICA_JOINING, REPLICA_SERVING));
    assert_int_equal(board_state(&log->replicas[REPLICA_JOINING]), REPLICA_LAPPED);
}

/* ---- digests ----------------------------------------------------------------------------------------------------- */

struct digest_writer {
    struct replica_board *board;
    _Atomic bool stop;
};

static void *write_digests(void *arg) {
    struct digest_writer *w = arg;
    for (uint64_t i = 1; !atomic_load(&w->stop); i++) {
        board_put_digest(w->board, i, i * 31);
        board_mark_digest(w->board, i * LAYOUT_DIGEST_EVERY, i * 17);
    }
    return NULL;
}

static void board_digests__beside_their_writer__always_pairs(void **state) {
    struct log_segment *log = *state;
    struct digest_writer w = { .board = &log->replicas[0] };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, write_digests, &w), 0);
    uint64_t last = 0, marks = 0;
    for (uint64_t n = 0; n < help_scaled(300000) || last == 0; n++) {
        uint64_t index, digest;
        if (board_get_digest(w.board, &index, &digest)) {
            assert_int_equal(digest, index * 31);
            assert_true(index >= last);
            last = index;
        }
        uint64_t at = last + n % 3;
        if (at != 0 && board_digest_at(w.board, at * LAYOUT_DIGEST_EVERY, &digest)) {
            assert_int_equal(digest, at * 17);
            marks++;
        }
    }
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    (void)marks;
}

static void board_get_digest__writer_died_halfway__gives_up(void **state) {
    struct log_segment *log = *state;
    uint64_t index = 7, digest = 8;
    board_put_digest(&log->replicas[0], 5, 6);
    atomic_fetch_add(&log->replicas[0].digest_seq, 1);
    assert_false(board_get_digest(&log->replicas[0], &index, &digest));
    assert_true(index == 7 && digest == 8);
}

static void board_digest_at__marks_that_were_overwritten__not_there(void **state) {
    struct log_segment *log = *state;
    struct replica_board *b = &log->replicas[0];
    uint64_t digest = 0;
    for (uint64_t i = 1; i <= 40; i++) {
        board_mark_digest(b, i * LAYOUT_DIGEST_EVERY, i);
    }
    for (uint64_t i = 1; i <= 50; i++) {
        bool there = i > 40 - LAYOUT_DIGEST_MARKS && i <= 40;
        assert_int_equal(board_digest_at(b, i * LAYOUT_DIGEST_EVERY, &digest), there);
        assert_true(!there || digest == i);
    }
}

static void board_patience__of_one_that_was_lapped_while_it_joined__doubles_up_to_its_bound(void **state) {
    struct log_segment *log = *state;
    const uint64_t slow = BOARD_PATIENCE_LEAST_NS * 4;
    struct replica_board *b = &log->replicas[7], *serves = &log->replicas[8];
    assert_int_equal(board_patience(log, 500, slow), slow); /* nobody pins */
    assert_true(board_pin(log, b, 100) && board_pin(log, serves, 100));
    board_set_state(serves, REPLICA_SERVING);
    atomic_store(&serves->join_laps, 9);                    /* of a join that ended */
    assert_int_equal(board_patience(log, 500, slow), slow); /* not lapped yet */
    for (uint32_t laps = 1; laps <= 4; laps++) {
        atomic_store(&b->join_laps, laps);
        assert_int_equal(board_patience(log, 500, slow), slow << laps);
        assert_int_equal(board_patience(log, 500, 1), BOARD_PATIENCE_LEAST_NS << laps);
        assert_int_equal(board_patience(log, 100, slow), slow); /* this follower holds nothing up */
    }
    for (uint32_t laps = 7; laps != 0; laps *= 2) { /* and any number that another process may write */
        atomic_store(&b->join_laps, laps);
        assert_int_equal(board_patience(log, 500, slow), BOARD_PATIENCE_MOST_NS);
        assert_int_equal(board_patience(log, 500, 1), BOARD_PATIENCE_MOST_NS);
        assert_int_equal(board_patience(log, 500, BOARD_PATIENCE_MOST_NS * 3), BOARD_PATIENCE_MOST_NS * 3);
        assert_int_equal(board_patience(log, 500, UINT64_MAX), UINT64_MAX);
    }
    atomic_store(&b->join_laps, 5);
    assert_int_equal(board_lap(log, 500), 2); /* stopped or dead: it is not waited for again */
    assert_int_equal(board_patience(log, 500, slow), slow);
}

int main(void) {
    help_start(50);
#define WITH_LOG(f) cmocka_unit_test_setup_teardown(f, open_log, close_log)
    const struct CMUnitTest tests[] = {
        WITH_LOG(board_claim__free_and_stopped_slots__first_of_them),
        WITH_LOG(board_claim__by_a_member__its_owner_is_known_at_once),
        WITH_LOG(board_claim__all_taken__none),
        WITH_LOG(board_claim__by_many_threads__each_slot_once),
        WITH_LOG(board_pin__below_what_was_given_up__refused),
        WITH_LOG(board_least_pin__only_joining_and_serving_count),
        WITH_LOG(board_patience__of_one_that_was_lapped_while_it_joined__doubles_up_to_its_bound),
        WITH_LOG(board_lap__pinned_before_the_position__those_and_no_others),
        WITH_LOG(board_digests__beside_their_writer__always_pairs),
        WITH_LOG(board_get_digest__writer_died_halfway__gives_up),
        WITH_LOG(board_digest_at__marks_that_were_overwritten__not_there),
    };
    return cmocka_run_group_tests_name("board", tests, NULL, NULL);
}
