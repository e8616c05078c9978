/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who leads, and asking the leader to hand over. How it comes to lead: engine/life/takeover.h. */
#ifndef TIDE_WRITE_LEAD_H
#define TIDE_WRITE_LEAD_H

#include "engine/replica/domain.h"

/* Does this process lead? */
bool lead_is_here(const struct tide *d);

/* Does any process lead, this one or another? */
bool lead_is_held(struct tide *d);

/* If this handle made the domain, candidates of a domain without a leader leave it the first turn. It has decided now, whether it leads or
 * not: they need not wait any longer. Any thread. */
void lead_settle(struct tide *d);

/* Tell once where another part of the program has closed the log segment's descriptor. For the thread that leads or would lead. */
void lead_look_at_descriptor(struct tide *d);

/* Ask this handle's steward to hand over. Any thread. */
void lead_ask_step_down(struct tide *d);

#endif
