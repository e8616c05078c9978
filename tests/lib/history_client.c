/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The work of a session, and its record: the session records a call before it makes it, and an answer whole or not at all. */
#include <sched.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "shm/nap.h"
#include "shm/park.h"
#include "tests/lib/history_shared.h"

#define CLIENT_OPS_MOST 4u /* keys of one snapshot or batch */

uint64_t history_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t client_key(char *to, uint32_t round, uint32_t key) {
    return (size_t)sprintf(to, "history-%u-%u", round, key);
}

/* ---- values: their length and every byte follow from their number, so that a torn one shows ----------------------------- */

static size_t client_value_size(uint64_t value) {
    struct help_rng r = { value };
    uint64_t x = help_random(&r);
    /* Many of the sizes that engine/read/get.c serves itself. */
    return x % 4 == 0 ? SHARED_VALUE_MAX : x % 4 == 1 ? 32 + x / 4 % 33 : 8 + x / 4 % 200;
}

static size_t client_make_value(uint8_t *to, uint64_t value) {
    size_t size = client_value_size(value);
    struct help_rng r = { value };
    memcpy(to, &value, 8);
    for (size_t at = 8; at < size; at += 8) {
        uint64_t x = help_random(&r);
        memcpy(to + at, &x, size - at < 8 ? size - at : 8);
    }
    return size;
}

/* The last key of a history with lives is a counter: its values are decimal text. */
static bool client_is_counter(const struct history_client *c, uint32_t key) {
    return c->shared->lives && key + 1 == atomic_load(&c->shared->keys);
}

static size_t client_make(const struct history_client *c, uint32_t key, uint8_t *to, uint64_t value) {
    return client_is_counter(c, key) ? (size_t)sprintf((char *)to, "%" PRIu64, value) : client_make_value(to, value);
}

static uint64_t client_number_of(const uint8_t *bytes, size_t size) {
    char text[24] = { 0 }, *end;
    if (size == 0 || size >= sizeof(text)) {
        return HISTORY_TORN;
    }
    memcpy(text, bytes, size);
    uint64_t value = strtoull(text, &end, 10);
    return *end == 0 && value != 0 ? value : HISTORY_TORN;
}

static uint64_t client_value_of(const uint8_t *bytes, size_t size) {
    static _Thread_local uint8_t expected[SHARED_VALUE_MAX];
    uint64_t value;
    if (size < 8) {
        return HISTORY_TORN;
    }
    memcpy(&value, bytes, 8);
    bool whole = client_make_value(expected, value) == size && memcmp(expected, bytes, size) == 0;
    return whole ? value : HISTORY_TORN;
}

/* ---- records ------------------------------------------------------------------------------------------------------------ */

static struct shared_record *client_begin(struct history_client *c, uint32_t n, enum history_kind kind, uint32_t key) {
    uint32_t at = atomic_load(&c->slot->called);
    struct shared_record *r = &c->slot->records[at];
    for (uint32_t i = 0; i < n; i++) {
        atomic_store(&r[i].answered, 0);
        r[i].op = (struct history_op){
            .session = c->session,
            .key = (uint16_t)key,
            .kind = (uint8_t)kind,
            .value = kind == HISTORY_PUT || kind == HISTORY_CAS
                         ? (uint64_t)c->round << 32 | (uint64_t)c->number << 24 | (at + i + 1)
                         : 0,
        };
    }
    return r;
}

/* The last thing before the call. */
static void client_call(struct history_client *c, struct shared_record *r, uint32_t n) {
    uint64_t now = history_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        r[i].op.call_ns = now;
    }
    atomic_fetch_add(&c->slot->called, n);
}

static void client_return(struct shared_record *r, uint32_t n) {
    uint64_t now = history_now_ns();
    for (uint32_t i = 0; i < n; i++) {
        r[i].op.ret_ns = r[i].op.outcome == HISTORY_PENDING ? HISTORY_NEVER : now;
    }
    for (uint32_t i = 0; i < n; i++) {
        atomic_store(&r[i].answered, 1);
    }
}

/* ---- reads --------------------------------------------------------------------------------------------------------------- */

static void client_note_bound(struct history_op *op, const struct tide_bound *b) {
    op->max_staleness_ns = b->max_staleness_ns;
    op->max_lag = b->max_lag;
    op->min_index = b->min.index;
    op->may_be_stale = b->fallback == TIDE_FALLBACK_STALE;
}

