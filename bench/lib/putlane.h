/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes to a leader in another process: through a lane. Keys of 16 bytes, values of 64. */
#ifndef TIDE_BENCH_PUTLANE_H
#define TIDE_BENCH_PUTLANE_H

#include <stdint.h>

#include "shm/hdr.h"

struct bench_putlane;

/* Fork the leader's process: before any domain is open. */
struct bench_putlane *bench_putlane_start(uint64_t keys);

/* Make the domain and have the other process lead and fill it. */
void bench_putlane_open(struct bench_putlane *l);

/* Puts one after the other, with rest_ns between them, each timed. The times are there until the next call. */
const struct hdr *bench_putlane_times(struct bench_putlane *l, uint64_t rest_ns, uint64_t duration_ns);

/* Operations a second, as fast as they go: by put (batch 1) or in batches of so many, at most 100. */
double bench_putlane_rate(struct bench_putlane *l, uint32_t batch, uint64_t duration_ns);

#endif
