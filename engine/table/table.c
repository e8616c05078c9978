/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/table.h"

#include <stdlib.h>

#include "engine/table/kill.h"
#include "engine/table/limbo.h"
#include "engine/table/table_slots.h"
#include "shm/crc.h"
#include "shm/lag.h"

/* Keys for each bucket, of 12 slots, at most. Beyond that the number of buckets doubles, two with each new key, so that nearly
 * always all buckets are equally full: between 4 and 8, and one key in a hundred has to be looked for in an overflow bucket.
 * If it grew evenly instead, one bucket for so many keys, those not yet split would hold twice what the others do; then at
 * a mean of 6 already four in a hundred overflow, and each costs a get a branch that nobody can foresee. */
#define TABLE_LOAD 8u
#define TABLE_BUCKETS_MIN 64u
#define TABLE_BUCKETS_MOST (UINT64_C(1) << 40) /* more than any segment has room for */
#define TABLE_PAGE 4096u
#define TABLE_BATCH 2048u

static uint64_t table_round(uint64_t bytes, uint64_t to) {
    return (bytes + to - 1) / to * to;
}

static uint64_t table_fixed_bytes(void) {
    return table_round(sizeof(struct table_segment), LAYOUT_PAIR) + table_round(lag_all_size_bytes(), LAYOUT_PAIR) +
           table_round(lag_windows_size_bytes(), LAYOUT_PAIR);
}

uint64_t table_segment_bytes(uint64_t table_bytes) {
    return table_round(table_fixed_bytes(), TABLE_PAGE) + table_round(table_bytes, TABLE_PAGE);
}

/* So many buckets a table of `keys` keys comes to have. */
static uint64_t table_buckets_for(uint64_t keys) {
    if (keys <= TABLE_BUCKETS_MIN * TABLE_LOAD) {
        return TABLE_BUCKETS_MIN;
    }
    uint64_t full = (keys - 1) / TABLE_LOAD; /* the least power of two above that */
    return full < TABLE_BUCKETS_MOST ? UINT64_C(2) << (63 - __builtin_clzll(full)) : TABLE_BUCKETS_MOST;
}

void table_note_damage(const struct table *t, const void *at, const char *what) {
    const char *none = NULL;
    /* MO(table.damage): sequentially consistent, and rare. */
    if (t->own != NULL && atomic_compare_exchange_strong(&t->own->damage, &none, what)) {
        atomic_store(&t->own->damage_off, (uint64_t)((const uint8_t *)at - t->base));
    }
}

int table_create(struct table_writer *w, uint8_t *base, uint64_t size_bytes, uint64_t seed, uint64_t expected_keys,
                 uint64_t slack) {
    struct table_own *own = aligned_alloc(LAYOUT_PAIR, sizeof(*own));
    if (own == NULL) {
        return -1;
    }
    memset((void *)own, 0, sizeof(*own));
    struct table_segment *seg = (struct table_segment *)base;
    uint64_t off = table_round(sizeof(*seg), LAYOUT_PAIR);
    seg->lag_all_off = off;
    off += table_round(lag_all_size_bytes(), LAYOUT_PAIR);
    seg->lag_windows_off = off;
    off += table_round(lag_windows_size_bytes(), LAYOUT_PAIR);
    uint64_t buckets_off = table_round(off, TABLE_PAGE);
    seg->buckets_off = buckets_off;
    seg->nodes_end = size_bytes;
    seg->hash_seed = seed;
    lag_init((struct hdr *)(base + seg->lag_all_off), (struct lag_windows *)(base + seg->lag_windows_off));

    uint64_t most = (size_bytes - buckets_off) / sizeof(struct table_bucket) / 4;
    uint64_t buckets = table_buckets_for(expected_keys);
    while (buckets > most && buckets > TABLE_BUCKETS_MIN) {
        buckets /= 2;
    }
    *w = (struct table_writer){
        .t = { .base = base,
               .seg = seg,
               .buckets = &own->buckets,
               .buckets_off = buckets_off,
               .seed = seed,
               .room = size_bytes - buckets_off - NODE_HEADER_BYTES,
               .own = own },
        .buckets = buckets,
        .cleared = buckets,
        .batch = TABLE_BATCH,
    };
    arena_init(&w->arena, base, size_bytes, slack);
    /* MO(table.buckets): release; nobody reads yet, but a reader's first look must find the layout. */
    atomic_store_explicit(&own->buckets, buckets, memory_order_release);
    atomic_store_explicit(&seg->buckets, buckets, memory_order_release); /* MO(table.buckets) */
    return 0;
}

