/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The kernel drops the leader's byte when the leader's process dies, and wakes the processes that wait for it
 * (shm/vigil.h). There is no time-out and no vote: the process that gets the byte leads. It applies what is committed
 * (what is not, does not exist), raises the term, and takes up the lanes where the log ends.
 */
#include "engine/table/cancel.h"
#include "engine/life/takeover.h"

#include "engine/life/follower.h"
#include "engine/life/reap.h"
#include "engine/table/kill.h"
#include "engine/write/lane.h"
#include "engine/write/lead.h"
#include "engine/log/apply.h"
#include "engine/log/sequencer.h"
#include "engine/table/thread.h"
#include "shm/clock.h"
#include "shm/fault.h"
#include "shm/nap.h"
#include "shm/park.h"
#include "shm/vigil.h"

#define STEWARD_HANDOVER_NS UINT64_C(200000000) /* for other candidates to take the byte */
#define STEWARD_NAP_NS UINT64_C(1000000)
#define STEWARD_TRIES 7u                   /* a nap doubles so often */
#define STEWARD_LOOK_NS UINT64_C(5000000)  /* so often a candidate looks whether the domain's maker lives */
#define STEWARD_OWES_NS UINT64_C(50000000) /* so often it tries to start a thread that could not be started */

_Atomic uint64_t takeover_patience_ns = UINT64_C(1000000000);

int takeover_lead(struct tide *d, struct replica *r) {
    /* A log that had a leader before gets a term entry, so that the change can be seen in it. A new log starts with
     * the first write at index 1. */
    uint32_t term = atomic_load(&d->log->leader.term) + 1;
    clock_refine(&d->log->clock);
    atomic_store(&r->delay_ns, 0);
    atomic_store(&r->view.board->apply_delay_ns, 0);
    atomic_store(&r->view.board->role, TIDE_LEADER); /* MO(replica.role) */
    atomic_store(&r->leads, true);
    seq_lead(d, r, term, term > 1);
    KILL_POINT("takeover.announced");
    int error = lane_serve_start(d);
    if (error != 0) {
        takeover_unlead(d, r);
    }
    return error;
}

void takeover_unlead(struct tide *d, struct replica *r) {
    /* In this order: first nothing is put into the log any more, then no lane is answered any more. */
    seq_unlead(d);
    lane_serve_stop(d);
    atomic_store(&r->leads, false);
    atomic_store(&r->view.board->role, TIDE_FOLLOWER);
}

/* The candidate of this handle that has applied most. */
static struct replica *takeover_candidate(struct tide *d) {
    struct replica *best = NULL;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        struct replica *r = atomic_load(&d->running[i]);
        if (r != NULL && r->candidate && board_state(r->view.board) == REPLICA_SERVING &&
            (best == NULL || board_applied(r->view.board) > board_applied(best->view.board))) {
            best = r;
        }
    }
    return best;
}

/* A replica of this handle that neither leads nor has a thread would serve and apply nothing more, for ever. */
static void steward_resume(struct tide *d) {
    bool owed = d->steward_owes;
    d->steward_owes = false;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        struct replica *r = atomic_load(&d->running[i]);
        if (r == NULL || r->starting || atomic_load(&r->leads) || follower_resume(r) == 0) {
            continue;
        }
        d->steward_owes = true;
        if (!owed) {
            tide_logf(d, TIDE_LOG_ERROR, "replica %u: it has no thread to apply the log: tries again", i);
            tide_log_fault(d, TIDE_ERR_NOMEM);
        }
    }
}

/* Lead, if a candidate can. This handle holds the leader's byte. */
static int takeover_try(struct tide *d) {
    struct replica *r = takeover_candidate(d);
    if (r == NULL || atomic_load(&d->closed) != 0) {
        return TIDE_ERR_NO_REPLICA;
    }
    KILL_POINT("takeover.locked");
    follower_end(r);
    uint64_t delay = atomic_exchange(&r->delay_ns, 0), due;
    atomic_store(&r->stop, false);
    uint64_t commit = board_commit(d->log);
    /* A candidate that is not exact was lapped just now, and its thread ended while it joined anew. */
    enum apply_status status = r->exact ? apply_catch_up(r, commit, &due) : APPLY_LAPPED;
    KILL_POINT("takeover.caught_up");
    int error = status == APPLY_OK && r->applied == commit && board_state(r->view.board) == REPLICA_SERVING
                    ? takeover_lead(d, r)
                    : TIDE_ERR_NO_REPLICA;
    if (error != 0) {
        atomic_store(&r->delay_ns, delay);
        atomic_store(&r->view.board->apply_delay_ns, delay);
        steward_resume(d); /* the thread finds what is wrong, and joins anew where it can */
        return error;
    }
    tide_logf(d, TIDE_LOG_INFO, "replica %u leads, term %u, from index %llu", r->view.id,
              atomic_load(&d->log->leader.term),
              (unsigned long long)commit); /* not r->applied, which belongs to the writers by now */
    return 0;
}

static void steward_take(struct tide *d) {
    fault_clear();
    pthread_mutex_lock(&d->control);
    /* A tide_replica_start() of a leader that failed meanwhile has let this handle's byte go: take it again. */
    int error = lead_is_here(d) ? 0 : member_lead(segment_fd(&d->segment)) ? takeover_try(d) : TIDE_ERR_BUSY;
    if (error != 0) {
        member_unlead(segment_fd(&d->segment));
    }
    pthread_mutex_unlock(&d->control);
    if (error == 0) {
        d->steward_tries = 0;
        reap_dead(d); /* after other processes can write again */
        reap_orphans(d);
    } else {
        if (d->steward_tries == 0) {
            tide_log_fault(d, error); /* a thread that could not be started, say */
        }
        /* What is here cannot lead: it is damaged, say. The byte is left to others, for longer and longer. */
        park_nap(STEWARD_NAP_NS << d->steward_tries);
        d->steward_tries += d->steward_tries < STEWARD_TRIES;
    }
}

