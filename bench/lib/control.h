/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The control loop: arithmetic that touches no memory and shares nothing, so that if it does not scale with
 * the number of threads, the reason is the machine (cores that are not granted, clock speed, siblings), and not the thing that is
 * measured.
 */
#ifndef TIDE_BENCH_CONTROL_H
#define TIDE_BENCH_CONTROL_H

#include <stdint.h>

#include "bench/lib/rng.h"

#define BENCH_CONTROL_STEPS 256u /* about a microsecond */

static inline uint64_t bench_control(uint64_t x) {
    for (unsigned i = 0; i < BENCH_CONTROL_STEPS; i++) {
        x = bench_mix64(x);
    }
    return x;
}

#endif
