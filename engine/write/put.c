/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tide_put()'s short way. This process leads, no other thread is at the sequencer, and memory for the new version is at
 * hand. Every other put takes the way of all writes: engine/write/write.c.
 *
 * Only the order differs. This way looks everything up before the commit, and does after `applied` whatever can wait.
 * So the time between commit and `applied`, in which a linearizable read has to wait, is a handful of stores. A key that is
 * not there is put into its bucket and counted in between, too, as on the long way.
 */
#include "engine/read/reader.h"
#include "engine/replica/replica.h"
#include "engine/log/sequencer.h"
#include "engine/table/evict.h"
#include "engine/table/table_slots.h"
#include "engine/write/write.h"
#include "shm/bytes.h"
#include "shm/crc.h"

#define PUT_KEY_MOST 256u
#define PUT_PAYLOAD_MOST (1024u - NODE_HEADER_BYTES)

_Static_assert(FRAME_HEADER_BYTES + PUT_PAYLOAD_MOST <= LAYOUT_RING_MIN / 4,
               "such a frame is no larger than any ring allows");

/* Are the arguments well-formed and small, and may this thread use the session? */
static inline bool put_is_common(const struct tide *d, const struct tide_reader *session, const void *key,
                                 size_t key_len, const void *value, size_t value_size) {
    return d != NULL && key != NULL && value != NULL && key_len - 1 < PUT_KEY_MOST && value_size < d->put_short &&
           atomic_load(&d->closed) == 0 && (session == NULL || (reader_is_mine(session) && session->domain == d)) &&
           atomic_load(&d->seq.here) && !rcu_inside();
}

/* Where values expire by default, the sequencer works out when. */
void write_open(struct tide *d) {
    d->put_short = d->words.default_ttl_ns == 0 && !d->fed ? PUT_PAYLOAD_MOST - PUT_KEY_MOST + 1 : 0;
}

/* One put: its arguments, and the memory found for it. */
struct put {
    const void *key, *value;
    size_t key_len, value_size;
    uint64_t hash, ring_bytes;
    uint32_t crc;
    uint64_t cost;
    uint32_t node;
    bool fresh; /* the key is not there */
    bool owed;  /* keys were evicted for it */
    struct table_place place;
};

static inline struct table_place put_place(const struct table_writer *w, const struct put *p) {
    return table_place_for(&w->t, table_bucket_at(&w->t, table_bucket_of(p->hash, w->buckets)), p->hash, p->key,
                           p->key_len);
}

/* Can this put take the short way: nothing to wait for, and no queue? The caller has the turn. False with p->fresh: the key is not
 * there, ask put_finds_new(). */
static inline bool put_finds_room(struct sequencer *s, struct put *p) {
    struct replica *r = s->leader;
    if (r == NULL || atomic_load(&s->queue) != NULL || table_is_damaged(&r->writer.t)) {
        return false;
    }
    struct table_writer *w = &r->writer;
    __builtin_prefetch(table_bucket_at(&w->t, table_bucket_of(p->hash, w->buckets)), 1);
    p->crc = crc32c_short(crc32c_short(0, p->key, p->key_len), p->value,
                          p->value_size); /* computed while the prefetched lines arrive */
    uint32_t class = arena_class(&w->arena, p->key_len + p->value_size);
    if (class == ARENA_LARGE || s->ring.tail + p->ring_bytes > s->ring.limit) {
        return false;
    }
    p->place = put_place(w, p);
    p->cost = w->arena.class[class].cost;
    /* MO(node.deleted): relaxed; the writer's own word. */
    if (__builtin_expect(p->place.node == 0 || atomic_load_explicit(&table_node_at(&w->t, p->place.node)->deleted,
                                                                    memory_order_relaxed) != 0,
                         0)) {
        p->fresh = true;
        return false;
    }
    uint64_t gone = arena_extent(&w->arena, p->place.node).cost;
    if (p->cost > gone && !arena_admits(&w->arena, p->cost, gone, 0, w->arena.limit)) {
        return false;
    }
    p->node = arena_take_small(&w->arena, class);
    return p->node != 0;
}

/* The same for a key that is not there. In a domain that evicts others go first, some of them for puts to come. */
static bool put_finds_new(struct tide *d, struct put *p) {
    struct table_writer *w = &d->seq.leader->writer;
    struct table_batch one = { .keys = 1, .cost = p->cost };
    bool room = table_admits_batch(w, &one, 0);
    if (w->evict != NULL) {
        evict_ask_ghost(w, p->hash);
    }
    while (!room && w->evict != NULL && table_could_admit(w, &one) && seq_evict_ahead(d)) {
        p->owed = true;
        room = !table_is_damaged(&w->t) && table_admits_batch(w, &one, 0);
    }
    if (!room || d->seq.ring.tail + p->ring_bytes > d->seq.ring.limit || table_is_short(w)) {
        return false;
    }
    if (p->owed) { /* what waited for memory was freed: buckets and old versions may have changed */
        p->place = put_place(w, p);
    }
    p->node = arena_take_small(&w->arena, arena_class(&w->arena, p->key_len + p->value_size));
    return p->node != 0;
}

