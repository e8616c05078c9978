/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the table of a replica that another process runs. The table is mapped read-only; the reader registers nowhere and writes
 * nothing. The other process does not know of the reader, so it may reuse a node during the read. What proves that a copy is good:
 *
 *   - A node's index is the index of its write, and a node is reused only for a later write. So bytes that were copied while the
 *     index did not change are that write's, whole: a seqlock whose sequence is the index.
 *   - The memory of a header may later lie inside another value, which may imitate a header. So each page has a word that changes
 *     before the page's memory gets another use, and `reused` changes with each of these words. The reader loads the word and then
 *     sees that the slot still leads to the node: so it loaded the word while the node was one. The word must be the same
 *     after the copy.
 *   - No slot leads to an older version, only a link. The version was there when `applied` = S was loaded. If `reused` has
 *     not changed since before that load, the version's memory has had no other use, and its page's word is of that time.
 *   - The slot was loaded after `applied` = S, so its node was the newest at some moment after S. If the node's index is at or
 *     below S, it is the version of S. If it is above, the reader follows the link and checks the older version in the same way. A
 *     version that is gone shows an index above S or 0; then the reader takes a newer S.
 *   - "Nothing found" and "nothing old enough" are believed only if no slot was cleared meanwhile (`reorganised`, loaded before
 *     S); "nothing found" also only if no bucket was split.
 *
 * Every offset and length is checked against the segment before it is used. A process may die at any instant on either side.
 * Source: docs/design.md, *Reading another process's replica*; the reader's side of H.-J. Boehm's seqlocks.
 */
#ifndef TIDE_REPLICA_FOREIGN_H
#define TIDE_REPLICA_FOREIGN_H

#include "engine/table/kill.h"
#include "engine/replica/view.h"
#include "shm/bytes.h"

/* Map the table of another process's replica in slot `id`, unless that is done already. Not inside a section: it may
 * open and map files. The result is reached by d->views[id] inside one. 0, or an error: NO_REPLICA where the slot
 * serves nothing. */
int foreign_attach(struct tide *d, uint32_t id);

/* Some errors of mapping another process's replica say nothing about that replica: this process has no descriptors or
 * memory left, or changed its user after it opened the domain. The caller gets that error, not "nobody leads" or
 * "nobody serves". */
static inline bool foreign_is_own_trouble(int error) {
    return error == TIDE_ERR_SYSTEM || error == TIDE_ERR_NOMEM || error == TIDE_ERR_FOREIGN;
}

/* Log that error once for the handle: every read may meet it. */
void foreign_tell_trouble(struct tide *d, int error);

/* Release the mapping in slot `id`, if there is one. */
void foreign_release(struct tide *d, uint32_t id);

enum foreign_status {
    FOREIGN_OK = 0,
    FOREIGN_NONE = 1,    /* no such key at this index */
    FOREIGN_SMALL = 2,   /* the buffer is too small; *size says what is needed */
    FOREIGN_LOST = 3,    /* the version of this index is gone: take a newer index */
    FOREIGN_STUCK = 4,   /* the writer stopped in the middle, or the bytes are impossible: use another replica */
    FOREIGN_EXPIRED = 6, /* the version of this index has expired */
    FOREIGN_LATER = 5,   /* used inside: the oldest version left was written after this index */
};

/* The number of buckets, or 0: the number is impossible. Also for replicas of this process that are read by validated
 * copies. */
uint64_t foreign_buckets(const struct view *v);

/* The table's `reorganised` (low half; odd while slots are being cleared) and `reused` (high half). Load it before the
 * index that is read at. */
uint64_t foreign_epoch(const struct table *t);

/* Was nothing cleared since `epoch`? If so, what was not found was not there. */
bool foreign_quiet(const struct table *t, uint64_t epoch);

/* Look a key up as of index `at` and of `when`; `epoch` was loaded before `at`. It tries once; on FOREIGN_LOST the
 * caller tries again. */
enum foreign_status foreign_find(const struct view *v, uint64_t epoch, uint64_t at, struct instant *when, uint64_t hash,
                                 const void *key, size_t key_len, void *buf, size_t buf_size, struct found *out);

/* Can a table in this segment have this number of buckets: 2 to buckets_most? One comparison does, since foreign_map()
 * makes sure that buckets_most is 2 or more. */
static inline bool foreign_buckets_fit(const struct view *v, uint64_t buckets) {
    return buckets - 2 <= v->buckets_most - 2;
}

#define FOREIGN_HIT_KEY_LEAST 8u
#define FOREIGN_HIT_KEY_MOST 16u

/*
 * foreign_find() for the common case alone: the first match in the bucket is the key, its newest version is of index
 * `at` or older, it is not deleted and never expires, its key has 8 to 16 bytes, and nothing changes meanwhile. sourced: the domain is
 * fed, and its nodes have the source's version. False says nothing: ask foreign_find(). The buffer may have been written then.
 */
