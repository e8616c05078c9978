/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Running gnuplot, and how all pictures of the benchmarks look. */
#ifndef TIDE_BENCH_GNUPLOT_H
#define TIDE_BENCH_GNUPLOT_H

#include <stdio.h>

/* Okabe and Ito's colours, which people with any colour vision tell apart. i: any number; they come round. */
const char *bench_gnuplot_colour(unsigned i);

/* The first lines of every script: an SVG of 900 x height pixels without a background, so that a page may be dark. */
void bench_gnuplot_head(FILE *script, int height);

/* A string as gnuplot takes it, quotes around it. */
void bench_gnuplot_string(FILE *script, const char *text);

enum bench_drawn {
    BENCH_DRAWN = 0,
    BENCH_DRAWN_NOTHING = 1,    /* there is nothing to show */
    BENCH_DRAWN_NO_GNUPLOT = 2, /* gnuplot is not installed */
    BENCH_DRAWN_FAILED = 3,     /* gnuplot or the file system said no */
};

/* Write gnuplot's script. 0, or 1: there is nothing to draw. */
typedef int bench_gnuplot_fn(FILE *script, const void *ctx);

/* Draw what `write` has written. *svg: the picture, to be freed; NULL where there is none. No shell is involved. */
enum bench_drawn bench_gnuplot_draw(bench_gnuplot_fn *write, const void *ctx, char **svg);

#endif
