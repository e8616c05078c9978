/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/evict.h"

#include <stdlib.h>

#include "engine/table/table_slots.h"

#define EVICT_SMALL_SHARE 10u /* the small queue holds a tenth of the keys */
#define EVICT_MAIN_HEAT 2u    /* read so often, a new key goes on to the main queue */
#define EVICT_TRIES 256u      /* keys that get another round, before one has to go all the same */
#define EVICT_FOLLOW 256u     /* keys that a follower passes over, to find the one that the leader evicted */
#define EVICT_FOLLOW_ASTRAY 4u
#define EVICT_STALE 3u /* times as many names in the queues as there are keys, and they are swept */
#define EVICT_REFILL 64u
#define EVICT_REFILL_LOOKS 1024u /* buckets: the work of one write has a bound */
/* So many keys go between two looks at all readers, for those that have begun to note: half of the small queue, within these bounds. A key that is
 * read from now on must be seen to be before it has passed the small queue. */
#define EVICT_LOOK_LEAST 16u
#define EVICT_LOOK_MOST 512u

/* ---- queues ---------------------------------------------------------------------------------------------------------- */

static struct evict *evict_of(const struct table_writer *w) {
    return (struct evict *)w->evict; /* the hooks are its first member */
}

static void evict_free_queue(struct evict_queue *q) {
    while (q->oldest != NULL) {
        struct evict_chunk *next = q->oldest->next;
        free(q->oldest);
        q->oldest = next;
    }
    *q = (struct evict_queue){ 0 };
}

static void evict_end(struct table_evictor *hooks) {
    struct evict *e = (struct evict *)hooks;
    evict_free_queue(&e->small);
    evict_free_queue(&e->main);
    free(e->spare);
    free(e->ghosts);
    free(e);
}

/* A name that there is no memory for is lost: evict_refill() finds its key again. */
static void evict_push(struct evict *e, struct evict_queue *q, uint64_t hash) {
    struct evict_chunk *c = q->newest;
    if (c == NULL || c->to == EVICT_CHUNK) {
        struct evict_chunk *fresh = e->spare != NULL ? e->spare : malloc(sizeof(*fresh));
        e->spare = NULL;
        if (fresh == NULL) {
            return;
        }
        fresh->next = NULL;
        fresh->from = fresh->to = 0;
        if (c != NULL) {
            c->next = fresh;
        } else {
            q->oldest = fresh;
        }
        q->newest = c = fresh;
    }
    c->hash[c->to++] = hash;
    q->count++;
}

/* The oldest chunk, or the one after `before`, leaves the queue. */
static void evict_drop_chunk(struct evict *e, struct evict_queue *q, struct evict_chunk *before) {
    struct evict_chunk *c = before != NULL ? before->next : q->oldest;
    if (before != NULL) {
        before->next = c->next;
    } else {
        q->oldest = c->next;
    }
    if (q->newest == c) {
        q->newest = before;
    }
    if (e->swept == c) {
        e->swept = before;
    }
    free(e->spare);
    e->spare = c;
}

