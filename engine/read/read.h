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

/*
 * Something was found expired at index v->index, by a clock that was asked after that index was loaded. Meanwhile another write may
 * have given it a longer life; then it was never absent, and a linearizable read must not say so. True: nothing was committed
 * meanwhile, or the read need not be linearizable, or the clock was asked before the index was loaded. False: read again, by this
 * instant; `when` is changed so that the next read's index comes after it.
 */
static inline bool read_hides(const struct tide_reader *r, const struct verdict *v, struct instant *when) {
    bool good = when->early || v->staleness_ns != 0 || board_commit(r->log) <= v->index;
    when->early = true;
    when->hid = false;
    return good;
}

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
