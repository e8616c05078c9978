/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the log knows of lanes (engine/write/lane.h): the last request of each lane that was done, so that a new leader
 * does none twice. And letting lanes go: a living owner and a reaper of dead members do it alike.
 */
#ifndef TIDE_LOG_LANE_NOTES_H
#define TIDE_LOG_LANE_NOTES_H

#include "engine/replica/domain.h"

/* Note in the replica's table segment that the log has done a lane's request. By the applying thread. */
void lane_note(struct table_segment *seg, uint16_t lane, uint64_t seq, uint64_t index);

/* Copy a donor's notes, as far as they are newer. */
void lane_copy_notes(struct table_segment *to, const struct table_segment *from);

/* Let a lane go, this process's or a dead member's. A request that no leader has taken is cancelled. */
void lane_leave(struct tide *d, uint32_t number);

/* Let all lanes of a dead member go. */
void lane_reap(struct tide *d, uint32_t member);

#endif
