/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a table's writer may not touch yet because readers that came earlier still may: kept in order, released by one grace
 * period for many. An item that cannot be kept for want of memory is given up, never released early: its node is not
 * reused, its slot not cleared, and the table stays right.
 */
#ifndef TIDE_TABLE_LIMBO_H
#define TIDE_TABLE_LIMBO_H

#include "engine/table/compact.h"
#include "engine/table/grace.h"
#include "engine/table/table.h"

enum limbo_kind {
    LIMBO_FREE = 0,   /* a node that was replaced: free it */
    LIMBO_TOMB = 1,   /* a deleted node: take it out of its bucket, free it one grace period later */
    LIMBO_CLEAR = 2,  /* a bucket that was filled by a split: take what moved out of the one that it came from */
    LIMBO_BUCKET = 3, /* an overflow bucket that was empty and is linked no more: use it again */
};

#define LIMBO_KIND_SHIFT 60

/* Room for one more in w->open; false: there is no memory. */
bool limbo_more_room(struct table_writer *w);

static inline void limbo_push(struct table_writer *w, enum limbo_kind kind, uint64_t what, uint64_t bytes) {
    struct limbo *l = &w->open;
    if (__builtin_expect(l->count == l->room, 0) && !limbo_more_room(w)) {
        return;
    }
    l->items[l->count++] = (uint64_t)kind << LIMBO_KIND_SHIFT | what;
    l->bytes += bytes;
}

static inline void limbo_push_node(struct table_writer *w, uint32_t node) {
    limbo_push(w, LIMBO_FREE, node, arena_extent(&w->arena, node).bytes);
}

/* Bytes wait that are worth a grace period: more where there is much that is free. */
static inline bool limbo_is_heavy(const struct table_writer *w) {
    const struct arena *a = &w->arena;
    return w->open.bytes > a->patience + ((uint64_t)a->free_pages << a->shift) / 8;
}

/* To be called after `applied` was published for everything done so far: starts and ends grace periods as they fall due. Mostly there
 * is nothing to do. */
void limbo_work(struct table_writer *w, size_t came);
static inline void table_published(struct table_writer *w) {
    size_t came = w->open.count - w->safe;
    w->safe = w->open.count;
    bool out = w->waiting.count != 0;
    if (out ? w->released_to != 0 || grace_done(w->waiting.ticket)
            : w->open.count >= w->batch || limbo_is_heavy(w) || w->hurry) {
        limbo_work(w, came);
    }
    compact_step(w);
}

/* In table.c: what becomes of released items. */
void table_clear_tomb(struct table_writer *w, uint32_t node);
void table_clear_split(struct table_writer *w, uint64_t bucket);
void table_free_bucket(struct table_writer *w, uint64_t off);

#endif
