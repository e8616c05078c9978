/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_TESTS_STRESS_REPLICAS_H
#define TIDE_TESTS_STRESS_REPLICAS_H

#include "tests/lib/stress_domain.h"

/*
 * The read contract while replicas come and go. Each key is a counter with one writer, which notes what it is about
 * to write ("called"), what was acknowledged, and when. A reader knows from that what it must see and what it cannot
 * have seen: linearizable reads, staleness that is never understated, sessions that never go back, tokens that are
 * honoured.
 */
void stress_replicas_round(uint64_t seed, uint64_t round_ns);

#define REPL_KEYS 8u
#define REPL_TIMES 1024u /* acknowledgements that are remembered for each key */

struct repl_counter {
    _Alignas(128) _Atomic uint64_t called, acked;
    _Atomic uint64_t token_value, token_index; /* a value and the fence that reflects it; index stored last */
    struct {
        _Atomic uint64_t value, at_ns;
    } times[REPL_TIMES];
};

struct repl_world {
    struct tide *d;
    struct stress_setup setup;
    struct stress_team team;
    uint64_t incarnation;
    bool leader_restarts;
    _Atomic bool lost; /* the data died with their last replica: the round ends */
    _Atomic bool leading;
    struct repl_counter counters[REPL_KEYS];
};

struct repl_worker {
    struct repl_world *w;
    uint32_t number;
    uint64_t rng;
};

static inline size_t repl_key(char out[16], uint32_t k) {
    for (int i = 0; i < 16; i++) {
        out[i] = (char)('0' + k);
    }
    return k % 2 == 0 ? 16 : 11;
}

void *repl_reader(void *worker);

#endif
