/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls of a session: tests/lib/explore.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/explore.h"
#include "tests/lib/stress_util.h"

#define MS UINT64_C(1000000)
#define MORE_NS (1100 * MS) /* what a read that falls back to the leader may wait longer */
#define E EXPLORE_E
#define WRITE (E(TOO_BIG) | E(FULL) | E(NO_LEADER) | E(TIMEOUT) | E(UNKNOWN))

static uint64_t below(struct explore_thread *t, uint64_t n) {
    return stress_below(&t->rng, n);
}

static bool chance(struct explore_thread *t, uint64_t percent) {
    return below(t, 100) < percent;
}

void explore_begin(struct explore_thread *t, const char *what, uint64_t most_ns) {
    atomic_store(&t->call->began_ns, explore_now());
    atomic_store(&t->call->most_ns, most_ns);
    atomic_store(&t->call->what, what);
    atomic_fetch_add(&t->call->calls, 1);
}

void explore_end(struct explore_thread *t, int error, uint64_t may) {
    const char *what = atomic_exchange(&t->call->what, NULL);
    bool leaves = atomic_load(t->closing) || explore->s.wild || atomic_load(&explore->ending);
    may |= leaves ? E(CLOSED) | E(GONE) : 0;
    if (error < 0 && error > -40) {
        atomic_fetch_add(&explore->errors[-error], 1);
    }
    if (error != 0 && (error > 0 || error < -63 || (may >> -error & 1) == 0)) {
        explore_fail("%s answered %d, %s", what, error, tide_strerror(error));
    }
}

/* ---- what is drawn --------------------------------------------------------------------------------------------------- */

static uint32_t draw_loose(struct explore_thread *t) {
    return (uint32_t)(chance(t, 50) ? below(t, 12) : chance(t, 1) ? 399 : below(t, EXPLORE_LOOSE - 1));
}

static uint32_t draw_any(struct explore_thread *t) {
    return chance(t, 40) ? EXPLORE_LOOSE + (uint32_t)below(t, EXPLORE_KEYS - EXPLORE_LOOSE) : draw_loose(t);
}

static uint64_t draw_size(struct explore_thread *t) {
    uint64_t limit = explore->s.ring_bytes / 4, at = limit - 200 + below(t, 300);
    switch (below(t, 40)) {
    case 0:
        return 0;
    case 1:
        return at < EXPLORE_VALUE_MOST ? at : EXPLORE_VALUE_MOST;
    case 2:
    case 3:
        return below(t, limit < 20000 ? limit : 20000);
    default:
        return below(t, chance(t, 60) ? 64 : 1000);
    }
}

static uint64_t draw_ttl(struct explore_thread *t) {
    static const uint64_t ttls[] = { 0, 0, 1, MS, 5 * MS, 40 * MS, 400 * MS, 3600000 * MS, TIDE_TTL_NONE };
    return ttls[below(t, sizeof(ttls) / sizeof(ttls[0]))];
}

/* A bound, and what a read by it may answer beside what it found. */
static struct tide_bound draw_bound(struct explore_thread *t, uint64_t *may, uint64_t *most_ns) {
    static const uint64_t staleness[] = { 0, 0, 1, 100000, 2 * MS, 20 * MS, 1000 * MS, TIDE_UNBOUNDED };
    struct tide_bound b = TIDE_BOUND_INIT;
    b.fallback = (uint32_t)below(t, 4);
    b.max_staleness_ns = staleness[below(t, 8)];
    b.max_lag = chance(t, 70) ? TIDE_UNBOUNDED : below(t, 50);
    b.wait_ns = chance(t, 50) ? 0 : below(t, 30 * MS);
    *may = E(NO_REPLICA);
    *may |= b.fallback == TIDE_FALLBACK_LEADER ? E(NO_LEADER) | E(TIMEOUT) : 0;
    *may |= b.fallback == TIDE_FALLBACK_WAIT ? E(TIMEOUT) : 0;
    *may |= b.fallback == TIDE_FALLBACK_ERROR || b.fallback == TIDE_FALLBACK_STALE ? E(REFUSED) : 0;
    *most_ns = b.wait_ns + MORE_NS;
    if (chance(t, 10)) {
        b.min = t->token;
    }
    return b;
}

