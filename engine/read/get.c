/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * tide_get()'s short way: a sticky reader whose home replica has applied everything that is committed, a key of 9 to 16
 * bytes, a value of 32 to 64. get_fed() is the short way of a fed domain. Every other get goes to engine/read/read.c.
 *
 * The code is written for few instructions, since their number counts twice: a core overlaps the cache misses of as
 * many gets as fit into its window of some hundred instructions. All calls are tail calls, so few registers are saved.
 *
 * The comment on read_home_fresh() in engine/read/read.c, about the order of the loads, holds here too.
 */
#include "engine/replica/foreign.h"
#include "engine/replica/source.h"
#include "engine/table/kill.h"
#include "engine/read/answer.h"
#include "engine/read/read.h"
#include "shm/bytes.h"
#include "shm/park.h"

#define GET_KEY_LEAST 9u
#define GET_KEY_MOST 16u
#define GET_VALUE_LEAST 32u
#define GET_VALUE_MOST 64u

/* Does the home replica keep this bound whenever it has applied everything: is it well-formed, and without a fence of
 * its own? */
static inline bool get_bound_is_plain(const struct tide_bound *b) {
    return b == NULL || (b->size - SIZED_BOUND <= sizeof(*b) - SIZED_BOUND && b->fallback <= TIDE_FALLBACK_STALE &&
                         (b->min.index | b->min.incarnation) == 0);
}

static inline bool get_is_common(const void *key, size_t key_len, const struct tide_bound *bound, const void *buf,
                                 const struct tide_answer *a) {
    return key != NULL && key_len - GET_KEY_LEAST <= GET_KEY_MOST - GET_KEY_LEAST && get_bound_is_plain(bound) &&
           (a == NULL || a->size >= SIZED_ANSWER) && buf != NULL;
}

static inline const struct view *get_home(const struct tide_reader *r) {
    return atomic_load_explicit(r->home_slot, memory_order_acquire); /* MO(domain.replica): as view_at() */
}

