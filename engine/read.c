/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public reads. Each enters one section on one replica at one index, and leaves it. */
#include "engine/reader.h"

/*
 * The common case, without a call: the reader's own replica has everything that is committed. commit is loaded before
 * `applied`; whoever wrote before this read began passed a barrier after its commit, so commit is at least that write.
 * On true a section is open.
 */
static inline bool read_home_fresh(const struct tide_reader *r, const struct tide_bound *bound, struct verdict *v) {
    if (__builtin_expect((r->policy != TIDE_STICKY) | (bound->min.incarnation != 0) | (bound->min.index != 0), 0)) {
        return false;
    }
    const struct tide *d = r->domain;
    rcu_enter();
    struct replica *home = reader_replica(d, r->home);
    if (__builtin_expect(home != NULL, 1)) {
        uint64_t commit = board_commit(d->log);
        uint64_t applied = board_applied(home->board);
        if (__builtin_expect(applied >= commit && applied >= r->fence, 1) && board_state(home->board) == REPLICA_SERVING) {
            *v = (struct verdict){
                .replica = home, .id = home->id, .leader = home->leader, .index = applied, .commit = commit};
            return true;
        }
    }
    rcu_exit();
    return false;
}

static int read_begin(struct tide_reader *r, const struct tide_bound *bound, const struct tide_answer *a,
                      struct verdict *v) {
    if (__builtin_expect(r == NULL || r->owner != reader_self() || r->section != NULL, 0)) {
        return r == NULL ? TIDE_ERR_INVALID : TIDE_ERR_THREAD;
    }
    if (__builtin_expect((a != NULL && a->size < sizeof(*a)) || bound->size < sizeof(*bound) ||
                             bound->fallback > TIDE_FALLBACK_STALE,
                         0)) {
        return TIDE_ERR_INVALID;
    }
    return read_home_fresh(r, bound, v) ? 0 : reader_pick(r, bound, v);
}

/* What every read that got nowhere does: it is counted, and the answer says what could have been had. */
static int read_refuse(struct tide_reader *r, int error, const struct verdict *v, struct tide_answer *a) {
    if (error == TIDE_ERR_REFUSED || error == TIDE_ERR_TIMEOUT) {
        reader_count(r, v->id, TIDE_REASON_REFUSED);
        if (a != NULL) {
            reader_answer(v, a, 0, 0);
            a->reason = TIDE_REASON_REFUSED;
            a->linearizable = 0;
        }
    }
    return error;
}

static void read_done(struct tide_reader *r, const struct verdict *v, struct tide_answer *a, uint64_t value_size,
                      uint64_t version) {
    r->fence = v->index > r->fence ? v->index : r->fence;
    reader_count(r, v->id, v->reason);
    if (a != NULL) {
        reader_answer(v, a, value_size, version);
    }
}

static inline void read_copy(void *to, const uint8_t *from, size_t n) {
    if (n == 64) { /* one line, without a call */
        memcpy(to, from, 64);
    } else if (n != 0) { /* nothing may come with no buffer, which memcpy must not be given */
        memcpy(to, from, n);
    }
}

/* Copy a found value. The lengths cannot change while the section is open. */
static inline int read_value(const struct table_node *n, void *buf, size_t buf_size, uint64_t *value_size,
                             uint64_t *version) {
    if (n == NULL) {
        *value_size = 0;
        *version = 0;
        return TIDE_ERR_NOT_FOUND;
    }
    /* MO(node.fields), MO(node.index): relaxed; the node was reached through MO(table.slot). */
    size_t size = atomic_load_explicit(&n->value_len, memory_order_relaxed);
    *value_size = size;
    *version = atomic_load_explicit(&n->index, memory_order_relaxed); /* MO(node.index) */
    if (size > buf_size) {
        return TIDE_ERR_BUFFER;
    }
    size_t key_len = atomic_load_explicit(&n->key_len, memory_order_relaxed); /* MO(node.fields) */
    read_copy(buf, table_node_key(n) + key_len, size);
    return 0;
}

static inline bool read_key_valid(const void *key, size_t key_len) {
    return key != NULL && key_len - 1 < TIDE_KEY_MAX;
}

