/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which bars are kept? One page of what all benchmarks found. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/bars_plot.h"
#include "bench/lib/options.h"
#include "bench/lib/page.h"

#define FILES_MAX 256u

struct input {
    struct bench_figures figures;
    struct bench_machine machine;
};

struct bars {
    struct input *inputs[FILES_MAX];
    uint32_t n, kept, missed, unmeasured;
    char quick[256]; /* the names of those that were quick */
};

static void *must(void *memory) {
    if (memory == NULL) {
        fprintf(stderr, "bars: no memory\n");
        exit(BENCH_EXIT_FAILED);
    }
    return memory;
}

static void take_file(struct bars *b, const char *path) {
    char error[BENCH_ERROR_BYTES];
    struct input *in = must(calloc(1, sizeof(*in)));
    const struct bench_figures *f = &in->figures;
    if (bench_figures_read(&in->figures, &in->machine, path, error) != 0) {
        fprintf(stderr, "bars: %s; left out\n", error);
        free(in);
        return;
    }
    b->inputs[b->n++] = in;
    for (uint32_t k = 0; k < f->bars_n; k++) {
        bool measured = f->bars[k].spread.n > 0;
        b->kept += measured && f->bars[k].kept;
        b->missed += measured && !f->bars[k].kept;
        b->unmeasured += !measured;
    }
    size_t used = strlen(b->quick);
    if (f->quick) {
        snprintf(b->quick + used, sizeof(b->quick) - used, "%s%s", used > 0 ? ", " : "", f->bench);
    }
}

/* How it stands, in one sentence. */
static void sentence(FILE *out, const struct bars *b) {
    fprintf(out, "Of %u bars %u are kept, %u are missed and %u were not measured", b->kept + b->missed + b->unmeasured,
            b->kept, b->missed, b->unmeasured);
    if (b->quick[0] != '\0') {
        fputs("; figures mean nothing where the run was quick: ", out);
        bench_html_text(out, b->quick);
    }
    fputs(".", out);
}

static void all_bars(struct bench_grid *g, const struct bars *b) {
    bench_bars_start(g);
    for (uint32_t i = 0; i < b->n; i++) {
        bench_bars_add(g, &b->inputs[i]->figures);
    }
    snprintf(g->note, sizeof(g->note), "A bar is kept when the median keeps it.");
}

static void picture(FILE *out, const struct bench_bars_picture *p) {
    char alt[160], *svg;
    enum bench_drawn drawn = bench_gnuplot_draw(bench_bars_plot, p, &svg);
    snprintf(alt, sizeof(alt), "%s, %s", p->figures->figures[p->first].group, p->unit);
    bench_page_picture(out, drawn, svg, alt, "", "all figures are 0.");
}

/* One picture for each unit of a group. */
static void pictures(FILE *out, const struct bench_figures *f, uint32_t first, uint32_t last) {
    for (uint32_t i = first; i < last; i++) {
        struct bench_bars_picture p = { f, first, last, f->figures[i].unit };
        int seen = 0;
        for (uint32_t k = first; k < i; k++) {
            seen |= strcmp(f->figures[k].unit, p.unit) == 0;
        }
        if (!seen) {
            picture(out, &p);
        }
    }
}

static void page_of_one(FILE *out, const struct input *in, struct bench_grid *g) {
    const struct bench_figures *f = &in->figures;
    char line[128];
    fprintf(out, "<h1 id=\"");
    bench_html_text(out, f->bench);
    fprintf(out, "\">");
    bench_html_text(out, f->bench);
    fprintf(out, "</h1>\n");
    for (uint32_t i = 0; i < f->figures_n;) {
        uint32_t next = bench_figures_group(g, f, i);
        bench_html_tag(out, "h2", g->title);
        g->title[0] = '\0';
        pictures(out, f, i, next);
        bench_grid_html(out, g);
        i = next;
    }
    fprintf(out, "<table class=\"facts\">\n");
    bench_page_row(out, "Settings", f->note);
    snprintf(line, sizeof(line), "%s, repetitions: %u%s", in->machine.date, f->repetitions,
             f->quick ? "; quick: the figures mean nothing" : "");
    bench_page_row(out, "Measured", line);
    bench_page_machine(out, &in->machine);
    fprintf(out, "</table>\n");
}

