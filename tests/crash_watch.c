/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A watcher among processes that are killed: its events, one by one, add up to what a copy of everything finds at the same index. */
#include <stdlib.h>
#include <unistd.h>

#include "tests/crash_roles.h"

#define MIRROR_SLOTS (1u << 17) /* of keys; the world has some ten thousand */

/* Each key's version, and a sum over all that does not depend on their order. */
struct crash_mirror {
    uint64_t hash[MIRROR_SLOTS];
    uint64_t version[MIRROR_SLOTS]; /* 0: not there */
    uint64_t sum, keys;
};

static uint64_t mirror_hash(const void *key, size_t size) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < size; i++) {
        h = (h ^ ((const uint8_t *)key)[i]) * UINT64_C(0x100000001b3);
    }
    return h | 1;
}

static uint64_t mirror_mix(uint64_t hash, uint64_t version) {
    uint64_t x = (hash ^ version * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xff51afd7ed558ccd);
    return x ^ x >> 32;
}

static void mirror_set(struct crash_mirror *m, const struct tide_event *e) {
    /* What expires is left out: a copy has none of what is over, and the entry that removes it may come later. */
    bool stays = e->kind == TIDE_EVENT_PUT && e->ttl_ns == TIDE_TTL_NONE;
    uint64_t hash = mirror_hash(e->key, e->key_len), version = stays ? e->index : 0;
    uint32_t i = (uint32_t)(hash % MIRROR_SLOTS);
    while (m->hash[i] != 0 && m->hash[i] != hash) {
        i = (i + 1) % MIRROR_SLOTS;
    }
    m->hash[i] = hash;
    if (m->version[i] != 0) {
        m->sum -= mirror_mix(hash, m->version[i]);
        m->keys--;
    }
    m->version[i] = version;
    if (version != 0) {
        m->sum += mirror_mix(hash, version);
        m->keys++;
    }
}

struct crash_watcher {
    struct crash_world *w;
    struct tide *d;
    struct tide_watch *watch;
    struct tide_event e; /* told, and not taken yet, where `held` */
    bool held;
    uint64_t last;
    struct crash_mirror mirror, other;
};

static struct tide_watch *watch_everything(struct tide *d, struct crash_mirror *m, uint64_t *index, int *error) {
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_event e = TIDE_EVENT_INIT;
    struct tide_watch *w = NULL;
    o.flags = TIDE_WATCH_INITIAL;
    *error = tide_watch_open(d, &o, &w);
    memset(m, 0, sizeof(*m));
    while (*error == 0 && (*error = tide_watch_next(w, &e, 0)) == 0 && e.kind != TIDE_EVENT_SYNCED) {
        mirror_set(m, &e);
    }
    *index = e.index;
    return w;
}

/* Take all that was told up to this index, in order. 0, or why the watch is over. */
static int watcher_go_on(struct crash_watcher *c, uint64_t to) {
    for (;;) {
        if (!c->held) {
            int error = tide_watch_next(c->watch, &c->e, 0);
            if (error != 0) {
                return error == TIDE_ERR_TIMEOUT ? 0 : error;
            }
            c->held = true;
        }
        if (c->e.index > to) {
            return 0;
        }
        if (c->e.index <= c->last) {
            crash_fail(c->w, "a watch told entry %llu after entry %llu", (unsigned long long)c->e.index,
                       (unsigned long long)c->last);
        }
        c->last = c->e.index;
        mirror_set(&c->mirror, &c->e);
        c->held = false;
    }
}

/* The mirror, and a fresh copy of everything: the same at the copy's index. */
static int watcher_compare(struct crash_watcher *c) {
    uint64_t index = 0;
    int error;
    struct tide_watch *w = watch_everything(c->d, &c->other, &index, &error);
    if (w != NULL) {
        tide_watch_close(w);
    }
    if (error != 0) {
        return error == TIDE_ERR_LOST || error == TIDE_ERR_NO_REPLICA ? 0 : error;
    }
    error = watcher_go_on(c, index);
    if (error == 0 && (c->mirror.sum != c->other.sum || c->mirror.keys != c->other.keys)) {
        crash_fail(c->w, "at index %llu a watch has %llu keys, a copy of everything %llu, or others",
                   (unsigned long long)index, (unsigned long long)c->mirror.keys, (unsigned long long)c->other.keys);
    }
    return error;
}

/* One watch, until it is lost or the domain goes. */
static void watcher_live(struct crash_watcher *c, uint32_t slot, struct help_rng *rng) {
    int error;
    c->held = false;
    c->e = (struct tide_event)TIDE_EVENT_INIT;
    c->watch = watch_everything(c->d, &c->mirror, &c->last, &error);
    for (uint64_t n = 0; error == 0 && atomic_load(&c->w->slots[slot].leave) == 0; n++) {
        error = watcher_go_on(c, UINT64_MAX);
        error = error == 0 && n % 16 == 0 ? watcher_compare(c) : error;
        atomic_fetch_add(&c->w->slots[slot].beats, 1);
        crash_nap_us(help_below(rng, 4000));
    }
    if (error == TIDE_ERR_CORRUPT || error == TIDE_ERR_INVALID) {
        crash_fail(c->w, "a watch: %s", tide_strerror(error));
    }
    if (c->watch != NULL) {
        tide_watch_close(c->watch);
    }
}

void crash_role_watcher(struct crash_world *w, uint32_t slot, uint64_t seed) {
    struct help_rng rng = { seed };
    struct crash_watcher *c = calloc(1, sizeof(*c));
    c->w = w;
    while (atomic_load(&w->slots[slot].leave) == 0) {
        c->d = crash_open(w);
        watcher_live(c, slot, &rng);
        tide_close(c->d);
        crash_nap_us(1000);
    }
    free(c);
}
