/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_TESTS_CRASH_KILL_H
#define TIDE_TESTS_CRASH_KILL_H

#include <stdbool.h>
#include <stdint.h>

/* Kill, stop and continue processes of a domain at random, so many times, or for so many seconds (0: as long as it takes); then
 * look whether anything is missing, doubled, torn or stuck, gone before its life was over or there after it. evicts: in a domain
 * that evicts, where all that must not be missing is kept. Prints what was done. Returns the number of failures. */
unsigned crash_kill_run(uint64_t seed, uint64_t kills, uint64_t seconds, bool evicts);

/* Kill the leader so many times and print how long it takes until the next one commits. */
unsigned crash_failover_run(uint64_t seed, uint64_t kills);

#endif
