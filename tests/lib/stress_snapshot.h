/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_TESTS_STRESS_SNAPSHOT_H
#define TIDE_TESTS_STRESS_SNAPSHOT_H

#include "tests/lib/stress_domain.h"

/*
 * Snapshots during a write storm. Groups of keys are rewritten by batches, each of which is one generation: which
 * keys are there, how long their values are and what they hold follows from it. Beside them a window of keys grows,
 * moves on and shrinks. Writers note which generation held from which index on; a snapshot must show, for its index,
 * exactly that one: any mix and any state that is one too old or too new is seen.
 */
void stress_snapshot_round(uint64_t seed, uint64_t round_ns);

#define SNAP_GROUPS 6u
#define SNAP_KEYS_MAX 32u
#define SNAP_KEY_MAX 120u
#define SNAP_VALUE_MAX 4096u
#define SNAP_CHURN_MAX 8192u /* widest window */
#define SNAP_CHURN_BATCH 8u

struct snap_world {
    struct tide *d;
    struct stress_setup setup;
    struct stress_team team;    /* writers */
    struct stress_team reading; /* stopped when the writers have noted their last states */
    uint64_t seed;
    uint32_t groups, keys, writers;
    size_t value_max;
    uint64_t churn_max;
    _Atomic uint64_t generation[SNAP_GROUPS]; /* that was tried last: no reader may see a later one */
    struct stress_history group[SNAP_GROUPS];
    struct stress_history churn; /* id: keys put plus keys deleted; extra: keys deleted */
};

struct snap_worker {
    struct snap_world *w;
    uint32_t number;
    uint64_t rng;
};

/* Names and contents, as writers and readers know them. */
size_t snap_key(uint8_t out[SNAP_KEY_MAX], const struct snap_world *w, uint32_t group, uint32_t key);
size_t snap_churn_key(uint8_t out[SNAP_KEY_MAX], uint64_t number);
bool snap_present(const struct snap_world *w, uint32_t group, uint32_t key, uint64_t generation);
size_t snap_value_size(const struct snap_world *w, uint32_t group, uint32_t key, uint64_t generation);
static inline uint64_t snap_value_tag(uint32_t group, uint32_t key) {
    return (uint64_t)group << 32 | (key + 1);
}
#define SNAP_CHURN_TAG UINT64_C(0x636875726e)

void *snap_group_writer(void *worker);
void *snap_churn_writer(void *worker);
void *snap_reader(void *worker);

#endif