static void steward_hand_over(struct tide *d) {
    pthread_mutex_lock(&d->control);
    struct replica *r = d->seq.leader;
    if (r != NULL && segment_fd(&d->segment) >= 0) { /* without a descriptor the byte could not be let go */
        takeover_unlead(d, r);
        KILL_POINT("handover.unled");
        member_unlead(segment_fd(&d->segment));
        vigil_leave(d->log);
        KILL_POINT("handover.free");
        steward_resume(d);
    }
    pthread_mutex_unlock(&d->control);
    uint64_t until = clock_after(clock_monotonic_ns(), STEWARD_HANDOVER_NS);
    while (!member_led_elsewhere(segment_fd(&d->segment)) && clock_monotonic_ns() < until &&
           !atomic_load(&d->steward_stop)) {
        park_nap(STEWARD_NAP_NS);
    }
}

/* What a steward keeps from one look to the next. Starts with zeroes. */
struct steward {
    struct vigil_wait wait;
    uint64_t patience_until; /* 0: it has not met the domain's maker yet */
};

/* Nobody has led this domain, and the member that made it lives and has not decided yet: leave it the first turn. */
static bool steward_leaves_first_turn(struct tide *d, struct steward *own) {
    struct leader_board *lead = &d->log->leader;
    uint32_t founder = atomic_load(&lead->founder);
    if (founder == 0 || atomic_load(&lead->term) != 0 || founder == d->member + 1 ||
        !member_lives(segment_fd(&d->segment), d->log, founder - 1, d->member)) {
        return false;
    }
    uint64_t now = clock_monotonic_ns();
    if (own->patience_until == 0) {
        own->patience_until = clock_after(now, atomic_load(&takeover_patience_ns));
    }
    if (now >= own->patience_until) {
        return false;
    }
    park_wait(&lead->founder, founder, STEWARD_LOOK_NS);
    return true;
}

/* The leader's byte is free for us, or is to be looked at again. */
static void steward_wait_for_byte(struct tide *d, struct steward *own) {
    uint32_t seen = vigil_look(d->log);
    struct vigil_wait *wait = &own->wait;
    if (steward_leaves_first_turn(d, own)) {
        return;
    }
    if (member_lead(segment_fd(&d->segment))) {
        *wait = (struct vigil_wait){ 0 };
        steward_take(d);
    } else if (!atomic_load(&d->steward_stop)) {
        lead_look_at_descriptor(d);
        if (d->steward_owes) {
            park_nap(STEWARD_OWES_NS);
        } else {
            vigil_sleep(d->log, wait, seen);
        }
    }
}

static void *steward_run(void *arg) {
    struct tide *d = arg;
    struct steward own = { 0 };
    for (;;) {
        uint32_t seen = atomic_load(&d->steward_word); /* before `stop`, after which the word is raised */
        if (atomic_load(&d->steward_stop)) {
            break;
        }
        if (d->steward_owes) {
            pthread_mutex_lock(&d->control);
            steward_resume(d);
            pthread_mutex_unlock(&d->control);
        }
        if (!lead_is_here(d) && atomic_load(&d->closed) != 0) {
            park_wait(&d->steward_word, seen, UINT64_MAX); /* the domain is gone: there is nothing to lead */
        } else if (!lead_is_here(d)) {
            steward_wait_for_byte(d, &own);
        } else if (atomic_exchange(&d->step_down, false)) {
            steward_hand_over(d);
        } else {
            park_wait(&d->steward_word, seen, d->steward_owes ? STEWARD_OWES_NS : UINT64_MAX);
        }
    }
    atomic_store(&d->steward_ended, 1);
    park_wake(&d->steward_ended, 1);
    return NULL;
}

int steward_start(struct tide *d) {
    if (d->steward_runs) {
        return 0;
    }
    atomic_store(&d->steward_stop, false);
    atomic_store(&d->steward_ended, 0);
    d->steward_runs = thread_start(&d->steward, steward_run, d) == 0;
    return d->steward_runs ? 0 : TIDE_ERR_NOMEM;
}

void steward_stop(struct tide *d) {
    if (!d->steward_runs) {
        return;
    }
    atomic_store(&d->steward_stop, true);
    park_rouse(&d->steward_word, INT32_MAX);
    while (atomic_load(&d->steward_ended) == 0) {
        vigil_wake(d->log); /* one that was about to sleep hears the next */
        park_wait(&d->steward_ended, 0, STEWARD_NAP_NS);
    }
    pthread_join(d->steward, NULL);
    d->steward_runs = false;
}

int tide_step_down(struct tide *d) {
    CANCEL_HOLD_OFF();
    if (d == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    if (d->read_only) {
        return TIDE_ERR_READ_ONLY;
    }
    if (lead_is_here(d)) {
        if (!d->steward_runs) {
            return TIDE_ERR_BUSY;
        }
        lead_ask_step_down(d);
        return 0;
    }
    if (!member_led_elsewhere(segment_fd(&d->segment))) {
        return TIDE_ERR_NO_LEADER;
    }
    struct lanes_board *board = &d->log->lanes_board;
    atomic_store(&board->step_down, 1);
    park_rouse(&board->wake, INT32_MAX);
    return 0;
}
