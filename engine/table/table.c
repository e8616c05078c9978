/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/table.h"

#include <stdlib.h>

#include "engine/table/kill.h"
#include "engine/table/limbo.h"
#include "engine/table/overflow.h"
#include "engine/table/table_slots.h"
#include "shm/crc.h"
#include "shm/lag.h"

#define TABLE_BUCKETS_MIN 64u
#define TABLE_BUCKETS_MOST (UINT64_C(1) << 40) /* more than fit into any segment */
#define TABLE_PAGE 4096u
#define TABLE_BATCH 2048u
/* Removed keys keep their slots until a grace period has ended. In a small table fewer items are worth one: this part of the keys that
 * fit. */
#define TABLE_TOMBS 32u
/* So many slots, as a share of all buckets, may wait for a grace period while overflow buckets are short. */
#define TABLE_DUE_SHARE 8u

/* Buckets and overflow buckets together get this share of a budget, or more if the expected keys need it. Splits leave
 * a share of that to overflow buckets. While keys come and go, an overflow bucket lasts as long as the last key in it. In the worst
 * moment of a doubling, six keys for each 64 bytes then need a quarter of the bytes for overflow buckets, and TABLE_FULL_LOAD keys need 46
 * hundredths; slots that wait for a grace period need some more. Pages of nodes serve for what that is more. Keys beyond the easy ones pay
 * for these pages: each is charged TABLE_SLOT_COST bytes of the sum that decides what is admitted, together 31 hundredths. */
#define TABLE_INDEX_SHARE 13u
#define TABLE_OVERFLOW_SHARE 4u
#define TABLE_FULL_LOAD 8u
#define TABLE_EASY_LOAD 11u /* for 128 bytes */
#define TABLE_SLOT_COST 8u

static uint64_t table_round(uint64_t bytes, uint64_t to) {
    return (bytes + to - 1) / to * to;
}

static uint64_t table_fixed_bytes(void) {
    return table_round(sizeof(struct table_segment), LAYOUT_PAIR) + table_round(lag_all_size_bytes(), LAYOUT_PAIR) +
           table_round(lag_windows_size_bytes(), LAYOUT_PAIR);
}

/* The words at `uses_off` are part of the budget. */
uint64_t table_segment_bytes(uint64_t table_bytes) {
    return table_round(table_fixed_bytes(), TABLE_PAGE) + table_round(table_bytes, TABLE_PAGE);
}

/* The number of buckets that a table reaches with `keys` keys. */
static uint64_t table_buckets_for(uint64_t keys) {
    if (keys <= TABLE_BUCKETS_MIN * TABLE_LOAD) {
        return TABLE_BUCKETS_MIN;
    }
    uint64_t full = (keys - 1) / TABLE_LOAD; /* the result is the least power of two above `full` */
    return full < TABLE_BUCKETS_MOST ? UINT64_C(2) << (63 - __builtin_clzll(full)) : TABLE_BUCKETS_MOST;
}

/* Bytes for buckets and overflow buckets together. */
static uint64_t table_index_bytes(uint64_t table_bytes, uint64_t expected_keys) {
    uint64_t share = table_bytes / TABLE_INDEX_SHARE, most = table_bytes / 3;
    uint64_t bucket = sizeof(struct table_bucket);
    uint64_t wanted = expected_keys < most ? (expected_keys / (TABLE_LOAD - 1) + TABLE_BUCKETS_MIN) * bucket : most;
    wanted = wanted > most ? most : wanted;
    wanted = wanted > share ? wanted : share;
    uint64_t least = 2 * TABLE_BUCKETS_MIN * bucket;
    return table_round(wanted > least ? wanted : least, TABLE_PAGE);
}

/* Where things lie in a table segment. */
struct table_plan {
    uint64_t uses_off, buckets_off, from; /* pages of nodes lie between `from` and the end */
    uint32_t page_bytes;
};

