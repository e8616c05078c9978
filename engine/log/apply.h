/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How entries of the log become part of a replica. */
#ifndef TIDE_LOG_APPLY_H
#define TIDE_LOG_APPLY_H

#include "engine/replica/replica.h"

enum apply_status {
    APPLY_OK = 0,
    APPLY_LAPPED = 1,
    APPLY_CORRUPT = 2,
    APPLY_WAIT = 3, /* memory waits for a grace period: publish, drain, try again */
    APPLY_FULL = 4,
};

/* Apply and publish up to `until` or what is committed, in runs that end where a batch ends. Stops early where an entry is
 * younger than the replica's delay: *due gets when it may be applied (0 otherwise). */
enum apply_status apply_catch_up(struct replica *r, uint64_t until, uint64_t *due);

#endif
