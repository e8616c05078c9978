/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Large nodes: blocks of any size, side by side without a gap, from the end of a table's memory downwards. The records
 * are private memory, so nothing that another process writes can lead the zone astray. One thread uses it, the table's
 * writer.
 *
 * Free neighbours are merged into one block. A block is found by its size in constant time (eight lists for each
 * doubling). Where no free block fits, the zone is extended downwards, or blocks are moved up: engine/table/compact.h.
 */
#ifndef TIDE_TABLE_ZONE_H
#define TIDE_TABLE_ZONE_H

#include <stdbool.h>
#include <stdint.h>

#define ZONE_GRAIN 64u
#define ZONE_BINS 256u

struct zone_block {
    uint64_t off, bytes;
    uint32_t below, above; /* neighbours; 0: none */
    uint32_t next, prev;   /* in its bin's list, while it is free */
    bool used;
};

struct zone {
    uint64_t floor; /* the zone may grow down to here; pages are numbered from here */
    uint64_t low, end;
    uint64_t free_bytes;
    uint32_t shift; /* log2 of a page's bytes */
    uint32_t lowest, highest;
    uint32_t hole;   /* every block above this one is in use; 0: no block is free */
    uint32_t *first; /* for each page the lowest block that starts in it, or 0 */
    struct zone_block *blocks;
    uint32_t room, fresh, spare; /* records: allocated, first never used, first given back */
    uint32_t bins[ZONE_BINS];
    uint64_t has[ZONE_BINS / 64];
};

/* False: no memory. */
bool zone_init(struct zone *z, uint64_t floor, uint64_t end, uint32_t page_shift);
void zone_destroy(struct zone *z);

/* The bytes that a node of `bytes` takes in the zone. */
static inline uint64_t zone_round(uint64_t bytes) {
    return (bytes + ZONE_GRAIN - 1) / ZONE_GRAIN * ZONE_GRAIN;
}

/* The bin of a block of `bytes`, and the most bytes of a block in a bin. */
uint32_t zone_bin(uint64_t bytes);
uint64_t zone_bin_bytes(uint32_t bin);

/* A block of `bytes`, a multiple of ZONE_GRAIN: its offset, or 0. zone_alloc_above() takes a hole that begins at or
 * above an offset, zone_alloc_loose() the zone's lower end. zone_has_hole() asks whether zone_alloc_above(z, bytes, 0)
 * would find one. */
uint64_t zone_alloc_above(struct zone *z, uint64_t bytes, uint64_t above);
uint64_t zone_alloc_loose(struct zone *z, uint64_t bytes);
bool zone_has_hole(const struct zone *z, uint64_t bytes);

/* Give a block back. False: no block in use starts there. */
bool zone_free(struct zone *z, uint64_t off);

/* The bytes of the block in use that starts at the offset, or 0. */
uint64_t zone_bytes(const struct zone *z, uint64_t off);

/* Bytes of the free block at the zone's lower end. A larger block is short by the difference. */
uint64_t zone_loose(const struct zone *z);

/* zone_extend(): the zone takes in the `bytes` below it, which are free; false: no memory. zone_trim(): give back the
 * whole pages that are free at the zone's lower end; returns how many. */
bool zone_extend(struct zone *z, uint64_t bytes);
uint64_t zone_trim(struct zone *z);

/* Find the highest free block that has a used block below it: the hole's bytes, and offset and bytes of that used
 * block. False: there is none; all free bytes lie at the lower end. */
bool zone_highest_hole(struct zone *z, uint64_t *hole_bytes, uint64_t *below_off, uint64_t *below_bytes);

/* The block in use right below the one at `off`: its offset and bytes. False: there is none, or it is free. */
bool zone_below(const struct zone *z, uint64_t off, uint64_t *below_off, uint64_t *below_bytes);

/* The lowest block in use at or above an offset: its offset and bytes. */
bool zone_next_used(const struct zone *z, uint64_t from, uint64_t *off, uint64_t *bytes);

/* Take a block at the upper end of that hole, no larger than the hole. 0: no memory. */
uint64_t zone_alloc_high(struct zone *z, uint64_t bytes);

#endif
