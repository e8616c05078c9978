/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The table of one replica: a hash table in a segment of its own, one writer, any number of readers.
 *
 *   bucket   one cache line: 12 one-byte tags, 12 four-byte node offsets, a link to an overflow bucket
 *   node     index of the write, index of its delete, link to the version it replaced, lengths, key, value
 *
 * It grows by linear hashing, at most two buckets for an insert: bucket s is split into s and s + 2^L by writing the new bucket,
 * publishing the new number of buckets, and clearing what moved out of the old one after a grace period. So no insert
 * ever pays for more, and no reader ever waits or retries. Buckets grow upwards and overflow buckets downwards in one range, a share
 * of the budget; so a bucket's address is one multiplication. Nodes have the rest: engine/table/arena.h.
 *
 * Every read is at an index S: the `applied` that its section loaded first. Two rules make that safe:
 *   1. `applied` >= i is published before the grace period starts for what entry i replaced: table_published().
 *   2. a deleted node leaves its bucket only after a grace period that started after that, and is reused one later.
 *
 * Source: docs/design.md, *The table*. Linear hashing: W. Litwin, 1980.
 */
#ifndef TIDE_TABLE_TABLE_H
#define TIDE_TABLE_TABLE_H

#include <stdalign.h>
#include <stdbool.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/table/arena.h"
#include "engine/table/expiry.h"
#include "engine/table/visible.h"
#include "shm/bytes.h"
#include "shm/layout.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/*
 * Private words of the process that runs a table. Shared memory is input: another process may change any word of the
 * segment at any moment. So the process's own readers load the number of buckets here, and the segment's word is for
 * others alone. Offsets, links and lengths are checked before they are used. The first impossible value is noted in
 * `damage` and passed over; the replica then stops serving and joins anew (engine/replica/replica.h).
 */
struct table_own {
    alignas(LAYOUT_PAIR) _Atomic uint64_t buckets;
    _Atomic(const char *) damage; /* the first damage found; NULL: none */
    _Atomic uint64_t damage_off;  /* its offset in the segment */
};

/* Who keeps the order in which keys have to go, in a table that evicts: engine/table/evict.h. It is called as keys come. */
struct table_writer;
struct table_evictor {
    void (*insert)(struct table_writer *w, uint64_t hash, struct table_node *n);
    void (*replace)(struct table_writer *w, uint64_t hash, const struct table_node *gone, struct table_node *come);
    void (*end)(struct table_evictor *e);
};

/* What a reader needs of a table. The struct does not change once the table is made or mapped. */
struct table {
    uint8_t *base;
    struct table_segment *seg;
    const _Atomic uint64_t *buckets; /* own->buckets; for another process's table the segment's word, to be checked */
    uint64_t buckets_off;
    uint64_t seed;
    uint64_t pages_off;           /* nodes lie from here on, in pages of 1 << page_shift bytes */
    const _Atomic uint32_t *uses; /* a word for each page: engine/table/arena.h */
    uint32_t page_shift;
    uint64_t room;         /* bytes from buckets_off to the end, less a node's header */
    struct table_own *own; /* NULL: another process runs the table */
};

#define TABLE_CHAIN 4096u /* most overflow buckets of one bucket: a longer chain is a loop */

/* Note that the bytes at `at` are impossible. Any thread of the process that runs the table. */
void table_note_damage(const struct table *t, const void *at, const char *what);

/* A slot of this bucket leads to a node that lies so close to the segment's end that no key of `key_len` bytes fits there. That is another key's
 * node, which is shorter, or damage. */
void table_note_misfit(const struct table *t, const struct table_bucket *b, uint32_t node, size_t key_len);

static inline bool table_is_damaged(const struct table *t) {
    /* MO(table.damage): relaxed; a flag. Whoever reports the details loads them after it has seen the flag set. */
    return atomic_load_explicit(&t->own->damage, memory_order_relaxed) != NULL;
}

/* Things that wait for a grace period: nodes to free, deleted nodes to take out of their bucket, buckets to clear. */
struct limbo {
    uint64_t *items;
    size_t count, room;
    uint64_t ticket;
    uint64_t bytes;
};

/* Free overflow buckets: offset / 64. */
struct table_spare {
    uint32_t *at;
    uint32_t count, room;
};

