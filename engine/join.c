/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a newcomer gets its data while everybody else works.
 *
 * It pins the ring at a position P that a donor has passed, and then copies the donor's table bucket by bucket, each
 * node at whatever index it has just then. In between it applies the log, so that its pin moves on and nobody has to
 * wait for it, but never further than the donor has: a bucket is always copied from a state that is at least as new
 * as the log applied so far. Hence nothing that the log deleted comes back by a later copy; what is copied too new
 * meets older entries, which never replace it; and what the log puts before its bucket is copied is simply there
 * twice. Once all buckets are copied and the log is applied up to the commit seen then, the state is exact: its
 * digest proves it.
 *
 * Source: docs/design.md, section 7; the fuzzy copy is ARIES' fuzzy checkpoint with a redo log behind it.
 */
#include "engine/rcu.h"
#include "engine/replica.h"
#include "shm/nap.h"
#include "shm/park.h"

#define JOIN_BUCKETS 64u /* copied in one section: some 400 keys */
#define JOIN_TRIES 100

static bool join_ends(const struct replica *r) {
    return atomic_load(&r->stop) != 0 || atomic_load(&r->domain->closed) != 0;
}

/* A serving replica of this process to copy from, or NULL. Inside a section. The one that is furthest: a newcomer
 * starts where its donor is, and behind a slow one it would be the next to be lapped. */
static struct replica *join_donor(const struct replica *r, int32_t only) {
    struct replica *best = NULL;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        /* MO(domain.replica): acquire; pairs with replica_show(). */
        struct replica *donor = atomic_load_explicit(&r->domain->replicas[i], memory_order_acquire);
        if (donor != NULL && donor != r && (only < 0 || (uint32_t)only == i) &&
            board_state(donor->board) == REPLICA_SERVING &&
            (best == NULL || board_applied(donor->board) > board_applied(best->board))) {
            best = donor;
        }
    }
    return best;
}

/* Pin at the newest frame start that is known and that the donor has passed. */
static bool join_pin(struct replica *r, uint64_t donor_applied) {
    struct log_segment *log = r->domain->log;
    uint64_t best_index = 0, best_pos = 0;
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        /* MO(log.mark): acquire; pairs with ring_leave_mark(). The same index before and after is a pair. */
        uint64_t index = atomic_load_explicit(&log->marks[i].index, memory_order_acquire);
        uint64_t pos = atomic_load_explicit(&log->marks[i].pos, memory_order_acquire);            /* MO(log.mark) */
        if (index > best_index && index <= donor_applied + 1 &&
            atomic_load_explicit(&log->marks[i].index, memory_order_relaxed) == index) { /* MO(log.mark) */
            best_index = index;
            best_pos = pos;
        }
    }
    if (best_index == 0) {
        return false;
    }
    r->applied = r->published = best_index - 1;
    r->pos = best_pos;
    board_publish(r->board, r->applied, 0, r->pos);
    return board_pin(log, r->board, r->pos);
}

struct join_copy {
    struct replica *r;
    enum arena_status status;
};

static int join_copy_node(void *ctx, const struct table_node *n) {
    struct join_copy *copy = ctx;
    struct table_writer *w = &copy->r->writer;
    /* MO(node.fields): relaxed; the donor's section is open. */
    size_t key_len = atomic_load_explicit(&n->key_len, memory_order_relaxed);
    size_t value_len = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    uint32_t crc = atomic_load_explicit(&n->crc, memory_order_relaxed);           /* MO(node.fields) */
    uint32_t node;
    copy->status = table_node_new(w, key_len, value_len, &node);
    if (copy->status != ARENA_OK) {
        return -1;
    }
    uint8_t *to = table_node_key(table_node_at(&w->t, node));
    memcpy(to, table_node_key(n), key_len + value_len);
    /* MO(node.index): relaxed; as the fields. */
    uint64_t index = atomic_load_explicit(&n->index, memory_order_relaxed);
    copy->status = table_publish(w, node, table_hash(&w->t, to, key_len), index, crc) == 0 ? ARENA_OK : ARENA_FULL;
    return copy->status == ARENA_OK ? 0 : -1;
}

/* Copy some buckets in one section. *next is advanced past what was copied; *last: the donor's number of buckets;
 * *passed: what the donor has applied. False when the donor is gone. */
