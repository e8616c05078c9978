/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A request as bytes: struct lane_op, key, value, each operation at a multiple of 8. And results, 8 bytes each. */
#ifndef TIDE_WRITE_LANE_CODEC_H
#define TIDE_WRITE_LANE_CODEC_H

#include "engine/log/sequencer.h"

#define LANE_RESULTS_MOST (LAYOUT_LANE_BYTES / 8)

uint64_t lane_encoded_bytes(const struct seq_request *q);
void lane_encode(const struct seq_request *q, uint8_t *to);

/* Where a request is decoded to: arrays with room for `count`, which will point into its bytes. more: NULL where
 * lane_wants_more() says that there is none. */
struct lane_decoded {
    uint32_t count;
    struct tide_op *ops;
    struct seq_op *prepared;
    struct seq_more *more;
    uint64_t ring_bytes;
};

/* Bytes from another process: everything is checked. 0 or TIDE_ERR_INVALID / TOO_BIG. */
bool lane_wants_more(const struct tide *d, const uint8_t *from, uint64_t bytes, uint32_t count);
int lane_decode(const struct tide *d, const uint8_t *from, uint64_t bytes, struct lane_decoded *to);

/* How many operations have results: at most LANE_RESULTS_MOST are handed on. From the leader, and to the writer. */
size_t lane_results(const struct seq_request *q);
void lane_put_results(const struct seq_request *q, uint8_t *to);
void lane_get_results(struct seq_request *q, const uint8_t *from);

#endif
