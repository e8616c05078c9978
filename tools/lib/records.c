/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/records.h"

#include <stdlib.h>
#include <string.h>

static int records_grow(void **memory, size_t *room, size_t needed, size_t unit) {
    size_t more = *room ? *room : 256, bytes;
    if (needed <= *room) {
        return 0;
    }
    while (more < needed) {
        if (__builtin_mul_overflow(more, 2u, &more)) {
            return -1;
        }
    }
    if (__builtin_mul_overflow(more, unit, &bytes)) {
        return -1;
    }
    void *grown = realloc(*memory, bytes);
    if (!grown) {
        return -1;
    }
    *memory = grown;
    *room = more;
    return 0;
}

static void records_append(struct records *r, const void *bytes, size_t size) {
    if (size > 0) {
        memcpy(r->bytes + r->size, bytes, size);
    }
    r->size += size;
}

int records_add(struct records *r, const void *key, size_t key_size, const void *value, size_t value_size,
                uint64_t version) {
    if (key_size > UINT32_MAX || value_size > UINT32_MAX ||
        records_grow((void **)&r->bytes, &r->room, r->size + key_size + value_size + 1, 1) != 0 ||
        records_grow((void **)&r->list, &r->list_room, r->n + 1, sizeof(*r->list)) != 0) {
        return -1;
    }
    r->list[r->n++] = (struct record){
        .at = r->size, .key_size = (uint32_t)key_size, .value_size = (uint32_t)value_size, .version = version
    };
    records_append(r, key, key_size);
    records_append(r, value, value_size);
    return 0;
}

static int records_compare_bytes(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

int records_compare(const struct records *r, const struct record *a, const struct record *b) {
    return records_compare_bytes(records_key(r, a), a->key_size, records_key(r, b), b->key_size);
}

static int records_compare_here(const void *a, const void *b, void *records) {
    return records_compare(records, a, b);
}

void records_sort(struct records *r) {
    if (r->n > 1) {
        qsort_r(r->list, r->n, sizeof(*r->list), records_compare_here, r);
    }
}

const struct record *records_find(const struct records *r, const void *key, size_t key_size) {
    size_t low = 0, high = r->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct record *x = &r->list[middle];
        int order = records_compare_bytes(records_key(r, x), x->key_size, key, key_size);
        if (order == 0) {
            return x;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

void records_clear(struct records *r) {
    r->size = 0;
    r->n = 0;
}

void records_free(struct records *r) {
    free(r->bytes);
    free(r->list);
    *r = (struct records){ 0 };
}