/* ---- what an answer must say ------------------------------------------------------------------------------------------- */

static bool was_served(int error) {
    return error == 0 || error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_BUFFER;
}

/* `began`: before the call; `acked`: the highest index that was acknowledged by then (of the key, where there is one). */
static void check_answer(struct explore_thread *t, const char *what, const struct tide_bound *b,
                         const struct tide_answer *a, uint64_t began) {
    if (a->stale == 0 && (a->index < t->fence || (b->min.index > a->index && b->min.incarnation != 0))) {
        explore_fail("%s: index %llu is behind the fence %llu, or behind %llu", what, (unsigned long long)a->index,
                     (unsigned long long)t->fence, (unsigned long long)b->min.index);
    }
    if (a->stale == 0 && a->linearizable == 0 && a->staleness_ns > b->max_staleness_ns) {
        explore_fail("%s: %llu ns stale by a bound of %llu, reason %s", what, (unsigned long long)a->staleness_ns,
                     (unsigned long long)b->max_staleness_ns, tide_reason_name(a->reason));
    }
    if (a->stale == 0 && a->commit_index > a->index && a->commit_index - a->index > b->max_lag) {
        explore_fail("%s: %llu entries behind, by a bound of %llu", what,
                     (unsigned long long)(a->commit_index - a->index), (unsigned long long)b->max_lag);
    }
    if (a->stale != 0 && b->fallback != TIDE_FALLBACK_STALE) {
        explore_fail("%s: stale by fallback %u", what, b->fallback);
    }
    uint64_t acked = explore_acked_before(began - (a->linearizable != 0 ? 0 : a->staleness_ns));
    if (explore->s.wild == 0 && a->staleness_ns < began && a->index < acked) {
        explore_fail("%s: index %llu, %llu ns stale, linearizable %u; %llu was acknowledged before that", what,
                     (unsigned long long)a->index, (unsigned long long)a->staleness_ns, a->linearizable,
                     (unsigned long long)acked);
    }
    if (a->stale == 0) {
        t->fence = a->index > t->fence ? a->index : t->fence;
    }
}

/* A read at `index` of this key, which was acknowledged up to `acked` before, found a version, or (0) none. */
static void check_version(const char *what, uint32_t k, uint64_t index, uint64_t version, uint64_t acked) {
    if (version > index) {
        explore_fail("%s: version %llu at index %llu", what, (unsigned long long)version, (unsigned long long)index);
    }
    if (explore->s.wild != 0 || acked > index) {
        return;
    }
    bool stays = k >= EXPLORE_LOOSE;
    if (version < acked && (version != 0 || stays)) {
        explore_fail("%s: key %u has version %llu at index %llu; %llu was acknowledged before the read", what, k,
                     (unsigned long long)version, (unsigned long long)index, (unsigned long long)acked);
    }
}

static void check_value(const char *what, const void *key, uint64_t key_len, const void *value, uint64_t size) {
    if (!explore_is_of(key, key_len, value, size)) {
        explore_fail("%s: %llu bytes were never written for the key %.20s", what, (unsigned long long)size,
                     (const char *)key);
    }
}

/* ---- reads ----------------------------------------------------------------------------------------------------------- */

static void step_get(struct explore_thread *t) {
    static _Thread_local uint8_t key[EXPLORE_KEY_MOST];
    uint32_t k = draw_any(t);
    uint64_t len = explore_key(k, key), may, most, acked = atomic_load(&explore->acked[k]), began = explore_now();
    struct tide_bound b = draw_bound(t, &may, &most);
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint64_t room = chance(t, 80) ? EXPLORE_VALUE_MOST : below(t, 100);
    explore_begin(t, "get", most);
    int error = tide_get(t->r, key, len, &b, t->value, room, &a);
    explore_end(t, error, may | E(NOT_FOUND) | (room < EXPLORE_VALUE_MOST ? E(BUFFER) : 0));
    atomic_fetch_add(&explore->reads, 1);
    if (was_served(error)) {
        check_answer(t, "get", &b, &a, began);
        check_version("get", k, a.index, error == TIDE_ERR_NOT_FOUND ? 0 : a.version, acked);
    }
    if (error == 0) {
        check_value("get", key, len, t->value, a.value_size);
    }
}

