/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does a table's growth hold up its replica, or those who read it? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/pauses.h"
#include "bench/lib/run.h"

#define BAR_APPLY_NS 1e6
#define BAR_SLOW 1.5 /* slow reads, over what the machine does by itself: what is left is chance */

enum row { ROW_APPLY, ROW_READ, ROW_APPLY_STEADY, ROW_READ_STEADY, ROW_CONTROL, ROWS };

static const struct {
    const char *id;
    const char *title;
    enum pauses_kind kind;
} rows[ROWS] = {
    { "apply", "tide: apply does not go on, growing", PAUSES_APPLY },
    { "read", "tide: a read, growing", PAUSES_READ },
    { "apply_steady", "tide: apply does not go on, overwriting", PAUSES_APPLY_STEADY },
    { "read_steady", "tide: a read, overwriting", PAUSES_READ_STEADY },
    { "control", "control: arithmetic, on the same CPUs", PAUSES_CONTROL },
};

static const struct {
    const char *id;
    const char *name;
    double percentile;
} marks[] = {
    { "p50", "p50", 50.0 }, { "p999", "p99.9", 99.9 }, { "p9999", "p99.99", 99.99 }, { "max", "max", 100.0 }
};
#define MARKS (sizeof(marks) / sizeof(marks[0]))

struct growth {
    struct bench_run run;
    uint64_t keys;
    uint64_t rate;
    double *at[ROWS][MARKS];
    double *slow[ROWS]; /* longer than 1 ms, in 10 s */
    double *slow_ratio; /* slow reads growing, over the larger of overwriting and control, each and one more */
    double writes_per_s, away;
};

static int allocate(struct growth *g) {
    uint64_t n = g->run.repetitions;
    int good = (g->slow_ratio = calloc(n, sizeof(double))) != NULL;
    for (int row = 0; row < ROWS; row++) {
        good &= (g->slow[row] = calloc(n, sizeof(double))) != NULL;
        for (size_t k = 0; k < MARKS; k++) {
            good &= (g->at[row][k] = calloc(n, sizeof(double))) != NULL;
        }
    }
    return good ? 0 : bench_run_failed(&g->run, "starting", TIDE_ERR_NOMEM);
}

static void release(struct growth *g) {
    free(g->slow_ratio);
    for (int row = 0; row < ROWS; row++) {
        free(g->slow[row]);
        for (size_t k = 0; k < MARKS; k++) {
            free(g->at[row][k]);
        }
    }
}

static void keep(struct growth *g, const struct pauses *p, uint64_t r) {
    for (int row = 0; row < ROWS; row++) {
        const struct hdr *h = p->times[rows[row].kind];
        for (size_t k = 0; k < MARKS; k++) {
            g->at[row][k][r] = marks[k].percentile < 100.0 ? (double)hdr_value_at_percentile(h, marks[k].percentile)
                                                           : (double)hdr_max(h);
        }
        g->slow[row][r] = bench_pauses_slow(p, rows[row].kind);
    }
    double machine =
        g->slow[ROW_CONTROL][r] > g->slow[ROW_READ_STEADY][r] ? g->slow[ROW_CONTROL][r] : g->slow[ROW_READ_STEADY][r];
    /* One more on both sides: where the machine is quiet, one in 10 s would be infinitely more than none. */
    g->slow_ratio[r] = (g->slow[ROW_READ][r] + 1.0) / (machine + 1.0);
    g->writes_per_s = p->writes_per_s;
    g->away = (double)p->away;
}

static int measure(struct growth *g) {
    for (uint64_t r = 0; r < g->run.repetitions; r++) {
        struct pauses p;
        int rc = bench_pauses_run(&p, &g->run, g->keys, g->rate, r);
        if (rc == 0) {
            keep(g, &p, r);
        }
        bench_pauses_destroy(&p);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static void figures(struct growth *g) {
    struct bench_figures *f = &g->run.figures;
    uint64_t n = g->run.repetitions;
    char id[64], group[96], what[160], count[BENCH_TEXT], rate[BENCH_TEXT];
    bench_run_count(count, g->keys);
    snprintf(f->note, sizeof(f->note),
             "from empty to %s keys of 16 bytes, values of 64, at %s writes/s; then overwriting for a quarter of that "
             "time. One "
             "reader, through the follower, any staleness. In every 500 ms, 100 are the control loop's. In the last "
             "repetition "
             "the reader itself was away %.0f times for over 100 us: no pause of apply was taken from those",
             count, bench_format_count(rate, g->writes_per_s), g->away);
    snprintf(what, sizeof(what), "growth to %s keys: longest time that apply does not go on, p99.9", count);
    bench_figures_bar(f, "growth.apply", what, "ns", BENCH_AT_MOST, BAR_APPLY_NS, g->at[ROW_APPLY][1], n);
    snprintf(group, sizeof(group), "growth to %s keys, p99.9", count);
    bench_figures_bar_line(f, group, BAR_APPLY_NS);
    snprintf(what, sizeof(what), "growth to %s keys: reads over 1 ms, against those of overwriting or control", count);
    bench_figures_bar(f, "growth.read", what, "x", BENCH_AT_MOST, BAR_SLOW, g->slow_ratio, n);
    for (size_t k = 0; k < MARKS; k++) {
        snprintf(group, sizeof(group), "growth to %s keys, %s", count, marks[k].name);
        for (int row = 0; row < ROWS; row++) {
            snprintf(id, sizeof(id), "growth.%s.%s", rows[row].id, marks[k].id);
            bench_figures_add(f, id, group, rows[row].title, "ns", g->at[row][k], n);
        }
    }
    snprintf(group, sizeof(group), "growth to %s keys: longer than 1 ms, in 10 s", count);
    for (int row = 0; row < ROWS; row++) {
        snprintf(id, sizeof(id), "growth.%s.slow", rows[row].id);
        bench_figures_add(f, id, group, rows[row].title, "in 10 s", g->slow[row], n);
    }
}

int main(int argc, char **argv) {
    static struct growth g = { .keys = 10000000, .rate = 400000 };
    struct bench_run_number numbers[] = {
        { "--keys", "to grow to", &g.keys, 10000, 200000000, 50000 },
        { "--rate", "writes a second, at most", &g.rate, 1000, 100000000, 200000 },
    };
    g.run.name = "growth";
    g.run.what = "A leader and a follower grow from empty while one thread reads through the follower: how long\n"
                 "a read takes, and for how long the follower's applied index stands still although there is\n"
                 "something to apply. Beside it, in turns, the same CPUs run plain arithmetic: what the machine\n"
                 "takes away by itself.";
    g.run.numbers = numbers;
    g.run.numbers_n = 2;
    g.run.repetitions = 1;
    g.run.repetitions_quick = 1;
    int rc = bench_run_begin(&g.run, argc, argv);
    if (rc >= 0) {
        return rc;
    }
    rc = allocate(&g);
    rc = rc != 0 ? rc : measure(&g);
    if (rc == 0) {
        figures(&g);
    }
    rc = bench_run_end(&g.run, rc);
    release(&g);
    return rc;
}
