/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/arena.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_PAGES_WANTED 4096u /* small pages: a class with few nodes then wastes little */
#define ARENA_EVEN 512u          /* below this size there is a class for each TABLE_UNIT */
#define ARENA_SPARE_SHARE 128u

uint32_t arena_page_bytes(uint64_t table_bytes) {
    uint64_t bytes = ARENA_PAGE_MIN;
    while (bytes < ARENA_PAGE_MAX && bytes * 2 * ARENA_PAGES_WANTED <= table_bytes) {
        bytes *= 2;
    }
    return (uint32_t)bytes;
}

/* The size of the class after the one of `last` bytes; 0: of the first. Each takes the largest size that still puts its number of
 * nodes into a page. It is larger than the class before by a thirty-second, or by one unit. The last one has an eighth of a page. */
static uint32_t arena_next_class(uint32_t page, uint32_t last) {
    uint32_t step = last / 32 > TABLE_UNIT ? last / 32 / TABLE_UNIT * TABLE_UNIT : TABLE_UNIT;
    uint32_t bytes = last == 0 ? NODE_HEADER_BYTES + TABLE_UNIT : last + step;
    uint32_t size = bytes < ARENA_EVEN ? bytes : page / (page / bytes) / TABLE_UNIT * TABLE_UNIT;
    return size > page / 8 ? page / 8 : size;
}

static void arena_make_classes(struct arena *a) {
    uint32_t page = UINT32_C(1) << a->shift, last = 0;
    a->small_units = page / 8 / TABLE_UNIT;
    while (last < page / 8) {
        uint32_t size = arena_next_class(page, last), each = page / size;
        struct arena_class *c = &a->class[a->classes];
        *c = (struct arena_class){
            .bytes = size,
            .units = size / TABLE_UNIT,
            .cost = (page + each - 1) / each,
            .each = each,
            .inverse = ((1u << 20) + size / TABLE_UNIT - 1) / (size / TABLE_UNIT),
        };
        a->hand[a->classes].bytes = c->bytes;
        a->hand[a->classes].cost = c->cost;
        for (uint32_t u = last / TABLE_UNIT + 1; u <= size / TABLE_UNIT; u++) {
            a->class_of[u] = (uint8_t)a->classes;
        }
        a->classes++;
        last = size;
    }
}

static void arena_free_page(struct arena *a, uint32_t page) {
    a->page[page].use = ARENA_FREE;
    a->free_pages++;
    if (a->page[page].held) {
        return;
    }
    a->page_bits[page / 64] |= UINT64_C(1) << page % 64;
    a->low_page = page < a->low_page ? page : a->low_page;
}

/* Each class may have one page that is partly empty, the zone two. One more page serves a node that is made before the node that it
 * replaces is freed. */
static uint32_t arena_kept(uint32_t classes) {
    return classes + 4;
}

static struct arena_limits arena_limits_of(uint32_t classes, uint32_t shift, uint64_t pages) {
    uint64_t kept = arena_kept(classes), spare = pages / ARENA_SPARE_SHARE + 2;
    uint64_t all = kept + spare < pages ? pages - kept - spare : 0;
    return (struct arena_limits){ .limit = all << shift, .spare = spare << shift };
}

struct arena_limits arena_limits(uint32_t page_bytes, uint64_t pages) {
    uint32_t classes = 0; /* no struct arena for this: a caller's thread may have a small stack */
    for (uint32_t last = 0; last < page_bytes / 8; last = arena_next_class(page_bytes, last)) {
        classes++;
    }
    return arena_limits_of(classes, 31u - (uint32_t)__builtin_clz(page_bytes), pages);
}

