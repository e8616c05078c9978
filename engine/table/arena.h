/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory for nodes, in a table segment: a row of pages of one size. A page is free, or a *span* (cut into nodes of one
 * size class), or part of the *zone* at the upper end, where large nodes lie side by side (engine/table/zone.h). A span
 * whose nodes are all free becomes a free page again and serves any class. The records of pages and nodes are private
 * memory: nothing that another process writes into the segment can lead the allocator astray. One thread uses an arena,
 * the table's writer.
 *
 * One sum, `live`, decides what a table takes: the costs of all live nodes, where a node's cost is its share of a page.
 * The sum follows from the live keys alone, hence from the log: all replicas have the same sum at the same index,
 * whatever each went through. `limit` leaves out what can be lost beside it: a partly empty page for each class, and
 * the zone's rounding. arena_transit() is the room needed to move the largest node.
 *
 * Why a replica can hold whatever live + transit <= limit admits: engine/table/compact.h.
 */
#ifndef TIDE_TABLE_ARENA_H
#define TIDE_TABLE_ARENA_H

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "engine/table/zone.h"
#include "shm/bytes.h"
#include "shm/layout.h"

#define TABLE_UNIT_SHIFT 4u
_Static_assert(1u << TABLE_UNIT_SHIFT == TABLE_UNIT, "units are counted by shifts");
#define ARENA_CLASSES 160u     /* most classes of small nodes */
#define ARENA_LARGE 255u       /* stands for a class: a node in the zone */
#define ARENA_SMALL_UNITS 512u /* most units of a small node: an eighth of the largest page */
#define ARENA_PAGE_MIN 1024u
#define ARENA_PAGE_MAX 65536u
#define ARENA_AT_HAND 32u

enum arena_use { ARENA_FREE = 0, ARENA_SPAN = 1, ARENA_ZONE = 2, ARENA_TAKEN = 3 /* overflow buckets */ };

struct arena_page {
    uint8_t use; /* enum arena_use */
    uint8_t class;
    bool held;           /* being emptied: no node of it is given out */
    bool stays;          /* it was to be emptied for the zone, and a node did not move */
    uint16_t free;       /* free nodes of a span, or free overflow buckets */
    uint32_t words;      /* bit k: word k of its bits is not 0 */
    uint32_t next, prev; /* list of its class's spans with free nodes: number + 1; 0: none */
};

_Static_assert(offsetof(struct arena_page, free) == 4, "four bytes that arena_page_gives() compares");

struct arena_class {
    uint32_t bytes;   /* of a node */
    uint32_t units;   /* the same in TABLE_UNITs */
    uint32_t cost;    /* its share of a page, added to `live` */
    uint32_t each;    /* nodes in a page */
    uint32_t inverse; /* a node's number is its units in the page, times this, over 2^20 */
    uint32_t spans;   /* pages that have such nodes */
    uint32_t partial; /* the first span with free nodes: number + 1 */
    uint64_t free;    /* free nodes, without those at hand */
};

struct arena {
    uint8_t *base; /* of the segment */
    struct table_segment *seg;
    uint64_t live; /* sum of costs: see above */
    uint64_t
        slots; /* charged for keys whose overflow buckets may take pages: TABLE_SLOT_COST in engine/table/table.c */
    uint64_t limit;
    uint64_t spare;    /* room beyond `limit`, for nodes that are made before those that they replace are freed */
    uint64_t patience; /* bytes that may wait for a grace period before one is asked for */
    uint64_t pages_off, end;
    uint32_t shift, pages, small_units, classes;
    uint32_t first, units; /* the first unit of the first page, and how many units there are */
    uint32_t page_units;   /* of a page */
    uint32_t free_pages;
    uint32_t low_page; /* no page below is free */
    uint64_t large;    /* bytes of live nodes in the zone */
    uint32_t large_count[ZONE_BINS];
    uint32_t large_most; /* the highest bin that has a live node */
    /* The state of compaction: engine/table/compact.h. */
    uint64_t wanted;        /* bytes of the node that found no room; 0: none */
    uint32_t demand;        /* pages to free for it; for a large node, how many times its size in one piece */
    uint32_t asked_all;     /* tries since a node was placed that asked for all memory there is */
    bool pursuing;          /* compaction works on `wanted` */
    bool exhausted;         /* no move makes more room */
    bool moving;            /* nodes are being moved: the room kept for moves may be used */
    bool stays;             /* so does a node of some page: struct arena_page */
    uint32_t credit;        /* spans to empty step by step: one for each page that was taken while few were free */
    uint32_t emptying;      /* page + 1 */
    uint32_t at;            /* the next node of it */
    uint32_t emptied;       /* page + 1: emptied, its nodes wait for a grace period */
    _Atomic uint32_t *uses; /* in the segment: how often each page changed its use */
    struct arena_page *page;
    uint64_t *bits;      /* bits_each words for each page: bit n set: node n is free */
    uint64_t *at_hand;   /* as many: node n is at hand */
    uint64_t *page_bits; /* free pages that are not held */
    uint32_t bits_each;
    struct zone zone;
    struct arena_class class[ARENA_CLASSES];
    struct arena_at_hand {
        alignas(LAYOUT_LINE) uint32_t count;
        uint32_t bytes, cost; /* as in struct arena_class */
        uint32_t asked;       /* memory was asked for all nodes from here on */
        struct arena_spare {
            uint32_t node;      /* offset / TABLE_UNIT */
            uint32_t bit;       /* of `bits` and `at_hand` */
        } nodes[ARENA_AT_HAND]; /* the last one is used next */
    } hand[ARENA_CLASSES];
    uint8_t class_of[ARENA_SMALL_UNITS + 1];
};

