/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes with a ttl or flags, and those that depend on the value that is there. */
#include <stdlib.h>

#include "engine/replica/sized.h"
#include "engine/write/write.h"
#include "engine/write/write_op.h"

SIZED_IS_FULL(tide_put_opts, ttl_ns);
SIZED_IS_FULL(tide_write_op, index);

/* A put's options in this library's size. False: INVALID. */
static bool more_take_opts(struct tide_put_opts *ours, const struct tide_put_opts *theirs) {
    static const struct tide_put_opts defaults = TIDE_PUT_OPTS_INIT;
    return SIZED_TAKE(ours, theirs != NULL ? theirs : &defaults, SIZED_PUT_OPTS) && ours->reserved == 0;
}

static int more_one(struct tide *d, struct tide_reader *session, const struct tide_op *op, struct seq_more *more,
                    struct tide_token *token, uint64_t *found) {
    if (d == NULL) {
        return TIDE_ERR_INVALID;
    }
    struct seq_op prepared;
    struct seq_request q = { .ops = op, .prepared = &prepared, .more = more, .count = 1 };
    int error = write_check(d, op, more, &q.ring_bytes);
    error = error == 0 ? write_submit(d, session, &q, token) : error;
    if (error == TIDE_ERR_MISMATCH && found != NULL) {
        *found = q.found;
    }
    return error;
}

int tide_put_with(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
                  size_t value_size, const struct tide_put_opts *opts, struct tide_token *token) {
    struct tide_put_opts o;
    if (!more_take_opts(&o, opts)) {
        return TIDE_ERR_INVALID;
    }
    if (o.ttl_ns == 0 && o.flags == 0) {
        return tide_put(d, session, key, key_len, value, value_size, token);
    }
    struct tide_op op = { TIDE_OP_PUT, 0, key, key_len, value, value_size, 0 };
    struct seq_more more = { .ttl_ns = o.ttl_ns, .flags = o.flags };
    return more_one(d, session, &op, &more, token, NULL);
}

int tide_cas_with(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, uint64_t expected,
                  const void *value, size_t value_size, const struct tide_put_opts *opts, struct tide_token *token,
                  uint64_t *found) {
    struct tide_put_opts o;
    if (!more_take_opts(&o, opts)) {
        return TIDE_ERR_INVALID;
    }
    struct tide_op op = { TIDE_OP_CAS, 0, key, key_len, value, value_size, expected };
    struct seq_more more = { .ttl_ns = o.ttl_ns, .flags = o.flags };
    return more_one(d, session, &op, &more, token, found);
}

int tide_touch(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, uint64_t ttl_ns,
               struct tide_token *token) {
    struct tide_op op = { TIDE_OP_TOUCH, 0, key, key_len, NULL, 0, 0 };
    struct seq_more more = { .ttl_ns = ttl_ns };
    return more_one(d, session, &op, &more, token, NULL);
}

int tide_add(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, int64_t delta,
             const struct tide_put_opts *opts, struct tide_token *token, int64_t *result) {
    struct tide_put_opts o;
    if (!more_take_opts(&o, opts)) {
        return TIDE_ERR_INVALID;
    }
    struct tide_op op = { TIDE_OP_ADD, 0, key, key_len, NULL, 0, 0 };
    struct seq_more more = { .ttl_ns = o.ttl_ns, .flags = o.flags, .delta = delta };
    int error = more_one(d, session, &op, &more, token, NULL);
    if (error == 0 && result != NULL) {
        *result = more.result;
    }
    return error;
}

/* ---- tide_write() ------------------------------------------------------------------------------------------------------ */

/* The operations in the sequencer's shape. */
struct more_batch {
    struct tide_op *ops;
    struct seq_op *prepared;
    struct seq_more *more;
};

static struct tide_write_op *more_at(struct tide_write_op *ops, size_t i) {
    return (struct tide_write_op *)(void *)((uint8_t *)ops + i * ops->size);
}

/* Another process's program may be older or newer than this library: every operation has the first one's size. */
static int more_read(const struct tide *d, struct tide_write_op *ops, size_t n, const struct more_batch *b,
                     uint64_t *ring_bytes) {
    int error = 0;
    uint32_t size = ops->size;
    for (size_t i = 0; i < n && error == 0; i++) {
        const struct tide_write_op *theirs = more_at(ops, i);
        struct tide_write_op o;
        if (theirs->size != size || !SIZED_TAKE(&o, theirs, SIZED_WRITE_OP) || o.reserved != 0) {
            return TIDE_ERR_INVALID;
        }
        bool put = o.kind == TIDE_OP_PUT || o.kind == TIDE_OP_CAS;
        b->ops[i] = (struct tide_op){ .kind = (enum tide_op_kind)o.kind,
                                      .key = o.key,
                                      .key_len = o.key_len,
                                      .value = put ? o.value : NULL,
                                      .value_size = put ? o.value_size : 0,
                                      .expected = o.expected };
        b->more[i] = (struct seq_more){ .ttl_ns = o.ttl_ns, .flags = o.flags, .delta = o.delta };
        error = write_check(d, &b->ops[i], &b->more[i], ring_bytes);
    }
    return error;
}

static void more_give(const struct tide *d, struct tide_write_op *ops, size_t n, const struct seq_request *q) {
    for (size_t i = 0; i < n; i++) {
        struct tide_write_op *o = more_at(ops, i);
        o->index = d->fed ? q->found : q->index - (n - 1 - i);
        o->result = o->kind == TIDE_OP_ADD ? q->more[i].result : o->result;
    }
}

static bool more_failed_at(int error) {
    return error == TIDE_ERR_MISMATCH || error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_NUMBER ||
           error == TIDE_ERR_OVERFLOW;
}

int tide_write(struct tide *d, struct tide_reader *session, struct tide_write_op *ops, size_t n,
               struct tide_token *token, size_t *failed) {
    if (d == NULL || ops == NULL || n == 0 || n > WRITE_BATCH_MAX || ops->size < SIZED_WRITE_OP) {
        return TIDE_ERR_INVALID;
    }
    struct more_batch b = { malloc(n * sizeof(*b.ops)), malloc(n * sizeof(*b.prepared)), malloc(n * sizeof(*b.more)) };
    struct seq_request q = { .ops = b.ops, .prepared = b.prepared, .more = b.more, .count = n };
    int error = b.ops == NULL || b.prepared == NULL || b.more == NULL ? TIDE_ERR_NOMEM : 0;
    error = error == 0 ? more_read(d, ops, n, &b, &q.ring_bytes) : error;
    error = error == 0 ? write_link(d, &q) : error;
    error = error == 0 ? write_submit(d, session, &q, token) : error;
    if (error == 0) {
        more_give(d, ops, n, &q);
    }
    if (more_failed_at(error) && failed != NULL) {
        *failed = q.failed;
    }
    free(b.ops);
    free(b.prepared);
    free(b.more);
    return error;
}
