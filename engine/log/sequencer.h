/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sequencer puts writes in order. It has no thread: a writer that finds it free runs it, for itself and for the
 * writers that have queued meanwhile (flat combining: Hendler, Incze, Shavit, Tzafrir, 2010). Writes that are at hand
 * together are one group: one clock reading, one commit, one barrier, at most one wake-up.
 */
#ifndef TIDE_LOG_SEQUENCER_H
#define TIDE_LOG_SEQUENCER_H

#include "engine/replica/domain.h"
#include "engine/table/kill.h"
#include "shm/clock.h"
#include "shm/park.h"

/* Kinds that only the leader makes, beside those of tidemark.h. */
enum seq_op_kind { SEQ_OP_EVICT = 16, SEQ_OP_EXPIRE = 17, SEQ_OP_NOTE = 18 /* a revision of the source, and no key */ };

/* Does it remove the key, or have none: no node is made, no value written? */
static inline bool seq_removes(const struct tide_op *op) {
    return op->kind == TIDE_OP_DELETE || (uint32_t)op->kind >= SEQ_OP_EVICT;
}

static inline enum frame_type seq_frame_type(const struct tide_op *op) {
    switch ((uint32_t)op->kind) {
    case TIDE_OP_DELETE:
        return FRAME_DELETE;
    case SEQ_OP_EVICT:
        return FRAME_EVICT;
    case SEQ_OP_EXPIRE:
        return FRAME_EXPIRE;
    case SEQ_OP_NOTE:
        return FRAME_NOOP;
    default:
        return FRAME_PUT;
    }
}

/* What the writer works out itself, before it queues. */
struct seq_op {
    uint64_t hash;
    uint32_t payload_crc;
    uint32_t node; /* of the leader's table, while the request is under way; EVICT, EXPIRE: the key's, or 0 */
    uint8_t flags; /* of the frame: FRAME_KEEP, FRAME_SMALL */
};

/* Does it depend on what the key is, or whether it is there? */
static inline bool seq_looks(const struct tide_op *op) {
    return op->kind >= TIDE_OP_CAS && op->kind <= TIDE_OP_TOUCH;
}

#define SEQ_NUMBER_MOST 20u /* characters of a number of 64 bits with its sign */

/* Of an operation of a request in which some expire, or are kept, or depend on the value that is there: engine/log/derive.c. */
struct seq_more {
    uint64_t ttl_ns;
    int64_t delta;
    uint64_t version; /* a source's */
    uint32_t flags;   /* enum tide_write_flags, as the writer gave them */
    uint32_t before;  /* the number + 1 of the last operation before it that has the same key; 0: none */
    /* What the sequencer works out: */
    int64_t result;
    const void *value; /* NULL: the operation's own */
    size_t value_size;
    uint64_t expiry;  /* NEVER_EXPIRES: none */
    bool keep;        /* the writer said TIDE_KEEP, or the key that is there has it */
    bool looked;      /* before: then own_crc is known */
    uint32_t own_crc; /* of key and own value, without an expiry, which each look works out anew */
    void *owned;      /* value, where it has memory of its own */
    char number[SEQ_NUMBER_MOST];
};

#define SEQ_SWEEP_MOST 32u
#define SEQ_SWEEP_KEYS (TIDE_KEY_MAX + 4096u)

struct seq_sweep;

/* A group of entries of a fed domain's source: engine/write/feed.c. */
struct seq_source {
    uint64_t revision;
    bool more; /* the log does not hold the revision yet after this group */
};

enum seq_done { SEQ_PENDING = 0, SEQ_ASLEEP = 1, SEQ_DONE = 2 };

struct seq_request {
    const struct tide_op *ops;
    struct seq_op *prepared;
    struct seq_more *more;           /* as many; NULL: puts, deletes and cas without a ttl or flags */
    struct seq_sweep *sweep;         /* the leader's own request */
    const struct seq_source *source; /* NULL but in a fed domain; `more` says each operation's version */
    size_t count;
    uint64_t ring_bytes; /* of all frames */
    uint64_t lane_seq;
    uint16_t lane; /* number + 1; 0: this process's own */
    bool own;      /* the request of the thread that runs the sequencer: no thread waits for its answer */
    /* The answer: */
    int result;
    uint64_t index;        /* of the last operation */
    uint64_t found;        /* MISMATCH: the version that was there */
    size_t failed;         /* MISMATCH, NOT_FOUND, NUMBER, OVERFLOW: the operation */
    _Atomic uint32_t done; /* futex word: enum seq_done */
    struct seq_request *next;
};

/* A request of the leader itself: remove what has expired. */
struct seq_sweep {
    struct tide_op ops[SEQ_SWEEP_MOST];
    struct seq_op prepared[SEQ_SWEEP_MOST];
    uint8_t keys[SEQ_SWEEP_KEYS];
    struct seq_request request;
    bool posted;         /* it is queued: the thread that has the turn does it */
    uint64_t longest_ns; /* how long its thread sleeps at most until the next one */
    /* Out: */
    uint64_t left_ns; /* until something expires; 0: something has */
    bool armed;       /* nothing does before longest_ns: d->seq.alarm was set */
};

