/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of a trace does a domain that evicts miss, beside plain simulators, Redis and memcached of the same size? */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/cachesim.h"
#include "bench/lib/gnuplot.h"
#include "bench/lib/program.h"
#include "bench/lib/store.h"
#include "bench/lib/traceplay.h"

#define SIZES_MAX 8u
#define OBJECTS_LEAST 100u
#define OBJECT_BYTES 256u /* about, and more where so many would need less than the smallest table */
#define MIB (UINT64_C(1) << 20)
#define TABLE_LEAST (8 * MIB)
#define BAR_SIMULATOR 0.01
#define BAR_CHANGE 0.02
#define MADE_KEYS 50000u
#define MADE_REQUESTS 500000u

enum row { ROW_TIDE, ROW_S3FIFO, ROW_SIEVE, ROW_LRU, ROW_REDIS_LRU, ROW_REDIS_LFU, ROW_MEMCACHED, ROWS };

static const struct bench_name names[ROWS] = {
    { "tide", "Tidemark, evict = s3fifo" }, { "s3fifo", "S3-FIFO, simulated" },
    { "sieve", "SIEVE, simulated" },        { "lru", "LRU, simulated" },
    { "redis_lru", "Redis, allkeys-lru" },  { "redis_lfu", "Redis, allkeys-lfu" },
    { "memcached", "memcached" },
};

struct size {
    uint64_t objects, table_bytes;
    size_t value_size;
    uint32_t miss[ROWS], hits[ROWS], keys;
    uint32_t window, window_changed;
    double share[ROWS]; /* for the picture; below 0: not measured */
};

struct plan {
    struct bench_program *p;
    struct bench_trace trace;
    const char *trace_path, *picture_path;
    struct bench_counts objects;
    struct size sizes[SIZES_MAX];
    uint32_t sizes_n;
    char missing[300];
};

/* ---- one size -------------------------------------------------------------------------------------------------------- */

static void keep(struct plan *plan, struct size *z, enum row row, uint32_t repetition, double share, double seconds) {
    z->share[row] = share;
    bench_program_set(plan->p, z->miss[row], repetition, share);
    if (seconds > 0.0) {
        double hits = (1.0 - share) * (double)plan->trace.requests_n;
        bench_program_set(plan->p, z->hits[row], repetition, hits / seconds);
    }
}

static int play_tide(struct plan *plan, struct size *z, uint32_t repetition) {
    struct bench_program *p = plan->p;
    struct bench_traceplay got;
    int rc = z->value_size != 0 ? 0 : bench_traceplay_fit(p, &plan->trace, z->objects, z->table_bytes, &z->value_size);
    rc = rc != 0 ? rc : bench_traceplay_run(p, &plan->trace, z->table_bytes, z->value_size, false, &got);
    if (rc != 0) {
        return rc;
    }
    double requests = (double)plan->trace.requests_n, window = got.window > 0 ? (double)got.window : 1.0;
    keep(plan, z, ROW_TIDE, repetition, (double)got.misses / requests, got.seconds);
    bench_program_set(p, z->keys, repetition, (double)got.keys);
    bench_program_set(p, z->window, repetition, (double)got.window_misses / window);
    rc = bench_traceplay_run(p, &plan->trace, z->table_bytes, z->value_size, true, &got);
    if (rc == 0) {
        bench_program_set(p, z->window_changed, repetition, (double)got.window_misses / window);
    }
    return rc;
}

static int simulate(struct plan *plan, struct size *z, uint32_t repetition) {
    static const struct {
        enum row row;
        enum bench_cachesim sim;
    } sims[] = { { ROW_S3FIFO, BENCH_SIM_S3FIFO }, { ROW_SIEVE, BENCH_SIM_SIEVE }, { ROW_LRU, BENCH_SIM_LRU } };
    for (size_t i = 0; i < sizeof(sims) / sizeof(sims[0]); i++) {
        double share = bench_cachesim(sims[i].sim, &plan->trace, z->objects);
        if (share < 0.0) {
            return bench_program_failed(plan->p, "no memory for a simulator");
        }
        keep(plan, z, sims[i].row, repetition, share, 0.0);
    }
    return 0;
}