static inline struct table_node *arena_node(const struct arena *a, uint32_t node) {
    return (struct table_node *)(a->base + (uint64_t)node * TABLE_UNIT);
}

/* The page size in a domain whose tables have `table_bytes`. All replicas use the same, since the sum depends on it. */
uint32_t arena_page_bytes(uint64_t table_bytes);

/* What so many pages of this size hold: see `limit` and `spare` above. */
struct arena_limits {
    uint64_t limit, spare;
};
struct arena_limits arena_limits(uint32_t page_bytes, uint64_t pages);

/* Cut memory into pages, from `from` (at the lowest) to `end`; a->pages_off is where they begin. `uses`: a word for
 * each. 0, or -1: no memory. */
int arena_init(struct arena *a, uint8_t *base, uint64_t from, uint64_t end, uint32_t page_bytes,
               _Atomic uint32_t *uses);
void arena_destroy(struct arena *a);

static inline uint64_t arena_units(uint64_t payload_bytes) {
    return (NODE_HEADER_BYTES + payload_bytes + TABLE_UNIT - 1) / TABLE_UNIT;
}

/* The class of a node whose key and value have `payload_bytes`, or ARENA_LARGE. */
static inline uint32_t arena_class(const struct arena *a, uint64_t payload_bytes) {
    uint64_t units = arena_units(payload_bytes);
    return units <= a->small_units ? a->class_of[units] : ARENA_LARGE;
}

/* What such a node adds to `live`. */
static inline uint64_t arena_cost(const struct arena *a, uint64_t payload_bytes) {
    uint32_t class = arena_class(a, payload_bytes);
    return class != ARENA_LARGE ? a->class[class].cost : zone_round(NODE_HEADER_BYTES + payload_bytes);
}

/* ---- nodes ------------------------------------------------------------------------------------------------------------ */

enum arena_status { ARENA_OK = 0, ARENA_WAIT = 1, ARENA_FULL = 2 };

static inline uint32_t arena_page_of(const struct arena *a, uint32_t node) {
    return (uint32_t)(((uint64_t)node * TABLE_UNIT - a->pages_off) >> a->shift);
}

/* A node's bytes and cost as the allocator recorded them, not as the node says. Bytes 0: no node in use starts
 * there. */
struct arena_extent {
    uint64_t bytes, cost;
    uint32_t class;
};
struct arena_extent arena_extent_slow(const struct arena *a, uint32_t node);
static inline struct arena_extent arena_extent(const struct arena *a, uint32_t node) {
    uint64_t off = (uint64_t)node * TABLE_UNIT;
    if (__builtin_expect(off < a->pages_off || off >= a->end, 0)) {
        return (struct arena_extent){ 0, 0, ARENA_LARGE };
    }
    const struct arena_page *p = &a->page[arena_page_of(a, node)];
    if (__builtin_expect(p->use != ARENA_SPAN, 0)) {
        return arena_extent_slow(a, node);
    }
    return (struct arena_extent){ a->class[p->class].bytes, a->class[p->class].cost, p->class };
}

/* The page that the node lies in. NULL: it lies in none. An item of limbo of another kind than a node's is a number that is too large. */
static inline const struct arena_page *arena_page_with(const struct arena *a, uint64_t node) {
    uint64_t unit = node - a->first;
    return __builtin_expect(unit < a->units, 1) ? &a->page[unit >> (a->shift - TABLE_UNIT_SHIFT)] : NULL;
}

