/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Zipfian ranks: rank k of n is drawn with probability proportional to 1 / (k+1)^theta. */
#ifndef TIDE_BENCH_ZIPF_H
#define TIDE_BENCH_ZIPF_H

#include <stdint.h>

#include "bench/lib/rng.h"

struct bench_zipf {
    uint64_t n;
    double theta;
    double zeta_n; /* sum of 1 / i^theta, i = 1 .. n */
    double alpha;
    double eta;
    double second; /* below this, times zeta_n, rank 1 is drawn */
};

/*
 * n: ranks, at least 1. theta: skew, 0 < theta < 1 (0.99 is YCSB's).
 * Returns 0, or -1 when an argument is out of its range. Takes O(n): one pow() for each rank.
 * Source: Gray et al., "Quickly generating billion-record synthetic databases", SIGMOD 1994.
 */
int bench_zipf_init(struct bench_zipf *z, uint64_t n, double theta);

/* A rank, 0 .. n-1; 0 is the most frequent. Any thread with an rng of its own: z is only read. */
uint64_t bench_zipf_next(const struct bench_zipf *z, struct bench_rng *rng);

/* The probability of a rank by the definition (the generator approximates it for ranks over 1). */
double bench_zipf_probability(const struct bench_zipf *z, uint64_t rank);

#endif