static bool join_some(struct replica *r, uint32_t donor_id, uint64_t *next, uint64_t *last, uint64_t *passed,
                      enum arena_status *status) {
    struct join_copy copy = {r, ARENA_OK};
    rcu_enter();
    struct replica *donor = join_donor(r, (int32_t)donor_id);
    bool there = donor != NULL;
    if (there) {
        *passed = board_applied(donor->board);
        /* MO(table.buckets): acquire; after `applied`. */
        *last = atomic_load_explicit(&donor->table.seg->buckets, memory_order_acquire);
        uint64_t end = *next + JOIN_BUCKETS < *last ? *next + JOIN_BUCKETS : *last;
        for (; *next < end; (*next)++) {
            if (table_visit_bucket(&donor->table, *next, *last, UINT64_MAX, join_copy_node, &copy) != 0) {
                break; /* this bucket is copied again: what is there already is not newer */
            }
        }
    }
    rcu_exit();
    *status = copy.status;
    return there;
}

static int join_error(enum apply_status status) {
    switch (status) {
    case APPLY_OK:
        return 0;
    case APPLY_LAPPED:
        return TIDE_ERR_BUSY;
    case APPLY_CORRUPT:
        return TIDE_ERR_CORRUPT;
    default:
        return TIDE_ERR_FULL;
    }
}

/* The whole log is still in the ring: apply it. */
static int join_replay(struct replica *r) {
    struct log_segment *log = r->domain->log;
    board_publish(r->board, 0, 0, 0);
    return board_pin(log, r->board, 0) ? 0 : TIDE_ERR_BUSY;
}

static int join_from_donor(struct replica *r) {
    rcu_enter();
    struct replica *donor = join_donor(r, -1);
    uint32_t id = donor != NULL ? donor->id : 0;
    uint64_t passed = donor != NULL ? board_applied(donor->board) : 0;
    rcu_exit();
    if (donor == NULL) {
        return TIDE_ERR_NO_REPLICA;
    }
    if (!join_pin(r, passed)) {
        return TIDE_ERR_BUSY;
    }
    atomic_fetch_add_explicit(&r->board->joins, 1, memory_order_relaxed); /* MO(stats) */
    uint64_t next = 0, last = 1, due;
    while (next < last) {
        enum arena_status room;
        if (!join_some(r, id, &next, &last, &passed, &room)) {
            return TIDE_ERR_BUSY; /* the donor went away: take another */
        }
        /* Nobody reads here yet, so what was replaced may go as soon as a grace period has passed. */
        table_published(&r->writer);
        if (room == ARENA_FULL || (room == ARENA_WAIT && !table_drain(&r->writer))) {
            return TIDE_ERR_FULL;
        }
        enum apply_status status = replica_catch_up(r, passed, &due);
        if (status != APPLY_OK) {
            return join_error(status);
        }
        if (join_ends(r)) {
            return TIDE_ERR_CLOSED;
        }
    }
    return 0;
}

/* Apply what is committed now; with that the state is exact. */
static int join_finish(struct replica *r) {
    uint64_t commit = board_commit(r->domain->log), due;
    /* A replica that shows the past is exact as soon as it is past what was copied too new: entries that are not due
     * yet wait, and it serves when they have been applied. */
    for (;;) {
        enum apply_status status = replica_catch_up(r, commit, &due);
        if (status != APPLY_OK) {
            return join_error(status);
        }
        if (join_ends(r)) {
            return TIDE_ERR_CLOSED;
        }
        if (due == 0) {
            break;
        }
        park_nap(1000000);
    }
    r->exact = true;
    replica_publish(r, r->last_ts);
    return board_change_state(r->board, REPLICA_JOINING, REPLICA_SERVING) ? 0 : TIDE_ERR_BUSY;
}

static int join_once(struct replica *r) {
    /* Looking is enough: board_pin() refuses when it was given up in between. */
    bool whole = atomic_load(&r->domain->log->leader.reclaimed) == 0;
    int error = whole ? join_replay(r) : join_from_donor(r);
    return error != 0 ? error : join_finish(r);
}

int replica_join(struct replica *r) {
    for (int tries = 0;; tries++) {
        int error = join_once(r);
        if (error == 0) {
            replica_show(r);
            return 0;
        }
        /* Nobody waits for one that served before: it may try for as long as it takes. */
        bool served_before = atomic_load(&r->started) != 0;
        if (error != TIDE_ERR_BUSY || (tries >= JOIN_TRIES && !served_before) || join_ends(r)) {
            board_set_state(r->board, REPLICA_FAILED);
            return error == TIDE_ERR_BUSY ? TIDE_ERR_NO_REPLICA : error;
        }
        /* Lapped, or the donor went away: anew, from an empty table. */
        if (tries >= JOIN_TRIES / 2) {
            park_nap(1000000);
        }
        board_set_state(r->board, REPLICA_CLAIMED);
        replica_drop_table(r);
        error = replica_make_table(r);
        if (error != 0) {
            board_set_state(r->board, REPLICA_FAILED);
            return error;
        }
    }
}
