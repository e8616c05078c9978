/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What an operation comes to, where that depends on what is there: the sum of an add, the value of a touch, and the
 * instant at which a value expires. The thread that has the turn works it out, from the leader's table and from what the
 * request's earlier operations did. The log gets plain puts, so followers need not know of these.
 */
#ifndef TIDE_LOG_DERIVE_H
#define TIDE_LOG_DERIVE_H

#include "engine/log/sequencer.h"
#include "engine/replica/replica.h"

/* A longer ttl means: for ever. */
#define DERIVE_TTL_MOST (UINT64_C(100) * 365 * 86400 * 1000000000)

/* Is the version that each cas expects the one that is there? 0, or MISMATCH: q->found, q->failed. */
int derive_check_cas(const struct replica *leader, struct seq_request *q, struct instant *when);

/* Work out q->more[], the CRCs and q->ring_bytes. 0; NOT_FOUND, NUMBER, OVERFLOW (q->failed); TOO_BIG, NOMEM, CORRUPT. */
int derive_all(const struct tide *d, const struct replica *leader, struct seq_request *q, struct instant *when);

/* Free what was made for it. */
void derive_release(struct seq_request *q);

/* The value that an operation puts. */
static inline bool derive_has_value(const struct seq_request *q, size_t i) {
    return q->more != NULL && q->more[i].value != NULL;
}
static inline const void *derive_value(const struct seq_request *q, size_t i) {
    return derive_has_value(q, i) ? q->more[i].value : q->ops[i].value;
}
static inline size_t derive_value_size(const struct seq_request *q, size_t i) {
    return derive_has_value(q, i) ? q->more[i].value_size : q->ops[i].value_size;
}
static inline bool derive_expires(const struct seq_request *q, size_t i) {
    return q->source != NULL || (q->more != NULL && q->more[i].expiry != NEVER_EXPIRES);
}
/* Bytes behind the value. A source's entry has both fields. */
static inline size_t derive_extra(const struct seq_request *q, size_t i) {
    return q->source != NULL ? EXPIRY_BYTES + SOURCED_BYTES : derive_expires(q, i) ? EXPIRY_BYTES : 0;
}
/* Its lengths as a node has them. */
static inline uint32_t derive_word(const struct seq_request *q, size_t i) {
    return node_word(derive_value_size(q, i), derive_extra(q, i));
}

#endif
