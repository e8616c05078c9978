/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/watch/key_set.h"

#include <stdlib.h>
#include <string.h>

#define KEY_SET_CHUNK_BYTES ((size_t)1 << 20)
#define KEY_SET_LEAST 256u /* slots */

struct key_set_chunk {
    struct key_set_chunk *next;
    size_t used, room;
    uint8_t bytes[];
};

void key_set_free(struct key_set *s) {
    for (struct key_set_chunk *c = s->chunks, *next; c != NULL; c = next) {
        next = c->next;
        free(c);
    }
    free(s->entries);
    free(s->slots);
    memset(s, 0, sizeof(*s));
}

static uint8_t *key_set_bytes(struct key_set *s, size_t bytes) {
    struct key_set_chunk *c = s->chunks;
    if (c == NULL || c->room - c->used < bytes) {
        size_t room = bytes > KEY_SET_CHUNK_BYTES ? bytes : KEY_SET_CHUNK_BYTES;
        c = malloc(sizeof(*c) + room);
        if (c == NULL) {
            return NULL;
        }
        c->next = s->chunks;
        c->used = 0;
        c->room = room;
        s->chunks = c;
    }
    uint8_t *at = c->bytes + c->used;
    c->used += bytes;
    return at;
}

static bool key_set_grow_slots(struct key_set *s) {
    size_t room = s->slots_room == 0 ? KEY_SET_LEAST : s->slots_room * 2;
    uint32_t *slots = room <= UINT32_MAX ? calloc(room, sizeof(*slots)) : NULL;
    if (slots == NULL) {
        return false;
    }
    for (size_t i = 0; i < s->count; i++) {
        size_t at = (size_t)s->entries[i].hash & (room - 1);
        while (slots[at] != 0) {
            at = (at + 1) & (room - 1);
        }
        slots[at] = (uint32_t)i + 1;
    }
    free(s->slots);
    s->slots = slots;
    s->slots_room = room;
    return true;
}

static bool key_set_room(struct key_set *s) {
    if (s->count == s->entries_room) {
        size_t room = s->entries_room == 0 ? KEY_SET_LEAST / 2 : s->entries_room * 2;
        struct key_set_entry *more = realloc(s->entries, room * sizeof(*more));
        if (more == NULL) {
            return false;
        }
        s->entries = more;
        s->entries_room = room;
    }
    return s->count * 2 < s->slots_room || key_set_grow_slots(s);
}

/* The key's entry, or NULL; *at: its slot, or where it belongs. */
static struct key_set_entry *key_set_find(const struct key_set *s, uint64_t hash, const void *key, size_t key_len,
                                          size_t *at) {
    size_t i = (size_t)hash & (s->slots_room - 1);
    for (; s->slots[i] != 0; i = (i + 1) & (s->slots_room - 1)) {
        struct key_set_entry *e = &s->entries[s->slots[i] - 1];
        if (e->hash == hash && e->key_len == key_len && memcmp(e->bytes, key, key_len) == 0) {
            return e;
        }
    }
    *at = i;
    return NULL;
}

/* Key and value of an entry, whose value is `room` bytes or more. */
static bool key_set_store(struct key_set *s, struct key_set_entry *e, const void *key, size_t key_len,
                          const void *value, size_t value_len) {
    if (e->bytes == NULL || value_len > e->room) {
        uint8_t *bytes = key_set_bytes(s, key_len + value_len);
        if (bytes == NULL) {
            return false;
        }
        memcpy(bytes, key, key_len);
        e->bytes = bytes;
        e->room = (uint32_t)value_len;
    }
    if (value_len != 0) {
        memcpy(e->bytes + key_len, value, value_len);
    }
    e->key_len = (uint32_t)key_len;
    e->value_len = (uint32_t)value_len;
    return true;
}

bool key_set_take(struct key_set *s, uint64_t hash, const void *key, size_t key_len, const void *value,
                  size_t value_len, uint64_t version, uint64_t expiry, uint64_t revision) {
    if (!key_set_room(s)) {
        return false;
    }
    size_t at = 0;
    struct key_set_entry *e = key_set_find(s, hash, key, key_len, &at);
    if (e != NULL && e->version >= version) {
        return true;
    }
    bool fresh = e == NULL;
    if (fresh) {
        e = &s->entries[s->count];
        memset(e, 0, sizeof(*e));
        e->hash = hash;
    }
    /* A key that is gone needs its bytes all the same: an older value may come yet. */
    if ((fresh || value != NULL) && !key_set_store(s, e, key, key_len, value, value != NULL ? value_len : 0)) {
        return false;
    }
    e->version = version;
    e->expiry = expiry;
    e->revision = revision;
    e->gone = value == NULL;
    if (fresh) {
        s->count++;
        s->slots[at] = (uint32_t)s->count;
    }
    return true;
}
