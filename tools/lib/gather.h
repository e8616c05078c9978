/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All keys of a domain at one index, for `tide scan` and `tide snapshot save`. */
#ifndef TIDE_TOOLS_GATHER_H
#define TIDE_TOOLS_GATHER_H

#include "engine/tidemark.h"
#include "tools/lib/records.h"

struct gather {
    struct tide_bound bound;
    uint64_t replicas;  /* mask of those that may be used; 0: all */
    const void *prefix; /* only keys that begin with it */
    size_t prefix_size;
    int keys_only;  /* the records have no values */
    int joined;     /* out: a temporary follower was needed */
    size_t damaged; /* out: records whose bytes are not those that were written (TIDE_DAMAGED in their flags) */
};

/*
 * Scan into `out` (sorted by key), at the index that *a tells. Another process's replica may go on while it is read,
 * and on a busy domain no whole scan of one index comes about from outside. After some tries this process then
 * joins as a follower for a moment and reads its own copy, which needs a table's memory. The same where no replica
 * serves, but one was left behind by the dead. Where something is damaged, another replica is asked, as long as there is one.
 * 0, or a negative TIDE_ERR_ code; *a as tide_get() leaves it.
 */
int gather_scan(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a);

#endif
