/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/applyrate.h"

#include <stdio.h>
#include <stdlib.h>

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
    struct bench_workload workload;
    struct tide *domain;
    struct tide_reader *reader; /* of the follower */
    uint32_t backlog;
    uint64_t at; /* in the order of keys: each repetition goes on where the last one ended */
};

static void must(const struct bench_applyrate *s, int code, const char *what) {
    bench_must(code, code == 0 ? "" : bench_text("apply, %llu keys, %s", (unsigned long long)s->workload.keys, what));
}

/* The backlog, in batches of `batch`. */
static uint64_t write_backlog(struct bench_applyrate *s, uint32_t batch) {
    const struct bench_workload *w = &s->workload;
    struct tide_token last = { 0, 0 };
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
        rc = batch == 1 ? tide_put(s->domain, NULL, ops[0].key, ops[0].key_len, ops[0].value, ops[0].value_size, &last)
                        : tide_batch(s->domain, NULL, ops, batch, &last, NULL);
    }
    must(s, rc, "writing");
    bench_go_on();
    return last.index;
}

/* The index that the follower is at: of a read that takes whatever is there. */
static uint64_t follower_index(const struct bench_applyrate *s) {
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint8_t value[VALUE];
    must(s,
         tide_get(s->reader, bench_workload_key(&s->workload, 0), s->workload.key_size, &bench_setup_any, value,
                  sizeof(value), &a),
         "reading the follower");
    return a.index;
}

static double time_catching_up(struct bench_applyrate *s, uint64_t last) {
    uint64_t before = follower_index(s), start = bench_now_ns();
    must(s, tide_replica_set_delay(s->domain, FOLLOWER, 0), "letting the follower go");
    do {
        /* Each look takes a line away from the follower, so looks are rare. In between this thread sleeps: the
         * thread that waits for the follower's grace periods runs on this CPU, and without grace periods the
         * follower has no memory for new entries. */
        park_nap(LOOK_EVERY_NS);
        must(s, bench_now_ns() - start > PATIENCE_NS ? TIDE_ERR_TIMEOUT : 0, "waiting for the follower");
        bench_go_on();
    } while (follower_index(s) < last);
    return (double)(last - before) * 1e9 / (double)(bench_now_ns() - start);
}

uint64_t bench_applyrate_table_bytes(uint64_t keys) {
    /* The engine wants no table that is smaller than the ring; beside it what keys and values take, and as much
     * again for few keys: what is overwritten waits for its grace period. */
    return 2 * RING_BYTES + keys * (KEY + VALUE + 80);
}

struct bench_applyrate *bench_applyrate_start(uint64_t keys) {
    struct bench_options o = { .keys = keys, .key_size = KEY, .value_size = VALUE, .seed = 1 };
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, keys, RING_BYTES, bench_applyrate_table_bytes(keys));
    struct bench_applyrate *s = bench_alloc(1, sizeof(*s));
    const struct bench_machine *m = &bench->machine;
    struct tide_token last = { 0, 0 };
    s->backlog = bench->quick ? BACKLOG / 20 : BACKLOG;
    bench_must_system(bench_workload_init(&s->workload, &o, 1) == 0 && bench_workload_prepare(&s->workload, 1) == 0,
                      "memory for keys");
    /* The domain's own threads stay where they are put: the follower's on the second CPU, the rest of them idle. */
    bench_machine_pin(m, 0);
    s->domain = bench_domain(bench_text("%llu", (unsigned long long)keys), &opts, 0);
    must(s, bench_setup_start(s->domain, FOLLOWER, (int32_t)m->cpu_ids[1 % m->cpus]), "starting the follower");
    must(s, bench_setup_reader(s->domain, FOLLOWER, &s->reader), "opening a reader");
    must(s, bench_setup_fill(s->domain, &s->workload, &bench_stop, &last), "filling");
    bench_go_on();
    must(s, tide_wait_applied(s->domain, &last, 2, PATIENCE_NS), "waiting for the follower");
    return s;
}

double bench_applyrate(struct bench_applyrate *s, uint32_t batch) {
    bench_machine_pin(&bench->machine, 0);
    must(s, tide_replica_set_delay(s->domain, FOLLOWER, HELD_NS), "holding the follower");
    return time_catching_up(s, write_backlog(s, batch));
}

void bench_applyrate_end(struct bench_applyrate *s) {
    tide_reader_close(s->reader);
    tide_close(s->domain);
    bench_workload_destroy(&s->workload);
    free(s);
}
