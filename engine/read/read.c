/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads of one key and of many. Each uses one section, one replica and one index. */
#include "engine/replica/foreign.h"
#include "engine/replica/replica.h"
#include "engine/replica/source.h"
#include "engine/read/answer.h"
#include "engine/read/read.h"
#include "engine/table/cancel.h"
#include "engine/table/kill.h"
#include "shm/bytes.h"
#include "shm/member.h"
#include "shm/nap.h"
#include "shm/park.h"

/*
 * The common case, without a call: the reader's home replica has applied everything that is committed. commit is loaded
 * before `applied`. A writer whose write was done before this read began has passed a full barrier after its commit, so
 * this load of commit covers that write. True: a section is open.
 */
static inline bool read_home_fresh(const struct tide_reader *r, const struct tide_bound *bound, struct verdict *v) {
    if (__builtin_expect((r->policy != TIDE_STICKY) | (bound->min.incarnation != 0) | (bound->min.index != 0), 0)) {
        return false;
    }
    const struct tide *d = r->domain;
    rcu_enter();
    struct view *home = view_at(d, r->home);
    if (__builtin_expect(home != NULL, 1)) {
        uint64_t commit = board_commit(d->log);
        uint64_t applied = board_applied(home->board);
        if (__builtin_expect(applied >= commit && applied >= r->fence, 1) &&
            board_state(home->board) == REPLICA_SERVING && view_is_current(home)) {
            *v = (struct verdict){
                .replica = home, .id = home->id, .leader = reader_leads(home), .index = applied, .commit = commit
            };
            return true;
        }
    }
    rcu_exit();
    return false;
}

/* The common case of a fed domain: the home replica holds what the source had when it was asked last, and that is not too long ago. The
 * clock is read once. True: a section is open. */
static __attribute__((noinline)) bool read_home_fed(struct tide_reader *r, const struct tide_bound *bound,
                                                    struct verdict *v) {
    struct tide *d = r->domain;
    const struct feed_board *f = &d->log->feed;
    if (bound->max_staleness_ns == 0 || (bound->min.incarnation | bound->min.index) != 0) {
        return false;
    }
    rcu_enter();
    struct view *home = view_at(d, r->home);
    if (home != NULL) {
        /* MO(feed.complete), MO(source.held): acquire; before `applied`, as in source_check(). */
        uint64_t ts = atomic_load_explicit(&f->complete_ts, memory_order_acquire);
        uint64_t from = atomic_load_explicit(&f->complete_index, memory_order_acquire); /* MO(feed.complete) */
        uint64_t held = atomic_load_explicit(&home->board->source_revision, memory_order_acquire); /* MO(source.held) */
        uint64_t commit = board_commit(d->log);
        uint64_t applied = board_applied(home->board);
        uint64_t now = clock_now(&d->log->clock), stale = source_age(ts, now);
        uint64_t lag = commit > applied ? commit - applied : 0;
        if (applied >= from && applied >= r->fence && held >= r->revision && stale <= bound->max_staleness_ns &&
            ts != 0 && lag <= bound->max_lag && board_state(home->board) == REPLICA_SERVING && view_is_current(home)) {
            *v = (struct verdict){ .replica = home,
                                   .id = home->id,
                                   .leader = reader_leads(home),
                                   .index = applied,
                                   .commit = commit,
                                   .staleness_ns = stale,
                                   .reason = TIDE_REASON_WITHIN_BOUND };
            if (bound->max_staleness_ns != TIDE_UNBOUNDED) {
                source_hint(d, bound->max_staleness_ns, now);
            }
            r->hinted_ns = bound->max_staleness_ns;
            r->hinted_until = source_hint_until(now);
            return true;
        }
    }
    rcu_exit();
    return false;
}

int read_begin(struct tide_reader *r, const struct tide_bound *bound, const struct tide_answer *a, struct verdict *v) {
    if (__builtin_expect(r == NULL || !reader_is_mine(r) || r->section != NULL, 0)) {
        int error = reader_check(r); /* TIDE_ERR_FORKED takes precedence */
        return error != 0 ? error : TIDE_ERR_THREAD;
    }
    if (__builtin_expect(
            (a != NULL && a->size < SIZED_ANSWER) || bound == NULL || bound->fallback > TIDE_FALLBACK_STALE, 0)) {
        return TIDE_ERR_INVALID;
    }
    /* Also where it is served at once: it may have to wait for a decision yet, and not from an earlier read's wait on. */
    r->since = 0;
    if (__builtin_expect(read_home_fresh(r, bound, v), 1)) {
        return 0;
    }
    r->question = 0;
    if (__builtin_expect(r->policy == READER_FED, 0) && read_home_fed(r, bound, v)) {
        return 0;
    }
    return reader_pick(r, bound, v);
}

