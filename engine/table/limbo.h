/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Things that the table's writer may not reuse yet, because earlier readers may still read them. They are kept in
 * order, and one grace period releases many. An item that cannot be kept for want of memory is given up, never released
 * early: its node is not reused, its slot not cleared, and the table stays right.
 */
#ifndef TIDE_TABLE_LIMBO_H
#define TIDE_TABLE_LIMBO_H

#include "engine/table/compact.h"
#include "engine/table/grace.h"
#include "engine/table/kill.h"
#include "engine/table/table.h"

enum limbo_kind {
    LIMBO_FREE = 0,   /* a replaced node: free it */
    LIMBO_TOMB = 1,   /* a deleted node, and where it was: take it out of its bucket, free it one grace period later */
    LIMBO_CLEAR = 2,  /* a bucket that a split filled: clear the moved keys out of the bucket that they came from */
    LIMBO_BUCKET = 3, /* an overflow bucket that was unlinked when it was empty: use it again */
};

#define LIMBO_KIND_SHIFT 60

/* A tombstone's item says where its node was: the slot, and the bucket as far as there is room. A slot that leads to the node is its slot, so a
 * hint that is out of date misleads nobody. */
#define LIMBO_SLOT_SHIFT 32
#define LIMBO_BUCKET_SHIFT 36
#define LIMBO_BUCKETS (UINT64_C(1) << (LIMBO_KIND_SHIFT - LIMBO_BUCKET_SHIFT))

/* How many slots an item gives back, about: a split moves half of a bucket's keys. */
static inline uint64_t limbo_due(enum limbo_kind kind) {
    return kind == LIMBO_FREE ? 0 : kind == LIMBO_CLEAR ? 4 : 1;
}

/* Make room for one more item in w->open; false: no memory. */
bool limbo_more_room(struct table_writer *w);

static inline void limbo_push(struct table_writer *w, enum limbo_kind kind, uint64_t what, uint64_t bytes) {
    struct limbo *l = &w->open;
    if (__builtin_expect(l->count == l->room, 0) && !limbo_more_room(w)) {
        return;
    }
    l->items[l->count++] = (uint64_t)kind << LIMBO_KIND_SHIFT | what;
    l->bytes += bytes;
    w->due += limbo_due(kind);
}

static inline void limbo_push_node(struct table_writer *w, uint32_t node) {
    limbo_push(w, LIMBO_FREE, node, arena_extent(&w->arena, node).bytes);
}

/* More waiting bytes are worth a grace period. The more memory is free, the more may wait. */
static inline uint64_t limbo_heavy(const struct arena *a) {
    return a->patience + ((uint64_t)a->free_pages << a->shift) / 8;
}

static inline bool limbo_is_heavy(const struct table_writer *w) {
    return w->open.bytes > limbo_heavy(&w->arena);
}

/* Would a grace period be worth while for what is open? */
static inline bool limbo_presses(const struct table_writer *w) {
    return w->open.count >= w->batch || w->hurry || limbo_is_heavy(w);
}

#define LIMBO_STEP                                                                                                     \
    8u /* single puts release so many items at a time, one for each that came: then what is freed is taken next */

/*
 * The next item whose grace period has ended, if it is a node of this class: for a new version, at once. So most nodes go from one version
 * to the next without a way through the arena. 0: take one from there. The last items are left to limbo_work().
 */
#define LIMBO_REUSE_AHEAD 4u
static inline uint32_t limbo_reuse(struct table_writer *w, uint32_t class) {
    const struct limbo *l = &w->waiting;
    size_t at = w->released_to; /* 0: the grace period may not be over */
    if (__builtin_expect(at == 0 || at + LIMBO_REUSE_AHEAD >= l->count, 0)) {
        return 0;
    }
    uint64_t node = l->items[at]; /* LIMBO_FREE is 0 */
    if (__builtin_expect(!arena_is_given(&w->arena, node, class), 0)) {
        return 0;
    }
    arena_ask(&w->arena, (uint32_t)l->items[at + LIMBO_REUSE_AHEAD], w->arena.class[class].bytes);
    w->released_to = at + 1;
    w->reused++;
    return (uint32_t)node;
}

/* A node of limbo_reuse() is not needed: the next call takes it. */
static inline void limbo_give_back(struct table_writer *w) {
    w->released_to--;
    w->reused--;
}

/* Call it after `applied` was published for everything done so far. It starts and ends grace periods as they fall due;
 * mostly there is nothing to do. */
void limbo_work(struct table_writer *w, size_t came);

/* Items that came since the last publication. */
static inline size_t limbo_came(struct table_writer *w) {
    size_t came = w->open.count - w->safe;
    w->safe = w->open.count;
    return came;
}

static inline void table_published(struct table_writer *w) {
    size_t came = limbo_came(w);
    if (__builtin_expect(came != 1 || w->open.count % LIMBO_STEP == 0 || w->open.bytes > w->heavy, 0)) {
        limbo_work(w, came);
    }
    compact_step(w);
}

/* In table.c: what is done with released items. */
void table_clear_tomb(struct table_writer *w, uint64_t tomb);
void table_clear_split(struct table_writer *w, uint64_t bucket);

#endif
