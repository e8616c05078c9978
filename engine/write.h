/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ENGINE_WRITE_H
#define ENGINE_WRITE_H

#include "engine/sequencer.h"

#define WRITE_BATCH_MAX 65536u

/* Check an operation and work out what needs no order: hash and CRC. Adds its frame to *ring_bytes. INVALID or TOO_BIG. */
int write_prepare(const struct tide *d, const struct tide_op *op, struct seq_op *p, uint64_t *ring_bytes);

#endif
