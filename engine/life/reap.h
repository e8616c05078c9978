/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What dead members left behind. */
#ifndef TIDE_LIFE_REAP_H
#define TIDE_LIFE_REAP_H

#include "engine/replica/domain.h"

/* Free what dead members left, but for tables that may be needed: those become ORPHAN. Returns how many members. */
uint32_t reap_dead(struct tide *d);
void reap_member(void *tide, uint32_t member);

/* Somebody leads again: the tables that the dead left are not needed any more. */
void reap_orphans(struct tide *d);

#endif
