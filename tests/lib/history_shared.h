/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the processes of a history world share. */
#ifndef TIDE_TESTS_HISTORY_SHARED_H
#define TIDE_TESTS_HISTORY_SHARED_H

#include <stdatomic.h>
#include <sys/types.h>

#include "tests/lib/history_world.h"

#define SHARED_CAST 5u         /* processes */
#define SHARED_SLOTS 6u        /* client threads in all */
#define SHARED_RECORDS 8192u   /* of each client thread in one history */
#define SHARED_PER_CALL 8u     /* records that one call may make */
#define SHARED_VALUE_MAX 3500u /* four of them are one write: at most a quarter of the smallest ring */

/* What a process is for. */
struct shared_part {
    const char *name;
    bool replica, candidate;
    uint64_t delay_ns; /* up to so much, anew for each history */
    uint32_t first_slot, slots;
};
extern const struct shared_part shared_cast[SHARED_CAST];

struct shared_record {
    struct history_op op;
    _Atomic uint32_t answered; /* the answer is in `op`, whole */
};

struct shared_slot {
    _Atomic uint32_t called;   /* records that are begun, in this round */
    _Atomic uint32_t finished; /* the last round that it has done its part of */
    _Atomic uint64_t index;    /* of its last write, for others to take as a fence */
    struct shared_record records[SHARED_RECORDS];
};

struct history_shared {
    char name[TIDE_NAME_MAX + 1];
    uint64_t seed, ring_bytes;
    bool lives, evicts;     /* values have lives, keys are touched and added to; the table is small and evicts */
    _Atomic uint32_t round; /* futex word; 0 before the first */
    _Atomic uint32_t keys, quota;
    _Atomic uint32_t progress; /* futex word: somebody is ready, or has finished a round */
    _Atomic uint32_t sessions;
    _Atomic uint32_t ready[SHARED_CAST];
    struct shared_slot slots[SHARED_SLOTS];
    char complaint[SHARED_CAST][200];
};

/* In the child: run the part until killed. Never returns. */
void history_member_run(struct history_shared *shared, uint32_t part, bool first) __attribute__((noreturn));

/* One client thread: its rounds, for ever. */
struct history_client {
    struct history_shared *shared;
    struct tide *domain;
    struct shared_slot *slot;
    uint32_t number; /* of the slot */
    struct tide_reader *reader;
    uint32_t session;
    bool leisurely; /* the session reads only, never at bound 0 */
    struct help_rng rng;
    uint32_t round;
    struct {
        uint64_t version, value;
    } seen[HISTORY_KEYS]; /* what a cas of this session expects */
};
void *history_client_run(void *client);

/* Record reads of all keys at bound 0, by the process that tells the others what to do; 0 or the error. */
int history_client_read_all(struct history_client *c, struct shared_record *records, uint32_t keys);

uint64_t history_now_ns(void);

#endif