static void page(FILE *out, const struct bars *b, struct bench_grid *g) {
    bench_page_begin(out, "Tidemark: benchmarks", "Tidemark: the benchmarks and their bars");
    fputs("<p><strong>", out);
    sentence(out, b);
    fputs("</strong></p>\n<p>Contents: <a href=\"#bars\">the bars</a>", out);
    for (uint32_t i = 0; i < b->n; i++) {
        fputs(", <a href=\"#", out);
        bench_html_text(out, b->inputs[i]->figures.bench);
        fputs("\">", out);
        bench_html_text(out, b->inputs[i]->figures.bench);
        fputs("</a>", out);
    }
    fputs("</p>\n<p>A bar is a ratio or a figure that should be kept. In the pictures: the median; whiskers from the "
          "least to the greatest of the repetitions; Tidemark blue, what it is compared with orange, controls grey; a "
          "dashed line where a bar lies. Where figures span more than 20 times, the axis is logarithmic.</p>\n"
          "<div id=\"bars\"></div>\n",
          out);
    all_bars(g, b);
    bench_grid_html(out, g);
    for (uint32_t i = 0; i < b->n; i++) {
        page_of_one(out, b->inputs[i], g);
    }
    fputs("<p class=\"note\">What each figure means: docs/bench.md.</p>\n", out);
    bench_page_end(out);
}

static int write_page(const struct bars *b, const char *path, struct bench_grid *g) {
    FILE *out = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    int bad = out == NULL;
    if (!bad) {
        page(out, b, g);
        bad = ferror(out);
        bad |= out == stdout ? fflush(out) : fclose(out);
    }
    if (bad) {
        fprintf(stderr, "bars: writing %s: %s\n", path, strerror(errno));
        return BENCH_EXIT_FAILED;
    }
    if (out != stdout) {
        printf("%s\n", path);
    }
    return BENCH_EXIT_OK;
}

int main(int argc, char **argv) {
    const char *out = "bars.html";
    const char *files[FILES_MAX];
    int text = 0;
    const struct bench_arg args[] = {
        BENCH_ARG(TEXT, "out", "FILE", &out, "the page; - is stdout. Default bars.html", .wants = "a file name, or -"),
        BENCH_ARG(FLAG, "text", NULL, &text, "print the table of bars, and write no page"),
    };
    struct bench_command c = {
        .name = "bars",
        .usage = "[options] FILE...",
        .about = "Reads what benchmarks wrote by --json (schema tidemark.figures, docs/bench.md) and writes one\n"
                 "HTML page: the table of all bars, then pictures and tables of the figures.\n"
                 "A file that is broken or of another schema is told on stderr and left out.\n",
        .after = "Exit codes: 0 done; 1 no file could be used, or the page could not be written; 2 bad arguments.\n"
                 "Whether the bars are kept does not change the exit code.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
        .rest = files,
        .rest_room = FILES_MAX,
    };
    int code = bench_args_take(&c, argc, argv);
    if (code >= 0) {
        return code;
    }
    uint32_t files_n = c.rest_n;
    if (files_n == 0) {
        fprintf(stderr, "bars: give the JSON files that benchmarks wrote, such as build/report/*.json; --help lists "
                        "all arguments\n");
        return BENCH_EXIT_USAGE;
    }
    static struct bars b;
    struct bench_grid *g = must(malloc(sizeof(*g)));
    for (uint32_t i = 0; i < files_n; i++) {
        take_file(&b, files[i]);
    }
    int rc = BENCH_EXIT_FAILED;
    if (b.n == 0) {
        fprintf(stderr, "bars: none of the files could be used\n");
    } else if (text) {
        all_bars(g, &b);
        sentence(stdout, &b);
        putchar('\n');
        bench_grid_print(stdout, g);
        rc = BENCH_EXIT_OK;
    } else {
        rc = write_page(&b, out, g);
    }
    for (uint32_t i = 0; i < b.n; i++) {
        free(b.inputs[i]);
    }
    free(g);
    return rc;
}
