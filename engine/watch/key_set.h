/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys with their newest values, in private memory: what a watch tells first. Of two writes of a key the one with the higher index counts,
 * in whatever order they come. One thread. */
#ifndef TIDE_WATCH_KEY_SET_H
#define TIDE_WATCH_KEY_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct key_set_entry {
    uint64_t hash;
    uint64_t version;  /* index of the write */
    uint64_t expiry;   /* UINT64_MAX: it does not expire */
    uint64_t revision; /* version at the source; 0: there is none */
    uint8_t *bytes;    /* key, value */
    uint32_t key_len, value_len;
    uint32_t room; /* bytes that the value may grow to in place */
    bool gone;     /* removed at `version` */
};

struct key_set {
    struct key_set_entry *entries;
    size_t count, entries_room;
    uint32_t *slots; /* number of the entry + 1; 0: empty */
    size_t slots_room;
    struct key_set_chunk *chunks;
};

/* Zero-initialise. */
void key_set_free(struct key_set *s);

/* A write at `version`: a value, or with `value` NULL the key's removal. `hash`: of the key, the same for each. False: no memory. */
bool key_set_take(struct key_set *s, uint64_t hash, const void *key, size_t key_len, const void *value,
                  size_t value_len, uint64_t version, uint64_t expiry, uint64_t revision);

#endif
