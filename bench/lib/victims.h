/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes that bench/failover kills: a leader, a candidate, and a writer that belongs to neither. */
#ifndef TIDEMARK_BENCH_VICTIMS_H
#define TIDEMARK_BENCH_VICTIMS_H

#include <stdatomic.h>
#include <stdint.h>

#include "bench/lib/program.h"
#include "bench/lib/worker.h"

#define VICTIMS_NODES 2u
#define VICTIMS_PATIENCE_NS UINT64_C(20000000000)

struct victims_shared; /* with the children */

struct victims {
    struct bench_program *p;
    struct victims_shared *w;
    struct bench_worker *workers[VICTIMS_NODES + 1]; /* NULL: none. The last is the writer's */
};

/* Start a domain whose leader holds so many keys, and the writer. 0; 1: asked to end; -1: p->error says what failed.
 * To be ended in any case. No domain may be open in this process. */
int victims_start(struct victims *v, struct bench_program *p, uint64_t keys);

/* Kill all that is left, and remove the domain. */
void victims_end(struct victims *v);

/* Start a candidate where one is missing, wait until both serve and writes are acknowledged, and then a while. Returns
 * as victims_start(). No domain may be open in this process. */
int victims_ready(struct victims *v);

/* Attach to the domain. 0 or a TIDE_ERR_ code. */
int victims_attach(struct victims *v, struct tide **d);

/* Kill the process with this pid. 0, or -1: it is none of the two. victims_bury() waits for it. */
int victims_kill(struct victims *v, int32_t pid);
void victims_bury(struct victims *v, int32_t pid);

/* When the last write was acknowledged: CLOCK_MONOTONIC, ns. */
uint64_t victims_acked_ns(const struct victims *v);

uint64_t victims_table_bytes(uint64_t keys);

#endif
