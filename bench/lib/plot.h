/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pictures of a sweep, drawn by gnuplot. */
#ifndef TIDE_BENCH_PLOT_H
#define TIDE_BENCH_PLOT_H

#include <stdio.h>

#include "bench/lib/gnuplot.h"
#include "bench/lib/sweep.h"

/* Write gnuplot's script for a picture. 0, or 1: there is nothing to draw. */
int bench_plot_throughput(FILE *script, const struct bench_sweep *s);
int bench_plot_latency(FILE *script, const struct bench_sweep *s);
int bench_plot_lag(FILE *script, const struct bench_sweep *s);

/* Draw one of them: see bench_gnuplot_draw(). */
enum bench_drawn bench_plot_draw(int (*plot)(FILE *, const struct bench_sweep *), const struct bench_sweep *s,
                                 char **svg);

#endif
