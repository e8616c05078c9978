/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making domains and filling them. */
#ifndef TIDE_BENCH_SETUP_H
#define TIDE_BENCH_SETUP_H

#include <stdint.h>

#include "bench/lib/trial.h"

/* Flags of a domain that a benchmark makes for itself: it goes when the handle is closed. */
#define BENCH_SETUP_OWN (TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL)

/* Options for tide_open(). flags: 0 attaches. ring_bytes, table_bytes: 0: the engine's default. */
struct tide_opts bench_setup_opts(uint32_t flags, uint64_t keys, uint64_t ring_bytes, uint64_t table_bytes);

/* Start replica `id`: 0 leads, the others follow, with the applying thread on this CPU (-1: on any). 0 or a TIDE_ERR_
 * code. Blocks until it serves. */
int bench_setup_start(struct tide *d, uint32_t id, int32_t cpu);

/* A reader whose home is replica `id`, and that may use no other. 0 or a TIDE_ERR_ code. */
int bench_setup_reader(struct tide *d, uint32_t id, struct tide_reader **out);

/* A bound of reads: whatever the replica has, and no other replica. */
extern const struct tide_bound bench_setup_any;

/* Close. NULL is fine. */
static inline void bench_close(struct tide *d) {
    if (d != NULL) {
        tide_close(d);
    }
}
static inline void bench_reader_close(struct tide_reader *r) {
    if (r != NULL) {
        tide_reader_close(r);
    }
}

/* Open the repetition's domain: create it as the one that will be removed, or attach to it. 0 or a TIDE_ERR_ code. */
int bench_setup_open(struct tide **out, const struct bench_trial_setup *setup, int create);

/* The same with the apply delay that the options ask for. */
int bench_setup_replica(struct tide *d, const struct bench_options *o, uint32_t id);
const char *bench_setup_replica_text(uint32_t id);

/* Put every key once. 0 or a TIDE_ERR_ code; ends early, with 0, when *stop is set. *last gets the last write's
 * token. */
int bench_setup_fill(struct tide *d, const struct bench_workload *w, const volatile sig_atomic_t *stop,
                     struct tide_token *last);

/* Put keys 0 .. n - 1, 16 bytes each, values of 64. 0 or a TIDE_ERR_ code. */
int bench_setup_fill_numbers(struct tide *d, uint64_t n);

/* Write "N replicas, WHAT: text of the code" and what to do about it into `error` (BENCH_ERROR_BYTES). Returns -1. */
int bench_setup_failed(char *error, uint32_t replicas, const char *what, int code);

#endif
