/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The slots of a table's buckets, as its one writer sees them, and the replacement of a value, which is what most puts
 * do. Inline, since a put is some hundred instructions and each call around them costs ten.
 */
#ifndef TIDE_TABLE_TABLE_SLOTS_H
#define TIDE_TABLE_TABLE_SLOTS_H

#include "engine/table/kill.h"
#include "engine/table/limbo.h"
#include "engine/table/table.h"

static inline uint64_t table_tag_word(const struct table_bucket *b, uint32_t i) {
    /* MO(table.tag): relaxed; the writer reads its own words. */
    return atomic_load_explicit(&b->tags[i / 8], memory_order_relaxed);
}

static inline uint64_t table_tag_at(const struct table_bucket *b, uint32_t i) {
    return table_tag_word(b, i) >> (i % 8 * 8) & 0xff;
}

static inline uint32_t table_slot_at(const struct table_bucket *b, uint32_t i) {
    return atomic_load_explicit(&b->slots[i], memory_order_relaxed); /* MO(table.slot): the writer's own */
}

static inline void table_set_tag(struct table_bucket *b, uint32_t i, uint64_t tag) {
    uint64_t shift = i % 8 * 8;
    uint64_t word = (table_tag_word(b, i) & ~(UINT64_C(0xff) << shift)) | tag << shift;
    /* MO(table.tag): release; the slot before its tag. Pairs with the acquire in table_chain_find(). */
    atomic_store_explicit(&b->tags[i / 8], word, memory_order_release);
}

static inline void table_set_node(struct table_bucket *b, uint32_t i, uint32_t node) {
    /* MO(table.slot): release; the node before its slot. Pairs with the acquire in table_chain_find(). */
    atomic_store_explicit(&b->slots[i], node, memory_order_release);
}

static inline struct table_bucket *table_overflow(const struct table *t, const struct table_bucket *b,
                                                  uint32_t *links) {
    return (struct table_bucket *)(uintptr_t)table_follow(t, b, table_tag_word(b, 8), links);
}

/* The node that slot i, whose tag is not 0, leads to. 0: its header is not inside the segment, which is noted as damage. The slot's word is
 * loaded once: another process may change it after the check. */
static inline uint32_t table_slot_node(const struct table *t, const struct table_bucket *b, uint32_t i) {
    uint32_t node = table_slot_at(b, i);
    if (__builtin_expect(!table_node_fits(t, node, 0), 0)) {
        table_note_damage(t, b, "a slot");
        return 0;
    }
    return node;
}

struct table_place {
    struct table_bucket *b;
    uint32_t slot;
    uint32_t node; /* 0: no node is there */
};

/* Find the slot in this chain that holds `node` itself. Where another process changed its tag, in table.c. */
bool table_place_astray(const struct table *t, struct table_bucket *b, uint32_t node, struct table_place *out);
static inline bool table_place_of(const struct table *t, struct table_bucket *first, uint32_t node, uint64_t tag,
                                  struct table_place *out) {
    struct table_bucket *b = first;
    for (uint32_t links = 0; b != NULL; b = table_overflow(t, b, &links)) {
        for (uint32_t m = table_match(table_tag_word(b, 0), table_tag_word(b, 8), tag); m != 0; m &= m - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(m);
            if (table_slot_at(b, i) == node) {
                *out = (struct table_place){ b, i, node };
                return true;
            }
        }
    }
    return table_place_astray(t, first, node, out);
}

static inline struct table_place table_place_for(const struct table *t, struct table_bucket *b, uint64_t hash,
                                                 const void *key, size_t key_len) {
    uint64_t tag = table_tag(hash);
    for (uint32_t links = 0; b != NULL; b = table_overflow(t, b, &links)) {
        for (uint32_t m = table_match(table_tag_word(b, 0), table_tag_word(b, 8), tag); m != 0; m &= m - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(m);
            uint32_t node = table_slot_at(b, i);
            if (__builtin_expect(!table_node_fits(t, node, key_len), 0)) {
                table_note_misfit(t, b, node, key_len);
                continue;
            }
            if (table_key_is(table_node_at(t, node), key, key_len)) {
                return (struct table_place){ b, i, node };
            }
        }
    }
    return (struct table_place){ 0 };
}