int arena_init(struct arena *a, uint8_t *base, uint64_t from, uint64_t end, uint32_t page_bytes,
               _Atomic uint32_t *uses) {
    *a = (struct arena){ .base = base, .seg = (struct table_segment *)base, .end = end, .uses = uses };
    a->shift = 31u - (uint32_t)__builtin_clz(page_bytes);
    a->pages = (uint32_t)((end - from) >> a->shift);
    a->pages_off = end - ((uint64_t)a->pages << a->shift);
    a->first = (uint32_t)(a->pages_off / TABLE_UNIT);
    a->units = (uint32_t)((end - a->pages_off) / TABLE_UNIT);
    a->page_units = (UINT32_C(1) << a->shift) / TABLE_UNIT;
    arena_make_classes(a);
    a->bits_each = (a->class[0].each + 63) / 64;
    a->page = calloc(a->pages + 1, sizeof(*a->page));
    a->bits = calloc((uint64_t)a->pages + 1, a->bits_each * sizeof(*a->bits));
    a->at_hand = calloc((uint64_t)a->pages + 1, a->bits_each * sizeof(*a->at_hand));
    a->page_bits = calloc(a->pages / 64 + 1, sizeof(*a->page_bits));
    bool zone = zone_init(&a->zone, a->pages_off, end, a->shift);
    if (a->page == NULL || a->bits == NULL || a->at_hand == NULL || a->page_bits == NULL || !zone) {
        arena_destroy(a);
        return -1;
    }
    a->low_page = a->pages;
    for (uint32_t p = 0; p < a->pages; p++) {
        arena_free_page(a, p);
    }
    struct arena_limits limits = arena_limits_of(a->classes, a->shift, a->pages);
    a->limit = limits.limit;
    a->spare = limits.spare;
    a->patience = (((uint64_t)arena_kept(a->classes) << a->shift) + a->spare) >> 2;
    return 0;
}

void arena_destroy(struct arena *a) {
    free(a->page);
    free(a->bits);
    free(a->at_hand);
    free(a->page_bits);
    a->page = NULL;
    a->bits = a->at_hand = a->page_bits = NULL;
    zone_destroy(&a->zone);
}

/* ---- pages -------------------------------------------------------------------------------------------------------------- */

void arena_reuse(struct arena *a, uint64_t off, uint64_t bytes) {
    uint64_t last = (off + bytes - 1 - a->pages_off) >> a->shift;
    /* MO(arena.use): release, and before the pages' words: a reader that follows a link loads the page's word and then this one. If it found
     * the page's new word and the old one here, it would take what comes next for the version that was there. */
    uint32_t reused = atomic_load_explicit(&a->seg->reused, memory_order_relaxed) + 1; /* MO(arena.use) */
    atomic_store_explicit(&a->seg->reused, reused, memory_order_release);              /* MO(arena.use) */
    for (uint64_t p = (off - a->pages_off) >> a->shift; p <= last; p++) {
        /* MO(arena.use): release; no slot leads to the old contents any more. The fence below keeps new contents behind
         * this store. */
        uint32_t uses =
            atomic_load_explicit(&a->uses[p], memory_order_relaxed) + 1; /* MO(arena.use): the writer's own */
        atomic_store_explicit(&a->uses[p], uses, memory_order_release);  /* MO(arena.use) */
    }
    atomic_thread_fence(memory_order_release); /* MO(arena.use): pairs with the acquire fence in foreign_whole() */
}

/* The lowest free page, or a->pages. The zone grows downwards and takes the highest ones. */
static uint32_t arena_lowest_page(struct arena *a) {
    for (uint32_t word = a->low_page / 64; word <= a->pages / 64; word++) {
        if (a->page_bits[word] != 0) {
            uint32_t page = word * 64 + (uint32_t)__builtin_ctzll(a->page_bits[word]);
            a->low_page = page;
            return page;
        }
    }
    a->low_page = a->pages;
    return a->pages;
}

static void arena_use_page(struct arena *a, uint32_t page, enum arena_use use) {
    a->page[page].use = (uint8_t)use;
    a->page[page].held = false;
    a->page_bits[page / 64] &= ~(UINT64_C(1) << page % 64);
    a->free_pages--;
}

uint64_t arena_take_page(struct arena *a, uint32_t below) {
    uint32_t page = arena_lowest_page(a);
    if (page == a->pages || page >= below) {
        return 0;
    }
    arena_use_page(a, page, ARENA_TAKEN);
    a->page[page].free = 0; /* a span may have been here */
    arena_reuse(a, arena_page_off(a, page), arena_page_size(a));
    memset(a->base + arena_page_off(a, page), 0, arena_page_size(a));
    return arena_page_off(a, page);
}

void arena_give_page(struct arena *a, uint32_t page) {
    arena_free_page(a, page);
}

static void arena_link(struct arena *a, uint32_t page) {
    struct arena_page *p = &a->page[page];
    struct arena_class *c = &a->class[p->class];
    p->prev = 0;
    p->next = c->partial;
    if (p->next != 0) {
        a->page[p->next - 1].prev = page + 1;
    }
    c->partial = page + 1;
    c->free += p->free;
}

