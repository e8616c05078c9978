/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/log/sequencer.h"

#include "engine/table/kill.h"
#include "engine/log/agree.h"
#include "engine/log/derive.h"
#include "engine/log/lane_notes.h"
#include "engine/replica/replica.h"
#include "engine/table/compact.h"
#include "engine/table/evict.h"
#include "engine/table/table_slots.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/nap.h"
#include "shm/park.h"

#define SEQ_SPINS 200

/* Requests that are in the ring and not committed yet. */
struct seq_group {
    struct seq_request *first, **last;
    uint64_t ring_bytes;
    uint64_t ts;
    uint64_t puts; /* they may be new keys, which the table does not count yet */
    bool others;   /* another thread waits for the answer of one of them */
    bool owed;     /* a commit is still to be followed by a barrier, and by the look for sleeping followers */
};

static void seq_group_clear(struct seq_group *g) {
    g->first = NULL;
    g->last = &g->first;
    g->ring_bytes = 0;
    g->ts = 0;
    g->puts = 0;
    g->others = false;
}

static void seq_answer(struct seq_request *q, int result) {
    q->result = result;
    if (q->more != NULL) {
        derive_release(q);
    }
    if (q->own) {
        return;
    }
    /* The request is on its writer's stack, which may be gone as soon as `done` is set. The wake below may then hit
     * other memory. That is one futex wake too many, which every sleeper must expect anyway. */
    _Atomic uint32_t *done = &q->done;
    if (atomic_exchange(done, SEQ_DONE) == SEQ_ASLEEP) {
        park_wake(done, 1);
    }
}

static void seq_tell(struct tide *d, struct seq_group *g) {
    seq_fence(d);
    g->owed = false;
}

/*
 * A write has to find its bucket, and in it the version that it replaces: two lines, the second known by the first alone. So they are
 * asked for ahead, and all misses of a batch overlap: buckets when nodes are made, versions when frames are written, so that
 * there is work between the questions, which memory answers only so many of at a time. That is for as many operations as
 * the first cache has room for. Those behind them are asked for in turn while others are applied, buckets twice as far ahead as versions.
 */
#define SEQ_ASKED 64u
#define SEQ_AHEAD 16u

static inline void seq_ask_bucket(const struct replica *r, const struct seq_request *q, size_t i) {
    if (i < q->count) {
        const struct table_writer *w = &r->writer;
        __builtin_prefetch(table_bucket_at(&w->t, table_bucket_now(w, q->prepared[i].hash)), 1);
    }
}

static inline void seq_ask_version(const struct replica *r, const struct seq_request *q, size_t i) {
    if (i < q->count) {
        table_prefetch(&r->writer, q->prepared[i].hash);
    }
}

/* Put one committed request into the leader's own table. */
static void seq_apply(struct replica *r, struct seq_request *q) {
    bool removed = false;
    for (size_t i = 0; i < q->count; i++) {
        if (__builtin_expect(i + 2 * SEQ_AHEAD >= SEQ_ASKED, 0)) {
            seq_ask_bucket(r, q, i + 2 * SEQ_AHEAD);
        }
        if (__builtin_expect(i + SEQ_AHEAD >= SEQ_ASKED, 0)) {
            seq_ask_version(r, q, i + SEQ_AHEAD);
        }
        const struct tide_op *op = &q->ops[i];
        struct seq_op *p = &q->prepared[i];
        uint64_t index = ++r->applied;
        if (seq_removes(op)) {
            if ((uint32_t)op->kind < SEQ_OP_NOTE && (uint32_t)op->kind >= SEQ_OP_EVICT && p->node != 0) {
                table_remove_node(&r->writer, p->hash, p->node, index);
                removed = true;
            } else if ((uint32_t)op->kind != SEQ_OP_NOTE) {
                table_remove(&r->writer, p->hash, op->key, op->key_len, index);
                removed = true;
            }
        } else if (table_publish(&r->writer, p->node, p->hash, index, p->payload_crc) != 0) {
            table_note_damage(&r->writer.t, r->writer.t.seg, "its table, which has no overflow bucket for an entry,");
        }
        replica_note_index(r);
    }
    if (removed) {
        table_note_use(&r->writer);
    }
    q->index = r->applied;
    if (q->source != NULL) {
        source_note(r, q->source->more ? 0 : FRAME_REACHED, q->source->revision, q->lane_seq);
    }
    if (q->lane != 0) {
        lane_note(r, q->lane, q->lane_seq, q->index);
    }
}

/* Rouse the lane thread, which removes what has expired, if something expires before it is going to wake. */
static inline void seq_alarm(struct tide *d) {
    struct sequencer *s = &d->seq;
    /* MO(seq.alarm): relaxed; written with the turn alone. `soonest` 0 is none. */
    uint64_t alarm = atomic_load_explicit(&s->alarm, memory_order_relaxed);
    if (__builtin_expect(s->leader->writer.expiry.soonest - 1 < alarm, 0)) {
        atomic_store(&s->alarm, 0);
        park_rouse(&d->log->lanes_board.wake, INT32_MAX);
    }
}

