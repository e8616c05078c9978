/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/compact.h"

#include "engine/table/kill.h"
#include "engine/table/limbo.h"
#include "engine/table/overflow.h"
#include "engine/table/table_slots.h"
#include "shm/bytes.h"

#define COMPACT_LOOKS 256u   /* spans of a class that are compared */
#define COMPACT_PAGES 8u     /* most spans emptied before one grace period */
#define COMPACT_BUCKETS 256u /* most overflow buckets moved before one grace period */
#define COMPACT_STEP 4u      /* most nodes moved with one publication */
#define COMPACT_STEP_LOOKS 64u

enum compact_result { COMPACT_MOVED, COMPACT_STAYS, COMPACT_NO_ROOM };

/* Where a live node stands. Its lengths are loaded once, and fit into its memory. */
struct compact_node {
    struct table_place place;
    uint64_t hash;
    uint32_t key_len, value_word; /* as node_word() makes it */
};

static bool compact_look(const struct table_writer *w, uint32_t node, uint64_t bytes, struct compact_node *out) {
    const struct table_node *n = table_node_at(&w->t, node);
    /* MO(node.fields), MO(node.deleted): relaxed; the writer's own nodes. */
    out->key_len = atomic_load_explicit(&n->key_len, memory_order_relaxed);
    out->value_word = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    if (NODE_HEADER_BYTES + node_payload_bytes(out->key_len, out->value_word) > bytes ||
        atomic_load_explicit(&n->deleted, memory_order_relaxed) != 0) {
        return false;
    }
    out->hash = table_hash(&w->t, table_node_key(n), out->key_len);
    return table_place_of(&w->t, table_bucket_at(&w->t, table_bucket_now(w, out->hash)), node, table_tag(out->hash),
                          &out->place);
}

/* Copy the node that `c` describes to `to`, which no slot leads to yet, and make the slot lead there. */
static void compact_move(struct table_writer *w, const struct compact_node *c, uint32_t node, uint32_t to) {
    const struct table_node *n = table_node_at(&w->t, node);
    struct table_node *copy = table_node_at(&w->t, to);
    /* MO(node.prev), MO(node.fields), MO(node.index): relaxed; the writer's own nodes. Every section that follows the
     * link finds the older version whole: this node's entry replaced it, and the copy has that entry's index. */
    uint32_t prev = atomic_load_explicit(&n->prev, memory_order_relaxed);
    uint32_t crc = atomic_load_explicit(&n->crc, memory_order_relaxed);     /* MO(node.fields) */
    uint64_t index = atomic_load_explicit(&n->index, memory_order_relaxed); /* MO(node.index) */
    table_node_begin(copy, c->key_len, c->value_word, prev, crc);
    uint8_t heat = atomic_load_explicit(&n->heat, memory_order_relaxed);   /* MO(node.fields) */
    uint8_t flags = atomic_load_explicit(&n->flags, memory_order_relaxed); /* MO(node.fields) */
    atomic_store_explicit(&copy->heat, heat, memory_order_relaxed);        /* MO(node.fields) */
    atomic_store_explicit(&copy->flags, flags, memory_order_relaxed);      /* MO(node.fields) */
    bytes_copy(table_node_key(copy), table_node_key(n), node_payload_bytes(c->key_len, c->value_word));
    KILL_POINT("compact.copied");
    table_swap(w, &c->place, c->hash, to, index);
    KILL_POINT("compact.swapped");
    limbo_push_node(w, node);
}

static enum compact_result compact_small(struct table_writer *w, uint32_t node, const struct arena_class *class) {
    struct compact_node c;
    if (!compact_look(w, node, class->bytes, &c)) {
        return COMPACT_STAYS; /* not published yet, or replaced: its writer frees it */
    }
    uint32_t to = arena_take_small(&w->arena, (uint32_t)(class - w->arena.class));
    if (to == 0) {
        return COMPACT_NO_ROOM;
    }
    compact_move(w, &c, node, to);
    return COMPACT_MOVED;
}

/* ---- spans ------------------------------------------------------------------------------------------------------------- */

/* Of the class with the most pages' worth of free nodes, at least `pages`: its sparsest span, as number + 1. 0: no such
 * class. */
