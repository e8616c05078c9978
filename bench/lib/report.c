/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/report.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/lib/format.h"
#include "bench/lib/grid.h"
#include "bench/lib/hdrlog.h"
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

/* The whole file in base64; NULL where it cannot be read. */
static char *file_base64(const char *path) {
    FILE *f = fopen(path, "re");
    struct stat st;
    char *text = NULL;
    if (f == NULL) {
        return NULL;
    }
    if (fstat(fileno(f), &st) == 0 && st.st_size > 0) {
        size_t n = (size_t)st.st_size;
        uint8_t *bytes = malloc(n);
        if (bytes != NULL && fread(bytes, 1, n, f) == n && hdrlog_base64_encode(bytes, n, &text) != 0) {
            text = NULL;
        }
        free(bytes);
    }
    fclose(f);
    return text;
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
    { bench_plot_throughput, "throughput.png", "Throughput against replicas",
      "Reads per second against the number of replicas, with the ideal and the control line",
      "Median over the repetitions; bars from the least to the greatest. Ideal: the first point times the replicas. "
      "Control: "
      "the first point times what the control loop gained with as many threads; what lies between it and the ideal, "
      "the "
      "machine did not give.",
      "No repetition was complete." },
    { bench_plot_latency, "latency.png", "Latency by percentile",
      "Latency of a read by percentile, one line for each replica count",
      "The axis gives each further nine of the percentile the same room. * more reader threads than CPUs.",
      "No read was timed." },
    { bench_plot_lag, "lag.png", "Lag over time", "Staleness and lag in entries of the worst follower over time",
      "The follower that was worst, looked at 20 times a second while readers read. No mark: all followers were up to "
      "date at "
      "that instant.",
      "There were no followers." },
};

static void html_picture(FILE *out, const struct bench_sweep *s, const struct picture *pic, const char *dir) {
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", dir, pic->file);
    enum bench_drawn drawn = bench_plot_draw(pic->plot, s, path);
    char *base64 = drawn == BENCH_DRAWN ? file_base64(path) : NULL;
    fprintf(out, "<h2>%s</h2>\n", pic->title);
    if (base64 != NULL) {
        fprintf(out, "<img alt=\"%s\" src=\"data:image/png;base64,%s\">\n<p class=\"note\">%s</p>\n", pic->alt, base64,
                pic->caption);
    } else if (drawn == BENCH_DRAWN_NOTHING) {
        fprintf(out, "<p class=\"note\">Nothing to draw: %s</p>\n", pic->nothing);
    } else if (drawn == BENCH_DRAWN_NO_GNUPLOT) {
        fprintf(out, "<p class=\"note\">No picture: gnuplot is not installed. The figures are in the tables.</p>\n");
    } else {
        fprintf(out, "<p class=\"note\">No picture: gnuplot could not draw it (its terminal pngcairo is needed). The "
                     "figures are in the tables.</p>\n");
    }
    free(base64);
}

static void html_row(FILE *out, const char *name, const char *value) {
    fprintf(out, "<tr><th>%s</th><td>", name);
    bench_html_text(out, value);
    fprintf(out, "</td></tr>\n");
}

static void html_machine(FILE *out, const struct bench_sweep *s) {
    const struct bench_machine *m = s->machine;
    char line[512];
    fprintf(out, "<h2>Machine and settings</h2>\n<table class=\"facts\">\n");
    html_row(out, "CPU", m->cpu_model);
    snprintf(line, sizeof(line), "%u usable of %u online, %.1f GiB of memory", m->cpus, m->cpus_online,
             (double)m->memory_bytes / 0x1p30);
    html_row(out, "CPUs", line);
    html_row(out, "Kernel", m->kernel);
    html_row(out, "Huge pages", m->huge_pages);
    html_row(out, "Clock source", m->clock_source);
    html_row(out, "Compiler", m->compiler);
    html_row(out, "Commit", m->commit);
    snprintf(line, sizeof(line), "%s, took %.1f s%s", m->date, s->took_s, s->interrupted ? ", interrupted" : "");
    html_row(out, "Measured", line);
    bench_settings_line(line, sizeof(line), s);
    html_row(out, "Settings", line);
    fprintf(out, "</table>\n");
}

static const char *const page_head =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>Tidemark: reads against replicas</title>\n<style>\n"
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 "
    "1rem;color:#222;background:#fff}\n"
    "h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem}\n"
    "img{width:100%;height:auto}.wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:.9rem}\n"
    "th,td{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}\n"
    "th{font-weight:600}.facts th,.facts td{text-align:left;white-space:normal;vertical-align:top}\n"
    ".note{color:#555;font-size:.9rem}\n"
    "</style></head><body>\n<h1>Tidemark: read throughput against the number of replicas</h1>\n";

static void html_intro(FILE *out, const struct bench_options *o) {
    const char *where = " in one process";
    if (o->processes) {
        where = o->read_foreign ? ", each in a process of its own, read by processes that have none"
                                : ", each in a process of its own, and read there";
    }
    fprintf(
        out,
        "<p>N replicas are one leader and N&nbsp;&minus;&nbsp;1 followers%s; readers are spread over all N. Each "
        "reader thread is a session with a home replica, pinned to a CPU where the system allows it. Beside every "
        "slice "
        "of reading, the same threads ran a control loop of pure arithmetic: it tells how many CPUs the machine really "
        "granted.</p>\n",
        where);
}

static void html_page(FILE *out, const struct bench_sweep *s, const char *dir, struct bench_grid *g) {
    fputs(page_head, out);
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
          "HdrHistogram's "
          "tools: the .hgrm (microseconds) and .hlog files beside this page.</p>\n</body></html>\n",
          out);
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
    cJSON *json = bench_result_json(s);
    int rc = json != NULL ? bench_json_write(json, path) : -1;
    cJSON_Delete(json);
    if (rc != 0) {
        return failed(error, path);
    }
    rc = write_histograms(s, dir, error);
    return rc != 0 ? rc : write_page(s, dir, error);
}
