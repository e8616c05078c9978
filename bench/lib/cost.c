/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/lib/cost_other.h"
#include "bench/lib/machine.h"

#define ROUNDS 16u
#define WARM_OPS 32768u

static const struct {
    const char *name;
    const char *title;
    enum bench_cost_row peer;
} descriptions[BENCH_COST_ROWS] = {
    [BENCH_COST_LOOP] = { "loop", "the loop alone", BENCH_COST_PLAIN_FIXED },
    [BENCH_COST_PLAIN_FIXED] = { "plain_fixed", "plain table, sizes compiled in", BENCH_COST_PLAIN_FIXED },
    [BENCH_COST_PLAIN_DENSE] = { "plain_dense", "the same, load up to 0.75", BENCH_COST_PLAIN_FIXED },
    [BENCH_COST_PLAIN] = { "plain", "plain table, any size", BENCH_COST_PLAIN_FIXED },
    [BENCH_COST_PLAIN_BATCH] = { "plain_batch", "plain table, 32 prefetched", BENCH_COST_PLAIN_BATCH },
    [BENCH_COST_GET] = { "get", "tide_get, bound 0", BENCH_COST_PLAIN_FIXED },
    [BENCH_COST_GET_BOUND] = { "get_bound", "tide_get, bound 200 ms", BENCH_COST_PLAIN_FIXED },
    [BENCH_COST_GET_BEHIND] = { "get_behind", "tide_get, bound 200 ms, behind", BENCH_COST_PLAIN_FIXED },
    [BENCH_COST_MGET] = { "mget", "tide_mget of 32, bound 0", BENCH_COST_PLAIN_BATCH },
    [BENCH_COST_GET_OTHER] = { "get_other", "tide_get from another process", BENCH_COST_GET },
};

const char *bench_cost_title(enum bench_cost_row row) {
    return descriptions[row].title;
}

const char *bench_cost_name(enum bench_cost_row row) {
    return descriptions[row].name;
}

enum bench_cost_row bench_cost_peer(enum bench_cost_row row) {
    return descriptions[row].peer;
}

struct cost_stage {
    struct bench_cost_ctx ctx;
    struct bench_workload workload;
    struct tide *domain;
    struct bench_cost_other *other;
    uint32_t ids[3]; /* leader, follower, follower with delay */
    uint64_t position[BENCH_COST_ROWS];
    uint64_t sum;
    enum bench_cost_row bad_row; /* in which ctx.bad first grew */
    const volatile sig_atomic_t *stop;
    char *error;
};

static int failed(struct cost_stage *s, const char *what, int code) {
    const char *hint = code == TIDE_ERR_NO_SPACE ? " (fewer --keys)" : "";
    snprintf(s->error, BENCH_ERROR_BYTES, "%llu keys, %s: %s%s", (unsigned long long)s->workload.keys, what,
             tide_strerror(code), hint);
    return -1;
}

static int open_domain(struct cost_stage *s, const struct bench_options *o) {
    char name[32];
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    opts.table_bytes = bench_workload_table_bytes(o);
    opts.expected_keys = o->keys;
    snprintf(name, sizeof(name), "getcost-%ld", (long)getpid());
    int rc = tide_open(&s->domain, name, &opts);
    if (rc != 0) {
        return failed(s, "creating the domain", rc);
    }
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    leader.role = TIDE_LEADER;
    rc = tide_replica_start(s->domain, &leader, &s->ids[0]);
    return rc != 0 ? failed(s, "starting the leader", rc) : 0;
}

/* Every key into both tables, with the same value. */
static int fill(struct cost_stage *s, struct tide_token *last) {
    const struct bench_workload *w = &s->workload;
    uint8_t value[BENCH_COST_VALUE];
    if (plain_create(&s->ctx.plain, w->keys, 0.5, BENCH_COST_KEY, BENCH_COST_VALUE) != 0 ||
        plain_create(&s->ctx.dense, w->keys, 0.75, BENCH_COST_KEY, BENCH_COST_VALUE) != 0) {
        return failed(s, "the plain table", TIDE_ERR_NOMEM);
    }
    for (uint64_t i = 0; i < w->keys; i++) {
        bench_workload_value(w, i, 0, value);
        const uint8_t *key = bench_workload_key(w, i);
        int rc = tide_put(s->domain, NULL, key, w->key_size, value, sizeof(value), last);
        if (rc == 0 && (plain_put(&s->ctx.plain, key, w->key_size, value, sizeof(value)) != 0 ||
                        plain_put(&s->ctx.dense, key, w->key_size, value, sizeof(value)) != 0)) {
            rc = TIDE_ERR_FULL;
        }
        if (rc != 0) {
            return failed(s, "filling", rc);
        }
    }
    return 0;
}