void arena_unlink(struct arena *a, uint32_t page) {
    struct arena_page *p = &a->page[page];
    struct arena_class *c = &a->class[p->class];
    if (p->prev != 0) {
        a->page[p->prev - 1].next = p->next;
    } else {
        c->partial = p->next;
    }
    if (p->next != 0) {
        a->page[p->next - 1].prev = p->prev;
    }
    c->free -= p->free;
}

/* True while few pages are free. Whoever takes a page then asks compaction to empty a span, a few nodes with each
 * write. */
static bool arena_is_low(const struct arena *a) {
    return a->free_pages < 4 + a->pages / 256;
}

bool arena_keeps(const struct arena *a, uint64_t less, uint64_t most) {
    uint64_t run = ((uint64_t)a->free_pages << a->shift) + zone_loose(&a->zone);
    return a->moving || run >= less + arena_transit(a, most);
}

bool arena_open_span(struct arena *a, uint32_t class) {
    uint32_t page = arena_lowest_page(a);
    bool keeps = arena_keeps(a, arena_page_size(a), 0);
    if (page == a->pages || (!keeps && !a->exhausted)) {
        return false;
    }
    a->exhausted = a->exhausted && keeps;
    arena_use_page(a, page, ARENA_SPAN);
    a->credit += arena_is_low(a) && a->credit < 64 ? 1 : 0;
    arena_reuse(a, arena_page_off(a, page), arena_page_size(a));
    struct arena_page *p = &a->page[page];
    uint32_t each = a->class[class].each;
    uint64_t *bits = &a->bits[(uint64_t)page * a->bits_each];
    for (uint32_t w = 0; w * 64 < each; w++) {
        uint32_t left = each - w * 64;
        bits[w] = left < 64 ? (UINT64_C(1) << left) - 1 : UINT64_MAX;
    }
    p->words = (uint32_t)((UINT64_C(1) << (each + 63) / 64) - 1);
    p->class = (uint8_t) class;
    p->free = (uint16_t)each;
    a->class[class].spans++;
    arena_link(a, page);
    return true;
}

void arena_hold(struct arena *a, uint32_t page) {
    struct arena_page *p = &a->page[page];
    if (p->held) {
        return;
    }
    if (p->use == ARENA_SPAN && p->free != 0) {
        arena_unlink(a, page);
    } else if (p->use == ARENA_FREE) {
        a->page_bits[page / 64] &= ~(UINT64_C(1) << page % 64);
    }
    p->held = true;
}

void arena_let_go(struct arena *a, uint32_t page) {
    struct arena_page *p = &a->page[page];
    if (!p->held) {
        return;
    }
    p->held = false;
    if (p->use == ARENA_SPAN && p->free != 0) {
        arena_link(a, page);
    } else if (p->use == ARENA_FREE) {
        a->free_pages--;
        arena_free_page(a, page);
    }
}

/* ---- small nodes ---------------------------------------------------------------------------------------------------------- */

/* Nodes of a span with free ones, `most` of them, the lowest first. Returns how many. */
static uint32_t arena_take_of_span(struct arena *a, uint32_t page, struct arena_spare *got, uint32_t most) {
    struct arena_page *p = &a->page[page];
    struct arena_class *c = &a->class[p->class];
    uint64_t *bits = &a->bits[(uint64_t)page * a->bits_each];
    uint64_t first = arena_page_off(a, page) / TABLE_UNIT;
    uint32_t n = 0;
    while (p->words != 0 && n < most) {
        uint32_t w = (uint32_t)__builtin_ctz(p->words);
        uint64_t word = bits[w];
        for (; word != 0 && n < most; word &= word - 1) {
            uint32_t k = w * 64 + (uint32_t)__builtin_ctzll(word);
            got[n++] = (struct arena_spare){ (uint32_t)(first + (uint64_t)k * (c->bytes / TABLE_UNIT)),
                                             page * a->bits_each * 64 + k };
        }
        bits[w] = word;
        p->words &= word == 0 ? ~(1u << w) : UINT32_MAX;
    }
    if (n == p->free) {
        arena_unlink(a, page);
        p->free = 0;
    } else {
        p->free -= (uint16_t)n;
        c->free -= n;
    }
    return n;
}

/*
 * Where keys are overwritten at random most spans have a free node or two. Several of them are asked, so that there are always nodes
 * behind the next one, whose memory can be asked for ahead.
 */
