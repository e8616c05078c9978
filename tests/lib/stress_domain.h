/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stress rounds do with a domain: open one with drawn settings, let it settle and compare its replicas; and a
 * history of states, so that a reader can check that it saw exactly the state of the index that it was told. */
#ifndef TIDE_TESTS_STRESS_DOMAIN_H
#define TIDE_TESTS_STRESS_DOMAIN_H

#include "tests/lib/stress_util.h"

struct stress_setup {
    uint64_t ring_bytes, table_bytes, slow_follower_ns;
    uint32_t followers;
    uint64_t delay_ns[8]; /* of each follower */
};

/* Draw settings: small rings, small tables, impatient leaders, delayed followers. */
void stress_draw(struct stress_setup *s, uint64_t *rng);

/* A fresh, ephemeral domain with leader 0 and the followers. NULL after a violation was noted. */
struct tide *stress_open(const struct stress_setup *s, void *log_ctx);

/*
 * Nobody writes any more: take all delays away, then every replica must come to serve everything that is committed,
 * all digests must be equal, and each table must be what its digest says when it is computed anew from the bytes. The
 * calling thread has no section open.
 */
void stress_settle(struct tide *d);

/* ---- history ------------------------------------------------------------------------------------------------------
 * */

#define STRESS_HISTORY 8192u
#define STRESS_PENDING 64u

/* State `id` held from index `last` (of the write that ended it) up to before `next_first`. */
struct stress_state {
    _Atomic uint64_t id; /* UINT64_MAX while it changes */
    _Atomic uint64_t extra, last;
    _Atomic uint64_t next_first; /* 0: not known yet */
};

struct stress_history {
    _Atomic uint64_t newest;
    struct stress_state states[STRESS_HISTORY];
};

/* State 0 holds from index 0. */
void stress_history_init(struct stress_history *h);
/* The write with indexes first..last led to state `id`. One writer thread. id grows, by less than STRESS_HISTORY. */
void stress_history_add(struct stress_history *h, uint64_t id, uint64_t extra, uint64_t first, uint64_t last);

/* What one reader has to check again once the writer has noted more. */
struct stress_pending {
    struct {
        const struct stress_history *h;
        uint64_t id, extra, index;
        const char *what;
    } items[STRESS_PENDING];
    uint32_t count;
    uint64_t checked, skipped;
};

/* A reader found state `id` (and `extra`) at `index`. */
void stress_history_check(struct stress_pending *p, const struct stress_history *h, uint64_t id, uint64_t extra,
                          uint64_t index, const char *what);
/* Check what is pending; final: the writers have ended, so nothing may stay unknown but the last state's end. */
void stress_history_recheck(struct stress_pending *p, bool final);

/* ---- values ------------------------------------------------------------------------------------------------------- */

/* Fill `size` bytes (at least 16) with what (a, b) says; and tell whether these bytes are of some (a, b): *b gets it.
 * */
void stress_value_make(uint8_t *to, size_t size, uint64_t a, uint64_t b);
bool stress_value_check(const uint8_t *from, size_t size, uint64_t a, uint64_t *b);

#endif