static int open_reader(struct cost_stage *s, uint64_t delay_ns, uint32_t *id, struct tide_reader **out) {
    struct tide_replica_opts follower = TIDE_REPLICA_OPTS_INIT;
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    follower.apply_delay_ns = delay_ns;
    int rc = tide_replica_start(s->domain, &follower, id);
    if (rc != 0) {
        return failed(s, "starting a follower", rc);
    }
    opts.home = (int32_t)*id;
    opts.replicas = UINT64_C(1) << *id;
    rc = tide_reader_open(s->domain, &opts, out);
    return rc != 0 ? failed(s, "opening a reader", rc) : 0;
}

static int open_readers(struct cost_stage *s, const struct tide_token *last) {
    /* Fallback ERROR: a read that the follower could not serve must show as one, not as a fast read of the leader. */
    s->ctx.zero =
        (struct tide_bound){ .size = sizeof(s->ctx.zero), .fallback = TIDE_FALLBACK_ERROR, .max_lag = TIDE_UNBOUNDED };
    s->ctx.bounded = s->ctx.zero;
    s->ctx.bounded.max_staleness_ns = BENCH_COST_BOUND_NS;
    if (open_reader(s, 0, &s->ids[1], &s->ctx.fresh) != 0 ||
        open_reader(s, BENCH_COST_DELAY_NS, &s->ids[2], &s->ctx.behind) != 0) {
        return -1;
    }
    int rc = tide_wait_applied(s->domain, last, 3, UINT64_C(30000000000));
    return rc != 0 ? failed(s, "waiting for the followers", rc) : 0;
}

/* Both tables must answer alike before their speed is compared. */
static int compare_answers(struct cost_stage *s) {
    const struct bench_workload *w = &s->workload;
    uint8_t ours[BENCH_COST_VALUE];
    uint8_t theirs[BENCH_COST_VALUE];
    for (uint64_t i = 0; i < w->keys; i++) {
        const uint8_t *key = bench_workload_key(w, i);
        int rc = tide_get(s->ctx.fresh, key, w->key_size, &s->ctx.zero, ours, sizeof(ours), NULL);
        if (rc != 0) {
            return failed(s, "reading back", rc);
        }
        if (plain_get_fixed(&s->ctx.plain, key, BENCH_COST_KEY, theirs, BENCH_COST_VALUE) < 0 ||
            memcmp(ours, theirs, sizeof(ours)) != 0) {
            return failed(s, "comparing the tables", TIDE_ERR_CORRUPT);
        }
        rc = tide_get(s->ctx.other, key, w->key_size, &s->ctx.zero, theirs, sizeof(theirs), NULL);
        if (rc != 0 || memcmp(ours, theirs, sizeof(ours)) != 0) {
            return failed(s, "reading back from the other process", rc != 0 ? rc : TIDE_ERR_CORRUPT);
        }
    }
    return 0;
}

/* One write that the delayed follower has not applied while the next slice runs, and that the other has. */
static int push_behind(struct cost_stage *s) {
    const struct bench_workload *w = &s->workload;
    uint8_t value[BENCH_COST_VALUE];
    struct tide_token token;
    bench_workload_value(w, 0, 0, value);
    int rc = tide_put(s->domain, NULL, bench_workload_key(w, 0), w->key_size, value, sizeof(value), &token);
    rc = rc != 0 ? rc : tide_wait_applied(s->domain, &token, 2, UINT64_C(10000000000));
    return rc != 0 ? failed(s, "writing", rc) : 0;
}

/* ns of one get in one slice of a row; the caches were warmed by the same row before the clock starts. */
static double time_slice(struct cost_stage *s, enum bench_cost_row row) {
    uint64_t n = s->workload.keys > 100000 ? 131072 : 262144;
    uint64_t *position = &s->position[row];
    uint64_t bad = s->ctx.bad;
    s->sum += bench_cost_loop(&s->ctx, row, *position, WARM_OPS);
    *position += WARM_OPS;
    uint64_t start = bench_now_ns();
    s->sum += bench_cost_loop(&s->ctx, row, *position, n);
    uint64_t took = bench_now_ns() - start;
    *position += n;
    s->bad_row = bad == 0 && s->ctx.bad != 0 ? row : s->bad_row;
    return (double)took / (double)n;
}

static int one_repetition(struct cost_stage *s, double out[BENCH_COST_ROWS]) {
    static double slices[BENCH_COST_ROWS][ROUNDS];
    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (*s->stop) {
            return 1;
        }
        for (int row = 0; row < BENCH_COST_ROWS; row++) {
            if (row == BENCH_COST_GET_BEHIND && push_behind(s) != 0) {
                return -1;
            }
            slices[row][round] = time_slice(s, (enum bench_cost_row)row);
        }
    }
    for (int row = 0; row < BENCH_COST_ROWS; row++) {
        out[row] = bench_spread_of(slices[row], ROUNDS).median;
    }
    return 0;
}

