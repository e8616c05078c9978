/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does the log carry, and how fast is it applied? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/applyrate.h"
#include "bench/lib/child.h"
#include "bench/lib/granted.h"
#include "bench/lib/plainring.h"
#include "bench/lib/program.h"
#include "bench/lib/rawlog.h"
#include "bench/lib/worker.h"

#define RING_BYTES (UINT64_C(16) << 20) /* the engine's default */
#define SLICE_NS UINT64_C(40000000)
#define FOLLOWERS_MAX 2u

static const uint32_t value_sizes[] = { 8, 64, 256 };
static const uint32_t groups[] = { 1, 16, 64 };
#define SIZES 3
#define GROUPS 3

/* What the log is held against: messages of a line, and of as many bytes as an entry with a value of 64. */
static const struct {
    const char *id, *title;
    uint32_t message_bytes, group;
} plains[] = {
    { "ring.plain.g1", "plain ring, 64-byte messages, one by one", 64, 1 },
    { "ring.plain.g16", "the same, published for 16", 64, 16 },
    { "ring.plain128.g1", "plain ring, 128-byte messages, one by one", 128, 1 },
    { "ring.plain128.g16", "the same, published for 16", 128, 16 },
};
#define PLAINS 4

struct plan {
    uint32_t rows[2][FOLLOWERS_MAX][SIZES][GROUPS]; /* [processes][followers - 1] */
    uint32_t plain[PLAINS];                         /* the plain ring */
    uint32_t granted[FOLLOWERS_MAX];                /* control loop: what so many threads get of so many CPUs */
    uint32_t apply[2];
    struct bench_applyrate *applyrate;
};

static void add_log_rows(struct bench_program *p, struct plan *plan) {
    char id[64], group[96], title[96];
    for (uint32_t mode = 0; mode < 2; mode++) {
        for (uint32_t f = 0; f < FOLLOWERS_MAX; f++) {
            for (uint32_t s = 0; s < SIZES; s++) {
                snprintf(group, sizeof(group), "the log alone, entries/s: %u follower%s in %s, values of %u B%s", f + 1,
                         f == 0 ? "" : "s", mode == 0 ? "threads" : "processes", value_sizes[s],
                         bench_program_mark(p, f + 2));
                for (uint32_t g = 0; g < GROUPS; g++) {
                    snprintf(id, sizeof(id), "ring.%s.f%u.v%u.g%u", mode == 0 ? "threads" : "processes", f + 1,
                             value_sizes[s], groups[g]);
                    snprintf(title, sizeof(title), groups[g] == 1 ? "one by one" : "groups of %u", groups[g]);
                    plan->rows[mode][f][s][g] = bench_program_row(p, id, group, title, "1/s");
                }
            }
        }
    }
}

static void add_rows(struct bench_program *p, struct plan *plan) {
    static const char *const control = "control, beside it in the same run";
    static const char *const apply = "apply: a follower with its table, 10 k keys, values of 64 B";
    char id[64], title[96];
    add_log_rows(p, plan);
    for (uint32_t i = 0; i < PLAINS; i++) {
        plan->plain[i] = bench_program_row(p, plains[i].id, control, plains[i].title, "1/s");
    }
    for (uint32_t f = 0; f < FOLLOWERS_MAX; f++) {
        snprintf(id, sizeof(id), "ring.control.t%u", f + 2);
        snprintf(title, sizeof(title), "arithmetic: %u threads over one", f + 2);
        plan->granted[f] = bench_program_row(p, id, control, title, "x");
    }
    plan->apply[0] = bench_program_row(p, "apply.one", apply, "written by put, one by one", "1/s");
    plan->apply[1] = bench_program_row(p, "apply.batch16", apply, "written in batches of 16", "1/s");
    bench_program_bar(p, "ring.g16", "the log alone, 64-byte values, one follower, groups of 16: entries/s", "1/s",
                      BENCH_AT_LEAST, 40e6, plan->rows[0][0][1][1], BENCH_NO_ROW);
    bench_program_bar(p, "ring.g1", "the log alone, 64-byte values, one follower, one by one: entries/s", "1/s",
                      BENCH_AT_LEAST, 20e6, plan->rows[0][0][1][0], BENCH_NO_ROW);
    bench_program_bar(p, "apply", "a follower's apply, 10 k keys, 64-byte values: entries/s", "1/s", BENCH_AT_LEAST,
                      12e6, plan->apply[0], BENCH_NO_ROW);
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

/* Shared with the followers' processes. */
struct scene {
    struct rawlog log;
    _Alignas(128) _Atomic uint32_t over;
    _Atomic uint32_t next; /* gives each follower its slot */
    uint64_t sum[FOLLOWERS_MAX];
};

enum { ORDER_FOLLOW = 1, ORDER_DONE = 2 };

static int follow(struct bench_worker *w, void *ctx) {
    struct scene *s = ctx;
    uint32_t id = atomic_fetch_add(&s->next, 1);
    s->sum[id] = rawlog_touch(&s->log);
    bench_worker_done(w, ORDER_FOLLOW);
    bench_worker_what(w, "checking what it read from the log");
    if (rawlog_follow(&s->log, id, &s->over) != 0) {
        return TIDE_ERR_CORRUPT;
    }
    bench_worker_done(w, ORDER_DONE);
    return 0;
}

static int lead(struct bench_program *p, struct scene *s, struct bench_worker **workers, uint32_t n,
                uint32_t value_size, uint32_t group, double *per_s) {
    int rc = 0;
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        rc = bench_worker_await(workers[i], ORDER_FOLLOW, &bench_stop, p->error);
    }
    if (rc != 0) {
        return rc;
    }
    rawlog_touch(&s->log);
    uint64_t start = bench_now_ns();
    uint64_t entries = rawlog_lead(&s->log, value_size, group, bench_program_slice_ns(p, SLICE_NS));
    atomic_store(&s->over, 1);
    for (uint32_t i = 0; i < n && rc == 0; i++) {
        rc = bench_worker_await(workers[i], ORDER_DONE, &bench_stop, p->error);
    }
    /* Until the last follower has everything: what is under way is not throughput yet. */
    *per_s = (double)entries * 1e9 / (double)(bench_now_ns() - start);
    return rc;
}

