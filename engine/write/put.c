/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tide_put()'s short way. This process leads, no other thread is at the sequencer, and memory for the new version is at
 * hand. Every other put takes the way of all writes: engine/write/write.c.
 *
 * Only the order differs. This way looks everything up before the commit, and does after `applied` whatever can wait.
 * So the time between commit and `applied`, in which a linearizable read has to wait, is a handful of stores. A key that is
 * not there is put into its bucket and counted in between, too, as on the long way.
 *
 * Three lines depend on one another: the key, its bucket, the version that is there. Each is asked for as early as it is known, and what
 * needs none of them is done meanwhile: the version is looked at last, when the new one and its frame are written already. They are
 * dropped if it is not what was expected: nothing leads to the node, and the frame is no part of the log yet.
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
    return d != NULL && key != NULL && value != NULL && key_len - 1 < PUT_KEY_MOST &&
           value_size < atomic_load(&d->seq.put_short) && atomic_load(&d->closed) == 0 &&
           (session == NULL || (reader_is_mine(session) && session->domain == d)) && !rcu_inside();
}

/* Where values expire by default, the sequencer works out when. */
void write_open(struct tide *d) {
    d->put_most = d->words.default_ttl_ns == 0 && !d->fed ? PUT_PAYLOAD_MOST - PUT_KEY_MOST + 1 : 0;
}

/* One put: its arguments, and the memory found for it. A compiler keeps it in registers as long as nobody takes its address: what the short
 * way does not inline gets a copy. */
struct put {
    const void *key, *value;
    size_t key_len, value_size;
    uint64_t hash, ring_bytes;
    uint32_t crc, class;
    uint32_t cost, node;            /* of the new version */
    bool reused;                    /* the node is limbo_reuse()'s */
    uint32_t gone_cost, gone_bytes; /* of the node that it replaces */
    struct table_bucket *b;         /* where that one is */
    uint32_t slot, gone;
    struct table_node *come, *old; /* those two nodes */
};

static inline struct table_place put_place(const struct put *p) {
    return (struct table_place){ p->b, p->slot, p->gone };
}

/* Find the key's node in all of its bucket. */
static __attribute__((noinline)) struct table_place put_find_all(const struct table_writer *w, struct table_bucket *b,
                                                                 uint64_t hash, const void *key, size_t key_len) {
    return table_place_for(&w->t, b, hash, key, key_len);
}

static inline struct table_place put_find(const struct table_writer *w, uint64_t hash, const void *key,
                                          size_t key_len) {
    struct table_bucket *b = table_bucket_at(&w->t, table_bucket_now(w, hash));
    if (table_match_bucket(b, hash) == 0 && table_tag_word(b, 8) >> 32 == 0) {
        return (struct table_place){ 0 };
    }
    return put_find_all(w, b, hash, key, key_len);
}

static inline void put_take_place(const struct table_writer *w, struct put *p, const struct table_place *place) {
    p->b = place->b;
    p->slot = place->slot;
    p->gone = place->node;
    p->old = table_node_at(&w->t, p->gone);
}

/* Is there nothing to wait for? The caller has the turn. What has queued comes after its own put, as on the long way. */
static inline bool put_begins(struct tide *d, uint64_t ring_bytes) {
    struct sequencer *s = &d->seq;
    struct replica *r = s->leader;
    if (r == NULL || table_is_damaged(&r->writer.t)) {
        return false;
    }
    return s->ring.tail + ring_bytes <= s->ring.limit;
}

/* Which node is it likely to replace? Ask for that one. False: the bucket has none. */
static inline bool put_guesses(const struct table_writer *w, struct put *p) {
    p->b = table_bucket_at(&w->t, table_bucket_now(w, p->hash));
    uint32_t match = table_match_bucket(p->b, p->hash);
    if (__builtin_expect(match == 0, 0)) {
        return false;
    }
    p->slot = (uint32_t)__builtin_ctz(match);
    p->gone = table_slot_at(p->b, p->slot);
    p->old = table_node_at(&w->t, p->gone);
    const uint8_t *at = (const uint8_t *)p->old; /* an impossible address is not prefetched */
    __builtin_prefetch(at);
    __builtin_prefetch(at + NODE_HEADER_BYTES); /* the key may lie on the next line */
    return true;
}

/* Write the new version and its frame. Neither is to be seen yet. */
static inline void put_prepare(struct tide *d, struct put *p) {
    struct sequencer *s = &d->seq;
    struct table_node *n = p->come = table_node_at(&s->leader->writer.t, p->node);
    KILL_POINT("seq.reserved");
    table_node_begin(n, p->key_len, (uint32_t)p->value_size, p->gone, p->crc); /* no slot leads to it */
    struct ring_entry e = {
        .value_len = (uint32_t)p->value_size,
        .payload_crc = p->crc,
        .key_len = (uint16_t)p->key_len,
        .type = FRAME_PUT,
    };
    uint8_t *payload = ring_prepare(&s->ring, &e, p->ring_bytes, clock_stamp_own(&s->clock, &d->log->clock));
    bytes_store_both(table_node_key(n), payload, p->key, p->key_len);
    bytes_store_both(table_node_key(n) + p->key_len, payload + p->key_len, p->value, p->value_size);
}