struct table_writer {
    struct table t;
    struct arena arena;
    uint64_t buckets; /* as readers see it */
    uint64_t mask;    /* the least power of two that is no less, less one */
    uint64_t cleared; /* splits that made buckets below this are complete: none of their keys stands in two buckets */
    uint64_t keys;    /* live ones */
    uint64_t keys_limit;   /* most keys for which buckets and overflow buckets suffice, whatever the keys are */
    uint64_t keys_easy;    /* keys beyond these are charged for their slots: TABLE_SLOT_COST in engine/table/table.c */
    uint64_t overflow_off; /* overflow buckets lie at or above this byte, up to the first page of nodes */
    uint64_t overflow;     /* bytes of overflow buckets in use there */
    struct table_spare spare; /* free overflow buckets there */
    struct table_spare paged; /* free overflow buckets in pages of nodes, which were taken when there were no others */
    uint32_t taken;           /* such pages */
    uint64_t due;         /* slots that limbo gives back: of deleted keys, of moved keys, of empty overflow buckets */
    uint64_t due_most;    /* more are worth a wait where overflow buckets are short */
    uint64_t digest;      /* sum over live nodes of table_node_digest() */
    struct expiry expiry; /* when nodes of which buckets expire */
    struct limbo open;    /* items since the last ticket */
    size_t safe;          /* of `open`, the first ones: their entries are published */
    struct limbo waiting; /* items whose ticket is out */
    size_t released_to;   /* of `waiting`, the first ones: released already */
    size_t reused;        /* of them, since limbo_work(): released by limbo_reuse() */
    uint64_t heavy;       /* limbo_heavy(), as of the last limbo_work() */
    uint64_t batch;       /* this many items are worth a grace period */
    bool released;        /* something was released since table_drain() last said so */
    struct table_evictor *evict; /* engine/table/evict.h; NULL: nothing is evicted */
    bool hurry;                  /* a bucket waits to be cleared: even a few items are worth a grace period */
    /* Called again and again while table_drain() waits for sections to end. since_ns: for how long it has waited. May be NULL. */
    void (*waits)(void *ctx, uint64_t since_ns);
    void *waits_ctx;
};

/* The segment's size for a budget, without the histograms. */
uint64_t table_segment_bytes(uint64_t table_bytes);

/* What a table of this budget holds: the most that the sum of its live nodes (engine/table/arena.h), and the number of its keys, may be. */
struct table_limits {
    struct arena_limits arena;
    uint64_t keys;
};
struct table_limits table_limits(uint64_t table_bytes, uint64_t domain_bytes, uint64_t expected_keys);

/* Lay an empty table out in a fresh, zeroed segment. domain_bytes: the domain's table_bytes; this table's are equal or
 * larger. expected_keys: 0 or a guess. 0, or -1: no memory. */
int table_create(struct table_writer *w, uint8_t *base, uint64_t size_bytes, uint64_t domain_bytes, uint64_t seed,
                 uint64_t expected_keys);
void table_destroy(struct table_writer *w);

/* A table that no key was put into yet begins with so many buckets, where they have room: a newcomer's, as many as its donor's. */
void table_expect(struct table_writer *w, uint64_t buckets);

static inline uint64_t table_hash(const struct table *t, const void *key, size_t key_len) {
    return XXH3_64bits_withSeed(key, key_len, t->seed);
}

/* ---- reading, inside a section ---------------------------------------------------------------------------------- */

static inline uint64_t table_bucket_of(uint64_t hash, uint64_t buckets) {
    if (__builtin_expect((buckets & (buckets - 1)) == 0, 1)) { /* always, except while the table doubles */
        return hash & (buckets - 1);
    }
    uint64_t mask = UINT64_MAX >> __builtin_clzll(buckets - 1); /* buckets >= 2 */
    uint64_t b = hash & mask;
    return b < buckets ? b : b & (mask >> 1);
}

/* The same for the writer, whose table often stands between two powers of two when it is full. */
static inline uint64_t table_bucket_now(const struct table_writer *w, uint64_t hash) {
    uint64_t b = hash & w->mask;
    return b < w->buckets ? b : b & (w->mask >> 1);
}

static inline uint64_t table_tag(uint64_t hash) {
    uint64_t tag = hash >> 56;
    return tag + (tag < 1); /* 0 marks an empty slot */
}