static int one_log(struct bench_program *p, bool processes, uint32_t followers, uint32_t value_size, uint32_t group,
                   double *per_s) {
    struct bench_worker *workers[FOLLOWERS_MAX] = { NULL };
    struct scene *s = bench_shared_map(sizeof(*s));
    if (s == NULL || rawlog_create(&s->log, RING_BYTES) != 0) {
        bench_shared_unmap(s, sizeof(*s));
        return bench_program_failed(p, "no memory for a ring of %u MiB", (unsigned)(RING_BYTES >> 20));
    }
    int rc = 0;
    bench_machine_pin(&p->machine, 0);
    for (uint32_t i = 0; i < followers; i++) {
        rawlog_pin(&s->log, i);
        workers[i] = bench_worker_start(processes, &p->machine, (int32_t)i + 1, follow, s);
        rc = workers[i] == NULL ? bench_program_failed(p, "no thread or process for follower %u", i) : rc;
    }
    rc = rc != 0 ? rc : lead(p, s, workers, followers, value_size, group, per_s);
    atomic_store(&s->over, 1);
    for (uint32_t i = 0; i < followers; i++) {
        bench_worker_end(workers[i]);
    }
    rawlog_destroy(&s->log);
    bench_shared_unmap(s, sizeof(*s));
    return rc;
}

/* ---- control ----------------------------------------------------------------------------------------------------- */

static void measure_control(struct bench_program *p, const struct plan *plan, uint32_t repetition) {
    uint64_t slice = bench_program_slice_ns(p, SLICE_NS);
    for (uint32_t f = 0; f < FOLLOWERS_MAX; f++) {
        bench_program_set(p, plan->granted[f], repetition, bench_granted(&p->machine, f + 2, slice / 2));
    }
    for (uint32_t i = 0; i < PLAINS; i++) {
        double per_s = bench_plainring_per_s(&p->machine, RING_BYTES, plains[i].message_bytes, plains[i].group, slice);
        bench_program_set(p, plan->plain[i], repetition, per_s);
    }
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    const struct plan *plan = ctx;
    for (uint32_t cell = 0; cell < 2 * FOLLOWERS_MAX * SIZES * GROUPS; cell++) {
        uint32_t g = cell % GROUPS, s = cell / GROUPS % SIZES, f = cell / GROUPS / SIZES % FOLLOWERS_MAX;
        uint32_t mode = cell / GROUPS / SIZES / FOLLOWERS_MAX;
        double per_s = 0;
        int rc = bench_stop ? 1 : one_log(p, mode == 1, f + 1, value_sizes[s], groups[g], &per_s);
        if (rc != 0) {
            return rc;
        }
        bench_program_set(p, plan->rows[mode][f][s][g], repetition, per_s);
    }
    measure_control(p, plan, repetition);
    for (uint32_t i = 0; i < 2; i++) {
        double per_s = 0;
        int rc = bench_applyrate(p, i == 0 ? 1 : 16, &per_s);
        if (rc != 0) {
            return rc;
        }
        bench_program_set(p, plan->apply[i], repetition, per_s);
    }
    return 0;
}

int main(int argc, char **argv) {
    static struct bench_program p = {
        .name = "ring",
        .about =
            "Measures what the log carries: one leader that appends (time, header, checksum, group commit), 1 and 2\n"
            "followers that read and check everything and keep nothing; values of 8, 64 and 256 bytes, keys of 16;\n"
            "groups of 1, 16 and 64; threads and processes. And how fast a real follower applies into its table.\n",
        .repetitions = 5,
    };
    static struct plan plan;
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    snprintf(p.figures.note, sizeof(p.figures.note),
             "Keys of 16 bytes, a ring of %u MiB, slices of %u ms; entries/s counts until the "
             "last follower has read the last entry.",
             (unsigned)(RING_BYTES >> 20), (unsigned)(bench_program_slice_ns(&p, SLICE_NS) / 1000000));
    add_rows(&p, &plan);
    int rc = bench_program_repeat(&p, one_repetition, &plan);
    return bench_program_end(&p, rc);
}
