/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A leader and a follower that shows the past, and reads whose whole answer is looked at. */
#ifndef TIDE_TESTS_PAIR_H
#define TIDE_TESTS_PAIR_H

#include "tests/lib/help.h"

#define MS UINT64_C(1000000)
#define HOUR (UINT64_C(3600) * 1000 * MS)

/* r may use the follower alone (and the leader by fallback). */
struct pair {
    struct tide *d;
    uint32_t leader, slow;
    struct tide_reader *r;
};

struct pair open_pair(uint64_t delay_ns);
void close_pair(struct pair *p);

/* Let the follower apply all that is committed, and nothing for an hour from then on. */
void catch_up(struct pair *p);

/* Put; returns the index. */
uint64_t put_number(struct tide *d, const char *key, uint64_t value);

struct tide_bound bound_of(enum tide_fallback fallback, uint64_t max_staleness_ns);

/* value: 4242 where none was written. */
struct got {
    int error;
    uint64_t value;
    struct tide_answer a;
};
struct got get(struct tide_reader *r, const char *key, const struct tide_bound *bound);

#endif
