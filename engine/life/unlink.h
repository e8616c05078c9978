/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking a domain's names away: tide_unlink(), and domains that end with their last member. */
#ifndef TIDE_LIFE_UNLINK_H
#define TIDE_LIFE_UNLINK_H

#include "engine/replica/domain.h"

/* The files of a domain but for its log, of this incarnation; 0: whatever has these names. */
void unlink_tables(const char *dir, const char *name, uint64_t incarnation);

/* With byte 0 held alone: nobody lives, and nobody gets in. Log and tables lose their names. Errors as tide_unlink(). */
int unlink_dead(struct tide *d);

/* When a handle closes, its replicas stopped: remove the domain if that is what was asked for, or if there was never anything in it and
 * it could not be filled. */
void unlink_at_end(struct tide *d);

#endif
