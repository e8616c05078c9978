/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processes that use one domain at once, and what they record. The caller's process starts them, kills, stops and continues
 * them, starts them again, and collects the histories. Records lie in a shared anonymous mapping, so they outlive kill -9:
 * what was called and not answered is pending.
 */
#ifndef TIDE_TESTS_HISTORY_WORLD_H
#define TIDE_TESTS_HISTORY_WORLD_H

#include "tests/lib/help.h"
#include "tests/lib/history_op.h"

struct history_world;

struct history_settings {
    uint64_t seed;
    uint64_t ring_bytes;
    uint32_t ops;       /* of each history, about */
    uint32_t trouble;   /* of 100 histories so many have a kill, a stop or a change of leader in them */
    uint32_t per_world; /* histories between fresh domains; 0: 125 */
    bool lives;         /* some values expire; keys are touched and added to */
    bool evicts;        /* the table is too small for what is written beside the history, and evicts */
};

/* What went on in all histories of a world, or of several: for a closing line. */
struct history_totals {
    uint64_t histories, ops, pending;
    uint64_t refused, undone; /* reads that got nothing; writes that were certainly not done */
    uint64_t kills, leader_kills, stops, step_downs;
    uint64_t linearizable, bounded, stale; /* reads that were served */
    uint64_t mismatches;
    uint64_t touches, adds;    /* that were done */
    uint64_t expired, evicted; /* keys that leaders removed */
};

/* Start the processes and wait until all of them work. The caller has one thread. NULL after a complaint on stdout. */
struct history_world *history_world_start(const struct history_settings *settings);

/* One history, on keys that no other had. *h is the world's, until the next. False: it could not be had; says why. */
bool history_world_run(struct history_world *w, struct history *h, struct history_totals *totals);

/* Every replica has the same digest and no damage, once all is quiet. */
bool history_world_verify(struct history_world *w, struct history_totals *totals);

/* Kill what is left and remove the domain. */
void history_world_end(struct history_world *w);

/* Several worlds, in turn without lives, with lives, and with evictions as well, with `histories` in all, each history checked; stops at the first that fails, which is minimised and printed.
 * until_ns: not beyond this CLOCK_MONOTONIC instant (0: no limit). */
bool history_run_all(const struct history_settings *settings, uint64_t histories, uint64_t until_ns,
                     struct history_totals *totals);
void history_print_totals(const struct history_totals *t);

#endif