static void client_note_answer(struct history_op *op, const struct tide_answer *a) {
    op->index = a->index;
    op->commit = a->commit_index;
    op->staleness_ns = a->staleness_ns;
    op->linearizable = a->linearizable != 0;
    op->stale = a->stale != 0;
    op->reason = (uint8_t)a->reason;
    op->served_by = (uint8_t)a->served_by;
}

static void client_note_value(const struct history_client *c, struct history_op *op, int result, const uint8_t *bytes,
                              size_t size, uint64_t version) {
    op->outcome = result == 0 || result == TIDE_ERR_NOT_FOUND ? HISTORY_DONE : HISTORY_FAILED;
    op->error = op->outcome == HISTORY_FAILED ? result : 0;
    op->version = result == 0 ? version : 0;
    op->value = result != 0                     ? 0
                : client_is_counter(c, op->key) ? client_number_of(bytes, size)
                                                : client_value_of(bytes, size);
}

static void client_saw(struct history_client *c, const struct history_op *op) {
    if (op->outcome == HISTORY_DONE) {
        c->seen[op->key].version = op->version;
        c->seen[op->key].value = op->value;
    }
}

static uint64_t client_incarnation(struct history_client *c) {
    struct tide_token t = { 0, 0 };
    tide_reader_token(c->reader, &t);
    return t.incarnation;
}

static struct tide_bound client_bound(struct history_client *c) {
    static const uint64_t staleness[] = { 20000, 100000, 500000, 2000000, 10000000, TIDE_UNBOUNDED };
    struct help_rng *r = &c->rng;
    struct tide_bound b = TIDE_BOUND_INIT;
    if (c->leisurely || help_below(r, 2) == 0) {
        b.max_staleness_ns = staleness[help_below(r, sizeof(staleness) / sizeof(staleness[0]))];
        b.max_lag = help_below(r, 8) == 0 ? help_below(r, 4) : TIDE_UNBOUNDED;
    }
    b.fallback = (uint32_t)help_below(r, b.max_staleness_ns == 0 ? 3 : 4);
    b.wait_ns = b.fallback == TIDE_FALLBACK_WAIT ? help_below(r, 3000000) : help_below(r, 4) == 0 ? 100000 : 0;
    uint64_t index = atomic_load(&c->shared->slots[help_below(r, SHARED_SLOTS)].index);
    if (help_below(r, 10) == 0 && index != 0) {
        b.min = (struct tide_token){ client_incarnation(c), index };
    }
    return b;
}

static void client_get(struct history_client *c, uint32_t key) {
    static _Thread_local uint8_t buf[SHARED_VALUE_MAX];
    struct tide_bound bound = client_bound(c);
    struct tide_answer a = TIDE_ANSWER_INIT;
    char name[48];
    size_t len = client_key(name, c->round, key);
    struct shared_record *r = client_begin(c, 1, HISTORY_GET, key);
    client_note_bound(&r->op, &bound);
    client_call(c, r, 1);
    int result = tide_get(c->reader, name, len, &bound, buf, sizeof(buf), &a);
    client_note_answer(&r->op, &a);
    client_note_value(c, &r->op, result, buf, a.value_size, a.version);
    r->op.left_ns = result == 0 ? a.ttl_ns : 0;
    client_return(r, 1);
    client_saw(c, &r->op);
}

static void client_prepare_items(struct history_client *c, struct tide_mget_item *items, uint32_t n, uint32_t first,
                                 struct shared_record *r, char names[][48], uint8_t bufs[][SHARED_VALUE_MAX],
                                 const struct tide_bound *bound) {
    uint32_t keys = atomic_load(&c->shared->keys);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t key = (first + i) % keys;
        r[i].op.key = (uint16_t)key;
        client_note_bound(&r[i].op, bound);
        items[i] = (struct tide_mget_item){ .key = names[i],
                                            .key_len = client_key(names[i], c->round, key),
                                            .buf = bufs[i],
                                            .buf_size = SHARED_VALUE_MAX };
    }
}

static void client_finish_items(struct history_client *c, const struct tide_mget_item *items, uint32_t n, int error,
                                struct shared_record *r, const struct tide_answer *a) {
    for (uint32_t i = 0; i < n; i++) {
        client_note_answer(&r[i].op, a);
        client_note_value(c, &r[i].op, error != 0 ? error : items[i].result, items[i].buf, items[i].value_size,
                          items[i].version);
    }
    client_return(r, n);
    for (uint32_t i = 0; i < n; i++) {
        client_saw(c, &r[i].op);
    }
}

