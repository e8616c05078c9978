/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Joining a domain as a follower for a moment, to read a copy of one's own: of a domain whose processes are all dead,
 * or one that is written too fast to be read from outside. Needs a table's memory. One thread.
 */
#ifndef TIDE_TOOLS_VISIT_H
#define TIDE_TOOLS_VISIT_H

#include "engine/tidemark.h"

struct visit {
    uint32_t id;           /* of the replica */
    uint64_t commit_index; /* when it joined */
};

/* A read answered `error`: is the reason that no process serves, while a replica was left behind by the dead? */
int visit_would_help(struct tide *d, int error);

/* Does a replica serve, of this mask? */
int visit_serves(struct tide *d, uint64_t replicas);

/* 0 or a TIDE_ERR_ code. The bound of the reads may still ask for a leader: where it does, *bound becomes one that waits
 * for the copy, since the leader's replica is another process's. */
int visit_begin(struct tide *d, struct visit *v, struct tide_bound *bound);

/* Let the copy go where it is not needed. Where everybody else died meanwhile it may be the only one: then it stays for
 * whoever comes next, which tide_close() sees to. */
void visit_end(struct tide *d, const struct visit *v);

#endif
