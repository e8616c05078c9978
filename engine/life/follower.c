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
#include "shm/fault.h"
#include "shm/nap.h"
#include "shm/park.h"

#define FOLLOWER_FULL_ENTRIES 1024u /* full again so soon after joining: the next join waits */
#define FOLLOWER_AGAIN_LEAST_NS UINT64_C(1000000)
#define FOLLOWER_AGAIN_MOST_NS UINT64_C(2000000000)
#define FOLLOWER_LOOK_NS                                                                                               \
    UINT64_C(1000000000) /* at least so often it looks up: a wake-up may be lost to a damaged word */
/* The leader writes its words again within a second where another process changed them; so long it is waited for. */
#define FOLLOWER_DOUBT_NS UINT64_C(2500000000)
#define FOLLOWER_DOUBT_NAP_NS UINT64_C(10000000)
/* A replica whose memory was damaged so often within an hour is given up: what damages it does so again. */
#define FOLLOWER_MENDS 8u
#define FOLLOWER_MENDS_NS UINT64_C(3600000000000)
#define FOLLOWER_SPINS 200u /* a few microseconds: shorter than a futex sleep and its wake-up */

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

/* Look for entries without sleeping, at least FOLLOWER_SPINS times and for spin_ns. False: none came. */
static bool follower_spin(const struct replica *r) {
    uint64_t until = 0;
    for (;;) {
        for (uint32_t i = 0; i < FOLLOWER_SPINS; i++) {
            if (board_commit(r->domain->log) != r->applied || atomic_load(&r->stop)) {
                return true;
            }
            park_relax();
        }
        uint64_t now = r->spin_ns != 0 ? clock_monotonic_ns() : 0;
        until = until != 0 ? until : clock_after(now, r->spin_ns);
        if (now >= until) {
            return false;
        }
    }
}

/* Sleep until commit moves beyond what was applied, or another thread raises r->nudge. */
static void follower_wait_commit(struct replica *r) {
    struct leader_board *lead = &r->domain->log->leader;
    if (follower_spin(r)) {
        return;
    }
    uint32_t seen = atomic_load(&lead->wake);
    atomic_store(&lead->parked, 1); /* MO(log.parked): announced before commit is looked at again */
    atomic_thread_fence(memory_order_seq_cst);
    if (board_commit(r->domain->log) == r->applied && !atomic_load(&r->stop)) {
        park_wait(&lead->wake, seen, FOLLOWER_LOOK_NS);
    }
}

/* Sleep until the next entry may be applied, at `due`. seen: r->nudge from before `due` was worked out; so a change
 * of the delay since then ends the sleep. */
static void follower_wait_due(struct replica *r, uint64_t due, uint32_t seen) {
    uint64_t now = clock_now(&r->domain->log->clock);
    if (due > now && !atomic_load(&r->stop)) {
        park_wait(&r->nudge, seen, due - now < FOLLOWER_LOOK_NS ? due - now : FOLLOWER_LOOK_NS);
    }
}

/* Compare this replica's digest at the last mark with the leader's digest there. */
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

/* Join anew, after wait_ns, for as long as it takes. An error is damage, or the end. */
static int follower_rejoin(struct replica *r, const char *why, uint64_t wait_ns) {
    tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: %s at index %llu, joins anew", r->view.id, why,
              (unsigned long long)r->applied);
    view_hide(r->domain, &r->view);
    for (uint64_t nap_ns = FOLLOWER_AGAIN_LEAST_NS;; nap_ns = nap_ns < FOLLOWER_AGAIN_MOST_NS ? 2 * nap_ns : nap_ns) {
        uint32_t seen = atomic_load(&r->nudge);
        replica_drop_table(r);
        board_set_state(r->view.board, REPLICA_CLAIMED);
        if (wait_ns != 0 && !atomic_load(&r->stop)) {
            park_wait(&r->nudge, seen, wait_ns);
            wait_ns = 0;
        }
        fault_clear();
        int error = replica_make_table(r);
        error = error != 0 ? error : join_replica(r);
        r->joined_at = r->applied;
        bool ends = atomic_load(&r->stop) || atomic_load(&r->domain->closed) != 0;
        if (error == 0 || ends || !join_may_pass(error)) {
            if (error != 0 && !ends) { /* who ends it sets the state */
                board_set_state(r->view.board, REPLICA_FAILED);
                tide_logf(r->domain, TIDE_LOG_ERROR, "replica %u: could not join anew: %s", r->view.id,
                          tide_strerror(error));
                tide_log_fault(r->domain, error);
            }
            return error;
        }
        if (nap_ns == FOLLOWER_AGAIN_LEAST_NS ||
            nap_ns >= FOLLOWER_AGAIN_MOST_NS) { /* at first, and then now and again */
            tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: could not join anew: %s; tries again", r->view.id,
                      tide_strerror(error));
            tide_log_fault(r->domain, error);
        }
        park_wait(&r->nudge, seen, nap_ns);
    }
}

