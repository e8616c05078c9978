/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/applyrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/lib/setup.h"
#include "bench/lib/workload.h"
#include "shm/nap.h"

#define KEY 16u
#define VALUE 64u
#define FOLLOWER 1u
#define RING_BYTES (UINT64_C(64) << 20)
#define BACKLOG 400000u /* frames of 128 bytes: fits in the ring */
#define HELD_NS UINT64_C(3600000000000)
#define LOOK_EVERY_NS UINT64_C(50000)
#define PATIENCE_NS UINT64_C(30000000000)
#define BATCH_MAX 16u

struct bench_applyrate {
    struct bench_program *p;
    struct bench_workload workload;
    struct tide *domain;
    struct tide_reader *reader; /* of the follower */
    uint32_t backlog;
    uint64_t at; /* in the order of keys: each repetition goes on where the last one ended */
};

static int failed(struct bench_applyrate *s, const char *what, int code) {
    return bench_program_failed(s->p, "apply, %llu keys, %s: %s", (unsigned long long)s->workload.keys, what,
                                tide_strerror(code));
}

static int open_stage(struct bench_applyrate *s) {
    uint64_t keys = s->workload.keys;
    const struct bench_machine *m = &s->p->machine;
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, keys, RING_BYTES, bench_applyrate_table_bytes(keys));
    char name[TIDE_NAME_MAX];
    snprintf(name, sizeof(name), "ring-%ld-%llu", (long)getpid(), (unsigned long long)keys);
    int rc = tide_open(&s->domain, name, &opts);
    if (rc != 0) {
        return failed(s, "creating the domain", rc);
    }
    rc = bench_setup_start(s->domain, 0, -1);
    rc = rc != 0 ? rc : bench_setup_start(s->domain, FOLLOWER, (int32_t)m->cpu_ids[1 % m->cpus]);
    if (rc != 0) {
        return failed(s, "starting leader and follower", rc);
    }
    rc = bench_setup_reader(s->domain, FOLLOWER, &s->reader);
    return rc != 0 ? failed(s, "opening a reader", rc) : 0;
}

/* The backlog, in batches of `batch`. */
static int write_backlog(struct bench_applyrate *s, uint32_t batch, struct tide_token *last) {
    const struct bench_workload *w = &s->workload;
    struct tide_op ops[BATCH_MAX];
    uint8_t values[BATCH_MAX][VALUE];
    int rc = 0;
    for (uint32_t i = 0; i < s->backlog && rc == 0 && !bench_stop; i += batch) {
        for (uint32_t k = 0; k < batch; k++) {
            uint32_t key = w->sequences[0][s->at++ & (w->steps - 1)];
            bench_workload_value(w, key, s->at, values[k]);
            ops[k] = (struct tide_op){ .kind = TIDE_OP_PUT,
                                       .key = bench_workload_key(w, key),
                                       .key_len = w->key_size,
                                       .value = values[k],
                                       .value_size = VALUE };
        }
        rc = batch == 1 ? tide_put(s->domain, NULL, ops[0].key, ops[0].key_len, ops[0].value, ops[0].value_size, last)
                        : tide_batch(s->domain, NULL, ops, batch, last, NULL);
    }
    return rc != 0 ? failed(s, "writing", rc) : bench_stop ? 1 : 0;
}

/* The index that the follower is at: of a read that takes whatever is there. */
static int follower_index(struct bench_applyrate *s, uint64_t *index) {
    struct tide_bound any = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint8_t value[VALUE];
    any.max_staleness_ns = TIDE_UNBOUNDED;
    any.fallback = TIDE_FALLBACK_ERROR;
    int rc =
        tide_get(s->reader, bench_workload_key(&s->workload, 0), s->workload.key_size, &any, value, sizeof(value), &a);
    *index = a.index;
    return rc;
}

static int time_catching_up(struct bench_applyrate *s, uint64_t last, double *per_s) {
    uint64_t before, now;
    int rc = follower_index(s, &before);
    uint64_t start = bench_now_ns();
    rc = rc != 0 ? rc : tide_replica_set_delay(s->domain, FOLLOWER, 0);
    do {
        /* Each look takes a line away from the follower, so looks are rare. In between this thread sleeps: the
         * thread that waits for the follower's grace periods runs on this CPU, and without grace periods the
         * follower has no memory for new entries. */
        park_nap(LOOK_EVERY_NS);
        rc = rc != 0 ? rc : follower_index(s, &now);
        if (rc == 0 && bench_now_ns() - start > PATIENCE_NS) {
            rc = TIDE_ERR_TIMEOUT;
        }
    } while (rc == 0 && now < last && !bench_stop);
    if (rc != 0) {
        return failed(s, "waiting for the follower", rc);
    }
    *per_s = (double)(last - before) * 1e9 / (double)(bench_now_ns() - start);
    return bench_stop ? 1 : 0;
}

static int fill(struct bench_applyrate *s) {
    struct tide_token last = { 0, 0 };
    int rc = bench_setup_fill(s->domain, &s->workload, &bench_stop, &last);
    rc = rc != 0 || bench_stop ? rc : tide_wait_applied(s->domain, &last, 2, PATIENCE_NS);
    return rc != 0 ? failed(s, "filling", rc) : bench_stop ? 1 : 0;
}

uint64_t bench_applyrate_table_bytes(uint64_t keys) {
    /* The engine wants no table that is smaller than the ring; beside it what keys and values take, and as much
     * again for few keys: what is overwritten waits for its grace period. */
    return 2 * RING_BYTES + keys * (KEY + VALUE + 80);
}

struct bench_applyrate *bench_applyrate_start(struct bench_program *p, uint64_t keys) {
    struct bench_options o = { .keys = keys, .key_size = KEY, .value_size = VALUE, .seed = 1 };
    struct bench_applyrate *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        abort();
    }
    s->p = p;
    s->backlog = p->quick ? BACKLOG / 20 : BACKLOG;
    if (bench_workload_init(&s->workload, &o, 1) != 0 || bench_workload_prepare(&s->workload, 1) != 0) {
        failed(s, "keys", TIDE_ERR_NOMEM);
        bench_applyrate_end(s);
        return NULL;
    }
    /* The domain's own threads stay where they are put: the follower's on the second CPU, the rest of them idle. */
    bench_machine_pin(&p->machine, 0);
    if (open_stage(s) != 0 || fill(s) != 0) {
        bench_applyrate_end(s);
        return NULL;
    }
    return s;
}

int bench_applyrate(struct bench_applyrate *s, uint32_t batch, double *per_s) {
    struct tide_token last = { 0, 0 };
    bench_machine_pin(&s->p->machine, 0);
    int rc = tide_replica_set_delay(s->domain, FOLLOWER, HELD_NS);
    rc = rc != 0 ? failed(s, "holding the follower", rc) : write_backlog(s, batch, &last);
    return rc != 0 ? rc : time_catching_up(s, last.index, per_s);
}

void bench_applyrate_end(struct bench_applyrate *s) {
    if (s == NULL) {
        return;
    }
    bench_reader_close(s->reader);
    bench_close(s->domain);
    bench_workload_destroy(&s->workload);
    free(s);
}
