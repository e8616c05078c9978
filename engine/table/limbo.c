/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/limbo.h"

#include <stdlib.h>

#include "engine/table/grace.h"
#include "engine/table/kill.h"
#include "engine/table/overflow.h"
#include "engine/table/rcu.h"
#include "shm/clock.h"

/* Items whose grace period has ended are released as fast as others come: LIMBO_STEP at a time. Where another grace period would be worth
 * while already a publication releases this many, and two for each item that came since the last one (a deleted node comes twice). Batches
 * add any number at once. Items that are released more slowly than they come pile up. Above all splits that are not cleared must not pile
 * up: each leaves its keys in two buckets, and nobody has reserved overflow buckets for that. */
#define LIMBO_PART 32u
#define LIMBO_ASKED 8u /* nodes are asked for so far ahead */

#define LIMBO_WAITS_NS UINT64_C(1000000)

/* Release up to `most` items whose grace period has ended; false while some are left. In parts, so that no write pays
 * for thousands. */
static bool limbo_release(struct table_writer *w, size_t most) {
    struct limbo *l = &w->waiting;
    size_t end = l->count - w->released_to < most ? l->count : w->released_to + most;
    for (size_t i = w->released_to; i < end; i++) {
        /* Where all is released memory is short: pages have to become free. LIMBO_FREE is 0: only such an item is a number of 32 bits. */
        bool recycles = most != SIZE_MAX && l->items[i] <= UINT32_MAX;
        size_t recycled = recycles ? arena_recycle(&w->arena, l->items + i, end - i) : 0;
        if (recycled != 0) {
            KILL_POINT("limbo.freed");
            i += recycled;
        }
        if (i == end) {
            break;
        }
        uint64_t what = l->items[i] & ((UINT64_C(1) << LIMBO_KIND_SHIFT) - 1);
        if (i + LIMBO_ASKED < l->count && l->items[i + LIMBO_ASKED] >> LIMBO_KIND_SHIFT == LIMBO_TOMB) {
            __builtin_prefetch(
                table_bucket_at(&w->t, l->items[i + LIMBO_ASKED] >> LIMBO_BUCKET_SHIFT & (LIMBO_BUCKETS - 1)), 1);
        }
        enum limbo_kind kind = (enum limbo_kind)(l->items[i] >> LIMBO_KIND_SHIFT);
        w->due -= limbo_due(kind);
        switch (kind) {
        case LIMBO_FREE:
            arena_free(&w->arena, (uint32_t)what);
            KILL_POINT("limbo.freed");
            break;
        case LIMBO_TOMB:
            table_clear_tomb(w, what);
            break;
        case LIMBO_CLEAR:
            table_clear_split(w, what);
            break;
        case LIMBO_BUCKET:
            overflow_free(w, what);
            break;
        }
    }
    w->released = true;
    w->released_to = end;
    if (end < l->count) {
        return false;
    }
    l->count = 0;
    l->bytes = 0;
    w->released_to = 0;
    table_note_memory(w);
    return true;
}

/* Hand the open items to a grace period that starts now. All belong to published entries, and nothing is waiting. */
static void limbo_rotate(struct table_writer *w) {
    struct limbo old = w->waiting;
    w->waiting = w->open;
    w->open = old;
    w->open.bytes = 0;
    w->open.count = 0;
    w->safe = 0;
    w->waiting.ticket = rcu_quiet() ? 0 : grace_start(); /* ticket 0 is over from the start */
    KILL_POINT("limbo.rotated");
}

void limbo_work(struct table_writer *w, size_t came) {
    bool presses = limbo_presses(w);
    if (w->waiting.count != 0 && (w->released_to != 0 || grace_done(w->waiting.ticket))) {
        bool fast = presses || w->due > w->due_most / 2; /* or slots may run short */
        size_t step = came < LIMBO_STEP ? LIMBO_STEP : came;
        step = fast ? LIMBO_PART + 2 * came : step > w->reused ? step - w->reused : 0;
        if (step != 0) {
            limbo_release(w, step);
        }
        w->safe = w->open.count;
    }
    w->reused = 0;
    if (w->waiting.count == 0 && w->open.count != 0 && presses) {
        w->hurry = false;
        limbo_rotate(w);
        table_note_memory(w);
    }
    w->heavy = limbo_heavy(&w->arena);
}

/* A section may be open for as long as its thread likes. */
static void limbo_await(const struct table_writer *w) {
    uint64_t began = clock_monotonic_ns();
    while (!grace_wait(w->waiting.ticket, w->waits != NULL ? LIMBO_WAITS_NS : UINT64_MAX)) {
        w->waits(w->waits_ctx, clock_monotonic_ns() - began);
    }
}

/* Release everything that a wait can release. All open items belong to published entries. */
static void limbo_drain(struct table_writer *w) {
    /* Deleted nodes take two rounds: out of the bucket, then freed. One more round is for items that were waiting
     * before. */
    for (int round = 0; round < 4; round++) {
        if (w->waiting.count != 0) {
            limbo_await(w);
            limbo_release(w, SIZE_MAX);
        }
        if (w->open.count == 0) {
            break;
        }
        limbo_rotate(w);
    }
    w->safe = w->open.count;
}

bool table_drain(struct table_writer *w) {
    /* Items of unpublished entries stay. Put them aside: a released tombstone leaves an item for the next round, which
     * would otherwise stand behind them. */
    size_t aside = w->open.count - w->safe;
    uint64_t *items = NULL;
    if (aside != 0) {
        items = malloc(aside * sizeof(*items));
        if (items == NULL) {
            return false;
        }
        memcpy(items, w->open.items + w->safe, aside * sizeof(*items));
        w->open.count = w->safe;
        for (size_t i = 0; i < aside; i++) {
            w->due -= limbo_due((enum limbo_kind)(items[i] >> LIMBO_KIND_SHIFT)); /* until they are back */
        }
    }
    for (uint32_t class = 0; class < w->arena.classes; class ++) {
        arena_put_back(&w->arena, class); /* one node at hand keeps its page in use */
    }
    limbo_drain(w);
    /* Count what the last publication released, too: as long as something was released, another try can succeed. */
    bool released = w->released, moved = false, before = w->arena.exhausted, hopes = compact_hopes(&w->arena);
    compact_begin(w);
    while (compact_for_wanted(w) != 0) {
        moved = true;
        limbo_drain(w);
    }
    moved = moved || w->arena.exhausted > before; /* exhausted now: the reserve for moves may be used */
    for (size_t i = 0; i < aside; i++) {
        uint64_t what = items[i] & ((UINT64_C(1) << LIMBO_KIND_SHIFT) - 1);
        limbo_push(w, (enum limbo_kind)(items[i] >> LIMBO_KIND_SHIFT), what, 0);
    }
    free(items);
    w->released = false;
    return released || (moved && hopes);
}
