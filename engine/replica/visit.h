/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Visiting a view's nodes, whichever process runs the replica. */
#ifndef TIDE_REPLICA_VISIT_H
#define TIDE_REPLICA_VISIT_H

#include "engine/replica/foreign.h"

/* A node of this process's own table, whole while the section is open. */
static inline struct visited visit_of_node(const struct table_node *n, const struct table_lengths *len) {
    const uint8_t *key = table_node_key(n);
    /* MO(node.index): relaxed; the node was reached through MO(table.slot). */
    uint64_t index = atomic_load_explicit(&n->index, memory_order_relaxed);
    return (struct visited){
        .key = key,
        .value = key + len->key,
        .key_len = len->key,
        .value_len = len->value,
        .payload_bytes = len->key + len->value + len->extra,
        .index = index,
        .version = table_node_version(n, len, index),
        .expiry = table_node_expiry(n, len),
        .payload_crc = atomic_load_explicit(&n->crc, memory_order_relaxed), /* MO(node.fields) */
        .flags = atomic_load_explicit(&n->flags, memory_order_relaxed),     /* MO(node.fields) */
    };
}

/*
 * Hand over the live nodes of bucket `b` of `buckets` as of index `at` (UINT64_MAX: the newest). The caller has a
 * section open. Nodes of another process's table are checked copies, as foreign_visit_bucket() says, and may include
 * nodes that a split is moving out of the bucket. 0, fn's result, or TIDE_ERR_CORRUPT / TIDE_ERR_NOMEM.
 */
int visit_bucket(const struct view *v, uint64_t b, uint64_t buckets, uint64_t at, struct foreign_scratch *scratch,
                 foreign_visit_fn *fn, void *ctx);

#endif
