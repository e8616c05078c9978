/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/putlane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/far.h"
#include "bench/lib/workload.h"
#include "shm/park.h"

#define VALUE 64u
#define BATCH_MAX 100u
#define HIGHEST_NS INT64_C(10000000000)

struct bench_putlane {
    struct bench_program *p;
    struct bench_workload workload;
    struct bench_far *far;
    struct tide *domain;
    struct hdr *times;
    uint64_t n; /* of all writes: makes values differ */
};

static int failed(struct bench_putlane *l, const char *what, int code) {
    return bench_program_failed(l->p, "through a lane, %s: %s", what, tide_strerror(code));
}

struct bench_putlane *bench_putlane_start(struct bench_program *p, uint64_t keys) {
    struct bench_options o = { .keys = keys, .key_size = 16, .value_size = VALUE, .seed = 1 };
    struct bench_putlane *l = calloc(1, sizeof(*l));
    char name[TIDE_NAME_MAX];
    if (l == NULL || bench_workload_init(&l->workload, &o, 1) != 0 || bench_workload_prepare(&l->workload, 1) != 0) {
        free(l);
        bench_program_failed(p, "no memory for keys");
        return NULL;
    }
    l->p = p;
    snprintf(name, sizeof(name), "put-%ld-lane-%llu", (long)getpid(), (unsigned long long)keys);
    l->times = hdr_new(1, HIGHEST_NS, 3);
    /* On the second CPU, and with the process the thread that serves lanes. */
    l->far = bench_far_start(&l->workload, &p->machine, 1, name);
    if (l->times == NULL || l->far == NULL) {
        bench_program_failed(p, "no memory, or no process to be had");
        bench_putlane_end(l);
        return NULL;
    }
    return l;
}

int bench_putlane_open(struct bench_putlane *l) {
    struct bench_options o = { .keys = l->workload.keys, .key_size = 16, .value_size = VALUE };
    bench_machine_unpin(&l->p->machine);
    return bench_far_open(l->far, &o, &l->domain, &bench_stop, l->p->error);
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
        return bench_far_lives(l->far, l->p->error) ? failed(l, "writing", code) : -1;
    }
    return bench_stop ? 1 : 0;
}

int bench_putlane_times(struct bench_putlane *l, uint64_t rest_ns, uint64_t duration_ns, const struct hdr **times) {
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
    *times = l->times;
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
    bench_far_end(l->far);
    hdr_free(l->times);
    bench_workload_destroy(&l->workload);
    free(l);
}
