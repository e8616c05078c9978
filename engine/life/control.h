/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_LIFE_CONTROL_H
#define TIDE_LIFE_CONTROL_H

#include "engine/replica/domain.h"

/* Wait until every tide_replica_start() that began before this call has ended. Not under d->control. */
void control_await_starts(struct tide *d);

/* What tide_replica_stop() does. keep: if this is the last copy, its segment stays, for a warm start. */
int control_stop(struct tide *d, uint32_t id, bool keep);
/* Does this handle run a replica? One that is starting counts. */
bool control_runs(struct tide *d);

#endif