static inline struct table_bucket *table_bucket_at(const struct table *t, uint64_t b) {
    return (struct table_bucket *)(t->base + t->buckets_off + b * sizeof(struct table_bucket));
}

static inline struct table_node *table_node_at(const struct table *t, uint32_t node) {
    return (struct table_node *)(t->base + (uint64_t)node * TABLE_UNIT);
}

static inline uint8_t *table_node_key(const struct table_node *n) {
    return (uint8_t *)(uintptr_t)n + NODE_HEADER_BYTES;
}

/* A bit for each slot whose tag is `tag`. A function of its own, so that tests can compare it with a faster
 * table_match(). */
static inline uint32_t table_match_portable(uint64_t lo, uint64_t hi, uint64_t tag) {
    const uint64_t ones = UINT64_C(0x0101010101010101), low7 = UINT64_C(0x7f7f7f7f7f7f7f7f);
    uint64_t x = lo ^ (tag * ones), y = (hi | UINT64_C(0xffffffff00000000)) ^ ((tag & 0xff) * UINT64_C(0x01010101));
    /* Exact zero-byte test: the top bit of each byte that is zero. Tags are never 0, so no masked byte matches. */
    x = ~(((x & low7) + low7) | x | low7);
    y = ~(((y & low7) + low7) | y | low7) & UINT64_C(0x80808080);
    uint64_t gather = UINT64_C(0x0002040810204081);
    return (uint32_t)(((x >> 7) * gather) >> 49 & 0xff) | (uint32_t)((((y >> 7) * gather) >> 49 & 0x0f) << 8);
}

static inline uint32_t table_match(uint64_t lo, uint64_t hi, uint64_t tag) {
#if defined(__SSE2__)
    /* Not _mm_set_epi64x(): compilers make a store and a load of it, and a get would wait for them. */
    __m128i tags = _mm_unpacklo_epi64(_mm_cvtsi64_si128((long long)lo), _mm_cvtsi64_si128((long long)hi));
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag))) & 0xfffu;
#else
    return table_match_portable(lo, hi, tag);
#endif
}

/* One load, where the compiler would emit two loads and three moves, and wait for each. Not under ThreadSanitizer,
 * which does not see into assembly. */
#if defined(__SSE2__) && defined(__x86_64__) && !defined(BYTES_ATOMIC)
#define TABLE_MATCH_WHOLE 1
#endif

/* table_match() of a bucket's present tags for a hash. */
static inline uint32_t table_match_bucket(const struct table_bucket *b, uint64_t hash) {
#ifdef TABLE_MATCH_WHOLE
    __m128i tags;
    /* MO(table.tag): acquire; pairs with the release in table_set_tag(). Each half of an aligned load is whole, and no load
     * overtakes another on this processor; the clobber binds the compiler. */
    __asm__ volatile("movdqa %1, %0" : "=x"(tags) : "m"(b->tags) : "memory");
    __m128i tag = _mm_cvtsi32_si128((int)((uint32_t)(hash >> 56) * UINT32_C(0x01010101)));
    tag = _mm_max_epu8(_mm_shuffle_epi32(tag, 0), _mm_set1_epi8(1)); /* as table_tag() */
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, tag)) & 0xfffu;
#else
    uint64_t lo = atomic_load_explicit(&b->tags[0], memory_order_acquire); /* MO(table.tag): as table_chain_find() */
    uint64_t hi = atomic_load_explicit(&b->tags[1], memory_order_acquire); /* MO(table.tag) */
    return table_match(lo, hi, table_tag(hash));
#endif
}

/* The node in the first matching slot. */
static inline uint32_t table_first(const struct table_bucket *b, uint32_t match) {
    /* MO(table.slot): acquire; as table_chain_find(). */
    return atomic_load_explicit(&b->slots[(uint32_t)__builtin_ctz(match)], memory_order_acquire);
}

/* Do the header and `payload` bytes of this node lie between the first bucket and the end? */
static inline bool table_node_fits(const struct table *t, uint32_t node, uint64_t payload) {
    return (uint64_t)node * TABLE_UNIT - t->buckets_off <= t->room - payload;
}

