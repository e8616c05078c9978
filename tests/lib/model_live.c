/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The model of a domain whose keys expire, are evicted, touched and added to. The leader makes entries by itself, so their indexes
 * cannot be foretold: the model reads them from a watch, and each must be allowed. An expiry may take a key from its instant on,
 * never before; an eviction a key that is not kept. What a write answered must follow from the state before it, at an instant of its call.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/model.h"

#define MS UINT64_C(1000000)
#define HOUR (UINT64_C(3600) * 1000 * MS)
#define NUMBER_MOST 21u

struct live_batch {
    size_t count;
    struct tide_write_op ops[MODEL_OPS];
    uint32_t k[MODEL_OPS];
    struct model_version put[MODEL_OPS]; /* what a put or cas writes */
    uint8_t keys[MODEL_OPS][MODEL_KEY_MOST];
    uint8_t values[MODEL_OPS][MODEL_VALUE_MOST + 8];
};

/* What the call answered. */
struct live_answer {
    int error;
    size_t failed;
    uint64_t found;
    struct model_span span; /* instants of the call: low <= T < high */
    uint64_t first;         /* index of the first operation's entry; 0: nothing was written */
};

/* How a value's expiry follows: at an instant of the call and so long after it, or that of the version before. */
struct live_expected {
    struct model_version v;
    uint64_t ttl_ns;
    bool inherits;
};

/* ---- making one --------------------------------------------------------------------------------------------------------- */

static uint64_t live_ttl(struct model *m) {
    const uint64_t ttls[] = { 0, 0, TIDE_TTL_NONE, 1 * MS, 3 * MS, 20 * MS, 100 * MS, HOUR };
    if (m->evicts && help_below(&m->rng, 4) != 0) {
        return 0; /* what expires makes room, and nothing would be evicted */
    }
    return ttls[help_below(&m->rng, sizeof(ttls) / sizeof(ttls[0]))];
}

static const struct model_version *live_now(const struct model *m, uint32_t k) {
    return model_at(m, k, UINT64_MAX);
}

static void live_make_put(struct model *m, struct live_batch *b, size_t i) {
    struct model_version *v = &b->put[i];
    struct tide_write_op *op = &b->ops[i];
    v->is_number = b->k[i] % 4 == 0 && help_below(&m->rng, 8) != 0; /* most values of these keys can be added to */
    v->seed = help_random(&m->rng);
    v->seed = v->is_number && help_below(&m->rng, 4) != 0 ? v->seed % 1000 : v->seed;
    model_bytes(v, b->values[i]);
    v->size = v->is_number ? (uint32_t)strlen((char *)b->values[i]) : model_size(m);
    model_bytes(v, b->values[i]);
    op->value = b->values[i];
    op->value_size = v->size;
    op->flags = b->k[i] % 16 == 3 && help_below(&m->rng, 2) == 0 ? TIDE_KEEP : 0;
    const struct model_version *now = live_now(m, b->k[i]);
    op->expected = now != NULL ? now->index : 0;
    if (op->kind == TIDE_OP_CAS && help_below(&m->rng, 8) == 0) {
        op->expected = help_below(&m->rng, 2) == 0 ? 0 : op->expected + 1 + help_below(&m->rng, 3);
    }
}

