/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The rule of every read, in the replica's own process and in others. Of a key's versions, a read at index S sees the
 * newest that was written at S or before, unless that version was deleted at S or before. The writer stores both marks
 * before `applied` reaches S, so a read that loaded `applied` = S finds them.
 */
#ifndef TIDE_TABLE_VISIBLE_H
#define TIDE_TABLE_VISIBLE_H

#include <stdbool.h>
#include <stdint.h>

enum visible {
    VISIBLE = 0,
    VISIBLE_DELETED = 1, /* the read finds nothing */
    VISIBLE_LATER = 2,   /* written after S: look at the older version */
};

/* A version that was written at `index` and deleted at `deleted` (0: not deleted), for a read at `at` (UINT64_MAX: the newest state). */
static inline enum visible visible_at(uint64_t at, uint64_t index, uint64_t deleted) {
    if (index > at) {
        return VISIBLE_LATER;
    }
    return deleted - 1 < at ? VISIBLE_DELETED : VISIBLE; /* 1 to `at`, in one comparison */
}

#endif
