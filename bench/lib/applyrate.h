/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How fast a follower applies when it has enough to do: it is held back by its delay while the leader fills a large
 * ring, then let go, and the time until it has caught up is taken. A leader that writes as fast as it can would not do:
 * it is slower than the follower, or as fast, and the figure would be the leader's.
 */
#ifndef TIDE_BENCH_APPLYRATE_H
#define TIDE_BENCH_APPLYRATE_H

#include "bench/lib/program.h"

/* Entries a second: 10,000 keys of 16 bytes, values of 64, written by put (batch 1) or in batches of so many. The
 * follower has the second CPU. 0; 1: stopped; -1: p->error says why. */
int bench_applyrate(struct bench_program *p, uint32_t batch, double *per_s);

#endif
