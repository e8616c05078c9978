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

#include "shm/layout.h"

#define NEVER_EXPIRES UINT64_MAX

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

/* A version with an expiry is seen while now < expiry; the clock is asked only where such a version is met. */
static inline bool visible_expired(uint64_t expiry, uint64_t now) {
    return now >= expiry;
}

/* ---- the word `value_len` of a node: a value's length, and what follows the value ------------------------------------------------- */

static inline uint32_t node_value_len(uint32_t word) {
    return word & ~(NODE_EXPIRES | NODE_SOURCED);
}

/* Is there an instant of expiry behind the value? It may be NEVER_EXPIRES. */
static inline bool node_has_expiry(uint32_t word) {
    return word >= NODE_EXPIRES;
}

/* Bytes behind the value: the two bits above the length count them in eights. */
static inline uint32_t node_extra_bytes(uint32_t word) {
    return (word >> 30) * EXPIRY_BYTES;
}

/* Key, value and what follows it together. */
static inline uint64_t node_payload_bytes(uint64_t key_len, uint32_t word) {
    return key_len + node_value_len(word) + node_extra_bytes(word);
}

/* extra: 0, EXPIRY_BYTES, or EXPIRY_BYTES + SOURCED_BYTES. */
static inline uint32_t node_word(size_t value_len, size_t extra) {
    return (uint32_t)value_len | (uint32_t)extra / EXPIRY_BYTES << 30;
}

#endif