/* Is the node that was guessed the key's, and small, and is there room for one that takes more? */
static inline bool put_is_right(const struct table_writer *w, struct put *p) {
    const struct table_node *gone = p->old;
    /* MO(node.deleted): relaxed; the writer's own word. */
    if (__builtin_expect(!table_node_fits(&w->t, p->gone, p->key_len) || !table_key_is(gone, p->key, p->key_len) ||
                             atomic_load_explicit(&gone->deleted, memory_order_relaxed) != 0,
                         0)) {
        return false;
    }
    const struct arena_page *page = arena_page_with(&w->arena, p->gone);
    if (__builtin_expect(page != NULL && arena_page_is(page, p->class), 1)) { /* as large as the new one */
        p->gone_bytes = w->arena.class[p->class].bytes;
        p->gone_cost = p->cost;
        return true;
    }
    struct arena_extent e = arena_extent(&w->arena, p->gone);
    p->gone_bytes = (uint32_t)e.bytes;
    p->gone_cost = (uint32_t)e.cost;
    return e.class != ARENA_LARGE && e.cost <= w->arena.live &&
           (p->cost <= e.cost || arena_admits(&w->arena, p->cost, e.cost, 0, w->arena.limit));
}

/* After table_swap(): count the new version in place of the old one. */
static inline void put_count(struct table_writer *w, const struct put *p, uint64_t index) {
    struct table_node *gone = p->old;
    if (__builtin_expect(w->evict != NULL, 0)) {
        w->evict->replace(w, p->hash, gone, p->come);
    }
    w->digest += table_node_digest(index, p->crc) - table_digest_of(gone);
    /* MO(node.fields): relaxed; the writer's own node. */
    table_count_bytes(w, p->key_len, node_value_len(atomic_load_explicit(&gone->value_len, memory_order_relaxed)),
                      p->value_size);
    w->arena.live += (uint64_t)p->cost - p->gone_cost;
    limbo_push(w, LIMBO_FREE, p->gone, p->gone_bytes);
}

/* What is due from time to time. Digest marks are, and each look at the others may be, at multiples of LIMBO_STEP. */
_Static_assert(LAYOUT_DIGEST_EVERY % LIMBO_STEP == 0, "no digest mark is missed");
static inline void put_tends(struct tide *d, struct replica *r, uint64_t index) {
    struct table_writer *w = &r->writer;
    size_t came = limbo_came(w);
    if (__builtin_expect((index % LIMBO_STEP == 0) | (came > 1) | (w->open.bytes > w->heavy), 0)) {
        replica_note_index(r);
        limbo_work(w, came);
        seq_refine(d);
    }
    compact_step(w);
}

static void put_insert(struct table_writer *w, const struct put *p, uint64_t index) {
    struct table_place place = put_place(p);
    w->arena.live += p->cost;
    if (table_publish_rest(w, &place, p->node, p->hash, index) != 0) {
        table_note_damage(&w->t, w->t.seg, "its table, which has no overflow bucket for an entry,");
    }
}

