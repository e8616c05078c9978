/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pseudo-random numbers for workloads: fast, seeded, the same on every machine. Not for secrets. */
#ifndef TIDE_BENCH_RNG_H
#define TIDE_BENCH_RNG_H

#include <stdint.h>

/* A bijection of 64-bit words: different inputs give different outputs, so it makes distinct keys out of 0, 1, 2, ...
 * Source: the finalizer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014). */
static inline uint64_t bench_mix64(uint64_t x) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/* The 16 bytes of key number i: no two are alike. */
static inline void bench_key(uint64_t out[2], uint64_t i) {
    out[0] = bench_mix64(i);
    out[1] = UINT64_C(0x6b6b6b6b6b6b6b6b);
}

/* One stream of random words. Source: xorshift64* (Vigna, ACM TOMS 42, 2016). */
struct bench_rng {
    uint64_t state; /* never 0 */
};

static inline void bench_rng_init(struct bench_rng *r, uint64_t seed) {
    r->state = bench_mix64(seed);
    if (r->state == 0) {
        r->state = 1;
    }
}

static inline uint64_t bench_rng_next(struct bench_rng *r) {
    uint64_t x = r->state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    r->state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Uniform in 0 .. n-1, n > 0. The bias is below n / 2^64. */
static inline uint64_t bench_rng_below(struct bench_rng *r, uint64_t n) {
    return (uint64_t)(((unsigned __int128)bench_rng_next(r) * n) >> 64);
}

/* Uniform in [0, 1). */
static inline double bench_rng_unit(struct bench_rng *r) {
    return (double)(bench_rng_next(r) >> 11) * 0x1.0p-53;
}

#endif
