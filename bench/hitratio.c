/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of a trace does a domain that evicts miss, beside plain simulators, Redis and memcached of the same size? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/cachesim.h"
#include "bench/lib/gnuplot.h"
#include "bench/lib/program.h"
#include "bench/lib/result.h"
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

static struct {
    struct bench_trace trace;
    const char *trace_path, *picture_path;
    struct bench_counts objects;
    struct size sizes[SIZES_MAX];
    uint32_t sizes_n;
    char missing[300];
} plan;

/* ---- one size ---------------------------------------------------------------------------------------------------- */

static void keep(struct size *z, enum row row, double share, double seconds) {
    z->share[row] = share;
    bench_set(z->miss[row], share);
    if (seconds > 0.0) {
        bench_set(z->hits[row], (1.0 - share) * (double)plan.trace.requests_n / seconds);
    }
}

static void play_tide(struct size *z) {
    if (z->value_size == 0) {
        z->value_size = bench_traceplay_fit(&plan.trace, z->objects, z->table_bytes);
    }
    struct bench_traceplay got = bench_traceplay_run(&plan.trace, z->table_bytes, z->value_size, false);
    double requests = (double)plan.trace.requests_n, window = got.window > 0 ? (double)got.window : 1.0;
    keep(z, ROW_TIDE, (double)got.misses / requests, got.seconds);
    bench_set(z->keys, (double)got.keys);
    bench_set(z->window, (double)got.window_misses / window);
    got = bench_traceplay_run(&plan.trace, z->table_bytes, z->value_size, true);
    bench_set(z->window_changed, (double)got.window_misses / window);
}

static void simulate(struct size *z) {
    static const struct {
        enum row row;
        enum bench_cachesim sim;
    } sims[] = { { ROW_S3FIFO, BENCH_SIM_S3FIFO }, { ROW_SIEVE, BENCH_SIM_SIEVE }, { ROW_LRU, BENCH_SIM_LRU } };
    for (size_t i = 0; i < sizeof(sims) / sizeof(sims[0]); i++) {
        keep(z, sims[i].row, bench_cachesim(sims[i].sim, &plan.trace, z->objects), 0.0);
    }
}

static uint64_t replay_store(const struct size *z, struct bench_store *s) {
    const struct bench_trace *t = &plan.trace;
    char *value = bench_alloc(1, z->value_size + 1);
    uint64_t misses = 0;
    for (uint64_t i = 0; i < t->requests_n; i++) {
        size_t len;
        const char *key = bench_trace_key(t, t->requests[i], &len);
        if (!bench_store_get(s, key, len)) {
            misses++;
            bench_store_set(s, key, len, value, z->value_size);
        }
        bench_go_on();
    }
    free(value);
    return misses;
}

static void play_store(struct size *z, enum row row) {
    static struct bench_store s; /* the program's end stops it, wherever that is */
    char why[BENCH_ERROR_BYTES];
    bench_progress("%s, %s", plan.trace.name, names[row].title);
    if (!bench_store_start(&s, (enum bench_store_kind)(row - ROW_REDIS_LRU), z->table_bytes, why)) {
        size_t used = strlen(plan.missing);
        if (strstr(plan.missing, why) == NULL) {
            snprintf(plan.missing + used, sizeof(plan.missing) - used, "; left out: %.100s", why);
        }
        return;
    }
    uint64_t from = bench_now_ns(), misses = replay_store(z, &s);
    double seconds = (double)(bench_now_ns() - from) / 1e9;
    bench_store_stop(&s);
    keep(z, row, (double)misses / (double)plan.trace.requests_n, seconds);
}

