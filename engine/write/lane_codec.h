/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request as bytes: struct lane_op, key, value, each operation at a multiple of 8. */
#ifndef TIDE_WRITE_LANE_CODEC_H
#define TIDE_WRITE_LANE_CODEC_H

#include "engine/log/sequencer.h"

uint64_t lane_encoded_bytes(const struct seq_request *q);
void lane_encode(const struct seq_request *q, uint8_t *to);

/* Decode bytes from another process, checking all of them. ops and prepared have room for `count`; they point into
 * `from`. 0, or TIDE_ERR_INVALID / TOO_BIG. */
int lane_decode(const struct tide *d, const uint8_t *from, uint64_t bytes, uint32_t count, struct tide_op *ops,
                struct seq_op *prepared, uint64_t *ring_bytes);

#endif