static void summarize(struct bench_cost *out, double (*ns)[BENCH_COST_ROWS], uint32_t repetitions) {
    double values[BENCH_REPETITIONS_MAX];
    for (int row = 0; row < BENCH_COST_ROWS; row++) {
        enum bench_cost_row peer = descriptions[row].peer;
        for (uint32_t i = 0; i < repetitions; i++) {
            values[i] = bench_ratio(ns[i][row], ns[i][peer]);
        }
        out->rows[row].to_plain = bench_spread_of(values, repetitions);
        for (uint32_t i = 0; i < repetitions; i++) {
            values[i] = ns[i][row];
        }
        out->rows[row].ns = bench_spread_of(values, repetitions);
    }
    double loop = out->rows[BENCH_COST_LOOP].ns.median;
    for (int row = 0; row < BENCH_COST_ROWS; row++) {
        double peer = out->rows[descriptions[row].peer].ns.median;
        out->rows[row].net_to_plain = bench_ratio(out->rows[row].ns.median - loop, peer - loop);
    }
}

static int measure(struct cost_stage *s, struct bench_cost *out, uint32_t repetitions,
                   bench_cost_progress_fn *progress) {
    double(*ns)[BENCH_COST_ROWS] = calloc(repetitions, sizeof(*ns));
    int rc = ns == NULL ? failed(s, "the figures", TIDE_ERR_NOMEM) : 0;
    for (uint32_t i = 0; rc == 0 && i < repetitions; i++) {
        progress(s->workload.keys, i, repetitions);
        rc = one_repetition(s, ns[i]);
    }
    progress(s->workload.keys, repetitions, repetitions);
    if (rc == 0 && !bench_cost_other_lives(s->other, s->error)) {
        rc = -1;
    }
    if (rc == 0 && s->ctx.bad != 0) {
        snprintf(s->error, BENCH_ERROR_BYTES,
                 "%llu keys: %llu reads were not served by the replica that was asked; first: %s",
                 (unsigned long long)s->workload.keys, (unsigned long long)s->ctx.bad, descriptions[s->bad_row].title);
        rc = -1;
    }
    if (rc == 0) {
        struct tide_read_counts counts = { .size = sizeof(counts) };
        tide_reader_counts(s->ctx.behind, &counts);
        double behind = (double)counts.by_reason[TIDE_REASON_WITHIN_BOUND];
        out->within_bound_share = bench_ratio(behind, behind + (double)counts.by_reason[TIDE_REASON_FRESH]);
        out->plain_load = (double)s->ctx.plain.used / (double)(s->ctx.plain.mask + 1);
        out->dense_load = (double)s->ctx.dense.used / (double)(s->ctx.dense.mask + 1);
        summarize(out, ns, repetitions);
    }
    free(ns);
    return rc;
}

int bench_cost_run(struct bench_cost *out, uint64_t keys, uint32_t repetitions, const struct bench_machine *machine,
                   const volatile sig_atomic_t *stop, bench_cost_progress_fn *progress, char *error) {
    struct bench_options o = { .keys = keys, .key_size = BENCH_COST_KEY, .value_size = BENCH_COST_VALUE, .seed = 1 };
    struct cost_stage s;
    struct tide_token last = { 0, 0 };
    memset(&s, 0, sizeof(s));
    memset(out, 0, sizeof(*out));
    out->keys = keys;
    s.stop = stop;
    s.error = error;
    s.ctx.workload = &s.workload;
    int rc = 0;
    if (bench_workload_init(&s.workload, &o, 1) != 0 || bench_workload_prepare(&s.workload, 1) != 0) {
        rc = failed(&s, "keys", TIDE_ERR_NOMEM);
    }
    char name[TIDE_NAME_MAX];
    snprintf(name, sizeof(name), "getcost-%ld-other", (long)getpid());
    s.other = rc != 0 ? NULL : bench_cost_other_start(&s.workload, name);
    if (rc == 0 && s.other == NULL) {
        rc = failed(&s, "starting the other process", TIDE_ERR_SYSTEM);
    }
    rc = rc != 0 ? rc : open_domain(&s, &o);
    rc = rc != 0 ? rc : fill(&s, &last);
    rc = rc != 0 ? rc : open_readers(&s, &last);
    rc = rc != 0 ? rc : bench_cost_other_open(s.other, &o, &s.ctx.other, stop, error);
    /* Not before: the followers' threads would have been started onto the same CPU. */
    bench_machine_pin(machine, machine->cpus - 1);
    rc = rc != 0 ? rc : compare_answers(&s);
    rc = rc != 0 ? rc : measure(&s, out, repetitions, progress);
    bench_machine_unpin(machine);
    if (s.ctx.fresh != NULL) {
        tide_reader_close(s.ctx.fresh);
    }
    if (s.ctx.behind != NULL) {
        tide_reader_close(s.ctx.behind);
    }
    bench_cost_other_end(s.other);
    if (s.domain != NULL) {
        tide_close(s.domain);
    }
    plain_destroy(&s.ctx.plain);
    plain_destroy(&s.ctx.dense);
    bench_workload_destroy(&s.workload);
    return rc;
}