static void repeat(void) {
    for (uint32_t i = 0; i < plan.sizes_n; i++) {
        struct size *z = &plan.sizes[i];
        play_tide(z);
        simulate(z);
        for (enum row row = ROW_REDIS_LRU; row < ROWS; row++) {
            play_store(z, row);
        }
    }
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

static void add_bar(const struct size *z, const char *id, const char *what, double bar, uint32_t row, uint32_t base) {
    unsigned long long n = (unsigned long long)z->objects;
    bench_at_most_above(bench_text("hitratio.%llu.%s", n, id),
                        bench_text("%.40s, %llu objects: misses %s", plan.trace.name, n, what), "share", bar, row,
                        base);
}

static void add_rows(struct size *z) {
    const char *room = bench_text("%.40s, room for %llu objects", plan.trace.name, (unsigned long long)z->objects);
    const char *id = bench_text("hitratio.%llu", (unsigned long long)z->objects);
    bench_rows(z->miss, names, ROWS, id, bench_text("%s: requests that miss", room), "share");
    for (enum row row = 0; row < ROWS; row++) {
        z->share[row] = -1.0;
    }
    const char *window = bench_text("%s: the tenth after the middle", room);
    z->window = bench_row(bench_text("%s.window", id), window, "Tidemark: requests that miss", "share");
    z->window_changed = bench_row(bench_text("%s.window_changed", id), window,
                                  "Tidemark: the same when another process leads from there on", "share");
    bench_rows(z->hits, names, ROWS, bench_text("%s.hits", id), bench_text("%s: hits a second", room), "1/s");
    z->keys = bench_row(bench_text("%s.keys", id), bench_text("%s: objects in the end", room), "Tidemark", "");
    add_bar(z, "over_s3fifo", "above simulated S3-FIFO's", BAR_SIMULATOR, z->miss[ROW_TIDE], z->miss[ROW_S3FIFO]);
    for (enum row row = ROW_REDIS_LRU; row < ROWS; row++) {
        add_bar(z, bench_text("over_%s", names[row].id), bench_text("above those of %s", names[row].title), 0.0,
                z->miss[ROW_TIDE], z->miss[row]);
    }
    add_bar(z, "change", "after a change of leader above those without", BAR_CHANGE, z->window_changed, z->window);
}

static void add_sizes(void) {
    if (plan.objects.n == 0) { /* 1 % and 10 % of the keys */
        plan.objects.items[plan.objects.n++] = plan.trace.keys_n / 100;
        plan.objects.items[plan.objects.n++] = plan.trace.keys_n / 10;
    }
    for (uint32_t i = 0; i < plan.objects.n; i++) {
        struct size *z = &plan.sizes[plan.sizes_n++];
        z->objects = plan.objects.items[i] < OBJECTS_LEAST ? OBJECTS_LEAST : plan.objects.items[i];
        /* Whole MiB: memcached takes nothing else. */
        z->table_bytes = (z->objects * OBJECT_BYTES + MIB - 1) / MIB * MIB;
        z->table_bytes = z->table_bytes < TABLE_LEAST ? TABLE_LEAST : z->table_bytes;
        add_rows(z);
    }
}

static void note(char *out, size_t room) {
    size_t used = (size_t)snprintf(out, room, "%s: %llu requests, %u keys. Each size: ", plan.trace.name,
                                   (unsigned long long)plan.trace.requests_n, plan.trace.keys_n);
    for (uint32_t i = 0; i < plan.sizes_n && used < room; i++) {
        const struct size *z = &plan.sizes[i];
        used += (size_t)snprintf(out + used, room - used, "%s%llu objects, values of %zu bytes, %llu MiB",
                                 i > 0 ? "; " : "", (unsigned long long)z->objects, z->value_size,
                                 (unsigned long long)(z->table_bytes / MIB));
    }
    if (used < room) {
        snprintf(out + used, room - used, "%s", plan.missing);
    }
}

/* ---- the picture ----------------------------------------------------------------------------------------------------- */

static int plot(FILE *f, const void *ctx) {
    (void)ctx;
    bench_gnuplot_head(f, 480);
    fprintf(f, "set title ");
    bench_gnuplot_string(f, plan.trace.name);
    fprintf(
        f,
        "\nset logscale x 10\nset xlabel 'objects that there is room for'\nset ylabel 'requests that miss'\n"
        "set format y '%%g %%%%'\nset key outside right\nset offsets graph 0.05, graph 0.05, graph 0.05, graph 0.05\n");
    for (enum row row = 0; row < ROWS; row++) {
        fprintf(f, "$%s << EOD\n", names[row].id);
        for (uint32_t i = 0; i < plan.sizes_n; i++) {
            if (plan.sizes[i].share[row] >= 0.0) {
                fprintf(f, "%llu %.6f\n", (unsigned long long)plan.sizes[i].objects, 100.0 * plan.sizes[i].share[row]);
            }
        }
        fprintf(f, "EOD\n");
    }
    const char *separator = "plot ";
    for (enum row row = 0; row < ROWS; row++) {
        if (plan.sizes[0].share[row] < 0.0) {
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

static void draw(void) {
    char *svg = NULL;
    enum bench_drawn drawn = bench_gnuplot_draw(plot, NULL, &svg);
    if (drawn == BENCH_DRAWN_NO_GNUPLOT) {
        fprintf(stderr, "hitratio: no picture: gnuplot is not installed (Debian: gnuplot-nox)\n");
        return;
    }
    if (drawn != BENCH_DRAWN) {
        bench_fail("drawing %s: gnuplot failed; see whether it has its terminal svg", plan.picture_path);
    }
    bench_must_system(bench_text_write(svg, "", plan.picture_path) == 0, plan.picture_path);
    free(svg);
}

static void prepare(void) {
    uint32_t shrink = bench->quick ? 20 : 1;
    if (plan.objects.n > SIZES_MAX) {
        fprintf(stderr, "hitratio: --objects takes %u sizes at most; --help lists all arguments\n", SIZES_MAX);
        exit(BENCH_EXIT_USAGE);
    }
    if (plan.trace_path != NULL) {
        bench_trace_read(&plan.trace, plan.trace_path);
    } else {
        bench_trace_make(&plan.trace, MADE_KEYS / shrink, MADE_REQUESTS / shrink);
    }
    add_sizes();
}

static void finish(void) {
    if (plan.picture_path != NULL) {
        draw();
    }
}

static const struct bench_arg more[] = {
    BENCH_ARG(TEXT, "trace", "FILE", &plan.trace_path,
              "one key a line, plain or packed by xz; without it\na trace is made up", .wants = "a file name"),
    BENCH_ARG(COUNTS, "objects", "N[,N...]", &plan.objects,
              "sizes of the cache, 8 at most. Default: 1 % and 10 %\nof the trace's keys", .least = OBJECTS_LEAST,
              .most = 100000000),
    BENCH_ARG(TEXT, "picture", "FILE", &plan.picture_path, "draw misses against sizes, as SVG (gnuplot)",
              .wants = "a file name"),
};

BENCH_MAIN(.name = "hitratio", .repetitions = 1, .note = note,
           .about =
               "Replays a trace of requests against a domain that evicts, through a leader, a follower, a follower in\n"
               "another process and a process without a replica; what is missed is put. Beside it plain simulators\n"
               "for as many objects, and Redis and memcached with as many bytes. Counts what is missed.\n",
           .more = more, .more_n = sizeof(more) / sizeof(more[0]), .finish = finish)
