/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain whose leader lives in a process of its own: what a reader or a writer of another process meets. */
#ifndef TIDE_BENCH_FAR_H
#define TIDE_BENCH_FAR_H

#include <signal.h>

#include "bench/lib/machine.h"
#include "bench/lib/workload.h"
#include "engine/tidemark.h"

struct bench_far; /* in shared memory */

/* Fork the leader's process, pinned to the turn-th CPU where turn >= 0. While no domain is open. name: of the domain;
 * w: what it will be filled with. NULL: no memory or no process. */
struct bench_far *bench_far_start(const struct bench_workload *w, const struct bench_machine *m, int32_t turn,
                                  const char *name);

/* Make the domain, then let the other process lead and fill it. *out, this process's handle, is closed by
 * bench_far_end(). 0; 1 when *stop was set; or -1 with `error` (BENCH_ERROR_BYTES). */
int bench_far_open(struct bench_far *far, const struct bench_options *o, struct tide **out,
                   const volatile sig_atomic_t *stop, char *error);

/* Does the leader's process live? 1; or 0 with `error`. */
int bench_far_lives(struct bench_far *far, char *error);

/* End the leader's process, close and remove the domain. NULL is fine. */
void bench_far_end(struct bench_far *far);

#endif