static struct table_plan table_plan_of(uint64_t size_bytes, uint64_t domain_bytes, uint64_t expected_keys) {
    struct table_plan p = { .page_bytes = arena_page_bytes(domain_bytes) };
    p.uses_off = table_fixed_bytes();
    p.buckets_off = table_round(p.uses_off + (size_bytes - p.uses_off) / p.page_bytes * sizeof(uint32_t), TABLE_PAGE);
    p.from = p.buckets_off + table_index_bytes(size_bytes - p.buckets_off, expected_keys);
    return p;
}

/* So many keys this many bytes of buckets and overflow buckets have room for, whatever the keys are. */
static uint64_t table_keys_limit(uint64_t index_bytes) {
    return index_bytes / sizeof(struct table_bucket) * TABLE_FULL_LOAD;
}

struct table_limits table_limits(uint64_t table_bytes, uint64_t domain_bytes, uint64_t expected_keys) {
    uint64_t size = table_segment_bytes(table_bytes);
    struct table_plan p = table_plan_of(size, domain_bytes, expected_keys);
    uint64_t pages = (size - p.from) / p.page_bytes;
    return (struct table_limits){
        .arena = arena_limits(p.page_bytes, pages),
        .keys = table_keys_limit(size - pages * p.page_bytes - p.buckets_off),
    };
}

/* What so many keys are charged for their slots. */
static uint64_t table_slots(const struct table_writer *w, uint64_t keys) {
    return keys > w->keys_easy ? (keys - w->keys_easy) * TABLE_SLOT_COST : 0;
}

static void table_limit_keys(struct table_writer *w, uint64_t keys) {
    w->keys_limit = keys;
    w->keys_easy = keys / TABLE_FULL_LOAD * TABLE_EASY_LOAD / 2;
}

static void table_count_slots(struct table_writer *w) {
    w->arena.slots = table_slots(w, w->keys);
}

void table_admit_up_to(struct table_writer *w, struct table_limits most) {
    w->arena.limit = most.arena.limit;
    w->arena.spare = most.arena.spare;
    table_limit_keys(w, most.keys);
    table_count_slots(w);
    table_note_memory(w);
}

/* So many buckets may there be at the most. */
static uint64_t table_buckets_most(const struct table_writer *w) {
    return (w->arena.pages_off - w->t.buckets_off) / sizeof(struct table_bucket) / TABLE_OVERFLOW_SHARE *
           (TABLE_OVERFLOW_SHARE - 1);
}

static void table_set_buckets(struct table_writer *w, uint64_t buckets) {
    w->buckets = buckets;
    w->mask = UINT64_MAX >> __builtin_clzll(buckets - 1); /* at least two */
}

