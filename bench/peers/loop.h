/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loops that all rows are made of. A loop is inlined into its row together with the peer's get or put, and where
 * the peer knows the value's size when it is compiled, the copy is a few vector moves.
 */
#ifndef TIDE_PEERS_LOOP_H
#define TIDE_PEERS_LOOP_H

#include <string.h>

#include "bench/peers/peer.h"

#define PEER_INLINE __attribute__((always_inline)) static inline

/* Tells the compiler that the bytes are read; otherwise it could leave out the copy. */
#define PEER_CONSUME(buf) __asm__ volatile("" : : "r"(buf) : "memory")

PEER_INLINE const uint8_t *peer_key(const struct peer_reader *r, uint64_t i) {
    return r->workload->key_bytes + (uint64_t)r->sequence[i & r->mask] * PEER_KEY;
}

PEER_INLINE uint64_t peer_head(const void *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

typedef int peer_get_fn(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size);
typedef int peer_put_fn(struct peer_reader *r, const uint8_t *key, const uint8_t *value, size_t value_size);

PEER_INLINE uint64_t peer_gets(struct peer_reader *r, uint64_t from, uint64_t n, size_t value_size, peer_get_fn *get) {
    _Alignas(64) uint8_t buf[PEER_VALUE_MAX];
    uint64_t sum = 0, bad = 0;
    for (uint64_t i = from; i < from + n; i++) {
        bad += get(r, peer_key(r, i), buf, value_size) != 0;
        PEER_CONSUME(buf);
        sum += peer_head(buf);
    }
    r->bad += bad;
    return sum;
}

PEER_INLINE uint64_t peer_puts(struct peer_reader *r, uint64_t from, uint64_t n, size_t value_size, peer_put_fn *put) {
    uint64_t bad = 0;
    for (uint64_t i = from; i < from + n; i++) {
        memcpy(r->value, &i, sizeof(i));
        bad += put(r, peer_key(r, i), r->value, value_size) != 0;
    }
    r->bad += bad;
    return 0;
}

/* A row of gets or puts whose peer may know the sizes that are measured by default. */
#define PEER_ROW(name, loop, one)                                                                                      \
    static uint64_t name(struct peer_reader *r, uint64_t from, uint64_t n) {                                           \
        if (r->value_size == 64) {                                                                                     \
            return loop(r, from, n, 64, one);                                                                          \
        }                                                                                                              \
        if (r->value_size == 1024) {                                                                                   \
            return loop(r, from, n, 1024, one);                                                                        \
        }                                                                                                              \
        return loop(r, from, n, r->value_size, one);                                                                   \
    }

#endif