static uint32_t compact_sparsest(struct arena *a, uint32_t pages) {
    uint64_t most = 0;
    uint32_t class = 0;
    for (uint32_t k = 0; k < a->classes; k++) {
        uint64_t could = (a->class[k].free + a->hand[k].count) / a->class[k].each;
        if (could > most) {
            most = could;
            class = k;
        }
    }
    if (most < pages || most == 0) {
        return 0;
    }
    arena_put_back(a, class);
    uint32_t best = a->class[class].partial, at = best;
    for (uint32_t looks = 0; at != 0 && looks < COMPACT_LOOKS; looks++, at = a->page[at - 1].next) {
        best = a->page[at - 1].free > a->page[best - 1].free ? at : best;
    }
    return best;
}

struct compact_count {
    uint32_t moved, stayed;
};

/* Move the live nodes of a span, from node *at on, at most `most` of them. False: one found no room. */
static bool compact_span(struct table_writer *w, uint32_t page, uint32_t *at, uint32_t looks, uint32_t most,
                         struct compact_count *count) {
    struct arena *a = &w->arena;
    const struct arena_class *class = &a->class[a->page[page].class];
    uint64_t first = arena_page_off(a, page) / TABLE_UNIT;
    for (; *at < class->each && looks > 0 && most > 0; ++*at, looks--) {
        if (!arena_in_use(a, page, *at)) {
            continue;
        }
        uint32_t node = (uint32_t)(first + (uint64_t)*at * (class->bytes / TABLE_UNIT));
        enum compact_result result = compact_small(w, node, class);
        if (result == COMPACT_NO_ROOM) {
            return false;
        }
        if (result == COMPACT_MOVED) {
            count->moved++;
            most--;
        } else {
            count->stayed++;
        }
    }
    return true;
}

/* Empty the sparsest spans. */
static uint32_t compact_sparse(struct table_writer *w, uint32_t pages) {
    struct arena *a = &w->arena;
    struct compact_count count = { 0, 0 };
    uint32_t held[COMPACT_PAGES], n = 0;
    for (bool room = true; room && n < pages && n < COMPACT_PAGES;) {
        uint32_t page = compact_sparsest(a, 1), at = 0;
        if (page == 0) {
            break;
        }
        held[n++] = page - 1;
        arena_hold(a, page - 1);
        room = compact_span(w, page - 1, &at, UINT32_MAX, UINT32_MAX, &count);
    }
    /* A node that could not move keeps its span in use; then the span's free nodes serve as well as any other's. */
    for (uint32_t i = 0; i < n; i++) {
        arena_let_go(a, held[i]);
    }
    return count.moved;
}

/* ---- the zone ---------------------------------------------------------------------------------------------------------- */

/*
 * Free the pages below the zone that a block of `bytes` needs; where it needs more than are free, as many as are: a batch that asked for more than
 * there is, twice as much each time, may fit into all of them. All of these pages, or none is tried again: this takes a free page for each span
 * that it empties, and compact_sparse() may put nodes back into a page that is not empty. Where a node does not move (its words were changed by others), the
 * two would undo each other for ever.
 */
static uint32_t compact_below_zone(struct table_writer *w, uint64_t bytes) {
    struct arena *a = &w->arena;
    struct compact_count count = { 0, 0 };
    uint64_t most = zone_loose(&a->zone) + ((uint64_t)a->free_pages << a->shift);
    uint32_t first = 0, n = arena_zone_needs(a, bytes < most ? bytes : most, &first), taken = 0;
    bool stays = false; /* each span in the way needs a free page elsewhere: there are as many */
    for (uint32_t p = first; p < first + n; p++) {
        taken += a->page[p].use != ARENA_FREE;
        stays = stays || a->page[p].stays;
    }
    if (n == 0 || stays) {
        return 0;
    }
    if (taken != 0) {
        for (uint32_t p = first; p < first + n; p++) {
            arena_hold(a, p);
        }
        for (uint32_t class = 0; class < a->classes; class ++) {
            arena_put_back(a, class);
        }
        bool room = true;
        for (uint32_t p = first; room && p < first + n; p++) {
            uint32_t at = 0;
            count.stayed = 0;
            room = a->page[p].use != ARENA_SPAN || compact_span(w, p, &at, UINT32_MAX, UINT32_MAX, &count);
            a->page[p].stays = count.stayed != 0;
            a->stays = a->stays || count.stayed != 0;
        }
        for (uint32_t p = first; p < first + n; p++) {
            arena_let_go(a, p);
        }
    }
    return count.moved;
}