static void live_make(struct model *m, struct live_batch *b) {
    static const enum tide_op_kind kinds[] = { TIDE_OP_DELETE, TIDE_OP_DELETE, TIDE_OP_CAS,   TIDE_OP_CAS,
                                               TIDE_OP_ADD,    TIDE_OP_ADD,    TIDE_OP_TOUCH, TIDE_OP_PUT,
                                               TIDE_OP_PUT,    TIDE_OP_PUT,    TIDE_OP_PUT,   TIDE_OP_PUT };
    b->count = help_below(&m->rng, 3) == 0 ? 1 + help_below(&m->rng, MODEL_OPS) : 1;
    for (size_t i = 0; i < b->count; i++) {
        struct tide_write_op *op = &b->ops[i];
        *op = (struct tide_write_op)TIDE_WRITE_OP_INIT;
        b->put[i] = (struct model_version){ .index = 0 };
        uint64_t span =
            help_below(&m->rng, 8) == 0 ? 4 : MODEL_KEYS; /* so that one key stands several times in a batch */
        uint32_t k = b->k[i] = (uint32_t)help_below(&m->rng, span);
        op->kind = kinds[help_below(&m->rng, sizeof(kinds) / sizeof(kinds[0]))];
        if (m->evicts && op->kind == TIDE_OP_DELETE && help_below(&m->rng, 4) != 0) {
            op->kind = TIDE_OP_PUT;
        }
        if (b->count > 4 && (op->kind == TIDE_OP_TOUCH || op->kind == TIDE_OP_ADD) && k % 4 != 0) {
            op->kind =
                TIDE_OP_PUT; /* most keys are no numbers, and some not there: no large batch would ever be done */
        }
        op->key = b->keys[i];
        op->key_len = model_key(k, b->keys[i]);
        if (op->kind != TIDE_OP_DELETE) {
            op->ttl_ns = live_ttl(m);
        }
        if (op->kind == TIDE_OP_PUT || op->kind == TIDE_OP_CAS) {
            live_make_put(m, b, i);
        } else if (op->kind == TIDE_OP_ADD) {
            op->delta = help_below(&m->rng, 30) == 0 ? INT64_MAX : (int64_t)help_below(&m->rng, 2001) - 1000;
            op->flags = k % 16 == 3 && help_below(&m->rng, 4) == 0 ? TIDE_KEEP : 0;
        }
    }
}

/* ---- what must come of it ------------------------------------------------------------------------------------------------- */

/* The version that is seen at an index and an instant. */
static const struct model_version *live_seen(const struct model *m, uint32_t k, uint64_t index, uint64_t now) {
    const struct model_version *v = model_at(m, k, index);
    return v != NULL && v->expiry > now ? v : NULL;
}

/* An optional '-' and digits, of 64 bits. */
static bool live_number(const struct model_version *v, int64_t *out) {
    uint8_t bytes[MODEL_VALUE_MOST + 8];
    char text[NUMBER_MOST + 1] = { 0 };
    if (v->size == 0 || v->size >= sizeof(text)) {
        return false;
    }
    model_bytes(v, bytes);
    memcpy(text, bytes, v->size);
    size_t sign = text[0] == '-';
    if (v->size == sign || strspn(text + sign, "0123456789") != v->size - sign) {
        return false;
    }
    errno = 0;
    *out = strtoll(text, NULL, 10);
    return errno == 0;
}

static int live_add(const struct tide_write_op *op, const struct model_version *before, struct live_expected *e) {
    int64_t old = 0, sum;
    char text[32];
    if (before != NULL && !live_number(before, &old)) {
        return TIDE_ERR_NUMBER;
    }
    if (__builtin_add_overflow(old, op->delta, &sum)) {
        return TIDE_ERR_OVERFLOW;
    }
    e->v = (struct model_version){ .seed = (uint64_t)sum, .is_number = true };
    e->v.size = (uint32_t)snprintf(text, sizeof(text), "%lld", (long long)sum);
    e->v.keep = (op->flags & TIDE_KEEP) != 0 || (before != NULL && before->keep);
    e->inherits = before != NULL && op->ttl_ns == 0;
    e->v.expiry = before != NULL ? before->expiry : 0;
    return 0;
}

/* The state before is that of `index`, the instant `now`. What each operation writes goes to `e`; the first error, or 0. */
static int live_foretell(const struct model *m, const struct live_batch *b, uint64_t index, uint64_t now,
                         size_t *failed, uint64_t *found, struct live_expected *e) {
    for (size_t i = 0; i < b->count; i++) { /* a cas is about what stood before the batch, so it comes first */
        const struct model_version *v = live_seen(m, b->k[i], index, now);
        *found = v != NULL ? v->index : 0;
        if (b->ops[i].kind == TIDE_OP_CAS && b->ops[i].expected != *found) {
            *failed = i;
            return TIDE_ERR_MISMATCH;
        }
    }
    for (size_t i = 0; i < b->count; i++) {
        const struct tide_write_op *op = &b->ops[i];
        const struct model_version *before = live_seen(m, b->k[i], index, now);
        const struct live_expected *earlier = NULL;
        for (size_t j = 0; j < i; j++) {
            earlier = b->k[j] == b->k[i] ? &e[j] : earlier;
        }
        before = earlier == NULL ? before : earlier->v.deleted ? NULL : &earlier->v;
        e[i] = (struct live_expected){ .v = b->put[i], .ttl_ns = op->ttl_ns != 0 ? op->ttl_ns : m->default_ttl_ns };
        int error = 0;
        if (op->kind == TIDE_OP_DELETE) {
            e[i].v = (struct model_version){ .deleted = true };
        } else if (op->kind == TIDE_OP_TOUCH) {
            error = before != NULL ? 0 : TIDE_ERR_NOT_FOUND;
            e[i].v = before != NULL ? *before : e[i].v;
        } else if (op->kind == TIDE_OP_ADD) {
            error = live_add(op, before, &e[i]);
            if (e[i].inherits && earlier != NULL) {
                e[i].inherits = earlier->inherits;
                e[i].ttl_ns = earlier->ttl_ns;
            }
        } else {
            e[i].v.keep = (op->flags & TIDE_KEEP) != 0;
        }
        if (error != 0) {
            *failed = i;
            return error;
        }
    }
    return 0;
}

