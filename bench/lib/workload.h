/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys, values, and the order in which threads ask for them: all made before the clock starts. */
#ifndef TIDE_BENCH_WORKLOAD_H
#define TIDE_BENCH_WORKLOAD_H

#include <stdint.h>

#include "bench/lib/options.h"

struct bench_workload {
    uint64_t keys;
    uint32_t key_size;
    uint64_t value_size;
    uint8_t *key_bytes; /* key i at i * key_size */
    uint32_t threads;
    uint64_t steps;       /* of each sequence: a power of two, at least as many as keys where memory allows */
    uint32_t **sequences; /* of each thread: indexes of keys; NULL until asked for */
    enum bench_dist dist;
    double theta;
    uint64_t seed;
};

#define BENCH_STEPS_MIN (UINT64_C(1) << 20)
#define BENCH_STEPS_MAX (UINT64_C(1) << 24)

/* Distinct keys, all of one size. threads: how many sequences may be asked for. 0, or -1: no memory, or the keys cannot
 * differ in so few bytes. */
int bench_workload_init(struct bench_workload *w, const struct bench_options *o, uint32_t threads);
void bench_workload_destroy(struct bench_workload *w);

/* Make the sequences of threads 0 .. threads-1 where they are not there yet. Not while others read them. 0, or -1. */
int bench_workload_prepare(struct bench_workload *w, uint32_t threads);

static inline const uint8_t *bench_workload_key(const struct bench_workload *w, uint64_t i) {
    return w->key_bytes + i * w->key_size;
}

/* The value of key i in its version-th writing: value_size bytes that depend on both. */
void bench_workload_value(const struct bench_workload *w, uint64_t i, uint64_t version, uint8_t *out);

/* Bytes for one replica's table: twice what keys, values and headers need, and room for the rest. */
uint64_t bench_workload_table_bytes(const struct bench_options *o);

#endif
