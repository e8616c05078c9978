/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A reader picks its replica here, or falls back when none satisfies the bound. Source: docs/design.md, *Reads*. */
#include "engine/table/cancel.h"
#include "engine/replica/bound.h"
#include "engine/replica/source.h"
#include "engine/replica/foreign.h"
#include "engine/read/reader.h"
#include "shm/clock.h"
#include "shm/nap.h"
#include "shm/park.h"

#define PICK_SPINS 200
#define PICK_NAP_NS 1000000u /* look again after this: a wake-up may be missed */
#define PICK_SEARCH_NS 100000u
#define PICK_STUCK_NAPS 50u
#define PICK_PARDONS 500u
#define PICK_LEADER_NS 1000000000u /* a live leader applies within microseconds what it has committed */

const struct tide_bound reader_default_bound = TIDE_BOUND_INIT;

/* One look at every replica that may serve. */
struct pick_round {
    struct verdict best;    /* the replica that satisfies the bound */
    struct verdict nearest; /* the least stale replica that does not */
    bool found;
    bool any_reached_fence;
    bool any_serving;
    bool incomplete;     /* a fed domain: a replica serves, and does not hold what the source had at any instant */
    uint64_t stuck;      /* serving replicas that this read could not be served by: reader.avoid */
    uint64_t unattached; /* bit k: replica k serves, but another process runs it and it is not mapped here yet */
};

/* What a read must reflect. */
struct pick_fence {
    uint64_t index;
    struct source_need source; /* of a fed domain */
};

static void pick_consider(const struct tide_reader *r, const struct tide_bound *bound, const struct pick_fence *fence,
                          uint32_t id, struct pick_round *round) {
    if ((r->avoid >> id & 1) != 0) {
        bool serves = board_state(&r->domain->log->replicas[id]) == REPLICA_SERVING;
        round->stuck |= serves ? UINT64_C(1) << id : 0;
        return;
    }
    struct view *replica = view_current(r->domain, id);
    if (replica == NULL) {
        bool serves = board_state(&r->domain->log->replicas[id]) == REPLICA_SERVING;
        round->unattached |= serves ? UINT64_C(1) << id : 0;
        return;
    }
    struct bound_look look = r->domain->fed
                                 ? source_check(r->domain, replica->board, bound, fence->index, &fence->source)
                                 : bound_check(r->domain, replica->board, bound, fence->index);
    if (look.miss == BOUND_NOT_SERVING) {
        round->incomplete |= look.staleness_ns == UINT64_MAX;
        return;
    }
    struct verdict v = {
        .replica = replica,
        .id = id,
        .leader = reader_leads(replica),
        .index = look.index,
        .commit = look.commit,
        .staleness_ns = look.staleness_ns,
        .reason = look.staleness_ns == 0 ? TIDE_REASON_FRESH : TIDE_REASON_WITHIN_BOUND,
    };
    round->any_serving = true;
    round->any_reached_fence |= look.miss != BOUND_FENCE;
    if (look.miss == BOUND_MET && (!round->found || v.index > round->best.index)) {
        round->best = v;
        round->found = true;
    }
    if (round->nearest.replica == NULL || v.index > round->nearest.index) {
        round->nearest = v;
    }
}

/* Look at the replicas. The caller has a section open. Sticky begins with the home and round robin with its turn; both
 * take the first replica that satisfies the bound. Freshest looks at all. */
static void pick_look(struct tide_reader *r, const struct tide_bound *bound, const struct pick_fence *fence,
                      struct pick_round *round) {
    *round = (struct pick_round){ 0 };
    uint32_t first = r->home;
    if (r->policy == TIDE_ROUND_ROBIN) {
        first = ++r->turn % LAYOUT_REPLICAS;
    } else if (r->policy == TIDE_FRESHEST) {
        first = 0;
    }
    uint64_t mask = r->mask;
    uint64_t rotated = first == 0 ? mask : mask >> first | mask << (LAYOUT_REPLICAS - first);
    for (; rotated != 0; rotated &= rotated - 1) {
        uint32_t id = (first + (uint32_t)__builtin_ctzll(rotated)) % LAYOUT_REPLICAS;
        pick_consider(r, bound, fence, id, round);
        if (round->found && r->policy != TIDE_FRESHEST) {
            if (r->policy == TIDE_ROUND_ROBIN) {
                r->turn = id;
            }
            return;
        }
    }
}

