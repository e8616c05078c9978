/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the log is held against: bytes copied through a ring between one producer and one consumer, with a word that
 * says how far each is; the producer keeps a copy of the consumer's (after Rigtorp). No header, no time, no checksum.
 */
#ifndef TIDE_BENCH_PLAINRING_H
#define TIDE_BENCH_PLAINRING_H

#include "bench/lib/machine.h"

/* Messages a second between the calling thread, pinned to the first CPU, and one on the second. message_bytes: divides
 * ring_bytes, at most 256; published once for `group` of them. 0: no memory, or no thread. */
double bench_plainring_per_s(const struct bench_machine *m, uint64_t ring_bytes, uint32_t message_bytes, uint32_t group,
                             uint64_t duration_ns);

#endif