/* Count keys that the leader has removed by itself. */
static void seq_count_removed(_Atomic uint64_t *count, uint64_t keys) {
    uint64_t n = atomic_load_explicit(count, memory_order_relaxed); /* MO(stats) */
    atomic_store_explicit(count, n + keys, memory_order_relaxed);   /* MO(stats) */
}

/* Commit what is in the ring, apply it, answer. */
static void seq_flush(struct tide *d, struct seq_group *g) {
    if (g->first == NULL) {
        return;
    }
    struct sequencer *s = &d->seq;
    struct replica *r = s->leader;
    KILL_POINT("seq.copied");
    ring_commit(&s->ring);
    KILL_POINT("seq.published");
    seq_decided(d);
    g->owed = true;
    if (g->others) {
        seq_tell(d, g);
    }
    for (struct seq_request *q = g->first; q != NULL; q = q->next) {
        seq_apply(r, q);
        if (q->sweep != NULL) {
            seq_count_removed(&d->log->leader.expired, q->count);
        }
    }
    r->pos = s->ring.tail;
    r->last_ts = s->ring.last_ts;
    KILL_POINT("seq.applied");
    replica_publish(r, r->last_ts);
    KILL_POINT("seq.unanswered");
    for (struct seq_request *q = g->first, *next; q != NULL; q = next) {
        next = q->next; /* the request may be gone after its answer */
        seq_answer(q, 0);
    }
    seq_count_group(d);
    seq_group_clear(g);
    seq_alarm(d);
    if (__builtin_expect(table_is_damaged(&r->writer.t), 0)) {
        replica_stop_serving(r);
    }
}

/* The leader's table is damaged: what is committed is in the log, and whole with others. Certainly not done: a candidate hands over, and the
 * write waits for who leads next. */
static int seq_refuses(const struct replica *r) {
    return r->candidate ? TIDE_ERR_NO_LEADER : TIDE_ERR_CORRUPT;
}

static bool seq_has_looks(const struct seq_request *q) {
    for (size_t i = 0; i < q->count; i++) {
        if (seq_looks(&q->ops[i])) {
            return true;
        }
    }
    return false;
}

static void seq_batch(const struct replica *r, const struct seq_request *q, struct table_batch *batch) {
    for (size_t i = 0; i < q->count; i++) {
        if (!seq_removes(&q->ops[i])) {
            table_batch_add(&r->writer, batch, node_payload_bytes(q->ops[i].key_len, derive_word(q, i)));
        }
    }
}

/* TABLE_ALONE: not beside what the group holds. */
static enum table_room seq_admits(const struct replica *r, const struct seq_group *g, const struct seq_request *q) {
    if (q->count == 1) {
        const struct tide_op *op = q->ops;
        return seq_removes(op)
                   ? TABLE_YES
                   : table_admits(&r->writer, q->prepared->hash, op->key, op->key_len, derive_word(q, 0), g->puts);
    }
    struct table_batch batch = { 0 };
    seq_batch(r, q, &batch);
    if (batch.keys == 0) {
        return TABLE_YES; /* it only removes */
    }
    bool admitted = table_admits_batch(&r->writer, &batch, g->puts);
    if (!admitted) { /* what it replaces is looked up only now, since every look-up may miss the caches */
        batch.no_larger = true;
        for (size_t i = 0; i < q->count && batch.no_larger; i++) {
            const struct tide_op *op = &q->ops[i];
            batch.no_larger = seq_removes(op) || table_is_no_larger(&r->writer, q->prepared[i].hash, op->key,
                                                                    op->key_len, derive_word(q, i));
        }
        admitted = batch.no_larger && table_admits_batch(&r->writer, &batch, g->puts);
    }
    return admitted ? TABLE_YES : g->first != NULL ? TABLE_ALONE : TABLE_NO;
}

/* ---- making room --------------------------------------------------------------------------------------------------------- */

/* Keys that one entry's room is made of, at most, before it is asked again whether there is enough; of those that are evicted also no more
 * than this part of all. */
#define SEQ_REMOVED_MOST 32u
#define SEQ_EVICTED_SHARE 512u

/* What has expired is looked for so often, before a write is refused: half a millisecond. It is more than one look where keys that were given
 * another life stand among those that are over. The next write looks further on. Before keys are evicted, a quarter of that has to do: a put that
 * evicts comes more often than one that is refused. */
#define SEQ_EXPIRED_LOOKS 64u
#define SEQ_EXPIRED_LOOKS_EVICT 16u

/* Keys that the leader removes to make room: entries of the log before the one that needs it. */
struct seq_removal {
    struct seq_request q;
    struct tide_op ops[SEQ_REMOVED_MOST];
    struct seq_op prepared[SEQ_REMOVED_MOST];
};

/* The keys of this request that are there are not evicted for it, as long as others are left: a cas was compared with what is there, and a put
 * would only make the key anew. Returns what they cost. */
