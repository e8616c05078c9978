/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public writes. They check the arguments, compute what needs no order, and hand the request to the sequencer. */
#include <stdlib.h>

#include "engine/table/rcu.h"
#include "engine/read/reader.h"
#include "engine/write/lane.h"
#include "engine/write/write.h"
#include "engine/write/write_op.h"

/* Write in this process if it leads, else through a lane. The leader may change meanwhile: then try again. */
static int write_somewhere(struct tide *d, struct seq_request *q) {
    int result = TIDE_ERR_NO_LEADER;
    if (__builtin_expect(d->fed, 0)) {
        return lane_write(d, q); /* from the leader's process, too: engine/write/feed.h */
    }
    if (atomic_load(&d->seq.here)) {
        for (size_t i = 0; i < q->count; i++) {
            write_digest(d, &q->ops[i], &q->prepared[i]);
        }
        result = seq_submit(d, q);
    }
    return result == TIDE_ERR_NO_LEADER ? lane_write(d, q) : result;
}

int write_submit(struct tide *d, struct tide_reader *session, struct seq_request *q, struct tide_token *token) {
    if (session != NULL) {
        int error = reader_check(session);
        if (error != 0) {
            return error;
        }
        if (session->domain != d) {
            return TIDE_ERR_INVALID;
        }
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    /* In a full table a write waits until sections end. Inside a section of its own this thread would wait for itself.
     * A thread that liburcu does not know has no section open. */
    if (rcu_inside()) {
        return TIDE_ERR_THREAD;
    }
    int result = write_somewhere(d, q);
    if (result == 0) {
        if (session != NULL && q->index > session->fence) {
            session->fence = q->index;
        }
        if (token != NULL) {
            *token = d->fed ? (struct tide_token){ TIDE_REVISION, q->found }
                            : (struct tide_token){ d->words.header.incarnation, q->index };
        }
    }
    return result;
}

static int write_one(struct tide *d, struct tide_reader *session, const struct tide_op *op, struct tide_token *token,
                     uint64_t *found) {
    if (d == NULL) {
        return TIDE_ERR_INVALID;
    }
    struct seq_op prepared;
    struct seq_more more = { 0 }; /* the domain's ttl */
    bool expires = d->words.default_ttl_ns != 0;
    struct seq_request q = { .ops = op, .prepared = &prepared, .more = expires ? &more : NULL, .count = 1 };
    int error = write_check(d, op, NULL, &q.ring_bytes);
    if (error != 0) {
        return error;
    }
    error = write_submit(d, session, &q, token);
    if (error == TIDE_ERR_MISMATCH && found != NULL) {
        *found = q.found;
    }
    return error;
}

int write_put(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
              size_t value_size, struct tide_token *token) {
    struct tide_op op = { TIDE_OP_PUT, 0, key, key_len, value, value_size, 0 };
    return write_one(d, session, &op, token, NULL);
}

int tide_delete(struct tide *d, struct tide_reader *session, const void *key, size_t key_len,
                struct tide_token *token) {
    struct tide_op op = { TIDE_OP_DELETE, 0, key, key_len, NULL, 0, 0 };
    return write_one(d, session, &op, token, NULL);
}

int tide_cas(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, uint64_t expected,
             const void *value, size_t value_size, struct tide_token *token, uint64_t *found) {
    struct tide_op op = { TIDE_OP_CAS, 0, key, key_len, value, value_size, expected };
    return write_one(d, session, &op, token, found);
}

int tide_batch(struct tide *d, struct tide_reader *session, const struct tide_op *ops, size_t n,
               struct tide_token *token, size_t *failed) {
    if (d == NULL || ops == NULL || n == 0 || n > WRITE_BATCH_MAX) {
        return TIDE_ERR_INVALID;
    }
    struct seq_op *prepared = malloc(n * sizeof(*prepared));
    bool expires = d->words.default_ttl_ns != 0;
    struct seq_more *more = expires ? calloc(n, sizeof(*more)) : NULL;
    int error = prepared == NULL || (expires && more == NULL) ? TIDE_ERR_NOMEM : 0;
    struct seq_request q = { .ops = ops, .prepared = prepared, .more = more, .count = n };
    for (size_t i = 0; i < n && error == 0; i++) {
        __builtin_prefetch(ops[i].key); /* the next to be read, one after the other: their misses overlap */
        __builtin_prefetch(ops[i].value);
        error = write_check(d, &ops[i], NULL, &q.ring_bytes);
    }
    if (error == 0) {
        error = write_submit(d, session, &q, token);
    }
    if (error == TIDE_ERR_MISMATCH && failed != NULL) {
        *failed = q.failed;
    }
    free(more);
    free(prepared);
    return error;
}
