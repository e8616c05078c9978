/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/plain.h"

#include <sys/mman.h>

#define HUGE_PAGE ((size_t)2 << 20)

static uint64_t slots_for(uint64_t keys, double load_max) {
    uint64_t slots = 16;
    while ((double)keys > load_max * (double)slots) {
        slots *= 2;
    }
    return slots;
}

int plain_create(struct plain *t, uint64_t keys, double load_max, uint32_t key_max, uint32_t value_max) {
    memset(t, 0, sizeof(*t));
    if (key_max > UINT16_MAX || value_max > UINT16_MAX || !(load_max > 0.0 && load_max < 1.0)) {
        return -1;
    }
    uint64_t slots = slots_for(keys, load_max);
    t->stride = (sizeof(struct plain_slot) + key_max + value_max + 7) & ~(size_t)7;
    t->mask = slots - 1;
    t->key_max = key_max;
    t->mapped_bytes = (slots * t->stride + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);
    void *memory = mmap(NULL, t->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return -1;
    }
    madvise(memory, t->mapped_bytes, MADV_HUGEPAGE);
    t->slots = memory;
    return 0;
}

void plain_destroy(struct plain *t) {
    if (t->slots != NULL) {
        munmap(t->slots, t->mapped_bytes);
    }
    memset(t, 0, sizeof(*t));
}

int plain_put(struct plain *t, const void *key, size_t key_len, const void *value, size_t value_len) {
    if (key_len > t->key_max || sizeof(struct plain_slot) + key_len + value_len > t->stride) {
        return -1;
    }
    uint64_t hash = plain_hash(key, key_len);
    struct plain_slot *s = plain_find(t, hash, key, key_len);
    if (s->tag == 0) {
        /* One slot stays empty, or a search for a key that is not there would never end. */
        if (t->used == t->mask) {
            return -1;
        }
        t->used++;
        s->tag = plain_tag(hash);
        s->key_len = (uint16_t)key_len;
        memcpy(s + 1, key, key_len);
    }
    s->value_len = (uint16_t)value_len;
    memcpy((uint8_t *)(s + 1) + key_len, value, value_len);
    return 0;
}
