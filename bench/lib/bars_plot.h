/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A picture of a group of figures: horizontal bars, whiskers, and a line for each bar that should be kept. */
#ifndef TIDE_BENCH_BARS_PLOT_H
#define TIDE_BENCH_BARS_PLOT_H

#include "bench/lib/figures.h"
#include "bench/lib/gnuplot.h"

/* The figures first .. last - 1 that have the unit `unit`: a picture has one axis. */
struct bench_bars_picture {
    const struct bench_figures *figures;
    uint32_t first, last;
    const char *unit;
};

/* For bench_gnuplot_draw(); ctx: a struct bench_bars_picture. */
int bench_bars_plot(FILE *script, const void *ctx);

/* Is this row Tidemark's own (its title names Tidemark, `tide` or a function tide_*), a control, or something that it is
 * compared with? */
enum bench_bars_kind { BENCH_BARS_OWN, BENCH_BARS_PEER, BENCH_BARS_CONTROL, BENCH_BARS_KINDS };
enum bench_bars_kind bench_bars_kind(const struct bench_figure *f);

#endif
