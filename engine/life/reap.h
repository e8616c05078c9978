/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dead members left behind. */
#ifndef TIDE_LIFE_REAP_H
#define TIDE_LIFE_REAP_H

#include "engine/replica/domain.h"

/* Free what dead members left. Tables that may still be needed become ORPHAN instead. Returns how many members were
 * dead. */
uint32_t reap_dead(struct tide *d);
void reap_member(void *tide, uint32_t member);

/* Remove the tables that the dead left. A replica leads again, so they are not needed any more. */
void reap_orphans(struct tide *d);

#endif
