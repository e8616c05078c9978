/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the machine gives to threads that share nothing: work that scales worse has itself to blame, not the machine. */
#ifndef TIDE_BENCH_GRANTED_H
#define TIDE_BENCH_GRANTED_H

#include "bench/lib/machine.h"

/* Steps of the control loop of so many threads (at most 64), pinned one to a CPU as far as there are CPUs, over those
 * of one thread. Takes twice duration_ns. */
double bench_granted(const struct bench_machine *m, uint32_t threads, uint64_t duration_ns);

#endif