static void step_mget(struct explore_thread *t) {
    enum { N = 24 };
    static _Thread_local uint8_t keys[N][1024], values[N][1100];
    struct tide_mget_item items[N] = { 0 };
    uint32_t k[N];
    uint64_t acked[N], may, most, n = 2 + below(t, N - 1), began = explore_now();
    struct tide_bound b = draw_bound(t, &may, &most);
    struct tide_answer a = TIDE_ANSWER_INIT;
    for (uint64_t i = 0; i < n; i++) {
        k[i] = i < 2 ? EXPLORE_LOOSE + EXPLORE_KEPT + (uint32_t)i : draw_any(t) % 399;
        acked[i] = atomic_load(&explore->acked[k[i]]);
        items[i] = (struct tide_mget_item){ .key = keys[i], .buf = values[i], .buf_size = sizeof(values[i]) };
        items[i].key_len = explore_key(k[i], keys[i]);
    }
    explore_begin(t, "mget", most);
    int error = tide_mget(t->r, items, n, &b, &a);
    explore_end(t, error, may);
    atomic_fetch_add(&explore->reads, n);
    if (error != 0) {
        return;
    }
    check_answer(t, "mget", &b, &a, began);
    for (uint64_t i = 0; i < n; i++) {
        if (!was_served(items[i].result)) {
            explore_fail("mget: an item has %d", items[i].result);
        }
        bool found = items[i].result != TIDE_ERR_NOT_FOUND;
        check_version("mget", k[i], a.index, found ? items[i].version : 0, acked[i]);
        if (items[i].result == 0) {
            check_value("mget", keys[i], items[i].key_len, values[i], items[i].value_size);
        }
    }
    /* The first two are a pair. */
    if (explore->s.loads == 0 && items[0].result == 0 && items[1].result == 0 &&
        (items[0].version + 1 != items[1].version)) {
        explore_fail("mget: of one batch, the versions %llu and %llu", (unsigned long long)items[0].version,
                     (unsigned long long)items[1].version);
    }
}

struct visit {
    struct explore_thread *t;
    uint64_t index, count, stop_after;
};

static int visit_one(void *ctx, const struct tide_entry *e) {
    struct visit *v = ctx;
    check_value("visit", e->key, e->key_len, e->value, e->value_size);
    if (e->version > v->index || (e->flags & TIDE_DAMAGED) != 0) {
        explore_fail("visit: version %llu at index %llu, flags %x", (unsigned long long)e->version,
                     (unsigned long long)v->index, e->flags);
    }
    return ++v->count == v->stop_after ? 77 : 0;
}

static void step_section(struct explore_thread *t) {
    static _Thread_local uint8_t key[EXPLORE_KEY_MOST];
    uint64_t may, most, began = explore_now();
    struct tide_bound b = draw_bound(t, &may, &most);
    struct tide_answer a = TIDE_ANSWER_INIT;
    explore_begin(t, "section_begin", most);
    int error = tide_section_begin(t->r, &b, &a);
    explore_end(t, error, may | E(LOST));
    if (error != 0) {
        return;
    }
    check_answer(t, "section", &b, &a, began);
    for (uint64_t n = below(t, 12); n > 0; n--) {
        uint32_t k = draw_any(t);
        uint64_t len = explore_key(k, key), version = 0, again = 0;
        size_t size = 0;
        const void *at = t->value;
        bool peeks = chance(t, 40);
        explore_begin(t, peeks ? "section_peek" : "section_get", 0);
        error = peeks ? tide_section_peek(t->r, key, len, &at, &size, &version)
                      : tide_section_get(t->r, key, len, t->value, EXPLORE_VALUE_MOST, &size, &version);
        explore_end(t, error, E(NOT_FOUND) | E(LOST) | (peeks ? E(NOT_LOCAL) : 0));
        if (error == 0) {
            check_value("section", key, len, at, size);
            check_version("section", k, a.index, version, 0);
            explore_begin(t, "section_get again", 0);
            error = tide_section_get(t->r, key, len, t->other, EXPLORE_VALUE_MOST, &size, &again);
            explore_end(t, error, E(LOST));
            if (error == 0 && (again != version || (size != 0 && memcmp(t->other, at, size) != 0))) {
                explore_fail("section: a key changed in it");
            }
        }
        if (chance(t, 10)) {
            stress_sleep_ns(below(t, 3 * MS));
        }
    }
    if (chance(t, 40)) {
        struct visit v = { .t = t, .index = a.index, .stop_after = chance(t, 30) ? 1 + below(t, 50) : 0 };
        explore_begin(t, "section_visit", 0);
        error = tide_section_visit(t->r, visit_one, &v);
        explore_end(t, error == 77 && v.count == v.stop_after ? 0 : error, E(LOST));
    }
    explore_begin(t, "section_end", 0);
    explore_end(t, tide_section_end(t->r), 0);
}

