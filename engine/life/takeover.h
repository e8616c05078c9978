/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking over when the leader has gone, and handing over. */
#ifndef TIDE_LIFE_TAKEOVER_H
#define TIDE_LIFE_TAKEOVER_H

#include "engine/replica/domain.h"

/* How long a candidate leaves the lead of a domain that nobody has led to the member that made it: `tide serve` makes a domain and then
 * leads it, and a `tide follow` beside it would be faster now and then. For ever is too long: the maker may never want to lead. Tests
 * change it. */
extern _Atomic uint64_t takeover_patience_ns;

/* The steward is a thread. While this handle has a replica that may lead, the steward waits for the leader's byte;
 * and it hands over when it is asked to. Under d->control. */
int steward_start(struct tide *d);
/* Not under d->control: the steward may need it to finish. */
void steward_stop(struct tide *d);

/* The replica, which serves and has applied everything, leads: this handle holds the leader's byte. Under d->control. */
int takeover_lead(struct tide *d, struct replica *r);
/* The reverse, except that the byte is kept. Queued writes are answered with NO_LEADER. Under d->control. */
void takeover_unlead(struct tide *d, struct replica *r);

#endif
