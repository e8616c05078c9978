/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/putlane.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/setup.h"
#include "bench/lib/workload.h"
#include "bench/lib/worker.h"
#include "shm/hdr.h"
#include "shm/park.h"

#define VALUE 64u
#define BATCH_MAX 100u
#define HIGHEST_NS INT64_C(10000000000)

enum { ORDER_LEAD = 1 };

struct bench_putlane {
    struct bench_program *p;
    struct bench_workload workload;
    char name[TIDE_NAME_MAX];
    struct bench_worker *leader;
    struct tide *domain;
    struct hdr *times;
    uint64_t n; /* of all writes: makes values differ */
};

/* The process is pinned to the second CPU, and with it the thread that serves lanes. */
static int lead(struct bench_worker *w, void *ctx) {
    struct bench_putlane *l = ctx;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    struct tide_token last;
    struct tide *d;
    leader.role = TIDE_LEADER;
    uint32_t order = bench_worker_order(w, 0);
    bench_worker_what(w, "opening the domain");
    int rc = tide_open(&d, l->name, NULL);
    bench_worker_what(w, "starting the leader and filling it");
    rc = rc != 0 ? rc : tide_replica_start(d, &leader, NULL);
    rc = rc != 0 ? rc : bench_setup_fill(d, &l->workload, &bench_stop, &last);
    if (rc != 0) {
        return rc;
    }
    bench_worker_done(w, ORDER_LEAD);
    bench_worker_what(w, "leading");
    while (bench_worker_order(w, order) != BENCH_ORDER_END) {
    }
    return 0;
}

static int failed(struct bench_putlane *l, const char *what, int code) {
    return bench_program_failed(l->p, "through a lane, %s: %s", what, tide_strerror(code));
}

struct bench_putlane *bench_putlane_start(struct bench_program *p, uint64_t keys) {
    struct bench_options o = { .keys = keys, .key_size = 16, .value_size = VALUE, .seed = 1 };
    struct bench_putlane *l = bench_shared_map(sizeof(*l));
    if (l == NULL || bench_workload_init(&l->workload, &o, 1) != 0 || bench_workload_prepare(&l->workload, 1) != 0) {
        bench_shared_unmap(l, sizeof(*l));
        bench_program_failed(p, "no memory for keys");
        return NULL;
    }
    l->p = p;
    snprintf(l->name, sizeof(l->name), "put-%ld-lane-%llu", (long)getpid(), (unsigned long long)keys);
    l->times = hdr_new(1, HIGHEST_NS, 3);
    l->leader = bench_worker_start(true, &p->machine, 1, lead, l);
    if (l->times == NULL || l->leader == NULL) {
        bench_program_failed(p, "no memory, or no process to be had");
        bench_putlane_end(l);
        return NULL;
    }
    return l;
}

int bench_putlane_open(struct bench_putlane *l) {
    struct bench_options o = { .keys = l->workload.keys, .key_size = 16, .value_size = VALUE };
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags |= TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    opts.table_bytes = bench_workload_table_bytes(&o);
    opts.expected_keys = l->workload.keys;
    bench_machine_unpin(&l->p->machine);
    int rc = tide_open(&l->domain, l->name, &opts);
    if (rc != 0) {
        return failed(l, "creating the domain", rc);
    }
    bench_worker_tell(l->leader, ORDER_LEAD);
    return bench_worker_await(l->leader, ORDER_LEAD, &bench_stop, l->p->error);
}

static int put(struct bench_putlane *l) {
    const struct bench_workload *w = &l->workload;
    uint8_t value[VALUE] = { 0 };
    memcpy(value, &l->n, sizeof(l->n));
    uint32_t key = w->sequences[0][l->n++ & (w->steps - 1)];
    return tide_put(l->domain, NULL, bench_workload_key(w, key), w->key_size, value, sizeof(value), NULL);
}

static int batch(struct bench_putlane *l, uint32_t count) {
    const struct bench_workload *w = &l->workload;
    struct tide_op ops[BATCH_MAX];
    uint8_t value[VALUE] = { 0 };
    memcpy(value, &l->n, sizeof(l->n));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t key = w->sequences[0][l->n++ & (w->steps - 1)];
        ops[i] = (struct tide_op){ TIDE_OP_PUT, 0, bench_workload_key(w, key), w->key_size, value, VALUE, 0 };
    }
    return tide_batch(l->domain, NULL, ops, count, NULL, NULL);
}

static void rest(const struct bench_putlane *l, uint64_t ns) {
    for (uint64_t until = tide_now(l->domain) + ns; tide_now(l->domain) < until;) {
        park_relax();
    }
}

/* 0, 1 or -1 after a slice that ended with a code. */
static int settle(struct bench_putlane *l, int code) {
    if (code != 0) {
        return bench_worker_lives(l->leader, l->p->error) ? failed(l, "writing", code) : -1;
    }
    return bench_stop ? 1 : 0;
}

int bench_putlane_times(struct bench_putlane *l, uint64_t rest_ns, uint64_t duration_ns,
                        struct bench_putlane_times *out) {
    bench_machine_pin(&l->p->machine, 0);
    int rc = put(l); /* finds a lane, and wakes the leader's thread */
    uint64_t until = tide_now(l->domain) + duration_ns;
    hdr_reset(l->times);
    do {
        rest(l, rest_ns);
        uint64_t start = tide_now(l->domain);
        rc = rc != 0 ? rc : put(l);
        uint64_t now = tide_now(l->domain);
        hdr_record(l->times, now > start ? (int64_t)(now - start) : 0);
    } while (rc == 0 && !bench_stop && tide_now(l->domain) < until);
    *out = (struct bench_putlane_times){
        .p50 = (double)hdr_value_at_percentile(l->times, 50),
        .p99 = (double)hdr_value_at_percentile(l->times, 99),
        .p999 = (double)hdr_value_at_percentile(l->times, 99.9),
        .max = (double)hdr_max(l->times),
    };
    return settle(l, rc);
}

int bench_putlane_rate(struct bench_putlane *l, uint32_t count, uint64_t duration_ns, double *per_s) {
    bench_machine_pin(&l->p->machine, 0);
    int rc = count == 1 ? put(l) : batch(l, count);
    uint64_t start = bench_now_ns(), now = start, before = l->n;
    while (rc == 0 && !bench_stop && now - start < duration_ns) {
        rc = count == 1 ? put(l) : batch(l, count);
        now = bench_now_ns();
    }
    *per_s = bench_ratio((double)(l->n - before) * 1e9, (double)(now - start));
    return settle(l, rc);
}

void bench_putlane_end(struct bench_putlane *l) {
    if (l == NULL) {
        return;
    }
    bench_worker_end(l->leader);
    if (l->domain != NULL) {
        tide_close(l->domain);
    }
    hdr_free(l->times);
    bench_workload_destroy(&l->workload);
    bench_shared_unmap(l, sizeof(*l));
}
