/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a benchmark found: figures, and bars that some ratios of them should keep. One form for all benchmarks that
 * answer one question each, so that one page can show them all: schema "tidemark.figures", documented in
 * docs/bench.md.
 *
 * By one thread. Texts are copied. Where memory runs out the program ends: a benchmark without figures has no result.
 */
#ifndef TIDE_BENCH_FIGURES_H
#define TIDE_BENCH_FIGURES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/lib/format.h"
#include "bench/lib/grid.h"
#include "bench/lib/machine.h"
#include "bench/lib/stats.h"

#define BENCH_FIGURES_MAX 512u
#define BENCH_BARS_MAX 64u
#define BENCH_NO_FIGURE UINT32_MAX

enum bench_sense { BENCH_AT_MOST, BENCH_AT_LEAST };
enum bench_made { BENCH_ALONE, BENCH_RATIO, BENCH_LESS, BENCH_RATE }; /* a, a / b, a - b, 1e9 / a */

struct bench_figure {
    char id[64];    /* stable, for programs: "get.10k.uniform.lfht"; "": not shown itself, only in bars */
    char group[96]; /* what it is shown with: "get, 10 k keys, uniform" */
    char title[96]; /* what it is: "cds_lfht" */
    char unit[16];  /* "ns", "1/s", "B", "x" (a ratio), "share" */
    bool more;      /* which way is better */
    double *values; /* one for each repetition; NULL once they are settled */
    bool measured;  /* false: this machine cannot; it is not shown */
    struct bench_spread spread;
};

struct bench_bar {
    char id[64];
    char what[160]; /* "get, 10 k keys: time over that of the plain table" */
    char unit[16];
    enum bench_sense sense;
    double bar;
    enum bench_made made; /* of these two figures, until they are settled */
    uint32_t a, b;
    uint32_t ours;              /* the one of them whose group shows the bar as a line; BENCH_NO_FIGURE: none */
    struct bench_spread spread; /* of the repetitions' own ratios, not a ratio of medians */
    int kept;                   /* by the median */
    char group[96];             /* of the figures that it is about; "": none in particular */
    double at;                  /* where it lies among those, in their unit; 0: nowhere */
};

struct bench_figures {
    char bench[32];
    char note[768]; /* settings, in a line or two */
    const struct bench_machine *machine;
    bool quick; /* it shows that the benchmark works, and no more */
    uint32_t repetitions;
    uint32_t figures_n, bars_n;
    struct bench_figure figures[BENCH_FIGURES_MAX];
    struct bench_bar bars[BENCH_BARS_MAX];
};

void bench_figures_init(struct bench_figures *f, const char *bench, const struct bench_machine *machine,
                        uint32_t repetitions);

/* Is more better of figures of this unit, where nothing else is said? */
bool bench_unit_more(const char *unit);

/* Announce a figure; those of one group follow one another. `more` is set by its unit. Returns its number. */
uint32_t bench_figures_add(struct bench_figures *f, const char *id, const char *group, const char *title,
                           const char *unit);

/* Its value in a repetition. */
void bench_figures_set(struct bench_figures *f, uint32_t figure, uint32_t repetition, double value);

/* The number of the figure with this id, or BENCH_NO_FIGURE. */
uint32_t bench_figures_find(const struct bench_figures *f, const char *id);

/* Announce a bar. It is made of figures of one repetition each, so that the machine's speed affects both. Where `a`, or
 * `b` where two are needed, is BENCH_NO_FIGURE or never measured, it is listed as not measured. ours: see above. */
void bench_figures_bar(struct bench_figures *f, const char *id, const char *what, const char *unit,
                       enum bench_sense sense, double bar, enum bench_made made, uint32_t a, uint32_t b, uint32_t ours);

/* All is measured, `done` repetitions of it: spreads and bars are made, figures that are not shown go, and
 * values are given back. Once, before anything below. */
void bench_figures_settle(struct bench_figures *f, uint32_t done);

/* A value and its unit as people read it. Returns `out`. */
const char *bench_figure_text(char out[BENCH_TEXT], double value, const char *unit);

/* The figures of one group, from number `from` on, as a table. Returns the number of the next group's first. */
uint32_t bench_figures_group(struct bench_grid *g, const struct bench_figures *f, uint32_t from);

/* An empty table of bars; and add the bars of `f` to it. What counts is the median of the repetitions' own values. */
void bench_bars_start(struct bench_grid *g);
void bench_bars_add(struct bench_grid *g, const struct bench_figures *f);

/* Write as JSON to a file, or ("-") to stdout. 0, or -1 with errno. */
int bench_figures_write(const struct bench_figures *f, const char *path);

/* Both, as --json says: NULL: the tables alone; "-": JSON alone, on stdout. 0; -1: stderr says why. */
int bench_figures_publish(const struct bench_figures *f, const char *json_path);

/*
 * Read such a file back; `machine` gets the file's. 0, or -1 with `error` (BENCH_ERROR_BYTES) filled: it cannot be
 * read, is no JSON, is another schema or a later version, or lacks something. *f may be half filled then.
 */
int bench_figures_read(struct bench_figures *f, struct bench_machine *machine, const char *path, char *error);

#endif
