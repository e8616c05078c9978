/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef ENGINE_CONTROL_H
#define ENGINE_CONTROL_H

#include "engine/replica/domain.h"

/* End a follower's thread, or let it go on where it was. Under d->control. */
void control_end_thread(struct replica *r);
int control_resume_thread(struct replica *r);

/* Until no tide_replica_start() is under way that has begun before. Not under d->control. */
void control_await_starts(struct tide *d);

/* Somebody leads again: what the dead left is not needed any more. */
void control_release_orphans(struct tide *d);

/* tide_replica_stop(); keep: the last copy's segment stays, for a warm start. */
int control_stop(struct tide *d, uint32_t id, bool keep);

#endif
