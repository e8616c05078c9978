/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The leader's copy of a lane's request. */
#ifndef TIDE_WRITE_LANE_WORK_H
#define TIDE_WRITE_LANE_WORK_H

#include "engine/write/lane_codec.h"

#define LANE_FEW_BYTES 512u

/* One request, copied out of its lane: the borrower cannot change what is checked. */
struct lane_work {
    uint32_t number;
    uint64_t seq;
    uint8_t *bytes;
    struct lane_decoded d;
    /* Space for the common request: one short operation. */
    struct tide_op op;
    struct seq_op one;
    struct seq_more more;
    uint8_t few[LANE_FEW_BYTES];
};

/* The request is done, or refused: tell its writer. */
void lane_answer(struct lane *lane, uint64_t seq, const struct seq_request *q);
void lane_work_free(struct lane_work *w);

#endif
