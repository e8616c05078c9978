/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Everything at one index, for a watch: a copy of a live replica's table, put right by the log, as a newcomer's is
 * (engine/life/join.c). The table is visited some buckets at a time while it goes on being written, so that no section stays open and
 * no writer waits. In between the log is read, never further than the replica had applied before: what the log removed is not found
 * again by a later visit. In the end the log is read up to one commit index S. The copy is then the state of S: each key's last write
 * at or before S was visited, or read in the log.
 */
#ifndef TIDE_WATCH_GATHER_H
#define TIDE_WATCH_GATHER_H

#include "engine/replica/domain.h"
#include "engine/watch/key_set.h"
#include "engine/watch/walk.h"

/*
 * Fill `set` (zeroed) with the keys that have the walk's prefix. The walk stands behind S afterwards. The calling thread is registered
 * with liburcu and has no section open. 0, or NO_REPLICA, NOMEM, CORRUPT (every copy is damaged), LOST (the log is overwritten
 * faster than the table can be copied).
 */
int gather_all(struct tide *d, struct walk *walk, struct key_set *set);

#endif
