/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which bars are kept? One page of what all benchmarks found. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/lib/bars_plot.h"
#include "bench/lib/options.h"
#include "bench/lib/page.h"

#define FILES_MAX 256u

struct input {
    struct bench_figures *figures;
    struct bench_machine *machine;
};

struct bars {
    struct input *inputs;
    uint32_t n;
    uint32_t failed;
};

static void take_file(struct bars *b, const char *path) {
    char error[BENCH_ERROR_BYTES];
    struct input *in = &b->inputs[b->n];
    in->figures = malloc(sizeof(*in->figures));
    in->machine = calloc(1, sizeof(*in->machine));
    if (in->figures == NULL || in->machine == NULL) {
        fprintf(stderr, "bars: no memory\n");
        exit(BENCH_EXIT_FAILED);
    }
    if (bench_figures_read(in->figures, in->machine, path, error) != 0) {
        fprintf(stderr, "bars: %s; left out\n", error);
        free(in->figures);
        free(in->machine);
        b->failed++;
        return;
    }
    b->n++;
}

static void all_bars(struct bench_grid *g, const struct bars *b) {
    uint32_t kept = 0, missed = 0, total = 0;
    bench_bars_start(g);
    for (uint32_t i = 0; i < b->n; i++) {
        const struct bench_figures *f = b->inputs[i].figures;
        bench_bars_add(g, f);
        for (uint32_t k = 0; k < f->bars_n; k++, total++) {
            kept += f->bars[k].spread.n > 0 && f->bars[k].kept;
            missed += f->bars[k].spread.n > 0 && !f->bars[k].kept;
        }
    }
    snprintf(g->note, sizeof(g->note),
             "%u kept, %u missed, %u not measured. Median of the repetitions' own values; a bar is kept when the "
             "median keeps "
             "it.",
             kept, missed, total - kept - missed);
}

/* The picture lives in memory alone, so that no file stays however the program ends. */
static void picture(FILE *out, const struct bench_bars_picture *p) {
    char path[64], alt[160];
    int fd = memfd_create("picture", MFD_CLOEXEC);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    enum bench_drawn drawn = fd >= 0 ? bench_gnuplot_draw(bench_bars_plot, p, path) : BENCH_DRAWN_FAILED;
    snprintf(alt, sizeof(alt), "%s, %s", p->figures->figures[p->first].group, p->unit);
    bench_page_picture(out, drawn, path, alt, "", "all figures are 0.");
    if (fd >= 0) {
        close(fd);
    }
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
    const struct bench_figures *f = in->figures;
    char line[128];
    fprintf(out, "<h1>");
    bench_html_text(out, f->bench);
    fprintf(out, "</h1>\n");
    for (uint32_t i = 0; i < f->figures_n;) {
        uint32_t next = bench_figures_group(g, f, i);
        fprintf(out, "<h2>");
        bench_html_text(out, g->title);
        fprintf(out, "</h2>\n");
        g->title[0] = '\0';
        pictures(out, f, i, next);
        bench_grid_html(out, g);
        i = next;
    }
    fprintf(out, "<table class=\"facts\">\n");
    bench_page_row(out, "Settings", f->note);
    snprintf(line, sizeof(line), "%s, repetitions: %u", in->machine->date, f->repetitions);
    bench_page_row(out, "Measured", line);
    bench_page_machine(out, in->machine);
    fprintf(out, "</table>\n");
}

static void page(FILE *out, const struct bars *b, struct bench_grid *g) {
    bench_page_begin(out, "Tidemark: benchmarks", "Tidemark: the benchmarks and their bars");
    fputs("<p>A bar is a ratio or a figure that should be kept. In the pictures: the median; whiskers from the least "
          "to the "
          "greatest of the repetitions; Tidemark blue, what it is compared with orange; a dashed line where a bar "
          "lies. Where "
          "figures span more than 20 times, the axis is logarithmic.</p>\n",
          out);
    all_bars(g, b);
    bench_grid_html(out, g);
    for (uint32_t i = 0; i < b->n; i++) {
        page_of_one(out, &b->inputs[i], g);
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
        fprintf(stderr,
                "bars: give the JSON files that benchmarks wrote, such as build/report/*.json; --help lists all "
                "arguments\n");
        return BENCH_EXIT_USAGE;
    }
    struct bars b = { calloc(files_n, sizeof(struct input)), 0, 0 };
    struct bench_grid *g = malloc(sizeof(*g));
    if (b.inputs == NULL || g == NULL) {
        fprintf(stderr, "bars: no memory\n");
        return BENCH_EXIT_FAILED;
    }
    for (uint32_t i = 0; i < files_n; i++) {
        take_file(&b, files[i]);
    }
    int rc = BENCH_EXIT_FAILED;
    if (b.n == 0) {
        fprintf(stderr, "bars: none of the files could be used\n");
    } else if (text) {
        all_bars(g, &b);
        bench_grid_print(stdout, g);
        rc = BENCH_EXIT_OK;
    } else {
        rc = write_page(&b, out, g);
    }
    for (uint32_t i = 0; i < b.n; i++) {
        free(b.inputs[i].figures);
        free(b.inputs[i].machine);
    }
    free(b.inputs);
    free(g);
    return rc;
}
