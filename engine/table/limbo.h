/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a table's writer may not touch yet because readers that came earlier still may: kept in order, released by one grace
 * period for many. An item that cannot be kept for want of memory is given up, never released early: its node is not
 * reused, its slot not cleared, and the table stays right.
 */
#ifndef TIDE_TABLE_LIMBO_H
#define TIDE_TABLE_LIMBO_H

#include "engine/table/grace.h"
#include "engine/table/table.h"

enum limbo_kind {
    LIMBO_FREE = 0,  /* a node that was replaced: free it. Above its 32 bits stands its class */
    LIMBO_TOMB = 1,  /* a deleted node: take it out of its bucket, free it one grace period later */
    LIMBO_CLEAR = 2, /* a bucket that was filled by a split: take what moved out of the one that it came from */
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

static inline void limbo_push_node(struct table_writer *w, uint32_t node, uint32_t class) {
    limbo_push(w, LIMBO_FREE, node | (uint64_t) class << 32, arena_class_bytes(class));
}

/* To be called after `applied` was published for everything done so far: starts and ends grace periods as they fall due. Mostly there
 * is nothing to do. */
void limbo_work(struct table_writer *w, size_t came);
static inline void table_published(struct table_writer *w) {
    size_t came = w->open.count - w->safe;
    w->safe = w->open.count;
    bool out = w->waiting.count != 0;
    if (out ? w->released_to != 0 || grace_done(w->waiting.ticket)
            : w->open.count >= w->batch || w->open.bytes > w->arena.slack / 4 || w->hurry) {
        limbo_work(w, came);
    }
}

/* In table.c: what becomes of released items. */
void table_clear_tomb(struct table_writer *w, uint32_t node);
void table_clear_split(struct table_writer *w, uint64_t bucket);

#endif