static inline void get_count(struct tide_reader *r, uint64_t index) {
    if (index != r->fence) { /* saves a store while no writer is at work */
        r->fence = index;
    }
    /* MO(stats): one writer; as reader_count(). */
    atomic_store_explicit(r->home_count, atomic_load_explicit(r->home_count, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

/* Record a fresh read. When `index` was loaded, commit was at least `index`; just before that it was no more. So
 * `index` is the commit that the read saw. */
static inline void get_serve(struct tide_reader *r, struct tide_answer *a, bool leader, uint64_t index) {
    get_count(r, index);
    if (a != NULL) {
        const struct verdict fresh = {
            .id = r->home, .leader = leader, .index = index, .commit = index, .reason = TIDE_REASON_FRESH
        };
        answer_served(a, &fresh);
    }
}

static inline void get_value(struct tide_answer *a, uint64_t value_size, uint64_t version) {
    if (a != NULL) {
        answer_value(a, value_size, version, TIDE_TTL_NONE);
    }
}

/* Compare keys of 8 to 16 bytes without a call. */
static inline bool get_same_key(const uint8_t *theirs, const uint8_t *ours, size_t n) {
    uint64_t a, b, c, d;
    memcpy(&a, theirs, 8);
    memcpy(&b, ours, 8);
    memcpy(&c, theirs + n - 8, 8);
    memcpy(&d, ours + n - 8, 8);
    return ((a ^ b) | (c ^ d)) == 0;
}

/* Leave the short way. The section is open. */
static __attribute__((noinline)) int get_leave(struct tide_reader *r, const void *key, size_t key_len,
                                               const struct tide_bound *bound, void *buf, size_t buf_size,
                                               struct tide_answer *a) {
    rcu_exit_at(r->rcu_word);
    return read_get_any(r, key, key_len, bound, buf, buf_size, a);
}

/* The rest of a get whose node is known: r->found, with a value of any size, or NULL. The section is open, and the
 * answer is filled but for the value. */
static __attribute__((noinline)) int get_rest(struct tide_reader *r, const void *key, size_t key_len,
                                              const struct table *t, void *buf, size_t buf_size,
                                              struct tide_answer *a) {
    struct found found;
    struct instant when = { .clock = &r->log->clock };
    int result = read_value(t, r->found, &when, buf, buf_size, &found);
    if (__builtin_expect(result == READ_EXPIRED, 0)) {
        result = read_is_settled(r, r->fence, &when) ? TIDE_ERR_NOT_FOUND : READ_STUCK; /* read again: read_hides() */
    }
    if (__builtin_expect(result == READ_STUCK, 0)) {
        reader_count_keys(r, 0); /* the read is counted again, with its key */
        return get_leave(r, key, key_len, r->bound, buf, buf_size,
                         a); /* the table is damaged, say: another replica serves, or the fallback */
    }
    rcu_exit_at(r->rcu_word);
    if (result == TIDE_ERR_NOT_FOUND) {
        reader_count_miss(r);
    }
    if (a != NULL) {
        answer_found(a, &found, &when);
    }
    if (__builtin_expect(r->noted != NULL, 0) && result != TIDE_ERR_NOT_FOUND) {
        reader_touch(r, XXH3_64bits_withSeed(key, key_len, r->hash_seed));
    }
    return result;
}

/* The rest of a get whose first candidate was another key with the same tag, or that had none: one get in some dozens.
 * The arguments are in the same registers as in tide_get(). */
static __attribute__((noinline)) int get_search(struct tide_reader *r, const void *key, size_t key_len,
                                                const struct table *t, void *buf, size_t buf_size,
                                                struct tide_answer *a) {
    uint64_t hash = XXH3_64bits_withSeed(key, key_len, r->hash_seed);
    r->found = table_find(t, hash, key, key_len, r->fence);
    return get_rest(r, key, key_len, t, buf, buf_size, a);
}

/* A follower applies an entry some hundred nanoseconds after its commit, and a read that comes meanwhile finds its
 * replica behind. The read looks again for a moment. That costs less than the clock, which would say how far behind,
 * or than another replica. */
#define GET_MOMENTS 8
#define GET_MOMENT_ENTRIES 16u

/* The home replica has not applied everything. The section is open. */
static __attribute__((noinline)) int get_later(struct tide_reader *r, const void *key, size_t key_len,
                                               const struct tide_bound *bound, void *buf, size_t buf_size,
                                               struct tide_answer *a) {
    const struct replica_board *board = &r->log->replicas[r->home];
    uint64_t commit = board_commit(r->log);
    /* MO(replica.delay): relaxed; a setting, it orders nothing. */
    if (commit - board_applied(board) <= GET_MOMENT_ENTRIES &&
        atomic_load_explicit(&board->apply_delay_ns, memory_order_relaxed) == 0) {
        for (int i = 0; i < GET_MOMENTS && board_applied(board) < commit; i++) {
            park_relax();
        }
    }
    return get_leave(r, key, key_len, bound, buf, buf_size, a);
}

static __attribute__((noinline, cold)) int get_wake(void) {
    rcu_wake();
    return 0;
}

/* What the short ways have in common: the home replica is this process's, serves the read at r->fence, and is counted and answered for. The
 * section is open. sourced: the domain is fed, and its nodes have the source's version. answers: false: a is NULL. */
static inline __attribute__((always_inline)) int get_of_table(struct tide_reader *r, const struct table *t,
                                                              const void *key, size_t key_len, void *buf,
                                                              size_t buf_size, struct tide_answer *a,
                                                              const bool sourced, const bool answers) {
    uint64_t hash = XXH3_64bits_withSeed(
        key, key_len, r->hash_seed); /* computed here: earlier, more registers would have to be saved */
    const struct table_bucket *b = table_bucket_for(t, hash);
    uint32_t match = table_match_bucket(b, hash);
    if (__builtin_expect(match == 0, 0)) {
        return get_search(r, key, key_len, t, buf, buf_size, a);
    }
    uint32_t slot = table_first(b, match);
    const size_t most = GET_KEY_MOST + GET_VALUE_MOST + (sourced ? EXPIRY_BYTES + SOURCED_BYTES : 0);
    if (__builtin_expect(!table_node_fits(t, slot, most), 0)) {
        return get_search(r, key, key_len, t, buf, buf_size,
                          a); /* the slot was just cleared, or leads close to the segment's end, or is impossible */
    }
    const struct table_node *n = table_node_at(t, slot);
    __builtin_prefetch((const uint8_t *)n +
                       LAYOUT_LINE); /* prefetch the value's line before the lengths have arrived */
    /* MO(node.fields): relaxed; MO(node.index), MO(node.deleted): acquire; as table_key_is() and table_version(). */
    uint64_t version = atomic_load_explicit(&n->index, memory_order_acquire);
    if (__builtin_expect(atomic_load_explicit(&n->key_len, memory_order_relaxed) != key_len ||
                             !get_same_key(table_node_key(n), key, key_len) ||
                             visible_at(r->fence, version, atomic_load_explicit(&n->deleted, memory_order_acquire)) !=
                                 VISIBLE,
                         0)) {
        return get_search(r, key, key_len, t, buf, buf_size, a);
    }
    size_t size = atomic_load_explicit(&n->value_len, memory_order_relaxed); /* MO(node.fields) */
    const uint8_t *value = table_node_key(n) + key_len;
    size -= sourced ? NODE_SOURCED : 0; /* without that flag the number becomes one that no length reaches */
    if (__builtin_expect(size > buf_size || size - GET_VALUE_LEAST > GET_VALUE_MOST - GET_VALUE_LEAST, 0)) {
        r->found = n;
        return get_rest(r, key, key_len, t, buf, buf_size, a);
    }
    if (sourced) {
        uint64_t expiry;
        memcpy(&expiry, value + size, EXPIRY_BYTES);
        memcpy(&version, value + size + EXPIRY_BYTES, SOURCED_BYTES);
        if (__builtin_expect(expiry != NEVER_EXPIRES, 0)) {
            r->found = n;
            return get_rest(r, key, key_len, t, buf, buf_size, a);
        }
    }
    if (__builtin_expect(size == GET_VALUE_MOST,
                         1)) { /* with a constant size the copies need not wait for the length */
        memcpy(buf, value, GET_VALUE_MOST);
    } else {
        memcpy(buf, value, 32);
        memcpy((uint8_t *)buf + size - 32, value + size - 32, 32);
    }
    get_value(answers ? a : NULL, size, version);
    reader_touch(r, hash);
    return rcu_left_at(r->rcu_word) ? 0 : get_wake();
}

/* The home replica is another process's: read it by a validated copy (engine/replica/foreign.h). */
__attribute__((flatten, noinline)) static int get_near(struct tide_reader *r, const void *key, size_t key_len,
                                                       const struct tide_bound *bound, void *buf, size_t buf_size,
                                                       struct tide_answer *a) {
    if (__builtin_expect(!get_is_common(key, key_len, bound, buf, a), 0)) {
        return read_get_any(r, key, key_len, bound, buf, buf_size, a);
    }
    uint64_t hash = XXH3_64bits_withSeed(key, key_len, r->hash_seed);
    rcu_enter_at(r->rcu_word);
    const struct view *home = get_home(r);
    uint64_t commit = board_commit(r->log);
    if (__builtin_expect(home == NULL || !home->foreign, 0)) {
        rcu_exit_at(r->rcu_word);
        reader_settle(r);
        return read_get_any(r, key, key_len, bound, buf, buf_size, a);
    }
    struct found value;
    uint64_t index = board_applied(home->board);
    if (__builtin_expect(index < commit, 0)) {
        return get_later(r, key, key_len, bound, buf, buf_size, a);
    }
    bool hit = index >= r->fence && board_state(home->board) == REPLICA_SERVING && view_is_current(home) &&
               foreign_hit(home, index, hash, key, key_len, buf, buf_size, &value, false);
    bool leader = reader_board_leads(home->board);
    rcu_exit_at(r->rcu_word);
    if (__builtin_expect(!hit, 0)) {
        return read_get_any(r, key, key_len, bound, buf, buf_size, a);
    }
    get_serve(r, a, leader, index);
    get_value(a, value.size, value.version);
    reader_touch(r, hash);
    return 0;
}

/* Of a fed domain: does the bound or the answer need the clock? */
static inline bool get_is_timed(const struct tide_bound *bound, const struct tide_answer *a) {
    return a != NULL || bound->max_staleness_ns != TIDE_UNBOUNDED;
}

/* What the home replica of a fed domain can serve. */
struct get_fed {
    uint64_t index, commit, staleness_ns;
};

/*
 * May the home replica serve a read under this bound, which is not 0: does it hold what the source had when it was asked last, is that
 * not too long ago, and does the feed know that such bounds are in use? The clock is read only where the bound or the answer needs it: timed. The
 * loads are those of read_home_fed(), in its order.
 */
static inline bool get_fed_serves(struct tide_reader *r, const struct tide_bound *bound,
                                  const struct replica_board *board, const bool timed, struct get_fed *look) {
    const struct log_segment *log = r->log; /* loaded once: the acquires keep gcc from it */
    const struct feed_board *f = &log->feed;
    /* MO(feed.complete), MO(source.held): acquire; before `applied`. */
    uint64_t ts = atomic_load_explicit(&f->complete_ts, memory_order_acquire);
    uint64_t from = atomic_load_explicit(&f->complete_index, memory_order_acquire);      /* MO(feed.complete) */
    uint64_t held = atomic_load_explicit(&board->source_revision, memory_order_acquire); /* MO(source.held) */
    look->commit = board_commit(log);
    look->index = board_applied(board);
    if (__builtin_expect(look->index < from || look->index < r->fence || held < r->revision || ts == 0 ||
                             (look->index < look->commit && look->commit - look->index > bound->max_lag) ||
                             board_state(board) != REPLICA_SERVING,
                         0)) {
        return false;
    }
    look->staleness_ns = 0;
    if (timed) {
        uint64_t now;
        if (__builtin_expect(!clock_now_quick(&log->clock, &now), 0)) {
            return false;
        }
        look->staleness_ns = source_age(ts, now);
        return __builtin_expect(look->staleness_ns <= bound->max_staleness_ns && now < r->hinted_until &&
                                    bound->max_staleness_ns >= r->hinted_ns,
                                1);
    }
    return true;
}

static inline void get_serve_fed(struct tide_reader *r, struct tide_answer *a, const struct replica_board *board,
                                 const struct get_fed *look) {
    get_count(r, look->index);
    if (a != NULL) {
        const struct verdict within = { .id = r->home,
                                        .leader = reader_board_leads(board),
                                        .index = look->index,
                                        .commit = look->commit,
                                        .staleness_ns = look->staleness_ns,
                                        .reason = TIDE_REASON_WITHIN_BOUND };
        answer_served(a, &within);
    }
}

/* The home replica of a fed domain is another process's. */
__attribute__((flatten, noinline)) static int get_fed_near(struct tide_reader *r, const void *key, size_t key_len,
                                                           const struct tide_bound *bound, void *buf, size_t buf_size,
                                                           struct tide_answer *a) {
    uint64_t hash = XXH3_64bits_withSeed(key, key_len, r->hash_seed);
    rcu_enter_at(r->rcu_word);
    const struct view *home = get_home(r);
    struct get_fed look;
    struct found value;
    if (__builtin_expect(home == NULL || !home->foreign ||
                             !get_fed_serves(r, bound, home->board, get_is_timed(bound, a), &look) ||
                             !view_is_current(home) ||
                             !foreign_hit(home, look.index, hash, key, key_len, buf, buf_size, &value, true),
                         0)) {
        return get_leave(r, key, key_len, bound, buf, buf_size, a);
    }
    get_serve_fed(r, a, home->board, &look);
    rcu_exit_at(r->rcu_word);
    get_value(a, value.size, value.version);
    reader_touch(r, hash);
    return 0;
}

/* A bounded read of a fed domain. Bound 0 asks the source, and is not short. timed: false: a is NULL, and is handed on as it came: a constant in
 * its place would cost the tail calls, and with them registers. */
static inline __attribute__((always_inline)) int get_fed_at(struct tide_reader *r, const void *key, size_t key_len,
                                                            const struct tide_bound *bound, void *buf, size_t buf_size,
                                                            struct tide_answer *a, const bool timed) {
    if (__builtin_expect(!get_is_common(key, key_len, bound, buf, timed ? a : NULL) || bound == NULL ||
                             bound->max_staleness_ns == 0,
                         0)) {
        return read_get_any(r, key, key_len, bound, buf, buf_size, a);
    }
    r->bound = bound;
    rcu_enter_at(r->rcu_word);
    const struct view *home = get_home(r);
    struct get_fed look;
    if (__builtin_expect(home == NULL || home->foreign, 0)) {
        rcu_exit_at(r->rcu_word);
        return get_fed_near(r, key, key_len, bound, buf, buf_size, a);
    }
    if (__builtin_expect(!get_fed_serves(r, bound, home->board, timed, &look), 0)) {
        return get_leave(r, key, key_len, bound, buf, buf_size, a);
    }
    get_serve_fed(r, timed ? a : NULL, home->board, &look);
    return get_of_table(r, &home->table, key, key_len, buf, buf_size, a, true, timed);
}

__attribute__((flatten, noinline)) static int get_fed(struct tide_reader *r, const void *key, size_t key_len,
                                                      const struct tide_bound *bound, void *buf, size_t buf_size,
                                                      struct tide_answer *a) {
    return get_fed_at(r, key, key_len, bound, buf, buf_size, a, true);
}

/* By any staleness, and without an answer: nobody wants to know the time. noclone: nor may gcc put the constant there. */
__attribute__((flatten, noinline, noclone)) static int get_fed_untimed(struct tide_reader *r, const void *key,
                                                                       size_t key_len, const struct tide_bound *bound,
                                                                       void *buf, size_t buf_size,
                                                                       struct tide_answer *a) {
    return get_fed_at(r, key, key_len, bound, buf, buf_size, a, false);
}

/* Another short way, or none. */
static __attribute__((noinline)) int get_elsewhere(struct tide_reader *r, const void *key, size_t key_len,
                                                   const struct tide_bound *bound, void *buf, size_t buf_size,
                                                   struct tide_answer *a) {
    if (r != NULL && r->quick == reader_near()) {
        return get_near(r, key, key_len, bound, buf, buf_size, a);
    }
    return read_get_any(r, key, key_len, bound, buf, buf_size, a);
}

__attribute__((flatten)) /* inlines the hash, too */
int tide_get(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound, void *buf,
             size_t buf_size, struct tide_answer *a) {
    /* The hash loads the key some seventy instructions from here. Where keys lie in memory, this brings the miss of the next get's key into the
     * core's window while this get's own misses are waited for (docs/bars.md). */
    __builtin_prefetch(key);
    if (__builtin_expect(r == NULL || r->quick != reader_here() || !get_is_common(key, key_len, bound, buf, a), 0)) {
        if (r == NULL || r->quick != reader_fed()) {
            return get_elsewhere(r, key, key_len, bound, buf, buf_size, a);
        }
        return bound == NULL || get_is_timed(bound, a) ? get_fed(r, key, key_len, bound, buf, buf_size, a)
                                                       : get_fed_untimed(r, key, key_len, bound, buf, buf_size, a);
    }
    r->bound = bound; /* get_search() and get_rest() have no register for it */
    rcu_enter_at(r->rcu_word);
    const struct view *home = get_home(r);
    uint64_t commit = board_commit(r->log);
    if (__builtin_expect(home == NULL || home->foreign, 0)) {
        return get_leave(r, key, key_len, bound, buf, buf_size, a);
    }
    const struct replica_board *board = home->board;
    uint64_t index = board_applied(board);
    if (__builtin_expect(index < commit || index < r->fence || board_state(board) != REPLICA_SERVING, 0)) {
        return get_later(r, key, key_len, bound, buf, buf_size, a);
    }
    get_serve(r, a, reader_board_leads(board),
              index); /* from here on the home replica serves this read, whatever it finds */
    return get_of_table(r, &home->table, key, key_len, buf, buf_size, a, false, true);
}
