/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does a table's growth hold up its replica, or its readers? */
#include <stdio.h>

#include "bench/lib/pauses.h"
#include "bench/lib/program.h"

#define BAR_APPLY_NS 1e6
#define BAR_SLOW 1.5 /* slow reads, over those that the machine causes by itself; the rest is chance */

enum work { WORK_GROW, WORK_STEADY, WORK_SHIFT, WORK_SHRINK, WORKS };

/* Apply and read of each kind of work, then the control: as in enum pauses_kind. */
#define ROWS (2 * WORKS + 1)
#define ROW_APPLY(work) (2 * (work))
#define ROW_READ(work) (2 * (work) + 1)
#define ROW_CONTROL (2 * WORKS)

static const struct bench_name rows[ROWS] = {
    { "apply", "tide: apply does not go on, growing" },
    { "read", "tide: a read, growing" },
    { "apply_steady", "tide: apply does not go on, overwriting" },
    { "read_steady", "tide: a read, overwriting" },
    { "apply_shift", "tide: apply does not go on, overwriting with other sizes" },
    { "read_shift", "tide: a read, overwriting with other sizes" },
    { "apply_shrink", "tide: apply does not go on, deleting" },
    { "read_shrink", "tide: a read, deleting" },
    { "control", "control: arithmetic, on the same CPUs" },
};

/* The kinds of work that have bars, and the bars' names. They are held against overwriting with the same size. */
static const struct {
    enum work work;
    const char *id, *name;
} barred[] = { { WORK_GROW, "", "growth to" },
               { WORK_SHIFT, "_shift", "other sizes for" },
               { WORK_SHRINK, "_shrink", "deleting of" } };
#define BARRED 3

static const struct {
    const char *id;
    const char *name;
    double percentile;
} marks[] = {
    { "p50", "p50", 50.0 }, { "p999", "p99.9", 99.9 }, { "p9999", "p99.99", 99.99 }, { "max", "max", 100.0 }
};
#define MARKS (sizeof(marks) / sizeof(marks[0]))
#define MARK_BARRED 1

static struct {
    uint64_t keys, rate;
    uint32_t rows[MARKS][ROWS];
    uint32_t slow[ROWS];                /* longer than 1 ms, in 10 s */
    uint32_t slow_ratio[BARRED];        /* slow reads, over the larger of overwriting and control, each and one more */
    double writes_per_s, away, refused; /* of the last repetition */
} plan = { .keys = 10000000, .rate = 400000 };

static void prepare(void) {
    const char *count = bench_count(plan.keys);
    for (size_t k = 0; k < MARKS; k++) {
        const char *group = bench_text("growth to %s keys, %s", count, marks[k].name);
        for (int row = 0; row < ROWS; row++) {
            plan.rows[k][row] =
                bench_row(bench_text("growth.%s.%s", rows[row].id, marks[k].id), group, rows[row].title, "ns");
        }
    }
    const char *group = bench_text("growth to %s keys: longer than 1 ms, in 10 s", count);
    for (int row = 0; row < ROWS; row++) {
        plan.slow[row] = bench_row(bench_text("growth.%s.slow", rows[row].id), group, rows[row].title, "in 10 s");
    }
    for (int k = 0; k < BARRED; k++) {
        plan.slow_ratio[k] = bench_hidden_row("");
        bench_at_most(bench_text("growth.apply%s", barred[k].id),
                      bench_text("%s %s keys: longest time that apply does not go on, p99.9", barred[k].name, count),
                      "ns", BAR_APPLY_NS, plan.rows[MARK_BARRED][ROW_APPLY(barred[k].work)], BENCH_NO_ROW);
        bench_at_most(
            bench_text("growth.read%s", barred[k].id),
            bench_text("%s %s keys: reads over 1 ms, against those of overwriting or control", barred[k].name, count),
            "x", BAR_SLOW, plan.slow_ratio[k], BENCH_NO_ROW);
    }
}

static void repeat(void) {
    struct pauses pauses;
    double slow[ROWS];
    bench_pauses_run(&pauses, plan.keys, plan.rate);
    for (int row = 0; row < ROWS; row++) {
        const struct hdr *h = pauses.times[(enum pauses_kind)row];
        for (size_t k = 0; k < MARKS; k++) {
            bench_set(plan.rows[k][row], (double)bench_percentile(h, marks[k].percentile));
        }
        slow[row] = bench_pauses_slow(&pauses, (enum pauses_kind)row);
        bench_set(plan.slow[row], slow[row]);
    }
    double steady = slow[ROW_READ(WORK_STEADY)], machine = slow[ROW_CONTROL] > steady ? slow[ROW_CONTROL] : steady;
    for (int k = 0; k < BARRED; k++) {
        /* One more on both sides: where the machine is quiet, one in 10 s would be infinitely more than none. */
        bench_set(plan.slow_ratio[k], (slow[ROW_READ(barred[k].work)] + 1.0) / (machine + 1.0));
    }
    plan.writes_per_s = pauses.writes_per_s;
    plan.away = (double)pauses.away;
    plan.refused = (double)pauses.refused;
    bench_pauses_destroy(&pauses);
}

static void note(char *out, size_t size) {
    char rate[BENCH_TEXT];
    snprintf(out, size,
             "from empty to %s keys of 16 bytes, values of 64, at %s writes/s; then, for a quarter of that time each, "
             "overwriting, overwriting with 0 to 128 bytes (%.0f of these writes found no room), deleting. One reader, "
             "through the follower, any staleness. In every 500 ms, 100 are the control loop's. In the last repetition "
             "the reader itself was away %.0f times for over 100 us: no pause of apply was taken from those",
             bench_count(plan.keys), bench_format_count(rate, plan.writes_per_s), plan.refused, plan.away);
}

BENCH_MAIN(.name = "growth", .repetitions = 1, .note = note,
           BENCH_NUMBERS({ "keys", "to grow to", &plan.keys, 10000, 200000000, 50000 },
                         { "rate", "writes a second, at most", &plan.rate, 1000, 100000000, 200000 }),
           .about =
               "A leader and a follower grow from empty, are overwritten, with other sizes as well, and lose their\n"
               "keys again, while one thread reads through the follower: how long\n"
               "a read takes, and for how long the follower's applied index stands still although there is\n"
               "something to apply. Beside it, in turns, the same CPUs run plain arithmetic: what the machine\n"
               "takes away by itself.\n")
