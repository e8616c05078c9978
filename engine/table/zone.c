/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/zone.h"

#include <stdlib.h>
#include <string.h>

#define ZONE_LOOKS 8u /* free blocks of a bin that are compared: each may fit or not */

bool zone_init(struct zone *z, uint64_t floor, uint64_t end, uint32_t page_shift) {
    *z = (struct zone){ .floor = floor, .low = end, .end = end, .shift = page_shift, .fresh = 1 };
    z->first = calloc(((end - floor) >> page_shift) + 1, sizeof(*z->first));
    return z->first != NULL;
}

void zone_destroy(struct zone *z) {
    free(z->first);
    free(z->blocks);
    *z = (struct zone){ 0 };
}

uint32_t zone_bin(uint64_t bytes) {
    uint64_t grains = bytes / ZONE_GRAIN;
    if (grains <= 8) {
        return (uint32_t)grains;
    }
    uint32_t log = 63u - (uint32_t)__builtin_clzll(grains - 1);
    uint32_t bin = (log - 2) * 8 + ((uint32_t)((grains - 1) >> (log - 3)) & 7) + 1;
    return bin < ZONE_BINS ? bin : ZONE_BINS - 1;
}

uint64_t zone_bin_bytes(uint32_t bin) {
    if (bin <= 8) {
        return bin * (uint64_t)ZONE_GRAIN;
    }
    uint32_t log = (bin - 1) / 8 + 2;
    return ((8 + (uint64_t)((bin - 1) % 8) + 1) << (log - 3)) * ZONE_GRAIN;
}

/* ---- records --------------------------------------------------------------------------------------------------------- */

static bool zone_room_for_two(struct zone *z) {
    if (z->spare != 0 && z->blocks[z->spare].next != 0) {
        return true;
    }
    if (z->fresh + 2 <= z->room) {
        return true;
    }
    uint32_t room = z->room == 0 ? 64 : z->room * 2;
    struct zone_block *blocks = realloc(z->blocks, room * sizeof(*blocks));
    if (blocks != NULL) {
        z->blocks = blocks;
        z->room = room;
    }
    return blocks != NULL;
}

static uint32_t zone_record(struct zone *z) {
    uint32_t b = z->spare;
    if (b != 0) {
        z->spare = z->blocks[b].next;
    } else {
        b = z->fresh++;
    }
    return b;
}

static void zone_record_back(struct zone *z, uint32_t b) {
    z->blocks[b].next = z->spare;
    z->spare = b;
}

static uint64_t zone_page(const struct zone *z, uint64_t off) {
    return (off - z->floor) >> z->shift;
}

/* Note in `first` that the block starts at its offset. Its neighbours are known. */
static void zone_starts(struct zone *z, uint32_t b) {
    uint32_t *first = &z->first[zone_page(z, z->blocks[b].off)];
    if (*first == 0 || z->blocks[*first].off > z->blocks[b].off) {
        *first = b;
    }
}

/* Note in `first` that the block starts there no more. */
static void zone_ends(struct zone *z, uint32_t b) {
    uint64_t page = zone_page(z, z->blocks[b].off);
    if (z->first[page] == b) {
        uint32_t above = z->blocks[b].above;
        z->first[page] = above != 0 && zone_page(z, z->blocks[above].off) == page ? above : 0;
    }
}

static uint32_t zone_find(const struct zone *z, uint64_t off) {
    if (off < z->low || off >= z->end) {
        return 0;
    }
    uint32_t b = z->first[zone_page(z, off)];
    while (b != 0 && z->blocks[b].off < off) {
        b = z->blocks[b].above;
    }
    return b != 0 && z->blocks[b].off == off ? b : 0;
}

/* ---- lists of free blocks ---------------------------------------------------------------------------------------------- */

static void zone_list(struct zone *z, uint32_t b) {
    struct zone_block *k = &z->blocks[b];
    uint32_t bin = zone_bin(k->bytes);
    k->used = false;
    k->prev = 0;
    k->next = z->bins[bin];
    if (k->next != 0) {
        z->blocks[k->next].prev = b;
    }
    z->bins[bin] = b;
    z->has[bin / 64] |= UINT64_C(1) << bin % 64;
    z->free_bytes += k->bytes;
}

