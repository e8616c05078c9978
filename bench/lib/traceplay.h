/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A trace, replayed against a domain that evicts: what is missed is put. One request after the other; blocks of them go
 * in turn through the leader's replica, a follower of the same process, a follower in another process, and a process
 * that has no replica. A read sees every write before it.
 */
#ifndef TIDE_BENCH_TRACEPLAY_H
#define TIDE_BENCH_TRACEPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/lib/trace.h"

struct bench_traceplay {
    uint64_t misses;
    uint64_t window, window_misses; /* requests of the tenth of the trace after its middle, and what missed of them */
    uint64_t keys;                  /* in the table at the end */
    double seconds;
};

/* How long values must be for a table of this size to be full with so many of the trace's keys. */
size_t bench_traceplay_fit(const struct bench_trace *t, uint64_t objects, uint64_t table_bytes);

/* change: in the middle of the trace the leader hands over to the follower in the other process. While no domain is open. */
struct bench_traceplay bench_traceplay_run(const struct bench_trace *t, uint64_t table_bytes, size_t value_size,
                                           bool change);

/* Is request i in the tenth after the middle? */
static inline bool bench_traceplay_in_window(const struct bench_trace *t, uint64_t i) {
    return i >= t->requests_n / 2 && i < t->requests_n / 2 + t->requests_n / 10;
}

#endif
