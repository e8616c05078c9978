/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many changes does one watcher take in a second, and how soon does a sleeping watcher have one? */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bench/lib/program.h"
#include "bench/lib/rawlog.h"
#include "bench/lib/setup.h"

#define RING_BYTES (UINT64_C(16) << 20) /* the engine's default */
#define KEYS 10000u
#define VALUE 64u
#define BATCH 16u
#define ENTRIES 120000u /* what the ring holds, nearly */
#define SLICE_NS UINT64_C(200000000)
#define REST_NS UINT64_C(300000) /* between two puts: the watcher sleeps */
#define WAKES 500u
#define BAR 10e6

enum row { ROW_ALL, ROW_PREFIX, ROW_LOG, ROW_LIVE, ROW_LIVE_LOST, ROWS };

static struct {
    struct tide *d;
    struct rawlog log;
    struct hdr *times;
    uint32_t rows[ROWS], wake[BENCH_TIMES];
    uint64_t entries, wakes;
} plan;

static void add_rows(void) {
    const char *group = "one watcher, keys of 16 B, values of 64 B; a ring that nobody writes";
    plan.rows[ROW_ALL] = bench_row("watch.all", group, "every change", "1/s");
    plan.rows[ROW_PREFIX] = bench_row("watch.prefix", group, "a prefix that no key has: passed over", "1/s");
    plan.rows[ROW_LOG] = bench_row("watch.log", group, "the log alone, read as a follower reads it", "1/s");
    group = bench_text("beside a writer, batches of %u%s", BATCH, bench_mark(2));
    plan.rows[ROW_LIVE] = bench_row("watch.live", group, "changes told", "1/s");
    plan.rows[ROW_LIVE_LOST] = bench_row("watch.lost", group, "times that it was a ring behind", "");
    bench_times(plan.wake, "watch.wake", "asleep: from the call of put until it has the change");
    bench_at_least("watch.events", "one watcher, 64-byte values: events/s", "1/s", BAR, plan.rows[ROW_ALL],
                   BENCH_NO_ROW);
}

static void fill_op(struct tide_op *op, char key[16], uint64_t i) {
    static uint8_t value[VALUE];
    memcpy(key, "0123456789abcdef", 16);
    uint64_t number = i % KEYS;
    memcpy(key + 8, &number, 8);
    *op = (struct tide_op){ .kind = TIDE_OP_PUT, .key = key, .key_len = 16, .value = value, .value_size = VALUE };
}

static void write_some(uint64_t from, uint64_t n) {
    for (uint64_t i = 0; i < n; i += BATCH) {
        struct tide_op ops[BATCH];
        char keys[BATCH][16];
        for (uint32_t k = 0; k < BATCH; k++) {
            fill_op(&ops[k], keys[k], from + i + k);
        }
        bench_must(tide_batch(plan.d, NULL, ops, BATCH, NULL, NULL), "a batch");
    }
}

/* From so many entries before the end of the log. */
static struct tide_watch *open_before_end(uint64_t entries, const char *prefix) {
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_watch *w = NULL;
    o.prefix = prefix;
    o.prefix_len = prefix != NULL ? strlen(prefix) : 0;
    bench_must(tide_info(plan.d, &info), "looking at the domain");
    o.from = (struct tide_token){ info.incarnation, info.commit_index - entries };
    bench_must(tide_watch_open(plan.d, &o, &w), "a watch");
    return w;
}

/* The last `entries` of the log, once. */
static void watch_all(void) {
    struct tide_watch *w = open_before_end(plan.entries, NULL);
    struct tide_event e = TIDE_EVENT_INIT;
    for (uint64_t n = 0; n < plan.entries; n++) {
        bench_must(tide_watch_next(w, &e, 0), "watching a log that nobody writes");
    }
    tide_watch_close(w);
}

static void pass_over(void) {
    struct tide_watch *w = open_before_end(plan.entries, "nobody's");
    struct tide_event e = TIDE_EVENT_INIT;
    int error = tide_watch_next(w, &e, 0);
    bench_must(error == 0 ? TIDE_ERR_CORRUPT : error != TIDE_ERR_TIMEOUT ? error : 0, "watching what nobody writes");
    tide_watch_close(w);
}

static void read_log(void) {
    if (rawlog_read(&plan.log, plan.entries) != 0) {
        bench_fail("reading the log alone: a frame is not what was written");
    }
}

