/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Going through a view's nodes, whichever process runs it. */
#ifndef TIDE_REPLICA_VISIT_H
#define TIDE_REPLICA_VISIT_H

#include "engine/replica/foreign.h"

/*
 * Hand over the nodes of bucket `b` of `buckets` as of index `at` (UINT64_MAX: the newest), deleted ones left out. Inside a section. Of
 * another process's table these are checked copies, and as foreign_visit_bucket() says; what a split is moving out of the bucket may be
 * among them. 0, fn's result, or TIDE_ERR_CORRUPT / TIDE_ERR_NOMEM.
 */
int visit_bucket(const struct view *v, uint64_t b, uint64_t buckets, uint64_t at, struct foreign_scratch *scratch,
                 foreign_visit_fn *fn, void *ctx);

#endif
