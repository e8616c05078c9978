/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/pace.h"

void bench_pace_init(struct bench_pace *p, double rate, uint32_t turn, uint32_t threads, uint64_t start_ns) {
    p->start_ns = start_ns;
    p->interval_ns = 1e9 * (double)threads / rate;
    p->offset_ns = 1e9 * (double)turn / rate;
}

uint64_t bench_pace_due(const struct bench_pace *p, uint64_t n) {
    /* Multiplied out each time: adding the interval up would let its rounding error grow with n. */
    return p->start_ns + (uint64_t)(p->offset_ns + (double)n * p->interval_ns);
}

uint64_t bench_pace_count(const struct bench_pace *p, uint64_t now_ns) {
    if (now_ns < bench_pace_due(p, 0)) {
        return 0;
    }
    uint64_t n = (uint64_t)(((double)(now_ns - p->start_ns) - p->offset_ns) / p->interval_ns);
    /* The division may land on either side of a due instant; bench_pace_due() is what counts. */
    while (n > 0 && bench_pace_due(p, n) > now_ns) {
        n--;
    }
    while (bench_pace_due(p, n + 1) <= now_ns) {
        n++;
    }
    return n + 1;
}

uint64_t bench_pace_latency(uint64_t due_ns, uint64_t done_ns) {
    return done_ns > due_ns ? done_ns - due_ns : 0;
}

enum bench_pace_step bench_pace_next(uint64_t now_ns, uint64_t due_ns, uint64_t spin_ns, uint64_t *sleep_ns) {
    if (now_ns >= due_ns) {
        return BENCH_PACE_GO;
    }
    uint64_t ahead = due_ns - now_ns;
    if (ahead <= spin_ns) {
        return BENCH_PACE_SPIN;
    }
    *sleep_ns = ahead - spin_ns;
    return BENCH_PACE_SLEEP;
}