static void measure_quiet(enum row row, void (*once)(void)) {
    uint64_t begun = bench_now_ns(), ns = 0, events = 0, slice = bench_slice_ns(SLICE_NS);
    while (ns < slice) {
        once();
        events += plan.entries;
        ns = bench_now_ns() - begun;
        bench_go_on();
    }
    bench_set_rate(plan.rows[row], events, ns);
}

/* ---- beside a writer --------------------------------------------------------------------------------------------- */

struct watcher {
    struct tide_watch *w;
    _Atomic uint32_t over;
    _Atomic uint64_t put_ns; /* when the put was called whose change comes next */
    uint64_t events, lost;
};

static void *watch_live(void *watcher) {
    struct watcher *own = watcher;
    struct tide_event e = TIDE_EVENT_INIT;
    while (atomic_load(&own->over) == 0) {
        int error = tide_watch_next(own->w, &e, 10000000);
        own->events += error == 0;
        if (error == TIDE_ERR_LOST) {
            tide_watch_close(own->w);
            own->w = open_before_end(0, NULL);
            own->lost++;
        } else {
            bench_must(error != TIDE_ERR_TIMEOUT ? error : 0, "watching beside a writer");
        }
    }
    return NULL;
}

static void *watch_wakes(void *watcher) {
    struct watcher *own = watcher;
    struct tide_event e = TIDE_EVENT_INIT;
    for (uint64_t i = 0; i < plan.wakes; i++) {
        bench_must(tide_watch_next(own->w, &e, 10000000000), "waking a watcher");
        hdr_record(plan.times, (int64_t)(bench_now_ns() - atomic_load(&own->put_ns)));
    }
    return NULL;
}

static void measure_live(void) {
    struct watcher own = { .w = open_before_end(0, NULL) };
    pthread_t thread = bench_thread(watch_live, &own);
    uint64_t begun = bench_now_ns(), slice = bench_slice_ns(SLICE_NS);
    for (uint64_t from = 0; bench_now_ns() - begun < slice; from += 4096) {
        write_some(from, 4096);
        bench_go_on();
    }
    uint64_t ns = bench_now_ns() - begun;
    atomic_store(&own.over, 1);
    pthread_join(thread, NULL);
    tide_watch_close(own.w);
    bench_set_rate(plan.rows[ROW_LIVE], own.events, ns);
    bench_set(plan.rows[ROW_LIVE_LOST], (double)own.lost);
}

static void measure_wakes(void) {
    struct watcher own = { .w = open_before_end(0, NULL) };
    hdr_reset(plan.times);
    pthread_t thread = bench_thread(watch_wakes, &own);
    for (uint64_t i = 0; i < plan.wakes; i++) {
        char key[16];
        struct tide_op op;
        fill_op(&op, key, i);
        bench_rest(REST_NS);
        atomic_store(&own.put_ns, bench_now_ns());
        bench_must(tide_put(plan.d, NULL, key, sizeof(key), op.value, op.value_size, NULL), "a put");
    }
    pthread_join(thread, NULL);
    tide_watch_close(own.w);
    bench_set_times(plan.wake, plan.times);
}

static void repeat(void) {
    write_some(0, plan.entries);
    measure_quiet(ROW_ALL, watch_all);
    measure_quiet(ROW_PREFIX, pass_over);
    measure_quiet(ROW_LOG, read_log);
    measure_live();
    measure_wakes();
}

static void prepare(void) {
    struct tide_opts o = bench_setup_opts(BENCH_SETUP_OWN, 0, RING_BYTES, 0);
    plan.entries = (bench->quick ? ENTRIES / 100 : ENTRIES) / BATCH * BATCH;
    plan.wakes = bench->quick ? 20 : WAKES;
    plan.times = bench_hdr();
    add_rows();
    bench_must_system(rawlog_create(&plan.log, RING_BYTES) == 0, "memory for a log");
    rawlog_write(&plan.log, VALUE, plan.entries);
    plan.d = bench_domain(NULL, &o, 0);
}

BENCH_MAIN(.name = "watch", .repetitions = 5,
           .about =
               "Measures how many changes one watcher (tide_watch_next) takes in a second: from a ring that nobody\n"
               "writes, with a prefix that no key has, and beside a writer; and how soon one that sleeps has a\n"
               "change. Beside it, in the same run: the log alone, read as a follower reads it.\n")
