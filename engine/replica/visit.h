/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Visiting a view's nodes, whichever process runs the replica. */
#ifndef TIDE_REPLICA_VISIT_H
#define TIDE_REPLICA_VISIT_H

#include "engine/replica/foreign.h"

/*
 * Hand over the live nodes of bucket `b` of `buckets` as of index `at` (UINT64_MAX: the newest). The caller has a
 * section open. Nodes of another process's table are checked copies, as foreign_visit_bucket() says, and may include
 * nodes that a split is moving out of the bucket. 0, fn's result, or TIDE_ERR_CORRUPT / TIDE_ERR_NOMEM.
 */
int visit_bucket(const struct view *v, uint64_t b, uint64_t buckets, uint64_t at, struct foreign_scratch *scratch,
                 foreign_visit_fn *fn, void *ctx);

#endif
