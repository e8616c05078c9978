/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/lease.h"

#include <limits.h>

#include "shm/nap.h"
#include "shm/park.h"

#define LEASE_SPINS 100u
#define LEASE_NAPS 200u /* together about 200 ms: among a thousand threads a holder may wait so long for a processor */
#define LEASE_NAP_LEAST_NS UINT64_C(50000)
#define LEASE_NAP_MOST_NS UINT64_C(1000000)
#define LEASE_LOOK_NS UINT64_C(50000000) /* so often a waiter looks whether the holder lives */

static bool lease_is_dead(const struct log_segment *log, int fd, uint32_t self, uint32_t holder) {
    return holder != 0 && holder - 1 != self && !member_lives(fd, log, holder - 1, self);
}

static struct lease_place lease_place_of(uint32_t set, uint32_t way, uint32_t turn) {
    return (struct lease_place){ set * LAYOUT_LEASE_WAYS + way, turn };
}

/* Without the lock: does a member that lives hold the key's lease? What changes meanwhile is found out by whoever waits: the turn is
 * loaded first, so it is an old one then. */
static bool lease_is_held(const struct log_segment *log, int fd, uint32_t self, uint32_t set, uint64_t hash,
                          struct lease_place *place) {
    for (uint32_t i = 0; i < LAYOUT_LEASE_WAYS; i++) {
        const struct lease *way = &log->leases[set].ways[i];
        uint32_t turn = atomic_load(&way->turn), holder = atomic_load(&way->holder);
        if (holder != 0 && atomic_load(&way->key) == hash && !lease_is_dead(log, fd, self, holder)) {
            *place = lease_place_of(set, i, turn);
            return true;
        }
    }
    return false;
}

/* TAKEN: the set is locked. BUSY: while waiting for that, the key's lease was taken. *stuck: the number that stood in the lock all the time
 * that this handle waited for it in vain, or 0: it is not waited for again. */
static enum lease_status lease_lock(struct log_segment *log, int fd, uint32_t self, uint32_t set, uint64_t hash,
                                    _Atomic uint32_t *stuck, struct lease_place *place) {
    _Atomic uint32_t *lock = &log->leases[set].lock;
    uint64_t nap_ns = LEASE_NAP_LEAST_NS;
    uint32_t first = 0;
    bool same = true;
    for (uint32_t i = 0; i < LEASE_SPINS + LEASE_NAPS; i++) {
        if (lease_is_held(log, fd, self, set, hash, place)) {
            return LEASE_BUSY;
        }
        uint32_t owner = 0;
        if (atomic_compare_exchange_strong(lock, &owner, self + 1)) {
            atomic_store(stuck, 0);
            return LEASE_TAKEN;
        }
        first = first == 0 ? owner : first;
        same = same && owner == first;
        if (i < LEASE_SPINS) {
            park_relax();
        } else if (!lease_is_dead(log, fd, self, owner)) {
            if (owner == atomic_load(stuck)) {
                return LEASE_NONE;
            }
            park_nap(nap_ns);
            nap_ns = nap_ns < LEASE_NAP_MOST_NS ? 2 * nap_ns : nap_ns;
        } else if (atomic_compare_exchange_strong(lock, &owner, self + 1)) {
            return LEASE_TAKEN;
        }
    }
    atomic_store(stuck, same ? first : 0);
    return LEASE_NONE;
}

/* Which way to take: one with this key, a free one, or one whose holder is dead. -1: none. With the lock. */
static int lease_way(const struct log_segment *log, int fd, uint32_t self, const struct lease_set *set, uint64_t hash) {
    int found = -1;
    for (int i = 0; i < (int)LAYOUT_LEASE_WAYS; i++) {
        uint32_t holder = atomic_load(&set->ways[i].holder);
        if (holder != 0 && atomic_load(&set->ways[i].key) == hash) {
            return i; /* a dead member's, or taken since lease_is_held() looked */
        }
        found = holder == 0 && found < 0 ? i : found;
    }
    for (int i = 0; i < (int)LAYOUT_LEASE_WAYS && found < 0; i++) {
        found = lease_is_dead(log, fd, self, atomic_load(&set->ways[i].holder)) ? i : found;
    }
    return found;
}