/* A read's fence: the greater of the session's and the call's. The call's must belong to this incarnation. */
static int pick_fence(const struct tide_reader *r, const struct tide_bound *bound, struct pick_fence *fence) {
    *fence = (struct pick_fence){ r->fence, { r->revision, r->question } };
    if (bound->min.index == 0 && bound->min.incarnation == 0) {
        return 0;
    }
    bool revision = bound->min.incarnation == TIDE_REVISION && r->domain->fed;
    if (!revision && bound->min.incarnation != r->domain->words.header.incarnation) {
        return TIDE_ERR_INCARNATION;
    }
    uint64_t *of = revision ? &fence->source.revision : &fence->index;
    *of = bound->min.index > *of ? bound->min.index : *of;
    return 0;
}

/* Sleep until the replica publishes something, at most until `until` (CLOCK_MONOTONIC, since the domain's clock lies in
 * shared memory). */
static void pick_wait(const struct tide *d, struct replica_board *b, uint32_t *rounds, uint64_t now, uint64_t until) {
    if ((*rounds)++ < PICK_SPINS) {
        park_relax();
        return;
    }
    uint64_t ns = until - now < PICK_NAP_NS ? until - now : PICK_NAP_NS;
    if (d->read_only) {
        park_nap(ns < PICK_SEARCH_NS
                     ? ns
                     : PICK_SEARCH_NS); /* a waiter must announce itself by a store, and this handle may not write */
        return;
    }
    uint32_t seen = atomic_load(&b->wake);
    /* MO(replica.waiters): the waiter's side; a missed wake-up costs PICK_NAP_NS. */
    atomic_store_explicit(&b->waiters, 1, memory_order_relaxed);
    park_wait(&b->wake, seen, ns);
}

/* Nobody leads, or the leader's replica is not mapped here. Try to map it: 0 if it is mapped now. */
static int pick_leader_missing(struct tide *d, int32_t id) {
    uint32_t closed = atomic_load(&d->closed);
    if (closed != 0) {
        return -(int)closed;
    }
    if (id < 0 || (uint32_t)id >= LAYOUT_REPLICAS) {
        return TIDE_ERR_NO_LEADER;
    }
    int error = foreign_attach(d, (uint32_t)id);
    return error == 0 || foreign_is_own_trouble(error) ? error : TIDE_ERR_NO_LEADER;
}

/* Replica `id` serves, and could not be read: its process may be stopped. *v holds the nearest of the others; add what this one could
 * have given. It may have applied all that is committed, but nobody knows since when that commit stands. */
static void pick_add_stuck(const struct tide *d, uint32_t id, struct verdict *v) {
    uint64_t commit = board_commit(d->log), index = board_applied(&d->log->replicas[id]);
    if (index >= v->index) {
        uint64_t staleness_ns = d->fed ? source_staleness(d, &d->log->replicas[id], &index)
                                       : bound_staleness(d, &d->log->replicas[id], &index);
        v->id = id;
        v->leader = reader_board_leads(&d->log->replicas[id]);
        v->index = index;
        v->commit = commit;
        v->staleness_ns = staleness_ns;
    }
}

