/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/figures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/result.h"

void bench_figures_init(struct bench_figures *f, const char *bench, const struct bench_machine *machine,
                        uint32_t repetitions) {
    memset(f, 0, sizeof(*f));
    snprintf(f->bench, sizeof(f->bench), "%s", bench);
    f->machine = machine;
    f->repetitions = repetitions;
}

static void must(const struct bench_figures *f, bool good) {
    if (!good) {
        fprintf(stderr, "%s: no memory for its figures, or more of them than there is room for\n", f->bench);
        abort();
    }
}

bool bench_unit_more(const char *unit) {
    return strcmp(unit, "1/s") == 0 || strcmp(unit, "x") == 0;
}

uint32_t bench_figures_add(struct bench_figures *f, const char *id, const char *group, const char *title,
                           const char *unit) {
    must(f, f->figures_n < BENCH_FIGURES_MAX);
    struct bench_figure *g = &f->figures[f->figures_n];
    snprintf(g->id, sizeof(g->id), "%s", id);
    snprintf(g->group, sizeof(g->group), "%s", group);
    snprintf(g->title, sizeof(g->title), "%s", title);
    snprintf(g->unit, sizeof(g->unit), "%s", unit);
    g->more = bench_unit_more(unit);
    g->values = calloc(f->repetitions, sizeof(*g->values));
    must(f, g->values != NULL);
    return f->figures_n++;
}

void bench_figures_set(struct bench_figures *f, uint32_t figure, uint32_t repetition, double value) {
    f->figures[figure].values[repetition] = value;
    f->figures[figure].measured = true;
}

uint32_t bench_figures_find(const struct bench_figures *f, const char *id) {
    for (uint32_t i = 0; i < f->figures_n; i++) {
        if (strcmp(f->figures[i].id, id) == 0) {
            return i;
        }
    }
    return BENCH_NO_FIGURE;
}

void bench_figures_bar(struct bench_figures *f, const char *id, const char *what, const char *unit,
                       enum bench_sense sense, double bar, enum bench_made made, uint32_t a, uint32_t b,
                       uint32_t ours) {
    must(f, f->bars_n < BENCH_BARS_MAX);
    struct bench_bar *one = &f->bars[f->bars_n++];
    snprintf(one->id, sizeof(one->id), "%s", id);
    snprintf(one->what, sizeof(one->what), "%s", what);
    snprintf(one->unit, sizeof(one->unit), "%s", unit);
    one->sense = sense;
    one->bar = bar;
    one->made = made;
    one->a = a;
    one->b = b;
    one->ours = ours;
}

static double made_of(enum bench_made made, double a, double b) {
    switch (made) {
    case BENCH_RATIO:
        return bench_ratio(a, b);
    case BENCH_LESS:
        return a - b;
    case BENCH_RATE:
        return bench_ratio(1e9, a);
    case BENCH_ALONE:
        break;
    }
    return a;
}

static bool is_measured(const struct bench_figures *f, uint32_t figure) {
    return figure != BENCH_NO_FIGURE && f->figures[figure].measured;
}

static void settle_bar(struct bench_figures *f, struct bench_bar *b, double *values, uint32_t done) {
    bool two = b->made == BENCH_RATIO || b->made == BENCH_LESS;
    if (done == 0 || !is_measured(f, b->a) || (two && !is_measured(f, b->b))) {
        return;
    }
    const struct bench_figure *a = &f->figures[b->a], *base = two ? &f->figures[b->b] : a;
    for (uint32_t i = 0; i < done; i++) {
        values[i] = made_of(b->made, a->values[i], base->values[i]);
    }
    b->spread = bench_spread_of(values, done);
    b->kept = b->sense == BENCH_AT_MOST ? b->spread.median <= b->bar : b->spread.median >= b->bar;
    if (b->ours == BENCH_NO_FIGURE || b->made == BENCH_LESS) {
        return;
    }
    /* Where our own figure would have to end: the bar itself, or by the other one's median. */
    memcpy(b->group, f->figures[b->ours].group, sizeof(b->group));
    b->at = b->made == BENCH_RATE ? 1e9 / b->bar : b->bar;
    if (two) {
        b->at = b->ours == b->a ? b->bar * base->spread.median : a->spread.median / b->bar;
    }
}

void bench_figures_settle(struct bench_figures *f, uint32_t done) {
    double *values = malloc((done + 1) * sizeof(*values));
    uint32_t shown = 0;
    must(f, values != NULL);
    for (uint32_t i = 0; i < f->figures_n && done > 0; i++) {
        memcpy(values, f->figures[i].values, done * sizeof(*values)); /* the spread is made by sorting */
        f->figures[i].spread = bench_spread_of(values, done);
    }
    for (uint32_t i = 0; i < f->bars_n; i++) {
        settle_bar(f, &f->bars[i], values, done);
    }
    free(values);
    for (uint32_t i = 0; i < f->figures_n; i++) {
        struct bench_figure one = f->figures[i];
        free(one.values);
        one.values = NULL;
        if (one.measured && one.id[0] != '\0') {
            f->figures[shown++] = one;
        }
    }
    f->figures_n = shown;
    f->repetitions = done;
}