static inline bool foreign_hit(const struct view *v, uint64_t at, uint64_t hash, const void *key, size_t key_len,
                               void *buf, size_t buf_size, struct found *out, const bool sourced) {
    const struct table *t = &v->table;
    uint64_t buckets = atomic_load_explicit(&t->seg->buckets, memory_order_acquire); /* MO(table.buckets) */
    if (!foreign_buckets_fit(v, buckets)) {
        return false;
    }
    /* MO(arena.use): acquire; loaded before the slot. By then the slot leads to no memory that has another use. */
    uint32_t reused = atomic_load_explicit(&t->seg->reused, memory_order_acquire);
    const struct table_bucket *b = table_bucket_at(t, table_bucket_of(hash, buckets));
    uint32_t match = table_match_bucket(b, hash);
    if (match == 0) {
        return false;
    }
    /* This node was the newest at some moment after `at` was loaded. */
    uint64_t off = (uint64_t)table_first(b, match) * TABLE_UNIT;
    KILL_POINT("read.slot");
    uint64_t room = v->segment.size_bytes - NODE_HEADER_BYTES - off; /* bytes that may follow the header */
    if (off < t->pages_off || off > v->segment.size_bytes - NODE_HEADER_BYTES) {
        return false;
    }
    const struct table_node *n = (const struct table_node *)(t->base + off);
    __builtin_prefetch((const uint8_t *)n + LAYOUT_LINE);
    /* MO(node.index): acquire; the fields are at least as new, and are checked by it at the end. */
    uint64_t index = atomic_load_explicit(&n->index, memory_order_acquire);
    uint64_t deleted = atomic_load_explicit(&n->deleted, memory_order_acquire); /* MO(node.deleted) */
    size_t size = atomic_load_explicit(&n->value_len, memory_order_relaxed);    /* MO(node.fields) */
    size_t their_len = atomic_load_explicit(&n->key_len, memory_order_relaxed); /* MO(node.fields) */
    /* What expires has a number here that no value's length reaches; so has what lacks the flag, where it should have it. */
    size -= sourced ? NODE_SOURCED : 0;
    const size_t extra = sourced ? EXPIRY_BYTES + SOURCED_BYTES : 0;
    size_t most = buf_size < NODE_EXPIRES ? buf_size : NODE_EXPIRES - 1;
    if (index == 0 || visible_at(at, index, deleted) != VISIBLE || their_len != key_len || size > most ||
        key_len + size + extra > room) {
        return false;
    }
    uint64_t theirs[2], ours[2];
    bytes_copy_racy(&theirs[0], table_node_key(n), 8);
    bytes_copy_racy(&theirs[1], table_node_key(n) + key_len - 8, 8);
    memcpy(&ours[0], key, 8);
    memcpy(&ours[1], (const uint8_t *)key + key_len - 8, 8);
    if (((theirs[0] ^ ours[0]) | (theirs[1] ^ ours[1])) != 0) {
        return false;
    }
    bytes_copy_racy(buf, table_node_key(n) + key_len, size);
    uint64_t behind[2] = { NEVER_EXPIRES, index };
    if (sourced) {
        bytes_copy_racy(behind, table_node_key(n) + key_len + size, sizeof(behind));
    }
    KILL_POINT("read.copied");
    out->size = size;
    out->version = behind[1];
    out->expiry = NEVER_EXPIRES;
    atomic_thread_fence(memory_order_acquire); /* MO(node.index): pairs with the fence in table_node_begin() */
    /* MO(arena.use): relaxed; after the fence, as the index. */
    return behind[0] == NEVER_EXPIRES &&
           atomic_load_explicit(&n->index, memory_order_relaxed) == index &&      /* MO(node.index) */
           atomic_load_explicit(&t->seg->reused, memory_order_relaxed) == reused; /* MO(arena.use) */
}

/* ---- nodes, and buckets ------------------------------------------------------------------------------------------------- */

/* A node's header as it was at one moment. */
struct foreign_node {
    const struct table_node *at;
    const _Atomic uint32_t *use; /* of its page */
    uint32_t uses;
    uint64_t index;
    uint64_t deleted;
    uint32_t prev;
    uint32_t value_len;
    uint32_t extra; /* bytes behind the value */
    uint32_t crc;
    uint16_t key_len;
    uint8_t flags;
};

/* Is the copy of a node whole: the node still has the index loaded before its bytes, and its memory still holds
 * nodes? */
static inline bool foreign_whole(const struct foreign_node *n) {
    atomic_thread_fence(memory_order_acquire); /* MO(node.index): pairs with the fence in table_node_begin() */
    /* MO(arena.use): relaxed; the fence pairs with that in arena_reuse(), too. */
    return atomic_load_explicit(&n->at->index, memory_order_relaxed) == n->index && /* MO(node.index) */
           atomic_load_explicit(n->use, memory_order_relaxed) == n->uses;           /* MO(arena.use) */
}

/* Did slot i of the bucket lead to the node `n`, as it was loaded, at some moment after the slot was loaded? A reader
 * that is held up between slot and node may load a node that was freed meanwhile and used again for another key: it is
 * whole, but the slot no longer leads there. */
