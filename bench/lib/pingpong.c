/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/pingpong.h"

#include <stdatomic.h>

#include "bench/lib/stats.h"
#include "bench/lib/worker.h"

#define TRIPS 1000u
#define RUNS_MAX 4096u
#define OVER UINT64_MAX

/* Odd: on its way to the partner; even: on its way back. */
struct court {
    _Alignas(128) _Atomic uint64_t ball;
    _Alignas(128) char behind;
};

/* No pause between looks: it would be part of the time. MO(bench.ball): acquire and release, which is all that a hand-over
 * needs; a sequentially consistent store would be slower, and flatter the engine. */
static int return_balls(struct bench_worker *w, void *ctx) {
    struct court *c = ctx;
    (void)w;
    for (uint64_t at = 1;; at += 2) {
        uint64_t seen;
        do {
            seen = atomic_load_explicit(&c->ball, memory_order_acquire); /* MO(bench.ball) */
        } while (seen != at && seen != OVER);
        if (seen == OVER) {
            return 0;
        }
        atomic_store_explicit(&c->ball, at + 1, memory_order_release); /* MO(bench.ball) */
    }
}

static double one_run(struct court *c, uint64_t *at) {
    uint64_t start = bench_now_ns();
    for (uint32_t i = 0; i < TRIPS; i++, *at += 2) {
        atomic_store_explicit(&c->ball, *at, memory_order_release);               /* MO(bench.ball) */
        while (atomic_load_explicit(&c->ball, memory_order_acquire) != *at + 1) { /* MO(bench.ball) */
        }
    }
    return (double)(bench_now_ns() - start) / TRIPS / 2;
}

double bench_pingpong_one_way_ns(const struct bench_machine *m, uint32_t here, uint32_t there, uint64_t duration_ns) {
    static double runs[RUNS_MAX];
    struct court c = { .ball = 0 };
    if (m->cpus < 2 || here % m->cpus == there % m->cpus) {
        return 0;
    }
    bench_machine_pin(m, here);
    struct bench_worker *partner = bench_worker_start(false, m, (int32_t)there, return_balls, &c);
    if (partner == NULL) {
        return 0;
    }
    uint64_t at = 1, until = bench_now_ns() + duration_ns;
    one_run(&c, &at); /* until the partner is there */
    uint32_t n = 0;
    do {
        runs[n++] = one_run(&c, &at);
    } while (n < RUNS_MAX && bench_now_ns() < until);
    atomic_store(&c.ball, OVER);
    bench_worker_end(partner);
    return bench_spread_of(runs, n).median;
}
