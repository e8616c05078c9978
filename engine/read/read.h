/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Common parts of the public reads: engine/read/get.c, engine/read/read.c, engine/read/section.c. */
#ifndef TIDE_READ_READ_H
#define TIDE_READ_READ_H

#include "engine/read/reader.h"
#include "engine/replica/sized.h"
#include "shm/bytes.h"

static inline bool read_key_valid(const void *key, size_t key_len) {
    return key != NULL && key_len - 1 < TIDE_KEY_MAX;
}

/* Results beside the errors. STUCK: this replica has no answer, another may. MOVED: the slot has another table by
 * now. */
#define READ_STUCK 1
#define READ_MOVED 2
#define READ_EXPIRED 3 /* the key is absent, if read_hides() says so */
#define READ_AGAIN 4

/* Since when the leader decides whether a key is there that has expired by `now`; 0: it does not. The clock was read before. */
static inline uint64_t read_undecided(const struct tide_reader *r, const struct instant *when) {
    clock_barrier();
    uint64_t since = board_deciding(r->log);
    return since < when->now && since < when->latest ? since : 0;
}

/*
 * Something was found expired at `index`, by a clock that was asked after that index was loaded. Meanwhile another write may have given it
 * a longer life, or the leader may be about to commit one that found it there; then it was never absent. True: neither is so. In this order: a
 * word that is 0 again stands behind its commit (tests/models/expiry.pml).
 */
static inline bool read_is_settled(const struct tide_reader *r, uint64_t index, const struct instant *when) {
    return read_undecided(r, when) == 0 && board_commit(r->log) <= index;
}

/*
 * May a read say that what it found expired is absent? A read that need not be linearizable may, and one whose instant is of before
 * its index (read_later()). False: call read_later().
 */
bool read_hides(const struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, struct instant *when);

/*
 * Leave the section, wait until the leader has decided, and pick again, by the same instant: then the index is of a later moment. 0: a
 * section is open. An error, or *when says what is still in doubt: the leader does not go on.
 */
int read_later(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, struct instant *when);

/* Copy a found value. READ_STUCK: the table is damaged, and what was found or not found says nothing. */
static inline int read_value(const struct table *t, const struct table_node *n, struct instant *when, void *buf,
                             size_t buf_size, struct found *f) {
    *f = (struct found){ 0 };
    if (n == NULL) {
        return __builtin_expect(table_is_damaged(t), 0) ? READ_STUCK : TIDE_ERR_NOT_FOUND;
    }
    struct table_lengths len;
    if (__builtin_expect(!table_lengths_of(t, n, &len), 0)) {
        return READ_STUCK;
    }
    /* MO(node.index): relaxed; reached through MO(table.slot). */
    uint64_t version = atomic_load_explicit(&n->index, memory_order_relaxed);
    uint64_t expiry = table_node_behind(n, &len, &version);
    if (__builtin_expect(instant_expired(when, expiry), 0)) {
        return READ_EXPIRED;
    }
    *f = (struct found){ len.value, version, expiry };
    if (len.value > buf_size) {
        return TIDE_ERR_BUFFER;
    }
    bytes_copy(buf, table_node_key(n) + len.key, len.value);
    return 0;
}

#define READ_HIT_BYTES 256u /* a key and value of so many bytes fit into the segment wherever read_hit() is called */

/*
 * The value of a node where that takes nothing but a copy: its key is this one, its newest version is of `at` or older and
 * not deleted, it never expires, and there is room. False says nothing. The key and the buffer are valid, and the node fits with
 * READ_HIT_BYTES.
 */
static inline bool read_hit(const struct table *t, const struct table_node *n, const void *key, size_t key_len,
                            void *buf, size_t buf_size, uint64_t at, struct found *f) {
    /* MO(node.index), MO(node.deleted): acquire; as table_version(). MO(node.fields): relaxed; as table_key_is(). */
    uint64_t index = atomic_load_explicit(&n->index, memory_order_acquire);
    uint64_t deleted = atomic_load_explicit(&n->deleted, memory_order_acquire);
    size_t size = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    if (__builtin_expect(size > buf_size || size >= NODE_EXPIRES || visible_at(at, index, deleted) != VISIBLE, 0)) {
        return false;
    }
    if (__builtin_expect(key_len + size > READ_HIT_BYTES, 0) &&
        key_len + size > t->room - ((uint64_t)((const uint8_t *)n - t->base) - t->buckets_off)) {
        return false;
    }
    if (__builtin_expect(!table_key_is(n, key, key_len), 0)) {
        return false;
    }
    *f = (struct found){ size, index, NEVER_EXPIRES };
    bytes_copy(buf, table_node_key(n) + key_len, size);
    return true;
}

/* A read found damage in a table of this process: stop its replica from serving, once. Returns `error`. */
int read_damaged(const struct view *v, int error);

/* A call's bound in this library's size: the default where the call has none, `room`, filled, where the caller's has another size.
 * NULL: INVALID. */
static inline const struct tide_bound *read_bound(const struct tide_bound *theirs, struct tide_bound *room) {
    if (__builtin_expect(theirs == NULL, 0)) {
        return &reader_default_bound;
    }
    if (__builtin_expect(theirs->size == sizeof(*room), 1)) {
        return theirs;
    }
    return SIZED_TAKE(room, theirs, SIZED_BOUND) ? room : NULL;
}

/* Check the arguments (bound NULL: INVALID) and pick a replica. 0: a section is open. Error: none is. */
int read_begin(struct tide_reader *r, const struct tide_bound *bound, const struct tide_answer *a, struct verdict *v);

/* End a read that no replica served: count it, and say in the answer what could have been had. Returns `error`. */
int read_refuse(struct tide_reader *r, int error, const struct verdict *v, struct tide_answer *a);

/* What every read that served does, after its section. */
void read_done(struct tide_reader *r, const struct verdict *v, struct tide_answer *a, const struct found *f,
               const struct instant *when);

/* Take a newer index of another process's replica. False: the slot has another table by now, or another owner, who
 * starts from index 0. Its board then says nothing about the table that is mapped here. */
bool read_newer(struct verdict *v);

/* Pick again: without this replica, which has no answer (STUCK), or with it, because the slot has another table by now
 * (MOVED). 0: a section is open. */
int read_elsewhere(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, int why);

/* tide_get() in every case but the short ways of engine/read/get.c. */
int read_get_any(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound, void *buf,
                 size_t buf_size, struct tide_answer *a);

#endif
