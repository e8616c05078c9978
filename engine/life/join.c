/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a newcomer gets its data while writers, readers and followers go on.
 *
 * The newcomer pins the ring at a position P that its donor has passed. Then it copies the donor's table bucket by
 * bucket. Between buckets it applies the log, so that its pin moves on and nobody waits for it; but never further than
 * the donor has applied. So every bucket is copied from a state at least as new as the log that was applied so far. It
 * follows: nothing that the log deleted comes back by a later copy; and a key that the log puts before its bucket is
 * copied is put twice, with the same result. A node newer than the log applied so far is not copied: the log brings it.
 * So what the newcomer holds at any moment is a part of one state that the log had, never of two together, and needs no
 * more memory than that state. Once all buckets are copied and the log is applied up to the commit seen then, the state
 * is exact: its digest proves it.
 *
 * Source: docs/design.md, *Joining*; the fuzzy copy is ARIES' fuzzy checkpoint with a redo log behind it.
 */
#include <stdlib.h>

#include "engine/life/join.h"
#include "engine/life/join_quick.h"
#include "engine/log/apply.h"
#include "engine/log/lane_notes.h"
#include "engine/replica/foreign.h"
#include "engine/replica/key_text.h"
#include "engine/replica/visit.h"
#include "engine/table/compact.h"
#include "engine/table/evict.h"
#include "engine/table/kill.h"
#include "engine/table/rcu.h"
#include "engine/table/table_slots.h"
#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/fault.h"
#include "shm/member.h"
#include "shm/nap.h"
#include "shm/park.h"

#define JOIN_BUCKETS 64u /* copied in one section: some 400 keys */
#define JOIN_TRIES 100
/* For the nodes of one bucket memory is waited for at most so often. A donor whose words another process changed may have more than any table holds,
 * and each publication lets compaction begin anew. */
#define JOIN_WAITS 1000u
#define JOIN_LAPS 8u                           /* that count for as many tries */
#define JOIN_REST_MOST_NS UINT64_C(1600000000) /* after a lap: 16 times what the leader waits for it at most */
#define JOIN_DAMAGED 8u /* the log could not be read from where the join began: another place is tried so often */

uint64_t join_patience_ns = UINT64_C(10000000000);

static bool join_ends(const struct replica *r) {
    return atomic_load(&r->stop) || atomic_load(&r->domain->closed) != 0;
}

/* Which replicas to copy from, in this order: those of this process, which need no validation; those of other
 * processes; what the dead left. */
enum join_source { JOIN_LOCAL, JOIN_FOREIGN, JOIN_ORPHAN };

/* The view of slot `id` as it is now, if it is still such a source. Inside a section. */
static const struct view *join_donor(const struct replica *r, uint32_t id, enum join_source source) {
    const struct view *donor = view_current(r->domain, id);
    uint32_t wanted = source == JOIN_ORPHAN ? REPLICA_ORPHAN : REPLICA_SERVING;
    if (donor == NULL || donor == &r->view || donor->foreign != (source != JOIN_LOCAL) ||
        board_state(donor->board) != wanted) {
        return NULL;
    }
    return donor;
}

/* Replica `id` cannot be looked at: by this process, perhaps, which has no descriptor left, say. That is told, and what ends the join
 * then is this and not that there is no donor. */
static int join_trouble(struct replica *r, uint32_t id, int error) {
    if (error == 0 || error == TIDE_ERR_NO_REPLICA || error == TIDE_ERR_CLOSED || error == TIDE_ERR_GONE) {
        return 0;
    }
    if (r->trouble != error) { /* once, while it stays the same */
        r->trouble = error;
        tide_logf(r->domain, TIDE_LOG_ERROR, "replica %u: replica %u cannot be copied from: %s", r->view.id, id,
                  tide_strerror(error));
        tide_log_fault(r->domain, error);
        fault_clear();
    }
    return error == TIDE_ERR_SYSTEM || error == TIDE_ERR_NOMEM ? error : 0;
}

/* Has the replica gone since `segment_id` was loaded, between the look at its slot and its mapping? Its slot says so, or the dead's table is
 * removed, which is before their slot is free. That is no trouble: there may be others. */
static bool join_went(const struct replica *r, uint32_t id, uint32_t wanted, uint64_t segment_id, int error) {
    const struct tide *d = r->domain;
    const struct replica_board *b = &d->log->replicas[id];
    bool same = board_state(b) == wanted && atomic_load(&b->segment_id) == segment_id;
    return !same ||
           (error == TIDE_ERR_NO_DOMAIN && !member_lives(segment_fd(&d->segment), d->log, board_owner(b), d->member));
}

