/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/grid.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/format.h"

void bench_grid_head(struct bench_grid *g, const char *text) {
    if (g->columns < BENCH_GRID_COLUMNS) {
        snprintf(g->head[g->columns++], BENCH_GRID_CELL, "%s", text);
    }
}

void bench_grid_cell(struct bench_grid *g, uint32_t column, const char *format, ...) {
    if (column >= BENCH_GRID_COLUMNS || g->rows >= BENCH_GRID_ROWS) {
        return;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(g->cells[g->rows][column], BENCH_GRID_CELL, format, args);
    va_end(args);
}

static void print_cell(FILE *out, const struct bench_grid *g, uint32_t column, int width, const char *text) {
    fprintf(out, "%s%*s%s", column > 0 ? "  " : "", column < g->texts ? -width : width, text,
            column + 1 == g->columns ? "\n" : "");
}

static void html_cell(FILE *out, const struct bench_grid *g, uint32_t column, const char *tag, const char *text) {
    const char *class = column < g->texts ? "text" : "";
    if (g->verdicts != 0 && column == g->verdicts) {
        class = strcmp(text, "kept") == 0 ? "kept" : strcmp(text, "MISSED") == 0 ? "missed" : "unmeasured";
    }
    fprintf(out, class[0] != '\0' ? "<%s class=\"%s\">" : "<%s>", tag, class);
    bench_html_text(out, text);
    fprintf(out, "</%s>", tag);
}

void bench_grid_print(FILE *out, const struct bench_grid *g) {
    fprintf(out, "\n%s\n", g->title);
    int width[BENCH_GRID_COLUMNS] = { 0 };
    for (uint32_t c = 0; c < g->columns; c++) {
        width[c] = (int)strlen(g->head[c]);
        for (uint32_t r = 0; r < g->rows; r++) {
            int n = (int)strlen(g->cells[r][c]);
            width[c] = n > width[c] ? n : width[c];
        }
        print_cell(out, g, c, width[c], g->head[c]);
    }
    for (uint32_t r = 0; r < g->rows; r++) {
        for (uint32_t c = 0; c < g->columns; c++) {
            print_cell(out, g, c, width[c], g->cells[r][c]);
        }
    }
    if (g->note[0] != '\0') {
        fprintf(out, "%s\n", g->note);
    }
}

void bench_grid_html(FILE *out, const struct bench_grid *g) {
    if (g->title[0] != '\0') {
        bench_html_tag(out, "h2", g->title);
    }
    fputs("<div class=\"wide\"><table>\n<tr>", out);
    for (uint32_t c = 0; c < g->columns; c++) {
        html_cell(out, g, c, "th", g->head[c]);
    }
    fputs("</tr>\n", out);
    for (uint32_t r = 0; r < g->rows; r++) {
        fputs("<tr>", out);
        for (uint32_t c = 0; c < g->columns; c++) {
            html_cell(out, g, c, "td", g->cells[r][c]);
        }
        fputs("</tr>\n", out);
    }
    fputs("</table></div>\n", out);
    if (g->note[0] != '\0') {
        bench_html_tag(out, "p class=\"note\"", g->note);
    }
}
