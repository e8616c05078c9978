/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/write/lane_codec.h"

#include "engine/write/write_op.h"

static uint64_t lane_round(uint64_t bytes) {
    return (bytes + 7) & ~UINT64_C(7);
}

static uint64_t lane_value_size(const struct tide_op *op) {
    return write_has_value(op) ? op->value_size : 0;
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
        const struct seq_more *more = q->more != NULL ? &q->more[i] : NULL;
        uint64_t value_size = lane_value_size(op);
        struct lane_op head = {
            .expected = op->kind == TIDE_OP_ADD && more != NULL ? (uint64_t)more->delta : op->expected,
            .ttl_ns = more != NULL ? more->ttl_ns : 0,
            .value_len = (uint32_t)value_size,
            .key_len = (uint32_t)op->key_len,
            .kind = (uint16_t)op->kind,
            .flags = more != NULL ? (uint16_t)more->flags : 0,
        };
        memcpy(to, &head, sizeof(head));
        memcpy(to + sizeof(head), op->key, op->key_len);
        if (value_size != 0) {
            memcpy(to + sizeof(head) + op->key_len, op->value, value_size);
        }
        to += sizeof(head) + lane_round(op->key_len + value_size);
    }
}

/* The next operation's head. *at moves to its key, *end is where the operation ends. False: the lengths are impossible. */
static bool lane_next(const uint8_t *from, uint64_t bytes, uint64_t *at, struct lane_op *head, uint64_t *end) {
    if (bytes - *at < sizeof(*head)) {
        return false;
    }
    memcpy(head, from + *at, sizeof(*head));
    *at += sizeof(*head);
    uint64_t payload = lane_round((uint64_t)head->key_len + head->value_len);
    *end = *at + payload;
    return head->key_len <= TIDE_KEY_MAX && payload <= bytes - *at;
}

bool lane_wants_more(const struct tide *d, const uint8_t *from, uint64_t bytes, uint32_t count) {
    struct lane_op head;
    bool more = d->words.default_ttl_ns != 0;
    for (uint64_t at = 0, end; !more && count != 0 && lane_next(from, bytes, &at, &head, &end); at = end, count--) {
        more = head.kind > TIDE_OP_CAS || head.ttl_ns != 0 || head.flags != 0;
    }
    return more;
}

int lane_decode(const struct tide *d, const uint8_t *from, uint64_t bytes, struct lane_decoded *to) {
    uint64_t at = 0, end = 0;
    to->ring_bytes = 0;
    for (uint32_t i = 0; i < to->count; i++, at = end) {
        struct lane_op head;
        if (!lane_next(from, bytes, &at, &head, &end) || head.reserved != 0 ||
            (to->more == NULL && (head.ttl_ns | head.flags) != 0)) {
            return TIDE_ERR_INVALID;
        }
        to->ops[i] = (struct tide_op){ .kind = (enum tide_op_kind)head.kind,
                                       .key = from + at,
                                       .key_len = head.key_len,
                                       .value = from + at + head.key_len,
                                       .value_size = head.value_len,
                                       .expected = head.expected };
        if (to->more != NULL) {
            to->more[i] =
                (struct seq_more){ .ttl_ns = head.ttl_ns, .delta = (int64_t)head.expected, .flags = head.flags };
        }
        int error = write_check(d, &to->ops[i], to->more != NULL ? &to->more[i] : NULL, &to->ring_bytes);
        if (error != 0) {
            return error;
        }
        write_digest(d, &to->ops[i], &to->prepared[i]);
    }
    return at == bytes ? 0 : TIDE_ERR_INVALID;
}

/* ---- results ------------------------------------------------------------------------------------------------------------ */

static bool lane_has_result(const struct seq_request *q, size_t i) {
    return q->more != NULL && q->ops[i].kind == TIDE_OP_ADD;
}

size_t lane_results(const struct seq_request *q) {
    size_t n = 0;
    for (size_t i = 0; q->more != NULL && i < q->count; i++) {
        n += lane_has_result(q, i);
    }
    return n;
}

void lane_put_results(const struct seq_request *q, uint8_t *to) {
    for (size_t i = 0, n = 0; i < q->count && n < LANE_RESULTS_MOST; i++) {
        if (lane_has_result(q, i)) {
            memcpy(to + 8 * n++, &q->more[i].result, 8);
        }
    }
}

void lane_get_results(struct seq_request *q, const uint8_t *from) {
    for (size_t i = 0, n = 0; i < q->count && n < LANE_RESULTS_MOST; i++) {
        if (lane_has_result(q, i)) {
            memcpy(&q->more[i].result, from + 8 * n++, 8);
        }
    }
}
