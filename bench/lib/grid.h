/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The result as tables of text cells, shown on a terminal or as HTML: one source for both. */
#ifndef TIDE_BENCH_GRID_H
#define TIDE_BENCH_GRID_H

#include <stdint.h>
#include <stdio.h>

#include "bench/lib/sweep.h"

#define BENCH_GRID_COLUMNS 16u
#define BENCH_GRID_ROWS 256u
#define BENCH_GRID_CELL 176u

struct bench_grid {
    char title[160];
    char note[320]; /* below the table; "" for none */
    uint32_t columns;
    uint32_t rows;
    uint32_t texts;    /* so many columns, the first ones, are words: aligned to the left */
    uint32_t verdicts; /* this column says "kept", "MISSED" or "not measured"; 0: none does */
    char head[BENCH_GRID_COLUMNS][BENCH_GRID_CELL];
    char cells[BENCH_GRID_ROWS][BENCH_GRID_COLUMNS][BENCH_GRID_CELL];
};

/* The three tables of a sweep. */
void bench_grid_throughput(struct bench_grid *g, const struct bench_sweep *s);
void bench_grid_latency(struct bench_grid *g, const struct bench_sweep *s);
void bench_grid_reasons(struct bench_grid *g, const struct bench_sweep *s);

/* Add a column's head, or a cell of the present last row: printf-like. */
void bench_grid_head(struct bench_grid *g, const char *text);
__attribute__((format(printf, 3, 4))) void bench_grid_cell(struct bench_grid *g, uint32_t column, const char *format,
                                                           ...);

/* Columns right-aligned (but for g->texts), two spaces between. */
void bench_grid_print(FILE *out, const struct bench_grid *g);
void bench_grid_html(FILE *out, const struct bench_grid *g);

/* All tables of a sweep. */
void bench_sweep_print(FILE *out, const struct bench_sweep *s);

/* The settings in one line, and the machine in one. */
void bench_settings_line(char *out, size_t size, const struct bench_sweep *s);
void bench_machine_line(char *out, size_t size, const struct bench_machine *m);

#endif
