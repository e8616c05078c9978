/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/plot.h"

#include <math.h>

#include "bench/lib/format.h"

static void throughput_data(FILE *f, const struct bench_sweep *s) {
    const struct bench_point *base = &s->points[0];
    fprintf(f, "$data << EOD\n");
    for (uint32_t i = 0; i < s->points_n; i++) {
        const struct bench_point *p = &s->points[i];
        if (p->done > 0) {
            double first = base->reads_per_s.median / 1e6;
            fprintf(f, "%u %.6f %.6f %.6f %.6f\n", p->replicas, p->reads_per_s.median / 1e6, p->reads_per_s.min / 1e6,
                    p->reads_per_s.max / 1e6, first * p->control_scaling.median);
        }
    }
    fprintf(f, "EOD\n");
}

/* Where the points with more reader threads than CPUs begin; 0: there are none. */
static double oversubscribed_from(const struct bench_sweep *s) {
    for (uint32_t i = 0; i < s->points_n; i++) {
        if (s->points[i].done > 0 && s->points[i].oversubscribed) {
            double here = s->points[i].replicas;
            return i > 0 ? (here + s->points[i - 1].replicas) / 2 : here * 0.9;
        }
    }
    return 0.0;
}

/* The ideal line is cut off beyond the CPUs: it would press everything else flat where nothing could follow it. */
static double highest_worth_showing(const struct bench_sweep *s) {
    double first = s->points[0].reads_per_s.median / 1e6;
    double most = 0.0;
    for (uint32_t i = 0; i < s->points_n; i++) {
        const struct bench_point *p = &s->points[i];
        if (p->done == 0) {
            continue;
        }
        most = fmax(most, p->reads_per_s.max / 1e6);
        most = fmax(most, first * p->control_scaling.median);
        most = p->oversubscribed ? most : fmax(most, first * p->ideal);
    }
    return most > 0.0 ? most * 1.08 : 1.0;
}

int bench_plot_throughput(FILE *f, const struct bench_sweep *s) {
    uint32_t last = 0;
    for (uint32_t i = 0; i < s->points_n; i++) {
        last = s->points[i].done > 0 ? i : last;
    }
    if (s->points_n == 0 || s->points[0].done == 0) {
        return 1;
    }
    bench_gnuplot_head(f, 500);
    throughput_data(f, s);
    double over = oversubscribed_from(s);
    fprintf(f,
            "set xrange [0:%g]\n"
            "set yrange [0:%g]\n"
            "set samples 300\n"
            "set xlabel 'replicas that serve reads (%u reader thread%s each)'\n"
            "set ylabel 'million reads per second'\n"
            "set key outside above center horizontal maxrows 1 samplen 3\n",
            s->points[last].replicas * 1.08, highest_worth_showing(s), s->options->readers,
            s->options->readers == 1 ? "" : "s");
    fprintf(f, "set xtics (");
    for (uint32_t i = 0; i < s->points_n; i++) {
        fprintf(f, "%s'%u' %u", i > 0 ? ", " : "", s->points[i].replicas, s->points[i].replicas);
    }
    fprintf(f, ")\n");
    if (over > 0.0) {
        fprintf(
            f,
            "set object 1 rectangle from first %g, graph 0 to graph 1, graph 1 behind fc rgb '#eeeeee' fs noborder\n",
            over);
    }
    fprintf(f,
            "plot %.9g * x with lines lc rgb '#888888' dt 2 title 'ideal', \\\n"
            " $data using 1:5 with linespoints lc rgb '#E69F00' pt 5 ps 0.7 title 'control loop, to scale', \\\n"
            " $data using 1:2:3:4 with yerrorlines lc rgb '#0072B2' pt 7 ps 0.8 "
            "title 'reads: median, min, max'%s\n",
            s->points[0].reads_per_s.median / 1e6 / s->points[0].replicas,
            over > 0.0 ? ", \\\n NaN with boxes fs solid fc rgb '#eeeeee' title 'more readers than CPUs'" : "");
    return 0;
}

/* One line of the latency picture: value against 1 / (1 - percentile), which spreads the tail out evenly. */
static void percentile_data(FILE *f, const struct hdr *h) {
    double total = (double)hdr_total(h);
    double before = 0.0;
    double last_x = 0.0;
    for (int32_t i = 0; i < h->counts_len; i++) {
        int64_t count = hdr_count_at_index(h, i);
        if (count == 0) {
            continue;
        }
        double value = (double)hdr_value_at_index(h, i);
        double x = total / (total - before);
        before += (double)count;
        /* Neighbours that would fall on the same pixel are left out; the largest value always stands. */
        if (x > last_x * 1.005 || before >= total) {
            fprintf(f, "%.8g %.8g\n", x, value > 1.0 ? value : 1.0);
            last_x = x;
        }
        if (before >= total) {
            fprintf(f, "%.8g %.8g\n", total, (double)hdr_max(h));
        }
    }
}

static void latency_axes(FILE *f) {
    fprintf(
        f, "set logscale xy\n"
           "set xrange [1:*]\n"
           "set xlabel 'percentile of reads'\n"
           "set ylabel 'latency'\n"
           "set key outside right top Left reverse title 'replicas' samplen 2\n"
           "set xtics ('0 %%%%' 1, '90 %%%%' 1e1, '99 %%%%' 1e2, '99.9 %%%%' 1e3, '99.99 %%%%' 1e4, '99.999 %%%%' 1e5, "
           "'99.9999 %%%%' 1e6, '1 - 1e-7' 1e7, '1 - 1e-8' 1e8, '1 - 1e-9' 1e9)\n"
           "set ytics ('1 ns' 1, '10 ns' 1e1, '100 ns' 1e2, '1 µs' 1e3, '10 µs' 1e4, '100 µs' 1e5, '1 ms' 1e6, "
           "'10 ms' 1e7, '100 ms' 1e8, '1 s' 1e9, '10 s' 1e10, '100 s' 1e11)\n"
           "set grid xtics ytics lc rgb '#dddddd' lw 0.5 lt 1\n");
}

