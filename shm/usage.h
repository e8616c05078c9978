/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a table's budget is used for, by what its segment says: for tide_replica_info(), `tide stat` and `tide dump`. */
#ifndef TIDE_SHM_USAGE_H
#define TIDE_SHM_USAGE_H

#include <stdint.h>

#include "shm/layout.h"

/* The four add up to the budget. */
struct usage {
    uint64_t live;     /* keys and values of live keys */
    uint64_t free;     /* what puts may take yet */
    uint64_t waiting;  /* for a grace period */
    uint64_t overhead; /* buckets, headers and rounding of live nodes, what is kept for moving nodes */
};

static inline uint64_t usage_part(uint64_t *left, uint64_t wanted) {
    uint64_t part = wanted < *left ? wanted : *left;
    *left -= part;
    return part;
}

/* Whatever stands in the segment: no more than there is. */
static inline struct usage usage_of(const struct table_segment *seg, uint64_t budget_bytes) {
    uint64_t left = budget_bytes;
    struct usage u;
    u.live = usage_part(&left, atomic_load_explicit(&seg->live_bytes, memory_order_relaxed));       /* MO(stats) */
    u.waiting = usage_part(&left, atomic_load_explicit(&seg->retired_bytes, memory_order_relaxed)); /* MO(stats) */
    uint64_t sum = atomic_load_explicit(&seg->sum_bytes, memory_order_relaxed);                     /* MO(stats) */
    uint64_t limit = atomic_load_explicit(&seg->limit_bytes, memory_order_relaxed);                 /* MO(stats) */
    /* What waits is part of the sum no more, and cannot be had yet. */
    uint64_t room = sum < limit ? limit - sum : 0;
    u.free = usage_part(&left, room > u.waiting ? room - u.waiting : 0);
    u.overhead = left;
    return u;
}

#endif