int read_refuse(struct tide_reader *r, int error, const struct verdict *v, struct tide_answer *a) {
    if (error == TIDE_ERR_REFUSED || error == TIDE_ERR_TIMEOUT) {
        reader_count(r, v->id, TIDE_REASON_REFUSED);
        if (a != NULL) {
            answer_served(a, v);
            answer_value(a, 0, 0, 0);
            a->reason = TIDE_REASON_REFUSED;
            a->linearizable = 0;
        }
    }
    return error;
}

/* A key was found, whose hash is not at hand any more. */
static inline void read_touch(struct tide_reader *r, int result, const void *key, size_t key_len) {
    if (__builtin_expect(r->noted != NULL, 0) && (result == 0 || result == TIDE_ERR_BUFFER)) {
        reader_touch(r, XXH3_64bits_withSeed(key, key_len, r->hash_seed));
    }
}

void read_done(struct tide_reader *r, const struct verdict *v, struct tide_answer *a, const struct found *f,
               const struct instant *when) {
    r->fence = v->index > r->fence ? v->index : r->fence;
    reader_count(r, v->id, v->reason);
    if (a != NULL) {
        answer_served(a, v);
        answer_found(a, f, when);
    }
}

/* Tries at a value that changes during the read, each at a newer index. While a writer is stopped in the middle of
 * clearing slots, no miss can be believed; then another replica has to serve. */
#define READ_FOREIGN_TRIES 1000

bool read_newer(struct verdict *v) {
    uint64_t index = board_applied(v->replica->board);
    if (index < v->index ||
        !view_is_current(
            v->replica)) { /* in this order: the owner announces a new table before it publishes an index of it */
        return false;
    }
    v->index = index;
    return true;
}