static uint64_t seq_hold(const struct replica *r, const struct seq_request *q, bool hold) {
    uint64_t cost = 0;
    for (size_t i = 0; i < q->count; i++) {
        if (hold && q->ops[i].kind == TIDE_OP_DELETE) {
            continue; /* it may go before, as well */
        }
        struct table_node *n = (struct table_node *)(uintptr_t)table_newest(&r->writer, q->prepared[i].hash,
                                                                            q->ops[i].key, q->ops[i].key_len);
        if (n != NULL) {
            /* MO(node.fields): relaxed; one writer. */
            uint8_t flags = atomic_load_explicit(&n->flags, memory_order_relaxed);
            if ((flags & NODE_HELD) == 0) { /* else an operation before has the same key */
                cost += arena_extent(&r->writer.arena, (uint32_t)(((uint8_t *)n - r->writer.t.base) / TABLE_UNIT)).cost;
            }
            flags = hold ? flags | NODE_HELD : flags & (uint8_t)~NODE_HELD;
            atomic_store_explicit(&n->flags, flags, memory_order_relaxed); /* MO(node.fields) */
        }
    }
    return cost;
}

static void seq_reserve(struct tide *d, uint64_t bytes) {
    uint32_t lapped = ring_reserve(&d->seq.ring, bytes);
    if (lapped != 0) {
        tide_logf(d, TIDE_LOG_WARN, "%u slow followers were lapped: the ring is too small for their delay", lapped);
    }
}

static void seq_removal_begin(struct tide *d, struct seq_removal *all) {
    all->q = (struct seq_request){ .ops = all->ops, .prepared = all->prepared, .own = true };
    if (d->fed) {
        all->q.lane_seq = atomic_load(&d->seq.complete_ts); /* as seq_take_source() */
    }
}

/* Remove this node's key, too. False: it does not fit beside the others. */
static inline bool seq_removal_add(struct tide *d, struct seq_removal *all, enum seq_op_kind kind, uint32_t node,
                                   uint64_t hash, uint8_t flags) {
    const struct table *t = &d->seq.leader->writer.t;
    const struct table_node *n = table_node_at(t, node);
    struct table_lengths len;
    if (!table_lengths_of(t, n, &len)) {
        return true; /* it is damaged: it stays */
    }
    uint64_t bytes = ring_frame_bytes(len.key, 0);
    if (all->q.ring_bytes + bytes > ring_group_max(&d->ring)) {
        return false;
    }
    const uint8_t *key = table_node_key(n); /* stays where it is until this is done */
    all->q.ring_bytes += bytes;
    all->ops[all->q.count] = (struct tide_op){ .kind = (enum tide_op_kind)kind, .key = key, .key_len = len.key };
    all->prepared[all->q.count] =
        (struct seq_op){ .hash = hash, .payload_crc = crc32c_short(0, key, len.key), .node = node, .flags = flags };
    all->q.count++;
    return true;
}

/* Append and commit it, and count the keys. False: there are none. */
static bool seq_remove(struct tide *d, struct seq_group *g, struct seq_removal *all, _Atomic uint64_t *count) {
    struct sequencer *s = &d->seq;
    if (all->q.count == 0) {
        return false;
    }
    seq_reserve(d, all->q.ring_bytes);
    KILL_POINT("seq.removing");
    g->ts = clock_stamp_own(&s->clock, &d->log->clock);
    for (size_t i = 0; i < all->q.count; i++) {
        const struct tide_op *op = &all->ops[i];
        struct ring_entry e = {
            .key = op->key,
            .payload_crc = all->prepared[i].payload_crc,
            .key_len = (uint16_t)op->key_len,
            .lane_seq = all->q.lane_seq,
            .type = seq_frame_type(op),
            .flags = all->prepared[i].flags,
        };
        ring_append(&s->ring, &e, g->ts);
    }
    *g->last = &all->q;
    g->last = &all->q.next;
    seq_flush(d, g);
    seq_count_removed(count, all->q.count);
    return true;
}

static inline bool seq_some_expired(const struct tide *d) {
    uint64_t soonest = d->seq.leader->writer.expiry.soonest; /* 0: nothing expires */
    return __builtin_expect(soonest != 0, 0) && soonest <= clock_stamp(&d->log->clock);
}

static bool seq_expire_some(struct tide *d, struct seq_group *g) {
    struct table_writer *w = &d->seq.leader->writer;
    if (!seq_some_expired(d)) {
        return false;
    }
    struct expiry_due due[SEQ_REMOVED_MOST];
    uint64_t now = clock_stamp(&d->log->clock);
    uint32_t found = 0, looks = w->evict == NULL ? SEQ_EXPIRED_LOOKS : SEQ_EXPIRED_LOOKS_EVICT;
    bool more = true;
    while (found == 0 && more && looks-- > 0) {
        found = expiry_sweep(w, now, due, SEQ_REMOVED_MOST, &more);
    }
    struct seq_removal all;
    seq_removal_begin(d, &all);
    for (uint32_t i = 0; i < found; i++) {
        if (!seq_removal_add(d, &all, SEQ_OP_EXPIRE, due[i].node, due[i].hash, 0)) {
            expiry_put_back(w, &due[i]);
        }
    }
    return seq_remove(d, g, &all, &d->log->leader.expired);
}

