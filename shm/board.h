/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The board: the watermarks of the leader and of every replica, and the owners of replica slots.
 *
 * The thread that applies for a replica writes that replica's words. The leader writes its state too, but only turns
 * JOINING or SERVING into LAPPED. Anybody may read all of it at any time.
 */
#ifndef TIDE_SHM_BOARD_H
#define TIDE_SHM_BOARD_H

#include <stdbool.h>

#include "shm/layout.h"

/* The low bits of the state word are the state. While it is CLAIMED, the high bits are the claiming member's number +
 * 1, so that reapers know the claim of a member that died at once. */
#define BOARD_STATE_MASK 0xffu
#define BOARD_MEMBER_SHIFT 8

/* tide_ping() asks the leader whether it lives: it raises `pinged`, and the leader raises `answered` to the same. */
static inline bool board_is_pinged(const struct lanes_board *b) {
    return atomic_load(&b->pinged) != atomic_load(&b->answered);
}

/* Called by the leader's lane thread, and by the leader's thread that waits for a slow follower or for a section, since the lane thread
 * waits for that one. */
void board_answer_pings(struct log_segment *log);

/* The commit index: all entries up to it are whole in the ring. */
static inline uint64_t board_commit(const struct log_segment *log) {
    /* MO(log.commit): acquire; pairs with the release in ring_commit(). */
    return atomic_load_explicit(&log->leader.commit, memory_order_acquire);
}

/* Since when the leader decides about a key that will expire; 0: it does not. */
static inline uint64_t board_deciding(const struct log_segment *log) {
    /* MO(log.deciding): acquire; pairs with the release in seq_decided(): a reader that finds it ended sees what was committed. */
    return atomic_load_explicit(&log->leader.deciding, memory_order_acquire);
}

static inline uint64_t board_applied(const struct replica_board *b) {
    /* MO(replica.applied): acquire; pairs with the release in board_publish(). Without it a reader could see the index
     * before the table entries that it promises. */
    return atomic_load_explicit(&b->applied, memory_order_acquire);
}

static inline uint32_t board_state(const struct replica_board *b) {
    /* MO(replica.state): acquire; pairs with the release in board_set_state() and the exchange in board_lap(). */
    return atomic_load_explicit(&b->state, memory_order_acquire) & BOARD_STATE_MASK;
}

/*
 * Publish that the table is the log up to `applied`, that it is complete up to the instant `ts`, and that this replica
 * needs the ring from `pos` on. The order of the stores matters. A reader that loads ts before applied never believes
 * itself fresher than it is. The pin moves last, so the frame after `applied` can be found from it.
 */
static inline void board_publish(struct replica_board *b, uint64_t applied, uint64_t ts, uint64_t pos) {
    /* MO(replica.applied): release; see board_applied(). */
    atomic_store_explicit(&b->applied, applied, memory_order_release);
    /* MO(replica.ts): release; pairs with the acquire in board_applied_ts(). A reader that sees this ts also sees this
     * `applied`. */
    atomic_store_explicit(&b->applied_ts, ts, memory_order_release);
    /* MO(replica.pos): release; pairs with the acquires in board_least_pin() and board_pos(): the frames before it were
     * read before the leader may overwrite them. */
    atomic_store_explicit(&b->pos, pos, memory_order_release);
}

static inline uint64_t board_applied_ts(const struct replica_board *b) {
    /* MO(replica.ts): acquire; load it before board_applied(). */
    return atomic_load_explicit(&b->applied_ts, memory_order_acquire);
}

static inline uint64_t board_pos(const struct replica_board *b) {
    /* MO(replica.pos): acquire; pairs with board_publish(). */
    return atomic_load_explicit(&b->pos, memory_order_acquire);
}

void board_set_state(struct replica_board *b, uint32_t state);

/* Change the state, as in JOINING -> SERVING. False: the leader lapped the replica meanwhile. */
bool board_change_state(struct replica_board *b, uint32_t from, uint32_t to);

/* Claim slot `id`, or with -1 the first slot that is FREE or STOPPED. Returns the slot's number, and the slot is
 * CLAIMED. -1: none. */
int board_claim(struct log_segment *log, int id, uint32_t member);

/* The member that runs the slot's replica, or has claimed the slot. */
uint32_t board_owner(const struct replica_board *b);

/* Pin the ring at `pos` and become JOINING. False: the leader has given that position up meanwhile, so take another. */
bool board_pin(struct log_segment *log, struct replica_board *b, uint64_t pos);

/* Does a replica in this state hold the ring at its position? */
static inline bool board_pins(uint32_t state) {
    return state == REPLICA_JOINING || state == REPLICA_SERVING;
}

/* The least pinned position; `none` if no replica pins one. */
uint64_t board_least_pin(const struct log_segment *log, uint64_t none);

/* ns, doubled so many times, but no further than to `most`. */
static inline uint64_t board_twice(uint64_t ns, uint32_t times, uint64_t most) {
    for (; times > 0 && ns != 0 && ns < most; times--) {
        ns = ns > most / 2 ? most : 2 * ns;
    }
    return ns;
}

/*
 * How long the leader waits for replicas that pin a position before `pos`: slow_ns. For one that joins: from slow_ns, or BOARD_PATIENCE_LEAST_NS
 * where that is more, twice as long with each time in a row that it was lapped while it joined, up to BOARD_PATIENCE_MOST_NS (or slow_ns
 * where that is more). A join has to end, and a leader that outruns a newcomer once would do so each time. One that is stopped or dead is
 * waited for once: it is LAPPED then, and pins nothing more.
 */
#define BOARD_PATIENCE_LEAST_NS UINT64_C(1000000)
#define BOARD_PATIENCE_MOST_NS UINT64_C(100000000)
uint64_t board_patience(const struct log_segment *log, uint64_t pos, uint64_t slow_ns);

/* Mark every replica that pins a position before `pos` as LAPPED; returns how many. The leader alone. */
uint32_t board_lap(struct log_segment *log, uint64_t pos);

/* Write and read the digest and its index as one pair. Reading gives up after some tries and returns false. */
static inline void board_put_digest(struct replica_board *b, uint64_t index, uint64_t digest) {
    /* MO(replica.digest): a seqlock with one writer. Relaxed load: the writer's own word. */
    uint32_t seq = atomic_load_explicit(&b->digest_seq, memory_order_relaxed);
    atomic_store_explicit(&b->digest_seq, seq | 1, memory_order_relaxed); /* MO(replica.digest) */
    atomic_thread_fence(memory_order_release); /* MO(replica.digest): odd before the pair changes */
    atomic_store_explicit(&b->digest, digest, memory_order_relaxed); /* MO(replica.digest) */
    /* MO(replica.digest): release; a writer that dies here leaves the old pair, or a new digest whose index is
     * `applied`. */
    atomic_store_explicit(&b->digest_index, index, memory_order_release);
    /* MO(replica.digest): even after the pair changed. `seq | 1`: a writer that died in between left it odd. */
    atomic_store_explicit(&b->digest_seq, (seq | 1) + 1, memory_order_release);
}
bool board_get_digest(const struct replica_board *b, uint64_t *index, uint64_t *digest);

/* The two words as they stand, for a replica whose writer is dead. It may have died after it changed one of them. */
void board_last_digest(const struct replica_board *b, uint64_t *index, uint64_t *digest);

/* Store the digest at an index that is a multiple of LAYOUT_DIGEST_EVERY. Look up any replica's digest at such an
 * index. */
void board_mark_digest(struct replica_board *b, uint64_t index, uint64_t digest);
bool board_digest_at(const struct replica_board *b, uint64_t index, uint64_t *digest);

#endif
