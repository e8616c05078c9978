/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the log knows of lanes (engine/write/lane.h): the last request of each lane that was done, so that a new leader
 * does none twice. And letting lanes go: a living owner and a reaper of dead members do it alike.
 */
#ifndef TIDE_LOG_LANE_NOTES_H
#define TIDE_LOG_LANE_NOTES_H

#include "engine/replica/domain.h"

/* Numbers of requests; they start at 1 and would last for ever. What a damaged word makes of one counts on within these. */
#define LANE_SEQ_MAX (UINT64_MAX >> 4)

/* The number after this one. */
static inline uint64_t lane_seq_next(uint64_t seq) {
    return seq < LANE_SEQ_MAX ? seq + 1 : 1;
}

/* The log did something for a lane: remember it, for this process, and in the replica's table segment for newcomers. The applying thread. */
void lane_note(struct replica *r, uint16_t lane, uint64_t seq, uint64_t index);

/* Take over what a donor knows, as far as it is newer, and can be: no number is above the one that its lane is at. */
void lane_copy_notes(struct replica *to, const struct view *from);

/* A request came with a number below the last: the lane's word was changed. Numbers go on from there. */
void lane_note_fall(struct replica *r, uint32_t number, uint64_t seq);

/* Let a lane go, this process's or a dead member's. A request that no leader has taken is cancelled. */
void lane_leave(struct tide *d, uint32_t number);

/* Let all lanes of a dead member go. */
void lane_reap(struct tide *d, uint32_t member);

#endif