/* Read the leader's replica, whichever replicas the reader may use: linearizable. On success the section is open. */
static int pick_leader(struct tide_reader *r, uint64_t fence, uint64_t start, uint64_t until, struct verdict *v) {
    struct tide *d = r->domain;
    const struct tide_bound linearizable = { .max_staleness_ns = 0, .max_lag = TIDE_UNBOUNDED };
    uint32_t rounds = 0;
    for (;;) {
        rcu_enter();
        int32_t id = atomic_load(&d->log->leader.leader);
        struct view *leader = (uint32_t)id < LAYOUT_REPLICAS ? view_current(d, (uint32_t)id) : NULL;
        if (leader == NULL) {
            rcu_exit();
            int error = pick_leader_missing(d, id);
            if (error == 0 && rounds++ < PICK_SPINS) {
                continue;
            }
            return error != 0 ? error : TIDE_ERR_NO_LEADER;
        }
        struct bound_look look = bound_check(d, leader->board, &linearizable, fence);
        uint64_t now = clock_monotonic_ns();
        if (look.miss == BOUND_MET && (r->avoid >> id & 1) == 0) {
            *v = (struct verdict){
                .replica = leader,
                .id = (uint32_t)id,
                .leader = true,
                .index = look.index,
                .commit = look.commit,
                .waited_ns = now - start,
                .reason = v->fence_missed ? TIDE_REASON_BEHIND_REDIRECTED : TIDE_REASON_REDIRECTED,
            };
            return 0;
        }
        rcu_exit();
        if (now >= until) {
            v->waited_ns = now - start;
            pick_add_stuck(d, (uint32_t)id, v);
            return TIDE_ERR_TIMEOUT;
        }
        if (rounds++ < PICK_SPINS) {
            park_relax();
        } else {
            park_nap(20000);
        }
        /* All replicas were stuck, this one too: its writer may be in the middle of many splits, or have lost its CPU.
         * A while later it is not, unless it is stopped. So try again, a bounded number of times. */
        if ((r->avoid >> id & 1) != 0 && rounds >= PICK_SPINS + PICK_STUCK_NAPS && r->pardons < PICK_PARDONS) {
            r->pardons++;
            r->avoid = 0;
        }
    }
}

static int pick_nothing(const struct tide *d, const struct pick_round *round, int trouble) {
    uint32_t closed = atomic_load(&d->closed);
    if (closed != 0) {
        return -(int)closed;
    }
    bool any = round->any_serving || round->stuck != 0 || round->incomplete;
    return any ? 0 : trouble != 0 ? trouble : TIDE_ERR_NO_REPLICA;
}

/* A fed domain's read waits: for the answer of its question to the source, then for a replica. 1: look again. Else an error: nothing came in
 * time. Not inside a section. */
static int pick_await_source(struct tide_reader *r, const struct tide_bound *bound, struct replica_board *nearest,
                             uint64_t now, uint64_t start, uint32_t *rounds) {
    struct tide *d = r->domain;
    bool leader = bound->fallback == TIDE_FALLBACK_LEADER;
    uint64_t until = clock_after(start, bound->wait_ns);
    if (leader && now >= until && !(atomic_load(&d->seq.here) || member_led_elsewhere(segment_fd(&d->segment)))) {
        return TIDE_ERR_NO_LEADER;
    }
    until = leader ? clock_after(until, PICK_LEADER_NS) : until;
    if (now >= until) {
        return TIDE_ERR_TIMEOUT;
    }
    if (r->question == 0) {
        r->question = source_ask(d);
    }
    if (!source_answered(d, r->question)) {
        source_await(d, r->question, now, until);
    } else if (nearest != NULL) {
        pick_wait(d, nearest, rounds, now, until);
    } else {
        park_nap(PICK_SEARCH_NS);
        (*rounds)++;
    }
    if (*rounds >= (nearest != NULL ? PICK_SPINS : 0) + PICK_STUCK_NAPS) {
        r->avoid = 0; /* as below */
    }
    return 1;
}

