/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes that bench/failover kills: a leader, a candidate, and a writer that belongs to neither. */
#ifndef TIDE_BENCH_VICTIMS_H
#define TIDE_BENCH_VICTIMS_H

#include <stdint.h>

#include "bench/lib/worker.h"
#include "engine/tidemark.h"

#define VICTIMS_NODES 2u
#define VICTIMS_PATIENCE_NS UINT64_C(20000000000)

struct victims_shared; /* with the children */

struct victims {
    struct victims_shared *w;
    struct bench_worker *workers[VICTIMS_NODES + 1]; /* NULL: none. The last is the writer's */
};

/* Start a domain whose leader holds so many keys, and the writer. No domain may be open in this process. */
void victims_start(struct victims *v, uint64_t keys);

/* Kill all that is left, and remove the domain. */
void victims_end(struct victims *v);

/* Start a candidate where one is missing, wait until both serve and writes are acknowledged, and then a while. No domain
 * may be open in this process. */
void victims_ready(struct victims *v);

/* Attach to the domain. */
struct tide *victims_attach(const struct victims *v);

/* Kill the process with this pid. victims_bury() waits for it. */
void victims_kill(struct victims *v, int32_t pid);
void victims_bury(struct victims *v, int32_t pid);

/* When the last write was acknowledged: CLOCK_MONOTONIC, ns. */
uint64_t victims_acked_ns(const struct victims *v);

uint64_t victims_table_bytes(uint64_t keys);

#endif
