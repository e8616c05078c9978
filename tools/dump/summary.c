/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/summary.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The most keys, and bytes of keys, that are counted at once. Where there are more, forget those that were written least. */
#define KEYS_MOST 65536u
#define SLOTS (4u * KEYS_MOST)
#define BYTES_MOST (UINT64_C(32) << 20)

struct counter {
    struct summary_key key;
    uint64_t hash;
};

/* All of it; the caller sees the first part. */
struct counting {
    struct summary s;
    struct counter *slots; /* open addressing */
    uint32_t used;
    uint32_t most_used;
    uint64_t bytes, seed;
    /* What runs. */
    uint64_t group_ts, group, batch;
    uint32_t term;
};

struct summary *summary_new(uint64_t ring_bytes) {
    struct counting *c = calloc(1, sizeof(*c));
    struct timespec ts;
    if (!c || (c->slots = calloc(SLOTS, sizeof(*c->slots))) == NULL) {
        free(c);
        return NULL;
    }
    clock_gettime(CLOCK_MONOTONIC, &ts);
    c->seed = (uint64_t)ts.tv_nsec * UINT64_C(0x9e3779b97f4a7c15) + (uint64_t)ts.tv_sec;
    c->s.ring_bytes = ring_bytes;
    return &c->s;
}

void summary_free(struct summary *s) {
    struct counting *c = (struct counting *)s;
    if (!c) {
        return;
    }
    for (uint32_t i = 0; i < SLOTS; i++) {
        free(c->slots[i].key.bytes);
    }
    free(c->slots);
    free(c);
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static uint64_t summary_hash_of(const struct counting *c, const uint8_t *bytes, size_t n) {
    uint64_t h = c->seed ^ n;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
        h ^= h >> 29;
    }
    return h * UINT64_C(0x9e3779b97f4a7c15);
}

/* The slot that has the key, or the free slot for it. */
static struct counter *summary_find(const struct counting *c, uint64_t hash, const uint8_t *key, uint32_t len) {
    for (uint64_t i = hash >> 40;; i++) {
        struct counter *slot = &c->slots[i % SLOTS];
        if (!slot->key.bytes ||
            (slot->hash == hash && slot->key.len == len && memcmp(slot->key.bytes, key, len) == 0)) {
            return slot;
        }
    }
}

/* Forget the keys with at most `limit` entries; the others move to their places in a fresh table. */
static bool summary_forget(struct counting *c, uint64_t limit) {
    struct counter *old = c->slots;
    struct counter *slots = calloc(SLOTS, sizeof(*slots));
    if (!slots) {
        return false;
    }
    c->slots = slots;
    for (uint32_t i = 0; i < SLOTS; i++) {
        struct counter *x = &old[i];
        if (!x->key.bytes) {
            continue;
        }
        if (x->key.entries <= limit) {
            c->used--;
            c->bytes -= x->key.len;
            free(x->key.bytes);
        } else {
            *summary_find(c, x->hash, x->key.bytes, x->key.len) = *x;
        }
    }
    free(old);
    return true;
}

static bool summary_make_room(struct counting *c) {
    for (uint64_t limit = 1; c->used >= KEYS_MOST || c->bytes >= BYTES_MOST; limit *= 2) {
        if (!summary_forget(c, limit)) {
            return false;
        }
        /* A key that is forgotten had at most so many entries, and may come again. */
        if (c->used < KEYS_MOST && c->bytes < BYTES_MOST) {
            c->s.short_by += limit;
        }
    }
    return true;
}

static void summary_count_key(struct counting *c, const uint8_t *key, uint32_t len) {
    uint64_t hash = summary_hash_of(c, key, len);
    struct counter *slot = summary_find(c, hash, key, len);
    if (!slot->key.bytes) {
        if (!summary_make_room(c)) {
            return;
        }
        slot = summary_find(c, hash, key, len);
        uint8_t *bytes = malloc(len);
        if (!bytes) {
            return;
        }
        memcpy(bytes, key, len);
        *slot = (struct counter){ { bytes, len, 0 }, hash };
        c->used++;
        c->most_used = c->used > c->most_used ? c->used : c->most_used;
        c->bytes += len;
    }
    slot->key.entries++;
}

static bool summary_goes_before(const struct summary_key *a, const struct summary_key *b) {
    if (a->entries != b->entries) {
        return a->entries > b->entries;
    }
    uint32_t n = a->len < b->len ? a->len : b->len;
    int order = memcmp(a->bytes, b->bytes, n);
    return order != 0 ? order < 0 : a->len < b->len;
}

