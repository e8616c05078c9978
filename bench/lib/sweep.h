/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All points and repetitions, and what they add up to. */
#ifndef TIDE_BENCH_SWEEP_H
#define TIDE_BENCH_SWEEP_H

#include "bench/lib/machine.h"
#include "bench/lib/options.h"
#include "bench/lib/stats.h"
#include "bench/lib/trial.h"

enum { BENCH_P50, BENCH_P90, BENCH_P99, BENCH_P999, BENCH_PERCENTILES };
extern const double bench_percentiles[BENCH_PERCENTILES];

/* One replica count. Spreads are over its complete repetitions. */
struct bench_point {
    uint32_t replicas;
    uint32_t threads;
    int oversubscribed; /* more reader threads than usable CPUs */
    uint32_t done;      /* repetitions that are complete */
    struct bench_trial *trials;
    struct bench_spread reads_per_s; /* served reads */
    struct bench_spread control_per_s;
    struct bench_spread scaling;         /* reads/s against the first point's in the same repetition */
    struct bench_spread control_scaling; /* the control loop's, likewise */
    struct bench_spread against_control; /* scaling / control_scaling of the same repetition */
    double ideal;                        /* replicas / the first point's replicas */
    struct bench_spread writes_per_s;
    struct hdr *latency; /* of all repetitions; owned */
    uint64_t latency_ns[BENCH_PERCENTILES];
    uint64_t latency_max_ns;
    double overdue_share; /* open loop: of all reads that were due */
    double reason_share[TIDE_REASONS];
    double fallback_ratio;
    int has_lag;                            /* there are followers, and they applied something */
    struct bench_spread lag_ns[BENCH_LAGS]; /* of the follower that was worst, over repetitions */
    uint64_t lapped;
};

struct bench_sweep {
    const struct bench_options *options;
    const struct bench_machine *machine;
    char domain_name[64];
    uint64_t start_unix_ms;
    double took_s;
    double clock_ns; /* what one tide_now() costs: contained in every latency, nothing is subtracted */
    int interrupted;
    struct bench_point points[BENCH_POINTS_MAX];
    uint32_t points_n;
    struct bench_samples samples;
};

/* Called before each repetition with what is about to run, and once with repetition == total at the end. */
typedef void bench_progress_fn(void *ctx, uint32_t done, uint32_t total, uint32_t replicas, uint32_t repetition);

/*
 * Run the sweep: repetition by repetition, all points in each, so that a change in the machine's speed affects all
 * points. Returns 0 (also when interrupted: then sweep->interrupted), or -1 with `error` filled. Free with
 * bench_sweep_destroy() in either case.
 */
int bench_sweep_run(struct bench_sweep *sweep, const struct bench_options *options, const struct bench_machine *machine,
                    const volatile sig_atomic_t *stop, bench_progress_fn *progress, void *ctx, char *error);
void bench_sweep_destroy(struct bench_sweep *sweep);

/* Compute every figure of the points from their trials. */
int bench_sweep_summarize(struct bench_sweep *sweep);

/* Share of reads that no replica could serve under the bound when they came: all but fresh and within_bound. */
double bench_fallback_ratio(const uint64_t reasons[TIDE_REASONS]);

#endif
