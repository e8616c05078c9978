/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/visit.h"

struct visit {
    foreign_visit_fn *fn;
    void *ctx;
    struct foreign_scratch *scratch;
    uint64_t most;
};

/* Hand over a node of this process's own table. It stays whole while the section is open, so it is not copied. */
static int visit_node(void *ctx, const struct table_node *n, const struct table_lengths *len, uint64_t hash) {
    (void)hash;
    struct visit *visit = ctx;
    /* MO(node.fields), MO(node.index): relaxed; the node was reached through MO(table.slot). */
    uint32_t crc = atomic_load_explicit(&n->crc, memory_order_relaxed);
    uint64_t index = atomic_load_explicit(&n->index, memory_order_relaxed); /* MO(node.index) */
    const uint8_t *key = table_node_key(n);
    visit->scratch->total += NODE_HEADER_BYTES + len->key + len->value;
    if (visit->scratch->total > visit->most) {
        return TIDE_ERR_CORRUPT; /* for example, buckets that are chained to one another */
    }
    return visit->fn(visit->ctx, key, len->key, key + len->key, len->value, index, crc);
}

int visit_bucket(const struct view *v, uint64_t b, uint64_t buckets, uint64_t at, struct foreign_scratch *scratch,
                 foreign_visit_fn *fn, void *ctx) {
    if (v->foreign) {
        return foreign_visit_bucket(v, b, at, scratch, fn, ctx);
    }
    struct visit visit = { fn, ctx, scratch, FOREIGN_TIMES * v->segment.size_bytes };
    return table_visit_bucket(&v->table, b, buckets, at, visit_node, &visit);
}