static bool seq_evict_some(struct tide *d, struct seq_group *g) {
    struct table_writer *w = &d->seq.leader->writer;
    if (w->evict == NULL) {
        return false;
    }
    struct evict_victim victims[SEQ_REMOVED_MOST];
    size_t most =
        w->keys / SEQ_EVICTED_SHARE + 1 < SEQ_REMOVED_MOST ? w->keys / SEQ_EVICTED_SHARE + 1 : SEQ_REMOVED_MOST;
    evict_collect(w, d->log);
    size_t n = evict_choose(w, victims, most);
    struct seq_removal all;
    seq_removal_begin(d, &all);
    for (size_t i = 0; i < n; i++) {
        uint8_t flags = victims[i].small ? FRAME_SMALL : 0;
        if (!seq_removal_add(d, &all, SEQ_OP_EVICT, victims[i].node, victims[i].hash, flags)) {
            evict_restore(w, &victims[i]);
        }
    }
    return seq_remove(d, g, &all, &d->log->leader.evicted);
}

/* What has expired goes first. */
bool seq_remove_ahead(struct tide *d) {
    struct seq_group group = { .owed = false };
    seq_group_clear(&group);
    return seq_expire_some(d, &group) || seq_evict_some(d, &group);
}

typedef bool seq_remove_fn(struct tide *d, struct seq_group *g);

static enum table_room seq_remove_until(struct tide *d, struct seq_group *g, const struct seq_request *q,
                                        seq_remove_fn *remove_some) {
    enum table_room room = TABLE_NO;
    while (room != TABLE_YES && remove_some(d, g)) {
        room = seq_admits(d->seq.leader, g, q);
    }
    return room;
}

/* All that may go is gone, and a put does not fit beside the value that it replaces: that one goes as well, if the put fits then. Not for a cas
 * or what is worked out from the value; nor if the key is kept. */
static bool seq_evict_own(struct tide *d, struct seq_group *g, const struct seq_request *q,
                          const struct table_batch *one) {
    struct table_writer *w = &d->seq.leader->writer;
    if (w->evict == NULL || q->count != 1 || q->ops->kind != TIDE_OP_PUT) {
        return false;
    }
    const struct table_node *n = table_newest(w, q->prepared->hash, q->ops->key, q->ops->key_len);
    /* MO(node.fields): relaxed; one writer. */
    if (n == NULL || (atomic_load_explicit(&n->flags, memory_order_relaxed) & NODE_KEEP) != 0) {
        return false;
    }
    uint32_t node = (uint32_t)(((const uint8_t *)n - w->t.base) / TABLE_UNIT);
    struct seq_removal all;
    seq_removal_begin(d, &all);
    return arena_admits(&w->arena, one->cost, arena_extent(&w->arena, node).cost, one->large, w->arena.limit) &&
           seq_removal_add(d, &all, SEQ_OP_EVICT, node, q->prepared->hash, 0) &&
           seq_remove(d, g, &all, &d->log->leader.evicted);
}

/* The table has no room for a request. The group is committed first, since the queues know of no entry that is not in the table. */
static enum table_room seq_make_room(struct tide *d, struct seq_group *g, const struct seq_request *q) {
    struct replica *r = d->seq.leader;
    struct table_batch batch = { 0 };
    seq_batch(r, q, &batch);
    if (!table_could_admit(&r->writer, &batch) || (r->writer.evict == NULL && !seq_some_expired(d))) {
        return TABLE_NO;
    }
    seq_flush(d, g);
    enum table_room room = seq_remove_until(d, g, q, seq_expire_some);
    if (room == TABLE_YES || r->writer.evict == NULL) {
        return room;
    }
    const struct arena *a = &r->writer.arena;
    uint64_t own = seq_hold(r, q, true);
    bool beside =
        own + batch.cost <= a->limit + a->spare || q->count == 1; /* else it cannot stand beside what it replaces */
    room = beside ? seq_remove_until(d, g, q, seq_evict_some) : TABLE_NO;
    if (room != TABLE_YES && seq_evict_own(d, g, q, &batch)) {
        room = seq_admits(r, g, q);
    }
    seq_hold(r, q, false);
    /* What a batch of puts replaces goes as well, where nothing else is left; but not in vain. */
    bool in_vain = beside && a->live - own + batch.cost > a->limit;
    return room == TABLE_YES || q->count == 1 || in_vain || seq_has_looks(q)
               ? room
               : seq_remove_until(d, g, q, seq_evict_some);
}

/* Build the nodes. On failure all are dropped. */
static enum arena_status seq_make_nodes(struct replica *r, struct seq_request *q) {
    for (size_t i = 0; i < q->count; i++) {
        const struct tide_op *op = &q->ops[i];
        if (i < SEQ_ASKED) {
            seq_ask_bucket(r, q, i);
        }
        if (seq_removes(op)) {
            continue;
        }
        uint32_t *node = &q->prepared[i].node, word = derive_word(q, i);
        enum arena_status status = table_node_new(&r->writer, op->key_len, word, node);
        if (status != ARENA_OK) {
            while (i-- > 0) {
                if (!seq_removes(&q->ops[i])) {
                    table_node_drop(&r->writer, q->prepared[i].node);
                }
            }
            return status;
        }
        uint8_t *key = table_node_key(table_node_at(&r->writer.t, *node));
        bytes_copy(key, op->key, op->key_len);
        bytes_copy(key + op->key_len, derive_value(q, i), node_value_len(word));
        if (node_has_expiry(word)) {
            bytes_copy(key + op->key_len + node_value_len(word), &q->more[i].expiry, EXPIRY_BYTES);
        }
        if (q->source != NULL) {
            bytes_copy(key + op->key_len + node_value_len(word) + EXPIRY_BYTES, &q->more[i].version, SOURCED_BYTES);
        }
        if (q->more != NULL && q->more[i].keep) {
            table_node_keep(table_node_at(&r->writer.t, *node));
        }
    }
    return ARENA_OK;
}

