/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many changes does one watcher take in a second, and how soon is one that sleeps awake? */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bench/lib/child.h"
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

struct plan {
    struct bench_program *p;
    struct tide *d;
    struct rawlog log;
    struct hdr *times;
    uint32_t rows[ROWS], wake[BENCH_TIMES];
    uint64_t entries, wakes;
};

static void add_rows(struct plan *plan) {
    struct bench_program *p = plan->p;
    char group[96];
    snprintf(group, sizeof(group), "one watcher, keys of 16 B, values of 64 B; a ring that nobody writes");
    plan->rows[ROW_ALL] = bench_program_row(p, "watch.all", group, "every change", "1/s");
    plan->rows[ROW_PREFIX] =
        bench_program_row(p, "watch.prefix", group, "a prefix that no key has: passed over", "1/s");
    plan->rows[ROW_LOG] = bench_program_row(p, "watch.log", group, "the log alone, read as a follower reads it", "1/s");
    snprintf(group, sizeof(group), "beside a writer, batches of %u%s", BATCH, bench_program_mark(p, 2));
    plan->rows[ROW_LIVE] = bench_program_row(p, "watch.live", group, "changes told", "1/s");
    plan->rows[ROW_LIVE_LOST] = bench_program_row(p, "watch.lost", group, "times that it was a ring behind", "");
    bench_program_times(p, plan->wake, "watch.wake", "asleep: from the call of put until it has the change");
    bench_program_bar(p, "watch.events", "one watcher, 64-byte values: events/s", "1/s", BENCH_AT_LEAST, BAR,
                      plan->rows[ROW_ALL], BENCH_NO_ROW);
}

static void fill_op(struct tide_op *op, char key[16], uint64_t i) {
    static uint8_t value[VALUE];
    memcpy(key, "0123456789abcdef", 16);
    uint64_t number = i % KEYS;
    memcpy(key + 8, &number, 8);
    *op = (struct tide_op){ .kind = TIDE_OP_PUT, .key = key, .key_len = 16, .value = value, .value_size = VALUE };
}

static int write_some(struct tide *d, uint64_t from, uint64_t n) {
    int error = 0;
    for (uint64_t i = 0; i < n && error == 0; i += BATCH) {
        struct tide_op ops[BATCH];
        char keys[BATCH][16];
        for (uint32_t k = 0; k < BATCH; k++) {
            fill_op(&ops[k], keys[k], from + i + k);
        }
        error = tide_batch(d, NULL, ops, BATCH, NULL, NULL);
    }
    return error;
}

static struct tide_watch *open_at(struct plan *plan, uint64_t index, const char *prefix) {
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_watch *w = NULL;
    o.prefix = prefix;
    o.prefix_len = prefix != NULL ? strlen(prefix) : 0;
    int error = tide_info(plan->d, &info);
    o.from = (struct tide_token){ info.incarnation, index };
    error = error != 0 ? error : tide_watch_open(plan->d, &o, &w);
    if (error != 0) {
        bench_program_failed_code(plan->p, "a watch", error);
    }
    return w;
}

/* The last `entries` of the log, again and again. */
static int measure_quiet(struct plan *plan, uint32_t repetition, enum row row) {
    uint64_t begun = bench_now_ns(), ns = 0, events = 0, slice = bench_program_slice_ns(plan->p, SLICE_NS);
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(plan->d, &info);
    while (ns < slice && !bench_stop) {
        struct tide_watch *w = open_at(plan, info.commit_index - plan->entries, row == ROW_PREFIX ? "nobody's" : NULL);
        if (w == NULL) {
            return -1;
        }
        struct tide_event e = TIDE_EVENT_INIT;
        uint64_t n = 0;
        int error;
        while ((error = tide_watch_next(w, &e, 0)) == 0) {
            n++;
        }
        tide_watch_close(w);
        if (error != TIDE_ERR_TIMEOUT || n != (row == ROW_PREFIX ? 0 : plan->entries)) {
            return bench_program_failed_code(plan->p, "watching a log that nobody writes", error);
        }
        events += plan->entries;
        ns = bench_now_ns() - begun;
    }
    bench_program_set(plan->p, plan->rows[row], repetition, (double)events * 1e9 / (double)ns);
    return bench_stop ? 1 : 0;
}

static int measure_log(struct plan *plan, uint32_t repetition) {
    uint64_t begun = bench_now_ns(), ns = 0, events = 0, slice = bench_program_slice_ns(plan->p, SLICE_NS);
    while (ns < slice && !bench_stop) {
        if (rawlog_read(&plan->log, plan->entries) != 0) {
            return bench_program_failed(plan->p, "the log alone: a frame was not as it must be");
        }
        events += plan->entries;
        ns = bench_now_ns() - begun;
    }
    bench_program_set(plan->p, plan->rows[ROW_LOG], repetition, (double)events * 1e9 / (double)ns);
    return bench_stop ? 1 : 0;
}

/* ---- beside a writer ------------------------------------------------------------------------------------------------ */

struct watcher {
    struct plan *plan;
    struct tide_watch *w;
    _Atomic uint32_t over;
    _Atomic uint64_t put_ns; /* when the put was called whose change comes next */
    uint64_t events, lost;
    int error;
};

