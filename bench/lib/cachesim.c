/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/cachesim.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/program.h"

#define NOBODY UINT32_MAX
#define HEAT_MOST 3u
#define MAIN_HEAT 2u /* read so often in the small queue, a key goes on to the main one */
#define SMALL_SHARE 10u

enum place { OUT, SMALL, MAIN, GHOST };

struct line { /* a queue; keys come at the front and leave at the back */
    uint32_t front, back;
    uint64_t n;
};

struct sim {
    uint64_t objects;
    uint32_t *forward, *backward; /* of each key, in the line that it is in */
    uint8_t *heat, *place;
    struct line small, main, ghosts;
    uint32_t hand; /* SIEVE's */
    bool begun;
};

static void push(struct sim *s, struct line *l, enum place place, uint32_t key) {
    s->place[key] = (uint8_t)place;
    s->forward[key] = NOBODY;
    s->backward[key] = l->front;
    if (l->front != NOBODY) {
        s->forward[l->front] = key;
    } else {
        l->back = key;
    }
    l->front = key;
    l->n++;
}

static void take(struct sim *s, struct line *l, uint32_t key) {
    uint32_t f = s->forward[key], b = s->backward[key];
    if (f != NOBODY) {
        s->backward[f] = b;
    } else {
        l->front = b;
    }
    if (b != NOBODY) {
        s->forward[b] = f;
    } else {
        l->back = f;
    }
    s->place[key] = OUT;
    l->n--;
}

/* ---- LRU and SIEVE, in the main line alone --------------------------------------------------------------------------- */

static void lru_hit(struct sim *s, uint32_t key) {
    take(s, &s->main, key);
    push(s, &s->main, MAIN, key);
}

static void lru_miss(struct sim *s, uint32_t key) {
    if (s->main.n == s->objects) {
        take(s, &s->main, s->main.back);
    }
    push(s, &s->main, MAIN, key);
}

static void sieve_hit(struct sim *s, uint32_t key) {
    s->heat[key] = 1;
}

static void sieve_miss(struct sim *s, uint32_t key) {
    if (s->main.n == s->objects) {
        uint32_t k = s->hand != NOBODY ? s->hand : s->main.back;
        while (s->heat[k] != 0) {
            s->heat[k] = 0;
            k = s->forward[k] != NOBODY ? s->forward[k] : s->main.back;
        }
        s->hand = s->forward[k];
        take(s, &s->main, k);
    }
    s->heat[key] = 0;
    push(s, &s->main, MAIN, key);
}

/* ---- S3-FIFO --------------------------------------------------------------------------------------------------------- */

static void s3fifo_hit(struct sim *s, uint32_t key) {
    s->heat[key] = (uint8_t)(s->heat[key] + (s->heat[key] < HEAT_MOST));
}

static uint64_t s3fifo_small_most(const struct sim *s) {
    return s->objects / SMALL_SHARE > 0 ? s->objects / SMALL_SHARE : 1;
}

static void s3fifo_evict_main(struct sim *s) {
    for (;;) {
        uint32_t key = s->main.back;
        take(s, &s->main, key);
        if (s->heat[key] == 0) {
            return;
        }
        s->heat[key]--;
        push(s, &s->main, MAIN, key);
    }
}

static void s3fifo_evict_small(struct sim *s) {
    while (s->small.n != 0) {
        uint32_t key = s->small.back;
        take(s, &s->small, key);
        if (s->heat[key] < MAIN_HEAT) {
            if (s->ghosts.n == s->objects - s3fifo_small_most(s) && s->ghosts.n != 0) {
                take(s, &s->ghosts, s->ghosts.back);
            }
            push(s, &s->ghosts, GHOST, key);
            return;
        }
        s->heat[key] = 0;
        push(s, &s->main, MAIN, key);
    }
}

static void s3fifo_miss(struct sim *s, uint32_t key) {
    uint64_t small_most = s3fifo_small_most(s), main_most = s->objects - small_most;
    bool ghost = s->place[key] == GHOST;
    if (ghost) {
        take(s, &s->ghosts, key);
    }
    while (s->small.n + s->main.n >= s->objects) {
        s->begun = true;
        if (s->main.n > main_most || s->small.n == 0) {
            s3fifo_evict_main(s);
        } else {
            s3fifo_evict_small(s);
        }
    }
    s->heat[key] = 0;
    if (ghost || (!s->begun && s->small.n >= small_most)) {
        push(s, &s->main, MAIN, key);
    } else {
        push(s, &s->small, SMALL, key);
    }
}

/* ---- a run ----------------------------------------------------------------------------------------------------------- */

static const struct {
    void (*hit)(struct sim *s, uint32_t key), (*miss)(struct sim *s, uint32_t key);
} sims[BENCH_SIMS] = { { lru_hit, lru_miss }, { sieve_hit, sieve_miss }, { s3fifo_hit, s3fifo_miss } };

double bench_cachesim(enum bench_cachesim which, const struct bench_trace *t, uint64_t objects) {
    const struct line empty = { NOBODY, NOBODY, 0 };
    struct sim s = { .objects = objects, .small = empty, .main = empty, .ghosts = empty, .hand = NOBODY };
    s.forward = bench_alloc(t->keys_n, sizeof(*s.forward));
    s.backward = bench_alloc(t->keys_n, sizeof(*s.backward));
    s.heat = bench_alloc(t->keys_n, 1);
    s.place = bench_alloc(t->keys_n, 1);
    uint64_t misses = 0;
    for (uint64_t i = 0; i < t->requests_n; i++) {
        uint32_t key = t->requests[i];
        if (s.place[key] == SMALL || s.place[key] == MAIN) {
            sims[which].hit(&s, key);
        } else {
            misses++;
            sims[which].miss(&s, key);
        }
    }
    free(s.forward);
    free(s.backward);
    free(s.heat);
    free(s.place);
    return (double)misses / (double)t->requests_n;
}