/* FRAME_MORE: the entries are one batch. Those that the leader removes by itself are not. */
static uint8_t seq_frame_flags(const struct seq_request *q, size_t i) {
    uint32_t flags = i + 1 < q->count && q->sweep == NULL ? FRAME_MORE : 0;
    if (q->more != NULL && !seq_removes(&q->ops[i])) {
        flags |= derive_expires(q, i) ? FRAME_EXPIRES : 0;
        flags |= q->more[i].keep ? FRAME_KEEP : 0;
    }
    if (q->source != NULL) {
        flags |= FRAME_SOURCED | (i + 1 == q->count && !q->source->more ? FRAME_REACHED : 0);
    }
    return (uint8_t)(flags | q->prepared[i].flags);
}

static void seq_append(struct sequencer *s, const struct seq_request *q, uint64_t ts) {
    for (size_t i = 0; i < q->count; i++) {
        const struct tide_op *op = &q->ops[i];
        if (i < SEQ_ASKED) {
            seq_ask_version(s->leader, q, i);
        }
        struct ring_entry e = {
            .key = op->key,
            .value = derive_value(q, i),
            .value_len = seq_removes(op) ? 0 : (uint32_t)derive_value_size(q, i),
            .expiry = q->more != NULL ? q->more[i].expiry : 0,
            .version = q->source != NULL ? q->more[i].version : 0,
            .payload_crc = q->prepared[i].payload_crc,
            .key_len = (uint16_t)op->key_len,
            .lane = q->lane,
            .lane_seq = q->lane_seq,
            .type = seq_frame_type(op),
            .flags = seq_frame_flags(q, i),
        };
        ring_append(&s->ring, &e, ts);
    }
}

/* Check the conditions, and work out what depends on the state that earlier requests leave. */
static int seq_look(struct tide *d, struct seq_group *g, struct seq_request *q) {
    const struct replica *r = d->seq.leader;
    struct instant when = { .clock = &d->log->clock };
    int error = 0;
    if (q->more != NULL) {
        derive_release(q); /* it was looked at before */
    }
    if (seq_has_looks(q)) {
        seq_flush(d, g);
        error = derive_check_cas(r, q, &when);
    }
    if (error == 0 && q->more != NULL) {
        error = derive_all(d, r, q, &when);
    }
    return table_is_damaged(&r->writer.t) ? seq_refuses(r) : error;
}

/* A fed domain takes entries of its source, which have revisions that rise; and its own, which remove what has expired. */
static int seq_take_source(struct tide *d, struct seq_request *q) {
    struct sequencer *s = &d->seq;
    if (q->source == NULL && q->sweep == NULL) {
        return TIDE_ERR_FED;
    }
    if (q->source != NULL) {
        if (q->source->revision <= s->leader->source.revision) {
            return TIDE_ERR_REVISION;
        }
        /* Before the commit: whoever has seen an entry finds a revision here that is no less than its own. */
        atomic_store(&d->log->feed.position, q->source->revision);
    }
    q->lane_seq = atomic_load(&s->complete_ts);
    return 0;
}

static void seq_put_back(struct table_writer *w, const struct expiry_due *due, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        expiry_put_back(w, &due[i]);
    }
}

/* Fill the leader's own request with keys that have expired. False: there are none. */
static bool seq_find_expired(struct tide *d, struct seq_request *q) {
    struct sequencer *s = &d->seq;
    struct table_writer *w = &s->leader->writer;
    struct seq_sweep *sweep = q->sweep;
    struct expiry_due due[SEQ_SWEEP_MOST];
    uint64_t now = clock_stamp(&d->log->clock), keys = 0;
    bool more;
    uint32_t found = expiry_sweep(w, now, due, SEQ_SWEEP_MOST, &more);
    for (uint32_t i = 0; i < found; i++) {
        struct table_lengths len;
        const struct table_node *n = table_node_at(&w->t, due[i].node);
        uint64_t frame = table_lengths_of(&w->t, n, &len) ? ring_frame_bytes(len.key, 0) : UINT64_MAX;
        if (frame > ring_group_max(&d->ring) - q->ring_bytes || len.key > SEQ_SWEEP_KEYS - keys) {
            more = true; /* the next request takes it; or another process changed its lengths */
            seq_put_back(w, due + i, found - i);
            break;
        }
        uint8_t *key = memcpy(sweep->keys + keys, table_node_key(n), len.key);
        sweep->ops[i] = (struct tide_op){ .kind = (enum tide_op_kind)SEQ_OP_EXPIRE, .key = key, .key_len = len.key };
        sweep->prepared[i] = (struct seq_op){ .hash = due[i].hash, .payload_crc = crc32c(0, key, len.key) };
        keys += len.key;
        q->ring_bytes += frame;
        q->count++;
    }
    q->ops = sweep->ops;
    q->prepared = sweep->prepared;
    uint64_t soonest = w->expiry.soonest;
    sweep->left_ns = more ? 0 : soonest == 0 ? UINT64_MAX : soonest > now ? soonest - now : 1;
    sweep->armed = sweep->left_ns >= sweep->longest_ns;
    /* MO(seq.alarm): sequentially consistent, for the lane thread, which reads it without the turn. */
    atomic_store(&s->alarm, sweep->armed ? clock_after(now, sweep->longest_ns) : 0);
    return q->count != 0;
}

