/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The public reads. Each enters one section on one replica at one index, and leaves it. */
#include <stdlib.h>

#include "engine/foreign.h"
#include "engine/kill.h"
#include "engine/reader.h"
#include "shm/park.h"

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
        if (__builtin_expect(applied >= commit && applied >= r->fence, 1) &&
            board_state(home->board) == REPLICA_SERVING && (!home->foreign || foreign_is_current(home))) {
            *v = (struct verdict){
                .replica = home, .id = home->id, .leader = reader_leads(home), .index = applied, .commit = commit};
            return true;
        }
    }
    rcu_exit();
    return false;
}

static int read_begin(struct tide_reader *r, const struct tide_bound *bound, const struct tide_answer *a,
                      struct verdict *v) {
    if (__builtin_expect(r == NULL || r->owner != reader_self() || r->section != NULL, 0)) {
        int error = reader_check(r); /* a forked child's first */
        return error != 0 ? error : TIDE_ERR_THREAD;
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

/* Tries at a value that changes under us, each at a newer index. A writer that is stopped in the middle of clearing slots
 * never lets a miss be believed: then another replica has to serve. */
#define READ_FOREIGN_TRIES 1000

/* A newer index of another process's replica. False when the slot has another table by now, or another owner who starts from 0:
 * what its board says is not about the table that is mapped here. */
static bool read_newer(struct verdict *v) {
    uint64_t index = board_applied(v->replica->board);
    if (index < v->index || !foreign_is_current(v->replica)) { /* in this order: a new table is announced before its index */
        return false;
    }
    v->index = index;
    return true;
}

/* Look up in another process's replica, at v->index or a later one, which v then has. READ_STUCK: not there; READ_MOVED: the
 * replica has gone meanwhile. */
#define READ_STUCK 1
#define READ_MOVED 2
static int read_foreign(struct verdict *v, uint64_t hash, const void *key, size_t key_len, void *buf, size_t buf_size,
                        struct foreign_value *out) {
    const struct replica *replica = v->replica;
    for (int tries = 0; tries < READ_FOREIGN_TRIES; tries++) {
        uint64_t epoch = foreign_epoch(&replica->table);
        if (!read_newer(v)) {
            return READ_MOVED;
        }
        switch (foreign_find(replica, epoch, v->index, hash, key, key_len, buf, buf_size, out)) {
        case FOREIGN_OK:
            return 0;
        case FOREIGN_NONE:
            return TIDE_ERR_NOT_FOUND;
        case FOREIGN_SMALL:
            return TIDE_ERR_BUFFER;
        case FOREIGN_LOST:
        case FOREIGN_LATER:
            park_relax();
            break;
        case FOREIGN_STUCK:
            return READ_STUCK;
        }
    }
    return READ_STUCK;
}

/* The replica that was picked is stuck: leave it out and pick again; or it moved: pick again. 0: a section is open. */
static int read_elsewhere(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, int why) {
    rcu_exit();
    r->avoid |= why == READ_STUCK ? UINT64_C(1) << v->id : 0;
    return reader_pick(r, bound, v);
}

static int read_get_foreign(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, const void *key,
                            size_t key_len, void *buf, size_t buf_size, struct tide_answer *a) {
    struct foreign_value value = {0};
    int result = READ_STUCK;
    for (;;) {
        const struct table *t = &v->replica->table;
        uint64_t hash = table_hash(t, key, key_len);
        if (!v->replica->foreign) { /* after others were stuck */
            result = read_value(table_find(t, hash, key, key_len, v->index), buf, buf_size, &value.size, &value.version);
        } else {
            result = read_foreign(v, hash, key, key_len, buf, buf_size, &value);
        }
        if (result != READ_STUCK && result != READ_MOVED) {
            break;
        }
        int error = read_elsewhere(r, bound, v, result);
        if (error != 0) {
            r->avoid = 0;
            return read_refuse(r, error, v, a);
        }
    }
    rcu_exit();
    r->avoid = 0;
    read_done(r, v, a, value.size, value.version);
    return result;
}

/* Any read but the common one. */
static __attribute__((noinline)) int read_get_any(struct tide_reader *r, const void *key, size_t key_len,
                                                  const struct tide_bound *bound, void *buf, size_t buf_size,
                                                  struct tide_answer *a) {
    struct verdict v;
    bound = bound != NULL ? bound : &reader_default_bound;
    if (!read_key_valid(key, key_len) || (buf == NULL && buf_size != 0)) {
        return TIDE_ERR_INVALID;
    }
    int error = read_begin(r, bound, a, &v);
    if (__builtin_expect(error != 0, 0)) {
        return read_refuse(r, error, &v, a);
    }
    if (__builtin_expect(v.replica->foreign, 0)) {
        return read_get_foreign(r, bound, &v, key, key_len, buf, buf_size, a);
    }
    const struct table *t = &v.replica->table;
    uint64_t value_size, version;
    int result = read_value(table_find(t, table_hash(t, key, key_len), key, key_len, v.index), buf, buf_size,
                            &value_size, &version);
    rcu_exit();
    read_done(r, &v, a, value_size, version);
    return result;
}

/* A bound that the home replica keeps whenever it has everything: well-formed, without a fence of the call's own. */
static inline bool read_plain_bound(const struct tide_bound *b) {
    return b->size == sizeof(*b) && b->fallback <= TIDE_FALLBACK_STALE && (b->min.index | b->min.incarnation) == 0;
}

/* The answer of a read that was fresh: what reader_answer() fills, with most of it known. */
static inline void read_answer_fresh(struct tide_answer *a, uint32_t id, bool leader, uint64_t index, uint64_t commit,
                                     uint64_t value_size, uint64_t version) {
    a->reason = TIDE_REASON_FRESH;
    a->served_by = id;
    a->linearizable = 1;
    a->stale = 0;
    a->from_leader = leader;
    a->reserved = 0;
    a->index = index;
    a->commit_index = commit;
    a->staleness_ns = 0;
    a->waited_ns = 0;
    a->value_size = value_size;
    a->version = version;
}

/*
 * The common case stands here in full, without a call and without a word written that is not asked for: a sticky reader whose
 * home replica, of this process, has everything that is committed. What read_home_fresh() says about the order holds.
 */
__attribute__((flatten)) /* the hash, too */
int tide_get(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound, void *buf,
             size_t buf_size, struct tide_answer *a) {
    bool plain = r != NULL && r->quick == reader_self() && read_key_valid(key, key_len) &&
                 (bound == NULL || read_plain_bound(bound)) && (a == NULL || a->size == sizeof(*a)) && buf != NULL;
    if (__builtin_expect(!plain, 0)) {
        return read_get_any(r, key, key_len, bound, buf, buf_size, a);
    }
    const struct tide *d = r->domain;
    uint64_t hash = XXH3_64bits_withSeed(key, key_len, d->hash_seed);
    rcu_enter();
    const struct replica *home = reader_replica(d, r->home);
    uint64_t commit = board_commit(d->log);
    if (__builtin_expect(home == NULL || home->foreign, 0)) {
        rcu_exit();
        return read_get_any(r, key, key_len, bound, buf, buf_size, a);
    }
    const struct replica_board *board = home->board;
    uint64_t index = board_applied(board);
    if (__builtin_expect(index < commit || index < r->fence || board_state(board) != REPLICA_SERVING, 0)) {
        rcu_exit();
        return read_get_any(r, key, key_len, bound, buf, buf_size, a);
    }
    uint64_t value_size, version;
    int result = read_value(table_find(&home->table, hash, key, key_len, index), buf, buf_size, &value_size, &version);
    bool leader = reader_leads(home);
    rcu_exit();
    r->fence = index;
    /* MO(stats): one writer; as reader_count(). */
    atomic_store_explicit(r->home_fresh, atomic_load_explicit(r->home_fresh, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    if (a != NULL) {
        read_answer_fresh(a, r->home, leader, index, commit, value_size, version);
    }
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

/* All items at one index, of another process's replica. READ_STUCK: no index could be had for all. */
static int read_many_foreign(struct verdict *v, struct tide_mget_item *items, size_t n) {
    const struct replica *replica = v->replica;
    for (int tries = 0; tries < READ_FOREIGN_TRIES; tries++) {
        uint64_t epoch = foreign_epoch(&replica->table);
        if (!read_newer(v)) {
            return READ_MOVED;
        }
        size_t i = 0;
        enum foreign_status status = FOREIGN_OK;
        for (; i < n; i++) {
            struct tide_mget_item *item = &items[i];
            struct foreign_value value = {0};
            if (!read_key_valid(item->key, item->key_len) || (item->buf == NULL && item->buf_size != 0)) {
                item->result = TIDE_ERR_INVALID;
                continue;
            }
            status = foreign_find(replica, epoch, v->index, table_hash(&replica->table, item->key, item->key_len),
                                  item->key, item->key_len, item->buf, item->buf_size, &value);
            if (status == FOREIGN_LOST || status == FOREIGN_STUCK) {
                break;
            }
            item->result = status == FOREIGN_OK ? 0 : status == FOREIGN_NONE ? TIDE_ERR_NOT_FOUND : TIDE_ERR_BUFFER;
            item->value_size = value.size;
            item->version = value.version;
        }
        if (i == n) {
            return 0;
        }
        if (status == FOREIGN_STUCK) {
            return READ_STUCK;
        }
    }
    return READ_STUCK;
}

/* 0, or an error with no section open. */
static int read_all(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, struct tide_mget_item *items,
                    size_t n) {
    int why;
    while (v->replica->foreign && (why = read_many_foreign(v, items, n)) != 0) {
        int error = read_elsewhere(r, bound, v, why);
        if (error != 0) {
            return error;
        }
    }
    for (size_t i = 0; i < n && !v->replica->foreign; i += MGET_STRIDE) {
        read_many(&v->replica->table, items + i, n - i < MGET_STRIDE ? n - i : MGET_STRIDE, v->index);
    }
    return 0;
}

int tide_mget(struct tide_reader *r, struct tide_mget_item *items, size_t n, const struct tide_bound *bound,
              struct tide_answer *a) {
    struct verdict v;
    bound = bound != NULL ? bound : &reader_default_bound;
    if (items == NULL || n == 0) {
        return TIDE_ERR_INVALID;
    }
    int error = read_begin(r, bound, a, &v);
    error = error == 0 ? read_all(r, bound, &v, items, n) : error;
    r->avoid = 0;
    if (error != 0) {
        return read_refuse(r, error, &v, a);
    }
    rcu_exit();
    read_done(r, &v, a, 0, 0);
    return 0;
}

/* ---- sections ---------------------------------------------------------------------------------------------------- */

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
    struct foreign_value value = {0};
    uint64_t hash = table_hash(&r->section->table, key, key_len);
    enum foreign_status status = foreign_find(r->section, r->section_epoch, r->section_index, hash, key, key_len, buf,
                                              buf_size, &value);
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
    struct foreign_scratch scratch = {0};
    uint64_t buckets = atomic_load_explicit(&t->seg->buckets, memory_order_acquire); /* MO(table.buckets) */
    struct read_scan_foreign f = {scan, t, 0, buckets};
    int result = 0;
    for (; f.bucket < buckets && result == 0; f.bucket++) {
        result = foreign_visit_bucket(r->section, f.bucket, r->section_index, &scratch, read_scan_copy, &f);
    }
    free(scratch.bytes);
    bool quiet = r->section_epoch % 2 == 0 && foreign_epoch(t) == r->section_epoch;
    return result == 0 && !quiet ? TIDE_ERR_LOST : result == TIDE_ERR_CORRUPT ? TIDE_ERR_LOST : result;
}

int tide_section_scan(struct tide_reader *r, tide_scan_fn *fn, void *ctx) {
    int error = reader_check(r);
    if (error != 0 || r->section == NULL || fn == NULL) {
        return error != 0 ? error : fn == NULL ? TIDE_ERR_INVALID : TIDE_ERR_THREAD;
    }
    const struct table *t = &r->section->table;
    struct read_scan scan = {fn, ctx};
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
