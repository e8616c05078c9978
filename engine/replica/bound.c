/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/bound.h"

#include "shm/clock.h"

#define BOUND_LOOKUP_STEPS 128u /* at most two runs of the apply loop lie between a pin and `applied` */

/*
 * The state at index S is complete up to just before entry S+1 was stamped. That stamp stands in the log, where the
 * replica's pin keeps the frame. So staleness is exact without heartbeats. If the frame is out of reach (the replica
 * was lapped, or is in the middle of a long batch), the instant that the replica published serves: it is older than the
 * truth, never younger.
 *
 * The instant must not be younger than the state. So applied_ts is loaded before `applied`, and `now` after both.
 */
uint64_t bound_staleness(const struct tide *d, const struct replica_board *b, uint64_t *index) {
    uint64_t complete = board_applied_ts(b);
    uint64_t at = board_applied(b);
    uint64_t pos = board_pos(b);
    uint64_t next = ring_timestamp(&d->ring, pos, at + 1, BOUND_LOOKUP_STEPS);
    if (next == 0) {
        /* The replica has applied more meanwhile: use its new state. */
        complete = board_applied_ts(b);
        at = board_applied(b);
        next = ring_timestamp(&d->ring, board_pos(b), at + 1, BOUND_LOOKUP_STEPS);
    }
    if (next != 0 && next - 1 > complete) {
        complete = next - 1;
    }
    *index = at;
    uint64_t now = clock_now(&d->log->clock);
    uint64_t ns = now > complete ? now - complete : 1;
    /* The domain's clock may run slow against CLOCK_MONOTONIC by some parts in a million (shm/clock.h): round up. */
    return ns + (ns >> 12) + 1;
}

struct bound_look bound_check(const struct tide *d, const struct replica_board *b, const struct tide_bound *bound,
                              uint64_t fence) {
    struct bound_look look = { .commit = board_commit(d->log) };
    look.index = board_applied(b);
    if (board_state(b) != REPLICA_SERVING) {
        look.miss = BOUND_NOT_SERVING;
        return look;
    }
    if (look.index < look.commit) {
        look.staleness_ns = bound_staleness(d, b, &look.index);
        if (look.index >= look.commit) {
            look.staleness_ns = 0; /* the replica has caught up with the commit that was loaded first */
        }
    }
    uint64_t lag = look.commit > look.index ? look.commit - look.index : 0;
    if (look.index < fence) {
        look.miss = BOUND_FENCE;
    } else if (look.staleness_ns > bound->max_staleness_ns || lag > bound->max_lag) {
        look.miss = BOUND_STALE;
    }
    return look;
}
