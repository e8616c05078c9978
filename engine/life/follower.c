/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A follower's thread: join, apply, wait, and join anew when the log went on without it. */
#include <sched.h>
#include <sys/prctl.h>

#include "engine/life/follower.h"
#include "engine/life/join.h"
#include "engine/log/apply.h"
#include "engine/table/rcu.h"
#include "engine/table/thread.h"
#include "shm/clock.h"
#include "shm/park.h"

#define FOLLOWER_FULL_ENTRIES 1024u /* full again so soon after joining: it is really too small */
#define FOLLOWER_SPINS 200u         /* a few microseconds: shorter than a futex sleep and its wake-up */

static void follower_pin_cpu(const struct replica *r) {
    if (r->cpu < 0) {
        return;
    }
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)r->cpu % CPU_SETSIZE, &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof(set), &set) != 0) {
        tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: CPU %d cannot be had, running anywhere", r->view.id, r->cpu);
    }
}

/* Look for entries without sleeping, at least FOLLOWER_SPINS times and for spin_ns. False: there are none. */
static bool follower_spin(const struct replica *r) {
    uint64_t until = 0;
    for (;;) {
        for (uint32_t i = 0; i < FOLLOWER_SPINS; i++) {
            if (board_commit(r->domain->log) != r->applied || atomic_load(&r->stop) != 0) {
                return true;
            }
            park_relax();
        }
        uint64_t now = r->spin_ns != 0 ? clock_monotonic_ns() : 0;
        until = until != 0 ? until : now > UINT64_MAX - r->spin_ns ? UINT64_MAX : now + r->spin_ns;
        if (now >= until) {
            return false;
        }
    }
}

/* Sleep until commit moves beyond what was applied, or somebody nudges. */
static void follower_wait_commit(struct replica *r) {
    struct leader_board *lead = &r->domain->log->leader;
    if (follower_spin(r)) {
        return;
    }
    uint32_t seen = atomic_load(&lead->wake);
    atomic_store(&lead->parked, 1); /* MO(log.parked): announced before commit is looked at again */
    atomic_thread_fence(memory_order_seq_cst);
    if (board_commit(r->domain->log) == r->applied && atomic_load(&r->stop) == 0) {
        park_wait(&lead->wake, seen, UINT64_MAX);
    }
}

/* The next entry may be applied at `due`. seen: r->nudge from before `due` was worked out, so that a delay that was changed
 * since then is not slept through. */
static void follower_wait_due(struct replica *r, uint64_t due, uint32_t seen) {
    uint64_t now = clock_now(&r->domain->log->clock);
    if (due > now && atomic_load(&r->stop) == 0) {
        park_wait(&r->nudge, seen, due - now);
    }
}

/* Compare what this replica had at the last marks with what the leader had there. */
static bool follower_agrees(struct replica *r, uint64_t *checked) {
    struct log_segment *log = r->domain->log;
    int32_t leader = atomic_load(&log->leader.leader);
    uint64_t mark = r->applied / LAYOUT_DIGEST_EVERY * LAYOUT_DIGEST_EVERY;
    if (mark == 0 || mark == *checked || leader < 0 || (uint32_t)leader >= LAYOUT_REPLICAS ||
        (uint32_t)leader == r->view.id) {
        return true;
    }
    uint64_t ours, theirs;
    if (!board_digest_at(r->view.board, mark, &ours) || !board_digest_at(&log->replicas[leader], mark, &theirs)) {
        return true;
    }
    *checked = mark;
    return ours == theirs;
}

static int follower_rejoin(struct replica *r, const char *why) {
    tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: %s at index %llu, joins anew", r->view.id, why,
              (unsigned long long)r->applied);
    view_hide(r->domain, &r->view);
    replica_drop_table(r);
    board_set_state(r->view.board, REPLICA_CLAIMED);
    int error = replica_make_table(r);
    error = error != 0 ? error : join_replica(r);
    r->joined_at = r->applied;
    if (error != 0 && atomic_load(&r->stop) == 0 && error != TIDE_ERR_CLOSED) {
        tide_logf(r->domain, TIDE_LOG_ERROR, "replica %u: could not join anew: %s", r->view.id, tide_strerror(error));
    }
    return error;
}

/* The leader gave this replica up, but by then it had read past what was overwritten: nothing is lost, and it only
 * has to pin the ring again. Without that it would follow for ever and serve nothing. False: it was too late after
 * all. */
