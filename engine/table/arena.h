/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for nodes, in a table segment: carved downwards from its end, in size classes, with a free list each. Memory of one
 * class stays with it, so that a slot once a node is a node for ever (type-stable), which readers in other processes
 * rely on. One thread, the table's writer.
 *
 * A follower must never run out where the leader did not, although grace periods end at other times there. Therefore two sums:
 *
 *   peak    the sum over all classes of (most nodes alive at once x size). It follows from the log alone: the same for
 *           every replica that saw the same entries.
 *   carved  what was really taken. It may exceed `peak` by nodes that were replaced and wait for a grace period, and
 *           by no more than `slack`: beyond that arena_alloc() says ARENA_WAIT, and the writer waits for one.
 *
 * After such a wait the class has a free node, or is at its peak and may be carved: so carved <= peak + slack holds
 * always. The leader admits a write only while peak + slack + the buckets fit, or when it raises none of them. Hence nobody
 * runs out: where overflow buckets have taken a part of the slack, there is ARENA_WAIT earlier.
 */
#ifndef TIDE_TABLE_ARENA_H
#define TIDE_TABLE_ARENA_H

#include <stdbool.h>
#include <stdint.h>

#include "shm/bytes.h"
#include "shm/layout.h"

#define ARENA_CLASSES 256u

struct arena {
    uint8_t *base; /* of the segment */
    struct table_segment *seg;
    uint64_t low; /* nodes lie at or above this byte; buckets end below it */
    uint64_t end;
    uint64_t carved;   /* bytes of nodes */
    uint64_t overflow; /* bytes of overflow buckets, and what aligning them cost */
    uint64_t peak;
    uint64_t slack;
    struct arena_free {
        uint32_t *nodes; /* offset / TABLE_UNIT, the next to be used last */
        uint32_t count, room;
        uint32_t carved; /* nodes of the class: there is room for all of them, or they would not have been carved */
    } free[ARENA_CLASSES];
    uint32_t live[ARENA_CLASSES];
    uint32_t most[ARENA_CLASSES];
};

static inline struct table_node *arena_node(const struct arena *a, uint32_t node) {
    return (struct table_node *)(a->base + (uint64_t)node * TABLE_UNIT);
}

/* Free nodes are kept in memory of the process, not in the nodes: so that neither freeing one nor finding the next one touches them, which
 * nobody has looked at for thousands of writes. */
void arena_init(struct arena *a, uint8_t *base, uint64_t end, uint64_t slack);
void arena_destroy(struct arena *a);

/* Up to 1 KiB a class for every 16 bytes; beyond that eight to each doubling, so that at most an eighth is lost. */
#define ARENA_LINEAR 64u

/* Class of a node of so many units, more than ARENA_LINEAR, and the bytes that a node of such a class takes. */
uint32_t arena_class_large(uint64_t units);
uint64_t arena_class_large_bytes(uint32_t class);

/* Class of a node with so many bytes of key and value, and the bytes that a node of a class takes. */
static inline uint32_t arena_class(uint64_t payload_bytes) {
    uint64_t units = (NODE_HEADER_BYTES + payload_bytes + TABLE_UNIT - 1) / TABLE_UNIT;
    return units <= ARENA_LINEAR ? (uint32_t)units - 1 : arena_class_large(units);
}
static inline uint64_t arena_class_bytes(uint32_t class) {
    return class < ARENA_LINEAR ? (class + 1ull) * TABLE_UNIT : arena_class_large_bytes(class);
}

enum arena_status { ARENA_OK = 0, ARENA_WAIT = 1, ARENA_FULL = 2 };

/* A node of this class; the caller makes its index 0 before anything else of it changes. It counts as alive from now on. ARENA_WAIT: after a grace period there will be one. */
enum arena_status arena_alloc(struct arena *a, uint32_t class, uint64_t buckets_end, uint32_t *node);

/* A fresh node that does not count as alive yet: memory out of the slack, as that of replaced nodes, so that `peak` still follows from
 * the log alone. 0: there is none to be had without waiting. arena_count() when it becomes part of the state, else arena_free(). */
uint32_t arena_carve_ahead(struct arena *a, uint32_t class, uint64_t buckets_end);

#define ARENA_AHEAD 2u

/* A free node of the class, or 0, as arena_carve_ahead() else. Memory is asked for those behind it. */
static inline uint32_t arena_take_free(struct arena *a, uint32_t class) {
    struct arena_free *f = &a->free[class];
    if (__builtin_expect(f->count == 0, 0)) {
        return 0;
    }
    uint32_t got = f->nodes[--f->count];
    if (f->count >= ARENA_AHEAD) {
        const uint8_t *at = (const uint8_t *)arena_node(a, f->nodes[f->count - ARENA_AHEAD]);
        bytes_prefetch_own(at);
        bytes_prefetch_own(at + LAYOUT_LINE);
    }
    return got;
}

/* It is no longer part of the state; its memory is still read by those who came before. */
static inline void arena_forget(struct arena *a, uint32_t class) {
    a->live[class]--;
}

/* No reader can have it any more: reuse it. */
static inline void arena_free(struct arena *a, uint32_t class, uint32_t node) {
    struct arena_free *f = &a->free[class];
    if (__builtin_expect(f->count < f->room, 1)) { /* else one came twice: two slots of a damaged table led to it */
        f->nodes[f->count++] = node;
    }
}

/* A node that was allocated and never published. */
void arena_undo(struct arena *a, uint32_t node);

/* 64 bytes, aligned, zeroed, for an overflow bucket: its offset, or 0 when there are none left. */
uint64_t arena_carve_bucket(struct arena *a, uint64_t buckets_end);

/* What `peak` would be with n more nodes of a class alive at once. */
static inline uint64_t arena_peak_with(const struct arena *a, uint32_t class, uint32_t n) {
    uint64_t would = (uint64_t)a->live[class] + n;
    return would <= a->most[class] ? a->peak : a->peak + (would - a->most[class]) * arena_class_bytes(class);
}

/* A node of arena_take_free() or arena_carve_ahead() becomes part of the state. */
static inline void arena_count(struct arena *a, uint32_t class) {
    if (__builtin_expect(++a->live[class] > a->most[class], 0)) {
        a->most[class]++;
        a->peak += arena_class_bytes(class);
    }
}

#endif
