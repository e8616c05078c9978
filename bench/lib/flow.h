/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a table of 32 MiB holds when the sizes of values differ, and when they change while it is full. */
#ifndef TIDE_BENCH_FLOW_H
#define TIDE_BENCH_FLOW_H

/* All are shares of 1. Payload is what keys and values take. */
enum bench_flow_share {
    BENCH_FLOW_LOST,      /* of the budget, where values of 100 to 2,099 bytes fill a fresh table */
    BENCH_FLOW_SHIFTED,   /* payload over a fresh table's: values of 100 to 499, then of 100 to 2,099, the oldest key
                           * deleted until the new one fits */
    BENCH_FLOW_DELETED,   /* payload over a fresh table's: full of 64 bytes, all deleted, then filled with 1,000 */
    BENCH_FLOW_REFUSED,   /* of the later puts: refused although up to 1,000 of the oldest keys were deleted */
    BENCH_FLOW_OVERWRITE, /* of overwrites with the same size in a full table: refused */
    BENCH_FLOWS
};

void bench_flow_measure(double out[BENCH_FLOWS]);

#endif
