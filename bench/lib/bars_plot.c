/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/bars_plot.h"

#include <math.h>
#include <string.h>

#define LOG_FROM 20.0 /* a linear axis would show the small ones as nothing */

enum bench_bars_kind bench_bars_kind(const struct bench_figure *f) {
    static const char *const controls[] = { "control", ".loop", ".oneway", ".sleepers" };
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++) {
        if (strstr(f->id, controls[i]) != NULL) {
            return BENCH_BARS_CONTROL;
        }
    }
    return strcasestr(f->title, "tide") != NULL ? BENCH_BARS_OWN : BENCH_BARS_PEER;
}

static int is_drawn(const struct bench_bars_picture *p, uint32_t i) {
    return strcmp(p->figures->figures[i].unit, p->unit) == 0;
}

static int is_line(const struct bench_bars_picture *p, const struct bench_bar *b) {
    return b->at > 0.0 && strcmp(b->group, p->figures->figures[p->first].group) == 0;
}

/* Several bars of a group may lie at one place: one line, one label. */
static int is_new_line(const struct bench_bars_picture *p, uint32_t i) {
    const struct bench_bar *bars = p->figures->bars;
    for (uint32_t k = 0; k < i; k++) {
        if (is_line(p, &bars[k]) && bars[k].at == bars[i].at && bars[k].sense == bars[i].sense) {
            return 0;
        }
    }
    return is_line(p, &bars[i]);
}

/* gnuplot's own prefixes are for powers of thousand of the base unit. */
static double scale_of(const char *unit) {
    return strcmp(unit, "ns") == 0 ? 1e-9 : strcmp(unit, "share") == 0 ? 100.0 : 1.0;
}

static void axis(FILE *f, const struct bench_bars_picture *p) {
    const char *format = "%g", *unit = p->unit;
    const char *better = p->figures->figures[p->first].more ? "more is better" : "less is better";
    char label[64];
    if (strcmp(unit, "ns") == 0) {
        format = "%.0s %cs";
    } else if (strcmp(unit, "1/s") == 0) {
        format = "%.0s %c/s";
    } else if (strcmp(unit, "share") == 0) {
        format = "%g %%";
    }
    fprintf(f, "set format x '%s'\n", format);
    if (strcmp(format, "%g") == 0) {
        snprintf(label, sizeof(label), "%s; %s", strcmp(unit, "x") == 0 ? "times" : unit, better);
        better = label;
    }
    fprintf(f, "set xlabel ");
    bench_gnuplot_string(f, better);
    fprintf(f, "\n");
}

struct range {
    double least, most; /* of what is above 0 */
    uint32_t rows, kinds[BENCH_BARS_KINDS];
    uint32_t lines; /* where bars lie: each has a row of its own above the picture for its label */
};

static void widen(struct range *r, double value) {
    if (value > 0.0) {
        r->least = r->least == 0.0 || value < r->least ? value : r->least;
        r->most = value > r->most ? value : r->most;
    }
}

static struct range range_of(const struct bench_bars_picture *p) {
    struct range r = { 0.0, 0.0, 0, { 0 }, 0 };
    for (uint32_t i = p->first; i < p->last; i++) {
        const struct bench_figure *g = &p->figures->figures[i];
        if (is_drawn(p, i)) {
            widen(&r, g->spread.min);
            widen(&r, g->spread.max);
            widen(&r, g->spread.median);
            r.rows++;
            r.kinds[bench_bars_kind(g)]++;
        }
    }
    for (uint32_t i = 0; i < p->figures->bars_n; i++) {
        if (is_line(p, &p->figures->bars[i])) {
            widen(&r, p->figures->bars[i].at);
            r.lines += is_new_line(p, i) != 0;
        }
    }
    if (r.kinds[BENCH_BARS_OWN] == 0) { /* percentiles of one time, say: nothing is compared with anything */
        r.kinds[BENCH_BARS_OWN] = r.kinds[BENCH_BARS_PEER];
        r.kinds[BENCH_BARS_PEER] = 0;
    }
    return r;
}

static enum bench_bars_kind kind_in(const struct range *r, const struct bench_figure *g) {
    enum bench_bars_kind kind = bench_bars_kind(g);
    return kind == BENCH_BARS_PEER && r->kinds[kind] == 0 ? BENCH_BARS_OWN : kind;
}

static const struct {
    const char *name, *colour;
} kinds[BENCH_BARS_KINDS] = { { "own", "#0072B2" }, { "peers", "#E69F00" }, { "controls", "#999999" } };

/* Rows from the top; those of one kind are one data block, so that each kind has a colour. */
static void data(FILE *f, const struct bench_bars_picture *p, const struct range *r, unsigned kind, double from) {
    double scale = scale_of(p->unit);
    uint32_t row = 0;
    fprintf(f, "$%s << EOD\n", kinds[kind].name);
    for (uint32_t i = p->first; i < p->last; i++) {
        if (!is_drawn(p, i)) {
            continue;
        }
        const struct bench_figure *g = &p->figures->figures[i];
        row++;
        if (kind_in(r, g) == kind) {
            double low = fmax(g->spread.min * scale, from), high = fmax(g->spread.max * scale, from);
            fprintf(f, "%.9g %d %.9g %.9g\n", fmax(g->spread.median * scale, from), -(int)row, low, high);
        }
    }
    fprintf(f, "EOD\n");
}

