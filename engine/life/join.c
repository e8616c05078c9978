/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a newcomer gets its data while everybody else works.
 *
 * It pins the ring at a position P that a donor has passed, and then copies the donor's table bucket by bucket. In between it
 * applies the log, so that its pin moves on and nobody has to wait for it, but never further than the donor has: a bucket
 * is always copied from a state that is at least as new as the log applied so far. Hence nothing that the log deleted
 * comes back by a later copy; and what the log puts before its bucket is copied is simply there twice. A node that is newer than
 * the log applied so far is not copied: the log brings it. So what the newcomer holds at any moment is a part of one state that
 * the log had, never of two together, and it needs no more memory than that state. Once all buckets are copied and the log
 * is applied up to the commit seen then, the state is exact: its digest proves it.
 *
 * Source: docs/design.md, section 7; the fuzzy copy is ARIES' fuzzy checkpoint with a redo log behind it.
 */
#include <stdlib.h>

#include "engine/life/join.h"
#include "engine/log/apply.h"
#include "engine/log/lane_notes.h"
#include "engine/replica/foreign.h"
#include "engine/table/kill.h"
#include "engine/table/rcu.h"
#include "engine/table/table_slots.h"
#include "shm/crc.h"
#include "shm/nap.h"
#include "shm/park.h"

#define JOIN_AHEAD 6u
#define JOIN_BUCKETS 64u /* copied in one section: some 400 keys */
#define JOIN_TRIES 100

static bool join_ends(const struct replica *r) {
    return atomic_load(&r->stop) != 0 || atomic_load(&r->domain->closed) != 0;
}

/* Replicas to copy from: those of this process, which need no validation, before others; what the dead left comes last. */
enum join_source { JOIN_LOCAL, JOIN_FOREIGN, JOIN_ORPHAN };

/* The mapping of slot `id` as it is now, if it is (still) such a source. Inside a section. */
static const struct view *join_donor(const struct replica *r, uint32_t id, enum join_source source) {
    const struct view *donor = view_current(r->domain, id);
    uint32_t wanted = source == JOIN_ORPHAN ? REPLICA_ORPHAN : REPLICA_SERVING;
    if (donor == NULL || donor == &r->view || donor->foreign != (source != JOIN_LOCAL) ||
        board_state(donor->board) != wanted) {
        return NULL;
    }
    return donor;
}

/* The source that has applied most of its kind: a newcomer starts where its donor is, and behind a slow one it would be the next
 * to be lapped. Its slot, or -1. Outside of sections. */
static int join_find(struct replica *r, enum join_source source) {
    uint32_t wanted = source == JOIN_ORPHAN ? REPLICA_ORPHAN : REPLICA_SERVING;
    int best = -1;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &r->domain->log->replicas[i];
        if (i == r->view.id || board_state(b) != wanted || (r->refused >> i & 1) != 0) {
            continue;
        }
        if (source != JOIN_LOCAL) {
            foreign_attach(r->domain, i);
        }
        rcu_enter();
        bool usable = join_donor(r, i, source) != NULL;
        rcu_exit();
        if (usable && (best < 0 || board_applied(b) > board_applied(&r->domain->log->replicas[best]))) {
            best = (int)i;
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
        uint64_t pos = atomic_load_explicit(&log->marks[i].pos, memory_order_acquire); /* MO(log.mark) */
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
    board_publish(r->view.board, r->applied, 0, r->pos);
    return board_pin(log, r->view.board, r->pos);
}

struct join_copy {
    struct replica *r;
    enum arena_status status;
};

static int join_copy_node(void *ctx, const struct table_node *n) {
    struct join_copy *copy = ctx;
    struct table_writer *w = &copy->r->writer;
    /* MO(node.index): relaxed; as the fields. */
    uint64_t index = atomic_load_explicit(&n->index, memory_order_relaxed);
    if (index > copy->r->applied) {
        return 0; /* the log brings it */
    }
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
    copy->status = table_publish(w, node, table_hash(&w->t, to, key_len), index, crc) == 0 ? ARENA_OK : ARENA_FULL;
    return copy->status == ARENA_OK ? 0 : -1;
}

static int join_copy_bytes(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len,
                           uint64_t index, uint32_t payload_crc) {
    struct join_copy *copy = ctx;
    struct table_writer *w = &copy->r->writer;
    (void)value; /* it lies behind the key */
    if (index > copy->r->applied) {
        return 0; /* the log brings it */
    }
    if (crc32c(0, key, key_len + value_len) != payload_crc) {
        copy->status = ARENA_FULL;
        return TIDE_ERR_CORRUPT;
    }
    uint32_t node;
    copy->status = table_node_new(w, key_len, value_len, &node);
    if (copy->status != ARENA_OK) {
        return -1;
    }
    uint8_t *to = table_node_key(table_node_at(&w->t, node));
    memcpy(to, key, key_len + value_len);
    copy->status =
        table_publish(w, node, table_hash(&w->t, to, key_len), index, payload_crc) == 0 ? ARENA_OK : ARENA_FULL;
    return copy->status == ARENA_OK ? 0 : -1;
}

/* How far a copy has come. */
struct join_state {
    uint32_t donor;
    enum join_source source;
    uint64_t next, last; /* buckets: the next one, and how many the donor has */
    uint64_t passed;     /* what the donor has applied */
    struct foreign_scratch scratch;
};

/* Ask memory for the nodes of a bucket that is copied soon, and for the bucket that this is done for next: the donor's nodes lie
 * anywhere, and one miss for each is most of what a copy costs. Nothing that is loaded here is believed. */
static void join_prefetch(const struct view *donor, uint64_t bucket, uint64_t last) {
    const struct table *t = &donor->table;
    if (bucket + JOIN_AHEAD >= last || last > donor->buckets_most) {
        return;
    }
    __builtin_prefetch(table_bucket_at(t, bucket + JOIN_AHEAD));
    const struct table_bucket *b = table_bucket_at(t, bucket);
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
        uint32_t node = atomic_load_explicit(&b->slots[i], memory_order_acquire); /* MO(table.slot) */
        if (node != 0) {
            const uint8_t *at = (const uint8_t *)table_node_at(t, node);
            __builtin_prefetch(at);
            __builtin_prefetch(at + LAYOUT_LINE);
        }
    }
}