/* The expiry that the log has for an operation is one that it may have. */
static bool live_expiry_fits(const struct live_expected *e, const struct model_version *v,
                             const struct model_span *span) {
    if (v->deleted || e->inherits) {
        return v->deleted || v->expiry == e->v.expiry || (v->over && e->v.expiry < v->expiry);
    }
    if (e->ttl_ns == 0 || e->ttl_ns == TIDE_TTL_NONE) {
        return v->expiry == MODEL_FOREVER;
    }
    return v->expiry >= span->low + e->ttl_ns && v->expiry < span->high + e->ttl_ns;
}

/* The entries are what was foretold. Whether an add went on with a key that is kept, the log does not say: it is noted here. */
static bool live_entries_fit(struct model *m, const struct live_batch *b, const struct live_answer *a,
                             const struct live_expected *e) {
    for (size_t i = 0; i < b->count; i++) {
        struct model_version *v = NULL;
        for (size_t j = m->keys[b->k[i]].count; j-- > 0 && v == NULL;) {
            v = m->keys[b->k[i]].versions[j].index == a->first + i ? &m->keys[b->k[i]].versions[j] : NULL;
        }
        if (v == NULL || v->deleted != e[i].v.deleted) {
            return false;
        }
        bool same = v->seed == e[i].v.seed && v->is_number == e[i].v.is_number && v->size == e[i].v.size;
        bool sum = b->ops[i].kind != TIDE_OP_ADD || b->ops[i].result == (int64_t)v->seed;
        if ((!v->deleted && !same) || !sum || !live_expiry_fits(&e[i], v, &a->span)) {
            return false;
        }
        v->keep = e[i].v.keep;
    }
    return true;
}

static bool live_explains(struct model *m, const struct live_batch *b, const struct live_answer *a, uint64_t index,
                          uint64_t now) {
    static _Thread_local struct live_expected e[MODEL_OPS];
    size_t failed = 0;
    uint64_t found = 0;
    int error = live_foretell(m, b, index, now, &failed, &found, e);
    if (error != a->error) {
        return false;
    }
    if (error == 0) {
        return live_entries_fit(m, b, a, e);
    }
    return failed == a->failed && (error != TIDE_ERR_MISMATCH || a->found == UINT64_MAX || found == a->found);
}

/* Is there a state and an instant of the call from which the answer follows? */
static bool live_is_explained(struct model *m, const struct live_batch *b, const struct live_answer *a,
                              uint64_t before) {
    uint64_t from = a->first != 0 ? a->first - 1 : before, to = a->first != 0 ? a->first - 1 : m->commit;
    for (uint64_t index = from; index <= to; index++) {
        if (live_explains(m, b, a, index, a->span.low) || live_explains(m, b, a, index, a->span.high - 1)) {
            return true;
        }
        for (size_t i = 0; i < b->count; i++) { /* and at each instant at which one of the keys expires */
            const struct model_version *v = model_at(m, b->k[i], index);
            if (v != NULL && v->expiry > a->span.low && v->expiry < a->span.high &&
                live_explains(m, b, a, index, v->expiry)) {
                return true;
            }
        }
    }
    return false;
}

/* ---- what the log says ---------------------------------------------------------------------------------------------------- */

static uint32_t live_key_of(const struct tide_event *e) {
    uint8_t key[MODEL_KEY_MOST];
    uint32_t k = MODEL_KEYS;
    if (e->key_len >= sizeof(k)) {
        memcpy(&k, e->key, sizeof(k));
    }
    bool known = k < MODEL_KEYS && e->key_len == model_key(k, key) && memcmp(key, e->key, e->key_len) == 0;
    return help_check(known) ? k : MODEL_KEYS;
}

