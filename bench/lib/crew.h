/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The members that work in one repetition: with --mode threads one thread for all replicas; with --mode processes a process for each,
 * and with --read foreign one more for the readers of each. Processes are forked before the coordinator opens the domain and open it
 * themselves; the thread uses the coordinator's handle. Orders go through memory that all share.
 *
 * Calls that wait return 0; 1 when *setup->stop was set; or -1 with `error` filled: a member answered with an error, or
 * died. After 1 and -1 only bench_crew_end() may follow. By the coordinator's thread.
 */
#ifndef TIDE_BENCH_CREW_H
#define TIDE_BENCH_CREW_H

#include <stdint.h>

#include "bench/lib/team.h"
#include "bench/lib/trial.h"

struct bench_crew;

/* Start them. While no domain is open. NULL with `error` filled. `error` (BENCH_ERROR_BYTES) must outlive the crew. */
struct bench_crew *bench_crew_start(const struct bench_trial_setup *setup, struct bench_team *team, char *error);

/* The domain exists, and `d` is the coordinator's handle. The leader is started and filled. */
int bench_crew_lead(struct bench_crew *crew, struct tide *d, struct tide_token *last);

/* The followers start, one after the other. */
int bench_crew_follow(struct bench_crew *crew);

/* The reading and writing threads start, and then wait for a phase; and their end, after BENCH_STOP. */
int bench_crew_read(struct bench_crew *crew);
int bench_crew_join(struct bench_crew *crew);

/* Has anybody failed or died? Does not wait. 0 or -1. */
int bench_crew_look(struct bench_crew *crew);

/* The same after a thread met an error: a death nearby, which explains the error, is given time to show. */
int bench_crew_blame(struct bench_crew *crew);

/* End all, the leader last: in good order, or by force. None is left. Frees the crew (NULL is fine). Returns 0, or -1
 * where one did not end well. */
int bench_crew_end(struct bench_crew *crew, int by_force);

#endif