void table_destroy(struct table_writer *w) {
    free(w->open.items);
    free(w->waiting.items);
    free(w->t.own);
    w->t.own = NULL;
    w->open.items = w->waiting.items = NULL;
    arena_destroy(&w->arena);
}

/* ---- slots -------------------------------------------------------------------------------------------------------- */

/* Put a node into the first empty slot of a chain, which gets longer where it must. 0 or -1. */
static int table_insert(struct table_writer *w, struct table_bucket *b, uint64_t tag, uint32_t node) {
    for (uint32_t links = 0;;) {
        uint32_t empty = table_match(table_tag_word(b, 0), table_tag_word(b, 8) & 0xffffffffu, 0) & 0xfffu;
        if (empty != 0) {
            uint32_t i = (uint32_t)__builtin_ctz(empty);
            table_set_node(b, i, node);
            table_set_tag(b, i, tag);
            return 0;
        }
        struct table_bucket *next = table_overflow(&w->t, b, &links);
        if (next == NULL && table_tag_word(b, 8) >> 32 != 0) {
            return -1; /* the link is damaged */
        }
        if (next == NULL) {
            uint64_t off = arena_carve_bucket(&w->arena, table_buckets_end(w));
            if (off == 0) {
                return -1;
            }
            next = (struct table_bucket *)(w->t.base + off);
            table_set_node(next, 0, node);
            table_set_tag(next, 0, tag);
            /* MO(table.tag): release; the overflow bucket is filled before it is linked. */
            atomic_store_explicit(&b->tags[1], table_tag_word(b, 8) | off / sizeof(*b) << 32, memory_order_release);
            return 0;
        }
        b = next;
    }
}

/* ---- growing ------------------------------------------------------------------------------------------------------- */

/* The hash of the key of what slot i, whose tag is not 0, leads to. False: it leads nowhere, or the key's length cannot be. */
static bool table_slot_hash(const struct table *t, const struct table_bucket *b, uint32_t i, uint64_t *hash) {
    struct table_lengths len;
    const struct table_node *n = table_node_at(t, table_slot_at(b, i));
    if (!table_slot_fits(t, b, i, 0) || !table_lengths_of(t, n, &len)) {
        return false;
    }
    *hash = table_hash(t, table_node_key(n), len.key);
    return true;
}

static uint64_t table_split_source(uint64_t bucket) {
    return bucket - (UINT64_C(1) << (63 - __builtin_clzll(bucket)));
}

/* Nodes and splits leave this much to overflow buckets, which a group may need after it was admitted. */
static uint64_t table_reserve(const struct table_writer *w) {
    return w->arena.slack / 64 + TABLE_PAGE;
}

/* One more bucket. Nothing is lost when it cannot be done now: chains are longer until it can. */
static bool table_split(struct table_writer *w) {
    uint64_t fresh = w->buckets;
    uint64_t half = UINT64_C(1) << (63 - __builtin_clzll(fresh));
    uint64_t from = fresh - half;
    if (table_buckets_end(w) + sizeof(struct table_bucket) + table_reserve(w) > w->arena.low) {
        return false;
    }
    struct table_bucket *to = table_bucket_at(&w->t, fresh), *first = table_bucket_at(&w->t, from);
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) { /* their keys are hashed below */
        __builtin_prefetch(table_node_at(&w->t, table_slot_at(first, i)));
    }
    uint32_t links = 0;
    for (struct table_bucket *b = first; b != NULL; b = table_overflow(&w->t, b, &links)) {
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            uint64_t tag = table_tag_at(b, i), hash;
            /* Also not what an earlier split moved out and is not cleared yet. */
            if (tag == 0 || !table_slot_hash(&w->t, b, i, &hash) || (hash & (2 * half - 1)) != fresh) {
                continue;
            }
            KILL_POINT("table.splitting");
            if (table_insert(w, to, tag, table_slot_at(b, i)) != 0) {
                memset(to, 0, sizeof(*to)); /* nobody addresses it yet */
                return false;
            }
        }
    }
    w->buckets = fresh + 1;
    /* MO(table.buckets): release; the new bucket is filled before it is addressed. Pairs with table_bucket_for(). */
    atomic_store_explicit(&w->t.own->buckets, w->buckets, memory_order_release);
    atomic_store_explicit(&w->t.seg->buckets, w->buckets, memory_order_release); /* MO(table.buckets) */
    KILL_POINT("table.split");
    limbo_push(w, LIMBO_CLEAR, fresh, 0);
    w->hurry =
        true; /* until it is cleared, what moved takes two slots, and the next new key perhaps an overflow bucket */
    return true;
}