/* The leader gave this replica up, but by then the replica had read past what was overwritten. It has lost nothing,
 * and only has to pin the ring again; otherwise it would follow for ever and serve nothing. False: entries were
 * overwritten after all. */
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
    uint64_t doubt_ns; /* since when the log's words cannot be; 0: they can */
    uint64_t full_ns;  /* how long to wait before it joins anew because its table was full soon again */
    uint64_t look_ns;  /* when to look at the board again */
};

/* Join anew because of damage, unless that came too often. False: the replica is done for. */
static bool follower_mend(struct replica *r, struct follower *own, const char *why) {
    uint64_t now = clock_monotonic_ns();
    if (r->mends == 0 || now - r->mends_ns > FOLLOWER_MENDS_NS) {
        r->mends = 0;
        r->mends_ns = now;
    }
    if (r->mends++ == FOLLOWER_MENDS) {
        tide_logf(r->domain, TIDE_LOG_ERROR,
                  "replica %u: damaged %u times within an hour: given up; see who writes to %s", r->view.id,
                  FOLLOWER_MENDS, r->view.segment.path);
        follower_fail(r, REPLICA_FAILED, why);
        return false;
    }
    park_nap(UINT64_C(1000000) << r->mends);
    own->doubt_ns = 0;
    return follower_rejoin(r, why, 0) == 0;
}

/* Words of the log cannot be. Perhaps for a moment only: look again for a while. */
static bool follower_doubt(struct replica *r, struct follower *own, const char *why) {
    uint64_t now = clock_monotonic_ns();
    uint32_t seen = atomic_load(&r->nudge);
    if (own->doubt_ns == 0) {
        own->doubt_ns = now;
        tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: %s, after index %llu: looks again", r->view.id, why,
                  (unsigned long long)r->applied);
    }
    if (now - own->doubt_ns >= FOLLOWER_DOUBT_NS) {
        return follower_mend(r, own, why);
    }
    if (!atomic_load(&r->stop)) {
        park_wait(&r->nudge, seen, FOLLOWER_DOUBT_NAP_NS);
    }
    return true;
}

/* The board does not say SERVING any more: the leader gave this replica up, or another process wrote there. */
static bool follower_not_serving(struct replica *r, struct follower *own) {
    uint32_t state = board_state(r->view.board);
    if (board_owner(r->view.board) != r->domain->member &&
        atomic_load(&r->view.board->segment_id) != r->view.segment_id) {
        /* Its slot was made to look free, and is another's now, which is not to be disturbed. */
        view_hide(r->domain, &r->view);
        tide_logf(r->domain, TIDE_LOG_ERROR, "replica %u: its slot was changed and is another process's: stops",
                  r->view.id);
        return false;
    }
    if (state != REPLICA_LAPPED) {
        tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: another process changed its state to %u: pins the log anew",
                  r->view.id, state);
    }
    if (follower_repin(r)) {
        return true;
    }
    return state == REPLICA_LAPPED ? follower_rejoin(r, "lapped", 0) == 0
                                   : follower_mend(r, own, "the state on its board was changed");
}

static void follower_look(struct replica *r, struct follower *own) {
    uint64_t now = clock_monotonic_ns();
    if (now >= own->look_ns) {
        own->look_ns = now + FOLLOWER_LOOK_NS / 2;
        replica_mend_board(r);
    }
}

