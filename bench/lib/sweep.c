/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/team.h"

const char *const bench_lags[BENCH_LAGS] = { "p50", "p99", "p999" };
const double bench_percentiles[BENCH_PERCENTILES] = { 50.0, 90.0, 99.0, 99.9 };

double bench_fallback_ratio(const uint64_t reasons[TIDE_REASONS]) {
    double all = 0.0;
    for (unsigned i = 0; i < TIDE_REASONS; i++) {
        all += (double)reasons[i];
    }
    double kept = (double)reasons[TIDE_REASON_FRESH] + (double)reasons[TIDE_REASON_WITHIN_BOUND];
    return bench_ratio(all - kept, all);
}

static double reads_rate(const struct bench_trial *t) {
    return bench_ratio((double)t->reads, t->read_s);
}

static double control_rate(const struct bench_trial *t) {
    return bench_ratio((double)t->control_ops, t->control_s);
}

static double writes_rate(const struct bench_trial *t) {
    return bench_ratio((double)t->writes, t->read_s);
}

/* The value of one percentile of the follower that had the largest. */
static double worst_lag(const struct bench_trial *t, unsigned percentile) {
    uint64_t worst = 0;
    for (uint32_t i = 0; i < t->lags_n; i++) {
        uint64_t ns = t->lags[i].role == TIDE_FOLLOWER ? t->lags[i].ns[percentile] : 0;
        worst = ns > worst ? ns : worst;
    }
    return (double)worst;
}

static struct bench_spread over_trials(const struct bench_point *p, double (*figure)(const struct bench_trial *)) {
    double values[BENCH_REPETITIONS_MAX];
    for (uint32_t i = 0; i < p->done; i++) {
        values[i] = figure(&p->trials[i]);
    }
    return bench_spread_of(values, p->done);
}

/* Scaling is taken within one repetition and its median afterwards: what the machine does to a whole repetition cancels
 * out. */
static void summarize_scaling(struct bench_point *p, const struct bench_point *base) {
    double reads[BENCH_REPETITIONS_MAX];
    double control[BENCH_REPETITIONS_MAX];
    double against[BENCH_REPETITIONS_MAX];
    uint32_t n = p->done < base->done ? p->done : base->done;
    for (uint32_t i = 0; i < n; i++) {
        reads[i] = bench_ratio(reads_rate(&p->trials[i]), reads_rate(&base->trials[i]));
        control[i] = bench_ratio(control_rate(&p->trials[i]), control_rate(&base->trials[i]));
        against[i] = bench_ratio(reads[i], control[i]);
    }
    p->scaling = bench_spread_of(reads, n);
    p->control_scaling = bench_spread_of(control, n);
    p->against_control = bench_spread_of(against, n);
    p->ideal = (double)p->replicas / (double)base->replicas;
}

static int summarize_latency(struct bench_point *p) {
    hdr_free(p->latency);
    p->latency = hdr_new(1, BENCH_LATENCY_HIGHEST_NS, BENCH_LATENCY_DIGITS);
    if (p->latency == NULL) {
        return -1;
    }
    for (uint32_t i = 0; i < p->done; i++) {
        hdr_add(p->latency, p->trials[i].latency);
    }
    int64_t values[BENCH_PERCENTILES];
    hdr_values_at_percentiles(p->latency, bench_percentiles, values, BENCH_PERCENTILES);
    for (unsigned i = 0; i < BENCH_PERCENTILES; i++) {
        p->latency_ns[i] = (uint64_t)values[i];
    }
    p->latency_max_ns = (uint64_t)hdr_max(p->latency);
    return 0;
}

static void summarize_reasons(struct bench_point *p) {
    uint64_t sums[TIDE_REASONS] = { 0 };
    uint64_t overdue = 0;
    double all = 0.0;
    for (uint32_t i = 0; i < p->done; i++) {
        overdue += p->trials[i].overdue;
        for (unsigned r = 0; r < TIDE_REASONS; r++) {
            sums[r] += p->trials[i].reasons[r];
            all += (double)p->trials[i].reasons[r];
        }
    }
    for (unsigned r = 0; r < TIDE_REASONS; r++) {
        p->reason_share[r] = bench_ratio((double)sums[r], all);
    }
    p->fallback_ratio = bench_fallback_ratio(sums);
    p->overdue_share = bench_ratio((double)overdue, all + (double)overdue);
}

static void summarize_lag(struct bench_point *p) {
    p->lapped = 0;
    p->has_lag = 0;
    for (uint32_t i = 0; i < p->done; i++) {
        for (uint32_t k = 0; k < p->trials[i].lags_n; k++) {
            const struct bench_replica_lag *lag = &p->trials[i].lags[k];
            p->lapped += lag->lapped;
            p->has_lag |= lag->role == TIDE_FOLLOWER && lag->count > 0;
        }
    }
    for (unsigned k = 0; k < BENCH_LAGS; k++) {
        double values[BENCH_REPETITIONS_MAX];
        for (uint32_t i = 0; i < p->done; i++) {
            values[i] = worst_lag(&p->trials[i], k);
        }
        p->lag_ns[k] = bench_spread_of(values, p->done);
    }
}