#define SEQ_WAITS_NS UINT64_C(1000000000) /* so long is worth a line */

/*
 * The leader waits for a section of its process to end, and the thread that serves the lanes for the leader. So this thread answers
 * whoever asks whether the leader lives: it does, and a watchdog that killed it would only move the wait to another process.
 */
static void seq_waits(void *domain, uint64_t since_ns) {
    struct tide *d = domain;
    board_answer_pings(d->log);
    if (since_ns < SEQ_WAITS_NS) {
        d->seq.waits_told = false;
    } else if (!d->seq.waits_told) {
        d->seq.waits_told = true;
        tide_logf(d, TIDE_LOG_WARN,
                  "writes have waited for %llu ms: all spare memory of the table is held by a section that is open in "
                  "this process; "
                  "end it (tide_section_end())",
                  (unsigned long long)(since_ns / 1000000));
    }
}

/* Does it depend on what is there, or on the clock? */
static bool seq_depends(const struct seq_request *q) {
    return q->sweep == NULL && (q->more != NULL || seq_has_looks(q));
}

/*
 * Find room for a request, and make its nodes. WAIT: memory waits for a grace period. What a request depends on is looked at here, each
 * time, since entries were published, nodes moved, and the clock went on.
 */
static int seq_find_room(struct tide *d, struct seq_group *g, struct seq_request *q, enum arena_status *status) {
    struct sequencer *s = &d->seq;
    bool depends = seq_depends(q);
    int error = depends ? seq_look(d, g, q) : 0;
    if (error != 0) {
        return error;
    }
    if (g->ring_bytes + q->ring_bytes > ring_group_max(&d->ring)) {
        seq_flush(d, g);
    }
    enum table_room room = seq_admits(s->leader, g, q);
    if (room == TABLE_ALONE) {
        seq_flush(d, g);
        room = seq_admits(s->leader, g, q);
    }
    while (room != TABLE_YES) {
        if ((room = seq_make_room(d, g, q)) != TABLE_YES || !depends) {
            break;
        }
        error = seq_look(d, g, q);
        if (error != 0) {
            return error;
        }
        room = seq_admits(s->leader, g, q);
    }
    if (room != TABLE_YES) {
        atomic_fetch_add_explicit(&d->log->leader.refused_full, 1, memory_order_relaxed); /* MO(stats) */
        return TIDE_ERR_FULL;
    }
    *status = seq_make_nodes(s->leader, q);
    return *status == ARENA_OK || *status == ARENA_WAIT ? 0 : TIDE_ERR_FULL;
}

/* May it be taken at all? */
static int seq_begins(struct tide *d, struct seq_group *g, struct seq_request *q) {
    struct sequencer *s = &d->seq;
    if (s->leader == NULL) {
        return TIDE_ERR_NO_LEADER;
    }
    if (__builtin_expect(table_is_damaged(&s->leader->writer.t), 0)) {
        replica_stop_serving(s->leader);
        return seq_refuses(s->leader);
    }
    if (__builtin_expect(d->fed, 0)) {
        seq_flush(d, g); /* then the leader's replica knows which revision the log holds */
        return seq_take_source(d, q);
    }
    return 0;
}

/* Whatever can fail does so here, before the first frame is written. */
static int seq_settle(struct tide *d, struct seq_group *g, struct seq_request *q) {
    struct sequencer *s = &d->seq;
    enum arena_status status;
    int error = seq_find_room(d, g, q, &status);
    while (error == 0 && status == ARENA_WAIT) {
        seq_flush(d, g); /* a grace period can start only for entries that are published */
        if (g->owed) {
            seq_tell(d, g); /* followers need not wait for a section to end */
        }
        seq_decided(d); /* nor readers for what is decided anew afterwards */
        error = table_drain(&s->leader->writer) ? seq_find_room(d, g, q, &status) : TIDE_ERR_FULL;
    }
    compact_placed(&s->leader->writer);
    return error;
}

/* Take a request into the group, or answer it. */
static void seq_take(struct tide *d, struct seq_group *g, struct seq_request *q) {
    struct sequencer *s = &d->seq;
    int error = seq_begins(d, g, q);
    if (error == 0 && q->sweep != NULL) {
        seq_flush(d, g);
        if (!seq_find_expired(d, q)) {
            seq_answer(q, 0);
            return;
        }
    }
    error = error != 0 ? error : seq_settle(d, g, q);
    if (error != 0) {
        seq_decided(d);
        seq_answer(q, error);
        return;
    }
    seq_reserve(d, q->ring_bytes);
    KILL_POINT("seq.reserved");
    g->ts = g->ts != 0 ? g->ts : clock_stamp_own(&s->clock, &d->log->clock);
    seq_append(s, q, g->ts);
    g->ring_bytes += q->ring_bytes;
    g->puts += q->count;
    q->next = NULL;
    *g->last = q;
    g->last = &q->next;
    g->others |= !q->own;
}