enum lease_status lease_take(struct log_segment *log, int fd, uint32_t self, uint64_t hash, struct lease_stuck *stuck,
                             struct lease_place *place) {
    uint32_t n = (uint32_t)(hash % LAYOUT_LEASE_SETS);
    struct lease_set *set = &log->leases[n];
    enum lease_status status = lease_lock(log, fd, self, n, hash, &stuck->owners[n], place);
    if (status != LEASE_TAKEN) {
        return status;
    }
    int i = lease_way(log, fd, self, set, hash);
    status = LEASE_NONE;
    if (i >= 0) {
        struct lease *way = &set->ways[i];
        uint32_t turn = atomic_load(&way->turn), holder = atomic_load(&way->holder);
        *place = lease_place_of(n, (uint32_t)i, turn);
        status = LEASE_BUSY;
        if (holder == 0 || lease_is_dead(log, fd, self, holder)) {
            atomic_store(&way->key, hash); /* before the holder: what a member leaves that dies here is free */
            atomic_store(&way->holder, self + 1);
            status = LEASE_TAKEN;
        }
    }
    uint32_t mine = self + 1;
    atomic_compare_exchange_strong(&set->lock, &mine, 0);
    return status;
}

static struct lease *lease_at(struct log_segment *log, uint32_t slot) {
    return &log->leases[slot / LAYOUT_LEASE_WAYS].ways[slot % LAYOUT_LEASE_WAYS];
}

bool lease_wait(struct log_segment *log, const struct lease_place *place, uint64_t ns) {
    struct lease *way = lease_at(log, place->slot);
    atomic_fetch_add(&way->waiters, 1);
    if (atomic_load(&way->turn) == place->turn) { /* announced before this look: shm/park.h */
        park_wait(&way->turn, place->turn, ns < LEASE_LOOK_NS ? ns : LEASE_LOOK_NS);
    }
    atomic_fetch_sub(&way->waiters, 1);
    return atomic_load(&way->turn) != place->turn;
}

static void lease_give_up(struct lease *way, int wake) {
    atomic_store(&way->holder, 0);
    atomic_fetch_add(&way->turn, 1);
    if (atomic_load(&way->waiters) != 0) {
        park_wake(&way->turn, wake);
    }
}

void lease_release(struct log_segment *log, uint32_t self, uint32_t slot, bool made) {
    struct lease *way = lease_at(log, slot);
    if (slot < LAYOUT_LEASE_SETS * LAYOUT_LEASE_WAYS && atomic_load(&way->holder) == self + 1) {
        lease_give_up(way, made ? INT_MAX : 1);
    }
}

void lease_reap(struct log_segment *log, uint32_t member) {
    for (uint32_t n = 0; n < LAYOUT_LEASE_SETS; n++) {
        uint32_t owner = member + 1;
        atomic_compare_exchange_strong(&log->leases[n].lock, &owner, 0);
        for (uint32_t i = 0; i < LAYOUT_LEASE_WAYS; i++) {
            struct lease *way = &log->leases[n].ways[i];
            if (atomic_load(&way->holder) == member + 1) {
                lease_give_up(way, 1);
            }
        }
    }
}

uint32_t lease_count(const struct log_segment *log) {
    uint32_t held = 0;
    for (uint32_t n = 0; n < LAYOUT_LEASE_SETS; n++) {
        for (uint32_t i = 0; i < LAYOUT_LEASE_WAYS; i++) {
            held += atomic_load(&log->leases[n].ways[i].holder) != 0;
        }
    }
    return held;
}