/* No replica satisfies the bound now. 1: look again. 0: *v serves, and the section is open. Else an error. */
static int pick_fall_back(struct tide_reader *r, const struct tide_bound *bound, const struct pick_fence *fence,
                          struct pick_round *round, uint64_t start, uint32_t *rounds, int trouble, struct verdict *v) {
    struct tide *d = r->domain;
    CANCEL_HOLD_OFF();
    uint64_t now = clock_monotonic_ns();
    *v = round->nearest;
    v->fence_missed = round->any_serving && !round->any_reached_fence;
    v->waited_ns = now - start;
    bool ahead = fence->index > board_commit(d->log);
    if (d->fed && !round->any_serving) {
        v->staleness_ns = UINT64_MAX;
    }
    if (bound->fallback == TIDE_FALLBACK_STALE && round->any_serving && !ahead) {
        v->reason = TIDE_REASON_STALE_BY_CHOICE;
        v->breach = true;
        return 0; /* the caller's section is still open */
    }
    struct replica_board *nearest = round->nearest.replica != NULL ? round->nearest.replica->board : NULL;
    rcu_exit();
    int nothing = pick_nothing(d, round, trouble);
    bool waits = bound->fallback == TIDE_FALLBACK_WAIT || bound->fallback == TIDE_FALLBACK_LEADER;
    if (nothing != 0 && (nothing != TIDE_ERR_NO_REPLICA || !waits)) {
        return nothing;
    }
    if (ahead) {
        return TIDE_ERR_FENCE_AHEAD;
    }
    for (uint64_t rest = round->stuck; rest != 0; rest &= rest - 1) {
        pick_add_stuck(d, (uint32_t)__builtin_ctzll(rest), v);
    }
    if (!waits) {
        return TIDE_ERR_REFUSED;
    }
    if (d->fed) {
        return pick_await_source(r, bound, nearest, now, start, rounds);
    }
    if (now - start < bound->wait_ns) {
        uint64_t until = clock_after(start, bound->wait_ns);
        if (nearest != NULL) {
            pick_wait(d, nearest, rounds, now, until);
        } else {
            park_nap(PICK_SEARCH_NS); /* none serves (all may be joining or stuck), so nobody would wake this thread */
            (*rounds)++;
        }
        if (*rounds >= (nearest != NULL ? PICK_SPINS : 0) + PICK_STUCK_NAPS) {
            r->avoid = 0; /* those that were stuck are tried again, as in pick_leader() */
        }
        return 1;
    }
    if (bound->fallback == TIDE_FALLBACK_LEADER) {
        return pick_leader(r, fence->index, start, clock_after(clock_after(start, bound->wait_ns), PICK_LEADER_NS), v);
    }
    return nothing != 0 ? nothing : TIDE_ERR_TIMEOUT;
}

/* Map replicas of other processes; each is tried once in a read. The caller has no section open. */
static uint64_t pick_attach(struct tide *d, uint64_t wanted, int *trouble) {
    CANCEL_HOLD_OFF();
    for (uint64_t rest = wanted; rest != 0; rest &= rest - 1) {
        int error = foreign_attach(d, (uint32_t)__builtin_ctzll(rest));
        if (foreign_is_own_trouble(error)) {
            *trouble = error;
            foreign_tell_trouble(d, error);
        }
    }
    return wanted;
}

/* The end of a fed domain's read: the feed learns how fresh data are to be; and what came after the time to wait came by the fallback. */
static void pick_fed(const struct tide_reader *r, const struct tide_bound *bound, struct verdict *v) {
    struct tide *d = r->domain;
    if (bound->max_staleness_ns != 0 && bound->max_staleness_ns != TIDE_UNBOUNDED) {
        source_hint(d, bound->max_staleness_ns, clock_now(&d->log->clock));
    }
    if (v->reason == TIDE_REASON_WAITED && bound->fallback == TIDE_FALLBACK_LEADER && v->waited_ns >= bound->wait_ns) {
        v->reason = TIDE_REASON_REDIRECTED;
    }
}

int reader_pick(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v) {
    struct tide *d = r->domain;
    uint64_t start = 0, attached = 0;
    struct pick_fence fence;
    uint32_t rounds = 0;
    int trouble = 0;
    bool invalid = bound->fallback > TIDE_FALLBACK_STALE;
    uint32_t closed = atomic_load(&d->closed);
    int error = closed != 0 ? -(int)closed : invalid ? TIDE_ERR_INVALID : pick_fence(r, bound, &fence);
    if (error != 0) {
        return error;
    }
    for (;;) {
        struct pick_round round;
        rcu_enter();
        fence.source.question = r->question;
        pick_look(r, bound, &fence, &round);
        if (round.unattached & ~attached) {
            rcu_exit();
            attached |= pick_attach(d, round.unattached & ~attached, &trouble);
            continue;
        }
        if (round.found) {
            *v = round.best;
            if (start != 0) {
                v->waited_ns = clock_monotonic_ns() - start;
                v->reason = TIDE_REASON_WAITED;
            }
            if (__builtin_expect(d->fed, 0)) {
                pick_fed(r, bound, v);
            }
            return 0;
        }
        if (start == 0) {
            r->since = r->since != 0 ? r->since : clock_monotonic_ns();
            start = r->since;
        }
        error = pick_fall_back(r, bound, &fence, &round, start, &rounds, trouble, v);
        if (error <= 0) {
            if (d->fed) {
                pick_fed(r, bound, v);
            }
            return error;
        }
    }
}
