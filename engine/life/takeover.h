/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who leads: taking over when the leader has gone, and handing over. */
#ifndef TIDE_LIFE_TAKEOVER_H
#define TIDE_LIFE_TAKEOVER_H

#include "engine/replica/domain.h"

/* The steward is a thread that waits for the leader's byte while this handle has a replica that may lead, and hands over when it is
 * asked to. Under d->control. */
int steward_start(struct tide *d);
/* Not under d->control: the steward may need it to finish. */
void steward_stop(struct tide *d);

/* The replica, which serves and has applied everything, leads: this handle holds the leader's byte. Under d->control. */
int takeover_lead(struct tide *d, struct replica *r);
/* The reverse, up to and without letting the byte go: queued writes are answered with NO_LEADER. Under d->control. */
void takeover_unlead(struct tide *d, struct replica *r);

#endif