int bench_plot_latency(FILE *f, const struct bench_sweep *s) {
    uint32_t drawn = 0;
    for (uint32_t i = 0; i < s->points_n; i++) {
        if (s->points[i].done > 0 && hdr_total(s->points[i].latency) > 0) {
            if (drawn++ == 0) {
                bench_gnuplot_head(f, 500);
            }
            fprintf(f, "$p%u << EOD\n", i);
            percentile_data(f, s->points[i].latency);
            fprintf(f, "EOD\n");
        }
    }
    if (drawn == 0) {
        return 1;
    }
    latency_axes(f);
    fprintf(f, "plot ");
    for (uint32_t i = 0, n = 0; i < s->points_n; i++) {
        if (s->points[i].done > 0 && hdr_total(s->points[i].latency) > 0) {
            fprintf(f, "%s$p%u using 1:2 with lines lc rgb '%s' dt %u title '%u%s'", n > 0 ? ", " : "", i,
                    bench_gnuplot_colour(n), n / 7 + 1, s->points[i].replicas, s->points[i].oversubscribed ? " *" : "");
            n++;
        }
    }
    fprintf(f, "\n");
    return 0;
}

static int point_has_samples(const struct bench_sweep *s, uint32_t replicas) {
    for (size_t i = 0; i < s->samples.n; i++) {
        if (s->samples.items[i].replicas == replicas) {
            return 1;
        }
    }
    return 0;
}

static void lag_data(FILE *f, const struct bench_sweep *s, uint32_t replicas, double *worst_ms, double *worst_entries) {
    for (size_t i = 0; i < s->samples.n; i++) {
        const struct bench_sample *one = &s->samples.items[i];
        if (one->replicas == replicas) {
            double ms = (double)one->staleness_ns / 1e6;
            fprintf(f, "%.4f %.6f %llu\n", one->at_s, ms, (unsigned long long)one->lag_entries);
            *worst_ms = ms > *worst_ms ? ms : *worst_ms;
            *worst_entries = (double)one->lag_entries > *worst_entries ? (double)one->lag_entries : *worst_entries;
        }
    }
}

static void lag_panel(FILE *f, const struct bench_sweep *s, int column, const char *extra) {
    fprintf(f, "plot ");
    for (uint32_t i = 0, n = 0; i < s->points_n; i++) {
        if (point_has_samples(s, s->points[i].replicas)) {
            fprintf(f, "%s$p%u using 1:%d with impulses lc rgb '%s' lw 0.8 title '%u%s'", n > 0 ? ", " : "", i, column,
                    bench_gnuplot_colour(n + 1), s->points[i].replicas, s->points[i].oversubscribed ? " *" : "");
            n++;
        }
    }
    fprintf(f, "%s\n", extra);
}

int bench_plot_lag(FILE *f, const struct bench_sweep *s) {
    if (s->samples.n == 0) {
        return 1;
    }
    double ms = 0.0;
    double entries = 0.0;
    double bound_ms = (double)s->options->max_staleness_ns / 1e6;
    bench_gnuplot_head(f, 600);
    for (uint32_t i = 0; i < s->points_n; i++) {
        if (point_has_samples(s, s->points[i].replicas)) {
            fprintf(f, "$p%u << EOD\n", i);
            lag_data(f, s, s->points[i].replicas, &ms, &entries);
            fprintf(f, "EOD\n");
        }
    }
    /* A bound far above the data would press it flat; then the page's text alone says where it is. */
    int bound_fits = bound_ms > 0.0 && bound_ms <= 3.0 * ms;
    char extra[96] = "";
    if (bound_fits) {
        snprintf(extra, sizeof(extra), ", %.9g with lines lc rgb '#000000' dt 3 title 'bound'", bound_ms);
    }
    fprintf(f,
            "set multiplot layout 2,1\n"
            "set lmargin 11\nset rmargin 12\n"
            "set key outside right top Left reverse title 'replicas' samplen 2\n"
            "set xrange [0:%.3f]\n"
            "set ylabel 'staleness, ms'\n"
            "set yrange [0:%.9g]\n"
            "set format x ''\n",
            s->took_s > 0.0 ? s->took_s : 1.0, ms > 0.0 ? (bound_fits && bound_ms > ms ? bound_ms : ms) * 1.08 : 1.0);
    lag_panel(f, s, 2, extra);
    fprintf(f,
            "unset key\n"
            "set format x '%%g'\n"
            "set xlabel 'seconds since the start (repetition after repetition, all replica counts in each)'\n"
            "set ylabel 'lag, entries'\n"
            "set yrange [0:%.9g]\n",
            entries > 0.0 ? entries * 1.08 : 1.0);
    lag_panel(f, s, 3, "");
    fprintf(f, "unset multiplot\n");
    return 0;
}

struct picture_of_sweep {
    int (*plot)(FILE *, const struct bench_sweep *);
    const struct bench_sweep *sweep;
};

static int write_picture(FILE *script, const void *ctx) {
    const struct picture_of_sweep *picture = ctx;
    return picture->plot(script, picture->sweep);
}

enum bench_drawn bench_plot_draw(int (*plot)(FILE *, const struct bench_sweep *), const struct bench_sweep *s,
                                 char **svg) {
    struct picture_of_sweep picture = { plot, s };
    return bench_gnuplot_draw(write_picture, &picture, svg);
}