/* Do the put, which is prepared. The caller has the turn. Returns the entry's index. */
static inline uint64_t put_do(struct tide *d, const struct put *p, bool fresh) {
    struct sequencer *s = &d->seq;
    struct replica *r = s->leader;
    struct table_writer *w = &r->writer;
    uint64_t index = s->ring.next_index;
    ring_advance(&s->ring, p->ring_bytes);
    KILL_POINT("seq.copied");
    ring_commit(&s->ring);
    KILL_POINT("seq.published");
    if (fresh) {
        put_insert(w, p, index);
    } else {
        table_swap_at(p->b, p->slot, p->come, p->node, index);
        if (__builtin_expect(w->cleared < w->buckets, 0)) {
            struct table_place place = put_place(p);
            table_replace_twins(w, &place, p->hash, p->node);
        }
    }
    r->applied = index;
    r->pos = s->ring.tail;
    r->last_ts = s->ring.last_ts;
    KILL_POINT("seq.applied");
    replica_advance(r, r->last_ts);
    if (!fresh) {
        put_count(w, p, index);
    }
    replica_advanced_counts(r);
    put_tends(d, r, index);
    replica_advanced_wake(r);
    KILL_POINT("seq.unanswered");
    seq_count_group(d);
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

/* ---- what is no replacement, or no small one ------------------------------------------------------------------------------- */

/* Is there room for a key that is not there? In a domain that evicts others go first, some of them for puts to come. *owed: keys were
 * removed for it. */
static bool put_finds_new(struct tide *d, struct put *p, bool *owed) {
    struct table_writer *w = &d->seq.leader->writer;
    struct table_batch one = { .keys = 1, .cost = p->cost };
    bool room = table_admits_batch(w, &one, 0);
    if (w->evict != NULL) {
        evict_ask_ghost(w, p->hash);
    }
    while (!room && w->evict != NULL && table_could_admit(w, &one) && seq_remove_ahead(d)) {
        *owed = true;
        room = !table_is_damaged(&w->t) && table_admits_batch(w, &one, 0);
    }
    if (!room || d->seq.ring.tail + p->ring_bytes > d->seq.ring.limit || table_is_short(w)) {
        return false;
    }
    if (*owed) { /* what waited for memory was freed: buckets and old versions may have changed */
        struct table_place place = put_find(w, p->hash, p->key, p->key_len);
        put_take_place(w, p, &place);
    }
    p->node = limbo_reuse(w, p->class);
    p->node = p->node != 0 ? p->node : arena_take_small(&w->arena, p->class);
    return p->node != 0;
}

/* Find what the guess has missed. True: the put can be done, all is prepared; *fresh: as one of a key that is not there. */
static bool put_recovers(struct tide *d, struct put *p, bool *fresh, bool *owed) {
    struct table_writer *w = &d->seq.leader->writer;
    struct table_place place = put_find(w, p->hash, p->key, p->key_len);
    put_take_place(w, p, &place);
    p->class = arena_class(&w->arena, p->key_len + p->value_size);
    if (p->class == ARENA_LARGE) {
        return false;
    }
    p->cost = w->arena.class[p->class].cost;
    /* MO(node.deleted): relaxed; the writer's own word. */
    *fresh = p->gone == 0 || atomic_load_explicit(&p->old->deleted, memory_order_relaxed) != 0;
    if (*fresh ? !put_finds_new(d, p, owed)
               : !put_is_right(w, p) || (p->node = arena_take_small(&w->arena, p->class)) == 0) {
        return false;
    }
    put_prepare(d, p);
    return true;
}

/* Put it on the short way nevertheless, or on the way of all writes. This thread has the turn. */
static __attribute__((noinline, flatten)) int put_rest(struct tide *d, struct tide_reader *session, struct put *p,
                                                       struct tide_token *token, bool begun) {
    bool fresh = false, owed = false;
    if (begun && put_recovers(d, p, &fresh, &owed)) {
        uint64_t index = put_do(d, p, fresh);
        put_leave(d, true);
        return put_done(d, session, index, token);
    }
    put_leave(d, owed);
    return write_put(d, session, p->key, p->key_len, p->value, p->value_size, token);
}

/* ---- the short way --------------------------------------------------------------------------------------------------------- */

/* Prepare the replacement of a small node. False: not on this way; nothing was changed. */
static inline bool put_readies(struct tide *d, struct put *p) {
    struct table_writer *w = &d->seq.leader->writer;
    if (!put_guesses(w, p)) {
        return false;
    }
    p->class = arena_class(&w->arena, p->key_len + p->value_size);
    if (p->class == ARENA_LARGE) {
        return false;
    }
    p->node = limbo_reuse(w, p->class);
    p->reused = p->node != 0;
    if (__builtin_expect(!p->reused, 0) && (p->node = arena_take_small(&w->arena, p->class)) == 0) {
        return false;
    }
    p->cost = w->arena.class[p->class].cost;
    put_prepare(d, p);
    if (__builtin_expect(!put_is_right(w, p), 0)) {
        if (p->reused) {
            limbo_give_back(w);
        } else {
            arena_give_back(&w->arena, p->class);
        }
        return false;
    }
    return true;
}

__attribute__((flatten)) /* inlines the hash, too */
int tide_put(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
             size_t value_size, struct tide_token *token) {
    if (__builtin_expect(!put_is_common(d, session, key, key_len, value, value_size), 0)) {
        return write_put(d, session, key, key_len, value, value_size, token);
    }
    struct put p;
    p.key = key;
    p.value = value;
    p.key_len = key_len;
    p.value_size = value_size;
    p.hash = XXH3_64bits_withSeed(key, key_len, d->hash_seed);
    p.ring_bytes = ring_frame_bytes(key_len, value_size);
    seq_ask(&d->seq, p.hash);
    p.crc = crc32c_short(crc32c_short(0, key, key_len), value, value_size); /* while the bucket arrives */
    if (__builtin_expect(!seq_try(&d->seq), 0) && !seq_try_again(&d->seq)) {
        return write_put(d, session, key, key_len, value, value_size, token);
    }
    bool begun = put_begins(d, p.ring_bytes);
    if (__builtin_expect(!begun || !put_readies(d, &p), 0)) {
        struct put rest = { .key = key,
                            .value = value,
                            .key_len = key_len,
                            .value_size = value_size,
                            .hash = p.hash,
                            .ring_bytes = p.ring_bytes,
                            .crc = p.crc };
        return put_rest(d, session, &rest, token, begun);
    }
    uint64_t index = put_do(d, &p, false);
    put_leave(d, true);
    return put_done(d, session, index, token);
}
