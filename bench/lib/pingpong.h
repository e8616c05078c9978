/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a change takes from one core to another: one cache line that two threads hand back and forth, spinning,
 * with nothing else in it. What two programs that spin can tell one another cannot be faster.
 */
#ifndef TIDE_BENCH_PINGPONG_H
#define TIDE_BENCH_PINGPONG_H

#include <stdint.h>

#include "bench/lib/machine.h"

/* Half of a round trip between two CPUs (turns as in bench_machine_pin()), in ns: the median over runs of 1,000. The
 * calling thread is pinned to the first and stays there. 0 where there are not two CPUs, or no thread. */
double bench_pingpong_one_way_ns(const struct bench_machine *m, uint32_t here, uint32_t there, uint64_t duration_ns);

#endif
