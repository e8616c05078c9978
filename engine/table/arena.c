/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/arena.h"

#include <stdlib.h>
#include <string.h>

static uint32_t arena_log2(uint64_t x) {
    return 63u - (uint32_t)__builtin_clzll(x);
}

uint32_t arena_class_large(uint64_t units) {
    uint32_t log = arena_log2(units - 1);
    uint32_t eighth = (uint32_t)((units - 1) >> (log - 3)) & 7;
    return ARENA_LINEAR + (log - 6) * 8 + eighth;
}

uint64_t arena_class_large_bytes(uint32_t class) {
    uint32_t log = 6 + (class - ARENA_LINEAR) / 8;
    uint64_t eighth = (class - ARENA_LINEAR) % 8;
    return ((8 + eighth + 1) << (log - 3)) * TABLE_UNIT;
}

void arena_init(struct arena *a, uint8_t *base, uint64_t end, uint64_t slack) {
    *a = (struct arena){ .base = base, .seg = (struct table_segment *)base, .low = end, .end = end, .slack = slack };
}

void arena_destroy(struct arena *a) {
    for (uint32_t c = 0; c < ARENA_CLASSES; c++) {
        free(a->free[c].nodes);
        a->free[c] = (struct arena_free){ 0 };
    }
}

static uint64_t arena_carve(struct arena *a, uint64_t bytes, uint64_t align, uint64_t buckets_end) {
    if (a->low < bytes || ((a->low - bytes) & ~(align - 1)) < buckets_end) {
        return 0;
    }
    a->low = (a->low - bytes) & ~(align - 1);
    atomic_store_explicit(&a->seg->carved, a->low, memory_order_relaxed); /* MO(stats) */
    return a->low;
}

/* Room to remember one more node when it is free: before there is one, since freeing must not fail. */
static bool arena_room_for_one(struct arena_free *f) {
    if (f->carved < f->room) {
        return true;
    }
    uint32_t room = f->room == 0 ? 64 : f->room * 2;
    uint32_t *nodes = realloc(f->nodes, room * sizeof(*nodes));
    if (nodes != NULL) {
        f->nodes = nodes;
        f->room = room;
    }
    return nodes != NULL;
}

/* A new node, or 0. */
static uint32_t arena_carve_node(struct arena *a, uint32_t class, uint64_t buckets_end) {
    if (!arena_room_for_one(&a->free[class])) {
        return 0;
    }
    uint64_t bytes = arena_class_bytes(class), off = arena_carve(a, bytes, TABLE_UNIT, buckets_end);
    if (off == 0) {
        return 0;
    }
    a->free[class].carved++;
    uint32_t node = (uint32_t)(off / TABLE_UNIT);
    a->carved += bytes;
    arena_node(a, node)->size_class = (uint16_t) class;
    return node;
}

enum arena_status arena_alloc(struct arena *a, uint32_t class, uint64_t buckets_end, uint32_t *node) {
    uint32_t got = arena_take_free(a, class);
    if (got == 0) {
        uint64_t bytes = arena_class_bytes(class), peak = arena_peak_with(a, class, 1);
        if (a->carved + bytes > peak + a->slack) {
            return ARENA_WAIT;
        }
        got = arena_carve_node(a, class, buckets_end);
        if (got == 0) {
            return a->carved + bytes > peak ? ARENA_WAIT : ARENA_FULL;
        }
    }
    arena_count(a, class);
    *node = got;
    return ARENA_OK;
}

uint32_t arena_carve_ahead(struct arena *a, uint32_t class, uint64_t buckets_end) {
    return a->carved + arena_class_bytes(class) <= a->peak + a->slack ? arena_carve_node(a, class, buckets_end) : 0;
}

void arena_undo(struct arena *a, uint32_t node) {
    uint32_t class = arena_node(a, node)->size_class;
    arena_forget(a, class);
    arena_free(a, class, node);
}

uint64_t arena_carve_bucket(struct arena *a, uint64_t buckets_end) {
    uint64_t low = a->low, off = arena_carve(a, sizeof(struct table_bucket), sizeof(struct table_bucket), buckets_end);
    if (off != 0) {
        a->overflow += low - off;
        memset(a->base + off, 0, sizeof(struct table_bucket));
    }
    return off;
}