/* Copy some buckets in one section. ARENA_WAIT, ARENA_FULL: memory. False when the donor is gone or damaged. */
static bool join_some(struct replica *r, struct join_state *j, enum arena_status *status) {
    struct join_copy copy = { r, ARENA_OK };
    int result = 0;
    rcu_enter();
    const struct view *donor = join_donor(r, j->donor, j->source);
    bool there = donor != NULL;
    if (there) {
        j->passed = board_applied(donor->board);
        /* MO(table.buckets): acquire; after `applied`. */
        j->last = atomic_load_explicit(&donor->table.seg->buckets, memory_order_acquire);
        KILL_POINT("join.counted");
        uint64_t end = j->next + JOIN_BUCKETS < j->last ? j->next + JOIN_BUCKETS : j->last;
        for (; j->next < end && result == 0; j->next += result == 0) {
            join_prefetch(donor, j->next + 2, j->last);
            /* A bucket that was not finished is copied again: what is there already is not newer. */
            result = donor->foreign
                         ? foreign_visit_bucket(donor, j->next, UINT64_MAX, &j->scratch, join_copy_bytes, &copy)
                         : table_visit_bucket(&donor->table, j->next, j->last, UINT64_MAX, join_copy_node, &copy);
        }
        KILL_POINT("join.slots");
        /* MO(table.buckets): acquire; again, after the slots: another process's donor does not wait for this section before it clears
         * what it moved, and what was not copied any more is in a bucket that was made meanwhile. */
        j->last = atomic_load_explicit(&donor->table.seg->buckets, memory_order_acquire);
        there = result != TIDE_ERR_CORRUPT && view_is_current(donor);
    }
    rcu_exit();
    *status = copy.status;
    KILL_POINT("join.copied");
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
    board_publish(r->view.board, 0, 0, 0);
    return board_pin(log, r->view.board, 0) ? 0 : TIDE_ERR_BUSY;
}

/* Pin the ring where the source's log goes on. What an orphan left is taken only if its digest proves it. */
static int join_begin(struct replica *r, struct join_state *j) {
    struct log_segment *log = r->domain->log;
    rcu_enter();
    const struct view *donor = join_donor(r, j->donor, j->source);
    int error = donor == NULL ? TIDE_ERR_BUSY : 0;
    uint64_t passed = donor != NULL ? board_applied(donor->board) : 0;
    uint64_t pos = donor != NULL ? board_pos(donor->board) : 0;
    if (error == 0 && j->source == JOIN_ORPHAN) {
        error = foreign_verify(donor);
    }
    if (error == 0) {
        lane_copy_notes(r->writer.t.seg, donor->table.seg);
    }
    rcu_exit();
    if (error == TIDE_ERR_CORRUPT || error == TIDE_ERR_DIVERGED) {
        tide_logf(r->domain, TIDE_LOG_ERROR, "replica %u: what replica %u left is damaged: not used", r->view.id,
                  j->donor);
        r->refused |= UINT64_C(1) << j->donor;
        return TIDE_ERR_BUSY;
    }
    if (error != 0) {
        return error;
    }
    if (!join_pin(r, passed)) {
        if (j->source != JOIN_ORPHAN) {
            return TIDE_ERR_BUSY;
        }
        /* Its own position, where no mark is left: right, unless it died between two stores of board_publish(). */
        r->applied = r->published = passed;
        r->pos = pos;
        board_publish(r->view.board, r->applied, 0, r->pos);
        return board_pin(log, r->view.board, r->pos) ? 0 : TIDE_ERR_NO_REPLICA;
    }
    /* What the donor knew before the pin is in its notes now; what came after is applied from the log. */
    rcu_enter();
    donor = join_donor(r, j->donor, j->source);
    if (donor != NULL) {
        lane_copy_notes(r->writer.t.seg, donor->table.seg);
    }
    rcu_exit();
    return donor != NULL ? 0 : TIDE_ERR_BUSY;
}