/* An entry that the leader made by itself. */
static void live_take_removal(struct model *m, const struct tide_event *e, uint32_t k) {
    const struct model_version *v = live_now(m, k);
    if (e->kind == TIDE_EVENT_EXPIRE) {
        help_check(v != NULL && v->expiry <= e->time_ns);
        m->expired++;
    } else {
        help_check(m->evicts && v != NULL && !v->keep);
        m->evicted++;
    }
    struct model_version gone = { .index = e->index, .deleted = true, .expiry = MODEL_FOREVER };
    model_note(m, k, &gone);
}

/* An entry of the batch: what it put is noted as the batch has it; whether that may be is looked at afterwards. */
static void live_take_own(struct model *m, const struct tide_event *e, uint32_t k, const struct live_batch *b,
                          size_t i) {
    static _Thread_local uint8_t bytes[MODEL_VALUE_MOST + 8];
    const struct tide_write_op *op = &b->ops[i];
    struct model_version v = b->put[i], *before = (struct model_version *)live_now(m, k);
    help_check(k == b->k[i] && e->kind == (op->kind == TIDE_OP_DELETE ? TIDE_EVENT_DELETE : TIDE_EVENT_PUT));
    help_check(e->more == (i + 1 < b->count));
    v.index = e->index;
    v.deleted = op->kind == TIDE_OP_DELETE;
    v.keep = (op->flags & TIDE_KEEP) != 0;
    if (op->kind == TIDE_OP_TOUCH && help_check(before != NULL)) {
        v.seed = before->seed;
        v.size = before->size;
        v.is_number = before->is_number;
        v.keep = before->keep;
    } else if (op->kind == TIDE_OP_ADD) { /* whether it keeps: live_entries_fit() */
        v.is_number = true;
        v.seed = (uint64_t)op->result;
        v.size = (uint32_t)snprintf((char *)bytes, sizeof(bytes), "%lld", (long long)op->result);
    }
    v.over = e->kind == TIDE_EVENT_PUT && e->ttl_ns == 0;
    v.expiry = e->kind != TIDE_EVENT_PUT || e->ttl_ns == TIDE_TTL_NONE ? MODEL_FOREVER : e->time_ns + e->ttl_ns;
    if (e->kind == TIDE_EVENT_PUT) {
        model_bytes(&v, bytes);
        help_check(e->value_size == v.size && (v.size == 0 || memcmp(e->value, bytes, v.size) == 0));
    }
    model_note(m, k, &v);
    m->puts += !v.deleted;
    m->deletes += v.deleted;
    m->touches += op->kind == TIDE_OP_TOUCH;
    m->adds += op->kind == TIDE_OP_ADD;
}

/* All entries up to the commit index of now; those from `first` on are the batch's. */
static void live_take(struct model *m, struct tide *d, const struct live_batch *b, uint64_t first) {
    uint64_t commit = model_commit(d);
    for (;;) {
        struct tide_event e = TIDE_EVENT_INIT;
        int error = tide_watch_next(m->watch, &e, 0);
        if (error != 0) {
            help_check(error == TIDE_ERR_TIMEOUT);
            break;
        }
        uint32_t k = live_key_of(&e);
        if (k == MODEL_KEYS || !help_check(e.index > m->commit)) {
            return;
        }
        if (e.kind == TIDE_EVENT_EXPIRE || e.kind == TIDE_EVENT_EVICT) {
            live_take_removal(m, &e, k);
        } else if (help_check(first != 0 && e.index >= first && e.index < first + b->count)) {
            live_take_own(m, &e, k, b, e.index - first);
        }
        m->commit = e.index;
    }
    m->commit = commit > m->commit ? commit : m->commit;
}

void model_sync(struct model *m, struct tide *d) {
    if (m->watch != NULL) {
        live_take(m, d, NULL, 0);
    }
}

/* ---- writes --------------------------------------------------------------------------------------------------------------- */