/* ---- writes ---------------------------------------------------------------------------------------------------------- */

static uint64_t write_ns(void) {
    return explore->s.write_timeout_ns + explore->s.slow_follower_ns;
}

static void acked(struct explore_thread *t, uint32_t k, const struct tide_token *token) {
    t->token = *token;
    t->fence = token->index > t->fence ? token->index : t->fence;
    explore_acked(k, token->index);
    atomic_fetch_add(&explore->writes, 1);
}

static void step_kept(struct explore_thread *t) {
    uint8_t key[32];
    uint32_t k = EXPLORE_LOOSE + (uint32_t)below(t, EXPLORE_KEPT);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    struct tide_token token;
    uint64_t len = explore_key(k, key), size = explore_value(k, t->writer, below(t, 200), t->value);
    o.ttl_ns = TIDE_TTL_NONE;
    o.flags = TIDE_KEEP;
    explore_begin(t, "put of a kept key", write_ns());
    int error = tide_put_with(t->d, t->r, key, len, t->value, size, &o, &token);
    explore_end(t, error, WRITE & ~E(TOO_BIG));
    if (error == 0) {
        acked(t, k, &token);
    }
}

static void step_pair(struct explore_thread *t) {
    uint8_t keys[2][32];
    uint32_t k = EXPLORE_LOOSE + EXPLORE_KEPT + 2 * (uint32_t)below(t, EXPLORE_PAIRS);
    struct tide_write_op ops[2] = { TIDE_WRITE_OP_INIT, TIDE_WRITE_OP_INIT };
    struct tide_token token;
    for (uint32_t i = 0; i < 2; i++) {
        uint8_t *value = i == 0 ? t->value : t->other;
        ops[i].kind = TIDE_OP_PUT;
        ops[i].flags = TIDE_KEEP;
        ops[i].ttl_ns = TIDE_TTL_NONE;
        ops[i].key = keys[i];
        ops[i].key_len = explore_key(k + i, keys[i]);
        ops[i].value = value;
        ops[i].value_size = explore_value(k + i, t->writer, 16 + below(t, 100), value);
    }
    explore_begin(t, "write of a pair", write_ns());
    int error = tide_write(t->d, t->r, ops, 2, &token, NULL);
    explore_end(t, error, WRITE & ~E(TOO_BIG));
    if (error == 0) {
        acked(t, k + 1, &token);
        explore_acked(k, token.index - 1);
        if (ops[1].index != token.index || ops[0].index != token.index - 1) {
            explore_fail("write: indexes %llu and %llu, token %llu", (unsigned long long)ops[0].index,
                         (unsigned long long)ops[1].index, (unsigned long long)token.index);
        }
    }
}

static void step_sum(struct explore_thread *t) {
    uint8_t key[32];
    uint32_t s = (uint32_t)below(t, EXPLORE_SUMS), k = EXPLORE_KEYS - EXPLORE_SUMS + s;
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    struct tide_token token;
    int64_t sum = 0, delta = 1 + (int64_t)below(t, 9);
    uint64_t len = explore_key(k, key);
    o.flags = TIDE_KEEP;
    o.ttl_ns = TIDE_TTL_NONE;
    /* Doubted first: a process may be killed in the call. */
    atomic_fetch_add(&explore->doubted[s], delta);
    explore_begin(t, "add to a sum", write_ns());
    int error = tide_add(t->d, t->r, key, len, delta, &o, &token, &sum);
    explore_end(t, error, WRITE & ~E(TOO_BIG));
    if (error == 0) {
        acked(t, k, &token);
        int64_t added = atomic_fetch_add(&explore->added[s], delta) + delta;
        (void)added;
    }
    if (error != TIDE_ERR_UNKNOWN) {
        atomic_fetch_sub(&explore->doubted[s], delta);
    }
}

