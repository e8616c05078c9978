/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a get is compared with: an open-addressing table for one thread, nothing synchronised. Linear probing, a power
 * of two of slots, XXH3, a 32-bit tag in front of each slot, key and value inline, huge pages where the system gives
 * them.
 *
 * Fast on purpose: a slow peer would flatter what is compared with it. The load matters most: where a probe's length
 * cannot be foreseen, the branch predictor cannot either, and at a load of 0.6 a get takes up to twice as long as at
 * 0.3.
 */
#ifndef TIDE_BENCH_PLAIN_H
#define TIDE_BENCH_PLAIN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

struct plain_slot {
    uint32_t tag; /* 0: empty */
    uint16_t key_len;
    uint16_t value_len;
    /* key, then value */
};

struct plain {
    uint8_t *slots;
    size_t stride;
    uint64_t mask;
    uint32_t key_max;
    uint64_t used;
    size_t mapped_bytes;
};

/* A table for `keys` keys of at most key_max bytes with values of at most value_max (both below 65,536), with the least
 * power of two of slots that keeps the load at or below load_max (over 0, below 1). 0, or -1: no memory. */
int plain_create(struct plain *t, uint64_t keys, double load_max, uint32_t key_max, uint32_t value_max);
void plain_destroy(struct plain *t);

/* Insert or overwrite. 0, or -1: too long, or full. */
int plain_put(struct plain *t, const void *key, size_t key_len, const void *value, size_t value_len);

static inline uint64_t plain_hash(const void *key, size_t key_len) {
    return XXH3_64bits(key, key_len);
}

static inline uint32_t plain_tag(uint64_t hash) {
    return (uint32_t)(hash >> 32) | 1u;
}

static inline struct plain_slot *plain_slot_at(const struct plain *t, uint64_t i) {
    return (struct plain_slot *)(t->slots + (i & t->mask) * t->stride);
}

static inline void plain_prefetch(const struct plain *t, uint64_t hash) {
    const char *slot = (const char *)plain_slot_at(t, hash);
    __builtin_prefetch(slot);
    __builtin_prefetch(slot + 64);
}

/* The slot of a key, or the empty one where it would go. Inlined with a constant key_len, the compare becomes two
 * loads. */
__attribute__((always_inline)) static inline struct plain_slot *plain_find(const struct plain *t, uint64_t hash,
                                                                           const void *key, size_t key_len) {
    uint32_t tag = plain_tag(hash);
    for (uint64_t i = hash;; i++) {
        struct plain_slot *s = plain_slot_at(t, i);
        if (s->tag == 0 || (s->tag == tag && s->key_len == key_len && memcmp(s + 1, key, key_len) == 0)) {
            return s;
        }
    }
}

/* Copy the value out. Its length, or -1: not there, or the buffer is too small. */
__attribute__((always_inline)) static inline int plain_get_hashed(const struct plain *t, uint64_t hash, const void *key,
                                                                  size_t key_len, void *out, size_t out_size) {
    const struct plain_slot *s = plain_find(t, hash, key, key_len);
    if (s->tag == 0 || s->value_len > out_size) {
        return -1;
    }
    memcpy(out, (const uint8_t *)(s + 1) + key_len, s->value_len);
    return s->value_len;
}

/* The same for lengths that the compiler knows, and that all keys and values have: no tag is compared, since a short
 * key is compared as quickly, and the copy becomes a few vector moves. */
__attribute__((always_inline)) static inline int plain_get_fixed(const struct plain *t, const void *key, size_t key_len,
                                                                 void *out, size_t value_len) {
    for (uint64_t i = plain_hash(key, key_len);; i++) {
        const struct plain_slot *s = plain_slot_at(t, i);
        if (memcmp(s + 1, key, key_len) == 0) {
            memcpy(out, (const uint8_t *)(s + 1) + key_len, value_len);
            return s->tag != 0 ? (int)value_len : -1;
        }
        if (s->tag == 0) {
            return -1;
        }
    }
}

#endif
