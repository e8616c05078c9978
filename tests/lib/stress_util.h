/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the stress programs share: options, a seed, named worker threads with a watchdog over them, counted violations.
 * A stress program runs rounds, each with a fresh domain and settings drawn from the seed, until its time is over.
 */
#ifndef TIDE_TESTS_STRESS_UTIL_H
#define TIDE_TESTS_STRESS_UTIL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/tidemark.h"

/* One round: a domain with settings drawn from `seed`, about `round_ns` long. */
typedef void stress_round_fn(uint64_t seed, uint64_t round_ns);

/* Run rounds for `seconds`. 0: no violation, 1: some (they were printed to stderr). Prints the seed first. */
int stress_run(const char *name, stress_round_fn *round, double seconds, uint64_t seed, bool json);

/* main() of a stress program: --seconds N --seed S --json --help. Exit status 0 ok, 1 violation, 2 usage. */
int stress_main(int argc, char **argv, const char *name, const char *what, stress_round_fn *round);

/* Something is wrong. Prints (the first ones), counts, and lets the run end soon. Any thread. */
void stress_violation(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool stress_failed(void);

/* Add to a named number of the report. `name`: a literal. Any thread; not for hot paths. */
void stress_count(const char *name, uint64_t n);

/* splitmix64: each worker has a state of its own. */
uint64_t stress_rand(uint64_t *state);
static inline uint64_t stress_below(uint64_t *state, uint64_t n) {
    return stress_rand(state) % n;
}

uint64_t stress_now_ns(void);
void stress_sleep_ns(uint64_t ns);

/* ---- workers ----------------------------------------------------------------------------------------------------- */

#define STRESS_WORKERS 64

struct stress_team {
    pthread_t threads[STRESS_WORKERS];
    uint32_t count;
    _Atomic bool stop; /* workers look at it */
};

/* Start fn(arg) in a thread of the team, under a name that the watchdog can print. */
void stress_spawn(struct stress_team *team, const char *name, void *(*fn)(void *), void *arg);
/* Wait for all. Sets `stop` first. */
void stress_join(struct stress_team *team);

/* The calling worker is alive, about to do `where` (a literal). The watchdog aborts the program when a worker says
 * nothing for STRESS_STUCK_NS: a stuck thread is a violation. */
void stress_at(const char *where);
#define STRESS_STUCK_NS UINT64_C(40000000000)

/* ---- domains ----------------------------------------------------------------------------------------------------- */

/* A log callback: ctx NULL: errors are violations, else a counter name for them. Why a start answers TIMEOUT, because the log overtook the
 * newcomer again and again, is no violation: it is counted here as well. */
extern _Atomic uint64_t stress_joins_lapped;
void stress_log(void *ctx, enum tide_log_level level, const char *text);

/* A name that no other run has. */
void stress_domain_name(char *out, size_t room);

#endif