static void table_grow(struct table_writer *w) {
    bool doubling = (w->buckets & (w->buckets - 1)) != 0;
    for (int i = 0; i < 2 && (doubling || w->keys > w->buckets * TABLE_LOAD); i++) {
        if (!table_split(w)) {
            return;
        }
        doubling = (w->buckets & (w->buckets - 1)) != 0;
    }
}

/* Where else `node` of bucket *bucket stands, since what a split moved out of another bucket is not cleared there yet, perhaps nor
 * what the split before moved there. To be called until it says false. */
static bool table_twin_of(const struct table_writer *w, uint64_t *bucket, uint32_t node, struct table_place *out) {
    bool found = false;
    while (!found && *bucket >= w->cleared) {
        *bucket = table_split_source(*bucket);
        found = table_place_of(&w->t, table_bucket_at(&w->t, *bucket), node, out);
    }
    return found;
}

/* Slots are being cleared: a reader in another process that finds nothing meanwhile has to look again. */
static void table_reorganise(struct table_writer *w) {
    uint64_t was = atomic_load_explicit(&w->t.seg->reorganised, memory_order_relaxed); /* MO(table.reorganised) */
    /* MO(table.reorganised): a seqlock with one writer: odd before slots change (fence), even after (release). */
    atomic_store_explicit(&w->t.seg->reorganised, was + 1, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
}

static void table_clear_place(struct table_writer *w, const struct table_place *p) {
    (void)w;
    table_set_tag(p->b, p->slot, 0);
    table_set_node(p->b, p->slot, 0);
}

void table_clear_split(struct table_writer *w, uint64_t bucket) {
    uint64_t mask = (UINT64_C(2) << (63 - __builtin_clzll(bucket))) - 1;
    table_reorganise(w);
    struct table_bucket *b = table_bucket_at(&w->t, table_split_source(bucket));
    uint64_t hash;
    for (uint32_t links = 0; b != NULL; b = table_overflow(&w->t, b, &links)) {
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            if (table_tag_at(b, i) != 0 && table_slot_hash(&w->t, b, i, &hash) && (hash & mask) == bucket) {
                table_clear_place(w, &(struct table_place){ b, i, 0 });
                KILL_POINT("table.clearing_split");
            }
        }
    }
    table_reorganise(w);
    if (w->cleared == bucket) {
        w->cleared = bucket + 1;
    }
}

void table_clear_tomb(struct table_writer *w, uint32_t node) {
    struct table_lengths len;
    const struct table_node *n = table_node_at(&w->t, node);
    if (!table_lengths_of(&w->t, n, &len)) {
        return;
    }
    uint64_t bucket = table_bucket_of(table_hash(&w->t, table_node_key(n), len.key), w->buckets);
    struct table_place p;
    /* Not there any more: a later put took its slot and has retired it. */
    if (!table_place_of(&w->t, table_bucket_at(&w->t, bucket), node, &p)) {
        return;
    }
    table_reorganise(w);
    table_clear_place(w, &p);
    KILL_POINT("table.clearing_deleted");
    while (table_twin_of(w, &bucket, node, &p)) {
        table_clear_place(w, &p);
    }
    table_reorganise(w);
    uint32_t class = table_class_of(&w->t, n);
    if (class != ARENA_CLASSES) {
        limbo_push_node(w, node, class);
    }
}

/* ---- entries --------------------------------------------------------------------------------------------------------- */

enum arena_status table_node_new(struct table_writer *w, size_t key_len, size_t value_len, uint32_t *node) {
    uint64_t low = table_buckets_end(w) + table_reserve(w);
    enum arena_status status = arena_alloc(&w->arena, arena_class(key_len + value_len), low, node);
    if (status == ARENA_OK) {
        table_node_begin(table_node_at(&w->t, *node), key_len, value_len, 0, 0);
    }
    return status;
}

uint32_t table_node_carve(struct table_writer *w, uint32_t class) {
    return arena_carve_ahead(&w->arena, class, table_buckets_end(w) + table_reserve(w));
}

void table_node_drop_ahead(struct table_writer *w, uint32_t node) {
    uint32_t class = table_class_of(&w->t, table_node_at(&w->t, node));
    if (class != ARENA_CLASSES) {
        arena_free(&w->arena, class, node);
    }
}

void table_node_drop(struct table_writer *w, uint32_t node) {
    uint32_t class = table_class_of(&w->t, table_node_at(&w->t, node));
    if (class != ARENA_CLASSES && w->arena.live[class] != 0) {
        arena_forget(&w->arena, class);
        arena_free(&w->arena, class, node);
    }
}

