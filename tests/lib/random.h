/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random numbers that are the same in each run, so that a failure can be repeated. One thread. */
#ifndef TIDE_TESTS_RANDOM_H
#define TIDE_TESTS_RANDOM_H

#include <stdint.h>

static uint64_t random_state = 88172645463325252u;

/* xorshift64: Marsaglia, 2003. */
static inline uint64_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

#endif