static void step_write(struct explore_thread *t) {
    static _Thread_local uint8_t key[EXPLORE_KEY_MOST];
    uint32_t k = draw_loose(t);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    struct tide_token token = { 0, 0 };
    uint64_t len = explore_key(k, key), size = draw_size(t), most = write_ns(), found = 0;
    uint64_t may = WRITE;
    int64_t sum;
    int error;
    may &= len + size + 256 < explore->s.ring_bytes / 4 ? ~E(TOO_BIG) : UINT64_MAX;
    o.ttl_ns = draw_ttl(t);
    o.flags = chance(t, 3) ? TIDE_KEEP : 0;
    switch (below(t, 20)) {
    case 0:
    case 1:
    case 2:
        explore_begin(t, "delete", most);
        error = tide_delete(t->d, t->r, key, len, &token);
        explore_end(t, error, may & ~E(FULL));
        break;
    case 3:
    case 4:
        explore_begin(t, "touch", most);
        error = tide_touch(t->d, t->r, key, len, o.ttl_ns, &token);
        explore_end(t, error, WRITE | E(NOT_FOUND));
        break;
    case 5:
    case 6:
        explore_begin(t, "add", most);
        error = tide_add(t->d, t->r, key, len, chance(t, 20) ? INT64_MAX : (int64_t)below(t, 100), &o, &token, &sum);
        explore_end(t, error, may | E(NUMBER) | E(OVERFLOW));
        break;
    case 7:
    case 8:
    case 9:
        explore_value(k, t->writer, size, t->value);
        explore_begin(t, "cas", most);
        error = tide_cas_with(t->d, t->r, key, len, chance(t, 50) ? 0 : atomic_load(&explore->acked[k]), t->value, size,
                              &o, &token, &found);
        explore_end(t, error, may | E(MISMATCH));
        break;
    default:
        explore_value(k, t->writer, size, t->value);
        explore_begin(t, "put", most);
        error = tide_put_with(t->d, t->r, key, len, t->value, size, &o, &token);
        explore_end(t, error, may);
    }
    if (error == 0) {
        acked(t, k, &token);
    }
}

/* Some twenty operations of all kinds at once, or very many small ones. */
static void step_batch(struct explore_thread *t) {
    enum { MOST = 400 };
    static _Thread_local uint8_t keys[MOST][512], values[MOST][1024];
    static _Thread_local struct tide_write_op ops[MOST];
    static _Thread_local uint32_t k[MOST];
    uint64_t n = chance(t, 90) ? 1 + below(t, 20) : 1 + below(t, MOST);
    struct tide_token token;
    size_t failed = SIZE_MAX;
    for (uint64_t i = 0; i < n; i++) {
        k[i] = draw_loose(t) % 399;
        ops[i] = (struct tide_write_op)TIDE_WRITE_OP_INIT;
        ops[i].kind = chance(t, 60) ? TIDE_OP_PUT : TIDE_OP_PUT + (uint32_t)below(t, 5);
        ops[i].key = keys[i];
        ops[i].key_len = explore_key(k[i], keys[i]);
        ops[i].ttl_ns = ops[i].kind == TIDE_OP_DELETE ? 0 : draw_ttl(t);
        ops[i].delta = (int64_t)below(t, 100);
        if (ops[i].kind == TIDE_OP_PUT || ops[i].kind == TIDE_OP_CAS) {
            ops[i].value = values[i];
            ops[i].value_size = explore_value(k[i], t->writer, below(t, n > 20 ? 100 : 1024), values[i]);
            ops[i].expected = ops[i].kind == TIDE_OP_CAS ? atomic_load(&explore->acked[k[i]]) : 0;
        }
    }
    explore_begin(t, "write", write_ns());
    int error = tide_write(t->d, t->r, ops, n, &token, &failed);
    explore_end(t, error, WRITE | E(MISMATCH) | E(NOT_FOUND) | E(NUMBER) | E(OVERFLOW));
    bool named = error == TIDE_ERR_MISMATCH || error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_NUMBER ||
                 error == TIDE_ERR_OVERFLOW;
    if (named && failed >= n) {
        explore_fail("write: %s, at position %zu of %llu", tide_strerror(error), failed, (unsigned long long)n);
    }
    for (uint64_t i = 0; error == 0 && i < n; i++) {
        if (ops[i].index != token.index - n + 1 + i) {
            explore_fail("write: operation %llu of %llu has index %llu, the token %llu", (unsigned long long)i,
                         (unsigned long long)n, (unsigned long long)ops[i].index, (unsigned long long)token.index);
        }
        explore_acked(k[i], ops[i].index);
    }
    if (error == 0) {
        acked(t, k[n - 1], &token);
    }
}