int table_create(struct table_writer *w, uint8_t *base, uint64_t size_bytes, uint64_t domain_bytes, uint64_t seed,
                 uint64_t expected_keys) {
    struct table_own *own = aligned_alloc(LAYOUT_PAIR, sizeof(*own));
    if (own == NULL) {
        return -1;
    }
    memset((void *)own, 0, sizeof(*own));
    struct table_segment *seg = (struct table_segment *)base;
    struct table_plan plan = table_plan_of(size_bytes, domain_bytes, expected_keys);
    uint64_t off = table_round(sizeof(*seg), LAYOUT_PAIR);
    seg->lag_all_off = off;
    off += table_round(lag_all_size_bytes(), LAYOUT_PAIR);
    seg->lag_windows_off = off;
    uint64_t buckets_off = plan.buckets_off;
    seg->uses_off = plan.uses_off;
    seg->page_bytes = plan.page_bytes;
    seg->buckets_off = buckets_off;
    seg->nodes_end = size_bytes;
    seg->hash_seed = seed;
    lag_init((struct hdr *)(base + seg->lag_all_off), (struct lag_windows *)(base + seg->lag_windows_off));

    *w = (struct table_writer){
        .t = { .base = base,
               .seg = seg,
               .buckets = &own->buckets,
               .buckets_off = buckets_off,
               .seed = seed,
               .room = size_bytes - buckets_off - NODE_HEADER_BYTES,
               .own = own },
        .batch = TABLE_BATCH,
    };
    if (arena_init(&w->arena, base, plan.from, size_bytes, plan.page_bytes,
                   (_Atomic uint32_t *)(base + plan.uses_off)) != 0) {
        free(own);
        w->t.own = NULL;
        return -1;
    }
    if (expiry_init(&w->expiry, (w->arena.pages_off - buckets_off) / sizeof(struct table_bucket)) != 0) {
        arena_destroy(&w->arena);
        free(own);
        w->t.own = NULL;
        return -1;
    }
    seg->pages_off = w->t.pages_off = w->arena.pages_off;
    w->t.uses = w->arena.uses;
    w->t.page_shift = w->arena.shift;
    w->overflow_off = w->arena.pages_off;
    table_limit_keys(w, table_keys_limit(w->arena.pages_off - buckets_off));
    w->batch = w->keys_limit / TABLE_TOMBS < TABLE_BATCH ? w->keys_limit / TABLE_TOMBS + 1 : TABLE_BATCH;
    w->due_most = (w->arena.pages_off - buckets_off) / sizeof(struct table_bucket) / TABLE_DUE_SHARE;
    uint64_t buckets = table_buckets_for(expected_keys), most = table_buckets_most(w);
    while (buckets > most && buckets > TABLE_BUCKETS_MIN) {
        buckets /= 2;
    }
    table_set_buckets(w, buckets);
    w->cleared = buckets;
    table_note_memory(w);
    /* MO(table.buckets): release; a reader's first look must find the layout that was written above. */
    atomic_store_explicit(&own->buckets, buckets, memory_order_release);
    atomic_store_explicit(&seg->buckets, buckets, memory_order_release); /* MO(table.buckets) */
    return 0;
}

void table_expect(struct table_writer *w, uint64_t buckets) {
    if (w->keys != 0 || buckets <= w->buckets || buckets > table_buckets_most(w)) {
        return;
    }
    table_set_buckets(w, buckets);
    w->cleared = buckets;
    /* MO(table.buckets): release; as in table_create(). The new ones are empty. */
    atomic_store_explicit(&w->t.own->buckets, buckets, memory_order_release);
    atomic_store_explicit(&w->t.seg->buckets, buckets, memory_order_release); /* MO(table.buckets) */
}

void table_destroy(struct table_writer *w) {
    free(w->open.items);
    free(w->waiting.items);
    free(w->spare.at);
    free(w->paged.at);
    w->spare.at = w->paged.at = NULL;
    free(w->t.own);
    w->t.own = NULL;
    if (w->evict != NULL) {
        w->evict->end(w->evict);
        w->evict = NULL;
    }
    w->open.items = w->waiting.items = NULL;
    expiry_destroy(&w->expiry);
    arena_destroy(&w->arena);
}

/* ---- overflow buckets ---------------------------------------------------------------------------------------------- */

/* Unlink the empty overflow buckets of a chain. A reader in another process that finds nothing meanwhile looks again; a
 * reader inside an unlinked bucket goes on along its link. */
static __attribute__((noinline)) void table_shorten_chain(struct table_writer *w, struct table_bucket *b) {
    struct table_bucket *next;
    uint32_t links = 0;
    while (__builtin_expect((next = table_overflow(&w->t, b, &links)) != NULL, 0)) {
        if (table_tag_word(next, 0) != 0 || (table_tag_word(next, 8) & UINT32_MAX) != 0) {
            b = next;
            continue;
        }
        uint64_t off = (uint64_t)((uint8_t *)next - w->t.base);
        uint64_t link = table_tag_word(next, 8) & ~(uint64_t)UINT32_MAX;
        /* MO(table.tag): release; as table_insert(). */
        atomic_store_explicit(&b->tags[1], (table_tag_word(b, 8) & UINT32_MAX) | link, memory_order_release);
        limbo_push(w, LIMBO_BUCKET, off, sizeof(*next));
    }
}

