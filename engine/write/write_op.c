/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/write_op.h"

#include "shm/crc.h"

int write_check(const struct tide *d, const struct tide_op *op, uint64_t *ring_bytes) {
    bool put = op->kind == TIDE_OP_PUT || op->kind == TIDE_OP_CAS;
    if ((!put && op->kind != TIDE_OP_DELETE) || op->key == NULL || op->key_len == 0 ||
        (put && op->value == NULL && op->value_size != 0)) {
        return TIDE_ERR_INVALID;
    }
    size_t value_size = put ? op->value_size : 0;
    if (op->key_len > TIDE_KEY_MAX || value_size > ring_group_max(&d->ring)) {
        return TIDE_ERR_TOO_BIG;
    }
    *ring_bytes += ring_frame_bytes(op->key_len, value_size);
    return *ring_bytes > ring_group_max(&d->ring) ? TIDE_ERR_TOO_BIG : 0;
}

void write_digest(const struct tide *d, const struct tide_op *op, struct seq_op *p) {
    size_t value_size = op->kind == TIDE_OP_DELETE ? 0 : op->value_size;
    p->flags = 0;
    p->hash = XXH3_64bits_withSeed(op->key, op->key_len, d->hash_seed);
    p->payload_crc = crc32c(crc32c(0, op->key, op->key_len), op->value, value_size);
}