/* ---- watch, make --------------------------------------------------------------------------------------------------------- */

static void step_watch(struct explore_thread *t) {
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_watch *w = NULL;
    struct tide_event e = TIDE_EVENT_INIT;
    struct tide_token at;
    uint64_t kind = below(t, 4), last = 0;
    o.flags = kind == 0 ? TIDE_WATCH_INITIAL : 0;
    o.from = kind == 1 ? t->token : (struct tide_token){ 0, 0 };
    o.prefix = kind == 3 ? NULL : chance(t, 50) ? "pair" : "key0000001";
    o.prefix_len = o.prefix == NULL ? 0 : strlen(o.prefix);
    pthread_mutex_lock(t->opens);
    int error = TIDE_ERR_CLOSED;
    if (!atomic_load(t->closing)) {
        explore_begin(t, "watch_open", 2000 * MS);
        error = tide_watch_open(t->d, &o, &w);
        explore_end(t, error, kind == 0 ? E(NO_REPLICA) | E(LOST) : 0);
    }
    pthread_mutex_unlock(t->opens);
    if (error != 0) {
        return;
    }
    bool initial = kind == 0;
    for (uint64_t n = below(t, 400); n > 0 && error == 0; n--) {
        explore_begin(t, "watch_next", 20 * MS);
        error = tide_watch_next(w, &e, below(t, 20 * MS));
        explore_end(t, error, E(TIMEOUT) | E(LOST));
        if (error != 0) {
            break;
        }
        atomic_fetch_add(&explore->events, 1);
        if (e.kind == TIDE_EVENT_SYNCED) {
            initial = false;
            last = e.index;
            continue;
        }
        if (!initial && e.index <= last) {
            explore_fail("watch: index %llu after %llu", (unsigned long long)e.index, (unsigned long long)last);
        }
        last = initial ? last : e.index;
        if (e.key_len < o.prefix_len || (o.prefix_len != 0 && memcmp(e.key, o.prefix, o.prefix_len) != 0)) {
            explore_fail("watch: a key without the prefix");
        }
        if (e.kind == TIDE_EVENT_PUT) {
            check_value("watch", e.key, e.key_len, e.value, e.value_size);
        }
        if (chance(t, 2)) {
            explore_begin(t, "watch_token", 0);
            explore_end(t, tide_watch_token(w, &at), initial ? E(BUSY) : 0);
        }
    }
    explore_begin(t, "watch_oldest", 0);
    explore_end(t, tide_watch_oldest(w, &at), 0);
    explore_begin(t, "watch_close", 0);
    explore_end(t, tide_watch_close(w), 0);
}

struct maker {
    struct explore_thread *t;
    uint32_t k;
    int says;
};

static int make_value(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *size) {
    struct maker *m = ctx;
    (void)key, (void)key_len;
    if (chance(m->t, 30)) {
        stress_sleep_ns(below(m->t, 3 * MS));
    }
    if (m->says != 0) {
        return m->says;
    }
    uint64_t bytes = below(m->t, buf_size < 500 ? buf_size : 500);
    *size = explore_value(m->k, m->t->writer, bytes, buf);
    return 0;
}

