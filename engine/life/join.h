/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_LIFE_JOIN_H
#define TIDE_LIFE_JOIN_H

#include "engine/replica/replica.h"

/* Fill an empty replica from the log, or from another replica and the log. It is JOINING meanwhile and SERVING
 * afterwards. Errors: NO_REPLICA, FULL, CORRUPT; TIMEOUT: lapped again and again; SYSTEM, NOMEM: this process cannot look at others. */
int join_replica(struct replica *r);

/* So long a replica that has never served tries at least, although it is lapped each time. Tests shorten it. */
extern uint64_t join_patience_ns;

/* The error of a join is nothing that lasts: no donor just now, no memory, no space. FAILED is for damage. */
static inline bool join_may_pass(int error) {
    return error != TIDE_ERR_CORRUPT && error != TIDE_ERR_DIVERGED && error != TIDE_ERR_GONE &&
           error != TIDE_ERR_CLOSED;
}

#endif
