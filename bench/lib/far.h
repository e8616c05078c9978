/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain whose leader lives in a process of its own: what a reader or a writer of another process meets. */
#ifndef TIDE_BENCH_FAR_H
#define TIDE_BENCH_FAR_H

#include "bench/lib/workload.h"
#include "engine/tidemark.h"

struct bench_far; /* in shared memory */

/* Fork the leader's process, pinned to the turn-th CPU where turn >= 0. While no domain is open. which: as for bench_domain(); w: what
 * the domain will be filled with. */
struct bench_far *bench_far_start(const struct bench_workload *w, int32_t turn, const char *which);

/* Make the domain, then let the other process lead and fill it. This process's handle, closed by bench_far_end(). */
struct tide *bench_far_open(struct bench_far *far, const struct bench_options *o);

/* The leader's process must live, or the program ends. */
void bench_far_must_live(struct bench_far *far);

/* End the leader's process, close and remove the domain. */
void bench_far_end(struct bench_far *far);

#endif
