/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Open-loop schedules: operation n is due at a fixed instant, whether or not those before it are done.
 *
 * Latency is counted from the instant that an operation was due. A slow answer then also counts for everything that had
 * to queue behind it; a closed loop would simply send less and hide it ("coordinated omission", Gil Tene).
 */
#ifndef TIDE_BENCH_PACE_H
#define TIDE_BENCH_PACE_H

#include <stdint.h>

struct bench_pace {
    uint64_t start_ns;
    double interval_ns; /* between two operations of this thread */
    double offset_ns;   /* so that threads take turns instead of starting together */
};

/* rate: operations per second of all threads together, > 0. turn: this thread's place among `threads`. */
void bench_pace_init(struct bench_pace *p, double rate, uint32_t turn, uint32_t threads, uint64_t start_ns);

/* When operation n (from 0) is due. */
uint64_t bench_pace_due(const struct bench_pace *p, uint64_t n);

/* How many operations were due at `now_ns` or before. */
uint64_t bench_pace_count(const struct bench_pace *p, uint64_t now_ns);

/* Latency of an operation that was due at due_ns and done at done_ns: 0 where a clock step would make it negative. */
uint64_t bench_pace_latency(uint64_t due_ns, uint64_t done_ns);

enum bench_pace_step { BENCH_PACE_GO = 0, BENCH_PACE_SPIN = 1, BENCH_PACE_SLEEP = 2 };

/* What to do at now_ns with the next operation due at due_ns: run it, spin, or sleep for *sleep_ns and look again.
 * It spins for the last spin_ns before the operation is due: a timer's wake-up comes late by some tens of
 * microseconds, which would count as latency. */
enum bench_pace_step bench_pace_next(uint64_t now_ns, uint64_t due_ns, uint64_t spin_ns, uint64_t *sleep_ns);
#define BENCH_PACE_SPIN_NS UINT64_C(60000) /* where other threads want the CPU as well */
#define BENCH_PACE_SPIN_ALWAYS UINT64_MAX  /* where the thread has a CPU of its own */

#endif
