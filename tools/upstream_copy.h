/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A snapshot of the cluster, applied to the domain as a difference: what has the version that the domain has is left alone, what is gone is
 * deleted. A difference that fits into one group is seen whole or not at all. One thread.
 */
#ifndef TIDE_TOOLS_UPSTREAM_COPY_H
#define TIDE_TOOLS_UPSTREAM_COPY_H

#include "engine/tidemark.h"
#include "tools/etcd/client.h"

struct upstream_copy;

struct upstream_copy_counts {
    uint64_t keys, put, removed;
};

struct upstream_copy *upstream_copy_new(void); /* ends the process where there is no memory */
void upstream_copy_free(struct upstream_copy *c);

/* All three: 0, or an error of the engine. */
int upstream_copy_begin(struct upstream_copy *c, struct tide_feed *feed, uint64_t revision);
/* Or UPSTREAM_COPY_ANOTHER: the domain holds everything up to a revision, and not this key, which is older: it has another history. */
#define UPSTREAM_COPY_ANOTHER 1
int upstream_copy_keys(struct upstream_copy *c, const struct etcd_change *keys, size_t n);
int upstream_copy_end(struct upstream_copy *c, struct upstream_copy_counts *counts);
uint64_t upstream_copy_revision(const struct upstream_copy *c);

/* A change as the feed takes it. */
struct tide_feed_op upstream_op(const struct etcd_change *change);

#endif