static int client_mget_of(struct history_client *c, uint32_t first, uint32_t n, const struct tide_bound *bound,
                          struct shared_record *r) {
    static _Thread_local uint8_t bufs[HISTORY_KEYS][SHARED_VALUE_MAX];
    char names[HISTORY_KEYS][48];
    struct tide_mget_item items[HISTORY_KEYS];
    struct tide_answer a = TIDE_ANSWER_INIT;
    client_prepare_items(c, items, n, first, r, names, bufs, bound);
    client_call(c, r, n);
    int error = tide_mget(c->reader, items, n, bound, &a);
    client_finish_items(c, items, n, error, r, &a);
    return error;
}

static void client_mget(struct history_client *c, uint32_t key) {
    uint32_t n = 2 + (uint32_t)help_below(&c->rng, CLIENT_OPS_MOST - 1), keys = atomic_load(&c->shared->keys);
    n = n < keys ? n : keys;
    struct tide_bound bound = client_bound(c);
    client_mget_of(c, key, n, &bound, client_begin(c, n, HISTORY_GET, key));
}

static void client_section(struct history_client *c, uint32_t key) {
    static _Thread_local uint8_t bufs[2][SHARED_VALUE_MAX];
    struct tide_bound bound = client_bound(c);
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct tide_mget_item items[2];
    char names[2][48];
    struct shared_record *r = client_begin(c, 2, HISTORY_GET, key);
    client_prepare_items(c, items, 2, key, r, names, bufs, &bound);
    client_call(c, r, 2);
    int error = tide_section_begin(c->reader, &bound, &a);
    for (uint32_t i = 0; i < 2 && error == 0; i++) {
        size_t size = 0;
        items[i].result = tide_section_get(c->reader, names[i], items[i].key_len, bufs[i], SHARED_VALUE_MAX, &size,
                                           &items[i].version);
        items[i].value_size = size;
        if (i == 0 && help_below(&c->rng, 4) == 0) {
            sched_yield(); /* the state must stay what it was */
        }
    }
    if (error == 0) {
        tide_section_end(c->reader);
    }
    client_finish_items(c, items, 2, error, r, &a);
}

int history_client_read_all(struct history_client *c, struct shared_record *records, uint32_t keys) {
    static const struct tide_bound linearizable = TIDE_BOUND_INIT;
    c->slot->called = 0;
    struct shared_record *r = client_begin(c, keys, HISTORY_GET, 0);
    int error = client_mget_of(c, 0, keys, &linearizable, r);
    memcpy((void *)records, (void *)r, keys * sizeof(*records));
    return error;
}

/* ---- writes --------------------------------------------------------------------------------------------------------------- */

static void client_wrote(struct history_client *c, struct shared_record *r, uint32_t n, int result,
                         const struct tide_token *token) {
    for (uint32_t i = 0; i < n; i++) {
        struct history_op *op = &r[i].op;
        op->outcome = result == 0                  ? HISTORY_DONE
                      : result == TIDE_ERR_UNKNOWN ? HISTORY_PENDING
                      : result == TIDE_ERR_MISMATCH || (op->kind == HISTORY_TOUCH && result == TIDE_ERR_NOT_FOUND)
                          ? HISTORY_MISMATCH
                          : HISTORY_FAILED;
        op->error = op->outcome == HISTORY_FAILED ? result : 0;
        op->index = result == 0 ? token->index - (n - 1 - i) : 0;
    }
    client_return(r, n);
    if (result == 0) {
        atomic_store(&c->slot->index, token->index);
        for (uint32_t i = 0; i < n; i++) {
            if (r[i].op.kind == HISTORY_TOUCH) {
                c->seen[r[i].op.key].value = 0; /* what it touched is not told: a cas may not expect it */
                c->seen[r[i].op.key].version = 0;
                continue;
            }
            c->seen[r[i].op.key].version = r[i].op.kind == HISTORY_DELETE ? 0 : r[i].op.index;
            c->seen[r[i].op.key].value = r[i].op.value;
        }
    }
}