/* Have the request answered, by this thread or another. Returns its result. Not inside a section. */
int seq_submit(struct tide *d, struct seq_request *request);

/* The same for many at once, which become one group as far as they fit; each has its own result. */
void seq_submit_all(struct tide *d, struct seq_request *requests, size_t n);

/* The replica, which has applied everything, leads from now on / no more. The latter answers what is queued with NO_LEADER. */
void seq_lead(struct tide *d, struct replica *leader, uint32_t term, bool announce);
void seq_unlead(struct tide *d);

/*
 * Remove some keys that have expired, if this process leads. The lane thread calls it, and never waits here: where another thread has
 * the turn, that one does it. Returns for how long it need not be called again, in ns; 0: something more has expired. With
 * sweep->armed, the lane thread is roused when something is put that expires before longest_ns.
 */
uint64_t seq_expire(struct tide *d, struct seq_sweep *sweep);

/* Wait until the sweep's memory is its owner's alone. */
void seq_end_sweep(struct tide *d, struct seq_sweep *sweep);

/* Words of the leader's board that another process changed are written again, and what readers noted is counted. Once a second, by a thread of
 * the leading process. */
void seq_mend(struct tide *d);

/* Serve the queue, by this thread or by the one that has the turn now. */
void seq_help(struct tide *d);

/* Remove some keys that have expired, or evict some, ahead of an entry that needs their room. The caller has the turn, and a barrier is owed
 * afterwards. False: there are none. */
bool seq_remove_ahead(struct tide *d);

/* ---- the turn: for engine/log/sequencer.c and engine/write/put.c --------------------------------------------------------------------- */

static inline bool seq_try(struct sequencer *s) {
    return !atomic_load(&s->taken) && !atomic_exchange(&s->taken, true);
}

/* The turn is taken: stay away for a moment, and try again, some times. False: queue. */
bool seq_try_again(struct sequencer *s);

static inline void seq_wake_followers(struct leader_board *lead) {
    /* The barrier was passed after the commit. A follower that announced its sleep before it is seen here; one that
     * announces it later sees the commit. */
    if (atomic_load_explicit(&lead->parked, memory_order_relaxed) != 0) { /* MO(log.parked) */
        atomic_store(&lead->parked, 0);
        KILL_POINT("seq.unparked");
        park_rouse(&lead->wake, INT32_MAX);
        atomic_fetch_add_explicit(&lead->wakes, 1, memory_order_relaxed); /* MO(stats) */
    }
}

/* The one fence of the write path. The commit is visible everywhere before any writer hears that its write is done,
 * and before the look for sleeping followers. */
static inline void seq_fence(struct tide *d) {
    atomic_thread_fence(memory_order_seq_cst);
    seq_wake_followers(&d->log->leader);
}

/* Let the turn go. That is a locked instruction anyhow, so it is also the fence for a write that only this thread
 * waits for. owed: something was committed since the last fence. */
static inline void seq_let_go(struct tide *d, bool owed) {
    atomic_exchange(&d->seq.taken, false);
    if (owed) {
#if defined(__x86_64__)
        seq_wake_followers(&d->log->leader);
#else
        seq_fence(d);
#endif
    }
}

/* Prefetch a key's bucket, before the turn is there. Which one it is may have changed meanwhile; nothing depends on it. */
static inline void seq_ask(const struct sequencer *s, uint64_t hash) {
    bytes_prefetch_own(atomic_load(&s->ask_at) +
                       table_bucket_of(hash, atomic_load(&s->ask_count)) * sizeof(struct table_bucket));
}

/* From time to time the thread that has the turn looks after the clock, and says where buckets are. */
void seq_refine_slow(struct tide *d);
static inline void seq_refine(struct tide *d) {
    struct sequencer *s = &d->seq;
    if (__builtin_expect(s->ring.last_ts >= s->refine_ts, 0)) {
        seq_refine_slow(d);
    }
}

/*
 * A key is there by an instant, and will expire, and a request depends on it. The board says so before the clock is asked by which that
 * is settled, and until the request's entries are committed: docs/design.md, *Time to live*, has the argument.
 */
static inline void seq_decide(struct tide *d, uint64_t since) {
    d->seq.deciding = since;
    /* MO(log.deciding): release, after the commits of earlier decisions; the fence behind it puts it before the clock. */
    atomic_store_explicit(&d->log->leader.deciding, since, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    clock_barrier();
}

/* What was decided is committed, or dropped. */
static inline void seq_decided(struct tide *d) {
    if (__builtin_expect(d->seq.deciding != 0, 0)) {
        d->seq.deciding = 0;
        /* MO(log.deciding): release; pairs with board_deciding(). */
        atomic_store_explicit(&d->log->leader.deciding, 0, memory_order_release);
    }
}

static inline void seq_count_group(struct tide *d) {
    atomic_store_explicit(&d->log->leader.groups, /* MO(stats) */
                          atomic_load_explicit(&d->log->leader.groups, memory_order_relaxed) + 1, memory_order_relaxed);
}

#endif
