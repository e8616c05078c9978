/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many writes a second, in the leader's process and from another? */
#include <stdio.h>
#include <string.h>

#include "bench/lib/granted.h"
#include "bench/lib/pingpong.h"
#include "bench/lib/program.h"
#include "bench/lib/putlane.h"
#include "bench/lib/putload.h"

#define SLICE_NS UINT64_C(80000000)
#define PINGPONG_NS UINT64_C(20000000)
#define PARKED_NS UINT64_C(200000) /* the leader's lane thread has gone to sleep */
#define COUNTS 2
#define LANE_BATCHES 3
#define BAR_PER_S 10e6
#define BAR_LANE 8.0
#define BAR_LOAD 2.2       /* times a dependent load's time */
#define BAR_BATCH 1.0      /* times the speed of the plain table's puts one by one */
#define BAR_LANE_BATCH 0.8 /* times the speed of the same batches in the leader's process */
#define BAR_NS 40.0
#define BAR_TWO 0.6 /* times the speed of one alone, as the next */
#define BAR_READER 0.8
#define BATCH 32u

static const uint32_t lane_batches[LANE_BATCHES] = { 1, 16, 100 };

struct plan {
    uint64_t keys[COUNTS];
    struct bench_putload *loads[COUNTS];
    struct bench_putlane *lanes[COUNTS];
    uint32_t rows[COUNTS][BENCH_PUT_ROWS];
    uint32_t one_way, granted;
    uint32_t spinning[BENCH_TIMES], parked[BENCH_TIMES]; /* percentiles of one put through a lane */
    uint32_t lane_rows[LANE_BATCHES];
    uint32_t lane_batch; /* with many keys */
};

static void add_lane_rows(struct bench_program *p, struct plan *plan) {
    static const char *const group = "through a lane, writes/s: 10,000 keys";
    char id[64], title[96], times[96];
    snprintf(times, sizeof(times), "one put through a lane, both ends spinning%s", bench_program_mark(p, 2));
    bench_program_times(p, plan->spinning, "put.lane", times);
    bench_program_times(p, plan->parked, "put.lane.parked", "one put through a lane, the leader's end parked");
    for (uint32_t i = 0; i < LANE_BATCHES; i++) {
        snprintf(id, sizeof(id), "put.lane.rate%u", lane_batches[i]);
        snprintf(title, sizeof(title), lane_batches[i] == 1 ? "one by one" : "batches of %u", lane_batches[i]);
        plan->lane_rows[i] = bench_program_row(p, id, group, title, "1/s");
    }
    unsigned long long keys = plan->keys[1];
    snprintf(times, sizeof(times), "through a lane, writes/s: %llu keys", keys);
    snprintf(id, sizeof(id), "put.lane.%llu.rate%u", keys, BATCH);
    snprintf(title, sizeof(title), "batches of %u", BATCH);
    plan->lane_batch = bench_program_row(p, id, times, title, "1/s");
}

/* Two figures of `rows`, the first over the second. */
static void add_bar(struct bench_program *p, const char *id, const char *what, uint64_t keys, enum bench_sense sense,
                    double bar, uint32_t a, uint32_t b, uint32_t ours) {
    char text[160], count[BENCH_TEXT];
    snprintf(text, sizeof(text), "put, %s keys, %.120s", bench_format_round(count, keys), what);
    bench_figures_bar(&p->figures, id, text, "x", sense, bar, BENCH_RATIO, a, b, ours);
}

static void add_bars(struct bench_program *p, const struct plan *plan) {
    const uint32_t *few = plan->rows[0], *many = plan->rows[1];
    bench_figures_bar(&p->figures, "put.10k.time", "put in the leader's process, 10 k keys: time of one", "ns",
                      BENCH_AT_MOST, BAR_NS, BENCH_RATE, few[BENCH_PUT_ALONE], BENCH_NO_ROW, few[BENCH_PUT_ALONE]);
    add_bar(p, "put.10k.two", "two writers: speed over that of one", plan->keys[0], BENCH_AT_LEAST, BAR_TWO,
            few[BENCH_PUT_TWO], few[BENCH_PUT_ALONE], few[BENCH_PUT_TWO]);
    add_bar(p, "put.10k.reader", "a reader beside it: speed over that alone", plan->keys[0], BENCH_AT_LEAST, BAR_READER,
            few[BENCH_PUT_READER], few[BENCH_PUT_ALONE], few[BENCH_PUT_READER]);
    add_bar(p, "put.1M.load", "one by one: time over that of a dependent load from as much memory", plan->keys[1],
            BENCH_AT_MOST, BAR_LOAD, many[BENCH_PUT_LOAD], many[BENCH_PUT_ALONE], many[BENCH_PUT_ALONE]);
    add_bar(p, "put.1M.batch32", "batches of 32: speed over that of the plain table one by one", plan->keys[1],
            BENCH_AT_LEAST, BAR_BATCH, many[BENCH_PUT_BATCH32], many[BENCH_PUT_PLAIN], many[BENCH_PUT_BATCH32]);
    add_bar(p, "put.1M.lane32", "batches of 32 through a lane: speed over that in the leader's process", plan->keys[1],
            BENCH_AT_LEAST, BAR_LANE_BATCH, plan->lane_batch, many[BENCH_PUT_BATCH32], plan->lane_batch);
    bench_program_bar(p, "put", "put in the leader's process, 10 k keys: writes/s", "1/s", BENCH_AT_LEAST, BAR_PER_S,
                      plan->rows[0][BENCH_PUT_ALONE], BENCH_NO_ROW);
    bench_program_bar(p, "put.lane", "put through a lane, both ends spinning: p50 over one way", "x", BENCH_AT_MOST,
                      BAR_LANE, plan->spinning[0], plan->one_way);
}