/* A key more (come) or less (gone) is alive. */
static void table_count(struct table_writer *w, const struct table_node *gone, const struct table_node *come) {
    const struct table_node *n = come != NULL ? come : gone;
    /* MO(node.fields): relaxed; the writer's own nodes. */
    uint64_t bytes = (uint64_t)atomic_load_explicit(&n->key_len, memory_order_relaxed) +
                     atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    w->digest += come != NULL ? table_digest_of(n) : 0 - table_digest_of(n);
    table_count_bytes(w, come != NULL ? 0 : bytes, come != NULL ? bytes : 0);
    w->keys += come != NULL ? 1 : UINT64_MAX;
    w->most_keys = w->keys > w->most_keys ? w->keys : w->most_keys;
    atomic_store_explicit(&w->t.seg->live_keys, w->keys, memory_order_relaxed); /* MO(stats) */
}

void table_replace_twins(struct table_writer *w, const struct table_place *p, uint64_t hash, uint32_t node) {
    uint64_t bucket = table_bucket_of(hash, w->buckets);
    struct table_place twin;
    while (table_twin_of(w, &bucket, p->node, &twin)) {
        table_set_node(twin.b, twin.slot, node);
    }
}

int table_publish_rest(struct table_writer *w, const struct table_place *p, uint32_t node, uint64_t hash,
                       uint64_t index) {
    struct table_node *n = table_node_at(&w->t, node);
    if (p->node == 0) {
        /* MO(node.index): release; as in table_swap(). */
        atomic_store_explicit(&n->index, index, memory_order_release);
        if (table_insert(w, table_bucket_at(&w->t, table_bucket_of(hash, w->buckets)), table_tag(hash), node) != 0) {
            table_node_drop(w, node);
            return -1;
        }
        table_count(w, NULL, n);
        table_grow(w);
        return 0;
    }
    struct table_node *old = table_node_at(&w->t, p->node);
    /* MO(node.index), MO(node.deleted): relaxed; the writer's own words. */
    if (atomic_load_explicit(&old->index, memory_order_relaxed) >= index ||
        atomic_load_explicit(&old->deleted, memory_order_relaxed) >= index) {
        table_node_drop(w, node); /* a newcomer copied what is newer: an older index never replaces a newer one */
        return 0;
    }
    /* MO(node.prev): relaxed; published with the slot. */
    atomic_store_explicit(&n->prev, p->node, memory_order_relaxed);
    table_swap(w, p, hash, node, index);
    table_count(w, NULL, n);
    uint32_t class = table_class_of(&w->t, old); /* it was deleted before, and counted then */
    if (class != ARENA_CLASSES) {
        limbo_push_node(w, p->node, class);
    }
    return 0;
}

void table_delete(struct table_writer *w, uint64_t hash, const void *key, size_t key_len, uint64_t index) {
    struct table_bucket *b = table_bucket_at(&w->t, table_bucket_of(hash, w->buckets));
    struct table_place p = table_place_for(&w->t, b, hash, key, key_len);
    if (p.node == 0) {
        return;
    }
    struct table_node *n = table_node_at(&w->t, p.node);
    /* MO(node.index), MO(node.deleted): relaxed; the writer's own words. */
    if (atomic_load_explicit(&n->index, memory_order_relaxed) >= index ||
        atomic_load_explicit(&n->deleted, memory_order_relaxed) != 0) {
        return;
    }
    /* MO(node.deleted): release; pairs with the acquire in table_version(). The node itself is the tombstone: deleting
     * takes no memory, so it works in a full table. */
    atomic_store_explicit(&n->deleted, index, memory_order_release);
    table_count(w, n, NULL);
    uint32_t class = table_class_of(&w->t, n);
    if (class == ARENA_CLASSES || w->arena.live[class] == 0) {
        table_note_damage(&w->t, n, "a node's size class");
        return;
    }
    arena_forget(&w->arena, class);
    limbo_push(w, LIMBO_TOMB, p.node, 0);
}

uint64_t table_current(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len) {
    struct table_bucket *b = table_bucket_at(&w->t, table_bucket_of(hash, w->buckets));
    struct table_place p = table_place_for(&w->t, b, hash, key, key_len);
    if (p.node == 0) {
        return 0;
    }
    const struct table_node *n = table_node_at(&w->t, p.node);
    /* MO(node.deleted), MO(node.index): relaxed; the writer's own words. */
    return atomic_load_explicit(&n->deleted, memory_order_relaxed) != 0
               ? 0
               : atomic_load_explicit(&n->index, memory_order_relaxed);
}