/* Is it a span of this class? And may its nodes be given out? `use`, `class` and `held` are compared as one word. */
static inline bool arena_page_is(const struct arena_page *p, uint32_t class) {
    return p->use == ARENA_SPAN && p->class == class;
}
static inline bool arena_page_gives(const struct arena_page *p, uint32_t class) {
    uint32_t word;
    memcpy(&word, p, sizeof(word));
    return (word & 0xffffff) == (ARENA_SPAN | class << 8);
}

/* Put nodes of the class at hand, if that needs no wait. False: there are none. */
bool arena_refill(struct arena *a, uint32_t class);

/* Nodes that are asked for ahead of their turn: so many that memory answers meanwhile, also where a batch takes one after the other. */
#define ARENA_AHEAD 4u

/* Ask memory for a node that will be written: a small one at hand. Of larger ones the first lines, the others follow from those. */
static inline void arena_ask(const struct arena *a, uint32_t node, uint32_t bytes) {
    const uint8_t *at = (const uint8_t *)arena_node(a, node);
    bytes_prefetch_own(at);
    bytes_prefetch_own(at + LAYOUT_LINE);
    bytes_prefetch_own(at + (bytes < 3 * LAYOUT_LINE ? bytes - 1 : 2 * LAYOUT_LINE)); /* where it is on a third line */
}

/* A node of the class that is not part of `live` yet, or 0: none without waiting. Prefetches the nodes behind it. The
 * caller sets its index to 0 before it changes anything else of it, and ends with arena_count() when the node becomes
 * part of the state, else with arena_free(). */
static inline uint32_t arena_take_small(struct arena *a, uint32_t class) {
    struct arena_at_hand *h = &a->hand[class];
    uint32_t count = h->count;
    if (__builtin_expect(count == 0, 0)) {
        if (!arena_refill(a, class)) {
            return 0;
        }
        count = h->count;
    }
    const struct arena_spare *got = &h->nodes[count - 1];
    h->count = count - 1;
    a->at_hand[got->bit / 64] &= ~(UINT64_C(1) << got->bit % 64);
    if (count <= h->asked + ARENA_AHEAD && h->asked != 0) {
        arena_ask(a, h->nodes[--h->asked].node, h->bytes);
    }
    return got->node;
}

/* Make a span of the class. False: no page is free for it. */
bool arena_open_span(struct arena *a, uint32_t class);
/* The span is no longer one that nodes are taken of. */
void arena_unlink(struct arena *a, uint32_t page);

/* The lowest free node of a span, as arena_take_small(), but past the nodes at hand: for many nodes that are made one after the other, which then
 * lie so. */
static inline uint32_t arena_take_next(struct arena *a, uint32_t class) {
    struct arena_class *c = &a->class[class];
    if (__builtin_expect(c->partial == 0, 0) && !arena_open_span(a, class)) {
        return 0;
    }
    uint32_t page = c->partial - 1;
    struct arena_page *p = &a->page[page];
    uint32_t w = (uint32_t)__builtin_ctz(p->words);
    uint64_t *word = &a->bits[(uint64_t)page * a->bits_each + w];
    uint32_t k = w * 64 + (uint32_t)__builtin_ctzll(*word);
    *word &= *word - 1;
    p->words &= *word == 0 ? p->words - 1 : UINT32_MAX;
    c->free--;
    p->free--;
    if (__builtin_expect(p->free == 0, 0)) {
        arena_unlink(a, page);
    }
    return a->first + page * a->page_units + k * c->units;
}

/* Is this a node of a span of this class, given out, and the span not being emptied? */
static inline bool arena_is_given(const struct arena *a, uint64_t node, uint32_t class) {
    const struct arena_page *p = arena_page_with(a, node);
    if (__builtin_expect(p == NULL || !arena_page_gives(p, class), 0)) {
        return false;
    }
    const struct arena_class *c = &a->class[class];
    uint32_t unit = (uint32_t)node - a->first, units = unit & (a->page_units - 1);
    uint32_t n = (uint32_t)(((uint64_t)units * c->inverse) >> 20);
    uint64_t word = (uint64_t)(unit >> (a->shift - TABLE_UNIT_SHIFT)) * a->bits_each + n / 64;
    return n < c->each && n * c->units == units && ((a->bits[word] | a->at_hand[word]) >> n % 64 & 1) == 0;
}

/* Put small nodes at hand, and ask for them, whose memory serves any use now. Returns how many of the first ones: the next is for
 * arena_free(). Most nodes take this way, to the next put of their class. */
size_t arena_recycle(struct arena *a, const uint64_t *nodes, size_t most);

/* A node of arena_take_small() is not needed: the next call takes it. */
static inline void arena_give_back(struct arena *a, uint32_t class) {
    struct arena_at_hand *h = &a->hand[class];
    uint32_t bit = h->nodes[h->count++].bit; /* nothing else was put there since */
    a->at_hand[bit / 64] |= UINT64_C(1) << bit % 64;
}
uint32_t arena_take_large(struct arena *a, uint64_t bytes);

