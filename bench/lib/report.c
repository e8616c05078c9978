/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/report.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/lib/format.h"
#include "bench/lib/grid.h"
#include "bench/lib/hdrlog.h"
#include "bench/lib/page.h"
#include "bench/lib/plot.h"
#include "bench/lib/result.h"

static int failed(char *error, const char *path) {
    snprintf(error, BENCH_ERROR_BYTES, "writing %.150s: %s", path, strerror(errno));
    return -1;
}

int bench_make_directory(const char *path) {
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof(part)) {
        errno = n == 0 ? ENOENT : ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char kept = part[i];
        part[i] = '\0';
        if (mkdir(part, 0777) != 0 && errno != EEXIST) {
            return -1;
        }
        part[i] = kept;
    }
    struct stat st;
    if (stat(path, &st) != 0) {
        return -1;
    }
    if (!S_ISDIR(st.st_mode)) {
        errno = ENOTDIR;
        return -1;
    }
    return 0;
}

static int write_hgrm(const struct bench_point *p, const char *path) {
    FILE *f = fopen(path, "we");
    if (f == NULL) {
        return -1;
    }
    int rc = hdrlog_hgrm(f, p->latency, HDRLOG_TICKS, 1e3);
    return fclose(f) != 0 ? -1 : rc;
}

/* One interval for each repetition. */
static int write_hlog(const struct bench_sweep *s, const struct bench_point *p, const char *path) {
    FILE *f = fopen(path, "we");
    if (f == NULL) {
        return -1;
    }
    char comment[96];
    char tag[24];
    snprintf(comment, sizeof(comment), "[Tidemark readscale: latency of reads, ns, %u replicas]", p->replicas);
    snprintf(tag, sizeof(tag), "r%u", p->replicas);
    int rc = hdrlog_begin(f, comment, s->start_unix_ms);
    for (uint32_t i = 0; i < p->done && rc == 0; i++) {
        const struct bench_trial *t = &p->trials[i];
        rc = hdrlog_interval(f, tag, t->start_s, t->read_s + t->control_s, t->latency, 1e6);
    }
    return fclose(f) != 0 ? -1 : rc;
}

static int write_histograms(const struct bench_sweep *s, const char *dir, char *error) {
    for (uint32_t i = 0; i < s->points_n; i++) {
        const struct bench_point *p = &s->points[i];
        char path[PATH_MAX];
        if (p->done == 0) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/readscale-r%u.hgrm", dir, p->replicas);
        if (write_hgrm(p, path) != 0) {
            return failed(error, path);
        }
        snprintf(path, sizeof(path), "%s/readscale-r%u.hlog", dir, p->replicas);
        if (write_hlog(s, p, path) != 0) {
            return failed(error, path);
        }
    }
    return 0;
}

struct picture {
    int (*plot)(FILE *, const struct bench_sweep *);
    const char *file;
    const char *title;
    const char *alt;
    const char *caption;
    const char *nothing;
};

static const struct picture pictures[] = {
    { bench_plot_throughput, "throughput.svg", "Throughput against replicas",
      "Reads per second against the number of replicas, with the ideal and the control line",
      "Median over the repetitions; bars from the least to the greatest. Ideal: the first point times the replicas. "
      "Control: the first point times what the control loop gained with as many threads; what lies between it and the "
      "ideal, the machine did not give.",
      "No repetition was complete." },
    { bench_plot_latency, "latency.svg", "Latency by percentile",
      "Latency of a read by percentile, one line for each replica count",
      "The axis gives each further nine of the percentile the same room. * more reader threads than CPUs.",
      "No read was timed." },
    { bench_plot_lag, "lag.svg", "Lag over time", "Staleness and lag in entries of the worst follower over time",
      "The follower that was worst, looked at 20 times a second while readers read. No mark: all followers were up to "
      "date at that instant.",
      "There were no followers." },
};

static void html_picture(FILE *out, const struct bench_sweep *s, const struct picture *pic, const char *dir) {
    char path[PATH_MAX], *svg;
    snprintf(path, sizeof(path), "%s/%s", dir, pic->file);
    enum bench_drawn drawn = bench_plot_draw(pic->plot, s, &svg);
    if (drawn != BENCH_DRAWN || bench_text_write(svg, "", path) != 0) {
        unlink(path); /* of an older run, or half of it; the page has the picture anyway */
    }
    fprintf(out, "<h2>%s</h2>\n", pic->title);
    bench_page_picture(out, drawn, svg, pic->alt, pic->caption, pic->nothing);
}

