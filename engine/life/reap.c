/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/cancel.h"
#include "engine/life/reap.h"

#include "engine/log/lane_notes.h"
#include "engine/table/kill.h"
#include "engine/write/lead.h"
#include "shm/lease.h"

/* Does a living member's replica have all that this one has? Then this one is not needed. (A process that holds the
 * leader's byte proves less: it may be about to find that it cannot lead.) */
static bool reap_is_covered(const struct tide *d, uint32_t dead) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &d->log->replicas[i];
        if (i != dead && board_state(b) == REPLICA_SERVING &&
            board_applied(b) >= board_applied(&d->log->replicas[dead]) &&
            member_lives(segment_fd(&d->segment), d->log, board_owner(b), d->member)) {
            return true;
        }
    }
    return false;
}

static void reap_replicas(struct tide *d, uint32_t member) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        struct replica_board *b = &d->log->replicas[i];
        uint32_t state = board_state(b);
        if (state == REPLICA_FREE || state == REPLICA_STOPPED || state == REPLICA_ORPHAN || board_owner(b) != member) {
            continue;
        }
        KILL_POINT("gc.replica");
        if (state == REPLICA_SERVING && !reap_is_covered(d, i)) {
            board_set_state(b, REPLICA_ORPHAN);
            continue;
        }
        /* Remove the file before the slot is free: a free slot may be claimed at once, and its new table must not be
         * the one removed. */
        segment_unlink_of(d->dir, d->name, SEGMENT_TABLE, i, d->words.header.incarnation);
        KILL_POINT("gc.unlinked");
        board_set_state(b, REPLICA_FREE);
    }
}

/* A reader claims a slot by its pid, and stores the member's number afterwards. A process that died in between left
 * an old number there. */
static bool reap_is_readers(const struct log_segment *log, const struct reader_slot *slot, uint32_t member) {
    uint32_t pid = atomic_load(&slot->owner_pid), owner = atomic_load(&slot->member);
    if (pid == 0 || owner == member) {
        return pid != 0;
    }
    bool fits = owner < LAYOUT_MEMBERS && atomic_load(&log->members[owner].used) != 0 &&
                atomic_load(&log->members[owner].pid) == pid;
    return !fits && atomic_load(&log->members[member].pid) == pid;
}

static void reap_readers(struct log_segment *log, uint32_t member) {
    for (uint32_t i = 0; i < LAYOUT_READERS; i++) {
        struct reader_slot *slot = &log->readers[i];
        if (reap_is_readers(log, slot, member)) {
            atomic_store(&slot->owner_pid, 0);
        }
    }
}

void reap_member(void *tide, uint32_t member) {
    struct tide *d = tide;
    uint32_t founder = member + 1;
    atomic_compare_exchange_strong(&d->log->leader.founder, &founder, 0); /* the slot's next member is none */
    reap_replicas(d, member);
    reap_readers(d->log, member);
    KILL_POINT("gc.lanes");
    lane_reap(d, member);
    lease_reap(d->log, member);
    KILL_POINT("gc.done");
}

/* One thread at a time: the locks are the handle's, so that they do not keep its own threads apart. A second one would free a member's slot
 * while the first is at it, and perhaps a newcomer's who has taken the slot by then. */
uint32_t reap_dead(struct tide *d) {
    pthread_mutex_lock(&d->reaping);
    uint32_t reaped = member_reap_all(segment_fd(&d->segment), d->log, d->member, reap_member, d);
    pthread_mutex_unlock(&d->reaping);
    return reaped;
}

void reap_orphans(struct tide *d) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        uint32_t orphan = REPLICA_ORPHAN;
        if (board_state(&d->log->replicas[i]) == orphan) {
            segment_unlink_of(d->dir, d->name, SEGMENT_TABLE, i, d->words.header.incarnation);
            KILL_POINT("gc.orphan_unlinked");
            atomic_compare_exchange_strong(&d->log->replicas[i].state, &orphan, REPLICA_FREE);
        }
    }
}

int tide_gc(struct tide *d, uint32_t *reaped) {
    CANCEL_HOLD_OFF();
    if (d == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    if (d->read_only) {
        return TIDE_ERR_READ_ONLY;
    }
    bool led = lead_is_held(d);
    uint32_t n = reap_dead(d);
    if (led && board_state(&d->log->replicas[(uint32_t)atomic_load(&d->log->leader.leader) % LAYOUT_REPLICAS]) ==
                   REPLICA_SERVING) {
        reap_orphans(d); /* a reaper that had not heard of the new leader may have left one */
    }
    if (reaped != NULL) {
        *reaped = n;
    }
    return 0;
}
