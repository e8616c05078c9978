/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* May this replica serve this read, and how stale is it? */
#ifndef TIDE_REPLICA_BOUND_H
#define TIDE_REPLICA_BOUND_H

#include "engine/replica/domain.h"

enum bound_miss { BOUND_MET = 0, BOUND_NOT_SERVING = 1, BOUND_FENCE = 2, BOUND_STALE = 3 };

struct bound_look {
    uint64_t index;
    uint64_t commit;
    uint64_t staleness_ns; /* 0: the index had reached `commit` */
    enum bound_miss miss;
};

/*
 * Look at a replica. The caller has a section open. commit is loaded before the watermarks: if the index reaches a
 * commit seen before it, the state is fresh, and no clock is read. Wait-free.
 */
struct bound_look bound_check(const struct tide *d, const struct replica_board *b, const struct tide_bound *bound,
                              uint64_t fence);

/* How stale the state at *index is, given that it is behind. Never less than the truth. Raises *index if the replica
 * has applied more meanwhile. */
uint64_t bound_staleness(const struct tide *d, const struct replica_board *b, uint64_t *index);

#endif