/* Look up in another process's replica, at v->index or a later one, which v then has. */
static int read_foreign(struct verdict *v, struct instant *when, uint64_t hash, const void *key, size_t key_len,
                        void *buf, size_t buf_size, struct found *out) {
    const struct view *replica = v->replica;
    for (int tries = 0; tries < READ_FOREIGN_TRIES; tries++) {
        uint64_t epoch = foreign_epoch(&replica->table);
        if (!read_newer(v)) {
            return READ_MOVED;
        }
        instant_renew(when);
        switch (foreign_find(replica, epoch, v->index, when, hash, key, key_len, buf, buf_size, out)) {
        case FOREIGN_OK:
            return 0;
        case FOREIGN_NONE:
            return TIDE_ERR_NOT_FOUND;
        case FOREIGN_EXPIRED:
            return READ_EXPIRED;
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

int read_damaged(const struct view *v, int error) {
    replica_stop_serving(replica_of(v));
    return error;
}

int read_elsewhere(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, int why) {
    if (!v->replica->foreign && why == READ_STUCK) {
        replica_stop_serving(replica_of(v->replica));
    }
    rcu_exit();
    r->avoid |= why == READ_STUCK ? UINT64_C(1) << v->id : 0;
    return reader_pick(r, bound, v);
}

bool read_hides(const struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, struct instant *when) {
    if (v->staleness_ns != 0) {
        return true;
    }
    if (!when->early) {
        return read_is_settled(r, v->index, when);
    }
    if (when->doubt != 0 && when->latest > when->doubt) { /* complete up to the instant at which the leader began */
        v->staleness_ns = clock_now(when->clock) - when->doubt;
        v->breach = v->staleness_ns > bound->max_staleness_ns;
        v->reason = v->breach ? TIDE_REASON_STALE_BY_CHOICE : TIDE_REASON_WITHIN_BOUND;
    }
    return true;
}

#define READ_DECISION_SPINS 200u
#define READ_DECISION_NAP_NS 20000u
#define READ_DECISION_LOOKS 16u      /* naps between two looks whether the leader lives */
#define READ_DECISION_NS 1000000000u /* a live leader decides within microseconds */

/* The leader does not go on. True: go on waiting. Else *error says what the read answers, or *when what is in doubt. */
static bool read_waits_on(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v,
                          struct instant *when, uint64_t since, uint32_t naps, int *error) {
    struct tide *d = r->domain;
    uint64_t now = clock_monotonic_ns();
    r->since = r->since != 0 ? r->since : now;
    bool leads = bound->fallback == TIDE_FALLBACK_LEADER, waits = leads || bound->fallback == TIDE_FALLBACK_WAIT;
    uint64_t until = clock_after(r->since, bound->wait_ns);
    until = leads ? clock_after(until, READ_DECISION_NS) : until;
    if (atomic_load(&d->closed) != 0) {
        return false; /* reader_pick() says so */
    }
    if (naps % READ_DECISION_LOOKS == 0 && !atomic_load(&d->seq.here) &&
        !member_led_elsewhere(segment_fd(&d->segment))) {
        return false; /* nobody leads: what a dead leader was deciding is void, and who leads next decides by a later clock */
    }
    if (waits && now < until) {
        park_nap(READ_DECISION_NAP_NS);
        return true;
    }
    uint64_t staleness_ns = clock_now(when->clock) - since;
    v->staleness_ns = staleness_ns;
    v->waited_ns = now - r->since;
    if (staleness_ns <= bound->max_staleness_ns || bound->fallback == TIDE_FALLBACK_STALE) {
        when->doubt = since;
    } else {
        *error = waits ? TIDE_ERR_TIMEOUT : TIDE_ERR_REFUSED;
    }
    return false;
}

int read_later(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, struct instant *when) {
    CANCEL_HOLD_OFF();
    rcu_exit(); /* the leader may wait for sections to end */
    KILL_POINT("read.later");
    int error = 0;
    uint64_t since;
    when->early = true;
    when->latest = UINT64_MAX; /* whatever the next try finds */
    for (uint32_t rounds = 0; (since = read_undecided(r, when)) != 0; rounds++) {
        if (rounds < READ_DECISION_SPINS) {
            park_relax();
        } else if (!read_waits_on(r, bound, v, when, since, rounds - READ_DECISION_SPINS, &error)) {
            break;
        }
    }
    return error != 0 ? error : reader_pick(r, bound, v);
}

/* The read is over. Replicas that were stuck may serve the next read. */
static void read_pardon(struct tide_reader *r) {
    r->avoid = 0;
    r->pardons = 0;
}

/* Look a key up in whatever replica was picked. */
static int read_find(struct verdict *v, struct instant *when, const void *key, size_t key_len, void *buf,
                     size_t buf_size, struct found *out) {
    const struct table *t = &v->replica->table;
    uint64_t hash = table_hash(t, key, key_len);
    *out = (struct found){ 0 };
    instant_renew(when);
    return v->replica->foreign ? read_foreign(v, when, hash, key, key_len, buf, buf_size, out)
                               : read_value(t, table_find(t, hash, key, key_len, v->index), when, buf, buf_size, out);
}

/* Get a key whose replica is another process's, or which has to be looked up again. `result`: of the try before this, with
 * `value`; READ_AGAIN: there was none. */
static int read_get_slow(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v, struct instant *when,
                         const void *key, size_t key_len, void *buf, size_t buf_size, struct tide_answer *a,
                         int result) {
    struct found value = { 0 };
    for (;;) {
        if (result == READ_AGAIN) {
            result = read_find(v, when, key, key_len, buf, buf_size, &value);
        }
        if (result == READ_EXPIRED && read_hides(r, bound, v, when)) {
            result = TIDE_ERR_NOT_FOUND;
        }
        if (result != READ_STUCK && result != READ_MOVED && result != READ_EXPIRED) {
            break; /* a value that expires between `now` and `until` was there when it was written, or at `now` */
        }
        int error = result == READ_EXPIRED ? read_later(r, bound, v, when) : read_elsewhere(r, bound, v, result);
        if (error != 0) {
            read_pardon(r);
            return read_refuse(r, error, v, a);
        }
        result = READ_AGAIN;
    }
    rcu_exit();
    read_pardon(r);
    if (r->quick == reader_here() && v->replica->foreign && v->id == r->home) {
        r->quick = reader_near();
    }
    read_done(r, v, a, &value, when);
    read_touch(r, result, key, key_len);
    if (result == TIDE_ERR_NOT_FOUND) {
        reader_count_miss(r);
    }
    return result;
}

int read_get_any(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound, void *buf,
                 size_t buf_size, struct tide_answer *a) {
    struct verdict v;
    struct tide_bound room;
    bound = read_bound(bound, &room);
    if (!read_key_valid(key, key_len) || (buf == NULL && buf_size != 0)) {
        return TIDE_ERR_INVALID;
    }
    int error = read_begin(r, bound, a, &v);
    if (__builtin_expect(error != 0, 0)) {
        return read_refuse(r, error, &v, a);
    }
    struct instant when = { .clock = &r->log->clock };
    if (__builtin_expect(v.replica->foreign, 0)) {
        return read_get_slow(r, bound, &v, &when, key, key_len, buf, buf_size, a, READ_AGAIN);
    }
    const struct table *t = &v.replica->table;
    struct found value;
    int result =
        read_value(t, table_find(t, table_hash(t, key, key_len), key, key_len, v.index), &when, buf, buf_size, &value);
    if (__builtin_expect(result > 0, 0)) {
        return read_get_slow(r, bound, &v, &when, key, key_len, buf, buf_size, a, result);
    }
    rcu_exit();
    read_done(r, &v, a, &value, &when);
    read_touch(r, result, key, key_len);
    if (result == TIDE_ERR_NOT_FOUND) {
        reader_count_miss(r);
    }
    return result;
}

#define MGET_STRIDE 32u /* keys whose misses overlap: more than a core has line buffers */

static bool read_item_valid(const struct tide_mget_item *item) {
    return read_key_valid(item->key, item->key_len) && (item->buf != NULL || item->buf_size == 0);
}

/* Prefetch a node's lines, as far as the caller expects bytes. A node may begin within a line, and its last line holds
 * the end of the value. */
static inline void read_prefetch(const struct table_node *n, const struct tide_mget_item *item) {
    const uint8_t *at = (const uint8_t *)n;
    size_t bytes = NODE_HEADER_BYTES + item->key_len + item->buf_size;
    __builtin_prefetch(at);
    __builtin_prefetch(at + LAYOUT_LINE);
    __builtin_prefetch(at + (bytes < 4 * LAYOUT_LINE ? bytes : 4 * LAYOUT_LINE) - 1);
}

/* Prefetch the callers' keys, which may be as cold as the table. Prefetching an impossible address does nothing. */
static inline void read_prefetch_keys(const struct tide_mget_item *items, size_t n) {
    for (size_t i = 0; i < n; i++) {
        __builtin_prefetch(items[i].key);
    }
}

/* Read one item whose first candidate was another key, or that had none. */
static __attribute__((noinline)) void read_one(const struct table *t, struct tide_mget_item *item, uint64_t hash,
                                               uint64_t at, struct instant *when) {
    if (!read_item_valid(item)) {
        item->result = TIDE_ERR_INVALID;
        item->value_size = item->version = 0;
        when->lacking = true;
        return;
    }
    struct found f;
    int result = read_value(t, table_find(t, hash, item->key, item->key_len, at), when, item->buf, item->buf_size, &f);
    item->result = result == READ_EXPIRED ? TIDE_ERR_NOT_FOUND : result;
    when->lacking |= result != 0;
    item->value_size = f.size;
    item->version = f.version;
}

/* Read items one by one, for whatever read_many() does not do. */
static __attribute__((noinline)) void read_each(const struct table *t, struct tide_mget_item *items, size_t n,
                                                uint64_t at, struct instant *when) {
    for (size_t i = 0; i < n; i++) {
        read_one(t, &items[i], read_item_valid(&items[i]) ? table_hash(t, items[i].key, items[i].key_len) : 0, at,
                 when);
    }
}

/*
 * Look some keys up in passes. Each pass prefetches what the next pass needs. The third pass uses the nodes that the
 * second found: a slot led to them after `at` was loaded, so they are not reused while the section is open.
 */
__attribute__((flatten)) /* the hash, too */
static void
read_many(const struct table *table, struct tide_mget_item *items, size_t n, uint64_t at, struct instant *when) {
    uint64_t hash[MGET_STRIDE];
    uint32_t node[MGET_STRIDE];
    const struct table own = *table, *t = &own; /* a copy: the compiler sees that no store changes it */
    /* MO(table.buckets): acquire; one number for all keys, as in a scan. */
    uint64_t buckets = atomic_load_explicit(t->buckets, memory_order_acquire);
    read_prefetch_keys(items, n);
    for (size_t i = 0; i < n; i++) {
        if (__builtin_expect(!read_item_valid(&items[i]), 0)) {
            read_each(table, items, n, at, when);
            return;
        }
        hash[i] = table_hash(t, items[i].key, items[i].key_len);
        __builtin_prefetch(table_bucket_at(t, table_bucket_of(hash[i], buckets)));
    }
    for (size_t i = 0; i < n; i++) {
        const struct table_bucket *b = table_bucket_at(t, table_bucket_of(hash[i], buckets));
        uint32_t match = table_match_bucket(b, hash[i]);
        node[i] = 0;
        if (__builtin_expect(match != 0, 1)) {
            node[i] = table_first(b, match); /* a prefetch of an address that cannot be does nothing */
            read_prefetch(table_node_at(t, node[i]), &items[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct tide_mget_item *item = &items[i];
        struct found f;
        if (__builtin_expect(!table_node_fits(t, node[i], READ_HIT_BYTES) ||
                                 !read_hit(t, table_node_at(t, node[i]), item->key, item->key_len, item->buf,
                                           item->buf_size, at, &f),
                             0)) {
            read_one(table, item, hash[i], at, when);
            continue;
        }
        item->result = 0;
        item->value_size = f.size;
        item->version = f.version;
    }
}

/* Prefetch what some keys' lookups will need. Nothing loaded here is believed. */
static void read_prefetch_foreign(const struct view *v, const struct tide_mget_item *items, const uint64_t *hash,
                                  size_t n) {
    const struct table *t = &v->table;
    uint64_t buckets = atomic_load_explicit(&t->seg->buckets, memory_order_acquire); /* MO(table.buckets) */
    if (!foreign_buckets_fit(v, buckets)) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        __builtin_prefetch(table_bucket_at(t, table_bucket_of(hash[i], buckets)));
    }
    for (size_t i = 0; i < n; i++) {
        const struct table_bucket *b = table_bucket_at(t, table_bucket_of(hash[i], buckets));
        uint32_t match = table_match_bucket(b, hash[i]);
        if (match != 0) { /* a prefetch of an address that cannot be does nothing */
            read_prefetch(table_node_at(t, table_first(b, match)), &items[i]);
        }
    }
}

/* Read some items at v->index. OK, LOST or STUCK. */
static enum foreign_status read_some_foreign(const struct verdict *v, uint64_t epoch, struct tide_mget_item *items,
                                             size_t n, struct instant *when) {
    const struct view *replica = v->replica;
    uint64_t hash[MGET_STRIDE];
    read_prefetch_keys(items, n);
    for (size_t i = 0; i < n; i++) {
        hash[i] = read_item_valid(&items[i]) ? table_hash(&replica->table, items[i].key, items[i].key_len) : 0;
    }
    read_prefetch_foreign(replica, items, hash, n);
    for (size_t i = 0; i < n; i++) {
        struct tide_mget_item *item = &items[i];
        struct found value = { 0 };
        if (!read_item_valid(item)) {
            item->result = TIDE_ERR_INVALID;
            item->value_size = item->version = 0;
            when->lacking = true;
            continue;
        }
        enum foreign_status status = FOREIGN_OK;
        if (item->key_len < FOREIGN_HIT_KEY_LEAST || item->key_len > FOREIGN_HIT_KEY_MOST || item->buf == NULL ||
            !foreign_hit(replica, v->index, hash[i], item->key, item->key_len, item->buf, item->buf_size, &value,
                         false)) {
            status = foreign_find(replica, epoch, v->index, when, hash[i], item->key, item->key_len, item->buf,
                                  item->buf_size, &value);
        }
        if (status == FOREIGN_LOST || status == FOREIGN_STUCK) {
            return status;
        }
        item->result = status == FOREIGN_OK ? 0 : status == FOREIGN_SMALL ? TIDE_ERR_BUFFER : TIDE_ERR_NOT_FOUND;
        when->lacking |= status != FOREIGN_OK;
        item->value_size = value.size;
        item->version = value.version;
    }
    return FOREIGN_OK;
}

/* All items at one index, of another process's replica. READ_STUCK: no index could be had for all. */
static int read_many_foreign(struct verdict *v, struct tide_mget_item *items, size_t n, struct instant *when) {
    const struct view *replica = v->replica;
    for (int tries = 0; tries < READ_FOREIGN_TRIES; tries++) {
        uint64_t epoch = foreign_epoch(&replica->table);
        if (!read_newer(v)) {
            return READ_MOVED;
        }
        instant_renew(when);
        enum foreign_status status = FOREIGN_OK;
        for (size_t i = 0; i < n && status == FOREIGN_OK; i += MGET_STRIDE) {
            status = read_some_foreign(v, epoch, items + i, n - i < MGET_STRIDE ? n - i : MGET_STRIDE, when);
        }
        if (status == FOREIGN_OK) {
            return 0;
        }
        if (status == FOREIGN_STUCK) {
            return READ_STUCK;
        }
    }
    return READ_STUCK;
}

/* Look all items up. 0, or an error with no section open. */
static int read_all_once(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v,
                         struct tide_mget_item *items, size_t n, struct instant *when) {
    int why;
    while (v->replica->foreign && (why = read_many_foreign(v, items, n, when)) != 0) {
        int error = read_elsewhere(r, bound, v, why);
        if (error != 0) {
            return error;
        }
    }
    if (!v->replica->foreign) {
        instant_renew(when);
    }
    for (size_t i = 0; i < n && !v->replica->foreign; i += MGET_STRIDE) {
        size_t some = n - i < MGET_STRIDE ? n - i : MGET_STRIDE;
        read_many(&v->replica->table, items + i, some, v->index, when);
    }
    if (__builtin_expect(view_is_damaged(v->replica), 0)) {
        int error = read_elsewhere(r, bound, v, READ_STUCK);
        return error != 0 ? error : read_all_once(r, bound, v, items, n, when); /* with one replica less each time */
    }
    return 0;
}

#define READ_UNCLEAR_TRIES 1000u /* each meets a key that expires in the very moment */

/* The same, until all of it is of one instant. */
static int read_all(struct tide_reader *r, const struct tide_bound *bound, struct verdict *v,
                    struct tide_mget_item *items, size_t n, struct instant *when) {
    int error = read_all_once(r, bound, v, items, n, when);
    for (uint32_t tries = 0; __builtin_expect(error == 0 && (when->hid || when->unclear), 0); tries++) {
        KILL_POINT("read.looked");
        if (!when->unclear && read_hides(r, bound, v, when)) {
            break;
        }
        if (tries == READ_UNCLEAR_TRIES) {
            rcu_exit();
            return TIDE_ERR_REFUSED;
        }
        if (when->unclear) { /* begin anew */
            *when = (struct instant){ .clock = when->clock };
            error = read_elsewhere(r, bound, v, READ_MOVED);
        } else {
            error = read_later(r, bound, v, when);
        }
        error = error != 0 ? error : read_all_once(r, bound, v, items, n, when);
    }
    return error;
}

/* The keys of a read of many. lacking: not all were found. */
static void read_count_items(struct tide_reader *r, const struct tide_mget_item *items, size_t n, bool lacking) {
    uint64_t keys = lacking ? 0 : n, misses = 0;
    for (size_t i = 0; i < n && lacking; i++) {
        keys += items[i].result != TIDE_ERR_INVALID;
        misses += items[i].result == TIDE_ERR_NOT_FOUND;
    }
    reader_count_keys(r, keys);
    if (misses != 0) {
        reader_bump(&r->counts->misses, misses);
    }
}

int tide_mget(struct tide_reader *r, struct tide_mget_item *items, size_t n, const struct tide_bound *bound,
              struct tide_answer *a) {
    struct verdict v;
    struct tide_bound room;
    bound = read_bound(bound, &room);
    if (items == NULL || n == 0) {
        return TIDE_ERR_INVALID;
    }
    const struct found none = { 0 };
    struct instant when = { 0 };
    int error = read_begin(r, bound, a, &v);
    if (error == 0) {
        when.clock = &r->log->clock;
        error = read_all(r, bound, &v, items, n, &when);
        read_pardon(r); /* not before: a reader that is no reader of this thread is not written to */
    }
    if (error != 0) {
        return read_refuse(r, error, &v, a);
    }
    rcu_exit();
    read_done(r, &v, a, &none, &when);
    for (size_t i = 0; i < n && r->noted != NULL; i++) {
        read_touch(r, items[i].result, items[i].key, items[i].key_len);
    }
    read_count_items(r, items, n, when.lacking);
    return 0;
}
