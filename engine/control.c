/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Starting and stopping replicas. */
#include <stdlib.h>
#include <unistd.h>

#include "engine/replica.h"
#include "engine/sequencer.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/member.h"
#include "shm/park.h"

#define CONTROL_DELAY_MAX UINT64_C(3600000000000)

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
    r->segment = (struct segment)SEGMENT_INIT;
    r->domain = d;
    r->id = id;
    r->leader = o->role == TIDE_LEADER;
    r->cpu = o->cpu;
    r->board = &d->log->replicas[id];
    r->table_bytes = o->table_bytes != 0 ? o->table_bytes : d->log->table_bytes;
    r->scratch = malloc(TIDE_KEY_MAX);
    if (r->scratch == NULL) {
        free(r);
        return NULL;
    }
    return r;
}

static void control_label(struct replica_board *b, const struct tide_replica_opts *o, uint32_t id) {
    char label[LAYOUT_LABEL] = {0};
    if (o->label != NULL) {
        strncpy(label, o->label, sizeof(label) - 1);
    } else {
        label[0] = 'r';
        label[1] = (char)(id < 10 ? '0' + id : '0' + id / 10);
        label[2] = (char)(id < 10 ? 0 : '0' + id % 10);
    }
    bytes_store_racy(b->label, label, sizeof(label)); /* somebody may be looking at the slot */
}

static void control_prepare_board(struct replica_board *b, const struct tide_replica_opts *o, uint32_t id) {
    control_label(b, o, id);
    atomic_store(&b->applied, 0);
    atomic_store(&b->applied_ts, 0);
    atomic_store(&b->role, o->role);
    atomic_store(&b->apply_delay_ns, o->role == TIDE_LEADER ? 0 : o->apply_delay_ns);
    atomic_store(&b->pid, (uint32_t)getpid());
    atomic_store(&b->entries, 0);
    atomic_store(&b->joins, 0);
    atomic_store(&b->lapped, 0);
}

/* The caller's thread joins, and the replica leads from then on. */
static int control_start_leader(struct replica *r) {
    struct tide *d = r->domain;
    if (!member_lead(d->segment.fd)) {
        return TIDE_ERR_BUSY;
    }
    int error = replica_join(r);
    if (error != 0) {
        member_unlead(d->segment.fd);
        return error;
    }
    /* A log that somebody led before gets a term entry, so that the change can be seen in it; a new one starts with the
     * first write at index 1. */
    uint32_t term = atomic_load(&d->log->leader.term) + 1;
    seq_lead(d, r, term, term > 1);
    return 0;
}

static int control_start_follower(struct replica *r) {
    if (pthread_create(&r->thread, NULL, follower_run, r) != 0) {
        return TIDE_ERR_NOMEM;
    }
    while (atomic_load(&r->started) == 0) {
        park_wait(&r->started, 0, UINT64_MAX);
    }
    if (r->start_error != 0) {
        pthread_join(r->thread, NULL);
    }
    return r->start_error;
}

static int control_start(struct tide *d, const struct tide_replica_opts *o, uint32_t *id_out) {
    if (o->role == TIDE_LEADER && d->seq.leader != NULL) {
        return TIDE_ERR_BUSY;
    }
    int id = board_claim(d->log, o->id);
    if (id < 0) {
        return o->id < 0 ? TIDE_ERR_SLOTS : TIDE_ERR_BUSY;
    }
    struct replica_board *board = &d->log->replicas[id];
    struct replica *r = control_new(d, o, (uint32_t)id);
    if (r == NULL) {
        board_set_state(board, REPLICA_FREE);
        return TIDE_ERR_NOMEM;
    }
    control_prepare_board(board, o, (uint32_t)id);
    int error = replica_make_table(r);
    if (error == 0) {
        d->running[id] = r;
        error = r->leader ? control_start_leader(r) : control_start_follower(r);
        if (error != 0) {
            d->running[id] = NULL;
            replica_hide(r);
            replica_drop_table(r);
            segment_unlink(d->name, SEGMENT_TABLE, (uint32_t)id);
        }
    }
    if (error != 0) {
        board_set_state(board, REPLICA_FREE);
        control_free(r);
        return error;
    }
    if (id_out != NULL) {
        *id_out = (uint32_t)id;
    }
    return 0;
}

int tide_replica_start(struct tide *d, const struct tide_replica_opts *opts, uint32_t *id_out) {
    static const struct tide_replica_opts defaults = TIDE_REPLICA_OPTS_INIT;
    const struct tide_replica_opts *o = opts != NULL ? opts : &defaults;
    if (d == NULL || o->size < sizeof(*o) || o->id >= (int32_t)LAYOUT_REPLICAS || o->reserved != 0 ||
        o->apply_delay_ns > CONTROL_DELAY_MAX || (o->role != TIDE_LEADER && o->role != TIDE_FOLLOWER) ||
        (o->role == TIDE_LEADER && o->apply_delay_ns != 0) ||
        (o->table_bytes != 0 && (o->table_bytes < d->log->table_bytes || o->table_bytes > TABLE_BYTES_MAX))) {
        return TIDE_ERR_INVALID;
    }
    pthread_mutex_lock(&d->control);
    int error = atomic_load(&d->closed) != 0 ? TIDE_ERR_CLOSED : control_start(d, o, id_out);
    pthread_mutex_unlock(&d->control);
    return error;
}

static void control_end_thread(struct replica *r) {
    atomic_store(&r->stop, 1);
    atomic_fetch_add(&r->nudge, 1);
    park_wake(&r->nudge, INT32_MAX);
    atomic_fetch_add(&r->domain->log->leader.wake, 1);
    park_wake(&r->domain->log->leader.wake, INT32_MAX);
    pthread_join(r->thread, NULL);
}

int tide_replica_stop(struct tide *d, uint32_t id) {
    if (d == NULL || id >= LAYOUT_REPLICAS) {
        return TIDE_ERR_INVALID;
    }
    pthread_mutex_lock(&d->control);
    struct replica *r = d->running[id];
    if (r == NULL) {
        pthread_mutex_unlock(&d->control);
        return TIDE_ERR_INVALID;
    }
    if (r->leader) {
        seq_unlead(d);
        member_unlead(d->segment.fd);
    } else {
        control_end_thread(r);
    }
    /* Serves nothing more; but the slot, its watermarks and its file's name are free for another only when the last
     * reader that looks at them has left. */
    board_set_state(r->board, REPLICA_CLAIMED);
    replica_hide(r);
    d->running[id] = NULL;
    replica_drop_table(r);
    segment_unlink(d->name, SEGMENT_TABLE, id);
    board_set_state(r->board, REPLICA_STOPPED);
    pthread_mutex_unlock(&d->control);
    control_free(r);
    return 0;
}

int tide_replica_set_delay(struct tide *d, uint32_t id, uint64_t apply_delay_ns) {
    if (d == NULL || id >= LAYOUT_REPLICAS || apply_delay_ns > CONTROL_DELAY_MAX) {
        return TIDE_ERR_INVALID;
    }
    pthread_mutex_lock(&d->control);
    struct replica *r = d->running[id];
    bool follower = r != NULL && !r->leader;
    if (follower) {
        atomic_store(&r->board->apply_delay_ns, apply_delay_ns); /* MO(replica.delay) */
        atomic_fetch_add(&r->nudge, 1);
        park_wake(&r->nudge, INT32_MAX);
    }
    pthread_mutex_unlock(&d->control);
    return follower ? 0 : TIDE_ERR_INVALID;
}
