/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One replica: its segment, its table, and how an entry of the log becomes part of it. */
#ifndef ENGINE_REPLICA_H
#define ENGINE_REPLICA_H

#include "engine/domain.h"

/* Give the replica a fresh, empty table segment; readers are let in by replica_show(). Errors as tide_replica_start(). */
int replica_make_table(struct replica *r);
void replica_drop_table(struct replica *r);

/* Let readers in; keep them out, and wait until the last one has left. */
void replica_show(struct replica *r);
void replica_hide(struct replica *r);

enum apply_status {
    APPLY_OK = 0,
    APPLY_LAPPED = 1,
    APPLY_CORRUPT = 2,
    APPLY_WAIT = 3, /* memory waits for a grace period: publish, drain, try again */
    APPLY_FULL = 4,
};

/* Take a step into account: digest marks at their indexes. */
void replica_note_index(struct replica *r);

/* Publish r->applied and r->pos: readers see everything up to there. ts: see board_publish(). */
void replica_publish(struct replica *r, uint64_t ts);

/* Apply and publish up to `until` or what is committed, in runs that end where a batch ends. Stops early where an entry is
 * younger than the replica's delay: *due gets when it may be applied (0 otherwise). */
enum apply_status replica_catch_up(struct replica *r, uint64_t until, uint64_t *due);

/* Fill an empty replica from the log, or from another replica of this process and the log; it is JOINING meanwhile and SERVING
 * afterwards. Errors: NO_REPLICA, FULL, CORRUPT. */
int replica_join(struct replica *r);

/* The follower's thread. */
void *follower_run(void *replica);

#endif
