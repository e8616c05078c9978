/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One repetition of one point: a domain of its own, filled, read for a while, taken down. */
#ifndef TIDE_BENCH_TRIAL_H
#define TIDE_BENCH_TRIAL_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/lib/machine.h"
#include "bench/lib/options.h"
#include "bench/lib/workload.h"
#include "engine/tidemark.h"
#include "shm/hdr.h"

#define BENCH_READ_SLICE_NS UINT64_C(200000000)
#define BENCH_WARM_NS UINT64_C(100000000)
#define BENCH_SAMPLE_EVERY_NS UINT64_C(50000000)

/* Percentiles of a replica's lag, and what results call them. */
enum { BENCH_LAG_P50, BENCH_LAG_P99, BENCH_LAG_P999, BENCH_LAGS };
extern const char *const bench_lags[BENCH_LAGS];

/* The state of one replica at the end of a repetition. */
struct bench_replica_lag {
    uint32_t id;
    enum tide_role role;
    enum tide_state state;
    uint64_t ns[BENCH_LAGS];
    uint64_t max_ns;
    uint64_t count;
    uint64_t lapped;
};

/* How far the followers were behind at one instant: the worst of them. */
struct bench_sample {
    double at_s; /* since the sweep began */
    uint32_t replicas;
    uint32_t repetition;
    uint64_t staleness_ns;
    uint64_t lag_entries;
};

struct bench_samples {
    struct bench_sample *items;
    size_t n;
    size_t room;
};

struct bench_trial {
    uint32_t replicas;
    uint32_t threads;
    uint32_t pinned; /* threads that the system let us pin */
    double start_s;  /* since the sweep began */
    double read_s;   /* time spent in read slices */
    double control_s;
    double clock_ns; /* cost of one tide_now() */
    uint64_t slices;
    uint64_t reads;
    uint64_t refused;
    uint64_t overdue;
    uint64_t writes;
    uint64_t control_ops;
    uint64_t reasons[TIDE_REASONS];
    uint32_t lags_n;
    struct bench_replica_lag lags[TIDE_REPLICAS];
    struct hdr *latency; /* owned: bench_trial_destroy() */
};

struct bench_trial_setup {
    const struct bench_options *options;
    const struct bench_machine *machine;
    struct bench_workload *workload;
    uint32_t replicas;
    uint32_t repetition;
    uint64_t sweep_start_ns; /* CLOCK_MONOTONIC */
    const char *domain_name;
    struct bench_samples *samples; /* appended to */
    const volatile sig_atomic_t *stop;
};

/*
 * Run it. 0: *out holds the figures. 1: *stop was set, nothing to be had. -1: failed, and `error` (BENCH_ERROR_BYTES)
 * says at what. In all cases no thread, process and segment is left. With --mode processes no domain
 * may be open in this process. Blocks for the repetition's length.
 */
int bench_trial_run(const struct bench_trial_setup *setup, struct bench_trial *out, char *error);

void bench_trial_destroy(struct bench_trial *t);

#endif
