/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sequencer: puts writes in order. There is no thread for it; a writer that finds it free runs it, for itself and for whoever
 * has queued meanwhile (flat combining: Hendler, Incze, Shavit, Tzafrir, 2010). Many writes at hand are one group:
 * one clock reading, one commit, one barrier, at most one wake-up.
 */
#ifndef TIDE_LOG_SEQUENCER_H
#define TIDE_LOG_SEQUENCER_H

#include "engine/replica/domain.h"
#include "engine/table/kill.h"
#include "shm/clock.h"
#include "shm/park.h"

/* What is worked out by the writer itself, before it queues. */
struct seq_op {
    uint64_t hash;
    uint32_t payload_crc;
    uint32_t node; /* of the leader's table, while the request is under way */
};

enum seq_done { SEQ_PENDING = 0, SEQ_ASLEEP = 1, SEQ_DONE = 2 };

struct seq_request {
    const struct tide_op *ops;
    struct seq_op *prepared;
    size_t count;
    uint64_t ring_bytes; /* of all frames */
    uint64_t lane_seq;
    uint16_t lane; /* number + 1; 0: this process's own */
    bool own;      /* of the thread that runs the sequencer: nobody waits for its answer */
    /* The answer: */
    int result;
    uint64_t index;        /* of the last operation */
    uint64_t found;        /* MISMATCH: the version that was there */
    size_t failed;         /* MISMATCH: the operation */
    _Atomic uint32_t done; /* futex word: enum seq_done */
    struct seq_request *next;
};

/* Have the request answered, by this thread or another. Returns its result. Not inside a section. */
int seq_submit(struct tide *d, struct seq_request *request);

/* The same for many at once, which become one group as far as they fit; each has its own result. */
void seq_submit_all(struct tide *d, struct seq_request *requests, size_t n);

/* The replica, which has applied everything, leads from now on / no more. The latter answers what is queued with NO_LEADER. */
void seq_lead(struct tide *d, struct replica *leader, uint32_t term, bool announce);
void seq_unlead(struct tide *d);

/* Who has queued and found the sequencer taken is served, by this thread or by the one that has it now. */
void seq_help(struct tide *d);

/* ---- the turn: for engine/log/sequencer.c and engine/write/put.c --------------------------------------------------------------------- */

static inline bool seq_try(struct sequencer *s) {
    uint32_t free = 0;
    return atomic_load(&s->taken) == 0 && atomic_compare_exchange_strong(&s->taken, &free, 1);
}

static inline void seq_wake_followers(struct leader_board *lead) {
    /* The barrier was passed after the commit; who announced its sleep before is seen here, who did after sees the commit. */
    if (atomic_load_explicit(&lead->parked, memory_order_relaxed) != 0) { /* MO(log.parked) */
        atomic_store(&lead->parked, 0);
        KILL_POINT("seq.unparked");
        atomic_fetch_add(&lead->wake, 1);
        park_wake(&lead->wake, INT32_MAX);
        atomic_fetch_add_explicit(&lead->wakes, 1, memory_order_relaxed); /* MO(stats) */
    }
}

/* The one fence of the write path: the commit is visible everywhere before any writer hears that it is done, and before it is
 * looked who sleeps. */
static inline void seq_fence(struct tide *d) {
    atomic_thread_fence(memory_order_seq_cst);
    seq_wake_followers(&d->log->leader);
}

/* A write that only this thread waits for gets its fence here: letting go is a locked instruction anyhow, and one is enough.
 * owed: something was committed since the last fence. */
static inline void seq_let_go(struct tide *d, bool owed) {
    atomic_exchange(&d->seq.taken, 0);
    if (owed) {
#if defined(__x86_64__)
        seq_wake_followers(&d->log->leader);
#else
        seq_fence(d);
#endif
    }
}

/* The clock is looked after by whoever has the turn. */
static inline void seq_refine(struct tide *d) {
    struct sequencer *s = &d->seq;
    if (__builtin_expect(s->ring.last_ts >= s->refine_ts, 0)) {
        clock_refine(&d->log->clock);
        s->refine_ts = s->ring.last_ts + 10000000;
    }
}

static inline void seq_count_group(struct tide *d) {
    atomic_store_explicit(&d->log->leader.groups, /* MO(stats) */
                          atomic_load_explicit(&d->log->leader.groups, memory_order_relaxed) + 1, memory_order_relaxed);
}

#endif
