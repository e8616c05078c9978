/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One replica: its segment, its table, and how an entry of the log becomes part of it. */
#ifndef TIDE_REPLICA_REPLICA_H
#define TIDE_REPLICA_REPLICA_H

#include "engine/replica/view.h"
#include "engine/table/kill.h"
#include "engine/table/limbo.h"
#include "shm/park.h"

/* Give the replica a fresh, empty table segment; readers are let in by view_show(). Errors as tide_replica_start(). */
int replica_make_table(struct replica *r);
void replica_drop_table(struct replica *r);

/* Take a step into account: digest marks at their indexes. */
static inline void replica_note_index(struct replica *r) {
    if (r->exact && r->applied % LAYOUT_DIGEST_EVERY == 0) {
        board_mark_digest(r->view.board, r->applied, r->writer.digest);
    }
}

/* Publish r->applied and r->pos: readers see everything up to there. ts: see board_publish(). */
static inline void replica_advance(struct replica *r, uint64_t ts) {
    KILL_POINT("apply.unpublished");
    board_publish(r->view.board, r->applied, ts, r->pos);
    KILL_POINT("apply.undigested");
}

/* What is due after that. */
static inline void replica_advanced(struct replica *r) {
    board_put_digest(r->view.board, r->applied, r->writer.digest);
    atomic_store_explicit(&r->view.board->entries, /* MO(stats) */
                          atomic_load_explicit(&r->view.board->entries, memory_order_relaxed) + r->applied -
                              r->published,
                          memory_order_relaxed);
    r->published = r->applied;
    KILL_POINT("apply.published");
    table_published(&r->writer);
    /* MO(replica.waiters): relaxed; a waiter that this misses looks again within a millisecond: shm/park.h. */
    if (__builtin_expect(atomic_load_explicit(&r->view.board->waiters, memory_order_relaxed) != 0, 0)) {
        atomic_store(&r->view.board->waiters, 0);
        atomic_fetch_add(&r->view.board->wake, 1);
        park_wake(&r->view.board->wake, INT32_MAX);
    }
}

static inline void replica_publish(struct replica *r, uint64_t ts) {
    replica_advance(r, ts);
    replica_advanced(r);
}

#endif
