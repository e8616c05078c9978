/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the reads of `tide node` share: reading a bound from a request, and telling in the answer how it was kept. */
#ifndef TIDE_NODE_BOUND_H
#define TIDE_NODE_BOUND_H

#include "tools/node/node.h"

#define MAX_STALENESS_MISSING_NS (5000ull * 1000000)

/* max_staleness_ms, max_lag, fallback, wait_ms. 0, or -1 when error 12 has been answered. */
int read_bound(struct node *n, const struct request *q, uint64_t default_wait_ns, struct tide_bound *b);

/* last_write_index into b->min, and prefer_follower. 0, or -1 when error 12 has been answered. */
int read_fence(struct node *n, const struct request *q, struct tide_bound *b, int *prefer_follower);

/* Linearizable read of n->key at the leader, into n->value. 0, or -1 when an error has been answered. */
int read_leader(struct node *n, const struct request *q, struct tide_answer *a);

/* With --missing error: answers error 20 for a key that is not there and returns -1. */
int refuse_missing(struct node *n, const struct request *q, int found);

/* The error answer of a read under a bound that failed. */
void refuse_bounded_read(struct node *n, const struct request *q, int error, const struct tide_bound *bound,
                         const struct tide_answer *a);

/* For status: every read by its reason; the bounded ones are those that a follower was asked for. */
void count_read(struct node *n, enum tide_reason reason);
void count_bounded_read(struct node *n, enum tide_reason reason);

/* A replica's name as JSON text; null for one that is none of this node's. */
const char *node_id_of(const struct node *n, uint32_t replica, size_t *size);

void reply_served_by(struct node *n, uint32_t replica);
void reply_reason(struct node *n, enum tide_reason reason);
/* actual_staleness_ms, served_by, linearizable, and where they tell something stale and reason. */
void reply_freshness(struct node *n, const struct tide_answer *a, int linearizable);
/* leader_commit_index and fence_ahead, where the fence is beyond it. */
void reply_fence_ahead(struct node *n, uint64_t fence, uint64_t commit_index);

#endif
