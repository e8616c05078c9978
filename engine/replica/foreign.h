/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the table of a replica that another process runs: mapped read-only, nothing registered, nothing written. The other
 * process does not know of us, so it may reuse a node while we read it. What makes a copy good:
 *
 *   - A node's index is the index of its write, and a node is reused only for a later one. So bytes that were copied while the
 *     index did not change are that write's, whole: a seqlock whose sequence is the index.
 *   - What was a node's header may become the inside of another value, which may imitate a header. So each page has a word that
 *     changes before its memory is used for anything else, and `reused` changes with each of them. The word is loaded, then the slot is
 *     seen to lead to the node yet: then the word is of the time when the node was one. It has to be the same after the copy.
 *   - A version that a link leads to has no slot. It was there when `applied` = S was loaded; if `reused` is what it was before that,
 *     its memory has been nothing else since, and its page's word is of that time.
 *   - The slot that led there was loaded after `applied` = S, so its node is the newest at some moment after S. If its index is at or
 *     below S, it is the version of S. If it is above, the version before is followed, checked the same way; a version that
 *     is gone is an index above S or 0, and then a newer S is taken.
 *   - Nothing found, or nothing old enough, is believed only if no slot was cleared meanwhile (`reorganised`, loaded before S); of
 *     nothing found also only if no bucket was split.
 *
 * Every offset and length is checked against the segment before it is used. A process may die at any instant on either side.
 * Source: docs/design.md, *Reading another process's replica*; the reader's side of H.-J. Boehm's seqlocks.
 */
#ifndef TIDE_REPLICA_FOREIGN_H
#define TIDE_REPLICA_FOREIGN_H

#include "engine/table/kill.h"
#include "engine/replica/view.h"
#include "shm/bytes.h"

/* The mapping of another process's replica in slot `id`, made where there is none yet or another one; NULL where the slot serves
 * nothing. Not inside a section: it may open and map. The result is reached by d->views[id] inside one. */
int foreign_attach(struct tide *d, uint32_t id);

/* Let the mapping in slot `id` go, where there is one. */
void foreign_release(struct tide *d, uint32_t id);

enum foreign_status {
    FOREIGN_OK = 0,
    FOREIGN_NONE = 1,  /* no such key at this index */
    FOREIGN_SMALL = 2, /* the buffer is too small; *size says what is needed */
    FOREIGN_LOST = 3,  /* the version of this index is gone: take a newer index */
    FOREIGN_STUCK = 4, /* the writer stopped in the middle, or the bytes cannot be: use another replica */
    FOREIGN_LATER = 5, /* inside: the oldest version that is left was written after this index */
};

struct foreign_value {
    uint64_t size;
    uint64_t version;
};

/* How many buckets there are, or 0 where the number cannot be. Also of an own replica, whose bytes are looked at in the same way. */
uint64_t foreign_buckets(const struct view *v);

/* `reorganised` (the low half; odd while slots are being cleared) and `reused` (the high half) of the table, to be loaded before
 * the index that is read at. */
uint64_t foreign_epoch(const struct table *t);

/* Nothing was cleared since `epoch`, so what was not found was not there. */
bool foreign_quiet(const struct table *t, uint64_t epoch);

/* Look a key up as of index `at`; `epoch` was loaded before `at` was. One try: RETRY is FOREIGN_LOST. */
enum foreign_status foreign_find(const struct view *v, uint64_t epoch, uint64_t at, uint64_t hash, const void *key,
                                 size_t key_len, void *buf, size_t buf_size, struct foreign_value *out);

/* Can a table in this segment have so many buckets: 2 to buckets_most? In one comparison, since buckets_most is 2 or more:
 * foreign_map() sees to it. */
static inline bool foreign_buckets_fit(const struct view *v, uint64_t buckets) {
    return buckets - 2 <= v->buckets_most - 2;
}

#define FOREIGN_HIT_KEY_LEAST 8u
#define FOREIGN_HIT_KEY_MOST 16u

/*
 * The same for the common case alone: the first match in the bucket is the key, its newest version is of index `at` or older, it
 * is not deleted, its key has 8 to 16 bytes, and nothing changes meanwhile. False says nothing: ask foreign_find(). The buffer
 * may be written then.
 */
static inline bool foreign_hit(const struct view *v, uint64_t at, uint64_t hash, const void *key, size_t key_len,
                               void *buf, size_t buf_size, struct foreign_value *out) {
    const struct table *t = &v->table;
    uint64_t buckets = atomic_load_explicit(&t->seg->buckets, memory_order_acquire); /* MO(table.buckets) */
    if (!foreign_buckets_fit(v, buckets)) {
        return false;
    }
    /* MO(arena.use): acquire; before the slot, which leads to no memory that was used for anything else by then. */
    uint32_t reused = atomic_load_explicit(&t->seg->reused, memory_order_acquire);
    const struct table_bucket *b = table_bucket_at(t, table_bucket_of(hash, buckets));
    uint32_t match = table_match_bucket(b, hash);
    if (match == 0) {
        return false;
    }
    /* The node is the newest at some moment after `at` was loaded. */
    uint64_t off = (uint64_t)table_first(b, match) * TABLE_UNIT;
    KILL_POINT("read.slot");
    uint64_t room = v->segment.size_bytes - NODE_HEADER_BYTES - off; /* what may follow the header */
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
    if (index == 0 || visible_at(at, index, deleted) != VISIBLE || their_len != key_len || size > buf_size ||
        key_len + size > room) {
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
    KILL_POINT("read.copied");
    out->size = size;
    out->version = index;
    atomic_thread_fence(memory_order_acquire); /* MO(node.index): pairs with the fence in table_node_begin() */
    /* MO(arena.use): relaxed; after the fence, as the index. */
    return atomic_load_explicit(&n->index, memory_order_relaxed) == index &&      /* MO(node.index) */
           atomic_load_explicit(&t->seg->reused, memory_order_relaxed) == reused; /* MO(arena.use) */
}

/* Copy every node of bucket `b` that is not deleted, newest version, and hand it over. False when something cannot be. */
typedef int foreign_visit_fn(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len,
                             uint64_t index, uint32_t payload_crc);
/* Bytes that all visits together may copy, in sizes of the segment: a key that splits move meanwhile is copied up to three times. */
#define FOREIGN_TIMES 4u
struct foreign_scratch {
    uint8_t *bytes;
    size_t room;
    uint64_t total; /* bytes of nodes that were copied */
    uint64_t epoch; /* from before `at` was loaded, where that is an index */
};
/* 0, fn's result, or TIDE_ERR_CORRUPT / TIDE_ERR_NOMEM. All visits with one scratch together hand over a few times the segment's
 * size at most, whatever its links lead to: then CORRUPT. at: UINT64_MAX for the newest; versions above it are followed back. */
int foreign_visit_bucket(const struct view *v, uint64_t b, uint64_t at, struct foreign_scratch *scratch,
                         foreign_visit_fn *fn, void *ctx);

/* Recompute the digest of a table that nobody writes (its process is dead) and compare: 0, CORRUPT, DIVERGED. */
int foreign_verify(const struct view *v);

#endif