/* By tide_write(), or where there is one operation, by the function that is made for it. */
static int live_call(struct model *m, struct tide *d, struct tide_reader *session, struct live_batch *b,
                     struct live_answer *a, struct tide_token *t) {
    struct tide_write_op *op = &b->ops[0];
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = op->ttl_ns;
    o.flags = op->flags;
    if (b->count > 1 || help_below(&m->rng, 4) == 0) {
        m->batches++;
        return tide_write(d, session, b->ops, b->count, t, &a->failed);
    }
    a->failed = 0;
    switch (op->kind) {
    case TIDE_OP_PUT:
        return op->ttl_ns == 0 && op->flags == 0
                   ? tide_put(d, session, op->key, op->key_len, op->value, op->value_size, t)
                   : tide_put_with(d, session, op->key, op->key_len, op->value, op->value_size, &o, t);
    case TIDE_OP_CAS:
        return tide_cas_with(d, session, op->key, op->key_len, op->expected, op->value, op->value_size, &o, t,
                             &a->found);
    case TIDE_OP_ADD:
        return tide_add(d, session, op->key, op->key_len, op->delta, &o, t, &op->result);
    case TIDE_OP_TOUCH:
        return tide_touch(d, session, op->key, op->key_len, op->ttl_ns, t);
    default:
        return tide_delete(d, session, op->key, op->key_len, t);
    }
}

static void live_do(struct model *m, struct tide *d, struct tide_reader *session, bool led, struct live_batch *b) {
    model_sync(m, d);
    struct tide_token t = { 0, 0 };
    struct live_answer a = { .failed = 9999, .found = UINT64_MAX, .span.low = tide_now(d) };
    uint64_t before = m->commit;
    a.error = live_call(m, d, session, b, &a, &t);
    a.span.high = tide_now(d) + 1;
    a.first = a.error == 0 ? t.index - b->count + 1 : 0;
    live_take(m, d, b, a.first);
    if (!led) {
        help_check(a.error == TIDE_ERR_NO_LEADER);
        return;
    }
    if (a.error == TIDE_ERR_FULL) {
        m->full++;
        help_check(!m->evicts); /* what is kept fills a small part of the table */
        return;
    }
    m->mismatches += a.error == TIDE_ERR_MISMATCH;
    m->refused += a.error == TIDE_ERR_NOT_FOUND || a.error == TIDE_ERR_NUMBER || a.error == TIDE_ERR_OVERFLOW;
    if (!help_check(live_is_explained(m, b, &a, before))) {
        printf("# %s, operation %zu of %zu, found %llu, first %llu, commit %llu to %llu\n", tide_strerror(a.error),
               a.failed, b->count, (unsigned long long)a.found, (unsigned long long)a.first, (unsigned long long)before,
               (unsigned long long)m->commit);
        for (size_t i = 0; i < b->count; i++) {
            const struct model_version *v = model_at(m, b->k[i], a.first != 0 ? a.first - 1 : before);
            printf("#   key %u kind %u flags %u ttl %llu expected %llu delta %lld result %lld: was at %llu, expiry "
                   "%llu of "
                   "%llu to %llu\n",
                   b->k[i], b->ops[i].kind, b->ops[i].flags, (unsigned long long)b->ops[i].ttl_ns,
                   (unsigned long long)b->ops[i].expected, (long long)b->ops[i].delta, (long long)b->ops[i].result,
                   (unsigned long long)(v != NULL ? v->index : 0), (unsigned long long)(v != NULL ? v->expiry : 0),
                   (unsigned long long)a.span.low, (unsigned long long)a.span.high);
        }
    }
}

void model_write_live(struct model *m, struct tide *d, struct tide_reader *session, bool led) {
    static _Thread_local struct live_batch b;
    live_make(m, &b);
    live_do(m, d, session, led, &b);
}

void model_clear(struct model *m, struct tide *d) {
    static _Thread_local struct live_batch b;
    for (uint32_t k = 0; k < MODEL_KEYS;) {
        for (b.count = 0; k < MODEL_KEYS && b.count < MODEL_OPS; k++) {
            if (live_now(m, k) == NULL) {
                continue;
            }
            size_t i = b.count++;
            b.ops[i] = (struct tide_write_op)TIDE_WRITE_OP_INIT;
            b.ops[i].kind = TIDE_OP_DELETE;
            b.ops[i].key = b.keys[i];
            b.ops[i].key_len = model_key(k, b.keys[i]);
            b.k[i] = k;
            b.put[i] = (struct model_version){ .index = 0 };
        }
        if (b.count != 0) {
            live_do(m, d, NULL, true, &b);
        }
    }
}