static int replay_store(struct plan *plan, struct size *z, struct bench_store *s, uint64_t *misses) {
    const struct bench_trace *t = &plan->trace;
    char *value = calloc(1, z->value_size + 1);
    int rc = value == NULL ? bench_program_failed(plan->p, "no memory") : 0;
    for (uint64_t i = 0; rc == 0 && i < t->requests_n && !bench_stop; i++) {
        size_t len;
        const char *key = bench_trace_key(t, t->requests[i], &len);
        int hit = bench_store_get(s, key, len);
        rc = hit < 0 ? -1 : 0;
        if (hit == 0) {
            ++*misses;
            rc = bench_store_set(s, key, len, value, z->value_size);
        }
    }
    free(value);
    return bench_stop ? 1 : rc;
}

static void note_missing(struct plan *plan) {
    size_t used = strlen(plan->missing);
    if (strstr(plan->missing, plan->p->error) == NULL) {
        snprintf(plan->missing + used, sizeof(plan->missing) - used, "; left out: %.100s", plan->p->error);
    }
    plan->p->error[0] = '\0';
}

static int play_store(struct plan *plan, struct size *z, enum row row, uint32_t repetition) {
    struct bench_store s;
    uint64_t misses = 0;
    bench_program_progress(plan->p, "%s, %s", plan->trace.name, names[row].title);
    int rc = bench_store_start(&s, (enum bench_store_kind)(row - ROW_REDIS_LRU), z->table_bytes, plan->p->error);
    if (rc == BENCH_STORE_MISSING) {
        note_missing(plan);
        return 0;
    }
    if (rc != 0) {
        return bench_stop ? 1 : rc;
    }
    uint64_t from = bench_now_ns();
    rc = replay_store(plan, z, &s, &misses);
    double seconds = (double)(bench_now_ns() - from) / 1e9;
    bench_store_stop(&s);
    if (rc == 0) {
        keep(plan, z, row, repetition, (double)misses / (double)plan->trace.requests_n, seconds);
    }
    return rc;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct plan *plan = ctx;
    (void)p;
    for (uint32_t i = 0; i < plan->sizes_n; i++) {
        struct size *z = &plan->sizes[i];
        int rc = play_tide(plan, z, repetition);
        rc = rc != 0 ? rc : simulate(plan, z, repetition);
        for (enum row row = ROW_REDIS_LRU; rc == 0 && row < ROWS; row++) {
            rc = play_store(plan, z, row, repetition);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- rows ------------------------------------------------------------------------------------------------------------ */

static void add_bars(struct plan *plan, const struct size *z) {
    struct bench_figures *f = &plan->p->figures;
    char id[64], what[160];
    unsigned long long n = (unsigned long long)z->objects;
    snprintf(id, sizeof(id), "hitratio.%llu.over_s3fifo", n);
    snprintf(what, sizeof(what), "%.40s, %llu objects: misses above simulated S3-FIFO's", plan->trace.name, n);
    bench_figures_bar(f, id, what, "share", BENCH_AT_MOST, BAR_SIMULATOR, BENCH_LESS, z->miss[ROW_TIDE],
                      z->miss[ROW_S3FIFO], BENCH_NO_FIGURE);
    for (enum row row = ROW_REDIS_LRU; row < ROWS; row++) {
        snprintf(id, sizeof(id), "hitratio.%llu.over_%s", n, names[row].id);
        snprintf(what, sizeof(what), "%.40s, %llu objects: misses above those of %s", plan->trace.name, n,
                 names[row].title);
        bench_figures_bar(f, id, what, "share", BENCH_AT_MOST, 0.0, BENCH_LESS, z->miss[ROW_TIDE], z->miss[row],
                          BENCH_NO_FIGURE);
    }
    snprintf(id, sizeof(id), "hitratio.%llu.change", n);
    snprintf(what, sizeof(what), "%.40s, %llu objects: misses after a change of leader above those without",
             plan->trace.name, n);
    bench_figures_bar(f, id, what, "share", BENCH_AT_MOST, BAR_CHANGE, BENCH_LESS, z->window_changed, z->window,
                      BENCH_NO_FIGURE);
}

static void add_rows(struct plan *plan, struct size *z) {
    struct bench_program *p = plan->p;
    char id[64], group[160];
    unsigned long long n = (unsigned long long)z->objects;
    snprintf(group, sizeof(group), "%.40s, room for %llu objects: requests that miss", plan->trace.name, n);
    snprintf(id, sizeof(id), "hitratio.%llu", n);
    bench_program_rows(p, z->miss, names, ROWS, id, group, "share");
    for (enum row row = 0; row < ROWS; row++) {
        z->share[row] = -1.0;
    }
    snprintf(group, sizeof(group), "%.40s, room for %llu objects: the tenth after the middle", plan->trace.name, n);
    snprintf(id, sizeof(id), "hitratio.%llu.window", n);
    z->window = bench_program_row(p, id, group, "Tidemark: requests that miss", "share");
    snprintf(id, sizeof(id), "hitratio.%llu.window_changed", n);
    z->window_changed =
        bench_program_row(p, id, group, "Tidemark: the same when another process leads from there on", "share");
    snprintf(group, sizeof(group), "%.40s, room for %llu objects: hits a second", plan->trace.name, n);
    snprintf(id, sizeof(id), "hitratio.%llu.hits", n);
    bench_program_rows(p, z->hits, names, ROWS, id, group, "1/s");
    snprintf(group, sizeof(group), "%.40s, room for %llu objects: objects in the end", plan->trace.name, n);
    snprintf(id, sizeof(id), "hitratio.%llu.keys", n);
    z->keys = bench_program_row(p, id, group, "Tidemark", "");
    add_bars(plan, z);
}

static void add_sizes(struct plan *plan) {
    if (plan->objects.n == 0) { /* 1 % and 10 % of the keys */
        plan->objects.items[plan->objects.n++] = plan->trace.keys_n / 100;
        plan->objects.items[plan->objects.n++] = plan->trace.keys_n / 10;
    }
    for (uint32_t i = 0; i < plan->objects.n; i++) {
        struct size *z = &plan->sizes[plan->sizes_n++];
        z->objects = plan->objects.items[i] < OBJECTS_LEAST ? OBJECTS_LEAST : plan->objects.items[i];
        /* Whole MiB: memcached takes nothing else. */
        z->table_bytes = (z->objects * OBJECT_BYTES + MIB - 1) / MIB * MIB;
        z->table_bytes = z->table_bytes < TABLE_LEAST ? TABLE_LEAST : z->table_bytes;
        add_rows(plan, z);
    }
}

static void note(struct plan *plan) {
    char *out = plan->p->figures.note;
    size_t room = sizeof(plan->p->figures.note), used = 0;
    used += (size_t)snprintf(out, room, "%s: %llu requests, %u keys. Each size: ", plan->trace.name,
                             (unsigned long long)plan->trace.requests_n, plan->trace.keys_n);
    for (uint32_t i = 0; i < plan->sizes_n && used < room; i++) {
        const struct size *z = &plan->sizes[i];
        used += (size_t)snprintf(out + used, room - used, "%s%llu objects, values of %zu bytes, %llu MiB",
                                 i > 0 ? "; " : "", (unsigned long long)z->objects, z->value_size,
                                 (unsigned long long)(z->table_bytes / MIB));
    }
    if (used < room) {
        snprintf(out + used, room - used, "%s", plan->missing);
    }
}

/* ---- the picture ----------------------------------------------------------------------------------------------------- */

static int plot(FILE *f, const void *ctx) {
    const struct plan *plan = ctx;
    bench_gnuplot_head(f, 480);
    fprintf(f, "set title ");
    bench_gnuplot_string(f, plan->trace.name);
    fprintf(
        f,
        "\nset logscale x 10\nset xlabel 'objects that there is room for'\nset ylabel 'requests that miss'\n"
        "set format y '%%g %%%%'\nset key outside right\nset offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05\n");
    for (enum row row = 0; row < ROWS; row++) {
        fprintf(f, "$%s << EOD\n", names[row].id);
        for (uint32_t i = 0; i < plan->sizes_n; i++) {
            if (plan->sizes[i].share[row] >= 0.0) {
                fprintf(f, "%llu %.6f\n", (unsigned long long)plan->sizes[i].objects,
                        100.0 * plan->sizes[i].share[row]);
            }
        }
        fprintf(f, "EOD\n");
    }
    const char *separator = "plot ";
    for (enum row row = 0; row < ROWS; row++) {
        if (plan->sizes[0].share[row] < 0.0) {
            continue; /* gnuplot makes an error of a block without rows */
        }
        fprintf(f, "%s$%s using 1:2 with linespoints lw %d pt 7 ps 0.5 lc rgb '%s' title ", separator, names[row].id,
                row == ROW_TIDE ? 3 : 1, bench_gnuplot_colour(row));
        bench_gnuplot_string(f, names[row].title);
        separator = ", \\\n ";
    }
    fprintf(f, "\n");
    return 0;
}

static int draw(struct plan *plan) {
    char *svg = NULL;
    enum bench_drawn drawn = bench_gnuplot_draw(plot, plan, &svg);
    FILE *f = drawn == BENCH_DRAWN ? fopen(plan->picture_path, "we") : NULL;
    int rc = 0;
    if (drawn == BENCH_DRAWN_NO_GNUPLOT) {
        fprintf(stderr, "hitratio: no picture: gnuplot is not installed (Debian: gnuplot-nox)\n");
    } else if (drawn != BENCH_DRAWN) {
        rc = bench_program_failed(plan->p, "drawing the picture: gnuplot failed");
    } else {
        int bad = f == NULL || fputs(svg, f) < 0;
        bad |= f != NULL && fclose(f) != 0;
        rc = bad ? bench_program_failed_errno(plan->p, plan->picture_path) : 0;
    }
    free(svg);
    return rc;
}

int main(int argc, char **argv) {
    static struct plan plan;
    static const struct bench_arg more[] = {
        BENCH_ARG(TEXT, "trace", "FILE", &plan.trace_path,
                  "one key a line, plain or packed by xz; without it\na trace is made up", .wants = "a file name"),
        BENCH_ARG(COUNTS, "objects", "N[,N...]", &plan.objects,
                  "sizes of the cache, 8 at most. Default: 1 % and 10 %\nof the trace's keys", .least = OBJECTS_LEAST,
                  .most = 100000000),
        BENCH_ARG(TEXT, "picture", "FILE", &plan.picture_path, "draw misses against sizes, as SVG (gnuplot)",
                  .wants = "a file name"),
    };
    static struct bench_program p = {
        .name = "hitratio",
        .about =
            "Replays a trace of requests against a domain that evicts, through a leader, a follower, a follower in\n"
            "another process and a process without a replica; what is missed is put. Beside it plain simulators\n"
            "for as many objects, and Redis and memcached with as many bytes. Counts what is missed.\n",
        .repetitions = 1,
        .more = more,
        .more_n = sizeof(more) / sizeof(more[0]),
    };
    int code;
    plan.p = &p;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    if (plan.objects.n > SIZES_MAX) {
        fprintf(stderr, "hitratio: --objects takes %u sizes at most\n", SIZES_MAX);
        return BENCH_EXIT_USAGE;
    }
    uint32_t shrink = p.quick ? 20 : 1;
    int rc = plan.trace_path != NULL
                 ? bench_trace_read(&plan.trace, plan.trace_path, p.error)
                 : bench_trace_make(&plan.trace, MADE_KEYS / shrink, MADE_REQUESTS / shrink, p.error);
    if (rc == 0) {
        add_sizes(&plan);
        rc = bench_program_repeat(&p, one_repetition, &plan);
        note(&plan);
    }
    rc = rc == 0 && plan.picture_path != NULL ? draw(&plan) : rc;
    bench_trace_free(&plan.trace);
    return bench_program_end(&p, rc);
}
