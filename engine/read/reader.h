/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A reader: who may use it, what its session has seen, which replica serves it. */
#ifndef TIDE_READ_READER_H
#define TIDE_READ_READER_H

#include "engine/replica/view.h"
#include "engine/table/rcu.h"
#include "engine/table/thread.h"

struct tide_reader {
    /* For the common case, so that it has little to look at: reader_here() of the owner while a get may try its home replica first
     * (sticky, no section open), reader_near() where that was another process's the last time, else READER_NOT_QUICK; and where a
     * fresh read of the home replica is counted. */
    uint64_t quick;
    unsigned long *rcu_word;
    _Atomic(struct view *) *home_slot;
    const struct log_segment *log;
    uint64_t hash_seed;
    _Atomic uint64_t *home_fresh;
    uint64_t owner; /* the thread: reader_self() */
    struct tide *domain;
    uint64_t fence; /* the session has read at or written this index */
    uint32_t home;
    uint32_t policy;
    uint64_t mask;          /* replicas that may be used */
    uint64_t avoid;         /* during one read: replicas that turned out to be stuck */
    uint64_t since;         /* and when it began to wait; 0: it has not */
    uint32_t pardons;       /* and how often all were tried again, since none was left */
    uint64_t section_epoch; /* another process's replica: see engine/replica/foreign.h */
    struct view *section;   /* of the open section, or NULL */
    uint64_t section_index;
    struct reader_slot *counts; /* in the segment, or `own` */
    struct reader_slot *own;
    uint32_t turn;                  /* round robin */
    struct tide_reader *next, **at; /* the owner's readers; or those that ended threads left */
    const struct table_node *found; /* within one get: engine/read/get.c */
};

/* The calling thread: no thread ever gets another one's number, so a reader that a thread left when it ended is nobody's. 0 while the
 * thread has opened none, which is no reader's owner. */
static inline uint64_t reader_self(void) {
    return thread_number;
}

/* The calling thread, quicker to be had, among those that live: a reader that is left behind is not quick any more. In a forked child
 * a new thread may have it of one that only the parent has; that reader's domain shows no replica there, and the owner is asked. */
static inline uint64_t reader_here(void) {
    return thread_here();
}

/* As reader_here(), for readers whose home replica is another process's. */
static inline uint64_t reader_near(void) {
    return thread_here() + 1;
}

#define READER_NOT_QUICK (UINT64_MAX - 1) /* neither of these, whatever the thread */

/* Is it the calling thread's? */
static inline bool reader_is_mine(const struct tide_reader *r) {
    return (r->quick | 1) == reader_near() || r->owner == reader_self();
}

static inline int reader_check(const struct tide_reader *r) {
    if (__builtin_expect(r == NULL || !reader_is_mine(r), 0)) {
        return r == NULL ? TIDE_ERR_INVALID : TIDE_ERR_THREAD;
    }
    return __builtin_expect(tide_forked(r->domain), 0) ? TIDE_ERR_FORKED : 0;
}

static inline bool reader_board_leads(const struct replica_board *b) {
    /* MO(replica.role): relaxed; for show: who leads is decided elsewhere. */
    return atomic_load_explicit(&b->role, memory_order_relaxed) == TIDE_LEADER;
}

static inline bool reader_leads(const struct view *v) {
    return reader_board_leads(v->board);
}

static inline void reader_count(struct tide_reader *r, uint32_t replica, uint32_t reason) {
    _Atomic uint64_t *c = &r->counts->counts[replica][reason];
    /* MO(stats): one writer, so no locked instruction is needed. */
    atomic_store_explicit(c, atomic_load_explicit(c, memory_order_relaxed) + 1, memory_order_relaxed);
}

/* What was decided for one read. */
struct verdict {
    struct view *replica; /* valid while the section is open */
    uint32_t id;
    bool leader;
    uint64_t index;  /* the read is at this index */
    uint64_t commit; /* as seen */
    uint64_t staleness_ns;
    uint64_t waited_ns;
    uint32_t reason;
    bool fence_missed; /* no candidate reached the fence */
    bool breach;
};

/*
 * Choose a replica for a read under `bound` and enter a section on it; may wait. On success (0) the section is open and the
 * caller calls rcu_exit(). On an error it is not; v says what could have been had.
 */
int reader_pick(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v);

/* After anything that reader.quick depends on has changed. By the owner. */
void reader_settle(struct tide_reader *r);

extern const struct tide_bound reader_default_bound;

#endif
