/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain whose leader lives in a child process, filled like the others: its reader is in another process. */
#ifndef TIDE_BENCH_COST_OTHER_H
#define TIDE_BENCH_COST_OTHER_H

#include <signal.h>

#include "bench/lib/workload.h"
#include "engine/tidemark.h"

struct bench_cost_other; /* in shared memory */

/* Fork the child. While no domain is open. name: of the domain. NULL: no memory or no process. */
struct bench_cost_other *bench_cost_other_start(const struct bench_workload *w, const char *name);

/* Make the domain, let the child lead and fill it, open a reader for the calling thread. 0; 1 when *stop was set; or -1
 * with `error` (BENCH_ERROR_BYTES). */
int bench_cost_other_open(struct bench_cost_other *other, const struct bench_options *o, struct tide_reader **out,
                          const volatile sig_atomic_t *stop, char *error);

/* Does the child live? 1; or 0 with `error`. */
int bench_cost_other_lives(struct bench_cost_other *other, char *error);

/* Close all, end the child, remove the domain. By the thread that opened the reader. NULL is fine. */
void bench_cost_other_end(struct bench_cost_other *other);

#endif