static void html_machine(FILE *out, const struct bench_sweep *s) {
    const struct bench_machine *m = s->machine;
    char line[512];
    fprintf(out, "<h2>Machine and settings</h2>\n<table class=\"facts\">\n");
    bench_page_machine(out, m);
    snprintf(line, sizeof(line), "%s, took %.1f s%s", m->date, s->took_s, s->interrupted ? ", interrupted" : "");
    bench_page_row(out, "Measured", line);
    bench_settings_line(line, sizeof(line), s);
    bench_page_row(out, "Settings", line);
    fprintf(out, "</table>\n");
}

static void html_intro(FILE *out, const struct bench_options *o) {
    const char *where = " in one process";
    if (o->processes) {
        where = o->read_foreign ? ", each in a process of its own, read by processes that have none"
                                : ", each in a process of its own, and read there";
    }
    fprintf(out,
            "<p>N replicas are one leader and N&nbsp;&minus;&nbsp;1 followers%s; readers are spread over all N. Each "
            "reader thread is a session with a home replica, pinned to a CPU where the system allows it. Beside every "
            "slice of reading, the same threads ran a control loop of pure arithmetic: it tells how many CPUs the "
            "machine really granted.</p>\n",
            where);
}

static void html_page(FILE *out, const struct bench_sweep *s, const char *dir, struct bench_grid *g) {
    bench_page_begin(out, "Tidemark: reads against replicas",
                     "Tidemark: read throughput against the number of replicas");
    html_intro(out, s->options);
    if (s->interrupted) {
        fputs("<p><strong>Interrupted: the figures are of the repetitions that were complete.</strong></p>\n", out);
    }
    bench_grid_throughput(g, s);
    bench_grid_html(out, g);
    html_picture(out, s, &pictures[0], dir);
    bench_grid_latency(g, s);
    bench_grid_html(out, g);
    html_picture(out, s, &pictures[1], dir);
    bench_grid_reasons(g, s);
    bench_grid_html(out, g);
    html_picture(out, s, &pictures[2], dir);
    char bound[BENCH_TEXT];
    if (s->options->max_staleness_ns == TIDE_UNBOUNDED) {
        fputs("<p class=\"note\">Reads had no staleness bound.</p>\n", out);
    } else if (s->options->max_staleness_ns == 0) {
        fputs("<p class=\"note\">The bound of reads was 0: linearizable.</p>\n", out);
    } else {
        fprintf(out,
                "<p class=\"note\">The bound of reads was %s; it is drawn where it is not far above the data.</p>\n",
                bench_format_ns(bound, (double)s->options->max_staleness_ns));
    }
    html_machine(out, s);
    fputs("<p class=\"note\">What each column means: docs/bench.md. The figures: result.json. Histograms for "
          "HdrHistogram's tools: the .hgrm (microseconds) and .hlog files beside this page.</p>\n",
          out);
    bench_page_end(out);
}

static int write_page(const struct bench_sweep *s, const char *dir, char *error) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/report.html", dir);
    struct bench_grid *g = malloc(sizeof(*g));
    FILE *out = g != NULL ? fopen(path, "we") : NULL;
    if (out == NULL) {
        free(g);
        return failed(error, path);
    }
    html_page(out, s, dir, g);
    free(g);
    int bad = ferror(out);
    return fclose(out) != 0 || bad ? failed(error, path) : 0;
}

int bench_report_write(const struct bench_sweep *s, const char *dir, char *error) {
    char path[PATH_MAX];
    if (strlen(dir) > PATH_MAX - 64) {
        errno = ENAMETOOLONG;
        return failed(error, dir);
    }
    if (bench_make_directory(dir) != 0) {
        return failed(error, dir);
    }
    snprintf(path, sizeof(path), "%s/result.json", dir);
    if (bench_result_write(s, path) != 0) {
        return failed(error, path);
    }
    int rc = write_histograms(s, dir, error);
    return rc != 0 ? rc : write_page(s, dir, error);
}
