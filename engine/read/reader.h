/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A reader: its owner, its session's fence, its home replica. */
#ifndef TIDE_READ_READER_H
#define TIDE_READ_READER_H

#include "engine/replica/view.h"
#include "engine/table/rcu.h"
#include "engine/table/thread.h"

#define READER_LEASE_WORDS (LAYOUT_LEASE_SETS * LAYOUT_LEASE_WAYS / 64)

struct tide_reader {
    /* For the short ways. quick: reader_here() of the owner while a get may try its home replica first (sticky, no
     * section open); reader_near() if that was another process's the last time; reader_fed() in a fed domain; else
     * READER_NOT_QUICK. home_count: where reads that the home replica served are counted, with the reason that a short
     * way has. */
    uint64_t quick;
    unsigned long *rcu_word;
    _Atomic(struct view *) *home_slot;
    const struct log_segment *log;
    uint64_t hash_seed;
    _Atomic uint64_t *home_count;
    uint64_t owner; /* reader_self() of its thread */
    struct tide *domain;
    uint64_t fence;    /* the highest index that the session has read at or written */
    uint64_t revision; /* a fed domain: the highest that the session must see */
    uint64_t question; /* during one read of a fed domain: what was asked of the source; 0: nothing yet */
    uint64_t hinted_until,
        hinted_ns; /* a fed domain: until then its feed knows that bounds of hinted_ns and more are in use */
    uint32_t home;
    uint32_t policy;
    uint64_t mask;          /* bit k: replica k may be used */
    uint64_t avoid;         /* during one read, bit k: replica k was stuck */
    uint64_t since;         /* during one read: when it began to wait; 0: it has not */
    uint32_t pardons;       /* during one read: how often all were tried again because none was left */
    uint64_t section_epoch; /* for another process's replica: engine/replica/foreign.h */
    struct view *section;   /* the open section's view, or NULL */
    uint64_t section_index;
    struct instant section_when;
    struct reader_slot *counts; /* in the segment, or `own` */
    struct reader_slot *own;
    const struct tide_bound *bound;      /* within one get that began in engine/read/get.c */
    uint32_t turn;                       /* round robin */
    struct tide_reader *next, **at;      /* list of the owner's readers, or of those that ended threads left */
    const struct table_node *found;      /* used within one get: engine/read/get.c */
    uint64_t leases[READER_LEASE_WORDS]; /* bit k: this reader holds the lease in slot k: engine/make/hold.h */
    struct reader_slot *noted;           /* a domain that evicts: where this reader notes what it finds; else NULL */
};

/* The calling thread's number. No two threads ever have the same number, so a reader that an ended thread left belongs
 * to nobody. 0, which owns no reader, until the thread has opened one. */
static inline uint64_t reader_self(void) {
    return thread_number;
}

/* The calling thread among those that live, in one instruction. A reader that its thread leaves behind is not quick any more.
 * In a forked child, a new thread may have the value of a thread that only the parent has: such a domain shows no
 * replica, so the read comes to the check that answers TIDE_ERR_FORKED. */
static inline uint64_t reader_here(void) {
    return thread_here();
}

/* The second value of reader.quick: this thread's, and the home replica was another process's. */
static inline uint64_t reader_near(void) {
    return thread_here() + 1;
}

/* The third: this thread's, and the domain is fed. */
static inline uint64_t reader_fed(void) {
    return thread_here() + 2;
}

#define READER_FED 0x100u /* added to `policy`: of the short ways, only a fed domain's is taken */

#define READER_NOT_QUICK (UINT64_MAX - 1) /* equals none of these in any thread */

/* Is it the calling thread's? For reads and writes, which notice a fork later; reader_check() for all else. */
static inline bool reader_is_mine(const struct tide_reader *r) {
    return (r->quick | 3) == thread_here() + 3 || r->owner == reader_self();
}

static inline int reader_check(const struct tide_reader *r) {
    if (__builtin_expect(r == NULL || r->owner != reader_self(), 0)) {
        return r == NULL ? TIDE_ERR_INVALID : TIDE_ERR_THREAD;
    }
    return __builtin_expect(tide_forked(r->domain), 0) ? TIDE_ERR_FORKED : 0;
}

static inline bool reader_board_leads(const struct replica_board *b) {
    /* MO(replica.role): relaxed; information only: the leader's lock decides who leads. */
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

/* A key was found: where the domain evicts, the leader hears of it now and then (engine/table/evict.h). Nobody else writes to those lines. */
static inline void reader_touch(struct tide_reader *r, uint64_t hash) {
    if (__builtin_expect(r->noted != NULL, 0)) {
        struct reader_slot *noted = r->noted;
        /* MO(reader.touches): the hash (relaxed) before its number (release); relaxed load: the reader's own word. */
        uint32_t n = atomic_load_explicit(&noted->touches, memory_order_relaxed);
        atomic_store_explicit(&noted->touched[n % LAYOUT_TOUCHES], hash, memory_order_relaxed);
        atomic_store_explicit(&noted->touches, n + 1, memory_order_release); /* MO(reader.touches) */
    }
}

/* MO(stats): one writer, as above. */
static inline void reader_bump(_Atomic uint64_t *word, uint64_t n) {
    atomic_store_explicit(word, atomic_load_explicit(word, memory_order_relaxed) + n, memory_order_relaxed);
}

/* A key that was looked up and is not there. */
static inline void reader_count_miss(struct tide_reader *r) {
    reader_bump(&r->counts->misses, 1);
}

/* A key was looked up within a section, whose begin was counted as a read of no key. */
static inline void reader_count_in_section(struct tide_reader *r, int result) {
    if (result == 0 || result == TIDE_ERR_BUFFER || result == TIDE_ERR_NOT_FOUND) {
        reader_bump(&r->counts->extra, 1);
        if (result == TIDE_ERR_NOT_FOUND) {
            reader_count_miss(r);
        }
    }
}

/* A read was counted that looked up `keys` keys and not one. */
static inline void reader_count_keys(struct tide_reader *r, uint64_t keys) {
    reader_bump(&r->counts->extra, keys - 1);
}

/* The decision for one read. */
struct verdict {
    struct view *replica; /* valid while the section is open */
    uint32_t id;
    bool leader;
    uint64_t index;  /* the index that is read at */
    uint64_t commit; /* as loaded by this read */
    uint64_t staleness_ns;
    uint64_t waited_ns;
    uint32_t reason;
    bool fence_missed; /* no candidate reached the fence */
    bool breach;
};

/*
 * Choose a replica for a read under `bound` and enter a section; may wait. 0: the section is open, and the caller calls
 * rcu_exit(). Error: no section is open; *v says what could have been had.
 */
int reader_pick(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v);

/* Set reader.quick anew. The owner calls it after anything that `quick` depends on has changed. */
void reader_settle(struct tide_reader *r);

extern const struct tide_bound reader_default_bound;

#endif
