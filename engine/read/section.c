/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sections: many reads of one replica at one index. Scans. */
#include <stdlib.h>

#include "engine/table/cancel.h"
#include "engine/replica/foreign.h"
#include "engine/replica/visit.h"
#include "engine/table/kill.h"
#include "engine/read/read.h"
#include "shm/crc.h"

#define SECTION_TRIES 200u

/*
 * Choose the section's instant, as if something had expired by it: that is found out later. False: something was committed since the index
 * was loaded, or the leader is deciding; try again. After so many tries the section takes a later index with the last try's instant, and
 * says LOST where a key is met that may be there or not.
 */
static bool section_settles(const struct tide_reader *r, const struct verdict *v, uint32_t tries,
                            struct instant *when) {
    when->clock = &r->log->clock;
    when->latest = UINT64_MAX;
    bool last = v->staleness_ns == 0 && tries > SECTION_TRIES && when->now != 0;
    if (last) {
        when->early = true;
        when->until = clock_now(when->clock);
    } else {
        when->now = clock_now(when->clock);
        if (v->staleness_ns == 0 && !read_is_settled(r, v->index, when)) {
            when->doubt = read_undecided(r, when);
            return false;
        }
        when->doubt = 0;
    }
    when->latest = 0;
    return true;
}

/* Has a lookup met a version that may be there or not? */
static inline bool section_is_lost(const struct tide_reader *r) {
    const struct instant *when = &r->section_when;
    return __builtin_expect(when->unclear || (when->doubt != 0 && when->latest > when->doubt), 0);
}

int tide_section_begin(struct tide_reader *r, const struct tide_bound *bound, struct tide_answer *a) {
    struct verdict v;
    struct tide_bound room;
    bound = read_bound(bound, &room);
    int error = read_begin(r, bound, a, &v);
    struct instant when = { 0 };
    bool again = true;
    for (uint32_t tries = 0; error == 0 && again; tries++) {
        /* load the epoch before the index, or a miss could not be believed */
        r->section_epoch = v.replica->foreign ? foreign_epoch(&v.replica->table) : 0;
        bool moved = v.replica->foreign && !read_newer(&v);
        again = moved || !section_settles(r, &v, tries, &when);
        error = again ? read_elsewhere(r, bound, &v, READ_MOVED) : 0;
    }
    if (error != 0) {
        return read_refuse(r, error, &v, a);
    }
    KILL_POINT("read.section");
    r->section = v.replica;
    r->section_index = v.index;
    r->section_when = when;
    reader_settle(r);
    const struct found none = { 0 };
    read_done(r, &v, a, &none, &when);
    reader_count_keys(r, 0);
    return 0;
}

int tide_section_end(struct tide_reader *r) {
    int error = reader_check(r);
    if (error != 0 || r->section == NULL) {
        return error != 0 ? error : TIDE_ERR_THREAD;
    }
    r->section = NULL;
    reader_settle(r);
    rcu_exit();
    return 0;
}

static int section_read(const struct tide_reader *r, const void *key, size_t key_len, const struct table_node **n) {
    int error = reader_check(r);
    if (error != 0 || r->section == NULL) {
        return error != 0 ? error : TIDE_ERR_THREAD;
    }
    if (!read_key_valid(key, key_len)) {
        return TIDE_ERR_INVALID;
    }
    const struct table *t = &r->section->table;
    *n = table_find(t, table_hash(t, key, key_len), key, key_len, r->section_index);
    return 0;
}

static int section_look_foreign(struct tide_reader *r, const void *key, size_t key_len, void *buf, size_t buf_size,
                                struct found *found) {
    if (!read_key_valid(key, key_len) || (buf == NULL && buf_size != 0)) {
        return TIDE_ERR_INVALID;
    }
    uint64_t hash = table_hash(&r->section->table, key, key_len);
    enum foreign_status status = foreign_find(r->section, r->section_epoch, r->section_index, &r->section_when, hash,
                                              key, key_len, buf, buf_size, found);
    if (status == FOREIGN_LOST || status == FOREIGN_STUCK || section_is_lost(r)) {
        return TIDE_ERR_LOST;
    }
    if (status == FOREIGN_NONE || status == FOREIGN_EXPIRED) {
        return TIDE_ERR_NOT_FOUND;
    }
    reader_touch(r, hash);
    return status == FOREIGN_SMALL ? TIDE_ERR_BUFFER : 0;
}

