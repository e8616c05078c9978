/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting and stopping replicas. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/table/cancel.h"
#include "engine/life/control.h"
#include "engine/life/follower.h"
#include "engine/life/join.h"
#include "engine/life/reap.h"
#include "engine/replica/foreign.h"
#include "engine/table/kill.h"
#include "engine/table/rcu.h"
#include "engine/replica/replica.h"
#include "engine/replica/sized.h"
#include "engine/log/agree.h"
#include "engine/log/sequencer.h"
#include "engine/life/takeover.h"
#include "engine/write/lead.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/fault.h"
#include "shm/member.h"
#include "shm/nap.h"
#include "shm/park.h"
#include "shm/vigil.h"

#define CONTROL_DELAY_MAX UINT64_C(3600000000000)
#define CONTROL_NAP_NS 1000000u

static void control_free(struct replica *r) {
    free(r->scratch);
    free(r->parts);
    free(r);
}

static struct replica *control_new(struct tide *d, const struct tide_replica_opts *o, uint32_t id) {
    struct replica *r = aligned_alloc(LAYOUT_PAIR, (sizeof(*r) + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR);
    if (r == NULL) {
        return NULL;
    }
    memset(r, 0, sizeof(*r));
    r->view.segment = (struct segment)SEGMENT_INIT;
    r->domain = d;
    r->view.id = id;
    r->candidate = o->candidate != 0;
    r->cpu = o->cpu;
    r->spin_ns = o->spin_ns;
    r->view.board = &d->log->replicas[id];
    r->scratch = malloc(REPLICA_SCRATCH_BYTES);
    if (r->scratch == NULL) {
        free(r);
        return NULL;
    }
    return r;
}

static void control_label(struct replica_board *b, const struct tide_replica_opts *o, uint32_t id) {
    char label[LAYOUT_LABEL] = { 0 };
    if (o->label != NULL) {
        strncpy(label, o->label, sizeof(label) - 1);
    } else {
        label[0] = 'r';
        label[1] = (char)(id < 10 ? '0' + id : '0' + id / 10);
        label[2] = (char)(id < 10 ? 0 : '0' + id % 10);
    }
    bytes_store_racy(b->label, label, sizeof(label)); /* a reader or a tool may be looking at the slot */
}

static void control_prepare_board(struct replica_board *b, const struct tide_replica_opts *o, uint32_t id,
                                  uint32_t member) {
    control_label(b, o, id);
    atomic_store(&b->applied, 0);
    atomic_store(&b->applied_ts, 0);
    atomic_store(&b->source_revision, 0); /* MO(source.held): nobody reads it before it serves */
    atomic_store(&b->source_ts, 0);       /* MO(source.held) */
    atomic_store(&b->role, o->role);
    atomic_store(&b->apply_delay_ns, o->role == TIDE_LEADER ? 0 : o->apply_delay_ns);
    atomic_store(&b->pid, (uint32_t)getpid());
    atomic_store(&b->member, member);
    atomic_store(&b->entries, 0);
    atomic_store(&b->joins, 0);
    atomic_store(&b->lapped, 0);
    atomic_store(&b->join_laps, 0);
}

/* The caller's thread joins, and the replica leads from then on. */
static int control_start_leader(struct replica *r) {
    struct tide *d = r->domain;
    if (!member_lead(segment_fd(&d->segment))) {
        return errno == EAGAIN || errno == EACCES
                   ? TIDE_ERR_BUSY
                   : fault_errno(TIDE_ERR_SYSTEM, "open-file-description locks (fcntl F_OFD_SETLK) are refused");
    }
    int error = join_replica(r);
    if (error != 0) {
        member_unlead(segment_fd(&d->segment));
        return error;
    }
    error = takeover_lead(d, r);
    if (error != 0) {
        member_unlead(segment_fd(&d->segment));
        return error;
    }
    reap_orphans(d);
    return 0;
}

/* Joining takes as long as the replica's delay. The lock is free meanwhile, since this handle may have to take over. */
static int control_start_follower(struct replica *r) {
    struct tide *d = r->domain;
    int error = follower_start(r);
    if (error != 0) {
        return error;
    }
    r->starting = true;
    d->starting++;
    pthread_mutex_unlock(&d->control);
    follower_await(r);
    pthread_mutex_lock(&d->control);
    d->starting--;
    r->starting = false;
    return follower_error(r);
}

void control_await_starts(struct tide *d) {
    pthread_mutex_lock(&d->control);
    while (d->starting != 0) {
        pthread_mutex_unlock(&d->control);
        park_nap(CONTROL_NAP_NS);
        pthread_mutex_lock(&d->control);
    }
    pthread_mutex_unlock(&d->control);
}

/* Start the replica in slot `id`, which this process has claimed. On an error the slot stays CLAIMED. */
static int control_start_in(struct tide *d, const struct tide_replica_opts *o, uint32_t id) {
    struct replica_board *board = &d->log->replicas[id];
    struct replica *r = control_new(d, o, id);
    if (r == NULL) {
        return TIDE_ERR_NOMEM;
    }
    foreign_release(d, id); /* the mapping of the replica that ran in this slot before */
    control_prepare_board(board, o, id, d->member);
    atomic_store(&r->delay_ns, o->role == TIDE_LEADER ? 0 : o->apply_delay_ns);
    int error = agree_join(r, o->table_bytes, o->role == TIDE_LEADER);
    error = error != 0 ? error : replica_make_table(r);
    if (error == 0) {
        d->running[id] = r;
        error = o->role == TIDE_LEADER ? control_start_leader(r) : control_start_follower(r);
        if (error != 0) {
            d->running[id] = NULL;
            view_hide(r->domain, &r->view);
            replica_drop_table(r);
            segment_unlink_of(d->dir, d->name, SEGMENT_TABLE, id, d->words.header.incarnation);
        }
    }
    if (error != 0) {
        control_free(r);
        return error;
    }
    return 0;
}

static int control_claim(struct tide *d, const struct tide_replica_opts *o) {
    int id = board_claim(d->log, o->id, d->member);
    if (id < 0 && reap_dead(d) != 0) {
        id = board_claim(d->log, o->id, d->member);
    }
    return id;
}

/* Another user may have made a file with the name of a slot's table; in /dev/shm nobody else can take that away. Then the next slot
 * is tried, the ones before it held meanwhile. */
static int control_start(struct tide *d, const struct tide_replica_opts *o, uint32_t *id_out) {
    if (o->role == TIDE_LEADER && d->seq.leader != NULL) {
        return TIDE_ERR_BUSY;
    }
    if (d->fed && d->feed == NULL && (o->role == TIDE_LEADER || o->candidate != 0)) {
        tide_logf(d, TIDE_LOG_ERROR,
                  "%s is fed by \"%s\": only a process that feeds it may lead it (tide_feed_open(), tide serve "
                  "--upstream); others follow",
                  d->name, d->words.source);
        return TIDE_ERR_FED;
    }
    uint64_t passed = 0;
    int error, id;
    do {
        id = control_claim(d, o);
        if (id < 0) {
            error = o->id >= 0 ? TIDE_ERR_BUSY : passed != 0 ? TIDE_ERR_FOREIGN : TIDE_ERR_SLOTS;
            break;
        }
        KILL_POINT("replica.claimed");
        error = control_start_in(d, o, (uint32_t)id);
        if (error != 0) {
            passed |= UINT64_C(1) << id;
            tide_log_fault(d, error);
        }
    } while (error == TIDE_ERR_FOREIGN && o->id < 0);
    for (; passed != 0; passed &= passed - 1) {
        board_set_state(&d->log->replicas[__builtin_ctzll(passed)], REPLICA_FREE);
    }
    if (error != 0) {
        return error;
    }
    *id_out = (uint32_t)id;
    return 0;
}

int tide_replica_start(struct tide *d, const struct tide_replica_opts *opts, uint32_t *id_out) {
    CANCEL_HOLD_OFF();
    static const struct tide_replica_opts defaults = TIDE_REPLICA_OPTS_INIT;
    struct tide_replica_opts room;
    const struct tide_replica_opts *o = &room;
    if (d == NULL || !SIZED_TAKE(&room, opts != NULL ? opts : &defaults, SIZED_REPLICA_OPTS) ||
        o->id >= (int32_t)LAYOUT_REPLICAS || o->candidate > 1 || o->apply_delay_ns > CONTROL_DELAY_MAX ||
        (o->role != TIDE_LEADER && o->role != TIDE_FOLLOWER) || (o->role == TIDE_LEADER && o->apply_delay_ns != 0) ||
        (o->table_bytes != 0 && (o->table_bytes < d->words.table_bytes || o->table_bytes > TABLE_BYTES_MAX))) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    if (d->read_only) {
        return TIDE_ERR_READ_ONLY;
    }
    fault_clear();
    uint32_t id = 0;
    pthread_mutex_lock(&d->control);
    int error = atomic_load(&d->closed) != 0 ? TIDE_ERR_CLOSED : control_start(d, o, &id);
    bool runs = error == 0;
    error = runs && o->candidate != 0 ? steward_start(d) : error;
    /* What was made for this replica and does not hold it is not left for a smaller one to fail by. (Nothing is written where the handle was
     * closed: tide_close() may be at its end in another thread.) */
    if (d->created && (error == TIDE_ERR_NO_SPACE || error == TIDE_ERR_NOMEM)) {
        d->stillborn = true;
    }
    lead_settle(d);
    if (error == TIDE_ERR_CLOSED && atomic_load(&d->closed) != 0) {
        error = -(int)atomic_load(&d->closed); /* the handle was closed, or the domain is gone */
    }
    pthread_mutex_unlock(&d->control);
    if (error == 0 && id_out != NULL) {
        *id_out = id;
    }
    if (error != 0 && runs) {
        tide_log_fault(d, error);
        control_stop(d, id, true); /* its steward has no thread: a candidate that could not take over is none */
    }
    return error;
}

static bool control_others_serve(const struct tide *d, uint32_t id) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &d->log->replicas[i];
        if (i != id && board_state(b) == REPLICA_SERVING &&
            member_lives(segment_fd(&d->segment), d->log, board_owner(b), d->member)) {
            return true;
        }
    }
    return false;
}

