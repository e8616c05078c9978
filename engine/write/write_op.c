/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/write_op.h"

#include <stdlib.h>

#include "engine/log/derive.h"
#include "shm/crc.h"

/* Is this a kind of operation that tide_write() takes, or without `more` tide_batch(), and are its options its own? */
static bool write_is_kind(const struct tide_op *op, const struct seq_more *more) {
    switch (op->kind) {
    case TIDE_OP_PUT:
    case TIDE_OP_CAS:
        return more == NULL || (more->flags & ~(uint32_t)TIDE_KEEP) == 0;
    case TIDE_OP_DELETE:
        return more == NULL || (more->flags == 0 && more->ttl_ns == 0);
    case TIDE_OP_ADD:
        return more != NULL && (more->flags & ~(uint32_t)TIDE_KEEP) == 0;
    case TIDE_OP_TOUCH:
        return more != NULL && more->flags == 0;
    default:
        return false;
    }
}

int write_check(const struct tide *d, const struct tide_op *op, const struct seq_more *more, uint64_t *ring_bytes) {
    bool put = write_has_value(op);
    if (!write_is_kind(op, more) || op->key == NULL || op->key_len == 0 ||
        (put && op->value == NULL && op->value_size != 0)) {
        return TIDE_ERR_INVALID;
    }
    size_t value_size = put ? op->value_size : op->kind == TIDE_OP_ADD ? SEQ_NUMBER_MOST : 0;
    if (op->key_len > TIDE_KEY_MAX || value_size > ring_group_max(&d->ring)) {
        return TIDE_ERR_TOO_BIG;
    }
    bool expires = more != NULL && more->ttl_ns != 0 && more->ttl_ns <= DERIVE_TTL_MOST;
    *ring_bytes += ring_frame_bytes(op->key_len, value_size + (expires ? EXPIRY_BYTES : 0));
    return *ring_bytes > ring_group_max(&d->ring) ? TIDE_ERR_TOO_BIG : 0;
}

void write_digest(const struct tide *d, const struct tide_op *op, struct seq_op *p) {
    size_t value_size = write_has_value(op) ? op->value_size : 0;
    p->flags = 0;
    p->hash = XXH3_64bits_withSeed(op->key, op->key_len, d->hash_seed);
    p->payload_crc = crc32c_short(crc32c_short(0, op->key, op->key_len), op->value, value_size);
}

/* ---- operations of one key ------------------------------------------------------------------------------------------ */

#define WRITE_LINK_FEW 16u /* so few are compared with one another */

static bool write_same_key(const struct tide_op *a, const struct tide_op *b) {
    return a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0;
}

static void write_link_few(const struct seq_request *q) {
    for (size_t i = 0; i < q->count; i++) {
        uint32_t before = 0;
        for (size_t j = i; j-- > 0 && before == 0;) {
            before = write_same_key(&q->ops[i], &q->ops[j]) ? (uint32_t)j + 1 : 0;
        }
        q->more[i].before = before;
    }
}

/* The last operation of each key so far, by the key's hash, in a table of at least twice as many places. */
static int write_link_many(const struct tide *d, const struct seq_request *q) {
    uint64_t mask = (UINT64_C(4) << (63 - __builtin_clzll(q->count))) - 1;
    uint32_t *last = calloc(mask + 1, sizeof(*last));
    if (last == NULL) {
        return TIDE_ERR_NOMEM;
    }
    for (size_t i = 0; i < q->count; i++) {
        uint64_t at = XXH3_64bits_withSeed(q->ops[i].key, q->ops[i].key_len, d->hash_seed) & mask;
        while (last[at] != 0 && !write_same_key(&q->ops[last[at] - 1], &q->ops[i])) {
            at = (at + 1) & mask;
        }
        q->more[i].before = last[at];
        last[at] = (uint32_t)i + 1;
    }
    free(last);
    return 0;
}

int write_link(const struct tide *d, const struct seq_request *q) {
    if (q->count > WRITE_LINK_FEW) {
        return write_link_many(d, q);
    }
    write_link_few(q);
    return 0;
}
