/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a benchmark found: figures, and bars that some ratios of them should keep. One form for all benchmarks that
 * answer one question each, so that one page can show them all: schema "tidemark.figures", documented in
 * docs/bench.md.
 *
 * By one thread. Strings are copied. Where memory runs out the program ends: a benchmark has nothing better to do.
 */
#ifndef TIDEMARK_BENCH_FIGURES_H
#define TIDEMARK_BENCH_FIGURES_H

#include <stdint.h>
#include <stdio.h>

#include "bench/lib/format.h"
#include "bench/lib/grid.h"
#include "bench/lib/machine.h"
#include "bench/lib/stats.h"

#define BENCH_FIGURES_MAX 512u
#define BENCH_BARS_MAX 64u

enum bench_sense { BENCH_AT_MOST, BENCH_AT_LEAST };

struct bench_figure {
    char id[64];    /* stable, for programs: "get.10k.uniform.lfht" */
    char group[96]; /* what it is shown with: "get, 10 k keys, uniform" */
    char title[96]; /* what it is: "cds_lfht" */
    char unit[16];  /* "ns", "1/s", "B", "x" (a ratio), "share" */
    struct bench_spread spread;
};

struct bench_bar {
    char id[64];
    char what[160]; /* "get, 10 k keys: time over that of the plain table" */
    char unit[16];
    enum bench_sense sense;
    double bar;
    struct bench_spread spread; /* of the repetitions' own ratios, not a ratio of medians */
    int kept;                   /* by the median */
    char group[96];             /* of the figures that it is about; "": none in particular */
    double at;                  /* where it lies among those, in their unit; 0: nowhere */
};

struct bench_figures {
    char bench[32];
    char note[512]; /* settings, in a line or two */
    const struct bench_machine *machine;
    uint32_t repetitions;
    uint32_t figures_n, bars_n;
    struct bench_figure figures[BENCH_FIGURES_MAX];
    struct bench_bar bars[BENCH_BARS_MAX];
};

void bench_figures_init(struct bench_figures *f, const char *bench, const struct bench_machine *machine,
                        uint32_t repetitions);

/* Add what was measured, a value for each repetition (they are sorted in place). */
void bench_figures_add(struct bench_figures *f, const char *id, const char *group, const char *title, const char *unit,
                       double *values, size_t n);

/* Add a bar with the values that it is for, a value for each repetition. Where n is 0 it is listed as not measured. */
void bench_figures_bar(struct bench_figures *f, const char *id, const char *what, const char *unit,
                       enum bench_sense sense, double bar, double *values, size_t n);

/* The bar that was added last is about this group of figures, and lies at `at` in their unit (the bar itself, where
 * that is no ratio; else the bar times the peer's median): pages draw a line there. */
void bench_figures_bar_line(struct bench_figures *f, const char *group, double at);

/* ratio[i] = a[i] / b[i]: of one repetition each, so that the machine's weather meets both. To be taken before the
 * values are sorted by bench_figures_add(). */
void bench_figures_ratio(double *ratio, const double *a, const double *b, size_t n);

/* A value and its unit as people read it. Returns `out`. */
const char *bench_figure_text(char out[BENCH_TEXT], double value, const char *unit);

/* The figures of one group, from number `from` on, as a table. Returns the number of the next group's first. */
uint32_t bench_figures_group(struct bench_grid *g, const struct bench_figures *f, uint32_t from);

/* An empty table of bars; and add the bars of `f` to it. */
void bench_bars_start(struct bench_grid *g);
void bench_bars_add(struct bench_grid *g, const struct bench_figures *f);

/* A table for each group, then the bars. */
void bench_figures_print(FILE *out, const struct bench_figures *f);

/* Write as JSON to a file, or ("-") to stdout. 0, or -1 with errno. */
int bench_figures_write(const struct bench_figures *f, const char *path);

/*
 * Read such a file back; `machine` gets the file's. 0, or -1 with `error` (BENCH_ERROR_BYTES) filled: it cannot be
 * read, is no JSON, is another schema or a later version, or lacks something. *f may be half filled then.
 */
int bench_figures_read(struct bench_figures *f, struct bench_machine *machine, const char *path, char *error);

#endif
