/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/board.h"

#include "shm/park.h"

void board_answer_pings(struct log_segment *log) {
    struct lanes_board *b = &log->lanes_board;
    if (board_is_pinged(b)) {
        atomic_store(&b->answered, atomic_load(&b->pinged));
        park_wake(&b->answered, INT32_MAX);
    }
}

void board_set_state(struct replica_board *b, uint32_t state) {
    /* MO(replica.state): release; everything that the state promises was stored before. */
    atomic_store_explicit(&b->state, state, memory_order_release);
}

bool board_change_state(struct replica_board *b, uint32_t from, uint32_t to) {
    return atomic_compare_exchange_strong(&b->state, &from, to);
}

static bool board_claim_slot(struct replica_board *b, uint32_t member) {
    uint32_t state = board_state(b);
    return (state == REPLICA_FREE || state == REPLICA_STOPPED) &&
           atomic_compare_exchange_strong(&b->state, &state, REPLICA_CLAIMED | (member + 1) << BOARD_MEMBER_SHIFT);
}

uint32_t board_owner(const struct replica_board *b) {
    uint32_t word = atomic_load(&b->state), tagged = word >> BOARD_MEMBER_SHIFT;
    return (word & BOARD_STATE_MASK) == REPLICA_CLAIMED && tagged != 0 ? tagged - 1 : atomic_load(&b->member);
}

int board_claim(struct log_segment *log, int id, uint32_t member) {
    if (id >= 0) {
        return (unsigned)id < LAYOUT_REPLICAS && board_claim_slot(&log->replicas[id], member) ? id : -1;
    }
    for (int i = 0; i < (int)LAYOUT_REPLICAS; i++) {
        if (board_claim_slot(&log->replicas[i], member)) {
            return i;
        }
    }
    return -1;
}

bool board_pin(struct log_segment *log, struct replica_board *b, uint64_t pos) {
    atomic_store(&b->pos, pos);
    atomic_store(&b->state, REPLICA_JOINING);
    /* Sequentially consistent, as in ring_reclaim(): the newcomer sees the raised mark, or the leader sees the pin. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load(&log->leader.reclaimed) <= pos) {
        return true;
    }
    atomic_store(&b->state, REPLICA_CLAIMED);
    return false;
}

uint64_t board_least_pin(const struct log_segment *log, uint64_t none) {
    uint64_t least = none;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &log->replicas[i];
        if (board_pins(board_state(b))) {
            uint64_t pos = board_pos(b);
            least = pos < least ? pos : least;
        }
    }
    return least;
}

uint64_t board_patience(const struct log_segment *log, uint64_t pos, uint64_t slow_ns) {
    uint32_t laps = 0;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &log->replicas[i];
        if (board_state(b) == REPLICA_JOINING && board_pos(b) < pos) {
            uint32_t of_this = atomic_load(&b->join_laps);
            laps = of_this > laps ? of_this : laps;
        }
    }
    if (laps == 0) {
        return slow_ns;
    }
    return board_twice(slow_ns > BOARD_PATIENCE_LEAST_NS ? slow_ns : BOARD_PATIENCE_LEAST_NS, laps,
                       BOARD_PATIENCE_MOST_NS);
}

uint32_t board_lap(struct log_segment *log, uint64_t pos) {
    uint32_t lapped = 0;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        struct replica_board *b = &log->replicas[i];
        uint32_t state = board_state(b);
        if (!board_pins(state) || board_pos(b) >= pos) {
            continue;
        }
        if (atomic_compare_exchange_strong(&b->state, &state, REPLICA_LAPPED)) {
            atomic_fetch_add_explicit(&b->lapped, 1, memory_order_relaxed); /* MO(stats) */
            lapped++;
        }
    }
    atomic_fetch_add_explicit(&log->leader.lapped, lapped, memory_order_relaxed); /* MO(stats) */
    return lapped;
}

bool board_get_digest(const struct replica_board *b, uint64_t *index, uint64_t *digest) {
    for (int tries = 0; tries < 1000; tries++) {
        /* MO(replica.digest): the reader's side; the same even number before and after proves that the two belong
         * together. */
        uint32_t seq = atomic_load_explicit(&b->digest_seq, memory_order_acquire);
        uint64_t i = atomic_load_explicit(&b->digest_index, memory_order_relaxed); /* MO(replica.digest) */
        uint64_t d = atomic_load_explicit(&b->digest, memory_order_relaxed);       /* MO(replica.digest) */
        atomic_thread_fence(memory_order_acquire);                                 /* MO(replica.digest) */
        if (seq % 2 == 0 &&
            atomic_load_explicit(&b->digest_seq, memory_order_relaxed) == seq) { /* MO(replica.digest) */
            *index = i;
            *digest = d;
            return true;
        }
    }
    return false;
}

void board_last_digest(const struct replica_board *b, uint64_t *index, uint64_t *digest) {
    *index = atomic_load(&b->digest_index);
    *digest = atomic_load(&b->digest);
}

void board_mark_digest(struct replica_board *b, uint64_t index, uint64_t digest) {
    struct digest_mark *m = &b->digest_marks[index / LAYOUT_DIGEST_EVERY % LAYOUT_DIGEST_MARKS];
    /* MO(replica.mark): index 0 is stored before the digest changes, the index after it. */
    atomic_store_explicit(&m->index, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);                       /* MO(replica.mark) */
    atomic_store_explicit(&m->digest, digest, memory_order_relaxed); /* MO(replica.mark) */
    atomic_store_explicit(&m->index, index, memory_order_release);   /* MO(replica.mark) */
}

bool board_digest_at(const struct replica_board *b, uint64_t index, uint64_t *digest) {
    const struct digest_mark *m = &b->digest_marks[index / LAYOUT_DIGEST_EVERY % LAYOUT_DIGEST_MARKS];
    /* MO(replica.mark): the reader's side of board_mark_digest(). */
    if (atomic_load_explicit(&m->index, memory_order_acquire) != index) {
        return false;
    }
    uint64_t d = atomic_load_explicit(&m->digest, memory_order_relaxed);  /* MO(replica.mark) */
    atomic_thread_fence(memory_order_acquire);                            /* MO(replica.mark) */
    if (atomic_load_explicit(&m->index, memory_order_relaxed) != index) { /* MO(replica.mark) */
        return false;
    }
    *digest = d;
    return true;
}
