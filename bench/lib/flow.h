/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a table of 32 MiB holds when the sizes of values differ, and when they change while it is full. */
#ifndef TIDE_BENCH_FLOW_H
#define TIDE_BENCH_FLOW_H

#include "bench/lib/program.h"

/* All are shares of 1. Payload is what keys and values take. */
struct bench_flow {
    double mixed_lost;      /* of the budget, where values of 100 to 2,099 bytes fill a fresh table */
    double shifted_kept;    /* payload over a fresh table's: values of 100 to 499, then of 100 to 2,099, the oldest key
                               * deleted until the new one fits */
    double shifted_refused; /* of the later puts: refused although up to 1,000 of the oldest keys were deleted */
    double deleted_kept;    /* payload over a fresh table's: full of 64 bytes, all deleted, then filled with 1,000 */
    double overwrite_refused; /* of overwrites with the same size in a full table */
};

/* 0; 1: asked to end; -1: p->error says what failed. */
int bench_flow_measure(struct bench_program *p, struct bench_flow *out);

#endif