static uint64_t client_ttl(struct history_client *c) {
    static const uint64_t lives[] = { 0, 0, 300000, 2000000, 10000000, 10000000 };
    return c->shared->lives ? lives[help_below(&c->rng, sizeof(lives) / sizeof(lives[0]))] : 0;
}

/* The first key of a history with evictions is kept. */
static uint32_t client_flags(const struct history_client *c, uint32_t key) {
    return c->shared->evicts && key == 0 ? TIDE_KEEP : 0;
}

static void client_touch_or_add(struct history_client *c, uint32_t key) {
    struct tide_token token = { 0, 0 };
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    char name[48];
    int64_t sum = 0;
    size_t len = client_key(name, c->round, key);
    bool add = client_is_counter(c, key) && help_below(&c->rng, 4) != 0;
    struct shared_record *r = client_begin(c, 1, add ? HISTORY_ADD : HISTORY_TOUCH, key);
    o.ttl_ns = r->op.ttl_ns = client_ttl(c);
    o.flags = add ? client_flags(c, key) : 0;
    r->op.keep = client_flags(c, key) != 0;
    r->op.delta = add ? (help_random(&c->rng) >> 16) + 1 : 0;
    client_call(c, r, 1);
    int result = add ? tide_add(c->domain, c->reader, name, len, (int64_t)r->op.delta, &o, &token, &sum)
                     : tide_touch(c->domain, c->reader, name, len, o.ttl_ns, &token);
    r->op.value = add && result == 0 ? (uint64_t)sum : 0;
    client_wrote(c, r, 1, result, &token);
}

/* Beside the history, so that a small table evicts. */
static void client_fill(struct history_client *c) {
    static _Thread_local uint8_t value[SHARED_VALUE_MAX];
    char name[48];
    size_t len = (size_t)sprintf(name, "fill-%u", (unsigned)help_below(&c->rng, 2000));
    (void)tide_put(c->domain, NULL, name, len, value, 1500, NULL);
}

static void client_write(struct history_client *c, enum history_kind kind, uint32_t key) {
    static _Thread_local uint8_t value[SHARED_VALUE_MAX];
    struct tide_token token = { 0, 0 };
    char name[48];
    size_t len = client_key(name, c->round, key);
    struct shared_record *r = client_begin(c, 1, kind, key);
    size_t size = kind == HISTORY_DELETE ? 0 : client_make(c, key, value, r->op.value);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = r->op.ttl_ns = kind == HISTORY_DELETE ? 0 : client_ttl(c);
    o.flags = client_flags(c, key);
    r->op.keep = o.flags != 0;
    r->op.expected = kind == HISTORY_CAS ? c->seen[key].version : 0;
    r->op.expected_value = kind == HISTORY_CAS ? c->seen[key].value : 0;
    client_call(c, r, 1);
    int result = kind == HISTORY_PUT      ? tide_put_with(c->domain, c->reader, name, len, value, size, &o, &token)
                 : kind == HISTORY_DELETE ? tide_delete(c->domain, c->reader, name, len, &token)
                                          : tide_cas_with(c->domain, c->reader, name, len, r->op.expected, value, size,
                                                          &o, &token, &r->op.found);
    client_wrote(c, r, 1, result, &token);
}

static void client_batch(struct history_client *c, uint32_t key) {
    static _Thread_local uint8_t values[CLIENT_OPS_MOST][SHARED_VALUE_MAX];
    static const enum history_kind kinds[] = { HISTORY_PUT, HISTORY_PUT, HISTORY_CAS, HISTORY_DELETE };
    uint32_t keys = atomic_load(&c->shared->keys), n = 2 + (uint32_t)help_below(&c->rng, CLIENT_OPS_MOST - 1);
    struct tide_write_op ops[CLIENT_OPS_MOST];
    char names[CLIENT_OPS_MOST][48];
    struct tide_token token = { 0, 0 };
    n = n < keys ? n : keys;
    struct shared_record *r = client_begin(c, n, HISTORY_PUT, key);
    for (uint32_t i = 0; i < n; i++) {
        struct history_op *op = &r[i].op;
        op->key = (uint16_t)((key + i) % keys);
        op->kind = (uint8_t)kinds[help_below(&c->rng, 4)];
        op->value = op->kind == HISTORY_DELETE ? 0 : op->value;
        op->batch_at = (uint16_t)i;
        op->batch_n = (uint16_t)n;
        op->expected = op->kind == HISTORY_CAS ? c->seen[op->key].version : 0;
        op->expected_value = op->kind == HISTORY_CAS ? c->seen[op->key].value : 0;
        op->ttl_ns = op->kind == HISTORY_DELETE ? 0 : client_ttl(c);
        op->keep = client_flags(c, op->key) != 0;
        ops[i] = (struct tide_write_op){
            .size = sizeof(ops[i]),
            .ttl_ns = op->ttl_ns,
            .flags = op->kind == HISTORY_DELETE ? 0 : client_flags(c, op->key),
            .kind = op->kind == HISTORY_DELETE ? TIDE_OP_DELETE
                    : op->kind == HISTORY_CAS  ? TIDE_OP_CAS
                                               : TIDE_OP_PUT,
            .key = names[i],
            .key_len = client_key(names[i], c->round, op->key),
            .value = values[i],
            .value_size = op->kind == HISTORY_DELETE ? 0 : client_make(c, op->key, values[i], op->value),
            .expected = op->expected,
        };
    }
    client_call(c, r, n);
    client_wrote(c, r, n, tide_write(c->domain, c->reader, ops, n, &token, NULL), &token);
}