static void put_insert(struct table_writer *w, const struct put *p, uint64_t index) {
    if (table_publish_rest(w, &p->place, p->node, p->hash, index) != 0) {
        table_note_damage(&w->t, w->t.seg, "its table, which has no overflow bucket for an entry,");
    }
}

/* Do the put. The caller has the turn. Returns the entry's index. */
static inline uint64_t put_do(struct tide *d, const struct put *p, bool fresh) {
    struct sequencer *s = &d->seq;
    struct replica *r = s->leader;
    struct table_writer *w = &r->writer;
    w->arena.live += p->cost;
    struct table_node *n = table_node_at(&w->t, p->node);
    table_node_begin(n, p->key_len, (uint32_t)p->value_size, p->place.node, p->crc); /* no slot leads to it */
    KILL_POINT("seq.reserved");
    struct ring_entry e = {
        .value_len = (uint32_t)p->value_size,
        .payload_crc = p->crc,
        .key_len = (uint16_t)p->key_len,
        .type = FRAME_PUT,
    };
    uint8_t *payload = ring_append_header(&s->ring, &e, clock_stamp(&d->log->clock));
    bytes_store_both(table_node_key(n), payload, p->key, p->key_len);
    bytes_store_both(table_node_key(n) + p->key_len, payload + p->key_len, p->value, p->value_size);
    uint64_t index = s->ring.next_index - 1;
    KILL_POINT("seq.copied");
    ring_commit(&s->ring);
    KILL_POINT("seq.published");
    if (fresh) {
        put_insert(w, p, index);
    } else {
        table_swap(w, &p->place, p->hash, p->node, index);
    }
    r->applied = index;
    r->pos = s->ring.tail;
    r->last_ts = s->ring.last_ts;
    KILL_POINT("seq.applied");
    replica_advance(r, r->last_ts);
    if (!fresh) {
        struct table_node *gone = table_node_at(&w->t, p->place.node);
        if (__builtin_expect(w->evict != NULL, 0)) {
            w->evict->replace(w, p->hash, gone, n);
        }
        table_count_swap(w, gone, p->place.node, n);
    }
    replica_note_index(r);
    replica_advanced(r);
    KILL_POINT("seq.unanswered");
    seq_count_group(d);
    seq_refine(d);
    KILL_POINT("put.done");
    return index;
}

/* Let the turn go, and serve the queue now: our own write may still fail and never reach the sequencer. */
static inline void put_leave(struct tide *d, bool owed) {
    seq_let_go(d, owed);
    if (__builtin_expect(atomic_load(&d->seq.queue) != NULL, 0)) {
        seq_help(d);
    }
}

static inline int put_done(const struct tide *d, struct tide_reader *session, uint64_t index,
                           struct tide_token *token) {
    if (session != NULL && index > session->fence) {
        session->fence = index;
    }
    if (token != NULL) {
        *token = (struct tide_token){ d->words.header.incarnation, index };
    }
    return 0;
}

/* The rest of a put that does not replace what is there, or not on the short way. This thread has the turn. */
static __attribute__((noinline, flatten)) int put_rest(struct tide *d, struct tide_reader *session, struct put *p,
                                                       struct tide_token *token) {
    if (p->fresh && put_finds_new(d, p)) {
        uint64_t index = put_do(d, p, true);
        put_leave(d, true);
        return put_done(d, session, index, token);
    }
    put_leave(d, p->owed);
    return write_put(d, session, p->key, p->key_len, p->value, p->value_size, token);
}

__attribute__((flatten)) /* inlines the hash, too */
int tide_put(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
             size_t value_size, struct tide_token *token) {
    if (__builtin_expect(!put_is_common(d, session, key, key_len, value, value_size), 0)) {
        return write_put(d, session, key, key_len, value, value_size, token);
    }
    struct put p = {
        .key = key,
        .value = value,
        .key_len = key_len,
        .value_size = value_size,
        .hash = XXH3_64bits_withSeed(key, key_len, d->hash_seed),
        .ring_bytes = ring_frame_bytes(key_len, value_size),
    };
    if (__builtin_expect(!seq_try(&d->seq), 0)) {
        return write_put(d, session, key, key_len, value, value_size, token);
    }
    if (__builtin_expect(!put_finds_room(&d->seq, &p), 0)) {
        struct put rest = p; /* only this copy's address is taken, so that p may stay in registers */
        return put_rest(d, session, &rest, token);
    }
    uint64_t index = put_do(d, &p, false);
    put_leave(d, true);
    return put_done(d, session, index, token);
}