static bool follower_repin(struct replica *r) {
    return board_pin(r->domain->log, r->view.board, r->pos) &&
           board_change_state(r->view.board, REPLICA_JOINING, REPLICA_SERVING);
}

static void follower_fail(struct replica *r, uint32_t state, const char *why) {
    board_set_state(r->view.board, state);
    view_hide(r->domain, &r->view);
    tide_logf(r->domain, TIDE_LOG_ERROR, "replica %u: stopped serving at index %llu: %s", r->view.id,
              (unsigned long long)r->applied, why);
}

/* What the thread keeps from step to step. */
struct follower {
    uint64_t checked; /* mark at which digests were compared last */
    struct park_pace pace;
};

/* False when the replica is done for. */
static bool follower_step(struct replica *r, struct follower *own) {
    uint64_t due, commit = board_commit(r->domain->log);
    if (board_state(r->view.board) == REPLICA_LAPPED && !follower_repin(r)) {
        return follower_rejoin(r, "lapped") == 0;
    }
    if (commit == r->applied) {
        park_pace_nothing(&own->pace);
        follower_wait_commit(r);
        return true;
    }
    if (commit < r->applied) {
        follower_fail(r, REPLICA_FAILED, "the commit index fell: the log segment is damaged");
        return false;
    }
    uint32_t seen = atomic_load(&r->nudge);
    uint64_t found = commit - r->applied;
    enum apply_status status = apply_catch_up(r, commit, &due);
    if (status == APPLY_OK && due != 0) {
        follower_wait_due(r, due, seen);
    }
    if (status == APPLY_LAPPED) {
        return follower_rejoin(r, "lapped") == 0;
    }
    if (status == APPLY_FULL && r->applied - r->joined_at > FOLLOWER_FULL_ENTRIES) {
        /* Memory stays with the sizes that it was once used for. Under a leader that started later, and has not seen
         * those times, this table may be full where the leader's is not: a fresh one is as good as the leader's. */
        return follower_rejoin(r, "table full") == 0;
    }
    if (status != APPLY_OK) {
        follower_fail(r, REPLICA_FAILED,
                      status == APPLY_FULL ? "its table is full" : "the log is damaged where it would go on");
        return false;
    }
    if (!follower_agrees(r, &own->checked)) {
        follower_fail(r, REPLICA_DIVERGED, "its digest differs from the leader's");
        return false;
    }
    if (due == 0) {
        park_pace_found(&own->pace, found);
    }
    return true;
}

static void *follower_run(void *replica) {
    struct replica *r = replica;
    struct follower own = { 0 };
    prctl(PR_SET_TIMERSLACK, 1000ul); /* delays end when they are due */
    follower_pin_cpu(r);
    int error = rcu_register_self() != 0 ? TIDE_ERR_NOMEM : 0;
    if (error == 0 && !r->exact) { /* else it goes on where it was: it led, or was to lead */
        error = join_replica(r);
    }
    r->start_error = error;
    atomic_store(&r->started, 1);
    park_wake(&r->started, INT32_MAX);
    while (error == 0 && atomic_load(&r->stop) == 0 && follower_step(r, &own)) {
    }
    return NULL;
}

/* ---- starting and ending the thread ----------------------------------------------------------------------------------- */

int follower_start(struct replica *r) {
    atomic_store(&r->stop, 0);
    atomic_store(&r->started, 0);
    r->threaded = thread_start(&r->thread, follower_run, r) == 0;
    return r->threaded ? 0 : TIDE_ERR_NOMEM;
}

void follower_await(struct replica *r) {
    while (atomic_load(&r->started) == 0) {
        park_wait(&r->started, 0, UINT64_MAX);
    }
}

/* Once it has started. */
int follower_error(struct replica *r) {
    if (r->start_error != 0) {
        pthread_join(r->thread, NULL);
        r->threaded = false;
    }
    return r->start_error;
}

int follower_resume(struct replica *r) {
    int error = r->threaded ? 0 : follower_start(r);
    if (error == 0) {
        follower_await(r);
        error = follower_error(r);
    }
    return error;
}

void follower_end(struct replica *r) {
    if (!r->threaded) {
        return;
    }
    atomic_store(&r->stop, 1);
    atomic_fetch_add(&r->nudge, 1);
    park_wake(&r->nudge, INT32_MAX);
    atomic_fetch_add(&r->domain->log->leader.wake, 1);
    park_wake(&r->domain->log->leader.wake, INT32_MAX);
    pthread_join(r->thread, NULL);
    r->threaded = false;
}