static void zone_unlist(struct zone *z, uint32_t b) {
    struct zone_block *k = &z->blocks[b];
    uint32_t bin = zone_bin(k->bytes);
    if (k->prev != 0) {
        z->blocks[k->prev].next = k->next;
    } else {
        z->bins[bin] = k->next;
        if (k->next == 0) {
            z->has[bin / 64] &= ~(UINT64_C(1) << bin % 64);
        }
    }
    if (k->next != 0) {
        z->blocks[k->next].prev = k->prev;
    }
    z->free_bytes -= k->bytes;
}

/* Does the free block have `bytes`, begin above the offset, and differ from the lowest block? */
static bool zone_fits(const struct zone *z, uint32_t b, uint64_t bytes, uint64_t above) {
    return z->blocks[b].bytes >= bytes && b != z->lowest && z->blocks[b].off >= above;
}

static uint32_t zone_fit(const struct zone *z, uint64_t bytes, uint64_t above) {
    uint32_t bin = zone_bin(bytes), looks = 0;
    /* Every block of a higher bin fits. In the first bin compare a few. */
    for (uint32_t word = bin / 64, from = bin % 64; word < ZONE_BINS / 64; word++, from = 0) {
        for (uint64_t has = z->has[word] & (UINT64_MAX << from); has != 0; has &= has - 1) {
            uint32_t b = z->bins[word * 64 + (uint32_t)__builtin_ctzll(has)];
            for (looks = 0; b != 0 && looks < ZONE_LOOKS; b = z->blocks[b].next, looks++) {
                if (zone_fits(z, b, bytes, above)) {
                    return b;
                }
            }
        }
    }
    return 0;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------------- */

/* Cut a used block off the upper end of a free block. The caller has made sure of a record for it. */
static uint64_t zone_cut(struct zone *z, uint32_t b, uint64_t bytes) {
    zone_unlist(z, b);
    if (z->blocks[b].bytes == bytes) {
        z->blocks[b].used = true;
        return z->blocks[b].off;
    }
    uint32_t top = zone_record(z);
    struct zone_block *low = &z->blocks[b], *k = &z->blocks[top];
    low->bytes -= bytes;
    *k = (struct zone_block){
        .off = low->off + low->bytes, .bytes = bytes, .below = b, .above = low->above, .used = true
    };
    if (k->above != 0) {
        z->blocks[k->above].below = top;
    } else {
        z->highest = top;
    }
    low->above = top;
    zone_starts(z, top);
    zone_list(z, b);
    return k->off;
}

bool zone_has_hole(const struct zone *z, uint64_t bytes) {
    return zone_fit(z, bytes, 0) != 0;
}

uint64_t zone_alloc_above(struct zone *z, uint64_t bytes, uint64_t above) {
    uint32_t b = zone_fit(z, bytes, above);
    return b != 0 && zone_room_for_two(z) ? zone_cut(z, b, bytes) : 0;
}

uint64_t zone_alloc_loose(struct zone *z, uint64_t bytes) {
    return zone_loose(z) >= bytes && zone_room_for_two(z) ? zone_cut(z, z->lowest, bytes) : 0;
}

/* Block `b` absorbs the block above it, which is free and in no list. */
static void zone_join(struct zone *z, uint32_t b) {
    uint32_t gone = z->blocks[b].above;
    struct zone_block *k = &z->blocks[b], *up = &z->blocks[gone];
    zone_ends(z, gone);
    k->bytes += up->bytes;
    k->above = up->above;
    if (k->above != 0) {
        z->blocks[k->above].below = b;
    } else {
        z->highest = b;
    }
    z->hole = z->hole == gone ? b : z->hole;
    zone_record_back(z, gone);
}

bool zone_free(struct zone *z, uint64_t off) {
    uint32_t b = zone_find(z, off);
    if (b == 0 || !z->blocks[b].used) {
        return false;
    }
    uint32_t above = z->blocks[b].above, below = z->blocks[b].below;
    if (above != 0 && !z->blocks[above].used) {
        zone_unlist(z, above);
        zone_join(z, b);
    }
    if (below != 0 && !z->blocks[below].used) {
        zone_unlist(z, below);
        z->blocks[b].used = false;
        zone_join(z, below);
        b = below;
    }
    zone_list(z, b);
    if (z->hole == 0 || z->blocks[z->hole].off < z->blocks[b].off) {
        z->hole = b;
    }
    return true;
}

uint64_t zone_bytes(const struct zone *z, uint64_t off) {
    uint32_t b = zone_find(z, off);
    return b != 0 && z->blocks[b].used ? z->blocks[b].bytes : 0;
}

uint64_t zone_loose(const struct zone *z) {
    return z->lowest != 0 && !z->blocks[z->lowest].used ? z->blocks[z->lowest].bytes : 0;
}

bool zone_extend(struct zone *z, uint64_t bytes) {
    if (!zone_room_for_two(z)) {
        return false;
    }
    uint32_t b = z->lowest;
    if (b != 0 && !z->blocks[b].used) {
        zone_unlist(z, b);
        zone_ends(z, b);
        z->blocks[b].off -= bytes;
        z->blocks[b].bytes += bytes;
    } else {
        b = zone_record(z);
        z->blocks[b] = (struct zone_block){ .off = z->low - bytes, .bytes = bytes, .above = z->lowest };
        if (z->lowest != 0) {
            z->blocks[z->lowest].below = b;
        } else {
            z->highest = b;
        }
        z->lowest = b;
        z->hole = z->hole == 0 ? b : z->hole;
    }
    z->low -= bytes;
    zone_starts(z, b);
    zone_list(z, b);
    return true;
}

uint64_t zone_trim(struct zone *z) {
    uint32_t b = z->lowest;
    uint64_t pages = zone_loose(z) >> z->shift, bytes = pages << z->shift;
    if (pages == 0) {
        return 0;
    }
    zone_unlist(z, b);
    zone_ends(z, b);
    z->low += bytes;
    z->blocks[b].off += bytes;
    z->blocks[b].bytes -= bytes;
    if (z->blocks[b].bytes != 0) {
        zone_starts(z, b);
        zone_list(z, b);
        return pages;
    }
    z->lowest = z->blocks[b].above;
    if (z->lowest != 0) {
        z->blocks[z->lowest].below = 0;
    } else {
        z->highest = 0;
    }
    z->hole = z->hole == b ? 0 : z->hole; /* `b` was the lowest block: no block above it is free */
    zone_record_back(z, b);
    return pages;
}

/* ---- moving up ------------------------------------------------------------------------------------------------------------ */

/* The highest free block, or 0. */
static uint32_t zone_hole(struct zone *z) {
    while (z->hole != 0 && z->blocks[z->hole].used) {
        z->hole = z->blocks[z->hole].below;
    }
    return z->hole;
}

bool zone_highest_hole(struct zone *z, uint64_t *hole_bytes, uint64_t *below_off, uint64_t *below_bytes) {
    uint32_t b = zone_hole(z), below = b != 0 ? z->blocks[b].below : 0;
    if (below == 0) {
        return false;
    }
    *hole_bytes = z->blocks[b].bytes;
    *below_off = z->blocks[below].off;
    *below_bytes = z->blocks[below].bytes;
    return true;
}

bool zone_below(const struct zone *z, uint64_t off, uint64_t *below_off, uint64_t *below_bytes) {
    uint32_t b = zone_find(z, off), below = b != 0 ? z->blocks[b].below : 0;
    if (below == 0 || !z->blocks[below].used) {
        return false;
    }
    *below_off = z->blocks[below].off;
    *below_bytes = z->blocks[below].bytes;
    return true;
}

bool zone_next_used(const struct zone *z, uint64_t from, uint64_t *off, uint64_t *bytes) {
    uint32_t b = z->lowest;
    if (from > z->low && from < z->end) {
        b = zone_find(z, from);
    }
    while (b != 0 && (!z->blocks[b].used || z->blocks[b].off < from)) {
        b = z->blocks[b].above;
    }
    if (b == 0) {
        return false;
    }
    *off = z->blocks[b].off;
    *bytes = z->blocks[b].bytes;
    return true;
}

uint64_t zone_alloc_high(struct zone *z, uint64_t bytes) {
    uint32_t b = zone_hole(z);
    return b != 0 && z->blocks[b].bytes >= bytes && zone_room_for_two(z) ? zone_cut(z, b, bytes) : 0;
}