/* Find the source of this kind that has applied most. A newcomer starts where its donor is, and behind a slow donor
 * it would be the next to be lapped. Returns the slot, or -1. Outside of sections. */
static int join_find(struct replica *r, enum join_source source, int *trouble) {
    uint32_t wanted = source == JOIN_ORPHAN ? REPLICA_ORPHAN : REPLICA_SERVING;
    int best = -1;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica_board *b = &r->domain->log->replicas[i];
        if (i == r->view.id || board_state(b) != wanted || (r->refused >> i & 1) != 0) {
            continue;
        }
        if (source != JOIN_LOCAL) {
            uint64_t segment_id = atomic_load(&b->segment_id);
            int error = foreign_attach(r->domain, i);
            error = error == 0 || join_went(r, i, wanted, segment_id, error) ? 0 : join_trouble(r, i, error);
            *trouble = error != 0 ? error : *trouble;
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

/* Pin the ring at the newest mark that the donor has passed. */
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

/* Put a node of the donor into our table. Its bytes do not change any more. */
static inline int join_put(struct join_copy *copy, const struct visited *from, uint64_t hash) {
    struct table_writer *w = &copy->r->writer;
    /* A second copy would take the room that the next node waits for, each time. */
    if (__builtin_expect(copy->again, 0) && table_current(w, hash, from->key, from->key_len) >= from->index) {
        return 0;
    }
    if (crc32c_short(0, from->key, from->payload_bytes) != from->payload_crc) {
        copy->damaged = true;
        (void)key_text(copy->key, from->key, from->key_len);
        return TIDE_ERR_CORRUPT;
    }
    uint32_t node;
    size_t extra = from->payload_bytes - from->key_len - from->value_len;
    copy->status = table_node_new(w, from->key_len, node_word(from->value_len, extra), &node);
    if (copy->status != ARENA_OK) {
        return -1;
    }
    compact_placed(w);
    bytes_copy(table_node_key(table_node_at(&w->t, node)), from->key, from->payload_bytes);
    if (__builtin_expect((from->flags & NODE_KEEP) != 0, 0)) {
        table_node_keep(table_node_at(&w->t, node));
    }
    copy->status = table_publish(w, node, hash, from->index, from->payload_crc) == 0 ? ARENA_OK : ARENA_FULL;
    return copy->status == ARENA_OK ? 0 : -1;
}

/* A node of another process's table: a checked copy. */
static int join_put_foreign(void *ctx, const struct visited *from) {
    struct join_copy *copy = ctx;
    if (from->index > copy->r->applied) {
        return 0; /* the log brings it */
    }
    return join_put(copy, from, table_hash(&copy->r->writer.t, from->key, from->key_len));
}

/* A node of this process's own table stays whole while the section is open. Tables of one domain have one hash. */
static int join_put_local(void *ctx, const struct table_node *n, const struct table_lengths *len, uint64_t hash) {
    struct join_copy *copy = ctx;
    const struct visited from = visit_of_node(n, len);
    copy->scratch->total += NODE_HEADER_BYTES + from.payload_bytes;
    if (copy->scratch->total > copy->most) {
        return TIDE_ERR_CORRUPT; /* buckets that are chained to one another, say */
    }
    return from.index > copy->r->applied ? 0 : join_put(copy, &from, hash);
}

static int join_bucket(struct join_copy *copy, const struct view *donor, uint64_t bucket, uint64_t buckets) {
    if (!copy->again) {
        uint64_t before = copy->scratch->total;
        if (__builtin_expect(join_quick(copy, donor, bucket, buckets), 1)) {
            return 0;
        }
        copy->scratch->total = before;
        copy->again = true;
    }
    return donor->foreign ? foreign_visit_bucket(donor, bucket, UINT64_MAX, copy->scratch, join_put_foreign, copy)
                          : table_visit_bucket(&donor->table, bucket, buckets, UINT64_MAX, join_put_local, copy);
}

/* How far a copy has come. */
struct join_state {
    uint32_t donor;
    enum join_source source;
    uint64_t next, last; /* buckets: the next one, and how many the donor has */
    uint64_t passed;     /* what the donor has applied */
    uint32_t waits;      /* so often the next one had no room */
    struct foreign_scratch scratch;
};

/* What the donor has cannot be, or its bytes are not those that were written. Once may be bad luck with one that changes fast. */
static void join_blame(struct replica *r, const struct join_state *j, const char *key, bool certain) {
    uint64_t bit = UINT64_C(1) << j->donor;
    bool tells = certain || (r->doubted & bit) != 0;
    if (tells && key != NULL) {
        tide_logf(r->domain, TIDE_LOG_ERROR,
                  "replica %u: what replica %u has is damaged, for key %s: not copied; put or delete that key",
                  r->view.id, j->donor, key);
    } else if (tells) {
        tide_logf(r->domain, TIDE_LOG_ERROR,
                  "replica %u: what replica %u has is damaged, in its bucket %llu: not copied", r->view.id, j->donor,
                  (unsigned long long)j->next);
    }
    r->refused |= tells ? bit : 0;
    r->doubted |= bit;
}

/* Copy some buckets in one section. False: the donor is gone or damaged. *status: ARENA_WAIT or ARENA_FULL where
 * memory ran out. */
static bool join_some(struct replica *r, struct join_state *j, enum arena_status *status) {
    struct join_copy copy = {
        .r = r, .scratch = &j->scratch, .bytes = NODE_HEADER_BYTES, .status = ARENA_OK, .again = j->waits != 0
    };
    int result = 0;
    rcu_enter();
    const struct view *donor = join_donor(r, j->donor, j->source);
    bool there = donor != NULL;
    if (there) {
        j->passed = board_applied(donor->board);
        copy.most = FOREIGN_TIMES * donor->segment.size_bytes;
        j->last = foreign_buckets(donor); /* after `applied` */
        result = j->last == 0 ? TIDE_ERR_CORRUPT : 0;
        KILL_POINT("join.counted");
        uint64_t end = j->next + JOIN_BUCKETS < j->last ? j->next + JOIN_BUCKETS : j->last;
        for (; j->next < end && result == 0; j->next += result == 0) {
            /* A bucket for which there was no room is copied again, and counts once. */
            uint64_t before = j->scratch.total;
            result = join_bucket(&copy, donor, j->next, j->last);
            copy.again = copy.status != ARENA_OK;
            j->waits = copy.again ? j->waits + 1 : 0;
            j->scratch.total = copy.again ? before : j->scratch.total;
        }
        table_note_came(&r->writer);
        KILL_POINT("join.slots");
        /* Again, after the slots: another process's donor does not wait for this section before it clears what it moved, and what was not
         * copied any more is in a bucket that was made meanwhile. */
        j->last = foreign_buckets(donor);
        bool damaged =
            result == TIDE_ERR_CORRUPT || j->last == 0 || (!donor->foreign && table_is_damaged(&donor->table));
        there = !damaged && view_is_current(donor);
        if (damaged && view_is_current(donor)) {
            join_blame(r, j, copy.damaged ? copy.key : NULL, !donor->foreign || copy.damaged);
        }
        if (damaged && !donor->foreign) {
            table_note_damage(&donor->table, table_bucket_at(&donor->table, j->next), "a value in its table");
            replica_stop_serving(replica_of(donor));
        }
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

/* Pin the ring where the source's log goes on. An orphan's table is used only if its digest proves it. */
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
        lane_copy_notes(r, donor);
        source_copy_notes(r, donor);
    }
    rcu_exit();
    if (error == TIDE_ERR_CORRUPT || error == TIDE_ERR_DIVERGED) {
        join_blame(r, j, NULL, true);
        return TIDE_ERR_BUSY;
    }
    if (error != 0) {
        return error;
    }
    if (!join_pin(r, passed)) {
        if (j->source != JOIN_ORPHAN) {
            return TIDE_ERR_BUSY;
        }
        /* No mark is left, so take the orphan's own position. It is right, unless its process died between two
         * stores of board_publish(). */
        r->applied = r->published = passed;
        r->pos = pos;
        board_publish(r->view.board, r->applied, 0, r->pos);
        return board_pin(log, r->view.board, r->pos) ? 0 : TIDE_ERR_NO_REPLICA;
    }
    /* Copy the donor's notes of lanes again. They hold what the donor knew before the pin; what came after is
     * applied from the log. */
    rcu_enter();
    donor = join_donor(r, j->donor, j->source);
    if (donor != NULL) {
        lane_copy_notes(r, donor);
        source_copy_notes(r, donor);
        table_expect(&r->writer, foreign_buckets(donor));
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
        if (table_is_damaged(&r->writer.t)) {
            return TIDE_ERR_BUSY; /* its own, meanwhile: into another one */
        }
        /* No reader is here yet, so replaced nodes may be reused as soon as a grace period has passed. */
        table_published(&r->writer);
        if (room == ARENA_FULL || (room == ARENA_WAIT && (j->waits > JOIN_WAITS || !table_drain(&r->writer)))) {
            return TIDE_ERR_FULL;
        }
        /* What the donor's board says of itself may be any number; what is not committed is not there to be applied. */
        uint64_t commit = board_commit(r->domain->log);
        enum apply_status status = apply_catch_up(r, j->passed < commit ? j->passed : commit, &due);
        if (status != APPLY_OK) {
            return join_error(status);
        }
        if (join_ends(r)) {
            return TIDE_ERR_CLOSED;
        }
        if (board_state(r->view.board) == REPLICA_LAPPED) {
            return TIDE_ERR_BUSY; /* what it copies meanwhile may be of no use */
        }
    }
    return 0;
}

static int join_from_donor(struct replica *r) {
    int found = -1, trouble = 0;
    struct join_state j = { .last = 1 };
    for (int source = JOIN_LOCAL; source <= JOIN_ORPHAN && found < 0; source++) {
        j.source = (enum join_source)source;
        found = join_find(r, j.source, &trouble);
    }
    if (found < 0) {
        return trouble != 0 ? trouble : r->refused != 0 ? TIDE_ERR_CORRUPT : TIDE_ERR_NO_REPLICA;
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
    /* A replica with a delay is exact only when it has applied everything that was copied too new. Entries that are
     * not due yet wait, and the replica serves once they are applied. */
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
    if (table_is_damaged(&r->writer.t)) {
        return TIDE_ERR_BUSY;
    }
    r->exact = true;
    if (r->writer.evict != NULL && evict_settle(&r->writer) != 0) {
        tide_logf(r->domain, TIDE_LOG_WARN, "replica %u: no memory to put its keys in the order of their age",
                  r->view.id);
    }
    KILL_POINT("join.caught_up");
    replica_publish(r, r->last_ts);
    return board_change_state(r->view.board, REPLICA_JOINING, REPLICA_SERVING) ? 0 : TIDE_ERR_BUSY;
}

static int join_once(struct replica *r) {
    /* One look is enough: board_pin() refuses where the start was given up in between. */
    bool whole = atomic_load(&r->domain->log->leader.reclaimed) == 0;
    if (whole && r->doubted_log) {
        whole = false; /* that word says so, and the log does not */
    }
    int error = whole ? join_replay(r) : join_from_donor(r);
    if (error == TIDE_ERR_NO_REPLICA && !whole && atomic_load(&r->domain->log->leader.reclaimed) == 0) {
        error = TIDE_ERR_BUSY; /* the leader had raised it for a moment and taken it back: ring_reclaim() */
    }
    error = error != 0 ? error : join_finish(r);
    r->doubted_log |= whole && error == TIDE_ERR_CORRUPT;
    return error;
}

/* Is the table still empty? A table that an earlier join left half full may hold keys that are deleted by now. */
static bool join_is_fresh(const struct replica *r) {
    return r->view.segment.base != NULL && r->writer.keys == 0 && r->applied == 0;
}

static int join_clear(struct replica *r) {
    board_set_state(r->view.board, REPLICA_CLAIMED);
    replica_drop_table(r);
    return replica_make_table(r);
}

/* How a join has gone so far. */
struct join_tale {
    uint64_t began_ns;
    uint32_t tries;
    uint32_t lapped;  /* of those */
    uint32_t damaged; /* of those */
};

/*
 * The longer it does not work, the rarer it is tried. A newcomer that was lapped has held the leader up, and will hold it up for twice as long
 * (board_patience()): it rests for as long as it was waited for, and once the leader waits no longer, twice as long with each time. So
 * one that can never join, since its delay is longer than its ring, say, costs the writers a small part of their time.
 */
static void join_rest(struct replica *r, const struct join_tale *tale, bool lapped) {
    uint32_t seen = atomic_load(&r->nudge), over = tale->tries - JOIN_TRIES / 2;
    uint64_t ns = 0;
    if (lapped) {
        ns = board_twice(BOARD_PATIENCE_LEAST_NS, tale->lapped - 1, JOIN_REST_MOST_NS);
    } else if (tale->tries >= JOIN_TRIES / 2) {
        ns = UINT64_C(1000000) << (over / 10 < 9 ? over / 10 : 9);
    }
    if (ns != 0 && !join_ends(r)) {
        park_wait(&r->nudge, seen, ns);
    }
}

/* After `error`, is there anything to be hoped for from another try? */
static bool join_may_try(const struct replica *r, int error, const struct join_tale *tale) {
    /* Nobody waits for one that served before: it may try for as long as it takes, also while there is nobody to copy from. Not where what
     * there is is damaged: that ends, and is said. */
    bool served_before = atomic_load(&r->started) != 0;
    bool waits = error == TIDE_ERR_BUSY || (error == TIDE_ERR_NO_REPLICA && served_before);
    bool few = tale->tries < JOIN_TRIES && tale->lapped < JOIN_LAPS;
    bool early = few || clock_monotonic_ns() - tale->began_ns < join_patience_ns;
    return !join_ends(r) && ((waits && (early || served_before)) ||
                             (error == TIDE_ERR_CORRUPT && r->refused == 0 && tale->damaged < JOIN_DAMAGED));
}

/* FAILED is an alarm, so it is for damage alone. Whoever was told to end, or found nobody to copy from, goes; and one that served before tries
 * again later (engine/life/follower.c). Its process may be stopped or killed just then, and the state stay for long. */
static int join_fail(struct replica *r, int error) {
    bool passes = join_may_pass(error) || join_ends(r);
    board_set_state(r->view.board, passes ? REPLICA_CLAIMED : REPLICA_FAILED);
    return error;
}

/* Why it is not tried again: the caller's error. */
static int join_tell(const struct replica *r, int error, const struct join_tale *tale) {
    struct tide *d = r->domain;
    if (error == TIDE_ERR_CORRUPT) {
        tide_logf(d, TIDE_LOG_ERROR,
                  r->refused != 0
                      ? "replica %u: every copy that it could join from is damaged: 'tide verify' names the keys, "
                        "and to put or delete those mends it; 'tide snapshot save' saves what is whole"
                      : "replica %u: the log is damaged where it would go on",
                  r->view.id);
    }
    if (error != TIDE_ERR_BUSY || join_ends(r)) {
        return error != TIDE_ERR_BUSY ? error : TIDE_ERR_NO_REPLICA;
    }
    uint64_t seconds = (clock_monotonic_ns() - tale->began_ns) / 1000000000;
    if (tale->lapped != 0) {
        tide_logf(d, TIDE_LOG_ERROR,
                  "replica %u: lapped %u times within %llu s while it joined: what is written meanwhile does not fit "
                  "the ring of "
                  "%llu KiB: a larger ring (--ring), a longer patience with slow followers (--slow-follower) or a "
                  "shorter delay helps",
                  r->view.id, tale->lapped, (unsigned long long)seconds,
                  (unsigned long long)(d->words.ring_bytes >> 10));
    } else {
        tide_logf(d, TIDE_LOG_ERROR,
                  "replica %u: began to join %u times within %llu s; what it copied from went away each time",
                  r->view.id, tale->tries, (unsigned long long)seconds);
    }
    return TIDE_ERR_TIMEOUT;
}

int join_replica(struct replica *r) {
    struct join_tale tale = { .began_ns = clock_monotonic_ns() };
    r->doubted = r->refused = 0;
    r->doubted_log = false;
    for (;; tale.tries += tale.tries < UINT32_MAX) {
        int error = join_is_fresh(r) ? 0 : join_clear(r);
        if (error != 0) {
            return join_fail(r, error);
        }
        atomic_store(&r->view.board->join_laps, tale.lapped); /* before it pins the log */
        error = join_once(r);
        if (error == 0) {
            r->trouble = 0;
            view_show(r->domain, &r->view);
            return 0;
        }
        tale.damaged += error == TIDE_ERR_CORRUPT;
        bool lapped = error == TIDE_ERR_BUSY && board_state(r->view.board) == REPLICA_LAPPED;
        tale.lapped += lapped;
        if (!join_may_try(r, error, &tale)) {
            return join_fail(r, join_tell(r, error, &tale));
        }
        /* The leader lapped the newcomer, or the donor went away: start again, from an empty table. */
        join_rest(r, &tale, lapped);
        replica_drop_table(r);
    }
}
