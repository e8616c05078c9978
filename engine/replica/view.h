/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A replica as reads see it, whichever process runs it. Readers reach it through tide.views[] inside a section. */
#ifndef TIDE_REPLICA_VIEW_H
#define TIDE_REPLICA_VIEW_H

#include "engine/replica/domain.h"
#include "shm/clock.h"

/*
 * The instant that a read decides by whether a version has expired. The clock is asked when the first version with an expiry is met.
 * A read that looks again keeps its instant; then its index is of a later moment than that. What expires between the two may be there or not.
 */
struct instant {
    const struct clock_line *clock;
    uint64_t now;    /* 0: not asked yet */
    uint64_t until;  /* early: after the read's index was loaded; 0: not asked yet */
    uint64_t latest; /* the latest expiry of all that was found expired */
    uint64_t
        doubt; /* what expired after this may be there: the leader has been deciding since, and is not waited for; 0: none */
    bool early;   /* it was asked before the read's index was loaded */
    bool hid;     /* something was found expired by it */
    bool unclear; /* something expired between `now` and `until` */
    bool lacking; /* of several keys, not all were found */
};

static inline uint64_t instant_now(struct instant *i) {
    if (i->now == 0) {
        i->now = clock_now(i->clock);
    }
    return i->now;
}

/* Has a version with this expiry (NEVER_EXPIRES: none) expired? */
static inline bool instant_expired(struct instant *i, uint64_t expiry) {
    if (__builtin_expect(expiry == NEVER_EXPIRES, 1)) {
        return false;
    }
    if (visible_expired(expiry, instant_now(i))) {
        i->hid = true;
        i->latest = expiry > i->latest ? expiry : i->latest;
        return true;
    }
    if (__builtin_expect(i->early, 0)) {
        i->until = i->until != 0 ? i->until : clock_now(i->clock);
        i->unclear |= visible_expired(expiry, i->until);
    }
    return false;
}

/* The read has another index now, and finds everything anew. */
static inline void instant_renew(struct instant *i) {
    i->now = i->early ? i->now : 0;
    i->until = i->latest = 0;
    i->hid = i->unclear = i->lacking = false;
}

/* What is left of the life of a version that has not expired. */
static inline uint64_t instant_left(const struct instant *i, uint64_t expiry) {
    return expiry == NEVER_EXPIRES ? TIDE_TTL_NONE : expiry - i->now;
}

/* A value that a read found. All 0 where it found none. */
struct found {
    uint64_t size;
    uint64_t version;
    uint64_t expiry; /* NEVER_EXPIRES: it does not expire */
};

/* Inside a section: the view of slot `id`, or NULL. */
static inline struct view *view_at(const struct tide *d, uint32_t id) {
    /* MO(domain.replica): acquire; pairs with view_show(). */
    return atomic_load_explicit(&d->views[id], memory_order_acquire);
}

/* Is this still the table of its slot? Always true for a replica of this process, as long as readers reach it. */
static inline bool view_is_current(const struct view *v) {
    /* MO(replica.segment): acquire; pairs with the store in replica_make_table(). */
    return !v->foreign || atomic_load_explicit(&v->board->segment_id, memory_order_acquire) == v->segment_id;
}

/* Is this a table of this process that was found damaged? Another process's tells by its readers' validation. */
static inline bool view_is_damaged(const struct view *v) {
    return !v->foreign && table_is_damaged(&v->table);
}

/* view_at(), but NULL where the view shows an old table. */
static inline struct view *view_current(const struct tide *d, uint32_t id) {
    struct view *v = view_at(d, id);
    return v != NULL && view_is_current(v) ? v : NULL;
}

/* The most buckets that fit into the segment, and that 32 bits can number. */
static inline uint64_t view_buckets_most(const struct view *v) {
    uint64_t most = (v->segment.size_bytes - v->table.buckets_off) / sizeof(struct table_bucket);
    return most < UINT64_C(1) << 32 ? most : UINT64_C(1) << 32;
}

/* view_show() lets readers in. view_hide() keeps new ones out and waits until the last has left. */
void view_show(struct tide *d, struct view *v);
void view_hide(struct tide *d, struct view *v);

#endif
