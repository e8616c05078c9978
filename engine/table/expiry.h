/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * When nodes of a table expire, for whoever removes them. There is no timer for each key. Each group of buckets has the least instant
 * at which a node in it expires, or an earlier instant; each block of groups has the least of its groups. A put that expires lowers
 * them, a split passes them on, and a sweep that has looked at a group's nodes sets them right.
 *
 * Private memory of the table's writer. Every replica keeps it, so that a new leader knows at once what has to be removed. 0 stands
 * for "none expires", so that memory that was never used costs nothing.
 */
#ifndef TIDE_TABLE_EXPIRY_H
#define TIDE_TABLE_EXPIRY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define EXPIRY_GROUP_SHIFT 3u /* buckets in a group */
#define EXPIRY_BLOCK_SHIFT 6u /* groups in a block */

struct expiry {
    uint64_t *groups, *blocks;
    uint64_t soonest; /* no node expires earlier; 0: none expires */
    uint64_t next;    /* the same, of what the sweep's round has passed so far, and of what was put meanwhile */
    uint64_t at;      /* the group that the sweep looks at next */
    bool stale;       /* in its block, groups have changed */
};

static inline void expiry_destroy(struct expiry *e) {
    free(e->groups);
    free(e->blocks);
    e->groups = e->blocks = NULL;
}

/* 0, or -1: no memory. */
static inline int expiry_init(struct expiry *e, uint64_t buckets_most) {
    uint64_t groups = (buckets_most >> EXPIRY_GROUP_SHIFT) + 1;
    uint64_t blocks = (groups >> EXPIRY_BLOCK_SHIFT) + 1;
    *e = (struct expiry){ .groups = calloc(blocks << EXPIRY_BLOCK_SHIFT, sizeof(uint64_t)),
                          .blocks = calloc(blocks, sizeof(uint64_t)) };
    if (e->groups == NULL || e->blocks == NULL) {
        expiry_destroy(e);
        return -1;
    }
    return 0;
}

/* The earlier of two instants, where 0 is none. */
static inline uint64_t expiry_earlier(uint64_t a, uint64_t b) {
    return a - 1 < b - 1 ? a : b;
}

/* A node in this bucket expires at this instant (not 0). */
static inline void expiry_lower(struct expiry *e, uint64_t bucket, uint64_t instant) {
    uint64_t group = bucket >> EXPIRY_GROUP_SHIFT;
    if (expiry_earlier(e->groups[group], instant) != e->groups[group]) {
        e->groups[group] = instant;
        e->blocks[group >> EXPIRY_BLOCK_SHIFT] = expiry_earlier(e->blocks[group >> EXPIRY_BLOCK_SHIFT], instant);
        e->soonest = expiry_earlier(e->soonest, instant);
        e->next = expiry_earlier(e->next, instant);
    }
}

/* Nodes of bucket `from` were moved to bucket `to`. */
static inline void expiry_spread(struct expiry *e, uint64_t from, uint64_t to) {
    uint64_t instant = e->groups[from >> EXPIRY_GROUP_SHIFT];
    if (__builtin_expect(instant != 0, 0)) {
        expiry_lower(e, to, instant);
    }
}

struct table_writer;

struct expiry_due {
    uint64_t hash, expiry;
    uint32_t node;
};

/*
 * Nodes that have expired by `now`, at most `most`; their writer removes them before it calls again. *more: there is more to look at
 * now. The work of one call is bounded: some hundred nodes are looked at.
 */
uint32_t expiry_sweep(struct table_writer *w, uint64_t now, struct expiry_due *due, uint32_t most, bool *more);

/* A node that the sweep has found, and that is not removed now: it will be found again. */
void expiry_put_back(struct table_writer *w, const struct expiry_due *due);

#endif