/* Lengths of a node's key and value, loaded once. False: they do not fit into the segment. */
struct table_lengths {
    size_t key, value;
    size_t extra; /* bytes behind the value: of an expiry, and of a version at the source */
};
static inline bool table_lengths_of(const struct table *t, const struct table_node *n, struct table_lengths *out) {
    /* MO(node.fields): relaxed; as in table_key_is(). */
    out->key = atomic_load_explicit(&n->key_len, memory_order_relaxed);
    uint32_t word = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    out->value = node_value_len(word);
    out->extra = node_extra_bytes(word);
    uint64_t off = (uint64_t)((const uint8_t *)n - t->base);
    /* The node begins behind the buckets' first byte, so that the sum does not wrap. */
    if (__builtin_expect(off - t->buckets_off + out->key + out->value + out->extra > t->room, 0)) {
        table_note_damage(t, n, "a node's lengths");
        return false;
    }
    return true;
}

/* When a node of these lengths expires; NEVER_EXPIRES: it does not. */
static inline uint64_t table_node_expiry(const struct table_node *n, const struct table_lengths *len) {
    uint64_t expiry = NEVER_EXPIRES;
    if (__builtin_expect(len->extra != 0, 0)) {
        memcpy(&expiry, table_node_key(n) + len->key + len->value, EXPIRY_BYTES);
    }
    return expiry;
}

/* What follows the value of a node of these lengths: the instant of expiry, which is returned, and the source's version, where it has one. */
static inline uint64_t table_node_behind(const struct table_node *n, const struct table_lengths *len,
                                         uint64_t *version) {
    uint64_t expiry = NEVER_EXPIRES;
    if (__builtin_expect(len->extra != 0, 0)) {
        const uint8_t *at = table_node_key(n) + len->key + len->value;
        memcpy(&expiry, at, EXPIRY_BYTES);
        if (len->extra > EXPIRY_BYTES) {
            memcpy(version, at + EXPIRY_BYTES, SOURCED_BYTES);
        }
    }
    return expiry;
}

/* The version that reads tell of a node of these lengths: the source's where it has one, else the index of its write. */
static inline uint64_t table_node_version(const struct table_node *n, const struct table_lengths *len, uint64_t index) {
    uint64_t version = index;
    if (__builtin_expect(len->extra > EXPIRY_BYTES, 0)) {
        memcpy(&version, table_node_key(n) + len->key + len->value + EXPIRY_BYTES, SOURCED_BYTES);
    }
    return version;
}

/* The overflow bucket that a word of tags leads to. NULL: none, or the link is impossible. links: how many were
 * followed so far. */
static inline const struct table_bucket *table_follow(const struct table *t, const struct table_bucket *from,
                                                      uint64_t hi, uint32_t *links) {
    uint64_t off = (hi >> 32) * sizeof(struct table_bucket);
    if (__builtin_expect(off == 0, 1)) {
        return NULL;
    }
    /* `room` leaves out a node's header; a bucket is larger than that. */
    if (off - t->buckets_off > t->room - (sizeof(struct table_bucket) - NODE_HEADER_BYTES) || ++*links > TABLE_CHAIN) {
        table_note_damage(t, from, "a link to an overflow bucket");
        return NULL;
    }
    return (const struct table_bucket *)(t->base + off);
}

static inline bool table_key_is(const struct table_node *n, const void *key, size_t key_len) {
    /* MO(node.fields): relaxed; lengths were written before the slot that led here was published (MO(table.slot)), and do
     * not change while this section is open. */
    if (atomic_load_explicit(&n->key_len, memory_order_relaxed) != key_len) {
        return false;
    }
    if (key_len == 16) { /* the common size is compared without a call */
        uint64_t a[2], b[2];
        memcpy(a, table_node_key(n), 16);
        memcpy(b, key, 16);
        return ((a[0] ^ b[0]) | (a[1] ^ b[1])) == 0;
    }
    return memcmp(table_node_key(n), key, key_len) == 0;
}

