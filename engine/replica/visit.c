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
    const struct visited node = visit_of_node(n, len);
    visit->scratch->total += NODE_HEADER_BYTES + node.payload_bytes;
    if (visit->scratch->total > visit->most) {
        return TIDE_ERR_CORRUPT; /* for example, buckets that are chained to one another */
    }
    return visit->fn(visit->ctx, &node);
}

int visit_bucket(const struct view *v, uint64_t b, uint64_t buckets, uint64_t at, struct foreign_scratch *scratch,
                 foreign_visit_fn *fn, void *ctx) {
    if (v->foreign) {
        return foreign_visit_bucket(v, b, at, scratch, fn, ctx);
    }
    struct visit visit = { fn, ctx, scratch, FOREIGN_TIMES * v->segment.size_bytes };
    return table_visit_bucket(&v->table, b, buckets, at, visit_node, &visit);
}
