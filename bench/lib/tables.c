/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands in the tables of a sweep. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/format.h"
#include "bench/lib/grid.h"

typedef void fill_row_fn(struct bench_grid *g, const struct bench_sweep *s, const struct bench_point *p);

/* Title, heads, and a row for each point that has something to show: its first two cells, then what `fill` makes of it. */
static void make(struct bench_grid *g, const struct bench_sweep *s, const char *title, const char *const *heads,
                 uint32_t n, fill_row_fn *fill) {
    memset(g, 0, sizeof(*g));
    snprintf(g->title, sizeof(g->title), "%s", title);
    for (uint32_t i = 0; i < n; i++) {
        bench_grid_head(g, heads[i]);
    }
    for (uint32_t i = 0; i < s->points_n; i++) {
        const struct bench_point *p = &s->points[i];
        if (p->done > 0) {
            bench_grid_cell(g, 0, "%u%s", p->replicas, p->oversubscribed ? "*" : "");
            bench_grid_cell(g, 1, "%u", p->threads);
            fill(g, s, p);
            g->rows++;
        }
    }
}

static void throughput_row(struct bench_grid *g, const struct bench_sweep *s, const struct bench_point *p) {
    (void)s;
    char text[BENCH_TEXT];
    char least[BENCH_TEXT];
    bench_grid_cell(g, 2, "%s", bench_format_count(text, p->reads_per_s.median));
    bench_format_count(least, p->reads_per_s.min);
    bench_grid_cell(g, 3, "%.16s..%.16s", least, bench_format_count(text, p->reads_per_s.max));
    bench_grid_cell(g, 4, "%.2f", p->scaling.median);
    bench_grid_cell(g, 5, "%.2f", p->ideal);
    bench_grid_cell(g, 6, "%.2f", p->control_scaling.median);
    bench_grid_cell(g, 7, "%.2f", p->against_control.median);
    bench_grid_cell(g, 8, "%.2f..%.2f", p->against_control.min, p->against_control.max);
    bench_grid_cell(g, 9, "%s", bench_format_count(text, p->writes_per_s.median));
}

void bench_grid_throughput(struct bench_grid *g, const struct bench_sweep *s) {
    static const char *const heads[] = { "replicas", "readers", "reads/s",    "min..max", "scaling",
                                         "ideal",    "control", "of control", "min..max", "writes/s" };
    make(g, s, "Throughput", heads, sizeof(heads) / sizeof(heads[0]), throughput_row);
    snprintf(
        g->note, sizeof(g->note),
        "Served reads per second, median of %u repetition%s. scaling, control: against %u replica%s, for reads and for "
        "the control loop;\nof control: the one divided by the other. * more reader threads than CPUs (%u).",
        s->points[0].done, s->points[0].done == 1 ? "" : "s", s->points[0].replicas,
        s->points[0].replicas == 1 ? "" : "s", s->machine->cpus);
}

static void latency_row(struct bench_grid *g, const struct bench_sweep *s, const struct bench_point *p) {
    (void)s;
    char text[BENCH_TEXT];
    int timed = hdr_total(p->latency) > 0;
    for (uint32_t k = 0; k < BENCH_PERCENTILES; k++) {
        bench_grid_cell(g, 2 + k, "%s", timed ? bench_format_ns(text, (double)p->latency_ns[k]) : "-");
    }
    bench_grid_cell(g, 6, "%s", timed ? bench_format_ns(text, (double)p->latency_max_ns) : "-");
    bench_grid_cell(g, 7, "%s", bench_format_count(text, (double)hdr_total(p->latency)));
    for (uint32_t k = 0; k < BENCH_LAGS; k++) {
        bench_grid_cell(g, 8 + k, "%s", p->has_lag ? bench_format_ns(text, p->lag_ns[k].median) : "-");
    }
    bench_grid_cell(g, 11, "%llu", (unsigned long long)p->lapped);
}

void bench_grid_latency(struct bench_grid *g, const struct bench_sweep *s) {
    static const char *const heads[] = { "replicas", "readers", "p50",     "p90",     "p99",       "p99.9",
                                         "max",      "samples", "lag p50", "lag p99", "lag p99.9", "lapped" };
    make(g, s, "Latency of a read, and replication lag", heads, sizeof(heads) / sizeof(heads[0]), latency_row);
    char clock[BENCH_TEXT];
    char how[192];
    bench_format_ns(clock, s->clock_ns);
    if (s->options->open_rate > 0.0) {
        snprintf(how, sizeof(how), "Open loop: every read is timed, from the instant that it was due");
    } else {
        snprintf(how, sizeof(how), "Closed loop: every %u%s read is timed", s->options->sample,
                 s->options->sample == 1 ? "st" : "th");
    }
    if (s->options->open_rate > 0.0 || s->options->sample != 0) {
        snprintf(g->note, sizeof(g->note),
                 "%s. Each latency contains one clock read, about %s; nothing is subtracted.\n", how, clock);
    } else {
        snprintf(g->note, sizeof(g->note), "No read is timed (--sample 0).\n");
    }
    size_t used = strlen(g->note);
    snprintf(g->note + used, sizeof(g->note) - used,
             "lag: commit to applied, of the follower that was worst, median of the repetitions.");
}