bool arena_refill(struct arena *a, uint32_t class) {
    struct arena_class *c = &a->class[class];
    struct arena_at_hand *h = &a->hand[class];
    if (c->partial == 0 && !arena_open_span(a, class)) {
        return false;
    }
    struct arena_spare got[ARENA_AT_HAND];
    uint32_t n = 0;
    while (n < ARENA_AT_HAND && c->partial != 0) {
        n += arena_take_of_span(a, c->partial - 1, got + n, ARENA_AT_HAND - n);
    }
    for (uint32_t i = 0; i < n; i++) { /* the first is used first */
        h->nodes[n - 1 - i] = got[i];
        a->at_hand[got[i].bit / 64] |= UINT64_C(1) << got[i].bit % 64;
    }
    h->count = n;
    h->asked = n < ARENA_AHEAD ? 0 : n - ARENA_AHEAD;
    for (uint32_t i = n; i > h->asked; i--) {
        arena_ask(a, h->nodes[i - 1].node, c->bytes);
    }
    return n != 0;
}

static void arena_free_small(struct arena *a, uint32_t page, uint32_t node) {
    struct arena_page *p = &a->page[page];
    struct arena_class *c = &a->class[p->class];
    uint32_t units = node - (uint32_t)(arena_page_off(a, page) / TABLE_UNIT);
    uint32_t n = (uint32_t)(((uint64_t)units * c->inverse) >> 20);
    uint64_t *word = &a->bits[(uint64_t)page * a->bits_each + n / 64];
    if (n >= c->each || n * (c->bytes / TABLE_UNIT) != units ||
        ((*word | a->at_hand[(uint64_t)page * a->bits_each + n / 64]) >> n % 64 & 1) != 0) {
        return; /* not a node, or free already */
    }
    *word |= UINT64_C(1) << n % 64;
    p->words |= 1u << n / 64;
    p->free++;
    if (p->free == c->each) {
        if (!p->held) {
            p->free--;
            if (p->free != 0) {
                arena_unlink(a, page);
            }
        }
        c->spans--;
        p->held = false;
        arena_free_page(a, page);
    } else if (!p->held && p->free == 1) {
        arena_link(a, page);
    } else if (!p->held) {
        c->free++;
    }
}

size_t arena_recycle(struct arena *a, const uint64_t *nodes, size_t most) {
    uint64_t pages_off = a->pages_off, bytes = a->end - pages_off, in_page = arena_page_size(a) - 1;
    uint32_t shift = a->shift, bits_each = a->bits_each * 64;
    const struct arena_page *pages = a->page;
    const uint64_t *bits = a->bits;
    uint64_t *at_hand = a->at_hand;
    for (size_t i = 0; i < most; i++) {
        uint64_t off = nodes[i] * TABLE_UNIT - pages_off;
        if (nodes[i] > UINT32_MAX || off >= bytes) {
            return i;
        }
        uint32_t page = (uint32_t)(off >> shift), units = (uint32_t)((off & in_page) / TABLE_UNIT);
        const struct arena_page *p = &pages[page];
        if (p->use != ARENA_SPAN || p->held) {
            return i;
        }
        const struct arena_class *c = &a->class[p->class];
        struct arena_at_hand *h = &a->hand[p->class];
        uint32_t n = (uint32_t)(((uint64_t)units * c->inverse) >> 20), bit = page * bits_each + n, count = h->count;
        uint64_t mask = UINT64_C(1) << bit % 64, word = at_hand[bit / 64];
        if (count == ARENA_AT_HAND || n >= c->each || n * c->bytes != units * TABLE_UNIT ||
            ((bits[bit / 64] | word) & mask) != 0) {
            return i;
        }
        at_hand[bit / 64] = word | mask;
        h->nodes[count] = (struct arena_spare){ (uint32_t)nodes[i], bit };
        h->count = count + 1;
        arena_ask(a, (uint32_t)nodes[i], c->bytes);
    }
    return most;
}

void arena_put_back(struct arena *a, uint32_t class) {
    struct arena_at_hand *h = &a->hand[class];
    while (h->count != 0) {
        struct arena_spare spare = h->nodes[--h->count];
        h->asked = 0;
        a->at_hand[spare.bit / 64] ^= UINT64_C(1) << spare.bit % 64;
        arena_free_small(a, arena_page_of(a, spare.node), spare.node);
    }
}

/* ---- large nodes ---------------------------------------------------------------------------------------------------------- */