int bench_sweep_summarize(struct bench_sweep *sweep) {
    for (uint32_t i = 0; i < sweep->points_n; i++) {
        struct bench_point *p = &sweep->points[i];
        p->threads = p->replicas * sweep->options->readers;
        p->oversubscribed = p->threads > sweep->machine->cpus;
        p->reads_per_s = over_trials(p, reads_rate);
        p->control_per_s = over_trials(p, control_rate);
        p->writes_per_s = over_trials(p, writes_rate);
        summarize_scaling(p, &sweep->points[0]);
        summarize_reasons(p);
        summarize_lag(p);
        if (summarize_latency(p) != 0) {
            return -1;
        }
    }
    return 0;
}

static int prepare(struct bench_sweep *sweep, const struct bench_options *options,
                   const struct bench_machine *machine) {
    memset(sweep, 0, sizeof(*sweep));
    sweep->options = options;
    sweep->machine = machine;
    sweep->start_unix_ms = bench_unix_ms();
    sweep->points_n = options->replicas.n;
    if (options->name != NULL) {
        snprintf(sweep->domain_name, sizeof(sweep->domain_name), "%s", options->name);
    } else {
        snprintf(sweep->domain_name, sizeof(sweep->domain_name), "readscale-%ld", (long)getpid());
    }
    for (uint32_t i = 0; i < options->replicas.n; i++) {
        sweep->points[i].replicas = (uint32_t)options->replicas.items[i];
        sweep->points[i].trials = calloc(options->repetitions, sizeof(struct bench_trial));
        if (sweep->points[i].trials == NULL) {
            return -1;
        }
    }
    return 0;
}

static int run_all(struct bench_sweep *sweep, struct bench_trial_setup *setup, bench_progress_fn *progress, void *ctx,
                   char *error) {
    const struct bench_options *o = sweep->options;
    uint32_t total = o->replicas.n * o->repetitions;
    for (uint32_t i = 0; i < total; i++) {
        struct bench_point *p = &sweep->points[i % o->replicas.n];
        setup->replicas = p->replicas;
        setup->repetition = i / o->replicas.n;
        progress(ctx, i, total, p->replicas, setup->repetition);
        int rc = bench_trial_run(setup, &p->trials[p->done], error);
        if (rc < 0) {
            return -1;
        }
        if (rc == 1) {
            sweep->interrupted = 1;
            break;
        }
        double clock_ns = p->trials[p->done].clock_ns;
        sweep->clock_ns = i == 0 || clock_ns < sweep->clock_ns ? clock_ns : sweep->clock_ns;
        p->done++;
    }
    progress(ctx, total, total, 0, 0);
    return 0;
}

int bench_sweep_run(struct bench_sweep *sweep, const struct bench_options *options, const struct bench_machine *machine,
                    const volatile sig_atomic_t *stop, bench_progress_fn *progress, void *ctx, char *error) {
    struct bench_workload workload;
    memset(&workload, 0, sizeof(workload));
    uint32_t most = (uint32_t)options->replicas.items[options->replicas.n - 1] * options->readers;
    if (prepare(sweep, options, machine) != 0 || bench_workload_init(&workload, options, most) != 0) {
        snprintf(error, BENCH_ERROR_BYTES, "no memory for %llu keys; give fewer", (unsigned long long)options->keys);
        return -1;
    }
    uint64_t start_ns = bench_now_ns();
    struct bench_trial_setup setup = {
        .options = options,
        .machine = machine,
        .workload = &workload,
        .sweep_start_ns = start_ns,
        .domain_name = sweep->domain_name,
        .samples = &sweep->samples,
        .stop = stop,
    };
    int rc = run_all(sweep, &setup, progress, ctx, error);
    bench_workload_destroy(&workload);
    sweep->took_s = (double)(bench_now_ns() - start_ns) / 1e9;
    if (rc == 0 && bench_sweep_summarize(sweep) != 0) {
        snprintf(error, BENCH_ERROR_BYTES, "no memory for the summary");
        rc = -1;
    }
    return rc;
}

void bench_sweep_destroy(struct bench_sweep *sweep) {
    for (uint32_t i = 0; i < sweep->points_n; i++) {
        struct bench_point *p = &sweep->points[i];
        for (uint32_t t = 0; p->trials != NULL && t < p->done; t++) {
            bench_trial_destroy(&p->trials[t]);
        }
        free(p->trials);
        hdr_free(p->latency);
    }
    free(sweep->samples.items);
    memset(sweep, 0, sizeof(*sweep));
}