void compact_begin(struct table_writer *w) {
    struct arena *a = &w->arena;
    for (uint32_t p = 0; a->stays && p < a->pages; p++) {
        a->page[p].stays = false;
    }
    a->stays = false;
}

static bool compact_large(struct table_writer *w, uint64_t from, uint64_t bytes, uint64_t to) {
    struct compact_node c;
    uint32_t node = (uint32_t)(from / TABLE_UNIT);
    if (to == 0) {
        return false;
    }
    if (!compact_look(w, node, bytes, &c)) {
        zone_free(&w->arena.zone, to);
        return false;
    }
    arena_reuse(&w->arena, to, bytes);
    compact_move(w, &c, node, (uint32_t)(to / TABLE_UNIT));
    return true;
}

/* Move the lowest blocks into holes above them, until `most` bytes were moved. */
static uint32_t compact_lowest(struct table_writer *w, uint64_t most) {
    struct zone *z = &w->arena.zone;
    uint64_t off, bytes, done = 0, from = 0;
    uint32_t moved = 0;
    while (done < most && zone_next_used(z, from, &off, &bytes)) {
        from = off; /* a moved block's old place stays in use until a grace period has ended */
        uint64_t to = zone_alloc_above(z, bytes, off);
        if (to == 0) {
            break;
        }
        moved += compact_large(w, off, bytes, to);
        done += bytes;
        from += bytes;
        if (from >= z->end) {
            break;
        }
    }
    return moved;
}

/* A block was moved aside to enlarge the highest hole. Those below it follow, up to `most` bytes, as far as there is room that is not kept for
 * moving one: so a grace period enlarges the hole by many. */
static uint32_t compact_aside(struct table_writer *w, uint64_t off, uint64_t most) {
    struct arena *a = &w->arena;
    uint64_t bytes, done = 0;
    uint32_t moved = 0;
    while (done < most && zone_below(&a->zone, off, &off, &bytes)) {
        uint64_t loose = zone_loose(&a->zone), room = loose + ((uint64_t)a->free_pages << a->shift);
        if (room < bytes + arena_transit(a, 0) || (loose < bytes && !arena_zone_extend(a, bytes)) ||
            !compact_large(w, off, bytes, zone_alloc_loose(&a->zone, bytes))) {
            break;
        }
        done += bytes;
        moved++;
    }
    return moved;
}

/* Move blocks up into the highest hole, until one has to be moved aside, and others with it. */
static uint32_t compact_highest(struct table_writer *w, uint64_t most) {
    struct zone *z = &w->arena.zone;
    uint64_t hole, off, bytes;
    uint32_t moved = 0;
    while (zone_highest_hole(z, &hole, &off, &bytes)) {
        uint64_t to = 0;
        if (bytes <= hole) {
            to = zone_alloc_high(z, bytes);
        } else if (moved != 0) {
            break; /* the places left behind enlarge the hole after a grace period */
        } else {
            to = zone_alloc_loose(z, bytes);
            if (to == 0 && arena_zone_extend(&w->arena, bytes)) {
                to = zone_alloc_loose(z, bytes);
            } else if (to == 0) {
                return compact_below_zone(w, bytes);
            }
        }
        if (!compact_large(w, off, bytes, to)) {
            break;
        }
        moved++;
        if (bytes > hole) {
            moved += compact_aside(w, off, most);
            break;
        }
    }
    return moved;
}

/* ---- what is wanted ------------------------------------------------------------------------------------------------------ */

/* Bytes to free in one piece for a large node: `demand` times its size, since a batch may want several. */
static uint64_t compact_bytes(const struct arena *a) {
    uint64_t bytes = zone_round(a->wanted), most = a->end - a->pages_off;
    return bytes <= most / a->demand ? bytes * a->demand : most;
}

/* Could `demand` be for more yet, or is it for all there is? */
static bool compact_may_ask_more(const struct arena *a) {
    bool large = arena_class(a, a->wanted - NODE_HEADER_BYTES) == ARENA_LARGE;
    return large ? compact_bytes(a) < a->end - a->pages_off : a->demand < a->pages;
}

