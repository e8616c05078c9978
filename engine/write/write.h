/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ENGINE_WRITE_H
#define ENGINE_WRITE_H

#include "engine/log/sequencer.h"

#define WRITE_BATCH_MAX 65536u

/* Check an operation, and add its frame to *ring_bytes. INVALID or TOO_BIG. */
int write_check(const struct tide *d, const struct tide_op *op, uint64_t *ring_bytes);

/* Work out what needs no order: hash and CRC. Of one that was checked, by the process that leads. */
void write_digest(const struct tide *d, const struct tide_op *op, struct seq_op *p);

/* tide_put() in every case. Errors as there. */
int write_put(struct tide *d, struct tide_reader *session, const void *key, size_t key_len, const void *value,
              size_t value_size, struct tide_token *token);

#endif
