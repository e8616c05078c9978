/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One operation of a write: its checks, and what can be computed before it has its place in the log. */
#ifndef TIDE_WRITE_WRITE_OP_H
#define TIDE_WRITE_WRITE_OP_H

#include "engine/log/sequencer.h"

#define WRITE_BATCH_MAX 65536u

/* Check an operation, and add its frame to *ring_bytes, at the most. `more`: of the operation; NULL: it has none. INVALID or TOO_BIG. */
int write_check(const struct tide *d, const struct tide_op *op, const struct seq_more *more, uint64_t *ring_bytes);

/* Compute hash and CRC. The operation was checked, and this process leads. */
void write_digest(const struct tide *d, const struct tide_op *op, struct seq_op *p);

/* Has the operation a value of its own? */
static inline bool write_has_value(const struct tide_op *op) {
    return op->kind == TIDE_OP_PUT || op->kind == TIDE_OP_CAS;
}

/* Find for each operation with `more` the one before it that has the same key. 0 or TIDE_ERR_NOMEM. */
int write_link(const struct tide *d, const struct seq_request *q);

#endif
