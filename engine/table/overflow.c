/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/overflow.h"

#include <stdlib.h>

#include "engine/table/kill.h"
#include "engine/table/limbo.h"
#include "engine/table/table_slots.h"

static bool overflow_is_paged(const struct table_writer *w, uint64_t off) {
    return off >= w->arena.pages_off;
}

static uint32_t overflow_page_of(const struct table_writer *w, uint64_t off) {
    return (uint32_t)((off - w->arena.pages_off) >> w->arena.shift);
}

/* False: no memory. The bucket is not used again then. */
static bool overflow_keep(struct table_spare *s, uint64_t off) {
    if (s->count == s->room) {
        uint32_t room = s->room == 0 ? 64 : s->room * 2;
        uint32_t *more = realloc(s->at, room * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        s->at = more;
        s->room = room;
    }
    s->at[s->count++] = (uint32_t)(off / sizeof(struct table_bucket));
    return true;
}

/* One of the place that buckets and overflow buckets share: its offset, or 0. */
static uint64_t overflow_take_placed(struct table_writer *w) {
    uint64_t off = 0, bytes = sizeof(struct table_bucket);
    if (w->spare.count != 0) {
        off = w->spare.at[--w->spare.count] * bytes;
    } else if (w->overflow_off - bytes >= table_buckets_end(w)) {
        off = w->overflow_off -= bytes;
    }
    w->overflow += off != 0 ? bytes : 0;
    return off;
}

/* Number `i` of the free ones in pages. */
static uint64_t overflow_take_paged(struct table_writer *w, uint32_t i) {
    uint64_t off = w->paged.at[i] * (uint64_t)sizeof(struct table_bucket);
    w->paged.at[i] = w->paged.at[--w->paged.count];
    w->arena.page[overflow_page_of(w, off)].free--;
    return off;
}

/* A page of nodes, below page `below`, becomes free overflow buckets. */
static bool overflow_take_page(struct table_writer *w, uint32_t below) {
    uint64_t page = arena_take_page(&w->arena, below), bytes = sizeof(struct table_bucket);
    if (page == 0) {
        return false;
    }
    w->taken++;
    for (uint64_t at = page + arena_page_size(&w->arena); at > page; at -= bytes) { /* the lowest is used first */
        if (overflow_keep(&w->paged, at - bytes)) {
            w->arena.page[overflow_page_of(w, page)].free++;
        }
    }
    return true;
}

uint64_t overflow_take(struct table_writer *w) {
    uint64_t off = overflow_take_placed(w);
    if (off == 0 && (w->paged.count != 0 || overflow_take_page(w, w->arena.pages))) {
        off = w->paged.count != 0 ? overflow_take_paged(w, w->paged.count - 1) : 0;
    }
    if (off != 0) {
        memset(w->t.base + off, 0, sizeof(struct table_bucket));
    }
    return off;
}

/* All overflow buckets of a page are free: it serves nodes again. */
static void overflow_give_page(struct table_writer *w, uint32_t page) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < w->paged.count; i++) {
        uint64_t off = w->paged.at[i] * (uint64_t)sizeof(struct table_bucket);
        w->paged.at[kept] = w->paged.at[i];
        kept += overflow_page_of(w, off) != page;
    }
    w->paged.count = kept;
    w->taken--;
    arena_give_page(&w->arena, page);
}

void overflow_free(struct table_writer *w, uint64_t off) {
    if (!overflow_is_paged(w, off)) {
        w->overflow -= sizeof(struct table_bucket);
        (void)overflow_keep(&w->spare, off);
        return;
    }
    uint32_t page = overflow_page_of(w, off);
    struct arena_page *p = &w->arena.page[page];
    if (overflow_keep(&w->paged, off) && ++p->free == arena_page_size(&w->arena) / sizeof(struct table_bucket)) {
        overflow_give_page(w, page);
    }
}

/* The bucket whose link leads to an overflow bucket. NULL: none does, it is free or waits for a grace period. */
static struct table_bucket *overflow_before(const struct table_writer *w, const struct table_bucket *after) {
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
        uint64_t hash;
        if (table_tag_at(after, i) == 0 || !table_slot_hash(&w->t, after, i, &hash)) {
            continue;
        }
        for (uint64_t bucket = table_bucket_now(w, hash);; bucket = table_split_source(bucket)) {
            uint32_t links = 0;
            struct table_bucket *b = table_bucket_at(&w->t, bucket), *next;
            for (; (next = table_overflow(&w->t, b, &links)) != NULL; b = next) {
                if (next == after) {
                    return b;
                }
            }
            if (bucket < w->cleared) {
                break;
            }
        }
    }
    return NULL;
}

/* A free overflow bucket in a better place than page `page`: not in a page, or in a lower one. 0: there is none. */
static uint64_t overflow_take_better(struct table_writer *w, uint32_t page) {
    uint64_t off = overflow_take_placed(w);
    for (uint32_t tries = 0; off == 0 && tries < 2; tries++) {
        uint32_t best = 0;
        for (uint32_t i = 1; i < w->paged.count; i++) {
            best = w->paged.at[i] < w->paged.at[best] ? i : best;
        }
        if (w->paged.count != 0 &&
            overflow_page_of(w, w->paged.at[best] * (uint64_t)sizeof(struct table_bucket)) < page) {
            off = overflow_take_paged(w, best);
        } else if (!overflow_take_page(w, page)) {
            break;
        }
    }
    return off;
}

/* Copy an overflow bucket to another place, and make its chain lead there. False: it is in no chain. Readers inside the old one find what
 * was there when they came, and go on along its link. */
static bool overflow_move(struct table_writer *w, uint64_t off, uint32_t page) {
    struct table_bucket *old = (struct table_bucket *)(w->t.base + off), *before = overflow_before(w, old);
    uint64_t to = before != NULL ? overflow_take_better(w, page) : 0;
    if (to == 0) {
        return false;
    }
    struct table_bucket *copy = (struct table_bucket *)(w->t.base + to);
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
        table_set_node(copy, i, table_slot_at(old, i));
    }
    for (uint32_t i = 0; i < 2; i++) {
        /* MO(table.tag): release; as table_insert(): the copy is whole before it is linked. */
        atomic_store_explicit(&copy->tags[i], table_tag_word(old, 8 * i), memory_order_release);
    }
    KILL_POINT("overflow.copied");
    uint64_t tags = table_tag_word(before, 8) & UINT32_MAX;
    table_reorganise(
        w); /* for readers of other processes, which may still be in the old place when it serves another chain */
    /* MO(table.tag): release; as above. */
    atomic_store_explicit(&before->tags[1], tags | to / sizeof(*copy) << 32, memory_order_release);
    KILL_POINT("overflow.moved");
    table_reorganise(w);
    limbo_push(w, LIMBO_BUCKET, off, sizeof(*old));
    return true;
}

uint32_t overflow_evacuate(struct table_writer *w, uint32_t most) {
    uint32_t moved = 0, left = w->taken;
    for (uint32_t page = w->arena.pages; page-- > 0 && left != 0 && moved < most;) {
        if (w->arena.page[page].use != ARENA_TAKEN) {
            continue;
        }
        left--;
        uint64_t first = arena_page_off(&w->arena, page);
        for (uint64_t at = 0; at < arena_page_size(&w->arena) && moved < most; at += sizeof(struct table_bucket)) {
            moved += overflow_move(w, first + at, page);
        }
    }
    return moved;
}