/* False: the replica has failed, and the thread ends. */
static bool follower_step(struct replica *r, struct follower *own) {
    uint64_t due, commit = board_commit(r->domain->log);
    if (__builtin_expect(table_is_damaged(&r->writer.t), 0)) {
        replica_stop_serving(r);
        return follower_mend(r, own, "its table is damaged");
    }
    if (__builtin_expect(board_state(r->view.board) != REPLICA_SERVING, 0)) {
        return follower_not_serving(r, own); /* it may have joined anew, beyond `commit` */
    }
    if (commit == r->applied) {
        own->doubt_ns = 0;
        park_pace_nothing(&own->pace);
        follower_wait_commit(r);
        follower_look(r, own);
        return true;
    }
    if (commit < r->applied) {
        return follower_doubt(r, own, "the commit index fell");
    }
    uint32_t seen = atomic_load(&r->nudge);
    uint64_t found = commit - r->applied;
    enum apply_status status = apply_catch_up(r, commit, &due);
    if (status == APPLY_OK && due != 0) {
        follower_wait_due(r, due, seen);
    }
    if (__builtin_expect(table_is_damaged(&r->writer.t), 0)) {
        return true; /* the next step sees to it */
    }
    if (status == APPLY_LAPPED) {
        return follower_rejoin(r, "lapped", 0) == 0;
    }
    if (status == APPLY_CORRUPT) {
        return follower_doubt(r, own, "the log is damaged where it would go on");
    }
    own->doubt_ns = 0;
    if (status == APPLY_FULL) {
        /* Memory stays with the sizes that it was once used for. Under a leader that started later, and has not seen
         * those times, this table may be full where the leader's is not: a fresh one is as good as the leader's. */
        bool soon = r->applied - r->joined_at <= FOLLOWER_FULL_ENTRIES;
        own->full_ns = !soon                                   ? 0
                       : own->full_ns == 0                     ? FOLLOWER_AGAIN_LEAST_NS
                       : own->full_ns < FOLLOWER_AGAIN_MOST_NS ? 2 * own->full_ns
                                                               : own->full_ns;
        return follower_rejoin(r, "table full", own->full_ns) == 0;
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

/* One that served before goes on where it was. It joins anew where it was lapped, or damaged as a leader, just when it was to take over
 * or had handed over; and for as long as that takes, since nobody would start it again. */
static int follower_go_on(struct replica *r, struct follower *own) {
    while (rcu_register_self() != 0) {
        uint32_t seen = atomic_load(&r->nudge);
        if (atomic_load(&r->stop)) {
            return TIDE_ERR_CLOSED;
        }
        park_wait(&r->nudge, seen, FOLLOWER_AGAIN_MOST_NS);
    }
    if (atomic_load(&r->damaged)) {
        return follower_mend(r, own, "its table is damaged") ? 0 : TIDE_ERR_CORRUPT;
    }
    return r->exact ? 0 : follower_rejoin(r, "interrupted while it joined", 0);
}

static void *follower_run(void *replica) {
    struct replica *r = replica;
    struct follower own = { 0 };
    int error;
    prctl(PR_SET_TIMERSLACK, 1000ul); /* delays end when they are due */
    follower_pin_cpu(r);
    if (atomic_load(&r->started) != 0) {
        error = follower_go_on(r, &own);
    } else {
        error = rcu_register_self() != 0 ? TIDE_ERR_NOMEM : join_replica(r);
        r->start_error = error;
        atomic_store(&r->started, 1);
        park_wake(&r->started, INT32_MAX);
    }
    while (error == 0 && !atomic_load(&r->stop) && follower_step(r, &own)) {
    }
    return NULL;
}

/* ---- starting and ending the thread ----------------------------------------------------------------------------------- */

static int follower_begin(struct replica *r) {
    atomic_store(&r->stop, false);
    r->threaded = thread_start(&r->thread, follower_run, r) == 0;
    return r->threaded ? 0 : TIDE_ERR_NOMEM;
}

int follower_start(struct replica *r) {
    atomic_store(&r->started, 0);
    return follower_begin(r);
}

void follower_await(struct replica *r) {
    while (atomic_load(&r->started) == 0) {
        park_wait(&r->started, 0, UINT64_MAX);
    }
}

int follower_error(struct replica *r) {
    if (r->start_error != 0) {
        pthread_join(r->thread, NULL);
        r->threaded = false;
    }
    return r->start_error;
}

int follower_resume(struct replica *r) {
    if (r->threaded) {
        return 0;
    }
    atomic_store(&r->started, 1);
    return follower_begin(r);
}

void follower_end(struct replica *r) {
    if (!r->threaded) {
        return;
    }
    atomic_store(&r->stop, true);
    park_rouse(&r->nudge, INT32_MAX);
    park_rouse(&r->domain->log->leader.wake, INT32_MAX);
    pthread_join(r->thread, NULL);
    r->threaded = false;
}