uint32_t arena_zone_needs(const struct arena *a, uint64_t bytes, uint32_t *first) {
    uint64_t loose = zone_loose(&a->zone), size = arena_page_size(a);
    uint64_t n = bytes > loose ? (bytes - loose + size - 1) >> a->shift : 0;
    uint64_t low = (a->zone.low - a->pages_off) >> a->shift;
    if (n > low) {
        return 0;
    }
    *first = (uint32_t)(low - n);
    return (uint32_t)n;
}

bool arena_zone_may_extend(const struct arena *a, uint64_t bytes) {
    uint32_t first = 0, n = arena_zone_needs(a, bytes, &first);
    for (uint32_t p = first; n != 0 && p < first + n; p++) {
        if (a->page[p].use != ARENA_FREE) {
            return false;
        }
    }
    return n != 0;
}

bool arena_zone_extend(struct arena *a, uint64_t bytes) {
    uint32_t first = 0, n = arena_zone_needs(a, bytes, &first);
    if (!arena_zone_may_extend(a, bytes) || !zone_extend(&a->zone, (uint64_t)n << a->shift)) {
        return false;
    }
    for (uint32_t p = first; p < first + n; p++) {
        arena_use_page(a, p, ARENA_ZONE);
    }
    return true;
}

void arena_zone_trim(struct arena *a) {
    uint32_t page = (uint32_t)((a->zone.low - a->pages_off) >> a->shift);
    for (uint64_t n = zone_trim(&a->zone); n > 0; n--, page++) {
        arena_free_page(a, page);
    }
}

uint32_t arena_take_large(struct arena *a, uint64_t bytes) {
    bytes = zone_round(bytes);
    uint64_t off = 0;
    if (a->exhausted || arena_keeps(a, 0, bytes)) {
        off = zone_alloc_above(&a->zone, bytes, 0);
    }
    if (off == 0 && (a->exhausted || arena_keeps(a, bytes, bytes))) {
        if (zone_loose(&a->zone) < bytes) {
            arena_zone_extend(a, bytes);
        }
        off = zone_alloc_loose(&a->zone, bytes);
    }
    if (off == 0) {
        return 0;
    }
    a->exhausted = a->exhausted && arena_keeps(a, 0, bytes);
    arena_reuse(a, off, bytes);
    return (uint32_t)(off / TABLE_UNIT);
}

void arena_count_large(struct arena *a, uint64_t bytes) {
    uint32_t bin = zone_bin(bytes);
    a->large += bytes;
    a->large_count[bin]++;
    a->large_most = bin > a->large_most ? bin : a->large_most;
}

void arena_forget_large(struct arena *a, uint64_t bytes) {
    uint32_t bin = zone_bin(bytes);
    a->large -= bytes <= a->large ? bytes : a->large;
    a->large_count[bin] -= a->large_count[bin] != 0;
    while (a->large_most != 0 && a->large_count[a->large_most] == 0) {
        a->large_most--;
    }
}

/* ---- any node -------------------------------------------------------------------------------------------------------------- */

struct arena_extent arena_extent_slow(const struct arena *a, uint32_t node) {
    uint64_t bytes = zone_bytes(&a->zone, (uint64_t)node * TABLE_UNIT);
    return (struct arena_extent){ bytes, bytes, ARENA_LARGE };
}

enum arena_status arena_alloc(struct arena *a, uint64_t payload_bytes, uint32_t *node) {
    uint32_t got = arena_take(a, payload_bytes);
    if (got == 0) {
        a->wanted = NODE_HEADER_BYTES + payload_bytes;
        return ARENA_WAIT;
    }
    struct arena_extent e = arena_extent(a, got);
    arena_count(a, &e);
    *node = got;
    return ARENA_OK;
}

void arena_free(struct arena *a, uint32_t node) {
    uint64_t off = (uint64_t)node * TABLE_UNIT;
    if (off < a->pages_off || off >= a->end) {
        return;
    }
    uint32_t page = arena_page_of(a, node);
    if (a->page[page].use == ARENA_SPAN) {
        arena_free_small(a, page, node);
    } else if (zone_bytes(&a->zone, off) != 0) {
        /* MO(node.index): relaxed; the block's other parts may be used again while this header stays. The fence is in
         * arena_reuse(). */
        atomic_store_explicit(&arena_node(a, node)->index, 0, memory_order_relaxed);
        zone_free(&a->zone, off);
        arena_zone_trim(a);
    }
}