/* Copy a key's value at the section's index. *found is filled where this returns 0 or BUFFER. */
static int section_look(struct tide_reader *r, const void *key, size_t key_len, void *buf, size_t buf_size,
                        struct found *found) {
    const struct table_node *n;
    if (reader_check(r) == 0 && r->section != NULL && r->section->foreign) {
        return section_look_foreign(r, key, key_len, buf, buf_size, found);
    }
    int error = buf == NULL && buf_size != 0 ? TIDE_ERR_INVALID : section_read(r, key, key_len, &n);
    if (error != 0) {
        return error;
    }
    error = read_value(&r->section->table, n, &r->section_when, buf, buf_size, found);
    if (error == READ_STUCK) {
        return read_damaged(r->section, TIDE_ERR_LOST);
    }
    if (section_is_lost(r)) {
        return TIDE_ERR_LOST;
    }
    if (error == READ_EXPIRED) {
        return TIDE_ERR_NOT_FOUND;
    }
    if (error != TIDE_ERR_NOT_FOUND && r->noted != NULL) {
        reader_touch(r, table_hash(&r->section->table, key, key_len));
    }
    return error;
}

static inline void section_tell(const struct found *f, size_t *value_size, uint64_t *version) {
    if (value_size != NULL) {
        *value_size = f->size;
    }
    if (version != NULL) {
        *version = f->version;
    }
}

static __attribute__((noinline)) int section_get(struct tide_reader *r, const void *key, size_t key_len, void *buf,
                                                 size_t buf_size, size_t *value_size, uint64_t *version) {
    struct found found = { 0 };
    int result = section_look(r, key, key_len, buf, buf_size, &found);
    if (result == 0 || result == TIDE_ERR_BUFFER) {
        section_tell(&found, value_size, version);
    }
    reader_count_in_section(r, result);
    return result;
}

/* The common case, without a call: the first candidate is the key, and its value never expires. False says nothing. */
static inline bool section_hit(struct tide_reader *r, const void *key, size_t key_len, void *buf, size_t buf_size,
                               struct found *f) {
    if (__builtin_expect(reader_check(r) != 0 || r->section == NULL || r->section->foreign || section_is_lost(r) ||
                             !read_key_valid(key, key_len) || buf == NULL,
                         0)) {
        return false;
    }
    const struct table *t = &r->section->table;
    uint64_t hash = XXH3_64bits_withSeed(key, key_len, r->hash_seed);
    const struct table_bucket *b = table_bucket_for(t, hash);
    uint32_t match = table_match_bucket(b, hash), node = match != 0 ? table_first(b, match) : 0;
    if (__builtin_expect(!table_node_fits(t, node, READ_HIT_BYTES) ||
                             !read_hit(t, table_node_at(t, node), key, key_len, buf, buf_size, r->section_index, f),
                         0)) {
        return false;
    }
    reader_touch(r, hash);
    return true;
}

__attribute__((flatten)) /* the hash, too */
int tide_section_get(struct tide_reader *r, const void *key, size_t key_len, void *buf, size_t buf_size,
                     size_t *value_size, uint64_t *version) {
    struct found f;
    __builtin_prefetch(key); /* as tide_get() */
    if (__builtin_expect(!section_hit(r, key, key_len, buf, buf_size, &f), 0)) {
        return section_get(r, key, key_len, buf, buf_size, value_size, version);
    }
    section_tell(&f, value_size, version);
    reader_count_in_section(r, 0);
    return 0;
}

int tide_section_ttl(struct tide_reader *r, const void *key, size_t key_len, uint64_t *ttl_ns) {
    struct found found = { 0 };
    if (ttl_ns == NULL) {
        return TIDE_ERR_INVALID;
    }
    int error = section_look(r, key, key_len, NULL, 0, &found);
    if (error != 0 && error != TIDE_ERR_BUFFER) {
        return error;
    }
    *ttl_ns = instant_left(&r->section_when, found.expiry);
    return 0;
}

static int section_peek(struct tide_reader *r, const void *key, size_t key_len, const void **value, size_t *value_size,
                        uint64_t *version) {
    const struct table_node *n;
    if (reader_check(r) == 0 && r->section != NULL && r->section->foreign) {
        return TIDE_ERR_NOT_LOCAL;
    }
    int error = value == NULL || value_size == NULL ? TIDE_ERR_INVALID : section_read(r, key, key_len, &n);
    if (error != 0) {
        return error;
    }
    struct table_lengths len;
    if (n == NULL && !table_is_damaged(&r->section->table)) {
        return TIDE_ERR_NOT_FOUND;
    }
    if (n == NULL || !table_lengths_of(&r->section->table, n, &len)) {
        return read_damaged(r->section, TIDE_ERR_LOST);
    }
    bool expired = instant_expired(&r->section_when, table_node_expiry(n, &len));
    if (expired || section_is_lost(r)) {
        return section_is_lost(r) ? TIDE_ERR_LOST : TIDE_ERR_NOT_FOUND;
    }
    if (r->noted != NULL) {
        reader_touch(r, table_hash(&r->section->table, key, key_len));
    }
    *value = table_node_key(n) + key_len;
    *value_size = len.value;
    if (version != NULL) {
        *version =
            table_node_version(n, &len, atomic_load_explicit(&n->index, memory_order_relaxed)); /* MO(node.index) */
    }
    return 0;
}