static void names(FILE *f, const struct bench_bars_picture *p, double from) {
    double scale = scale_of(p->unit);
    char text[BENCH_TEXT];
    uint32_t row = 0;
    fprintf(f, "set ytics (");
    for (uint32_t i = p->first; i < p->last; i++) {
        if (is_drawn(p, i)) {
            row++;
            fprintf(f, "%s", row > 1 ? ", " : "");
            bench_gnuplot_string(f, p->figures->figures[i].title);
            fprintf(f, " %d", -(int)row);
        }
    }
    fprintf(f, ") font ',12'\n");
    row = 0;
    for (uint32_t i = p->first; i < p->last; i++) {
        if (is_drawn(p, i)) {
            const struct bench_spread *s = &p->figures->figures[i].spread;
            fprintf(f, "set label ");
            bench_gnuplot_string(f, bench_figure_text(text, s->median, p->unit));
            fprintf(f, " at %.9g, %d left offset 0.8,0 font ',11' front boxed\n", fmax(s->max * scale, from),
                    -(int)++row);
        }
    }
}

static void lines(FILE *f, const struct bench_bars_picture *p) {
    char text[BENCH_TEXT], label[BENCH_TEXT + sizeof(((struct bench_bar *)NULL)->id)];
    uint32_t drawn = 0;
    for (uint32_t i = 0; i < p->figures->bars_n; i++) {
        const struct bench_bar *b = &p->figures->bars[i];
        if (is_new_line(p, i)) {
            double x = b->at * scale_of(p->unit);
            if (strcmp(b->unit, p->unit) == 0) {
                snprintf(label, sizeof(label), "bar: %s %s", b->sense == BENCH_AT_MOST ? "at most" : "at least",
                         bench_figure_text(text, b->at, p->unit));
            } else { /* a ratio to another row: the label says where that lies on this axis */
                snprintf(label, sizeof(label), "%s: %s", b->id, bench_figure_text(text, b->at, p->unit));
            }
            fprintf(f, "set arrow from %.9g, graph 0 to %.9g, graph 1 nohead lc rgb '#000000' dt 2 lw 1\n", x, x);
            fprintf(f, "set label ");
            bench_gnuplot_string(f, label);
            fprintf(f, " at %.9g, graph 1 center offset 0,%g font ',11'\n", x, 0.7 + 1.1 * drawn++);
        }
    }
}

int bench_bars_plot(FILE *f, const void *ctx) {
    const struct bench_bars_picture *p = ctx;
    struct range r = range_of(p);
    if (r.rows == 0 || r.most == 0.0) {
        return 1;
    }
    double scale = scale_of(p->unit);
    int logarithmic = r.most / r.least > LOG_FROM;
    double from = logarithmic ? r.least * scale / 2.0 : 0.0;
    /* To the right there is room for the median in words. */
    double to = logarithmic ? r.most * scale * pow(r.most / r.least * 2.0, 0.16) : r.most * scale * 1.16;
    bench_gnuplot_head(f, 105 + 18 * (int)r.lines + 30 * (int)r.rows);
    fprintf(f,
            "set style textbox opaque noborder fillcolor '#ffffff' margins 0.2,0.2\nunset grid\nset grid xtics lc rgb "
            "'#dddddd' lw 0.5 lt 1\nset tmargin %g\nunset key\n",
            1.0 + 1.1 * r.lines);
    fprintf(f, "set yrange [%g:-0.4]\nset xrange [%.9g:%.9g]\n%s", -(double)r.rows - 0.6, from, to,
            logarithmic ? "set logscale x 10\n" : "");
    axis(f, p);
    for (unsigned kind = 0; kind < BENCH_BARS_KINDS; kind++) {
        data(f, p, &r, kind, from);
    }
    names(f, p, from);
    lines(f, p);
    const char *separator = "plot ";
    for (unsigned kind = 0; kind < BENCH_BARS_KINDS; kind++) {
        if (r.kinds[kind] == 0) {
            continue; /* gnuplot makes an error of a block without rows */
        }
        const char *block = kinds[kind].name;
        fprintf(f,
                "%s$%s using 1:2:(%.9g):1:($2-0.32):($2+0.32) with boxxyerror fs solid 0.85 noborder lc rgb '%s', \\\n"
                " $%s using 1:2:3:4 with xerrorbars lc rgb '#222222' pt 7 ps 0.4 lw 1",
                separator, block, from, kinds[kind].colour, block);
        separator = ", \\\n ";
    }
    fprintf(f, "\n");
    return 0;
}