static void summary_choose_most(struct counting *c) {
    struct summary *s = &c->s;
    for (uint32_t i = 0; i < SLOTS; i++) {
        const struct summary_key *k = &c->slots[i].key;
        if (!k->bytes) {
            continue;
        }
        uint32_t at = s->n_most;
        for (; at > 0 && summary_goes_before(k, &s->most[at - 1]); at--) {
            if (at < SUMMARY_KEYS) {
                s->most[at] = s->most[at - 1];
            }
        }
        if (at < SUMMARY_KEYS) {
            s->most[at] = *k;
            s->n_most += s->n_most < SUMMARY_KEYS;
        }
    }
    s->keys =
        c->most_used; /* all of them, where none was forgotten; and no fewer, since a key that comes again is no other */
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

static uint32_t summary_bucket_of(uint64_t n, uint32_t buckets) {
    uint32_t bucket = n == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(n);
    return bucket < buckets ? bucket : buckets - 1;
}

static void summary_add_run(struct summary_runs *r, uint64_t length) {
    if (length > 0) {
        r->runs++;
        r->entries += length;
        r->most = length > r->most ? length : r->most;
        r->by_length[summary_bucket_of(length, SUMMARY_RUNS)]++;
    }
}

static void summary_add_pause(struct summary *s, uint64_t before, uint64_t before_ts, uint64_t after,
                              uint64_t after_ts) {
    struct summary_pause p = { after_ts > before_ts ? after_ts - before_ts : 0, before, after, before_ts };
    uint32_t at = s->n_pauses;
    if (p.ns == 0) {
        return;
    }
    for (; at > 0 && s->pauses[at - 1].ns < p.ns; at--) {
        if (at < SUMMARY_PAUSES) {
            s->pauses[at] = s->pauses[at - 1];
        }
    }
    if (at < SUMMARY_PAUSES) {
        s->pauses[at] = p;
        s->n_pauses += s->n_pauses < SUMMARY_PAUSES;
    }
}

static void summary_add_cell(struct summary *s, const struct dump_frame *frame, uint32_t type) {
    if (s->ring_bytes == 0) {
        return;
    }
    uint64_t at = frame->pos % s->ring_bytes / (s->ring_bytes / SUMMARY_CELLS);
    struct summary_cell *cell = &s->cells[at < SUMMARY_CELLS ? at : SUMMARY_CELLS - 1];
    cell->first = cell->first == 0 ? frame->f.index : cell->first;
    cell->last = frame->f.index;
    cell->bytes[type] += frame->f.length;
}

static void summary_end_runs(struct counting *c) {
    summary_add_run(&c->s.groups, c->group);
    summary_add_run(&c->s.batches, c->batch > 1 ? c->batch : 0);
    c->group = c->batch = 0;
}

void summary_add(struct summary *s, const struct dump_frame *frame) {
    struct counting *c = (struct counting *)s;
    const struct frame *f = &frame->f;
    if (!frame->crc_good || frame->problem) {
        s->bad++;
        summary_end_runs(c);
        return;
    }
    uint32_t type = f->type < SUMMARY_TYPES ? f->type : 0;
    uint64_t payload = (uint64_t)f->key_len + f->value_len;
    s->types[type].entries++;
    s->types[type].frame_bytes += f->length;
    s->types[type].key_bytes += f->key_len;
    s->types[type].value_bytes += f->value_len;
    s->sizes[summary_bucket_of(payload, SUMMARY_SIZES)]++;
    s->of_lanes += f->lane != 0;
    s->expiring += dump_frame_expires(frame);
    s->kept += (f->flags & FRAME_KEEP) != 0;
    s->terms += s->entries > 0 && f->term != c->term;
    if (c->group > 0 && f->commit_ts != c->group_ts) {
        summary_add_run(&s->groups, c->group);
        c->group = 0;
    }
    c->group++;
    c->batch++;
    if (!(f->flags & FRAME_MORE)) {
        summary_add_run(&s->batches, c->batch > 1 ? c->batch : 0);
        c->batch = 0;
    }
    if (s->entries > 0 && f->index == s->last + 1) {
        summary_add_pause(s, s->last, s->last_ts, f->index, f->commit_ts);
    }
    if (s->entries++ == 0) {
        s->first = f->index;
        s->first_ts = f->commit_ts;
    }
    s->last = f->index;
    s->last_ts = c->group_ts = f->commit_ts;
    c->term = f->term;
    if (f->key_len > 0) {
        summary_count_key(c, frame->key, f->key_len);
    }
    summary_add_cell(s, frame, type);
}

void summary_add_gap(struct summary *s, const struct dump_gap *gap) {
    s->missing += gap->last - gap->first + 1;
    summary_end_runs((struct counting *)s);
}

void summary_end(struct summary *s) {
    summary_end_runs((struct counting *)s);
    summary_choose_most((struct counting *)s);
}
