/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sections: many reads of one replica at one index, and scans. */
#include <stdlib.h>

#include "engine/replica/foreign.h"
#include "engine/table/kill.h"
#include "engine/read/read.h"

int tide_section_begin(struct tide_reader *r, const struct tide_bound *bound, struct tide_answer *a) {
    struct verdict v;
    bound = bound != NULL ? bound : &reader_default_bound;
    int error = read_begin(r, bound, a, &v);
    bool moved = true;
    while (error == 0 && moved) {
        /* the epoch before the index, or a miss could not be believed */
        r->section_epoch = v.replica->foreign ? foreign_epoch(&v.replica->table) : 0;
        moved = v.replica->foreign && !read_newer(&v);
        error = moved ? read_elsewhere(r, bound, &v, READ_MOVED) : 0;
    }
    if (error != 0) {
        return read_refuse(r, error, &v, a);
    }
    KILL_POINT("read.section");
    r->section = v.replica;
    r->section_index = v.index;
    reader_settle(r);
    read_done(r, &v, a, 0, 0);
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

static int read_in_section(const struct tide_reader *r, const void *key, size_t key_len, const struct table_node **n) {
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

static int read_section_foreign(const struct tide_reader *r, const void *key, size_t key_len, void *buf,
                                size_t buf_size, size_t *value_size, uint64_t *version) {
    if (!read_key_valid(key, key_len) || (buf == NULL && buf_size != 0)) {
        return TIDE_ERR_INVALID;
    }
    struct foreign_value value = { 0 };
    uint64_t hash = table_hash(&r->section->table, key, key_len);
    enum foreign_status status =
        foreign_find(r->section, r->section_epoch, r->section_index, hash, key, key_len, buf, buf_size, &value);
    if (status == FOREIGN_LOST || status == FOREIGN_STUCK) {
        return TIDE_ERR_LOST;
    }
    if (status == FOREIGN_NONE) {
        return TIDE_ERR_NOT_FOUND;
    }
    if (value_size != NULL) {
        *value_size = value.size;
    }
    if (version != NULL) {
        *version = value.version;
    }
    return status == FOREIGN_SMALL ? TIDE_ERR_BUFFER : 0;
}

int tide_section_get(struct tide_reader *r, const void *key, size_t key_len, void *buf, size_t buf_size,
                     size_t *value_size, uint64_t *version) {
    const struct table_node *n;
    uint64_t size, made;
    if (reader_check(r) == 0 && r->section != NULL && r->section->foreign) {
        return read_section_foreign(r, key, key_len, buf, buf_size, value_size, version);
    }
    int error = buf == NULL && buf_size != 0 ? TIDE_ERR_INVALID : read_in_section(r, key, key_len, &n);
    if (error != 0) {
        return error;
    }
    error = read_value(n, buf, buf_size, &size, &made);
    if (error != TIDE_ERR_NOT_FOUND) {
        if (value_size != NULL) {
            *value_size = size;
        }
        if (version != NULL) {
            *version = made;
        }
    }
    return error;
}

int tide_section_peek(struct tide_reader *r, const void *key, size_t key_len, const void **value, size_t *value_size,
                      uint64_t *version) {
    const struct table_node *n;
    if (reader_check(r) == 0 && r->section != NULL && r->section->foreign) {
        return TIDE_ERR_NOT_LOCAL;
    }
    int error = value == NULL || value_size == NULL ? TIDE_ERR_INVALID : read_in_section(r, key, key_len, &n);
    if (error != 0) {
        return error;
    }
    if (n == NULL) {
        return TIDE_ERR_NOT_FOUND;
    }
    /* MO(node.fields), MO(node.index): relaxed; as in read_value(). */
    *value = table_node_key(n) + atomic_load_explicit(&n->key_len, memory_order_relaxed);
    *value_size = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    if (version != NULL) {
        *version = atomic_load_explicit(&n->index, memory_order_relaxed); /* MO(node.index) */
    }
    return 0;
}

struct read_scan {
    tide_scan_fn *fn;
    void *ctx;
};

static int read_scan_node(void *ctx, const struct table_node *n) {
    const struct read_scan *scan = ctx;
    /* MO(node.fields), MO(node.index): relaxed; as in read_value(). */
    size_t key_len = atomic_load_explicit(&n->key_len, memory_order_relaxed);
    size_t size = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    const uint8_t *key = table_node_key(n);
    uint64_t index = atomic_load_explicit(&n->index, memory_order_relaxed); /* MO(node.index) */
    return scan->fn(scan->ctx, key, key_len, key + key_len, size, index);
}

struct read_scan_foreign {
    const struct read_scan *scan;
    const struct table *t;
    uint64_t bucket, buckets;
};

static int read_scan_copy(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len,
                          uint64_t index, uint32_t payload_crc) {
    const struct read_scan_foreign *f = ctx;
    (void)payload_crc;
    if (table_bucket_of(table_hash(f->t, key, key_len), f->buckets) != f->bucket) {
        return 0; /* a split moved it: it is visited there */
    }
    return f->scan->fn(f->scan->ctx, key, key_len, value, value_len, index);
}

/* A copy of each bucket at the section's index. If slots were cleared or a version was reused, it is LOST. */
static int read_scan_foreign(const struct tide_reader *r, const struct read_scan *scan) {
    const struct table *t = &r->section->table;
    struct foreign_scratch scratch = { .epoch = r->section_epoch };
    uint64_t buckets = foreign_buckets(r->section);
    struct read_scan_foreign f = { scan, t, 0, buckets };
    int result = buckets == 0 ? TIDE_ERR_CORRUPT : 0;
    for (; f.bucket < buckets && result == 0; f.bucket++) {
        result = foreign_visit_bucket(r->section, f.bucket, r->section_index, &scratch, read_scan_copy, &f);
    }
    free(scratch.bytes);
    bool quiet = foreign_quiet(t, r->section_epoch);
    return result == 0 && !quiet ? TIDE_ERR_LOST : result == TIDE_ERR_CORRUPT ? TIDE_ERR_LOST : result;
}

int tide_section_scan(struct tide_reader *r, tide_scan_fn *fn, void *ctx) {
    int error = reader_check(r);
    if (error != 0 || r->section == NULL || fn == NULL) {
        return error != 0 ? error : fn == NULL ? TIDE_ERR_INVALID : TIDE_ERR_THREAD;
    }
    const struct table *t = &r->section->table;
    struct read_scan scan = { fn, ctx };
    if (r->section->foreign) {
        return read_scan_foreign(r, &scan);
    }
    /* MO(table.buckets): acquire; one number for the whole scan: what is split meanwhile stays where it was as well,
     * until this section has ended. */
    uint64_t buckets = atomic_load_explicit(&t->seg->buckets, memory_order_acquire);
    for (uint64_t b = 0; b < buckets; b++) {
        int result = table_visit_bucket(t, b, buckets, r->section_index, read_scan_node, &scan);
        if (result != 0) {
            return result;
        }
    }
    return 0;
}