static void add_rows(struct bench_program *p, struct plan *plan) {
    static const char *const control = "control, beside it in the same run";
    char id[64], group[96], title[96];
    for (uint32_t c = 0; c < COUNTS; c++) {
        snprintf(group, sizeof(group), "in the leader's process, writes/s: %llu keys",
                 (unsigned long long)plan->keys[c]);
        for (int row = 0; row < BENCH_PUT_ROWS; row++) {
            snprintf(id, sizeof(id), "put.%llu.%s", (unsigned long long)plan->keys[c],
                     bench_putload_id((enum bench_putload_row)row));
            snprintf(title, sizeof(title), "%s%s", bench_putload_title((enum bench_putload_row)row),
                     bench_program_mark(p, bench_putload_threads((enum bench_putload_row)row)));
            plan->rows[c][row] = bench_program_row(p, id, group, title, "1/s");
        }
    }
    add_lane_rows(p, plan);
    plan->one_way = bench_program_row(p, "put.oneway", control, "core to core, one way", "ns");
    plan->granted = bench_program_row(p, "put.control.t2", control, "arithmetic: 2 threads over one", "x");
    add_bars(p, plan);
}

static int measure_times(struct bench_program *p, struct plan *plan, const uint32_t rows[BENCH_TIMES], uint64_t rest_ns,
                         uint32_t repetition) {
    const struct hdr *times;
    int rc = bench_putlane_times(plan->lanes[0], rest_ns, bench_program_slice_ns(p, SLICE_NS), &times);
    bench_program_set_times(p, rows, repetition, times);
    return rc;
}

static int measure_lane(struct bench_program *p, struct plan *plan, uint32_t repetition) {
    double one_way = bench_pingpong_one_way_ns(&p->machine, 0, 1, bench_program_slice_ns(p, PINGPONG_NS));
    if (one_way > 0) {
        bench_program_set(p, plan->one_way, repetition, one_way);
    }
    int rc = measure_times(p, plan, plan->spinning, 0, repetition);
    rc = rc != 0 ? rc : measure_times(p, plan, plan->parked, PARKED_NS, repetition);
    for (uint32_t i = 0; i < LANE_BATCHES && rc == 0; i++) {
        double per_s = 0;
        rc = bench_putlane_rate(plan->lanes[0], lane_batches[i], bench_program_slice_ns(p, SLICE_NS), &per_s);
        bench_program_set(p, plan->lane_rows[i], repetition, per_s);
    }
    double per_s = 0;
    rc = rc != 0 ? rc : bench_putlane_rate(plan->lanes[1], BATCH, bench_program_slice_ns(p, SLICE_NS), &per_s);
    bench_program_set(p, plan->lane_batch, repetition, per_s);
    return rc;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct plan *plan = ctx;
    for (uint32_t c = 0; c < COUNTS; c++) {
        for (int row = 0; row < BENCH_PUT_ROWS; row++) {
            double per_s = 0;
            int rc = bench_stop ? 1
                                : bench_putload_slice(plan->loads[c], (enum bench_putload_row)row,
                                                      bench_program_slice_ns(p, SLICE_NS), &per_s);
            if (rc != 0) {
                return rc;
            }
            bench_program_set(p, plan->rows[c][row], repetition, per_s);
        }
    }
    bench_program_set(p, plan->granted, repetition,
                      bench_granted(&p->machine, 2, bench_program_slice_ns(p, PINGPONG_NS)));
    return measure_lane(p, plan, repetition);
}

/* The processes first: none may be forked while a domain is open. */
static int open_all(struct bench_program *p, struct plan *plan) {
    int rc = 0;
    for (uint32_t c = 0; c < COUNTS && rc == 0; c++) {
        plan->lanes[c] = bench_putlane_start(p, plan->keys[c]);
        rc = plan->lanes[c] == NULL ? -1 : 0;
    }
    for (uint32_t c = 0; c < COUNTS && rc == 0; c++) {
        rc = bench_putlane_open(plan->lanes[c]);
    }
    for (uint32_t c = 0; c < COUNTS && rc == 0; c++) {
        plan->loads[c] = bench_putload_create(p, plan->keys[c]);
        rc = plan->loads[c] == NULL ? -1 : bench_stop ? 1 : 0;
    }
    return rc;
}

int main(int argc, char **argv) {
    static struct bench_program p = {
        .name = "put",
        .about = "Measures writes/s in the leader's process (put, batches, delete, cas; alone, with a follower,\n"
                 "a reader or a second writer beside it; 10 thousand and 1 million keys of 16 bytes, values of\n"
                 "64), and through a lane from another process: the time of one put, with one cache line handed\n"
                 "from core to core beside it.\n",
        .repetitions = 7,
    };
    static struct plan plan = { .keys = { 10000, 1000000 } };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    if (p.quick) {
        plan.keys[1] = 20000;
    }
    snprintf(p.figures.note, sizeof(p.figures.note),
             "Keys of 16 bytes, all of them there, uniform; values of 64; slices of %u ms.",
             (unsigned)(bench_program_slice_ns(&p, SLICE_NS) / 1000000));
    add_rows(&p, &plan);
    int rc = open_all(&p, &plan);
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &plan);
    for (uint32_t c = 0; c < COUNTS; c++) {
        bench_putload_destroy(plan.loads[c]);
    }
    for (uint32_t c = 0; c < COUNTS; c++) {
        bench_putlane_end(plan.lanes[c]);
    }
    return bench_program_end(&p, rc);
}
