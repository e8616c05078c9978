/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What plain caches of so many objects miss of a trace: LRU, SIEVE and S3-FIFO as their authors describe them, in one
 * thread and with one object of size 1 for each key.
 *
 * Sources: Zhang and others, "SIEVE is simpler than LRU", NSDI 2024; Yang and others, "FIFO queues are all you need for
 * cache eviction", SOSP 2023.
 */
#ifndef TIDE_BENCH_CACHESIM_H
#define TIDE_BENCH_CACHESIM_H

#include "bench/lib/trace.h"

enum bench_cachesim { BENCH_SIM_LRU, BENCH_SIM_SIEVE, BENCH_SIM_S3FIFO, BENCH_SIMS };

/* Share of requests that miss. objects: at least 1. */
double bench_cachesim(enum bench_cachesim which, const struct bench_trace *t, uint64_t objects);

#endif