/* The version of this key that was current at index `at`. NULL: there was none, or it was deleted by then. */
static inline const struct table_node *table_version(const struct table *t, const struct table_node *n, uint64_t at) {
    for (;;) {
        /* MO(node.index): acquire; pairs with the release in table_publish(). */
        uint64_t index = atomic_load_explicit(&n->index, memory_order_acquire);
        /* MO(node.deleted): acquire; pairs with the release in table_delete(). */
        uint64_t deleted = atomic_load_explicit(&n->deleted, memory_order_acquire);
        enum visible seen = visible_at(at, index, deleted);
        if (__builtin_expect(seen != VISIBLE_LATER, 1)) {
            return seen == VISIBLE ? n : NULL;
        }
        /* MO(node.prev): relaxed; written before the node was published. The older version is still whole: an entry
         * above `at` replaced it, so its grace period began after this section (rule 1). */
        uint32_t prev = atomic_load_explicit(&n->prev, memory_order_relaxed);
        if (prev == 0) {
            return NULL;
        }
        const struct table_node *before = table_node_at(t, prev);
        /* MO(node.index): acquire; as above. Versions get older from link to link, so that this ends. */
        if (!table_node_fits(t, prev, 0) || atomic_load_explicit(&before->index, memory_order_acquire) >= index) {
            table_note_damage(t, n, "a link to an older version");
            return NULL;
        }
        n = before;
    }
}

static inline const struct table_bucket *table_bucket_for(const struct table *t, uint64_t hash) {
    /* MO(table.buckets): acquire; pairs with the release in table_split(): the new bucket is filled before it is
     * addressed. To be loaded after `applied`, so that what was moved before is looked for where it is. */
    uint64_t buckets = atomic_load_explicit(t->buckets, memory_order_acquire);
    return table_bucket_at(t, table_bucket_of(hash, buckets));
}

/* The newest version of a key in its chain of buckets, or NULL. NULL says nothing where the table is damaged by now. */
static inline const struct table_node *table_chain_find(const struct table *t, const struct table_bucket *b,
                                                        uint64_t hash, const void *key, size_t key_len) {
    uint64_t tag = table_tag(hash);
    uint32_t links = 0;
    for (;;) {
        /* MO(table.tag): acquire; pairs with the release in table_set_tag(): a tag that is seen has its slot. */
        uint64_t lo = atomic_load_explicit(&b->tags[0], memory_order_acquire);
        uint64_t hi = atomic_load_explicit(&b->tags[1], memory_order_acquire); /* MO(table.tag) */
        for (uint32_t m = table_match(lo, hi, tag); m != 0; m &= m - 1) {
            /* MO(table.slot): acquire; pairs with the release in table_set_node(): the node was filled before. */
            uint32_t node = atomic_load_explicit(&b->slots[__builtin_ctz(m)], memory_order_acquire);
            if (__builtin_expect(!table_node_fits(t, node, key_len), 0)) {
                if (node != 0) {
                    table_note_misfit(t, b, node, key_len);
                }
                continue;
            }
            const struct table_node *n = table_node_at(t, node);
            if (__builtin_expect(table_key_is(n, key, key_len), 1)) {
                return n;
            }
        }
        b = table_follow(t, b, hi, &links);
        if (__builtin_expect(b == NULL, 1)) {
            return NULL;
        }
    }
}

/* Look a key up as of index `at`. The node stays whole until the section ends. */
static inline const struct table_node *table_find(const struct table *t, uint64_t hash, const void *key, size_t key_len,
                                                  uint64_t at) {
    const struct table_node *n = table_chain_find(t, table_bucket_for(t, hash), hash, key, key_len);
    return n != NULL ? table_version(t, n, at) : NULL;
}

/* Visit the nodes of bucket `b` of `buckets` as of index `at` (UINT64_MAX: the newest), without deleted ones. fn() must
 * use the lengths that it is given: they are checked. Impossible bytes are passed over: ask table_is_damaged()
 * afterwards. */
typedef int table_visit_fn(void *ctx, const struct table_node *n, const struct table_lengths *len, uint64_t hash);
int table_visit_bucket(const struct table *t, uint64_t b, uint64_t buckets, uint64_t at, table_visit_fn *fn, void *ctx);

/* ---- writing: one thread ------------------------------------------------------------------------------------------ */

/* A node with room for these lengths; value_word as node_word() makes it. Its lengths are set; the caller copies key, value and, where
 * the word says so, the expiry to table_node_key(). */
enum arena_status table_node_new(struct table_writer *w, size_t key_len, uint32_t value_word, uint32_t *node);
void table_node_drop(struct table_writer *w, uint32_t node);

