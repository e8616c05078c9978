/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/lane_codec.h"

#include "engine/write/write_op.h"

static uint64_t lane_round(uint64_t bytes) {
    return (bytes + 7) & ~UINT64_C(7);
}

static uint64_t lane_value_size(const struct tide_op *op) {
    return op->kind == TIDE_OP_DELETE ? 0 : op->value_size;
}

uint64_t lane_encoded_bytes(const struct seq_request *q) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < q->count; i++) {
        bytes += sizeof(struct lane_op) + lane_round(q->ops[i].key_len + lane_value_size(&q->ops[i]));
    }
    return bytes;
}

void lane_encode(const struct seq_request *q, uint8_t *to) {
    for (size_t i = 0; i < q->count; i++) {
        const struct tide_op *op = &q->ops[i];
        uint64_t value_size = lane_value_size(op);
        struct lane_op head = { value_size, op->expected, (uint32_t)op->kind, (uint32_t)op->key_len };
        memcpy(to, &head, sizeof(head));
        memcpy(to + sizeof(head), op->key, op->key_len);
        if (value_size != 0) {
            memcpy(to + sizeof(head) + op->key_len, op->value, value_size);
        }
        to += sizeof(head) + lane_round(op->key_len + value_size);
    }
}

int lane_decode(const struct tide *d, const uint8_t *from, uint64_t bytes, uint32_t count, struct tide_op *ops,
                struct seq_op *prepared, uint64_t *ring_bytes) {
    uint64_t at = 0;
    *ring_bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct lane_op head;
        if (bytes - at < sizeof(head)) {
            return TIDE_ERR_INVALID;
        }
        memcpy(&head, from + at, sizeof(head));
        at += sizeof(head);
        if (head.key_len > TIDE_KEY_MAX || head.value_len > bytes ||
            lane_round(head.key_len + head.value_len) > bytes - at) {
            return TIDE_ERR_INVALID;
        }
        ops[i] = (struct tide_op){ (enum tide_op_kind)head.kind,
                                   0,
                                   from + at,
                                   head.key_len,
                                   from + at + head.key_len,
                                   head.value_len,
                                   head.expected };
        int error = write_check(d, &ops[i], ring_bytes);
        if (error != 0) {
            return error;
        }
        write_digest(d, &ops[i], &prepared[i]);
        at += lane_round(head.key_len + head.value_len);
    }
    return at == bytes ? 0 : TIDE_ERR_INVALID;
}
