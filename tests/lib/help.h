/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the engine share: names that no other run has, seeds, a watchdog, checks in threads, a ring in memory. */
#ifndef TIDE_TESTS_HELP_H
#define TIDE_TESTS_HELP_H

/* cmocka.h needs the first three before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/tidemark.h"
#include "shm/ring.h"

/* Which sanitizer this program is built with. gcc defines a word for each; clang has to be asked. */
#if defined(__has_feature)
#define HELP_HAS(sanitizer) __has_feature(sanitizer)
#else
#define HELP_HAS(sanitizer) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HELP_HAS(address_sanitizer)
#define HELP_ADDRESS_SANITIZER true
#else
#define HELP_ADDRESS_SANITIZER false
#endif
#if defined(__SANITIZE_THREAD__) || HELP_HAS(thread_sanitizer)
#define HELP_THREAD_SANITIZER true
#else
#define HELP_THREAD_SANITIZER false
#endif

/*
 * Call once, first thing in main(). Waits in these tests have no limit of their own: when something hangs, the watchdog
 * ends the program with a message after so many seconds (ten times as many where the environment has TIDE_SANITIZED=1).
 */
void help_start(unsigned watchdog_s);

/* n, or a part of it where a sanitizer makes everything slow; never 0. */
uint64_t help_scaled(uint64_t n);

/* ---- random numbers ---------------------------------------------------------------------------------------------- */

/* $TIDE_SEED, or a new one; printed, so that a failure can be repeated. */
uint64_t help_seed(void);

struct help_rng {
    uint64_t state;
};
uint64_t help_random(struct help_rng *r);
uint64_t help_below(struct help_rng *r, uint64_t n); /* 0 .. n-1 */

/* ---- checks in threads, where cmocka's must not be used ---------------------------------------------------------- */

/* Prints and counts; the test asks with help_assert_threads() after the threads have ended. */
bool help_check_at(bool ok, const char *text, const char *file, int line);
#define help_check(ok) help_check_at((ok), #ok, __FILE__, __LINE__)
unsigned help_failures(void);
#define help_assert_threads() assert_int_equal(help_failures(), 0)

/* ---- domains ----------------------------------------------------------------------------------------------------- */

/* A domain name of this process alone, in static storage until the next but 15. Removed at exit where a failed test
 * left its domain. */
const char *help_name(void);

/* Open a fresh, ephemeral domain. Sizes: 0 for the library's defaults. Asserts. Log lines go nowhere. */
/* How long writes of domains that help_open() opens wait for a leader elsewhere. */
extern uint64_t help_write_timeout_ns;
/* And those of help_open_again(); 0: the library's default. */
extern uint64_t help_again_timeout_ns;

struct tide *help_open(uint64_t ring_bytes, uint64_t table_bytes, uint64_t slow_follower_ns);

/* Another handle of the same domain, to which the first one's replicas are another process's. */
struct tide *help_open_again(struct tide *d);

/* Start a replica and assert that it serves. Returns its number. */
uint32_t help_leader(struct tide *d);
uint32_t help_follower(struct tide *d, uint64_t apply_delay_ns);

/* Eight bytes under a key: put them, by no session; and what a default read finds, UINT64_MAX where it fails. */
int help_put(struct tide *d, const char *key, uint64_t value, struct tide_token *token);
uint64_t help_get(struct tide_reader *r, const char *key);

struct tide_reader *help_reader(struct tide *d, enum tide_policy policy, int32_t home, uint64_t replicas);

/* Wait until every serving replica is at `commit`, and assert that all digests are equal then. Nobody may write but the leader, which
 * removes what has expired. */
void help_assert_equal_digests(struct tide *d);

/* The state of a replica; TIDE_STATE_FREE where there is none. */
enum tide_state help_state(struct tide *d, uint32_t id);
struct tide_replica_info help_info(struct tide *d, uint32_t id);

/* ---- a log in plain memory --------------------------------------------------------------------------------------- */

/* A zeroed log and its ring, mapped twice in a row as in a segment. */
struct ring help_ring_open(uint64_t ring_bytes);
void help_ring_close(struct ring *ring);

#endif
