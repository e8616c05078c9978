/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys with their values, in memory: what a scan found, or what a snapshot file holds. One thread. */
#ifndef TIDE_TOOLS_RECORDS_H
#define TIDE_TOOLS_RECORDS_H

#include <stddef.h>
#include <stdint.h>

struct record {
    uint64_t at; /* the key's place in `bytes`; the value stands behind it */
    uint32_t key_size;
    uint32_t value_size;
    uint64_t version;
    uint64_t expires_unix_ns; /* by the wall clock; 0: never */
    uint64_t ttl_ns;          /* of a scan: what is left of its life; TIDE_TTL_NONE: it does not expire */
    uint32_t flags;           /* enum tide_write_flags */
};

/* Zero-initialise. */
struct records {
    uint8_t *bytes;
    size_t size, room;
    struct record *list;
    size_t n, list_room;
};

/* Append copies; the record never expires and has no flags, until the caller says so. 0, or -1 when memory ran out; nothing was added then. */
int records_add(struct records *r, const void *key, size_t key_size, const void *value, size_t value_size,
                uint64_t version);

/* Order of two keys, by their bytes: below, at, or above 0. */
int records_compare(const struct records *r, const struct record *a, const struct record *b);

/* Order by the keys' bytes. */
void records_sort(struct records *r);

/* Where the key is in sorted records, or NULL. */
const struct record *records_find(const struct records *r, const void *key, size_t key_size);

static inline const uint8_t *records_key(const struct records *r, const struct record *x) {
    return r->bytes + x->at;
}

static inline const uint8_t *records_value(const struct records *r, const struct record *x) {
    return r->bytes + x->at + x->key_size;
}

/* Forget what is there, keep the memory; let it go. */
void records_clear(struct records *r);
void records_free(struct records *r);

#endif