/* The queue is newest first; the group is in the order of arrival. */
static struct seq_request *seq_arrived(struct sequencer *s) {
    struct seq_request *newest = atomic_exchange(&s->queue, NULL), *ordered = NULL;
    while (newest != NULL) {
        struct seq_request *next = newest->next;
        newest->next = ordered;
        ordered = newest;
        newest = next;
    }
    return ordered;
}

/* Do this thread's own request where there is one, then all that other threads have queued, and let the turn go. */
static void seq_run(struct tide *d, struct seq_request *own) {
    struct sequencer *s = &d->seq;
    struct seq_group group = { .owed = false };
    seq_group_clear(&group);
    if (own != NULL) {
        own->own = true;
        seq_take(d, &group, own);
    }
    do {
        struct seq_request *q = atomic_load(&s->queue) != NULL ? seq_arrived(s) : NULL;
        while (q != NULL) {
            struct seq_request *next = q->next;
            seq_take(d, &group, q);
            q = next;
        }
        seq_flush(d, &group);
        seq_refine(d);
        seq_let_go(d, group.owed);
        group.owed = false;
        /* A writer that queued before the turn was let go, and failed to take it, is seen here. A later writer takes
         * the turn itself. */
    } while (atomic_load(&s->queue) != NULL && seq_try(s));
}

void seq_help(struct tide *d) {
    if (seq_try(&d->seq)) {
        seq_run(d, NULL);
    }
}

void seq_mend(struct tide *d) {
    struct sequencer *s = &d->seq;
    if (!seq_try(s)) {
        return; /* whoever writes publishes its words anyhow */
    }
    struct replica *r = s->leader;
    if (r != NULL && !atomic_load(&r->damaged)) {
        struct leader_board *lead = &d->log->leader;
        bool mended = ring_mend(&s->ring);
        if (board_state(r->view.board) != REPLICA_SERVING) { /* JOINING and LAPPED are for followers */
            board_set_state(r->view.board, REPLICA_SERVING);
            mended = true;
        }
        if (atomic_load(&lead->leader) != (int32_t)r->view.id || atomic_load(&lead->term) != s->ring.term) {
            atomic_store(&lead->term, s->ring.term);
            atomic_store(&lead->leader, (int32_t)r->view.id);
            mended = true;
        }
        if (atomic_load(&lead->deciding) != 0) { /* this thread has the turn, and decides nothing */
            atomic_store(&lead->deciding, 0);
            mended = true;
        }
        if (mended) {
            tide_logf(d, TIDE_LOG_WARN, "another process changed words of the leader's board: written again");
            atomic_store(&lead->parked, 1);
        }
        replica_mend_board(r);
        agree_lead(r);
        if (r->writer.evict != NULL) {
            evict_collect_idle(&r->writer, d->log);
        }
    }
    seq_run(d, NULL);
}

/*
 * A turn that goes from core to core brings some twenty lines along, and each look at it takes its own line from whoever has it. So a
 * writer stays away for longer each time, and both do many writes in a row. In the queue its request would cost the other writer more than
 * a write of its own.
 */
#define SEQ_AWAY_TRIES 10
#define SEQ_AWAY_FIRST 4u /* park_relax() */
#define SEQ_AWAY_MOST 128u

bool seq_try_again(struct sequencer *s) {
    uint32_t away = SEQ_AWAY_FIRST;
    for (int i = 0; i < SEQ_AWAY_TRIES; i++) {
        for (uint32_t k = 0; k < away; k++) {
            park_relax();
        }
        if (seq_try(s)) {
            return true;
        }
        away = away < SEQ_AWAY_MOST ? away * 2 : away;
    }
    return false;
}

static void seq_await(struct tide *d, struct seq_request *q) {
    struct sequencer *s = &d->seq;
    for (int spins = 0;; spins++) {
        if (atomic_load(&q->done) == SEQ_DONE) {
            return;
        }
        if (seq_try(s)) {
            seq_run(d, NULL);
            continue;
        }
        if (spins < SEQ_SPINS) {
            park_relax();
            continue;
        }
        uint32_t pending = SEQ_PENDING;
        if (atomic_compare_exchange_strong(&q->done, &pending, SEQ_ASLEEP) || pending == SEQ_ASLEEP) {
            park_wait(&q->done, SEQ_ASLEEP, UINT64_MAX);
        }
    }
}

static void seq_push(struct sequencer *s, struct seq_request *q) {
    atomic_store(&q->done, SEQ_PENDING);
    struct seq_request *head = atomic_load(&s->queue);
    do {
        q->next = head;
    } while (!atomic_compare_exchange_weak(&s->queue, &head, q));
}

int seq_submit(struct tide *d, struct seq_request *q) {
    struct sequencer *s = &d->seq;
    if (seq_try(s) || seq_try_again(s)) {
        seq_run(d, q);
        return q->result;
    }
    seq_push(s, q);
    seq_await(d, q);
    return q->result;
}

