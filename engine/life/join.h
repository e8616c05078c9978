/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_LIFE_JOIN_H
#define TIDE_LIFE_JOIN_H

#include "engine/replica/replica.h"

/* Fill an empty replica from the log, or from another replica of this process and the log; it is JOINING meanwhile and SERVING
 * afterwards. Errors: NO_REPLICA, FULL, CORRUPT. */
int join_replica(struct replica *r);

#endif