/* Leave the last copy of a domain that is to stay, for processes that come back. The state is stored before the
 * other replicas are looked at: of two processes that end at once, both may leave a copy, and one of them certainly
 * does. */
static bool control_leave_last(struct tide *d, uint32_t id) {
    uint32_t orphan = REPLICA_ORPHAN;
    atomic_store(&d->log->replicas[id].state, orphan);
    atomic_thread_fence(memory_order_seq_cst);
    KILL_POINT("stop.orphaned");
    return !control_others_serve(d, id) ||
           !atomic_compare_exchange_strong(&d->log->replicas[id].state, &orphan, REPLICA_CLAIMED);
}

int control_stop(struct tide *d, uint32_t id, bool keep) {
    pthread_mutex_lock(&d->control);
    struct replica *r = d->running[id];
    if (r == NULL || r->starting) {
        pthread_mutex_unlock(&d->control);
        return r == NULL ? TIDE_ERR_INVALID : TIDE_ERR_BUSY;
    }
    bool led = atomic_load(&r->leads);
    if (led) {
        takeover_unlead(d, r);
    } else {
        follower_end(r);
    }
    /* Nothing of a removed domain is kept: nobody would ever find a table that was made during the removal. */
    keep = keep && r->exact && board_state(r->view.board) == REPLICA_SERVING && !segment_is_unlinked(&d->segment);
    if (!keep) {
        /* The replica serves nothing more. Its slot, its watermarks and its file's name become free only when the
         * last reader that looks at them has left. A copy that may be kept stays SERVING: a process that died now
         * would lose it otherwise. */
        board_set_state(r->view.board, REPLICA_CLAIMED);
    }
    view_hide(r->domain, &r->view);
    d->running[id] = NULL;
    KILL_POINT("stop.hidden");
    replica_drop_table(r);
    if (!keep || !control_leave_last(d, id)) {
        segment_unlink_of(d->dir, d->name, SEGMENT_TABLE, id, d->words.header.incarnation);
        KILL_POINT("stop.unlinked");
        board_set_state(r->view.board, REPLICA_STOPPED);
    }
    if (led) {
        member_unlead(segment_fd(&d->segment)); /* the next leader finds the copy that was left */
        vigil_leave(d->log);
        park_rouse(&d->steward_word, INT32_MAX); /* another replica here may take over */
    }
    pthread_mutex_unlock(&d->control);
    control_free(r);
    return 0;
}

