/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The practical limit: an unsynchronised table for one thread (bench/lib/plain.h); and the loop that all rows
 * contain. */
#include "bench/lib/plain.h"

#include <stdlib.h>

#include "bench/peers/loop.h"

/* ---- the loop alone ---------------------------------------------------------------------------------------------- */

static uint64_t run_loop(struct peer_reader *r, uint64_t from, uint64_t n) {
    uint64_t sum = 0;
    for (uint64_t i = from; i < from + n; i++) {
        const uint8_t *key = peer_key(r, i);
        PEER_CONSUME(key);
        sum += peer_head(key);
    }
    return sum;
}

static uint64_t no_bytes(const struct peer_case *c) {
    (void)c;
    return 0;
}

static void fill_nothing(struct peer_case *c, void **peer) {
    (void)c;
    (void)peer;
}

static void end_nothing(void *peer) {
    (void)peer;
}

const struct peer peer_loop_alone = {
    .name = "loop",
    .gets = { { "loop", "the loop alone", run_loop, PEER_CHUNK } },
    .bytes = no_bytes,
    .fill = fill_nothing,
    .end = end_nothing,
};

/* ---- the table --------------------------------------------------------------------------------------------------- */

struct tables {
    struct plain at_half; /* load at most 0.5; the first member: a pointer to it is one to this */
    struct plain dense;   /* at most 0.75: for getcost alone */
};

/* Only where both sizes are constants does plain_get_fixed() become what the compiler can make of it. */
PEER_INLINE int get_fixed(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    return plain_get_fixed(r->peer, key, PEER_KEY, out, value_size) < 0 ? -1 : 0;
}

PEER_INLINE int get_dense(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    const struct tables *t = r->peer;
    return plain_get_fixed(&t->dense, key, PEER_KEY, out, value_size) < 0 ? -1 : 0;
}

PEER_INLINE int get_sized(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    size_t key_len = r->workload->key_size;
    return plain_get_hashed(r->peer, plain_hash(key, key_len), key, key_len, out, value_size) < 0 ? -1 : 0;
}

PEER_INLINE int put_fixed(struct peer_reader *r, const uint8_t *key, const uint8_t *value, size_t value_size) {
    struct plain_slot *s = plain_find(r->peer, plain_hash(key, PEER_KEY), key, PEER_KEY);
    s->value_len = (uint16_t)value_size;
    memcpy((uint8_t *)(s + 1) + PEER_KEY, value, value_size);
    return s->tag != 0 ? 0 : -1;
}

PEER_ROW(run_fixed, peer_gets, get_fixed)
PEER_ROW(run_dense, peer_gets, get_dense)
PEER_ROW(run_put, peer_puts, put_fixed)

static uint64_t run_sized(struct peer_reader *r, uint64_t from, uint64_t n) {
    return peer_gets(r, from, n, r->value_size, get_sized);
}

PEER_INLINE uint64_t gets_batch(struct peer_reader *r, uint64_t from, uint64_t n, size_t value_size,
                                peer_get_fn *unused) {
    _Alignas(64) static __thread uint8_t buf[PEER_BATCH][PEER_VALUE_MAX];
    uint64_t hashes[PEER_BATCH];
    uint64_t sum = 0;
    uint8_t *out = &buf[0][0]; /* values beside one another, as a caller would have them */
    (void)unused;
    for (uint64_t i = from; i < from + n; i += PEER_BATCH) {
        for (uint64_t k = 0; k < PEER_BATCH; k++) {
            __builtin_prefetch(peer_key(r, i + k)); /* tide_mget does so, too */
        }
        for (uint64_t k = 0; k < PEER_BATCH; k++) {
            hashes[k] = plain_hash(peer_key(r, i + k), PEER_KEY);
            plain_prefetch(r->peer, hashes[k]);
        }
        for (uint64_t k = 0; k < PEER_BATCH; k++) {
            int got =
                plain_get_hashed(r->peer, hashes[k], peer_key(r, i + k), PEER_KEY, out + k * value_size, value_size);
            r->bad += got < 0;
        }
        PEER_CONSUME(out);
        for (uint64_t k = 0; k < PEER_BATCH; k++) {
            sum += peer_head(out + k * value_size);
        }
    }
    return sum;
}

PEER_ROW(run_batch, gets_batch, NULL)

static int get_one(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    return get_sized(r, key, out, r->value_size);
}

/* Twice the slots at most for a load of 0.5, and a power of two of them. */
static uint64_t table_bytes(const struct peer_case *c) {
    uint64_t slots = 16;
    while (slots < 2 * c->options->keys) {
        slots *= 2;
    }
    return slots * (sizeof(struct plain_slot) + PEER_KEY + c->options->value_size) * (c->cost ? 2 : 1);
}

static void fill(struct peer_case *c, void **peer) {
    const struct bench_workload *w = c->workload;
    uint8_t value[PEER_VALUE_MAX + 8];
    struct tables *t = bench_alloc(1, sizeof(*t));
    *peer = t;
    bench_must_system(plain_create(&t->at_half, w->keys, 0.5, PEER_KEY, (uint32_t)w->value_size) == 0 &&
                          (!c->cost || plain_create(&t->dense, w->keys, 0.75, PEER_KEY, (uint32_t)w->value_size) == 0),
                      "memory for the plain table");
    for (uint64_t i = 0; i < w->keys; i++) {
        const uint8_t *key = bench_workload_key(w, i);
        bench_go_on();
        bench_workload_value(w, i, 0, value);
        if (plain_put(&t->at_half, key, PEER_KEY, value, w->value_size) != 0 ||
            (c->cost && plain_put(&t->dense, key, PEER_KEY, value, w->value_size) != 0)) {
            bench_fail("filling the plain table: it is full at key %llu of %llu", (unsigned long long)i,
                       (unsigned long long)w->keys);
        }
    }
}

static void end(void *peer) {
    struct tables *t = peer;
    plain_destroy(&t->at_half);
    plain_destroy(&t->dense);
    free(t);
}

static uint64_t used(void *peer) {
    const struct plain *t = &((const struct tables *)peer)->at_half;
    return (t->mask + 1) * t->stride;
}

const struct peer peer_plain = {
    .name = "plain",
    .gets = { { "plain", "plain table, sizes compiled in", run_fixed, PEER_CHUNK },
              { "plain_dense", "the same, load up to 0.75", run_dense, PEER_CHUNK, .cost = true },
              { "plain_sized", "plain table, any size", run_sized, PEER_CHUNK },
              { "plain_batch", "plain table, 32 prefetched", run_batch, PEER_CHUNK } },
    .puts = { { "plain", "plain table, sizes compiled in", run_put, PEER_CHUNK } },
    .pairs = 1,
    .bytes = table_bytes,
    .fill = fill,
    .end = end,
    .get = get_one,
    .used = used,
};