/* Write the header of a node that no slot leads to. */
static inline void table_node_begin(struct table_node *n, size_t key_len, uint32_t value_word, uint32_t prev,
                                    uint32_t crc) {
    /* MO(node.index): 0 and a release fence before anything of the node changes: a reader in another process that copied
     * it meanwhile sees another index afterwards. Pairs with the acquire in validated reads. */
    atomic_store_explicit(&n->index, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* MO(node.index) */
    /* MO(node.deleted), MO(node.fields), MO(node.prev): relaxed; the node is published by its slot afterwards. Two words hold the other six
     * fields; the last one's upper half is key_len, heat 0, flags 0. */
    atomic_store_explicit(&n->deleted, 0, memory_order_relaxed);
    bytes_store_word((uint8_t *)n + offsetof(struct table_node, prev), prev | (uint64_t)crc << 32);
    bytes_store_word((uint8_t *)n + offsetof(struct table_node, value_len), value_word | (uint64_t)key_len << 32);
}
_Static_assert(offsetof(struct table_node, crc) == offsetof(struct table_node, prev) + 4 &&
                   offsetof(struct table_node, key_len) == offsetof(struct table_node, value_len) + 4 &&
                   offsetof(struct table_node, flags) == offsetof(struct table_node, value_len) + 7,
               "the words that table_node_begin() stores");

/* ---- replacing a value -------------------------------------------------------------------------------------------------- */

/* While splits are not cleared: replace the node in the buckets that the key is being moved out of, too. In table.c. */
void table_replace_twins(struct table_writer *w, const struct table_place *p, uint64_t hash, uint32_t node);

/* Make a slot lead to a filled node. */
static inline void table_swap_at(struct table_bucket *b, uint32_t slot, struct table_node *n, uint32_t node,
                                 uint64_t index) {
    /* MO(node.index): release; the node's bytes before its index, for readers that validate by it. */
    atomic_store_explicit(&n->index, index, memory_order_release);
    table_set_node(b, slot, node);
    KILL_POINT("table.replaced");
}

/* Make the place lead to a filled node, whose `prev` is the place's node: the key's value as of `index`. A slot never
 * leads to a free node. */
static inline void table_swap(struct table_writer *w, const struct table_place *p, uint64_t hash, uint32_t node,
                              uint64_t index) {
    table_swap_at(p->b, p->slot, table_node_at(&w->t, node), node, index);
    if (__builtin_expect(w->cleared < w->buckets, 0)) {
        const struct table_place place = *p; /* only this copy's address is taken, so that *p may stay in registers */
        table_replace_twins(w, &place, hash, node);
    }
}

static inline void table_count_more(_Atomic uint64_t *count, uint64_t more) {
    uint64_t n = atomic_load_explicit(count, memory_order_relaxed); /* MO(stats): the writer's own */
    atomic_store_explicit(count, n + more, memory_order_relaxed);   /* MO(stats) */
}

/* Where a key and value of so many bytes together are counted. */
static inline struct size_count *table_size_of(const struct table_writer *w, uint64_t bytes) {
    uint32_t k = bytes > 16 ? 60 - (uint32_t)__builtin_clzll(bytes - 1) : 0;
    return &w->t.seg->sizes[k < LAYOUT_SIZES ? k : LAYOUT_SIZES - 1];
}

/* A key is there, with so many bytes; it is no longer. */
static inline void table_count_size(struct table_writer *w, uint64_t bytes) {
    struct size_count *s = table_size_of(w, bytes);
    table_count_more(&w->t.seg->live_bytes, bytes);
    table_count_more(&s->keys, 1);
    table_count_more(&s->bytes, bytes);
}

static inline void table_uncount_size(struct table_writer *w, uint64_t bytes) {
    struct size_count *s = table_size_of(w, bytes);
    table_count_more(&w->t.seg->live_bytes, 0 - bytes);
    table_count_more(&s->keys, UINT64_MAX);
    table_count_more(&s->bytes, 0 - bytes);
}

/* In table.c. */
void table_count_resized(struct table_writer *w, uint64_t gone, uint64_t came);

/* Its value had `gone` bytes and has `came`. */
static inline void table_count_bytes(struct table_writer *w, uint64_t key_len, uint64_t gone, uint64_t came) {
    if (__builtin_expect(gone != came, 0)) {
        table_count_resized(w, key_len + gone, key_len + came);
    }
}

/* A live node's share of the digest. */
static inline uint64_t table_digest_of(const struct table_node *n) {
    /* MO(node.index), MO(node.fields): relaxed; the writer's own nodes. */
    return table_node_digest(atomic_load_explicit(&n->index, memory_order_relaxed),
                             atomic_load_explicit(&n->crc, memory_order_relaxed));
}

/* The node leaves the state; its memory is free after a grace period. */
static inline void table_retire(struct table_writer *w, uint32_t node) {
    struct arena_extent e = arena_extent(&w->arena, node);
    if (__builtin_expect(e.bytes == 0 || e.cost > w->arena.live, 0)) {
        table_note_damage(&w->t, table_node_at(&w->t, node), "a node where none was given out");
        return;
    }
    arena_forget(&w->arena, &e);
    limbo_push(w, LIMBO_FREE, node, e.bytes);
}

/* After table_swap(): count node `come` in place of `gone`, a live node of the same key that readers may hold for one
 * more grace period. The arena has counted both already. */
static inline void table_count_swap(struct table_writer *w, const struct table_node *gone, uint32_t gone_node,
                                    const struct table_node *come) {
    w->digest += table_digest_of(come) - table_digest_of(gone);
    table_count_bytes(
        w, atomic_load_explicit(&gone->key_len, memory_order_relaxed),                 /* MO(node.fields) */
        node_value_len(atomic_load_explicit(&gone->value_len, memory_order_relaxed)),  /* MO(node.fields) */
        node_value_len(atomic_load_explicit(&come->value_len, memory_order_relaxed))); /* MO(node.fields) */
    table_retire(w, gone_node);
}

/* The rest of table_publish(): the key is missing, deleted, or newer than `index`. In table.c. */
int table_publish_rest(struct table_writer *w, const struct table_place *p, uint32_t node, uint64_t hash,
                       uint64_t index);

/* The node is not evicted. Before it is published. */
static inline void table_node_keep(struct table_node *n) {
    atomic_store_explicit(&n->flags, NODE_KEEP, memory_order_relaxed); /* MO(node.fields) */
}

/* A node that expires becomes part of the state. */
static inline void table_note_expiry(struct table_writer *w, uint64_t hash, uint64_t expiry) {
    expiry_lower(&w->expiry, table_bucket_now(w, hash), expiry != 0 ? expiry : 1);
}

/* Make a filled node the key's value as of `index`. Where the table already holds the same or a newer version (joining), the
 * node is dropped. 0, or -1 when no overflow bucket could be had (the node is dropped then). */
static inline int table_publish(struct table_writer *w, uint32_t node, uint64_t hash, uint64_t index,
                                uint32_t payload_crc) {
    struct table_node *n = table_node_at(&w->t, node);
    struct table_bucket *b = table_bucket_at(&w->t, table_bucket_now(w, hash));
    struct table_lengths len;
    if (__builtin_expect(!table_lengths_of(&w->t, n, &len), 0)) {
        return -1; /* another process changed it since it was filled */
    }
    if (__builtin_expect(len.extra != 0, 0)) {
        uint64_t expiry = table_node_expiry(n, &len);
        if (expiry != NEVER_EXPIRES) {
            table_note_expiry(w, hash, expiry);
        }
    }
    struct table_place p = table_place_for(&w->t, b, hash, table_node_key(n), len.key);
    atomic_store_explicit(&n->crc, payload_crc, memory_order_relaxed); /* MO(node.fields) */
    struct table_node *old = table_node_at(&w->t, p.node);
    /* MO(node.index), MO(node.deleted): relaxed; the writer's own words. */
    if (__builtin_expect(p.node == 0 || atomic_load_explicit(&old->index, memory_order_relaxed) >= index ||
                             atomic_load_explicit(&old->deleted, memory_order_relaxed) != 0,
                         0)) {
        const struct table_place place = p; /* as in table_swap() */
        return table_publish_rest(w, &place, node, hash, index);
    }
    /* MO(node.prev): relaxed; published with the slot. */
    atomic_store_explicit(&n->prev, p.node, memory_order_relaxed);
    table_swap(w, &p, hash, node, index);
    if (__builtin_expect(w->evict != NULL, 0)) {
        w->evict->replace(w, hash, old, n);
    }
    table_count_swap(w, old, p.node, n);
    return 0;
}

/*
 * table_publish() for the common case of a table that is being filled: the key is new, and its first bucket has an empty slot. False: it is not
 * so; nothing was done. What is the same after many of them as after each is left to table_note_came(), and growing to the caller, who asks
 * table_is_roomy() before.
 */
static inline bool table_publish_new(struct table_writer *w, uint32_t node, uint64_t hash, uint64_t index,
                                     size_t key_len, size_t value_len, uint32_t payload_crc) {
    struct table_bucket *b = table_bucket_at(&w->t, table_bucket_now(w, hash));
    uint64_t lo = table_tag_word(b, 0), hi = table_tag_word(b, 8), tag = table_tag(hash);
    uint32_t empty = table_match(lo, hi, 0);
    if (__builtin_expect(hi >> 32 != 0 || empty == 0 || table_match(lo, hi, tag) != 0, 0)) {
        return false;
    }
    /* MO(node.index): release; as in table_swap(). */
    atomic_store_explicit(&table_node_at(&w->t, node)->index, index, memory_order_release);
    uint32_t i = (uint32_t)__builtin_ctz(empty);
    table_set_node(b, i, node);
    table_set_tag(b, i, tag);
    w->digest += table_node_digest(index, payload_crc);
    w->keys++;
    table_count_size(w, key_len + value_len);
    if (__builtin_expect(w->evict != NULL, 0)) {
        w->evict->insert(w, hash, table_node_at(&w->t, node));
    }
    return true;
}

/* Hash the key of the node in slot i, whose tag is not 0. False: the slot leads nowhere, or the key's length is
 * impossible. */
static inline bool table_slot_hash(const struct table *t, const struct table_bucket *b, uint32_t i, uint64_t *hash) {
    struct table_lengths len;
    uint32_t node = table_slot_node(t, b, i);
    const struct table_node *n = table_node_at(t, node);
    if (node == 0 || !table_lengths_of(t, n, &len)) {
        return false;
    }
    *hash = table_hash(t, table_node_key(n), len.key);
    return true;
}

static inline uint64_t table_split_source(uint64_t bucket) {
    return bucket - (UINT64_C(1) << (63 - __builtin_clzll(bucket)));
}

/* Slots or links change from here on, or have changed: a reader in another process that finds nothing meanwhile looks again. */
static inline void table_reorganise(struct table_writer *w) {
    uint64_t was = atomic_load_explicit(&w->t.seg->reorganised, memory_order_relaxed); /* MO(table.reorganised) */
    /* MO(table.reorganised): a seqlock with one writer: odd before slots change (release fence), even after (release). No load of
     * the writer's has to wait for either. */
    atomic_store_explicit(&w->t.seg->reorganised, was + 1, memory_order_release);
    atomic_thread_fence(memory_order_release); /* MO(table.reorganised) */
}

/*
 * Splits and deletions leave keys in slots until a grace period has ended. A writer that outruns the grace periods would fill overflow
 * buckets with them, and pages of nodes. Then a new key waits: table_drain() gives slots back.
 */
static inline bool table_is_short(const struct table_writer *w) {
    return __builtin_expect(w->due > w->due_most, 0) && w->spare.count == 0 &&
           w->overflow_off - table_buckets_end(w) < w->due_most * sizeof(struct table_bucket);
}

/* Can so many new keys come, and nothing has to grow, to wait, or to be moved? */
static inline bool table_is_roomy(const struct table_writer *w, uint64_t keys) {
    return w->keys + keys <= w->buckets * TABLE_LOAD && (w->buckets & (w->buckets - 1)) == 0 && !table_is_short(w) &&
           !w->arena.exhausted && w->arena.demand == 0;
}

/* table_node_new() for an entry whose turn has not come. False: it would have to wait. The reserve for moves is for the entry before it. */
static inline bool table_node_ahead(struct table_writer *w, size_t key_len, uint32_t value_word, uint32_t *node) {
    if (table_is_short(w) || w->arena.exhausted) {
        return false;
    }
    uint64_t payload = node_payload_bytes(key_len, value_word);
    uint32_t class = arena_class(&w->arena, payload);
    *node = class != ARENA_LARGE ? limbo_reuse(w, class) : 0;
    if (__builtin_expect(*node == 0, 0) && (*node = arena_take(&w->arena, payload)) == 0) {
        return false;
    }
    table_node_begin(table_node_at(&w->t, *node), key_len, value_word, 0, 0);
    return true;
}

/* The node becomes part of the state. */
static inline void table_node_count(struct table_writer *w, uint32_t node) {
    struct arena_extent e = arena_extent(&w->arena, node);
    arena_count(&w->arena, &e);
}

#endif
