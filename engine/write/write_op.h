/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One operation of a write: is it valid, and what about it needs no order. */
#ifndef TIDE_WRITE_WRITE_OP_H
#define TIDE_WRITE_WRITE_OP_H

#include "engine/log/sequencer.h"

#define WRITE_BATCH_MAX 65536u

/* Check an operation, and add its frame to *ring_bytes. INVALID or TOO_BIG. */
int write_check(const struct tide *d, const struct tide_op *op, uint64_t *ring_bytes);

/* Work out what needs no order: hash and CRC. Of one that was checked, by the process that leads. */
void write_digest(const struct tide *d, const struct tide_op *op, struct seq_op *p);

#endif
