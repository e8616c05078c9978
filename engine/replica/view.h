/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A replica as reads see it, whichever process runs it. Readers reach it through tide.views[] inside a section. */
#ifndef TIDE_REPLICA_VIEW_H
#define TIDE_REPLICA_VIEW_H

#include "engine/replica/domain.h"

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
