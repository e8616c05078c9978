/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tide_put()'s short way. This process leads, no other thread is at the sequencer, the key is there, and memory for the
 * new version is at hand. Every other put takes the way of all writes: engine/write/write.c.
 *
 * Only the order differs. This way looks everything up before the commit, and does after `applied` whatever can wait.
 * So the time between commit and `applied`, in which a linearizable read has to wait, is a handful of stores.
 */
#include "engine/read/reader.h"
#include "engine/replica/replica.h"
#include "engine/log/sequencer.h"
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
    struct table_place place;
};

/* Can this put take the short way: nothing to wait for, make, split or mark, and no queue? The caller has the turn. */
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
    p->place = table_place_for(&w->t, table_bucket_at(&w->t, table_bucket_of(p->hash, w->buckets)), p->hash, p->key,
                               p->key_len);
    /* MO(node.deleted): relaxed; the writer's own word. */
    if (p->place.node == 0 ||
        atomic_load_explicit(&table_node_at(&w->t, p->place.node)->deleted, memory_order_relaxed) != 0) {
        return false;
    }
    uint64_t gone = arena_extent(&w->arena, p->place.node).cost;
    p->cost = w->arena.class[class].cost;
    if (p->cost > gone && !arena_admits(&w->arena, p->cost, gone, 0, w->arena.limit)) {
        return false;
    }
    p->node = arena_take_small(&w->arena, class);
    return p->node != 0;
}

/* Do the put. The caller has the turn. Returns the entry's index. */
static inline uint64_t put_do(struct tide *d, struct put *p) {
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
    table_swap(w, &p->place, p->hash, p->node, index);
    r->applied = index;
    r->pos = s->ring.tail;
    r->last_ts = s->ring.last_ts;
    KILL_POINT("seq.applied");
    replica_advance(r, r->last_ts);
    if (__builtin_expect(w->evict != NULL, 0)) {
        w->evict->replace(w, p->hash, table_node_at(&w->t, p->place.node), n);
    }
    table_count_swap(w, table_node_at(&w->t, p->place.node), p->place.node, n);
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
        put_leave(d, false);
        return write_put(d, session, key, key_len, value, value_size, token);
    }
    uint64_t index = put_do(d, &p);
    put_leave(d, true);
    if (session != NULL && index > session->fence) {
        session->fence = index;
    }
    if (token != NULL) {
        *token = (struct tide_token){ d->words.header.incarnation, index };
    }
    return 0;
}