/* Drop a node of table_node_ahead() (engine/table/table_slots.h). Its entry's turn has not come, so it is part of no
 * state and may never be. Such a node ends either here or by table_node_count() and table_publish(). */
void table_node_drop_ahead(struct table_writer *w, uint32_t node);

/* Prefetch the node that table_publish() would replace. Its bucket was prefetched before. */
static inline void table_prefetch(const struct table_writer *w, uint64_t hash) {
    const struct table_bucket *b = table_bucket_at(&w->t, table_bucket_now(w, hash));
    /* MO(table.tag), MO(table.slot): relaxed; the writer's own. */
    uint32_t m = table_match(atomic_load_explicit(&b->tags[0], memory_order_relaxed),
                             atomic_load_explicit(&b->tags[1], memory_order_relaxed), table_tag(hash));
    /* Prefetching an impossible address does nothing. */
    if (m != 0) {
        uint32_t node = atomic_load_explicit(&b->slots[__builtin_ctz(m)], memory_order_relaxed); /* MO(table.slot) */
        const uint8_t *at = (const uint8_t *)table_node_at(&w->t, node);
        __builtin_prefetch(at, 1);
        __builtin_prefetch(at + NODE_HEADER_BYTES, 1); /* the key may lie on the next line */
    }
}

/* Delete as of `index`. No effect where the key is missing or newer. table_remove(): one of several; call table_note_use() after the last. */
void table_delete(struct table_writer *w, uint64_t hash, const void *key, size_t key_len, uint64_t index);
void table_remove(struct table_writer *w, uint64_t hash, const void *key, size_t key_len, uint64_t index);
/* As table_remove(), of a key whose newest node the writer has at hand. */
void table_remove_node(struct table_writer *w, uint64_t hash, uint32_t node, uint64_t index);

/* A key's newest version, for the writer itself. It stays where it is until the writer publishes or drains. NULL: the key is not there. */
const struct table_node *table_newest(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len);

/* The index of a key's newest version, for the writer itself; 0: the key is not there. Expired ones are there until they are removed. */
uint64_t table_current(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len);

/* Wait for a grace period and free what it releases; items of unpublished entries stay. False: nothing was released
 * since the last call, by table_published() either. Then another try is of no use. */
bool table_drain(struct table_writer *w);

/* May the key be written, by the sum of engine/table/arena.h and by the number of keys? A node that takes no more than
 * the node that it replaces is always admitted. TABLE_ALONE: yes, once every other node that was made is published. */
enum table_room { TABLE_NO = 0, TABLE_YES = 1, TABLE_ALONE = 2 };
enum table_room table_admits(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len,
                             uint32_t value_word, uint64_t pending);

/* From now on admit so much: what the table holds, or less. */
void table_admit_up_to(struct table_writer *w, struct table_limits most);

/* Several puts at once, whose nodes stand beside the nodes that they replace for a moment: number of keys, their costs,
 * the largest node in the zone. */
struct table_batch {
    uint64_t keys, cost, large;
    bool no_larger; /* no node takes more than the node that it replaces */
};
void table_batch_add(const struct table_writer *w, struct table_batch *b, size_t payload_bytes);
/* Would such a node take no more than the node that it replaces? */
bool table_is_no_larger(const struct table_writer *w, uint64_t hash, const void *key, size_t key_len,
                        uint32_t value_word);
bool table_admits_batch(const struct table_writer *w, const struct table_batch *b, uint64_t pending);
/* Would an empty table take it? */
bool table_could_admit(const struct table_writer *w, const struct table_batch *b);

/* Write the memory figures for tools: those that puts and deletes change, and all. */
void table_note_use(const struct table_writer *w);
void table_note_memory(const struct table_writer *w);

static inline uint64_t table_buckets_end(const struct table_writer *w) {
    return w->t.buckets_off + (w->buckets + 2) * sizeof(struct table_bucket);
}

static inline uint64_t table_node_digest(uint64_t index, uint32_t payload_crc) {
    uint64_t x = index * UINT64_C(0x9e3779b97f4a7c15) + payload_crc;
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

/* Recompute everything from the bytes: every node's CRC, its bucket, the digest. 0, or -1 with the number of bad nodes
 * in *bad. The writer must not run meanwhile. */
int table_verify(const struct table_writer *w, uint64_t *keys, uint64_t *digest, uint64_t *bad);

#endif