static inline void table_shorten(struct table_writer *w, struct table_bucket *b) {
    if (__builtin_expect(table_tag_word(b, 8) >> 32 != 0, 0)) {
        table_shorten_chain(w, b);
    }
}

/* ---- slots -------------------------------------------------------------------------------------------------------- */

/* Put a node into the first empty slot of a chain, and lengthen the chain if it has none. 0, or -1: no overflow
 * bucket. */
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
            uint64_t off = overflow_take(w);
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

bool table_place_astray(const struct table *t, struct table_bucket *b, uint32_t node, struct table_place *out) {
    for (uint32_t links = 0; b != NULL; b = table_overflow(t, b, &links)) {
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            if (table_tag_at(b, i) != 0 && table_slot_at(b, i) == node) {
                *out = (struct table_place){ b, i, node };
                return true;
            }
        }
    }
    return false;
}

/* Bytes that splits leave to overflow buckets. */
static uint64_t table_reserve(const struct table_writer *w) {
    uint64_t share = (w->arena.pages_off - w->t.buckets_off) / TABLE_OVERFLOW_SHARE;
    return share > w->arena.pages_off - w->overflow_off ? share : w->arena.pages_off - w->overflow_off;
}

/* A full table of small values asks this with each new key. */
static inline bool table_may_split(const struct table_writer *w) {
    return table_buckets_end(w) + sizeof(struct table_bucket) + table_reserve(w) <= w->arena.pages_off;
}

/* Add one bucket, which there is room for. Failing loses nothing: chains stay longer until a later call succeeds. */
static __attribute__((noinline)) bool table_split(struct table_writer *w) {
    uint64_t fresh = w->buckets;
    uint64_t half = UINT64_C(1) << (63 - __builtin_clzll(fresh));
    uint64_t from = fresh - half;
    struct table_bucket *to = table_bucket_at(&w->t, fresh), *first = table_bucket_at(&w->t, from);
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) { /* their keys are hashed below */
        __builtin_prefetch(table_node_at(&w->t, table_slot_at(first, i)));
    }
    uint32_t links = 0;
    for (struct table_bucket *b = first; b != NULL; b = table_overflow(&w->t, b, &links)) {
        for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
            uint64_t tag = table_tag_at(b, i), hash;
            /* The comparison also skips keys that an earlier split moved out and that are not cleared yet. */
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
    expiry_spread(&w->expiry, from, fresh);
    table_set_buckets(w, fresh + 1);
    /* MO(table.buckets): release; the new bucket is filled before it is addressed. Pairs with table_bucket_for(). */
    atomic_store_explicit(&w->t.own->buckets, w->buckets, memory_order_release);
    atomic_store_explicit(&w->t.seg->buckets, w->buckets, memory_order_release); /* MO(table.buckets) */
    KILL_POINT("table.split");
    limbo_push(w, LIMBO_CLEAR, fresh, 0);
    w->hurry =
        true; /* until the old bucket is cleared, each moved key holds two slots, and the next new key may need an overflow bucket */
    return true;
}

static void table_grow(struct table_writer *w) {
    bool doubling = (w->buckets & (w->buckets - 1)) != 0;
    for (int i = 0; i < 2 && (doubling || w->keys > w->buckets * TABLE_LOAD); i++) {
        if (!table_may_split(w) || !table_split(w)) {
            return;
        }
        doubling = (w->buckets & (w->buckets - 1)) != 0;
    }
}

/* Find another bucket in which `node` of bucket *bucket still stands, because a split moved it and the old bucket is
 * not cleared. The split before may have left one more: call again until it returns false. */
static bool table_twin_of(const struct table_writer *w, uint64_t *bucket, uint32_t node, uint64_t tag,
                          struct table_place *out) {
    bool found = false;
    while (!found && *bucket >= w->cleared) {
        *bucket = table_split_source(*bucket);
        found = table_place_of(&w->t, table_bucket_at(&w->t, *bucket), node, tag, out);
    }
    return found;
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
    table_shorten(w, table_bucket_at(&w->t, table_split_source(bucket)));
    table_reorganise(w);
    if (w->cleared == bucket) {
        w->cleared = bucket + 1;
    }
}