static void *watch_live(void *watcher) {
    struct watcher *own = watcher;
    struct tide_event e = TIDE_EVENT_INIT;
    while (atomic_load(&own->over) == 0 && own->error == 0) {
        int error = tide_watch_next(own->w, &e, 10000000);
        own->events += error == 0;
        if (error == TIDE_ERR_LOST) {
            struct tide_info info = TIDE_INFO_INIT;
            tide_watch_close(own->w);
            tide_info(own->plan->d, &info);
            own->w = open_at(own->plan, info.commit_index, NULL);
            own->lost++;
            error = own->w == NULL ? error : 0;
        }
        own->error = error == TIDE_ERR_TIMEOUT ? 0 : error;
    }
    return NULL;
}

static void *watch_wakes(void *watcher) {
    struct watcher *own = watcher;
    struct tide_event e = TIDE_EVENT_INIT;
    for (uint64_t i = 0; i < own->plan->wakes && own->error == 0; i++) {
        own->error = tide_watch_next(own->w, &e, 10000000000);
        hdr_record(own->plan->times, (int64_t)(bench_now_ns() - atomic_load(&own->put_ns)));
    }
    return NULL;
}

static int begin(struct plan *plan, struct watcher *own, pthread_t *thread, void *(*run)(void *)) {
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(plan->d, &info);
    own->w = open_at(plan, info.commit_index, NULL);
    if (own->w == NULL || pthread_create(thread, NULL, run, own) != 0) {
        return -1;
    }
    return 0;
}

static int measure_live(struct plan *plan, uint32_t repetition) {
    struct watcher own = { .plan = plan };
    pthread_t thread;
    if (begin(plan, &own, &thread, watch_live) != 0) {
        return bench_program_failed(plan->p, "a watcher beside the writer cannot be had");
    }
    uint64_t begun = bench_now_ns(), slice = bench_program_slice_ns(plan->p, SLICE_NS), from = 0;
    int error = 0;
    while (error == 0 && bench_now_ns() - begun < slice && !bench_stop) {
        error = write_some(plan->d, from, 4096);
        from += 4096;
    }
    uint64_t ns = bench_now_ns() - begun;
    atomic_store(&own.over, 1);
    pthread_join(thread, NULL);
    tide_watch_close(own.w);
    error = error != 0 ? error : own.error;
    if (error != 0) {
        return bench_program_failed_code(plan->p, "watching beside a writer", error);
    }
    bench_program_set(plan->p, plan->rows[ROW_LIVE], repetition, (double)own.events * 1e9 / (double)ns);
    bench_program_set(plan->p, plan->rows[ROW_LIVE_LOST], repetition, (double)own.lost);
    return 0;
}

static int measure_wakes(struct plan *plan, uint32_t repetition) {
    struct watcher own = { .plan = plan };
    pthread_t thread;
    hdr_reset(plan->times);
    if (begin(plan, &own, &thread, watch_wakes) != 0) {
        return bench_program_failed(plan->p, "a watcher that sleeps cannot be had");
    }
    int error = 0;
    for (uint64_t i = 0; i < plan->wakes && error == 0; i++) {
        char key[16];
        struct tide_op op;
        fill_op(&op, key, i);
        bench_sleep_ns(REST_NS);
        atomic_store(&own.put_ns, bench_now_ns());
        error = tide_put(plan->d, NULL, key, sizeof(key), op.value, op.value_size, NULL);
    }
    pthread_join(thread, NULL);
    tide_watch_close(own.w);
    error = error != 0 ? error : own.error;
    if (error != 0) {
        return bench_program_failed_code(plan->p, "waking a watcher", error);
    }
    bench_program_set_times(plan->p, plan->wake, repetition, plan->times);
    return 0;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct plan *plan = ctx;
    (void)p;
    int rc = write_some(plan->d, 0, plan->entries);
    rc = rc != 0 ? bench_program_failed_code(p, "a batch", rc) : 0;
    rc = rc != 0 ? rc : measure_quiet(plan, repetition, ROW_ALL);
    rc = rc != 0 ? rc : measure_quiet(plan, repetition, ROW_PREFIX);
    rc = rc != 0 ? rc : measure_log(plan, repetition);
    rc = rc != 0 ? rc : measure_live(plan, repetition);
    return rc != 0 ? rc : measure_wakes(plan, repetition);
}

int main(int argc, char **argv) {
    static struct bench_program p = {
        .name = "watch",
        .about = "Measures how many changes one watcher (tide_watch_next) takes in a second: from a ring that nobody\n"
                 "writes, with a prefix that no key has, and beside a writer; and how soon one that sleeps has a\n"
                 "change. Beside it, in the same run: the log alone, read as a follower reads it.\n",
        .repetitions = 5,
    };
    static struct plan plan = { .p = &p };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    plan.entries = (p.quick ? ENTRIES / 100 : ENTRIES) / BATCH * BATCH;
    plan.wakes = p.quick ? 20 : WAKES;
    add_rows(&plan);
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = RING_BYTES;
    plan.times = hdr_new(1, INT64_C(10000000000), 3);
    int rc =
        plan.times == NULL || rawlog_create(&plan.log, RING_BYTES) != 0 ? bench_program_failed(&p, "no memory") : 0;
    if (rc == 0) {
        rawlog_write(&plan.log, VALUE, plan.entries);
        rc = bench_program_domain(&p, &plan.d, &o, false);
    }
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &plan);
    bench_close(plan.d);
    if (plan.log.ring.base != NULL) {
        rawlog_destroy(&plan.log);
    }
    hdr_free(plan.times);
    return bench_program_end(&p, rc);
}
