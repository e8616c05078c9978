/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One replica: its segment, its table, and how an entry of the log becomes part of it. */
#ifndef TIDE_REPLICA_REPLICA_H
#define TIDE_REPLICA_REPLICA_H

#include "engine/replica/source.h"
#include "engine/replica/view.h"
#include "engine/table/kill.h"
#include "engine/table/limbo.h"
#include "shm/park.h"

/* Give the replica a fresh, empty table segment; view_show() lets readers in. Errors as tide_replica_start(). */
int replica_make_table(struct replica *r);
void replica_drop_table(struct replica *r);

/* The replica that has this view. This process runs it. */
static inline struct replica *replica_of(const struct view *v) {
    return (struct replica *)(uintptr_t)((const uint8_t *)v - offsetof(struct replica, view));
}

/*
 * Impossible bytes were found in the table of a replica that this process runs (struct table_own). Log it and serve
 * nothing more. Acts once; any thread, also inside a section. The replica's own thread then joins anew; a leader hands
 * over if it can.
 */
void replica_stop_serving(struct replica *r);

/* Write the board's words about this replica again if another process changed them. The applying thread calls it from
 * time to time. */
void replica_mend_board(struct replica *r);

/* After each entry: write a digest mark if one is due. */
static inline void replica_note_index(struct replica *r) {
    if (r->exact && r->applied % LAYOUT_DIGEST_EVERY == 0) {
        board_mark_digest(r->view.board, r->applied, r->writer.digest);
    }
}

/* Publish r->applied and r->pos: readers see everything up to that index. ts: see board_publish(). */
static inline void replica_advance(struct replica *r, uint64_t ts) {
    KILL_POINT("apply.unpublished");
    board_publish(r->view.board, r->applied, ts, r->pos);
    KILL_POINT("apply.undigested");
}

/* After a publication, first: digest and counts. */
static inline void replica_advanced_counts(struct replica *r) {
    board_put_digest(r->view.board, r->applied, r->writer.digest);
    atomic_store_explicit(&r->view.board->entries, /* MO(stats) */
                          atomic_load_explicit(&r->view.board->entries, memory_order_relaxed) + r->applied -
                              r->published,
                          memory_order_relaxed);
    r->published = r->applied;
    KILL_POINT("apply.published");
}

/* And last: who sleeps until it. */
static inline void replica_advanced_wake(struct replica *r) {
    /* MO(replica.waiters): relaxed; a waiter that this load misses looks again within a millisecond: shm/park.h. */
    if (__builtin_expect(atomic_load_explicit(&r->view.board->waiters, memory_order_relaxed) != 0, 0)) {
        park_rouse_announced(&r->view.board->waiters, &r->view.board->wake, INT32_MAX);
    }
}

/* Both, and grace periods. */
static inline void replica_advanced(struct replica *r) {
    replica_advanced_counts(r);
    table_published(&r->writer);
    replica_advanced_wake(r);
}

static inline void replica_publish(struct replica *r, uint64_t ts) {
    replica_advance(r, ts);
    if (__builtin_expect(r->domain->fed, 0)) {
        source_publish(r);
    }
    replica_advanced(r);
}

#endif