/* What a tombstone's item says. */
static uint64_t table_tomb(uint64_t bucket, const struct table_bucket *first, const struct table_place *p) {
    uint64_t slot = p->b == first ? p->slot : TABLE_SLOTS; /* an overflow bucket has no number */
    return p->node | slot << LIMBO_SLOT_SHIFT | bucket % LIMBO_BUCKETS << LIMBO_BUCKET_SHIFT;
}

/* Clear the slot that the item names. False: it is to be looked for. */
static bool table_clear_hinted(struct table_writer *w, uint64_t tomb) {
    uint64_t bucket = tomb >> LIMBO_BUCKET_SHIFT;
    uint32_t slot = (uint32_t)(tomb >> LIMBO_SLOT_SHIFT) & 15, node = (uint32_t)tomb;
    if (slot >= TABLE_SLOTS || bucket >= w->buckets || w->cleared < w->buckets) { /* it may stand in two buckets */
        return false;
    }
    struct table_place p = { table_bucket_at(&w->t, bucket), slot, node };
    if (table_slot_at(p.b, slot) != node || table_tag_at(p.b, slot) == 0) {
        return false;
    }
    table_reorganise(w);
    table_clear_place(w, &p);
    table_shorten(w, p.b);
    KILL_POINT("table.clearing_deleted");
    table_reorganise(w);
    limbo_push_node(w, node);
    return true;
}

static __attribute__((noinline)) void table_clear_searched(struct table_writer *w, uint64_t tomb) {
    uint32_t node = (uint32_t)tomb;
    struct table_lengths len;
    const struct table_node *n = table_node_at(&w->t, node);
    if (!table_lengths_of(&w->t, n, &len)) {
        return;
    }
    uint64_t hash = table_hash(&w->t, table_node_key(n), len.key), tag = table_tag(hash);
    uint64_t bucket = table_bucket_now(w, hash);
    struct table_place p;
    /* A later put took its slot and has retired the node. */
    if (!table_place_of(&w->t, table_bucket_at(&w->t, bucket), node, tag, &p)) {
        return;
    }
    table_reorganise(w);
    table_clear_place(w, &p);
    table_shorten(w, table_bucket_at(&w->t, bucket));
    KILL_POINT("table.clearing_deleted");
    while (table_twin_of(w, &bucket, node, tag, &p)) {
        table_clear_place(w, &p);
        table_shorten(w, table_bucket_at(&w->t, bucket));
    }
    table_reorganise(w);
    limbo_push_node(w, node);
}

void table_clear_tomb(struct table_writer *w, uint64_t tomb) {
    if (__builtin_expect(!table_clear_hinted(w, tomb), 0)) {
        table_clear_searched(w, tomb);
    }
}

/* ---- entries --------------------------------------------------------------------------------------------------------- */

enum arena_status table_node_new(struct table_writer *w, size_t key_len, uint32_t value_word, uint32_t *node) {
    if (__builtin_expect(table_is_short(w), 0)) {
        return ARENA_WAIT;
    }
    uint64_t payload = node_payload_bytes(key_len, value_word);
    uint32_t class = arena_class(&w->arena, payload);
    *node = class != ARENA_LARGE ? limbo_reuse(w, class) : 0;
    if (__builtin_expect(*node != 0, 1)) {
        w->arena.live += w->arena.class[class].cost;
    } else if (arena_alloc(&w->arena, payload, node) != ARENA_OK) {
        return ARENA_WAIT;
    }
    table_node_begin(table_node_at(&w->t, *node), key_len, value_word, 0, 0);
    return ARENA_OK;
}

void table_node_drop_ahead(struct table_writer *w, uint32_t node) {
    arena_free(&w->arena, node);
}

