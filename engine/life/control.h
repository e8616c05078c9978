/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_LIFE_CONTROL_H
#define TIDE_LIFE_CONTROL_H

#include "engine/replica/domain.h"

/* Until no tide_replica_start() is under way that has begun before. Not under d->control. */
void control_await_starts(struct tide *d);

/* tide_replica_stop(); keep: the last copy's segment stays, for a warm start. */
int control_stop(struct tide *d, uint32_t id, bool keep);

#endif
