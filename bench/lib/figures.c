/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/figures.h"

#include <stdlib.h>
#include <string.h>

#include "bench/lib/format.h"
#include "bench/lib/grid.h"
#include "bench/lib/result.h"

void bench_figures_init(struct bench_figures *f, const char *bench, const struct bench_machine *machine,
                        uint32_t repetitions) {
    memset(f, 0, sizeof(*f));
    snprintf(f->bench, sizeof(f->bench), "%s", bench);
    f->machine = machine;
    f->repetitions = repetitions;
}

void bench_figures_add(struct bench_figures *f, const char *id, const char *group, const char *title, const char *unit,
                       double *values, size_t n) {
    if (f->figures_n == BENCH_FIGURES_MAX) {
        fprintf(stderr, "%s: more figures than there is room for\n", f->bench);
        abort();
    }
    struct bench_figure *g = &f->figures[f->figures_n++];
    snprintf(g->id, sizeof(g->id), "%s", id);
    snprintf(g->group, sizeof(g->group), "%s", group);
    snprintf(g->title, sizeof(g->title), "%s", title);
    snprintf(g->unit, sizeof(g->unit), "%s", unit);
    g->spread = bench_spread_of(values, n);
}

void bench_figures_bar(struct bench_figures *f, const char *id, const char *what, const char *unit,
                       enum bench_sense sense, double bar, double *values, size_t n) {
    if (f->bars_n == BENCH_BARS_MAX) {
        fprintf(stderr, "%s: more bars than there is room for\n", f->bench);
        abort();
    }
    struct bench_bar *b = &f->bars[f->bars_n++];
    snprintf(b->id, sizeof(b->id), "%s", id);
    snprintf(b->what, sizeof(b->what), "%s", what);
    snprintf(b->unit, sizeof(b->unit), "%s", unit);
    b->sense = sense;
    b->bar = bar;
    b->spread = bench_spread_of(values, n);
    b->kept = n > 0 && (sense == BENCH_AT_MOST ? b->spread.median <= bar : b->spread.median >= bar);
}

void bench_figures_ratio(double *ratio, const double *a, const double *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ratio[i] = bench_ratio(a[i], b[i]);
    }
}

static const char *figure_text(char out[BENCH_TEXT], double value, const char *unit) {
    if (strcmp(unit, "ns") == 0 && value > -100.0 && value < 100.0) {
        snprintf(out, BENCH_TEXT, "%.1f ns", value); /* where a get takes ten, whole ones are too coarse */
        return out;
    }
    if (strcmp(unit, "ns") == 0) {
        return bench_format_ns(out, value);
    }
    if (strcmp(unit, "x") == 0) {
        snprintf(out, BENCH_TEXT, "%.2fx", value);
    } else if (strcmp(unit, "share") == 0) {
        char percent[BENCH_TEXT];
        snprintf(out, BENCH_TEXT, "%.20s %%", bench_format_percent(percent, value));
    } else if (strcmp(unit, "1/s") == 0) {
        char count[BENCH_TEXT];
        snprintf(out, BENCH_TEXT, "%.20s/s", bench_format_count(count, value));
    } else {
        snprintf(out, BENCH_TEXT, "%.4g %s", value, unit);
    }
    return out;
}

static void print_groups(FILE *out, const struct bench_figures *f) {
    static struct bench_grid g;
    char text[BENCH_TEXT];
    for (uint32_t i = 0; i < f->figures_n;) {
        memset(&g, 0, sizeof(g));
        const char *group = f->figures[i].group;
        snprintf(g.title, sizeof(g.title), "%s", group);
        bench_grid_head(&g, "what");
        bench_grid_head(&g, "median");
        bench_grid_head(&g, "least");
        bench_grid_head(&g, "greatest");
        for (; i < f->figures_n && strcmp(f->figures[i].group, group) == 0; i++) {
            const struct bench_figure *one = &f->figures[i];
            bench_grid_cell(&g, 0, "%s", one->title);
            bench_grid_cell(&g, 1, "%s", figure_text(text, one->spread.median, one->unit));
            bench_grid_cell(&g, 2, "%s", figure_text(text, one->spread.min, one->unit));
            bench_grid_cell(&g, 3, "%s", figure_text(text, one->spread.max, one->unit));
            g.rows++;
        }
        bench_grid_print(out, &g);
    }
}

void bench_figures_print(FILE *out, const struct bench_figures *f) {
    char line[512], text[3][BENCH_TEXT];
    bench_machine_line(line, sizeof(line), f->machine);
    fprintf(out, "%s\n%s%s", line, f->note, f->note[0] != '\0' ? "\n" : "");
    print_groups(out, f);
    if (f->bars_n > 0) {
        fputs("\nbars (median of the repetitions' own ratios, least..greatest)\n", out);
    }
    for (uint32_t i = 0; i < f->bars_n; i++) {
        const struct bench_bar *b = &f->bars[i];
        const char *sense = b->sense == BENCH_AT_MOST ? "at most" : "at least";
        if (b->spread.n == 0) {
            fprintf(out, "  %s: not measured; the bar is %s %s\n", b->what, sense, figure_text(text[0], b->bar, b->unit));
            continue;
        }
        fprintf(out, "  %s: %s (%s..%s), ", b->what, figure_text(text[0], b->spread.median, b->unit),
                figure_text(text[1], b->spread.min, b->unit), figure_text(text[2], b->spread.max, b->unit));
        fprintf(out, "the bar is %s %s: %s\n", sense, figure_text(text[0], b->bar, b->unit), b->kept ? "kept" : "MISSED");
    }
}

int bench_figures_write(const struct bench_figures *f, const char *path) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", "tidemark.figures");
    cJSON_AddNumberToObject(o, "schema_version", BENCH_SCHEMA_VERSION);
    cJSON_AddStringToObject(o, "bench", f->bench);
    cJSON_AddStringToObject(o, "note", f->note);
    cJSON_AddItemToObject(o, "machine", bench_machine_json(f->machine));
    cJSON_AddNumberToObject(o, "repetitions", f->repetitions);
    cJSON *figures = cJSON_AddArrayToObject(o, "figures");
    for (uint32_t i = 0; i < f->figures_n; i++) {
        const struct bench_figure *g = &f->figures[i];
        cJSON *one = bench_spread_json(&g->spread);
        cJSON_AddStringToObject(one, "id", g->id);
        cJSON_AddStringToObject(one, "group", g->group);
        cJSON_AddStringToObject(one, "title", g->title);
        cJSON_AddStringToObject(one, "unit", g->unit);
        cJSON_AddItemToArray(figures, one);
    }
    cJSON *bars = cJSON_AddArrayToObject(o, "bars");
    for (uint32_t i = 0; i < f->bars_n; i++) {
        const struct bench_bar *b = &f->bars[i];
        cJSON *one = bench_spread_json(&b->spread);
        cJSON_AddStringToObject(one, "id", b->id);
        cJSON_AddStringToObject(one, "what", b->what);
        cJSON_AddStringToObject(one, "unit", b->unit);
        cJSON_AddStringToObject(one, "sense", b->sense == BENCH_AT_MOST ? "at most" : "at least");
        cJSON_AddNumberToObject(one, "bar", b->bar);
        cJSON_AddNumberToObject(one, "measured", (double)b->spread.n);
        cJSON_AddBoolToObject(one, "kept", b->kept);
        cJSON_AddItemToArray(bars, one);
    }
    int rc = bench_json_write(o, path);
    cJSON_Delete(o);
    return rc;
}