static bool compact_has_enough(const struct arena *a) {
    uint32_t class = arena_class(a, a->wanted - NODE_HEADER_BYTES);
    if (class != ARENA_LARGE) {
        return (a->demand == 1 && (a->class[class].partial != 0 || a->hand[class].count != 0)) ||
               arena_keeps(a, (uint64_t)a->demand << a->shift, 0);
    }
    uint64_t bytes = compact_bytes(a), node = zone_round(a->wanted);
    return (arena_keeps(a, 0, node) && zone_has_hole(&a->zone, bytes)) ||
           (arena_keeps(a, bytes, node) && (zone_loose(&a->zone) >= bytes || arena_zone_may_extend(a, bytes)));
}

static void compact_let_go(struct arena *a) {
    if (a->emptying != 0) {
        arena_let_go(a, a->emptying - 1);
    }
    if (a->emptied != 0) {
        arena_let_go(a, a->emptied - 1);
    }
    a->emptying = a->emptied = 0;
}

bool compact_hopes(struct arena *a) {
    a->asked_all += a->wanted != 0 && a->demand != 0 && !compact_may_ask_more(a);
    return a->asked_all <= COMPACT_ALL_TRIES;
}

uint32_t compact_for_wanted(struct table_writer *w) {
    struct arena *a = &w->arena;
    if (a->wanted == 0) {
        return 0;
    }
    compact_let_go(a);
    bool large = arena_class(a, a->wanted - NODE_HEADER_BYTES) == ARENA_LARGE;
    if (!a->pursuing) {
        /* The last demand was met and the writer still found no room: a batch needs more than one node. */
        a->demand = a->demand == 0 ? 1 : compact_may_ask_more(a) ? a->demand * 2 : a->demand;
        while (!w->released && compact_may_ask_more(a) && compact_has_enough(a)) {
            a->demand *= 2;
        }
        a->pursuing = true;
    }
    uint64_t bytes = large ? compact_bytes(a) : (uint64_t)a->demand << a->shift;
    uint64_t run = bytes + arena_transit(a, large ? zone_round(a->wanted) : 0);
    uint32_t moved = 0;
    arena_zone_trim(a);
    bool enough = compact_has_enough(a);
    a->moving = true;
    if (!enough && large && ((uint64_t)a->free_pages << a->shift) >= run) {
        moved = compact_below_zone(w, bytes);
    }
    if (!enough && moved == 0) {
        uint64_t pages = run >> a->shift;
        moved = compact_sparse(w, pages < COMPACT_PAGES ? (uint32_t)pages + 1 : COMPACT_PAGES);
    }
    moved = enough || moved != 0 ? moved : compact_lowest(w, run);
    moved = enough || moved != 0 ? moved : compact_highest(w, run);
    moved = enough || moved != 0 || !large ? moved : compact_below_zone(w, bytes);
    a->moving = false;
    moved = enough || moved != 0 ? moved : overflow_evacuate(w, COMPACT_BUCKETS);
    if (moved == 0) {
        a->exhausted = !enough;
        a->pursuing = false;
        a->wanted = 0;
    }
    return moved;
}

void compact_step_slow(struct table_writer *w) {
    struct arena *a = &w->arena;
    compact_placed(w);
    if (a->credit == 0) {
        return;
    }
    if (a->emptying == 0) {
        compact_let_go(a);
        a->emptying = compact_sparsest(a, 2);
        a->at = 0;
        if (a->emptying == 0) {
            a->credit = 0;
            return;
        }
        arena_hold(a, a->emptying - 1);
    }
    struct compact_count count = { 0, 0 };
    uint32_t page = a->emptying - 1;
    const struct arena_page *p = &a->page[page];
    if (p->use != ARENA_SPAN || !p->held) { /* it became free without us */
        a->emptying = 0;
        a->credit--;
        return;
    }
    if (!compact_span(w, page, &a->at, COMPACT_STEP_LOOKS, COMPACT_STEP, &count)) {
        compact_let_go(a);
        a->credit = 0;
    } else if (a->at >= a->class[p->class].each) {
        a->emptied = a->emptying;
        a->emptying = 0;
        a->credit--;
    }
    w->safe = w->open.count; /* the moved nodes' entries were all published before */
}
