/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the log knows of lanes (engine/write/lane.h): the last request of each that was done, so that a new leader does none twice. And
 * letting lanes go, which a living owner and whoever reaps a dead one do alike.
 */
#ifndef TIDE_LOG_LANE_NOTES_H
#define TIDE_LOG_LANE_NOTES_H

#include "engine/replica/domain.h"

/* The log did something for a lane: remember it, in the replica's table segment. The applying thread. */
void lane_note(struct table_segment *seg, uint16_t lane, uint64_t seq, uint64_t index);

/* Take over what a donor knows, as far as it is newer. */
void lane_copy_notes(struct table_segment *to, const struct table_segment *from);

/* Let a lane go, its owner's or a dead member's: cancel what nobody has taken. */
void lane_leave(struct tide *d, uint32_t number);

/* All lanes of a dead member. */
void lane_reap(struct tide *d, uint32_t member);

#endif