void table_node_drop(struct table_writer *w, uint32_t node) {
    struct arena_extent e = arena_extent(&w->arena, node);
    arena_forget(&w->arena, &e);
    arena_free(&w->arena, node);
}

void table_count_resized(struct table_writer *w, uint64_t gone, uint64_t came) {
    table_uncount_size(w, gone);
    table_count_size(w, came);
}

static inline uint64_t table_bytes_of(const struct table_node *n) {
    /* MO(node.fields): relaxed; the writer's own nodes. */
    return (uint64_t)atomic_load_explicit(&n->key_len, memory_order_relaxed) +
           node_value_len(atomic_load_explicit(&n->value_len, memory_order_relaxed)); /* MO(node.fields) */
}

static inline void table_set_keys(struct table_writer *w, uint64_t keys) {
    w->keys = keys;
    table_count_slots(w);
    atomic_store_explicit(&w->t.seg->live_keys, keys, memory_order_relaxed); /* MO(stats) */
}

/* One key more; one less. */
static inline void table_count_come(struct table_writer *w, const struct table_node *n) {
    w->digest += table_digest_of(n);
    table_count_size(w, table_bytes_of(n));
    table_set_keys(w, w->keys + 1);
}

static inline void table_count_gone(struct table_writer *w, const struct table_node *n) {
    w->digest -= table_digest_of(n);
    table_uncount_size(w, table_bytes_of(n));
    table_set_keys(w, w->keys - 1);
}

void table_replace_twins(struct table_writer *w, const struct table_place *p, uint64_t hash, uint32_t node) {
    uint64_t bucket = table_bucket_now(w, hash);
    struct table_place twin;
    while (table_twin_of(w, &bucket, p->node, table_tag(hash), &twin)) {
        table_set_node(twin.b, twin.slot, node);
    }
}

__attribute__((flatten)) /* a put of a new key */
int table_publish_rest(struct table_writer *w, const struct table_place *p, uint32_t node, uint64_t hash,
                       uint64_t index) {
    struct table_node *n = table_node_at(&w->t, node);
    if (p->node == 0) {
        /* MO(node.index): release; as in table_swap(). */
        atomic_store_explicit(&n->index, index, memory_order_release);
        if (table_insert(w, table_bucket_at(&w->t, table_bucket_now(w, hash)), table_tag(hash), node) != 0) {
            table_node_drop(w, node);
            return -1;
        }
        table_count_come(w, n);
        table_note_use(w);
        if (w->evict != NULL) {
            w->evict->insert(w, hash, n);
        }
        table_grow(w);
        return 0;
    }
    struct table_node *old = table_node_at(&w->t, p->node);
    /* MO(node.index), MO(node.deleted): relaxed; the writer's own words. */
    if (atomic_load_explicit(&old->index, memory_order_relaxed) >= index ||
        atomic_load_explicit(&old->deleted, memory_order_relaxed) >= index) {
        table_node_drop(w, node); /* a newcomer has copied a newer version: an older index never replaces a newer one */
        return 0;
    }
    /* MO(node.prev): relaxed; published with the slot. */
    atomic_store_explicit(&n->prev, p->node, memory_order_relaxed);
    table_swap(w, p, hash, node, index);
    table_count_come(w, n);
    table_note_use(w);
    if (w->evict != NULL) {
        w->evict->insert(w, hash, n);
    }
    limbo_push_node(w, p->node); /* a deleted node counts no more */
    return 0;
}

