/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/granted.h"

#include "bench/lib/control.h"
#include "bench/lib/stats.h"
#include "bench/lib/worker.h"

#define THREADS_MAX 64u

struct share {
    _Alignas(128) uint64_t until;
    uint64_t steps, sum;
};

static int arithmetic(struct bench_worker *w, void *ctx) {
    struct share *s = ctx;
    (void)w;
    do { /* at least once: a ratio to 0 steps means nothing */
        s->sum = bench_control(s->sum);
        s->steps++;
    } while (bench_now_ns() < s->until);
    return 0;
}

static double steps_of(const struct bench_machine *m, uint32_t threads, uint64_t duration_ns) {
    struct share shares[THREADS_MAX] = { 0 };
    struct bench_worker *workers[THREADS_MAX];
    uint64_t until = bench_now_ns() + duration_ns, steps = 0;
    threads = threads < THREADS_MAX ? threads : THREADS_MAX;
    for (uint32_t i = 0; i < threads; i++) {
        shares[i].until = until;
        workers[i] = bench_worker_start(false, m, (int32_t)i, arithmetic, &shares[i]);
    }
    for (uint32_t i = 0; i < threads; i++) {
        bench_worker_end(workers[i]);
        steps += shares[i].steps;
    }
    return (double)steps;
}

double bench_granted(const struct bench_machine *m, uint32_t threads, uint64_t duration_ns) {
    double alone = steps_of(m, 1, duration_ns);
    return bench_ratio(steps_of(m, threads, duration_ns), alone);
}
