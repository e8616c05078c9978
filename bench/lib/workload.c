/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/workload.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/lib/rng.h"
#include "bench/lib/zipf.h"

/* Eight mixed bytes make a key distinct; the rest is the same for all, as with prefixes in real keys. Short keys are
 * the number. */
static void make_key(uint8_t *out, uint32_t size, uint64_t i) {
    uint64_t word = size >= 8 ? bench_mix64(i) : i;
    uint32_t head = size < 8 ? size : 8;
    memcpy(out, &word, head);
    memset(out + head, 'k', size - head);
}

static uint64_t steps_for(uint64_t keys) {
    uint64_t steps = BENCH_STEPS_MIN;
    while (steps < keys && steps < BENCH_STEPS_MAX) {
        steps *= 2;
    }
    return steps;
}

#define HUGE_PAGE ((size_t)2 << 20)

/* All rows read this memory as well. Where it fills huge pages it lies in them, or page walks for it would be part
 * of every figure. */
static void *room_for(uint64_t bytes) {
    if (bytes < HUGE_PAGE) {
        return malloc(bytes);
    }
    size_t whole = (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    void *room = aligned_alloc(HUGE_PAGE, whole);
    if (room != NULL) {
        (void)madvise(room, whole, MADV_HUGEPAGE);
    }
    return room;
}

int bench_workload_init(struct bench_workload *w, const struct bench_options *o, uint32_t threads) {
    memset(w, 0, sizeof(*w));
    if (o->keys == 0 || o->keys > UINT32_MAX || o->keys > SIZE_MAX / o->key_size ||
        (o->key_size < 8 && o->keys > (UINT64_C(1) << (8 * o->key_size)))) {
        return -1;
    }
    w->keys = o->keys;
    w->key_size = o->key_size;
    w->value_size = o->value_size;
    w->threads = threads;
    w->steps = steps_for(o->keys);
    w->dist = o->dist;
    w->theta = o->theta;
    w->seed = o->seed;
    w->key_bytes = room_for(o->keys * o->key_size);
    w->sequences = calloc(threads, sizeof(w->sequences[0]));
    if (w->key_bytes == NULL || w->sequences == NULL) {
        bench_workload_destroy(w);
        return -1;
    }
    for (uint64_t i = 0; i < o->keys; i++) {
        make_key(w->key_bytes + i * o->key_size, o->key_size, i);
    }
    return 0;
}

void bench_workload_destroy(struct bench_workload *w) {
    for (uint32_t t = 0; w->sequences != NULL && t < w->threads; t++) {
        free(w->sequences[t]);
    }
    free(w->sequences);
    free(w->key_bytes);
    memset(w, 0, sizeof(*w));
}

/* Keys were numbered in the order of filling; ranks are spread over them, or the hot keys would lie next to each other
 * in memory. */
static uint32_t spread_rank(const struct bench_workload *w, uint64_t rank) {
    /* A prime above any number of keys: the product modulo keys is a permutation, so no two ranks share a key. */
    return (uint32_t)(rank * UINT64_C(2654435761) % w->keys);
}

static void fill_sequence(const struct bench_workload *w, const struct bench_zipf *z, uint32_t thread, uint32_t *out) {
    struct bench_rng rng;
    bench_rng_init(&rng, w->seed * 1000003u + thread);
    for (uint64_t i = 0; i < w->steps; i++) {
        out[i] = z != NULL ? spread_rank(w, bench_zipf_next(z, &rng)) : (uint32_t)bench_rng_below(&rng, w->keys);
    }
}

int bench_workload_prepare(struct bench_workload *w, uint32_t threads) {
    struct bench_zipf z;
    int ready = 0;
    for (uint32_t t = 0; t < threads && t < w->threads; t++) {
        if (w->sequences[t] != NULL) {
            continue;
        }
        if (w->dist == BENCH_ZIPFIAN && !ready) {
            if (bench_zipf_init(&z, w->keys, w->theta) != 0) {
                return -1;
            }
            ready = 1;
        }
        w->sequences[t] = room_for(w->steps * sizeof(uint32_t));
        if (w->sequences[t] == NULL) {
            return -1;
        }
        fill_sequence(w, ready ? &z : NULL, t, w->sequences[t]);
    }
    return 0;
}

void bench_workload_value(const struct bench_workload *w, uint64_t i, uint64_t version, uint8_t *out) {
    uint64_t word = bench_mix64(i ^ (version << 32));
    for (uint64_t at = 0; at < w->value_size; at += 8) {
        uint64_t rest = w->value_size - at;
        memcpy(out + at, &word, rest < 8 ? rest : 8);
        word = word * UINT64_C(6364136223846793005) + 1;
    }
}

uint64_t bench_workload_table_bytes(const struct bench_options *o) {
    if (o->table_bytes != 0) {
        return o->table_bytes;
    }
    /* 64: a node's header and its share of a bucket; size classes may round a node up by a quarter. */
    uint64_t each = 64 + o->key_size + o->value_size;
    return (UINT64_C(16) << 20) + 2 * o->keys * each + 64 * o->value_size;
}