/* b: the first bucket of the chain in which the place is. */
static inline void table_remove_place(struct table_writer *w, uint64_t bucket, const struct table_bucket *b,
                                      const struct table_place *p, uint64_t index) {
    struct table_node *n = table_node_at(&w->t, p->node);
    /* MO(node.index), MO(node.deleted): relaxed; the writer's own words. */
    if (atomic_load_explicit(&n->index, memory_order_relaxed) >= index ||
        atomic_load_explicit(&n->deleted, memory_order_relaxed) != 0) {
        return;
    }
    /* MO(node.deleted): release; pairs with the acquire in table_version(). The node itself is the tombstone: deleting
     * takes no memory, so it works in a full table. */
    atomic_store_explicit(&n->deleted, index, memory_order_release);
    table_count_gone(w, n);
    struct arena_extent e = arena_extent(&w->arena, p->node);
    if (e.bytes == 0 || e.cost > w->arena.live) {
        table_note_damage(&w->t, n, "a node where none was given out");
        return;
    }
    arena_forget(&w->arena, &e);
    limbo_push(w, LIMBO_TOMB, table_tomb(bucket, b, p), e.bytes);
}

void table_remove(struct table_writer *w, uint64_t hash, const void *key, size_t key_len, uint64_t index) {
    uint64_t bucket = table_bucket_now(w, hash);
    struct table_bucket *b = table_bucket_at(&w->t, bucket);
    struct table_place p = table_place_for(&w->t, b, hash, key, key_len);
    if (p.node != 0) {
        table_remove_place(w, bucket, b, &p, index);
    }
}

__attribute__((flatten)) void table_remove_node(struct table_writer *w, uint64_t hash, uint32_t node, uint64_t index) {
    uint64_t bucket = table_bucket_now(w, hash);
    struct table_bucket *b = table_bucket_at(&w->t, bucket);
    struct table_place p;
    if (table_place_of(&w->t, b, node, table_tag(hash), &p)) {
        table_remove_place(w, bucket, b, &p, index);
    }
}

void table_delete(struct table_writer *w, uint64_t hash, const void *key, size_t key_len, uint64_t index) {
    table_remove(w, hash, key, key_len, index);
    table_note_use(w);
}

const struct table_node *table_newest(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len) {
    struct table_bucket *b = table_bucket_at(&w->t, table_bucket_now(w, hash));
    struct table_place p = table_place_for(&w->t, b, hash, key, key_len);
    /* MO(node.deleted): relaxed; the writer's own word. */
    if (p.node == 0 || atomic_load_explicit(&table_node_at(&w->t, p.node)->deleted, memory_order_relaxed) != 0) {
        return NULL;
    }
    return table_node_at(&w->t, p.node);
}

uint64_t table_current(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len) {
    const struct table_node *n = table_newest(w, hash, key, key_len);
    /* MO(node.index): relaxed; the writer's own word. */
    return n != NULL ? atomic_load_explicit(&n->index, memory_order_relaxed) : 0;
}

/* The cost of the key's node in the sum; 0: the key is not there. */
static uint64_t table_cost_of(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len) {
    struct table_bucket *b = table_bucket_at(&w->t, table_bucket_now(w, hash));
    struct table_place p = table_place_for(&w->t, b, hash, key, key_len);
    /* MO(node.deleted): relaxed; the writer's own word. */
    if (p.node == 0 || atomic_load_explicit(&table_node_at(&w->t, p.node)->deleted, memory_order_relaxed) != 0) {
        return 0;
    }
    return arena_extent(&w->arena, p.node).cost;
}

static uint64_t table_large(const struct table_writer *w, uint64_t payload_bytes) {
    return arena_class(&w->arena, payload_bytes) == ARENA_LARGE ? zone_round(NODE_HEADER_BYTES + payload_bytes) : 0;
}

/* Keys that are admitted. A domain that evicts removes a key for each that comes, and goes on at its limit: there, slots are kept for those
 * that are removed and still stand in their buckets. */
static uint64_t table_keys_most(const struct table_writer *w) {
    return w->evict == NULL ? w->keys_limit : w->keys_limit - w->keys_limit / 8;
}