int tide_section_peek(struct tide_reader *r, const void *key, size_t key_len, const void **value, size_t *value_size,
                      uint64_t *version) {
    int result = section_peek(r, key, key_len, value, value_size, version);
    reader_count_in_section(r, result);
    return result;
}

struct section_scan {
    const struct view *v;
    uint64_t bucket, buckets;
    struct instant *when;
    tide_entry_fn *fn;
    void *ctx;
};

static int section_scan_node(void *ctx, const struct visited *n) {
    const struct section_scan *scan = ctx;
    const struct view *v = scan->v;
    if (v->foreign && table_bucket_of(table_hash(&v->table, n->key, n->key_len), scan->buckets) != scan->bucket) {
        return 0; /* a split moved it: it is visited there */
    }
    if (instant_expired(scan->when, n->expiry)) {
        return 0;
    }
    bool damaged = crc32c_short(0, n->key, n->payload_bytes) != n->payload_crc;
    const struct tide_entry entry = {
        .size = sizeof(entry),
        .key = n->key,
        .key_len = n->key_len,
        .value = n->value,
        .value_size = n->value_len,
        .version = n->version,
        .ttl_ns = instant_left(scan->when, n->expiry),
        .flags = ((n->flags & NODE_KEEP) != 0 ? TIDE_KEEP : 0) | (damaged ? TIDE_DAMAGED : 0),
    };
    return scan->fn(scan->ctx, &entry);
}

/* A scan of another process's replica is complete only if no slots were cleared and no version was reused meanwhile. */
static int section_scanned(const struct tide_reader *r, int result) {
    bool quiet = foreign_quiet(&r->section->table, r->section_epoch);
    return result == TIDE_ERR_CORRUPT || (result == 0 && !quiet) ? TIDE_ERR_LOST : result;
}

/* A scan of a replica of this process is complete unless its table is damaged by now. */
static int section_scanned_own(const struct tide_reader *r, int result) {
    bool damaged = result == TIDE_ERR_CORRUPT || (result == 0 && table_is_damaged(&r->section->table));
    return damaged ? read_damaged(r->section, TIDE_ERR_LOST) : result;
}

int tide_section_visit(struct tide_reader *r, tide_entry_fn *fn, void *ctx) {
    CANCEL_HOLD_OFF();
    int error = reader_check(r);
    if (error != 0 || r->section == NULL || fn == NULL) {
        return error != 0 ? error : fn == NULL ? TIDE_ERR_INVALID : TIDE_ERR_THREAD;
    }
    struct foreign_scratch scratch = { .epoch = r->section_epoch };
    /* One number for the whole scan: what is split meanwhile stays where it was as well, until this section has ended. */
    struct section_scan scan = { r->section, 0, foreign_buckets(r->section), &r->section_when, fn, ctx };
    int result = scan.buckets == 0 ? TIDE_ERR_CORRUPT : 0;
    for (; scan.bucket < scan.buckets && result == 0; scan.bucket++) {
        result = visit_bucket(scan.v, scan.bucket, scan.buckets, r->section_index, &scratch, section_scan_node, &scan);
    }
    free(scratch.bytes);
    if (result == 0 && section_is_lost(r)) {
        return TIDE_ERR_LOST;
    }
    return scan.v->foreign ? section_scanned(r, result) : section_scanned_own(r, result);
}

struct section_plain {
    tide_scan_fn *fn;
    void *ctx;
};

static int section_scan_entry(void *ctx, const struct tide_entry *e) {
    const struct section_plain *plain = ctx;
    return plain->fn(plain->ctx, e->key, e->key_len, e->value, e->value_size, e->version);
}

int tide_section_scan(struct tide_reader *r, tide_scan_fn *fn, void *ctx) {
    struct section_plain plain = { fn, ctx };
    return tide_section_visit(r, fn != NULL ? section_scan_entry : NULL, &plain);
}