void seq_submit_all(struct tide *d, struct seq_request *requests, size_t n) {
    struct sequencer *s = &d->seq;
    for (size_t i = 0; i < n; i++) {
        seq_push(s, &requests[i]);
    }
    for (size_t i = 0; i < n; i++) {
        seq_await(d, &requests[i]);
    }
}

#define SEQ_SWEEP_POLL_NS 50000u

uint64_t seq_expire(struct tide *d, struct seq_sweep *sweep) {
    struct sequencer *s = &d->seq;
    if (!sweep->posted) {
        sweep->request = (struct seq_request){ .sweep = sweep };
        sweep->left_ns = sweep->longest_ns;
        sweep->armed = false;
        if (seq_try(s)) {
            seq_run(d, &sweep->request);
            return sweep->left_ns;
        }
        seq_push(s, &sweep->request);
        sweep->posted = true;
        if (seq_try(s)) { /* or nobody might look at the queue: see seq_run() */
            seq_run(d, NULL);
        }
    }
    sweep->posted = atomic_load(&sweep->request.done) != SEQ_DONE;
    return sweep->posted ? SEQ_SWEEP_POLL_NS : sweep->left_ns;
}

void seq_end_sweep(struct tide *d, struct seq_sweep *sweep) {
    if (sweep->posted) {
        seq_await(d, &sweep->request);
        sweep->posted = false;
    }
}

/* How many buckets there are, for writers that do not have the turn. */
static void seq_show(struct tide *d) {
    struct sequencer *s = &d->seq;
    const struct replica *r = s->leader;
    uint64_t count = r != NULL ? r->writer.buckets : 2;
    if (atomic_load(&s->ask_count) != count) { /* mostly it is the same, and the line stays others', too */
        atomic_store(&s->ask_count, count);
    }
}

void seq_refine_slow(struct tide *d) {
    struct sequencer *s = &d->seq;
    clock_refine(&d->log->clock);
    clock_learn(&s->clock, &d->log->clock);
    s->refine_ts = s->ring.last_ts + 10000000;
    seq_show(d);
}

/* A follower's process may have been killed: its pin would hold the leader up for slow_follower_ns, which may be long. */
static void seq_ring_waits(void *domain) {
    struct tide *d = domain;
    d->reap(d);
}

static void seq_take_over(struct sequencer *s) {
    while (!seq_try(s)) {
        park_nap(10000);
    }
}

void seq_lead(struct tide *d, struct replica *leader, uint32_t term, bool announce) {
    struct sequencer *s = &d->seq;
    seq_take_over(s);
    ring_writer_init(&s->ring, &d->ring, leader->pos, leader->applied + 1, leader->last_ts, term);
    s->ring.waits = seq_ring_waits;
    s->ring.waits_ctx = d;
    s->leader = leader;
    s->deciding = 0;
    clock_learn(&s->clock, &d->log->clock);
    atomic_store(&d->log->leader.deciding, 0); /* the leader before may have died over a decision, which is void then */
    agree_lead(leader);
    leader->writer.waits = seq_waits;
    leader->writer.waits_ctx = d;
    if (d->fed) { /* what was complete stays complete; an instant to come cannot be one */
        uint64_t ts = atomic_load(&d->log->feed.complete_ts); /* MO(feed.complete) */
        atomic_store(&s->complete_ts, ts <= clock_stamp(&d->log->clock) ? ts : 0);
    }
    seq_show(d);
    atomic_store(&s->ask_at, (uint8_t *)table_bucket_at(&leader->writer.t, 0));
    atomic_store(&s->put_short, d->put_most);
    atomic_store(&s->here, true);
    atomic_store(&d->log->leader.term, term);
    if (announce) {
        struct ring_entry e = { .type = FRAME_TERM, .lane_seq = atomic_load(&s->complete_ts) };
        ring_reserve(&s->ring, ring_frame_bytes(0, 0));
        ring_append(&s->ring, &e, clock_stamp(&d->log->clock));
        KILL_POINT("takeover.unannounced");
        ring_commit(&s->ring);
        KILL_POINT("takeover.term_committed");
        atomic_thread_fence(memory_order_seq_cst);
        leader->applied++;
        leader->pos = s->ring.tail;
        leader->last_ts = s->ring.last_ts;
        replica_note_index(leader);
        replica_publish(leader, leader->last_ts);
        atomic_store(&d->log->leader.parked,
                     1); /* the leader before may have died between taking the mark back and waking */
        seq_wake_followers(&d->log->leader);
    }
    atomic_store(&d->log->leader.leader, (int32_t)leader->view.id);
    seq_run(d, NULL); /* writers that queued meanwhile sleep until their requests are done */
}

void seq_unlead(struct tide *d) {
    struct sequencer *s = &d->seq;
    seq_take_over(s);
    if (s->leader != NULL) {
        agree_unlead(s->leader);
        s->leader->writer.waits = NULL;
    }
    s->leader = NULL;
    seq_show(d);
    atomic_store(&s->ask_at, NULL);
    atomic_store(&s->put_short, 0);
    atomic_store(&s->here, false);
    atomic_store(&d->log->leader.leader, -1);
    seq_run(d, NULL); /* answers what has queued, and lets go */
}
