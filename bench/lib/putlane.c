/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/putlane.h"

#include <string.h>

#include "bench/lib/far.h"
#include "bench/lib/program.h"
#include "bench/lib/workload.h"
#include "shm/park.h"

#define VALUE 64u
#define BATCH_MAX 100u

struct bench_putlane {
    struct bench_workload workload;
    struct bench_far *far;
    struct tide *domain;
    struct hdr *times;
    uint64_t n; /* of all writes: makes values differ */
};

struct bench_putlane *bench_putlane_start(uint64_t keys) {
    struct bench_options o = { .keys = keys, .key_size = 16, .value_size = VALUE, .seed = 1 };
    struct bench_putlane *l = bench_alloc(1, sizeof(*l));
    bench_must_system(bench_workload_init(&l->workload, &o, 1) == 0 && bench_workload_prepare(&l->workload, 1) == 0,
                      "memory for keys");
    l->times = bench_hdr();
    /* On the second CPU, and with the process the thread that serves lanes. */
    l->far = bench_far_start(&l->workload, 1, bench_text("lane-%llu", (unsigned long long)keys));
    return l;
}

void bench_putlane_open(struct bench_putlane *l) {
    struct bench_options o = { .keys = l->workload.keys, .key_size = 16, .value_size = VALUE };
    bench_machine_unpin(&bench->machine);
    l->domain = bench_far_open(l->far, &o);
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

/* After a slice that ended with a code: where the leader's process died, that is the reason. */
static void settle(struct bench_putlane *l, int code) {
    bench_go_on();
    if (code != 0) {
        bench_far_must_live(l->far);
    }
    bench_must(code, "writing through a lane");
}

const struct hdr *bench_putlane_times(struct bench_putlane *l, uint64_t rest_ns, uint64_t duration_ns) {
    bench_machine_pin(&bench->machine, 0);
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
    settle(l, rc);
    return l->times;
}

double bench_putlane_rate(struct bench_putlane *l, uint32_t count, uint64_t duration_ns) {
    bench_machine_pin(&bench->machine, 0);
    int rc = count == 1 ? put(l) : batch(l, count);
    uint64_t start = bench_now_ns(), now = start, before = l->n;
    while (rc == 0 && !bench_stop && now - start < duration_ns) {
        rc = count == 1 ? put(l) : batch(l, count);
        now = bench_now_ns();
    }
    settle(l, rc);
    return bench_ratio((double)(l->n - before) * 1e9, (double)(now - start));
}
