/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Leases: who makes the value of a key that many miss at once. A lease belongs to a member and is void the moment the kernel says that
 * the member died (shm/member.h), so there is no time-out to tune. It is a hint that saves work, and no lock: where all slots of
 * a set are taken, or a set cannot be had, two members make the same value.
 *
 * A key is known by its hash. Its lease lies in one of the ways of one set. A set is looked through and changed under its lock, which
 * is a member's number and as void as a lease when that one dies; whoever finds it held for too long by a member that lives (stopped,
 * perhaps) goes without a lease. Giving a lease up needs no lock: only its holder does it, and the change of one word decides.
 *
 * Waiters sleep on the way's futex word. It changes when the lease is given up: all are woken where the value was made, one where it
 * was not, so that this one makes it. Each looks at the holder's death now and then, and finds out also what a lost wake-up would have told.
 */
#ifndef TIDE_SHM_LEASE_H
#define TIDE_SHM_LEASE_H

#include "shm/member.h"

struct lease_place {
    uint32_t slot; /* set * LAYOUT_LEASE_WAYS + way */
    uint32_t turn; /* of the way's futex word, when it was looked at */
};

/* What a handle remembers: for each set, the number in a lock that it waited for in vain, or 0. While the same number stands there, the handle
 * goes without a lease at once, so a lock that was damaged, or whose holder is stopped, costs one wait and not one for each miss. */
struct lease_stuck {
    _Atomic uint32_t owners[LAYOUT_LEASE_SETS];
};

enum lease_status {
    LEASE_TAKEN = 0,
    LEASE_BUSY = 1, /* another has it: see lease_wait() */
    LEASE_NONE = 2, /* every way of the set is taken by members that live, or the set is not to be had */
};

/* Take the lease of the key with this hash for member `self`, who is the caller. TAKEN and BUSY set *place. Waits for a lock that is held
 * for some instructions, at most about a fifth of a second, and that once: see lease_stuck. */
enum lease_status lease_take(struct log_segment *log, int fd, uint32_t self, uint64_t hash, struct lease_stuck *stuck,
                             struct lease_place *place);

/* Sleep until the lease at this place is given up (true), or it is time to look whether its holder lives; at most ns. */
bool lease_wait(struct log_segment *log, const struct lease_place *place, uint64_t ns);

/* Give up what lease_take() gave. made: wake all waiters, else one. */
void lease_release(struct log_segment *log, uint32_t self, uint32_t slot, bool made);

/* What a dead member held is free again; whoever waits for it looks. */
void lease_reap(struct log_segment *log, uint32_t member);

/* Leases that are held now. */
uint32_t lease_count(const struct log_segment *log);

#endif