static bool table_fits(const struct table_writer *w, uint64_t peak, uint64_t new_keys) {
    /* What needs neither more nodes nor more buckets than there were before is let in whatever has become of the rest: else a
     * table whose splits were late could refuse for ever, since what it has carved it keeps. */
    if (peak == w->arena.peak && w->keys + new_keys <= w->most_keys &&
        w->arena.low - table_buckets_end(w) >= table_reserve(w) / 2) {
        return true;
    }
    uint64_t buckets = table_buckets_for(w->keys + new_keys);
    buckets = buckets < w->buckets ? w->buckets : buckets;
    /* A quarter on top for overflow buckets, of which about one for 15 buckets is needed just before a split. A table that had
     * to wait with its splits, for a section that stayed open, has more. */
    uint64_t overflow = buckets * sizeof(struct table_bucket) / 4, behind = w->arena.overflow + overflow / 2;
    overflow = behind > overflow ? behind : overflow;
    uint64_t index_bytes = buckets * sizeof(struct table_bucket) + overflow + table_reserve(w);
    return peak + w->arena.slack + index_bytes <= w->arena.end - w->t.buckets_off;
}

bool table_admits(const struct table_writer *w, uint64_t payload_bytes, uint64_t pending) {
    return table_fits(w, arena_peak_with(&w->arena, arena_class(payload_bytes), 1), pending + 1);
}

bool table_admits_many(const struct table_writer *w, const uint32_t more[ARENA_CLASSES], uint64_t count) {
    uint64_t peak = w->arena.peak;
    for (uint32_t c = 0; c < ARENA_CLASSES; c++) {
        peak += more[c] != 0 ? arena_peak_with(&w->arena, c, more[c]) - w->arena.peak : 0;
    }
    return table_fits(w, peak, count);
}

/* ---- visiting -------------------------------------------------------------------------------------------------------- */

int table_visit_bucket(const struct table *t, uint64_t b, uint64_t buckets, uint64_t at, table_visit_fn *fn,
                       void *ctx) {
    const struct table_bucket *bucket = table_bucket_at(t, b);
    uint32_t links = 0;
    while (bucket != NULL) {
        uint64_t hi = atomic_load_explicit(&bucket->tags[1], memory_order_acquire);              /* MO(table.tag) */
        uint64_t tags[2] = { atomic_load_explicit(&bucket->tags[0], memory_order_acquire), hi }; /* MO(table.tag) */
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            /* MO(table.slot): acquire; as in table_chain_find(). */
            uint32_t node = atomic_load_explicit(&bucket->slots[i], memory_order_acquire);
            if ((tags[i / 8] >> (i % 8 * 8) & 0xff) == 0 || node == 0) {
                continue;
            }
            if (!table_node_fits(t, node, 0)) {
                table_note_damage(t, bucket, "a slot");
                continue;
            }
            const struct table_node *n = table_version(t, table_node_at(t, node), at);
            struct table_lengths len;
            /* What a split moved out and is not cleared yet stands in its new bucket too: visit it there. */
            if (n == NULL || !table_lengths_of(t, n, &len) ||
                table_bucket_of(table_hash(t, table_node_key(n), len.key), buckets) != b) {
                continue;
            }
            int result = fn(ctx, n, &len);
            if (result != 0) {
                return result;
            }
        }
        bucket = table_follow(t, bucket, hi, &links);
    }
    return 0;
}

struct table_sum {
    uint64_t keys, digest, bad;
};

static int table_sum_node(void *ctx, const struct table_node *n, const struct table_lengths *len) {
    struct table_sum *sum = ctx;
    uint64_t payload = len->key + len->value;
    uint32_t crc =
        atomic_load_explicit(&n->crc, memory_order_relaxed); /* MO(node.fields): nobody writes while this runs */
    sum->keys++;
    sum->digest += table_node_digest(atomic_load_explicit(&n->index, memory_order_relaxed), crc); /* MO(node.index) */
    sum->bad += crc32c(0, table_node_key(n), payload) != crc;
    return 0;
}

int table_verify(const struct table_writer *w, uint64_t *keys, uint64_t *digest, uint64_t *bad) {
    struct table_sum sum = { 0 };
    for (uint64_t b = 0; b < w->buckets; b++) {
        table_visit_bucket(&w->t, b, w->buckets, UINT64_MAX, table_sum_node, &sum);
    }
    *keys = sum.keys;
    *digest = sum.digest;
    *bad = sum.bad;
    return sum.bad == 0 && sum.digest == w->digest && sum.keys == w->keys ? 0 : -1;
}
