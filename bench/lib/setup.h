/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of a repetition's set-up that the coordinator does with threads, and children do with processes. */
#ifndef TIDE_BENCH_SETUP_H
#define TIDE_BENCH_SETUP_H

#include <stdint.h>

#include "bench/lib/trial.h"

/* Open the repetition's domain: create it as the one that will be removed, or attach to it. 0 or a TIDE_ERR_ code. */
int bench_setup_open(struct tide **out, const struct bench_trial_setup *setup, int create);

/* Start replica `id`: 0 leads, the others follow. 0 or a TIDE_ERR_ code. Blocks until it serves. */
int bench_setup_replica(struct tide *d, const struct bench_options *o, uint32_t id);
const char *bench_setup_replica_text(uint32_t id);

/* Put every key once. 0 or a TIDE_ERR_ code; ends early, with 0, when *stop is set. *last gets the last write's
 * token. */
int bench_setup_fill(struct tide *d, const struct bench_workload *w, const volatile sig_atomic_t *stop,
                     struct tide_token *last);

/* Write "N replicas, WHAT: text of the code" and what to do about it into `error` (BENCH_ERROR_BYTES). Returns -1. */
int bench_setup_failed(char *error, uint32_t replicas, const char *what, int code);

#endif