static int join_copy_all(struct replica *r, struct join_state *j) {
    uint64_t due;
    while (j->next < j->last) {
        enum arena_status room;
        if (!join_some(r, j, &room)) {
            return TIDE_ERR_BUSY; /* the donor went away: take another */
        }
        /* Nobody reads here yet, so what was replaced may go as soon as a grace period has passed. */
        table_published(&r->writer);
        if (room == ARENA_FULL || (room == ARENA_WAIT && !table_drain(&r->writer))) {
            return TIDE_ERR_FULL;
        }
        enum apply_status status = apply_catch_up(r, j->passed, &due);
        if (status != APPLY_OK) {
            return join_error(status);
        }
        if (join_ends(r)) {
            return TIDE_ERR_CLOSED;
        }
    }
    return 0;
}

static int join_from_donor(struct replica *r) {
    int found = -1;
    struct join_state j = { .last = 1 };
    for (int source = JOIN_LOCAL; source <= JOIN_ORPHAN && found < 0; source++) {
        j.source = (enum join_source)source;
        found = join_find(r, j.source);
    }
    if (found < 0) {
        return TIDE_ERR_NO_REPLICA;
    }
    j.donor = (uint32_t)found;
    KILL_POINT("join.found");
    int error = join_begin(r, &j);
    KILL_POINT("join.pinned");
    if (error == 0) {
        atomic_fetch_add_explicit(&r->view.board->joins, 1, memory_order_relaxed); /* MO(stats) */
        error = join_copy_all(r, &j);
    }
    free(j.scratch.bytes);
    return error;
}

/* Apply what is committed now; with that the state is exact. */
static int join_finish(struct replica *r) {
    uint64_t commit = board_commit(r->domain->log), due;
    /* A replica that shows the past is exact as soon as it is past what was copied too new: entries that are not due
     * yet wait, and it serves when they have been applied. */
    for (;;) {
        enum apply_status status = apply_catch_up(r, commit, &due);
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
    KILL_POINT("join.caught_up");
    replica_publish(r, r->last_ts);
    return board_change_state(r->view.board, REPLICA_JOINING, REPLICA_SERVING) ? 0 : TIDE_ERR_BUSY;
}

static int join_once(struct replica *r) {
    /* Looking is enough: board_pin() refuses when it was given up in between. */
    bool whole = atomic_load(&r->domain->log->leader.reclaimed) == 0;
    int error = whole ? join_replay(r) : join_from_donor(r);
    if (error == TIDE_ERR_NO_REPLICA && !whole && atomic_load(&r->domain->log->leader.reclaimed) == 0) {
        error = TIDE_ERR_BUSY; /* the leader had raised it for a moment and taken it back: ring_reclaim() */
    }
    return error != 0 ? error : join_finish(r);
}

/* Nothing was put into the table yet. What an earlier join left halfway may be deleted by now. */
static bool join_is_fresh(const struct replica *r) {
    return r->view.segment.base != NULL && r->writer.keys == 0 && r->applied == 0;
}

static int join_clear(struct replica *r) {
    board_set_state(r->view.board, REPLICA_CLAIMED);
    replica_drop_table(r);
    return replica_make_table(r);
}

int join_replica(struct replica *r) {
    for (int tries = 0;; tries++) {
        int error = join_is_fresh(r) ? 0 : join_clear(r);
        if (error != 0) {
            board_set_state(r->view.board, REPLICA_FAILED);
            return error;
        }
        error = join_once(r);
        if (error == 0) {
            view_show(r->domain, &r->view);
            return 0;
        }
        /* Nobody waits for one that served before: it may try for as long as it takes. */
        bool served_before = atomic_load(&r->started) != 0;
        if (error != TIDE_ERR_BUSY || (tries >= JOIN_TRIES && !served_before) || join_ends(r)) {
            board_set_state(r->view.board, REPLICA_FAILED);
            return error == TIDE_ERR_BUSY ? TIDE_ERR_NO_REPLICA : error;
        }
        /* Lapped, or the donor went away: anew, from an empty table. */
        if (tries >= JOIN_TRIES / 2) {
            park_nap(1000000);
        }
        replica_drop_table(r);
    }
}