bool control_runs(struct tide *d) {
    bool any = false;
    pthread_mutex_lock(&d->control);
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        any = any || d->running[i] != NULL;
    }
    pthread_mutex_unlock(&d->control);
    return any;
}

int tide_replica_stop(struct tide *d, uint32_t id) {
    CANCEL_HOLD_OFF();
    if (d == NULL || id >= LAYOUT_REPLICAS) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    return rcu_inside() ? TIDE_ERR_THREAD : control_stop(d, id, false);
}

int tide_replica_set_delay(struct tide *d, uint32_t id, uint64_t apply_delay_ns) {
    CANCEL_HOLD_OFF();
    if (d == NULL || id >= LAYOUT_REPLICAS || apply_delay_ns > CONTROL_DELAY_MAX) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    pthread_mutex_lock(&d->control);
    struct replica *r = d->running[id];
    bool follower = r != NULL && !atomic_load(&r->leads);
    if (follower) {
        atomic_store(&r->delay_ns, apply_delay_ns); /* MO(replica.delay) */
        atomic_store(&r->view.board->apply_delay_ns, apply_delay_ns);
        park_rouse(&r->nudge, INT32_MAX);
    }
    pthread_mutex_unlock(&d->control);
    return follower ? 0 : TIDE_ERR_INVALID;
}