static bool evict_pop(struct evict *e, struct evict_queue *q, uint64_t *hash) {
    while (q->oldest != NULL && q->oldest->from == q->oldest->to) {
        evict_drop_chunk(e, q, NULL);
    }
    if (q->oldest == NULL) {
        return false;
    }
    *hash = q->oldest->hash[q->oldest->from++];
    q->count--;
    return true;
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

static uint64_t evict_hash_of(const struct table *t, const struct table_node *n) {
    struct table_lengths len;
    return table_lengths_of(t, n, &len) ? table_hash(t, table_node_key(n), len.key) : 0;
}

/* The live node of a key with this hash, or 0. */
static uint32_t evict_find(const struct table_writer *w, uint64_t hash) {
    const struct table *t = &w->t;
    struct table_bucket *b = table_bucket_at(t, table_bucket_now(w, hash));
    uint64_t tag = table_tag(hash);
    for (uint32_t links = 0; b != NULL; b = table_overflow(t, b, &links)) {
        for (uint32_t m = table_match(table_tag_word(b, 0), table_tag_word(b, 8), tag); m != 0; m &= m - 1) {
            uint32_t i = (uint32_t)__builtin_ctz(m);
            uint32_t node = table_slot_node(t, b, i);
            if (node == 0) {
                continue;
            }
            const struct table_node *n = table_node_at(t, node);
            /* MO(node.deleted): relaxed; the writer's own word. */
            if (evict_hash_of(t, n) == hash && atomic_load_explicit(&n->deleted, memory_order_relaxed) == 0) {
                return node;
            }
        }
    }
    return 0;
}

static uint32_t evict_heat(const struct table_node *n) {
    uint32_t heat = atomic_load_explicit(&n->heat, memory_order_relaxed); /* MO(node.fields) */
    return heat < EVICT_HEAT_MOST ? heat : EVICT_HEAT_MOST;
}

static void evict_set_heat(struct table_node *n, uint32_t heat) {
    atomic_store_explicit(&n->heat, (uint8_t)heat, memory_order_relaxed); /* MO(node.fields) */
}

static uint8_t evict_flags(const struct table_node *n) {
    return atomic_load_explicit(&n->flags, memory_order_relaxed); /* MO(node.fields) */
}

/* ---- ghosts ------------------------------------------------------------------------------------------------------------ */

/* So many of the last victims of the small queue are remembered: as many as the main queue has keys. */
static uint32_t evict_ghosts_most(const struct table_writer *w) {
    uint64_t most = w->keys - w->keys / EVICT_SMALL_SHARE;
    return most < UINT32_MAX / 2 ? (uint32_t)most : UINT32_MAX / 2;
}

/* Room for them, where the number of keys has outgrown it: the old ones are forgotten. */
static __attribute__((noinline)) void evict_ghosts_grow(struct table_writer *w) {
    struct evict *e = evict_of(w);
    uint64_t lines = 1;
    while (lines * EVICT_GHOSTS < 2 * w->keys) {
        lines *= 2;
    }
    struct evict_ghosts *ghosts = aligned_alloc(LAYOUT_LINE, lines * sizeof(*ghosts));
    if (ghosts != NULL) {
        memset(ghosts, 0, lines * sizeof(*ghosts));
        free(e->ghosts);
        e->ghosts = ghosts;
        e->ghost_lines = lines;
    }
}

static struct evict_ghosts *evict_ghost_line(const struct evict *e, uint64_t hash) {
    return &e->ghosts[hash & (e->ghost_lines - 1)];
}

/* The half of a hash that does not choose its line; never 0. */
static uint32_t evict_ghost_name(uint64_t hash) {
    uint32_t name = (uint32_t)(hash >> 32);
    return name + (name == 0);
}

void evict_ask_ghost(const struct table_writer *w, uint64_t hash) {
    const struct evict *e = evict_of(w);
    if (e->ghosts != NULL) {
        __builtin_prefetch(evict_ghost_line(e, hash), 1);
    }
}

/* The oldest of its line is forgotten. */
static void evict_ghost_come(struct table_writer *w, uint64_t hash) {
    struct evict *e = evict_of(w);
    if (e->ghost_lines * EVICT_GHOSTS < w->keys + w->keys / 2 || e->ghosts == NULL) {
        evict_ghosts_grow(w);
    }
    if (e->ghosts == NULL) {
        return;
    }
    struct evict_ghosts *line = evict_ghost_line(e, hash);
    memmove(line->hash + 1, line->hash, sizeof(line->hash) - sizeof(line->hash[0]));
    memmove(line->came + 1, line->came, sizeof(line->came) - sizeof(line->came[0]));
    line->hash[0] = evict_ghost_name(hash);
    line->came[0] = ++e->ghost_clock;
}

/* Was this key a ghost? It is none any more. */
static bool evict_ghost_goes(struct table_writer *w, uint64_t hash) {
    struct evict *e = evict_of(w);
    if (e->ghosts == NULL) {
        return false;
    }
    struct evict_ghosts *line = evict_ghost_line(e, hash);
    uint32_t name = evict_ghost_name(hash), found = 0;
    for (uint32_t i = 0; i < EVICT_GHOSTS; i++) { /* all of them at once: mostly it is none */
        found |= line->hash[i] == name ? UINT32_MAX : 0;
    }
    if (__builtin_expect(found == 0, 1)) {
        return false;
    }
    uint32_t i = 0;
    while (line->hash[i] != name) {
        i++;
    }
    bool young = e->ghost_clock - line->came[i] < evict_ghosts_most(w);
    for (; i + 1 < EVICT_GHOSTS; i++) {
        line->hash[i] = line->hash[i + 1];
        line->came[i] = line->came[i + 1];
    }
    line->hash[EVICT_GHOSTS - 1] = 0;
    return young;
}

/* ---- names of what is gone ------------------------------------------------------------------------------------------- */

/* Take the names out of one chunk whose keys are gone. It joins its neighbour where both are small. */
static void evict_sweep(struct table_writer *w) {
    struct evict *e = evict_of(w);
    struct evict_chunk *c = e->sweeping == NULL ? NULL : e->swept != NULL ? e->swept->next : e->sweeping->oldest;
    if (c == NULL) {
        e->sweeping = e->sweeping == &e->main ? &e->small : &e->main;
        e->swept = NULL;
        return;
    }
    uint32_t to = c->from;
    for (uint32_t i = c->from; i < c->to; i++) {
        if (i + 16 < c->to) {
            __builtin_prefetch(table_bucket_at(&w->t, table_bucket_now(w, c->hash[i + 16])));
        }
        if (i + 8 < c->to) {
            table_prefetch(w, c->hash[i + 8]);
        }
        if (evict_find(w, c->hash[i]) != 0) {
            c->hash[to++] = c->hash[i];
        }
    }
    e->sweeping->count -= c->to - to;
    c->to = to;
    struct evict_chunk *before = e->swept;
    uint32_t left = to - c->from;
    if (before != NULL && before->to + left <= EVICT_CHUNK) {
        memcpy(&before->hash[before->to], &c->hash[c->from], left * sizeof(c->hash[0]));
        before->to += left;
        evict_drop_chunk(e, e->sweeping, before);
    } else {
        e->swept = c;
    }
}

static void evict_count_names(struct table_writer *w) {
    struct evict *e = evict_of(w);
    uint64_t names = e->small.count + e->main.count;
    if (__builtin_expect(names > EVICT_STALE * w->keys + 4 * EVICT_CHUNK && names % (EVICT_CHUNK / 2) == 0, 0)) {
        evict_sweep(w);
    }
}

/* No queue names a key that could go: names were lost for want of memory, or keys are no longer to be kept. Look for some in the table. */
struct evict_found {
    struct table_writer *w;
    uint32_t count;
};

static int evict_name_again(void *ctx, const struct table_node *n, const struct table_lengths *len, uint64_t hash) {
    struct evict_found *found = ctx;
    (void)len;
    if (evict_flags(n) == 0) {
        evict_push(evict_of(found->w), &evict_of(found->w)->main, hash);
        found->count++;
    }
    return 0;
}

static __attribute__((noinline)) bool evict_refill(struct table_writer *w) {
    struct evict_found found = { w, 0 };
    for (uint64_t looked = 0; looked < EVICT_REFILL_LOOKS && looked < w->buckets && found.count < EVICT_REFILL;
         looked++) {
        evict_of(w)->refill = (evict_of(w)->refill + 1) % w->buckets;
        table_visit_bucket(&w->t, evict_of(w)->refill, w->buckets, UINT64_MAX, evict_name_again, &found);
    }
    return found.count != 0;
}

/* ---- coming ------------------------------------------------------------------------------------------------------------ */

static bool evict_small_is_full(const struct table_writer *w) {
    return evict_of(w)->small.count > w->keys / EVICT_SMALL_SHARE;
}

static void evict_insert(struct table_writer *w, uint64_t hash, struct table_node *n) {
    struct evict *e = evict_of(w);
    if (evict_flags(n) != 0) {
        return;
    }
    bool main = evict_ghost_goes(w, hash) || (!e->begun && evict_small_is_full(w));
    evict_push(e, main ? &e->main : &e->small, hash);
    evict_count_names(w);
}

static void evict_replace(struct table_writer *w, uint64_t hash, const struct table_node *gone,
                          struct table_node *come) {
    uint32_t heat = evict_heat(gone);
    evict_set_heat(come, heat < EVICT_HEAT_MOST ? heat + 1 : heat); /* a write is a use, too */
    if ((evict_flags(gone) & NODE_KEEP) != 0 && evict_flags(come) == 0) {
        evict_insert(w, hash, come);
    }
}

int evict_begin(struct table_writer *w) {
    struct evict *e = calloc(1, sizeof(*e));
    if (e == NULL) {
        return -1;
    }
    e->hooks = (struct table_evictor){ evict_insert, evict_replace, evict_end };
    e->look = true;
    w->evict = &e->hooks;
    return 0;
}

/* ---- going ------------------------------------------------------------------------------------------------------------- */

/* Ask for what the next lookups of a queue need. */
static void evict_prefetch(const struct table_writer *w, const struct evict_queue *q, size_t n) {
    const struct evict_chunk *c = q->oldest;
    if (c == NULL || w->keys < 4096) { /* it is in the caches */
        return;
    }
    uint32_t end = c->to - c->from < n ? c->to : c->from + (uint32_t)n;
    for (uint32_t i = c->from; i < end; i++) {
        __builtin_prefetch(table_bucket_at(&w->t, table_bucket_now(w, c->hash[i])), 1);
        evict_ask_ghost(w, c->hash[i]);
    }
    for (uint32_t i = c->from; i < end; i++) {
        table_prefetch(w, c->hash[i]);
    }
}

/* The next one, or false: nothing that could go is named. A batch may hold more keys than get another round: so those are no tries, and where
 * the main queue has no others, the small one has its turn. */
static bool evict_next(struct table_writer *w, struct evict_victim *v) {
    struct evict *e = evict_of(w);
    uint64_t hash, held = 0; /* so many of the main queue's last names are of keys that are held */
    for (uint32_t tries = 0; e->small.count + e->main.count != 0;) {
        bool all_held = held > e->main.count;
        if (all_held && e->small.count == 0) {
            return false;
        }
        bool small = evict_small_is_full(w) || e->main.count == 0 || all_held;
        if (!evict_pop(e, small ? &e->small : &e->main, &hash)) {
            return false;
        }
        uint32_t node = evict_find(w, hash);
        if (node == 0) {
            continue;
        }
        struct table_node *n = table_node_at(&w->t, node);
        uint8_t flags = evict_flags(n);
        uint32_t heat = evict_heat(n);
        if ((flags & NODE_KEEP) != 0) {
            continue; /* kept: named again when that ends */
        }
        if ((flags & NODE_HELD) != 0) {
            evict_push(e, &e->main, hash);
            held++;
            continue;
        }
        if (tries++ >= EVICT_TRIES || heat < (small ? EVICT_MAIN_HEAT : 1)) {
            *v = (struct evict_victim){ hash, node, small };
            return true;
        }
        held = 0;
        evict_set_heat(n, small || heat == 0 ? 0 : heat - 1);
        evict_push(e, &e->main, hash);
    }
    return false;
}

/* Most of what it calls is as short as a call. */
__attribute__((flatten)) size_t evict_choose(struct table_writer *w, struct evict_victim *victims, size_t most) {
    struct evict *e = evict_of(w);
    e->begun = true;
    evict_prefetch(w, evict_small_is_full(w) ? &e->small : &e->main, most);
    size_t n = 0;
    while (n < most && (evict_next(w, &victims[n]) || (n == 0 && evict_refill(w) && evict_next(w, &victims[n])))) {
        if (victims[n].small) {
            evict_ghost_come(w, victims[n].hash);
        }
        n++;
    }
    e->gone += (uint32_t)n;
    return n;
}

void evict_restore(struct table_writer *w, const struct evict_victim *v) {
    evict_push(evict_of(w), &evict_of(w)->main, v->hash);
}

void evict_follow(struct table_writer *w, uint64_t hash, bool small) {
    struct evict *e = evict_of(w);
    struct evict_queue *q = small ? &e->small : &e->main;
    uint32_t most = e->astray ? EVICT_FOLLOW_ASTRAY : EVICT_FOLLOW;
    uint64_t passed;
    e->begun = true;
    e->gone++;
    e->astray = true;
    for (uint32_t i = 0; i < most && evict_pop(e, q, &passed); i++) {
        if (passed == hash) {
            e->astray = false;
            break;
        }
        uint32_t node = evict_find(w, passed);
        if (node != 0 && (evict_flags(table_node_at(&w->t, node)) & NODE_KEEP) == 0) {
            struct table_node *n = table_node_at(&w->t, node);
            uint32_t heat = evict_heat(n);
            evict_set_heat(n, small || heat == 0 ? 0 : heat - 1);
            evict_push(e, &e->main, passed);
        }
    }
    if (small) {
        evict_ghost_come(w, hash);
    }
    evict_count_names(w);
}

/* ---- what was read ----------------------------------------------------------------------------------------------------- */

static void evict_warm(struct table_writer *w, const uint64_t *hash, uint32_t n) {
    for (uint32_t i = 0; i < n && w->keys >= 4096; i++) {
        __builtin_prefetch(table_bucket_at(&w->t, table_bucket_now(w, hash[i])));
    }
    for (uint32_t i = 0; i < n && w->keys >= 4096; i++) {
        table_prefetch(w, hash[i]);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = evict_find(w, hash[i]);
        if (node != 0) {
            struct table_node *at = table_node_at(&w->t, node);
            uint32_t heat = evict_heat(at);
            if (heat < EVICT_HEAT_MOST) {
                evict_set_heat(at, heat + 1);
            }
        }
    }
}

static uint32_t evict_touches(const struct reader_slot *slot) {
    /* MO(reader.touches): acquire; pairs with the release in reader_touch(): what was noted before is whole. */
    return atomic_load_explicit(&slot->touches, memory_order_acquire);
}

static uint32_t evict_look_after(const struct evict *e) {
    uint64_t half = e->small.count / 2;
    return half < EVICT_LOOK_LEAST ? EVICT_LOOK_LEAST : half < EVICT_LOOK_MOST ? (uint32_t)half : EVICT_LOOK_MOST;
}

void evict_collect(struct table_writer *w, const struct log_segment *log) {
    struct evict *e = evict_of(w);
    if (e->look || e->gone - e->looked >= evict_look_after(e)) {
        e->look = false;
        e->looked = e->gone;
        e->reader_count = 0;
        for (uint32_t i = 0; i < LAYOUT_READERS; i++) {
            if (evict_touches(&log->readers[i]) != e->seen[i]) {
                e->readers[e->reader_count++] = i;
            }
        }
    }
    for (uint32_t k = 0; k < e->reader_count; k++) {
        uint32_t i = e->readers[k], now = evict_touches(&log->readers[i]), fresh = now - e->seen[i];
        uint64_t hash[LAYOUT_TOUCHES];
        fresh = fresh < LAYOUT_TOUCHES ? fresh : LAYOUT_TOUCHES;
        for (uint32_t j = 0; j < fresh; j++) {
            /* MO(reader.touches): relaxed; another one may stand there by now, which was read as well. */
            hash[j] = atomic_load_explicit(&log->readers[i].touched[(now - fresh + j) % LAYOUT_TOUCHES],
                                           memory_order_relaxed);
        }
        e->seen[i] = now;
        evict_warm(w, hash, fresh);
    }
}

void evict_collect_idle(struct table_writer *w, const struct log_segment *log) {
    evict_of(w)->look = true;
    evict_collect(w, log);
}

/* ---- after a copy ------------------------------------------------------------------------------------------------------ */

struct evict_age {
    uint64_t index, hash;
};
struct evict_ages {
    struct evict_age *ages;
    uint64_t count, room;
};

static int evict_note_age(void *ctx, const struct table_node *n, const struct table_lengths *len, uint64_t hash) {
    struct evict_ages *all = ctx;
    (void)len;
    if (all->count < all->room && (evict_flags(n) & NODE_KEEP) == 0) {
        /* MO(node.index): relaxed; the writer's own word. */
        all->ages[all->count++] = (struct evict_age){ atomic_load_explicit(&n->index, memory_order_relaxed), hash };
    }
    return 0;
}

static int evict_older(const void *a, const void *b) {
    uint64_t x = ((const struct evict_age *)a)->index, y = ((const struct evict_age *)b)->index;
    return x < y ? -1 : x > y;
}

int evict_settle(struct table_writer *w) {
    struct evict *e = evict_of(w);
    struct evict_ages all = { malloc((w->keys + 1) * sizeof(struct evict_age)), 0, w->keys };
    if (all.ages == NULL) {
        return -1;
    }
    for (uint64_t b = 0; b < w->buckets; b++) {
        table_visit_bucket(&w->t, b, w->buckets, UINT64_MAX, evict_note_age, &all);
    }
    qsort(all.ages, all.count, sizeof(all.ages[0]), evict_older);
    e->swept = NULL;
    e->sweeping = NULL;
    evict_free_queue(&e->small);
    evict_free_queue(&e->main);
    uint64_t small_from = all.count - all.count / EVICT_SMALL_SHARE;
    for (uint64_t i = 0; i < all.count; i++) {
        evict_push(e, i < small_from ? &e->main : &e->small, all.ages[i].hash);
    }
    free(all.ages);
    return 0;
}
