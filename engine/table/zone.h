/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Large nodes: blocks of any size, one beside the other without a gap, from the end of a table's memory downwards. What is known of them is
 * memory of the process alone, so nothing that another process writes can lead it astray. One thread, the table's writer.
 *
 * Free neighbours are one block. A block is found by its size in constant time (lists for eight sizes to each doubling); where no
 * free block fits, the zone is extended downwards, or the blocks are moved up: engine/table/compact.h.
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
    uint32_t next, prev;   /* of its list, while it is free */
    bool used;
};

struct zone {
    uint64_t floor; /* the zone may grow down to here; pages are counted from it */
    uint64_t low, end;
    uint64_t free_bytes;
    uint32_t shift; /* of a page's size */
    uint32_t lowest, highest;
    uint32_t hole;   /* no block above this one is free; 0: none is free at all */
    uint32_t *first; /* for each page the lowest block that starts in it, or 0 */
    struct zone_block *blocks;
    uint32_t room, fresh, spare; /* of blocks: allocated, never used yet, the first of those given back */
    uint32_t bins[ZONE_BINS];
    uint64_t has[ZONE_BINS / 64];
};

/* False: there is no memory for it. */
bool zone_init(struct zone *z, uint64_t floor, uint64_t end, uint32_t page_shift);
void zone_destroy(struct zone *z);

/* The bytes that a node of so many takes. */
static inline uint64_t zone_round(uint64_t bytes) {
    return (bytes + ZONE_GRAIN - 1) / ZONE_GRAIN * ZONE_GRAIN;
}

/* The size class that such a block counts in, and the most bytes of a block in it. */
uint32_t zone_bin(uint64_t bytes);
uint64_t zone_bin_bytes(uint32_t bin);

/* A block of so many bytes, a multiple of ZONE_GRAIN; its offset, or 0. In a hole: not at the zone's lower end; in one that begins above an
 * offset; at the lower end. */
uint64_t zone_alloc_above(struct zone *z, uint64_t bytes, uint64_t above);
uint64_t zone_alloc_loose(struct zone *z, uint64_t bytes);
bool zone_has_hole(const struct zone *z, uint64_t bytes);

/* Give it back. False where no block in use starts there. */
bool zone_free(struct zone *z, uint64_t off);

/* The bytes of the block in use that starts there, or 0. */
uint64_t zone_bytes(const struct zone *z, uint64_t off);

/* Bytes that the free block at the zone's lower end has: so many less are missing for a block that is larger. */
uint64_t zone_loose(const struct zone *z);

/* The zone begins so many bytes lower, which are free; false: there is no memory. Give whole pages back that are free at its lower end: how many. */
bool zone_extend(struct zone *z, uint64_t bytes);
uint64_t zone_trim(struct zone *z);

/* The highest free block that a block in use lies below: its bytes, and where that block is and how large. False: there is none, all that is free
 * lies at the lower end. */
bool zone_highest_hole(struct zone *z, uint64_t *hole_bytes, uint64_t *below_off, uint64_t *below_bytes);

/* The block in use that lies lowest at or above an offset: its offset and bytes. */
bool zone_next_used(const struct zone *z, uint64_t from, uint64_t *off, uint64_t *bytes);

/* A block at the upper end of that hole, no larger than it. 0: there is no memory. */
uint64_t zone_alloc_high(struct zone *z, uint64_t bytes);

#endif