static void step_make(struct explore_thread *t) {
    static _Thread_local uint8_t key[EXPLORE_KEY_MOST];
    uint64_t may, most;
    struct maker m = { .t = t, .k = draw_loose(t) % 399, .says = chance(t, 10) ? 5 : 0 };
    struct tide_make_opts o = TIDE_MAKE_OPTS_INIT;
    struct tide_bound b = draw_bound(t, &may, &most);
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint64_t len = explore_key(m.k, key);
    o.ttl_ns = draw_ttl(t);
    o.wait_ns = chance(t, 30) ? 0 : below(t, 100 * MS);
    o.stale_ns = chance(t, 50) ? 0 : below(t, 10 * MS);
    explore_begin(t, "get_or_make", most * 3 + o.wait_ns + write_ns());
    int error = tide_get_or_make(t->r, key, len, &b, &o, make_value, &m, t->value, EXPLORE_VALUE_MOST, &a);
    explore_end(t, error == 5 && m.says == 5 ? 0 : error, may | WRITE | E(TIMEOUT) | E(BUSY)); /* BUSY: as above */
    if (error == 0) {
        check_value("get_or_make", key, len, t->value, a.value_size);
    }
}

static void step_lease(struct explore_thread *t) {
    uint8_t key[512];
    uint64_t len = explore_key(draw_loose(t) % 399, key), wait = chance(t, 50) ? 0 : below(t, 20 * MS);
    struct tide_lease lease = TIDE_LEASE_INIT;
    explore_begin(t, "lease_take", wait + 1000 * MS);
    int error = tide_lease_take(t->r, key, len, wait, &lease);
    explore_end(t, error, E(TIMEOUT) | E(BUSY)); /* BUSY: one that was not given up */
    if (error == 0 && lease.state == TIDE_LEASE_TAKEN && chance(t, 90)) {
        explore_begin(t, "lease_release", 0);
        explore_end(t, tide_lease_release(t->r, &lease, (int)below(t, 2)), 0);
    }
}

static void step_token(struct explore_thread *t) {
    struct tide_token token;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    explore_begin(t, "reader_token", 0);
    int error = tide_reader_token(t->r, &token);
    explore_end(t, error, 0);
    if (error == 0) {
        if (token.index < t->fence) {
            explore_fail("reader_token: %llu, the session was at %llu", (unsigned long long)token.index,
                         (unsigned long long)t->fence);
        }
        explore_begin(t, "reader_observe", 0);
        explore_end(t, tide_reader_observe(t->r, &token), 0);
    }
    explore_begin(t, "reader_counts", 0);
    explore_end(t, tide_reader_counts(t->r, &counts), 0);
}

void explore_step(struct explore_thread *t) {
    static void (*const steps[])(struct explore_thread *) = {
        step_get,   step_get,   step_get,   step_get,   step_get,   step_get,  step_mget,  step_mget,  step_section,
        step_kept,  step_kept,  step_pair,  step_pair,  step_sum,   step_sum,  step_write, step_write, step_write,
        step_write, step_write, step_write, step_batch, step_watch, step_make, step_make,  step_lease, step_token,
    };
    steps[below(t, sizeof(steps) / sizeof(steps[0]))](t);
}

void explore_settled(struct explore_thread *t) {
    uint8_t key[32];
    for (uint32_t k = EXPLORE_LOOSE; k < EXPLORE_KEYS; k++) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        uint64_t len = explore_key(k, key), index = atomic_load(&explore->acked[k]);
        explore_begin(t, "get when all is settled", MORE_NS);
        int error = tide_get(t->r, key, len, NULL, t->value, EXPLORE_VALUE_MOST, &a);
        explore_end(t, error, E(NOT_FOUND));
        check_version("in the end", k, a.index, error == 0 ? a.version : 0, index);
        if (k < EXPLORE_KEYS - EXPLORE_SUMS || explore->s.loads != 0 || (error != 0 && error != TIDE_ERR_NOT_FOUND)) {
            continue;
        }
        t->value[error == 0 ? a.value_size : 0] = '\0';
        int64_t sum = strtoll((const char *)t->value, NULL, 10);
        int64_t least = atomic_load(&explore->added[k - (EXPLORE_KEYS - EXPLORE_SUMS)]);
        int64_t most = least + atomic_load(&explore->doubted[k - (EXPLORE_KEYS - EXPLORE_SUMS)]);
        if (sum < least || sum > most) {
            explore_fail("a sum is %lld, %lld was added for certain, %lld at most", (long long)sum, (long long)least,
                         (long long)most);
        }
    }
}
