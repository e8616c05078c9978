/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many writes a second, in the leader's process and from another? */
#include <stdio.h>

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

static struct {
    uint64_t keys[COUNTS];
    struct bench_putload *loads[COUNTS];
    struct bench_putlane *lanes[COUNTS];
    uint32_t rows[COUNTS][BENCH_PUT_ROWS];
    uint32_t one_way, granted;
    uint32_t spinning[BENCH_TIMES], parked[BENCH_TIMES]; /* percentiles of one put through a lane */
    uint32_t lane_rows[LANE_BATCHES];
    uint32_t lane_batch; /* with many keys */
} plan = { .keys = { 10000, 1000000 } };

static void add_lane_rows(void) {
    bench_times(plan.spinning, "put.lane", bench_text("one put through a lane, both ends spinning%s", bench_mark(2)));
    bench_times(plan.parked, "put.lane.parked", "one put through a lane, the leader's end parked");
    for (uint32_t i = 0; i < LANE_BATCHES; i++) {
        uint32_t n = lane_batches[i];
        plan.lane_rows[i] = bench_row(bench_text("put.lane.rate%u", n), "through a lane, writes/s: 10,000 keys",
                                      n == 1 ? "one by one" : bench_text("batches of %u", n), "1/s");
    }
    unsigned long long keys = plan.keys[1];
    plan.lane_batch =
        bench_row(bench_text("put.lane.%llu.rate%u", keys, BATCH),
                  bench_text("through a lane, writes/s: %llu keys", keys), bench_text("batches of %u", BATCH), "1/s");
}

/* One figure over another; the first, or `ours`, is the one whose group shows the bar. */
static void add_bar(const char *id, const char *what, int c, enum bench_sense sense, double bar, uint32_t a, uint32_t b,
                    uint32_t ours) {
    bench_figures_bar(&bench->figures, id, bench_text("put, %s keys, %s", bench_count(plan.keys[c]), what), "x", sense,
                      bar, BENCH_RATIO, a, b, ours);
}

static void add_bars(void) {
    const uint32_t *few = plan.rows[0], *many = plan.rows[1];
    bench_figures_bar(&bench->figures, "put.10k.time", "put in the leader's process, 10 k keys: time of one", "ns",
                      BENCH_AT_MOST, BAR_NS, BENCH_RATE, few[BENCH_PUT_ALONE], BENCH_NO_ROW, few[BENCH_PUT_ALONE]);
    add_bar("put.10k.two", "two writers: speed over that of one", 0, BENCH_AT_LEAST, BAR_TWO, few[BENCH_PUT_TWO],
            few[BENCH_PUT_ALONE], few[BENCH_PUT_TWO]);
    add_bar("put.10k.reader", "a reader beside it: speed over that alone", 0, BENCH_AT_LEAST, BAR_READER,
            few[BENCH_PUT_READER], few[BENCH_PUT_ALONE], few[BENCH_PUT_READER]);
    add_bar("put.1M.load", "one by one: time over that of a dependent load from as much memory", 1, BENCH_AT_MOST,
            BAR_LOAD, many[BENCH_PUT_LOAD], many[BENCH_PUT_ALONE], many[BENCH_PUT_ALONE]);
    add_bar("put.1M.batch32", "batches of 32: speed over that of the plain table one by one", 1, BENCH_AT_LEAST,
            BAR_BATCH, many[BENCH_PUT_BATCH32], many[BENCH_PUT_PLAIN], many[BENCH_PUT_BATCH32]);
    add_bar("put.1M.lane32", "batches of 32 through a lane: speed over that in the leader's process", 1, BENCH_AT_LEAST,
            BAR_LANE_BATCH, plan.lane_batch, many[BENCH_PUT_BATCH32], plan.lane_batch);
    bench_at_least("put", "put in the leader's process, 10 k keys: writes/s", "1/s", BAR_PER_S, few[BENCH_PUT_ALONE],
                   BENCH_NO_ROW);
    bench_at_most("put.lane", "put through a lane, both ends spinning: p50 over one way", "x", BAR_LANE,
                  plan.spinning[0], plan.one_way);
}

static void add_rows(void) {
    static const char *const control = "control, beside it in the same run";
    for (uint32_t c = 0; c < COUNTS; c++) {
        unsigned long long keys = plan.keys[c];
        const char *group = bench_text("in the leader's process, writes/s: %llu keys", keys);
        for (enum bench_putload_row row = 0; row < BENCH_PUT_ROWS; row++) {
            plan.rows[c][row] =
                bench_row(bench_text("put.%llu.%s", keys, bench_putload_id(row)), group,
                          bench_text("%s%s", bench_putload_title(row), bench_mark(bench_putload_threads(row))), "1/s");
        }
    }
    add_lane_rows();
    plan.one_way = bench_row("put.oneway", control, "core to core, one way", "ns");
    plan.granted = bench_row("put.control.t2", control, "arithmetic: 2 threads over one", "x");
    add_bars();
}

static void measure_lane(void) {
    uint64_t slice = bench_slice_ns(SLICE_NS);
    double one_way = bench_pingpong_one_way_ns(&bench->machine, 0, 1, bench_slice_ns(PINGPONG_NS));
    if (one_way > 0) {
        bench_set(plan.one_way, one_way);
    }
    bench_set_times(plan.spinning, bench_putlane_times(plan.lanes[0], 0, slice));
    bench_set_times(plan.parked, bench_putlane_times(plan.lanes[0], PARKED_NS, slice));
    for (uint32_t i = 0; i < LANE_BATCHES; i++) {
        bench_set(plan.lane_rows[i], bench_putlane_rate(plan.lanes[0], lane_batches[i], slice));
    }
    bench_set(plan.lane_batch, bench_putlane_rate(plan.lanes[1], BATCH, slice));
}

static void repeat(void) {
    for (uint32_t c = 0; c < COUNTS; c++) {
        for (enum bench_putload_row row = 0; row < BENCH_PUT_ROWS; row++) {
            bench_set(plan.rows[c][row], bench_putload_slice(plan.loads[c], row, bench_slice_ns(SLICE_NS)));
            bench_go_on();
        }
    }
    bench_set(plan.granted, bench_granted(&bench->machine, 2, bench_slice_ns(PINGPONG_NS)));
    measure_lane();
}

/* The processes first: none may be forked while a domain is open. */
static void prepare(void) {
    if (bench->quick) {
        plan.keys[1] = 20000;
    }
    add_rows();
    for (uint32_t c = 0; c < COUNTS; c++) {
        plan.lanes[c] = bench_putlane_start(plan.keys[c]);
    }
    for (uint32_t c = 0; c < COUNTS; c++) {
        bench_putlane_open(plan.lanes[c]);
    }
    for (uint32_t c = 0; c < COUNTS; c++) {
        plan.loads[c] = bench_putload_create(plan.keys[c]);
    }
}

BENCH_NOTE("Keys of 16 bytes, all of them there, uniform; values of 64; slices of %u ms.",
           (unsigned)(bench_slice_ns(SLICE_NS) / 1000000))

BENCH_MAIN(.name = "put", .repetitions = 7, .note = note,
           .about = "Measures writes/s in the leader's process (put, batches, delete, cas; alone, with a follower,\n"
                    "a reader or a second writer beside it; 10 thousand and 1 million keys of 16 bytes, values of\n"
                    "64), and through a lane from another process: the time of one put, with one cache line handed\n"
                    "from core to core beside it.\n")
