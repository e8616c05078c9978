/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast a follower applies when it has enough to do: it is held back by its delay while the leader fills a large
 * ring, then let go, and the time until it has caught up is taken. A leader that writes all the time is no
 * faster than the follower: the figure would be the leader's.
 */
#ifndef TIDE_BENCH_APPLYRATE_H
#define TIDE_BENCH_APPLYRATE_H

#include "bench/lib/program.h"

struct bench_applyrate;

/* A leader and a follower, which has the second CPU, with so many keys of 16 bytes, values of 64. Kept over all repetitions: filling takes
 * longer than measuring. */
struct bench_applyrate *bench_applyrate_start(uint64_t keys);

/* Entries a second, written by put (batch 1) or in batches of so many, at most 16. */
double bench_applyrate(struct bench_applyrate *s, uint32_t batch);

void bench_applyrate_end(struct bench_applyrate *s);

/* The budget of each of its two tables. */
uint64_t bench_applyrate_table_bytes(uint64_t keys);

#endif