static inline bool foreign_in_slot(const struct table_bucket *b, uint32_t i, uint32_t slot,
                                   const struct foreign_node *n) {
    /* MO(table.slot): acquire; the node's index was acquired before. Had the node been reused before that, this load
     * would see the slot lead elsewhere. If the slot led back to the node after that, the node's index differs now. */
    return atomic_load_explicit(&b->slots[i], memory_order_acquire) == slot && foreign_whole(n);
}

/* Load a node's header. False: the offset or the lengths are impossible, or the node is free. */
static inline bool foreign_load(const struct view *v, uint32_t node, struct foreign_node *out) {
    uint64_t off = (uint64_t)node * TABLE_UNIT;
    uint64_t size = v->segment.size_bytes;
    if (off < v->table.pages_off || off > size - NODE_HEADER_BYTES) {
        return false;
    }
    const struct table_node *n = table_node_at(&v->table, node);
    out->at = n;
    out->use = &v->table.uses[(off - v->table.pages_off) >> v->table.page_shift];
    out->uses =
        atomic_load_explicit(out->use, memory_order_acquire); /* MO(arena.use): before the slot is looked at again */
    /* MO(node.index): acquire; the fields are at least as new. */
    out->index = atomic_load_explicit(&n->index, memory_order_acquire);
    out->deleted = atomic_load_explicit(&n->deleted, memory_order_acquire);    /* MO(node.deleted) */
    out->prev = atomic_load_explicit(&n->prev, memory_order_relaxed);          /* MO(node.prev) */
    out->crc = atomic_load_explicit(&n->crc, memory_order_relaxed);            /* MO(node.fields) */
    uint32_t word = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    out->key_len = atomic_load_explicit(&n->key_len, memory_order_relaxed);    /* MO(node.fields) */
    out->flags = atomic_load_explicit(&n->flags, memory_order_relaxed);        /* MO(node.fields) */
    out->value_len = node_value_len(word);
    out->extra = node_extra_bytes(word);
    return out->index != 0 && node_payload_bytes(out->key_len, word) <= size - off - NODE_HEADER_BYTES;
}

#define FOREIGN_CHAIN 4096u /* most overflow buckets of one bucket: a longer chain is a damaged link */

static inline const struct table_bucket *foreign_bucket(const struct view *v, uint64_t b) {
    return b < v->buckets_most ? table_bucket_at(&v->table, b) : NULL;
}

/* A bucket that a reader stands in. One in a page may become a page of nodes under it: `uses` was loaded while a link led there. */
struct foreign_stand {
    const struct table_bucket *b;
    const _Atomic uint32_t *use; /* NULL: it is in no page */
    uint32_t uses;
};

/* Does its page still hold overflow buckets? Ask after loading from the bucket, and before believing what was loaded. */
static inline bool foreign_stands(const struct foreign_stand *s) {
    if (__builtin_expect(s->use == NULL, 1)) {
        return true;
    }
    atomic_thread_fence(memory_order_acquire); /* MO(arena.use): pairs with the fence in arena_reuse() */
    return atomic_load_explicit(s->use, memory_order_relaxed) == s->uses; /* MO(arena.use) */
}

/* Go on along the link in `hi`, the high word of s->b's tags, which is not 0. */
enum foreign_status foreign_overflow(const struct view *v, struct foreign_stand *s, uint64_t hi);

/* A node as a visit hands it over. Value and expiry lie behind the key: payload_crc is of payload_bytes from the key on. */
struct visited {
    const uint8_t *key, *value;
    size_t key_len, value_len, payload_bytes;
    uint64_t index;
    uint64_t version; /* the source's, where it has one; else index */
    uint64_t expiry;  /* NEVER_EXPIRES: it does not expire; the visitor decides whether it has */
    uint32_t payload_crc;
    uint32_t flags; /* enum node_flags */
};

/* Called with a checked copy of each node. Returns 0 to go on. */
typedef int foreign_visit_fn(void *ctx, const struct visited *node);
/* All visits together may copy at most this many times the segment's size: a key that splits move meanwhile is copied
 * up to three times. */
#define FOREIGN_TIMES 4u
struct foreign_scratch {
    uint8_t *bytes;
    size_t room;
    uint64_t total; /* bytes of nodes copied so far */
    uint64_t epoch; /* loaded before `at`, where that is an index */
};
/* Copy every live node of bucket `b` as of index `at` (UINT64_MAX: the newest version) and hand it to fn. 0, fn's
 * result, or TIDE_ERR_CORRUPT / TIDE_ERR_NOMEM / TIDE_ERR_LOST (the bucket changed under the visit; visit it again).
 * All visits with one scratch together hand over at most FOREIGN_TIMES the segment's size, wherever its links lead:
 * beyond that CORRUPT. */
int foreign_visit_bucket(const struct view *v, uint64_t b, uint64_t at, struct foreign_scratch *scratch,
                         foreign_visit_fn *fn, void *ctx);

/* Recompute the digest of a table that nobody writes (its process is dead), and compare. 0, CORRUPT, DIVERGED. */
int foreign_verify(const struct view *v);

#endif