/* The same for any size. */
static inline uint32_t arena_take(struct arena *a, uint64_t payload_bytes) {
    uint32_t class = arena_class(a, payload_bytes);
    return class != ARENA_LARGE ? arena_take_small(a, class) : arena_take_large(a, NODE_HEADER_BYTES + payload_bytes);
}

/* The node becomes part of the state; it is part of it no longer, though earlier sections may still read it. */
void arena_count_large(struct arena *a, uint64_t bytes);
void arena_forget_large(struct arena *a, uint64_t bytes);
static inline void arena_count(struct arena *a, const struct arena_extent *e) {
    a->live += e->cost;
    if (__builtin_expect(e->class == ARENA_LARGE, 0)) {
        arena_count_large(a, e->bytes);
    }
}
static inline void arena_forget(struct arena *a, const struct arena_extent *e) {
    a->live -= e->cost <= a->live ? e->cost : a->live;
    if (__builtin_expect(e->class == ARENA_LARGE, 0)) {
        arena_forget_large(a, e->bytes);
    }
}

/* arena_take() and arena_count(). ARENA_WAIT: table_drain() makes room, by a grace period and by compaction. */
enum arena_status arena_alloc(struct arena *a, uint64_t payload_bytes, uint32_t *node);

/* No reader can hold the node any more: its memory serves any use. Does nothing where the node is not in use. */
void arena_free(struct arena *a, uint32_t node);

/* ---- admission ---------------------------------------------------------------------------------------------------------- */

/* The room beside `live` that moving the largest node takes, if one of `bytes` were added (0: none is). */
static inline uint64_t arena_transit(const struct arena *a, uint64_t bytes) {
    uint32_t most = a->large_most, bin = bytes != 0 ? zone_bin(bytes) : 0;
    most = bin > most ? bin : most;
    return most != 0 ? zone_bin_bytes(most) + (UINT64_C(2) << a->shift) : 0;
}

/* Would the free pages and the loose bytes at the zone's lower end, after `less` bytes of them are taken, still suffice
 * for moving a node of up to `most` bytes? Once compaction is exhausted, one node may use that reserve: the node that
 * it replaces still holds its memory, and nothing else is taken before that memory comes back. */
bool arena_keeps(const struct arena *a, uint64_t less, uint64_t most);

/* May `come` (a sum of arena_cost()) be added and `gone` taken off? `most`: bytes of the largest new node in the zone,
 * 0: none. */
static inline bool arena_admits(const struct arena *a, uint64_t come, uint64_t gone, uint64_t most, uint64_t limit) {
    return a->live + a->slots + come - gone + arena_transit(a, most) <= limit;
}

/* ---- pages -------------------------------------------------------------------------------------------------------------- */

static inline uint64_t arena_page_size(const struct arena *a) {
    return UINT64_C(1) << a->shift;
}
static inline uint64_t arena_page_off(const struct arena *a, uint32_t page) {
    return a->pages_off + ((uint64_t)page << a->shift);
}

/* Take the lowest free page, if it lies below page `below`, for overflow buckets. Returns its offset, the page zeroed, or 0. And give it
 * back, once no reader of this process can be in it any more. */
uint64_t arena_take_page(struct arena *a, uint32_t below);
void arena_give_page(struct arena *a, uint32_t page);

/* Give out nothing of a page until it is let go or becomes free; a page that is free already is kept for the zone. */
void arena_hold(struct arena *a, uint32_t page);
void arena_let_go(struct arena *a, uint32_t page);

/* Is node n of a span given out? Call arena_put_back() first: nodes at hand count as given out. */
static inline bool arena_in_use(const struct arena *a, uint32_t page, uint32_t n) {
    return (a->bits[(uint64_t)page * a->bits_each + n / 64] >> n % 64 & 1) == 0;
}
void arena_put_back(struct arena *a, uint32_t class);

/* How many pages below the zone a block of `bytes` would need, and the first of them. 0: there are not that many. */
uint32_t arena_zone_needs(const struct arena *a, uint64_t bytes, uint32_t *first);

/* May those pages become the zone's (all are free)? Make them so. */
bool arena_zone_may_extend(const struct arena *a, uint64_t bytes);
bool arena_zone_extend(struct arena *a, uint64_t bytes);
void arena_zone_trim(struct arena *a);

/* Count a new use of the memory [off, off + bytes), so that readers of other processes notice. */
void arena_reuse(struct arena *a, uint64_t off, uint64_t bytes);

#endif
