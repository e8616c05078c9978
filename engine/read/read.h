/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the public reads have in common: engine/read/get.c, engine/read/read.c, engine/read/section.c. */
#ifndef TIDE_READ_READ_H
#define TIDE_READ_READ_H

#include "engine/read/reader.h"
#include "shm/bytes.h"

static inline bool read_key_valid(const void *key, size_t key_len) {
    return key != NULL && key_len - 1 < TIDE_KEY_MAX;
}

/* Copy a found value. The lengths cannot change while the section is open. */
static inline int read_value(const struct table_node *n, void *buf, size_t buf_size, uint64_t *value_size,
                             uint64_t *version) {
    if (n == NULL) {
        *value_size = 0;
        *version = 0;
        return TIDE_ERR_NOT_FOUND;
    }
    /* MO(node.fields), MO(node.index): relaxed; the node was reached through MO(table.slot). */
    size_t size = atomic_load_explicit(&n->value_len, memory_order_relaxed);
    *value_size = size;
    *version = atomic_load_explicit(&n->index, memory_order_relaxed); /* MO(node.index) */
    if (size > buf_size) {
        return TIDE_ERR_BUFFER;
    }
    size_t key_len = atomic_load_explicit(&n->key_len, memory_order_relaxed); /* MO(node.fields) */
    bytes_copy(buf, table_node_key(n) + key_len, size);
    return 0;
}

/* Check the arguments and choose: 0 with a section open, or an error without. */
int read_begin(struct tide_reader *r, const struct tide_bound *bound, const struct tide_answer *a, struct verdict *v);

/* What every read that got nowhere does: it is counted, and the answer says what could have been had. Returns `error`. */
int read_refuse(struct tide_reader *r, int error, const struct verdict *v, struct tide_answer *a);

/* What every read that served does, after its section. */
void read_done(struct tide_reader *r, const struct verdict *v, struct tide_answer *a, uint64_t value_size,
               uint64_t version);

/* A newer index of another process's replica. False when the slot has another table by now, or another owner who starts
 * from 0: what its board says is not about the table that is mapped here. */
bool read_newer(struct verdict *v);

/* The replica that was picked has no answer: leave it out and pick again (STUCK), or it is another one by now: pick again
 * (MOVED). 0: a section is open. */
#define READ_STUCK 1
#define READ_MOVED 2
int read_elsewhere(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, int why);

/* tide_get in every case but those of engine/read/get.c. */
int read_get_any(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound, void *buf,
                 size_t buf_size, struct tide_answer *a);

#endif