/* ---- rounds ----------------------------------------------------------------------------------------------------------------- */

static void client_step(struct history_client *c) {
    uint32_t key = (uint32_t)help_below(&c->rng, atomic_load(&c->shared->keys));
    uint64_t dice = help_below(&c->rng, c->leisurely ? 56 : 100);
    if (c->shared->evicts && help_below(&c->rng, 3) == 0) {
        client_fill(c);
    }
    if (c->shared->lives && dice >= 56 && help_below(&c->rng, 4) == 0) {
        uint32_t last = atomic_load(&c->shared->keys) - 1;
        client_touch_or_add(c, help_below(&c->rng, 2) == 0 ? last : key);
        return;
    }
    if (dice < 45) {
        client_get(c, key);
    } else if (dice < 51) {
        client_mget(c, key);
    } else if (dice < 56) {
        client_section(c, key);
    } else if (dice < 77) {
        client_write(c, HISTORY_PUT, key);
    } else if (dice < 83) {
        client_write(c, HISTORY_DELETE, key);
    } else if (dice < 96) {
        client_write(c, HISTORY_CAS, key);
    } else {
        client_batch(c, key);
    }
    /* Sessions that never pause would each have a core for a whole time slice. */
    uint64_t pause = help_below(&c->rng, 16);
    if (pause == 0) {
        park_nap(help_below(&c->rng, 40000));
    } else if (pause < 5) {
        sched_yield();
    }
}

static void client_open(struct history_client *c) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.policy = (enum tide_policy)help_below(&c->rng, 3);
    o.home = (int32_t)help_below(&c->rng, 4) - 1;
    /* Half of the sessions keep to one replica, which may be behind. */
    o.replicas = help_below(&c->rng, 2) == 0 ? UINT64_C(1) << help_below(&c->rng, 3) : 0;
    /* A session that has written, or has read the newest, must not be shown older data. These sessions have not. */
    c->leisurely = help_below(&c->rng, 3) == 0;
    if (c->reader != NULL) {
        tide_reader_close(c->reader);
        c->reader = NULL;
    }
    int error = tide_reader_open(c->domain, &o, &c->reader);
    if (error != 0) {
        snprintf(c->shared->complaint[0], sizeof(c->shared->complaint[0]), "a reader could not be opened: %s",
                 tide_strerror(error));
        for (;;) {
            park_nap(1000000000);
        }
    }
    c->session = atomic_fetch_add(&c->shared->sessions, 1) + 1;
}

void *history_client_run(void *client) {
    struct history_client *c = client;
    struct history_shared *shared = c->shared;
    client_open(c);
    for (;;) {
        uint32_t round = atomic_load(&shared->round);
        if (round == atomic_load(&c->slot->finished)) {
            park_wait(&shared->round, round, UINT64_MAX);
            continue;
        }
        c->round = round;
        memset(c->seen, 0, sizeof(c->seen));
        if (help_below(&c->rng, 8) == 0) {
            client_open(c); /* a new session, which may go elsewhere */
        }
        while (atomic_load(&c->slot->called) < atomic_load(&shared->quota)) {
            client_step(c);
        }
        atomic_store(&c->slot->finished, round);
        atomic_fetch_add(&shared->progress, 1);
        park_wake(&shared->progress, 1);
    }
}
