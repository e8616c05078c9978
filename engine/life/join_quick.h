/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Copying a donor's table: nearly all keys lie in buckets in which nothing is unusual, and go one after the other without a call. Anything else
 * is left to engine/life/join.c, which knows why.
 */
#ifndef TIDE_LIFE_JOIN_QUICK_H
#define TIDE_LIFE_JOIN_QUICK_H

#include "engine/replica/foreign.h"
#include "engine/replica/key_text.h"
#include "engine/replica/replica.h"

struct join_copy {
    struct replica *r;
    struct foreign_scratch *scratch;
    uint64_t most;  /* bytes that one copy of the donor may come to */
    uint64_t bytes; /* of the node that was copied last: how much of the next is asked for */
    enum arena_status status;
    bool again;               /* some of this bucket may be here already: there was no room for all of it, say */
    bool damaged;             /* a whole copy has another CRC than its node says */
    char key[KEY_TEXT_BYTES]; /* of that one */
};

/*
 * Copy bucket `bucket` of `buckets`. The caller has a section open, and nothing of the bucket is here yet but what the log has put. False: not
 * all of it was copied, and nothing is known but that. Nothing that was loaded from the donor is believed before it is checked: both kinds of donors
 * are read as another process's is.
 */
bool join_quick(struct join_copy *copy, const struct view *donor, uint64_t bucket, uint64_t buckets);

#endif