int tide_get(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound, void *buf,
             size_t buf_size, struct tide_answer *a) {
    struct verdict v;
    bound = bound != NULL ? bound : &reader_default_bound;
    if (!read_key_valid(key, key_len) || (buf == NULL && buf_size != 0)) {
        return TIDE_ERR_INVALID;
    }
    int error = read_begin(r, bound, a, &v);
    if (__builtin_expect(error != 0, 0)) {
        return read_refuse(r, error, &v, a);
    }
    const struct table *t = &v.replica->table;
    uint64_t value_size, version;
    int result = read_value(table_find(t, table_hash(t, key, key_len), key, key_len, v.index), buf, buf_size,
                            &value_size, &version);
    rcu_exit();
    read_done(r, &v, a, value_size, version);
    return result;
}

#define MGET_STRIDE 32u /* keys whose misses are under way at once: more than a core has line buffers for */

/* Look some keys up in three passes, each of which asks memory for what the next one needs. */
static void read_many(const struct table *t, struct tide_mget_item *items, size_t n, uint64_t at) {
    uint64_t hash[MGET_STRIDE];
    const struct table_bucket *bucket[MGET_STRIDE];
    for (size_t i = 0; i < n; i++) {
        bool valid = read_key_valid(items[i].key, items[i].key_len) && (items[i].buf != NULL || items[i].buf_size == 0);
        bucket[i] = NULL;
        if (valid) {
            hash[i] = table_hash(t, items[i].key, items[i].key_len);
            bucket[i] = table_bucket_for(t, hash[i]);
            __builtin_prefetch(bucket[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (bucket[i] == NULL) {
            continue;
        }
        uint64_t lo = atomic_load_explicit(&bucket[i]->tags[0], memory_order_acquire); /* MO(table.tag) */
        uint64_t hi = atomic_load_explicit(&bucket[i]->tags[1], memory_order_acquire); /* MO(table.tag) */
        uint32_t m = table_match(lo, hi, table_tag(hash[i]));
        if (m != 0) {
            /* MO(table.slot): acquire; only to prefetch. */
            uint32_t node = atomic_load_explicit(&bucket[i]->slots[__builtin_ctz(m)], memory_order_acquire);
            const uint8_t *at_node = (const uint8_t *)table_node_at(t, node);
            __builtin_prefetch(at_node);
            __builtin_prefetch(at_node + LAYOUT_LINE);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct tide_mget_item *item = &items[i];
        if (bucket[i] == NULL) {
            item->result = TIDE_ERR_INVALID;
            item->value_size = item->version = 0;
            continue;
        }
        const struct table_node *node = table_chain_find(t, bucket[i], hash[i], item->key, item->key_len);
        item->result = read_value(node != NULL ? table_version(t, node, at) : NULL, item->buf, item->buf_size,
                                  &item->value_size, &item->version);
    }
}

int tide_mget(struct tide_reader *r, struct tide_mget_item *items, size_t n, const struct tide_bound *bound,
              struct tide_answer *a) {
    struct verdict v;
    bound = bound != NULL ? bound : &reader_default_bound;
    if (items == NULL || n == 0) {
        return TIDE_ERR_INVALID;
    }
    int error = read_begin(r, bound, a, &v);
    if (error != 0) {
        return read_refuse(r, error, &v, a);
    }
    for (size_t i = 0; i < n; i += MGET_STRIDE) {
        read_many(&v.replica->table, items + i, n - i < MGET_STRIDE ? n - i : MGET_STRIDE, v.index);
    }
    rcu_exit();
    read_done(r, &v, a, 0, 0);
    return 0;
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

int tide_section_begin(struct tide_reader *r, const struct tide_bound *bound, struct tide_answer *a) {
    struct verdict v;
    int error = read_begin(r, bound != NULL ? bound : &reader_default_bound, a, &v);
    if (error != 0) {
        return read_refuse(r, error, &v, a);
    }
    r->section = v.replica;
    r->section_index = v.index;
    read_done(r, &v, a, 0, 0);
    return 0;
}

int tide_section_end(struct tide_reader *r) {
    int error = reader_check(r);
    if (error != 0 || r->section == NULL) {
        return error != 0 ? error : TIDE_ERR_THREAD;
    }
    r->section = NULL;
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

int tide_section_get(struct tide_reader *r, const void *key, size_t key_len, void *buf, size_t buf_size,
                     size_t *value_size, uint64_t *version) {
    const struct table_node *n;
    uint64_t size, made;
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

int tide_section_scan(struct tide_reader *r, tide_scan_fn *fn, void *ctx) {
    int error = reader_check(r);
    if (error != 0 || r->section == NULL || fn == NULL) {
        return error != 0 ? error : fn == NULL ? TIDE_ERR_INVALID : TIDE_ERR_THREAD;
    }
    const struct table *t = &r->section->table;
    struct read_scan scan = {fn, ctx};
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