const char *bench_figure_text(char out[BENCH_TEXT], double value, const char *unit) {
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
        snprintf(out, BENCH_TEXT, "%s%.20s %%", value < 0.0 ? "-" : "",
                 bench_format_percent(percent, value < 0.0 ? -value : value));
    } else if (strcmp(unit, "1/s") == 0) {
        char count[BENCH_TEXT];
        snprintf(out, BENCH_TEXT, "%.20s/s", bench_format_count(count, value));
    } else {
        snprintf(out, BENCH_TEXT, "%.4g %s", value, unit);
    }
    return out;
}

uint32_t bench_figures_group(struct bench_grid *g, const struct bench_figures *f, uint32_t from) {
    static const char *const heads[] = { "what", "median", "least", "greatest" };
    char text[BENCH_TEXT];
    const char *group = f->figures[from].group;
    memset(g, 0, sizeof(*g));
    snprintf(g->title, sizeof(g->title), "%s", group);
    g->texts = 1;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        bench_grid_head(g, heads[i]);
    }
    snprintf(g->note, sizeof(g->note), "%s is better.", f->figures[from].more ? "More" : "Less");
    for (; from < f->figures_n && strcmp(f->figures[from].group, group) == 0; from++) {
        const struct bench_figure *one = &f->figures[from];
        bench_grid_cell(g, 0, "%s", one->title);
        bench_grid_cell(g, 1, "%s", bench_figure_text(text, one->spread.median, one->unit));
        bench_grid_cell(g, 2, "%s", bench_figure_text(text, one->spread.min, one->unit));
        bench_grid_cell(g, 3, "%s", bench_figure_text(text, one->spread.max, one->unit));
        g->rows++;
    }
    return from;
}

void bench_bars_start(struct bench_grid *g) {
    static const char *const heads[] = { "what", "median", "least..greatest", "bar", "" };
    memset(g, 0, sizeof(*g));
    snprintf(g->title, sizeof(g->title), "bars (median of the repetitions' own values, least..greatest)");
    g->texts = 1;
    g->verdicts = 4;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        bench_grid_head(g, heads[i]);
    }
}

void bench_bars_add(struct bench_grid *g, const struct bench_figures *f) {
    char text[2][BENCH_TEXT];
    for (uint32_t i = 0; i < f->bars_n; i++) {
        const struct bench_bar *b = &f->bars[i];
        bench_grid_cell(g, 0, "%s", b->what);
        if (b->spread.n > 0) {
            bench_grid_cell(g, 1, "%s", bench_figure_text(text[0], b->spread.median, b->unit));
            bench_grid_cell(g, 2, "%s..%s", bench_figure_text(text[0], b->spread.min, b->unit),
                            bench_figure_text(text[1], b->spread.max, b->unit));
        }
        bench_grid_cell(g, 3, "%s %s", b->sense == BENCH_AT_MOST ? "at most" : "at least",
                        bench_figure_text(text[0], b->bar, b->unit));
        bench_grid_cell(g, 4, "%s", b->spread.n == 0 ? "not measured" : b->kept ? "kept" : "MISSED");
        g->rows++;
    }
}

/* A table for each group, then the bars. */
static void print(FILE *out, const struct bench_figures *f) {
    static struct bench_grid g;
    char line[512];
    bench_machine_line(line, sizeof(line), f->machine);
    fprintf(out, "%s\n%s%s", line, f->note, f->note[0] != '\0' ? "\n" : "");
    for (uint32_t i = 0; i < f->figures_n;) {
        i = bench_figures_group(&g, f, i);
        bench_grid_print(out, &g);
    }
    if (f->bars_n > 0) {
        bench_bars_start(&g);
        bench_bars_add(&g, f);
        bench_grid_print(out, &g);
    }
}

int bench_figures_write(const struct bench_figures *f, const char *path) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "schema", "tidemark.figures");
    cJSON_AddNumberToObject(o, "schema_version", BENCH_SCHEMA_VERSION);
    cJSON_AddStringToObject(o, "bench", f->bench);
    cJSON_AddStringToObject(o, "note", f->note);
    cJSON_AddBoolToObject(o, "quick", f->quick);
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
        cJSON_AddStringToObject(one, "better", g->more ? "more" : "less");
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
        if (b->group[0] != '\0') {
            cJSON_AddStringToObject(one, "group", b->group);
            cJSON_AddNumberToObject(one, "at", b->at);
        }
        cJSON_AddItemToArray(bars, one);
    }
    int rc = bench_json_write(o, path);
    cJSON_Delete(o);
    return rc;
}

int bench_figures_publish(const struct bench_figures *f, const char *json_path) {
    if (json_path == NULL || strcmp(json_path, "-") != 0) {
        print(stdout, f);
    }
    if (json_path != NULL && bench_figures_write(f, json_path) != 0) {
        fprintf(stderr, "%s: writing %s: %s\n", f->bench, json_path, strerror(errno));
        return -1;
    }
    return 0;
}