enum table_room table_admits(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len,
                             uint32_t value_word, uint64_t pending) {
    const struct arena *a = &w->arena;
    uint64_t payload = node_payload_bytes(key_len, value_word);
    uint64_t cost = arena_cost(a, payload), large = table_large(w, payload);
    uint64_t slots = table_slots(w, w->keys + pending + 1) - a->slots;
    if (w->keys + pending < table_keys_most(w) && arena_admits(a, cost + slots, 0, large, a->limit)) {
        return TABLE_YES;
    }
    uint64_t gone = table_cost_of(w, hash, key, key_len);
    if (gone == 0) {
        return pending != 0 ? TABLE_ALONE
                            : TABLE_NO; /* it may fit later: pending nodes count beside the nodes that they replace */
    }
    /* A large node that grows stands beside the node that it replaces. Require room for both, or the remaining hole
     * could be too small to move anything. A small node takes at most a page, and one page is kept for that. */
    if (cost > gone && !arena_admits(a, cost, large == 0 ? gone : 0, large, a->limit)) {
        return pending != 0 ? TABLE_ALONE : TABLE_NO;
    }
    return pending == 0 || arena_admits(a, cost, 0, large, a->limit + a->spare) ? TABLE_YES : TABLE_ALONE;
}

void table_batch_add(const struct table_writer *w, struct table_batch *b, size_t payload_bytes) {
    uint64_t large = table_large(w, payload_bytes);
    b->keys++;
    b->cost += arena_cost(&w->arena, payload_bytes);
    b->large = large > b->large ? large : b->large;
}

bool table_is_no_larger(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len,
                        uint32_t value_word) {
    return arena_cost(&w->arena, node_payload_bytes(key_len, value_word)) <= table_cost_of(w, hash, key, key_len);
}

bool table_admits_batch(const struct table_writer *w, const struct table_batch *b, uint64_t pending) {
    const struct arena *a = &w->arena;
    bool keys = w->keys + pending + b->keys <= table_keys_most(w);
    uint64_t slots = table_slots(w, w->keys + pending + b->keys) - a->slots;
    return (keys && arena_admits(a, b->cost + slots, 0, b->large, a->limit)) ||
           (b->no_larger && arena_admits(a, b->cost, 0, b->large, a->limit + a->spare));
}

bool table_could_admit(const struct table_writer *w, const struct table_batch *b) {
    return b->keys <= table_keys_most(w) &&
           b->cost + table_slots(w, b->keys) + arena_transit(&w->arena, b->large) <= w->arena.limit;
}

void table_note_use(const struct table_writer *w) {
    const struct arena *a = &w->arena;
    uint64_t used =
        w->buckets * sizeof(struct table_bucket) + w->overflow + ((uint64_t)(a->pages - a->free_pages) << a->shift);
    /* MO(stats): relaxed, all of them. */
    atomic_store_explicit(&w->t.seg->used_bytes, used, memory_order_relaxed);
    atomic_store_explicit(&w->t.seg->sum_bytes, a->live + a->slots + arena_transit(a, 0),
                          memory_order_relaxed); /* MO(stats) */
    atomic_store_explicit(&w->t.seg->retired_bytes, w->open.bytes + w->waiting.bytes,
                          memory_order_relaxed); /* MO(stats) */
}

void table_note_came(struct table_writer *w) {
    table_set_keys(w, w->keys);
    table_note_use(w);
}

void table_note_memory(const struct table_writer *w) {
    table_note_use(w);
    atomic_store_explicit(&w->t.seg->limit_bytes, w->arena.limit, memory_order_relaxed);   /* MO(stats) */
    atomic_store_explicit(&w->t.seg->keys_most, table_keys_most(w), memory_order_relaxed); /* MO(stats) */
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
            /* A node that a split moved and nobody cleared yet stands in its new bucket too: visit it there. */
            if (n == NULL || !table_lengths_of(t, n, &len)) {
                continue;
            }
            uint64_t hash = table_hash(t, table_node_key(n), len.key);
            if (table_bucket_of(hash, buckets) != b) {
                continue;
            }
            int result = fn(ctx, n, &len, hash);
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

static int table_sum_node(void *ctx, const struct table_node *n, const struct table_lengths *len, uint64_t hash) {
    (void)hash;
    struct table_sum *sum = ctx;
    uint64_t payload = len->key + len->value + len->extra;
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