static void reasons_row(struct bench_grid *g, const struct bench_sweep *s, const struct bench_point *p) {
    char text[BENCH_TEXT];
    for (uint32_t k = 0; k < TIDE_REASONS; k++) {
        bench_grid_cell(g, 2 + k, "%s", bench_format_percent(text, p->reason_share[k]));
    }
    bench_grid_cell(g, 9, "%s", bench_format_percent(text, p->fallback_ratio));
    bench_grid_cell(g, 10, "%s", s->options->open_rate > 0.0 ? bench_format_percent(text, p->overdue_share) : "-");
}

void bench_grid_reasons(struct bench_grid *g, const struct bench_sweep *s) {
    static const char *const heads[] = { "replicas", "readers", "fresh",   "within bound", "waited", "redirected",
                                         "behind",   "stale",   "refused", "fell back",    "overdue" };
    make(g, s, "How reads were served, in percent", heads, sizeof(heads) / sizeof(heads[0]), reasons_row);
    snprintf(g->note, sizeof(g->note),
             "fell back: all but fresh and within bound. overdue: open loop, due before the end and never started.");
}

void bench_settings_line(char *out, size_t size, const struct bench_sweep *s) {
    const struct bench_options *o = s->options;
    char bound[BENCH_TEXT], delay[BENCH_TEXT], length[BENCH_TEXT], writes[BENCH_TEXT], loop[BENCH_TEXT + 24];
    char skew[24] = "";
    const char *where = !o->processes ? "" : o->read_foreign ? "; processes, replicas read from others" : "; processes";
    bench_format_ns(bound, o->max_staleness_ns == TIDE_UNBOUNDED ? 1e20 : (double)o->max_staleness_ns);
    bench_format_ns(delay, (double)o->apply_delay_ns);
    bench_format_ns(length, (double)o->duration_ns);
    bench_format_count(writes, o->write_rate);
    if (o->dist == BENCH_ZIPFIAN) {
        snprintf(skew, sizeof(skew), " %.3g", o->theta);
    }
    snprintf(loop, sizeof(loop), "closed loop");
    if (o->open_rate > 0.0) {
        char rate[BENCH_TEXT];
        snprintf(loop, sizeof(loop), "open loop at %s reads/s", bench_format_count(rate, o->open_rate));
    }
    snprintf(out, size,
             "%llu keys of %u bytes, values of %llu, %s%s; %s writes/s; bound %s, fallback %s, %s, reach %s; delay %s; "
             "%s; %u repetitions of %s%s",
             (unsigned long long)o->keys, o->key_size, (unsigned long long)o->value_size, bench_dists[o->dist], skew,
             o->write_rate < 0.0 ? "max" : writes, bound, bench_fallbacks[o->fallback], bench_policies[o->policy],
             bench_reaches[o->reach_home], delay, loop, o->repetitions, length, where);
}

void bench_machine_line(char *out, size_t size, const struct bench_machine *m) {
    snprintf(out, size, "%s, %u of %u CPUs, %.1f GiB, %s, %s, commit %s", m->cpu_model, m->cpus, m->cpus_online,
             (double)m->memory_bytes / 0x1p30, m->kernel, m->compiler, m->commit);
}

void bench_sweep_print(FILE *out, const struct bench_sweep *s) {
    struct bench_grid *g = malloc(sizeof(*g));
    char line[512];
    bench_settings_line(line, sizeof(line), s);
    fprintf(out, "%s\n", line);
    bench_machine_line(line, sizeof(line), s->machine);
    fprintf(out, "%s\n", line);
    if (g == NULL) {
        return;
    }
    bench_grid_throughput(g, s);
    bench_grid_print(out, g);
    bench_grid_latency(g, s);
    bench_grid_print(out, g);
    bench_grid_reasons(g, s);
    bench_grid_print(out, g);
    if (s->interrupted) {
        fprintf(out, "\nInterrupted: figures are of the repetitions that were complete.\n");
    }
    free(g);
}
