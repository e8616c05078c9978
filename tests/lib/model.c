/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/model.h"

#include <stdio.h>
#include <stdlib.h>

void model_open(struct model *m, uint64_t seed) {
    *m = (struct model){ .rng = { seed } };
}

void model_close(struct model *m) {
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        free(m->keys[k].versions);
    }
}

size_t model_key(uint32_t k, uint8_t out[MODEL_KEY_MOST]) {
    size_t len = 4 + (k % 8 == 0 ? k % 257 : k % 13);
    memset(out, 'k', len);
    memcpy(out, &k, sizeof(k));
    return len;
}

static void model_value(uint64_t seed, uint32_t size, uint8_t *out) {
    struct help_rng r = { seed };
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = help_random(&r);
        memcpy(out + i, &word, size - i < 8 ? size - i : 8);
    }
}

const struct model_version *model_at(const struct model *m, uint32_t k, uint64_t index) {
    for (size_t i = m->keys[k].count; i-- > 0;) {
        const struct model_version *v = &m->keys[k].versions[i];
        if (v->index <= index) {
            return v->deleted ? NULL : v;
        }
    }
    return NULL;
}

void model_bytes(const struct model_version *v, uint8_t out[MODEL_VALUE_MOST + 8]) {
    if (v->is_number) {
        snprintf((char *)out, MODEL_VALUE_MOST, "%lld", (long long)(int64_t)v->seed);
    } else {
        model_value(v->seed, v->size, out);
    }
}

bool model_is(const struct model_version *v, const void *value, size_t size, uint64_t version) {
    uint8_t want[MODEL_VALUE_MOST + 8];
    if (v == NULL || v->index != version || v->size != size) {
        return false;
    }
    model_bytes(v, want);
    return size == 0 || memcmp(want, value, size) == 0;
}

bool model_saw(struct model_span *span, const struct model_version *v, bool found) {
    if (v == NULL) {
        return !found;
    }
    if (found && v->expiry < span->high) {
        span->high = v->expiry;
    } else if (!found && v->expiry > span->low) {
        span->low = v->expiry;
    }
    return span->low < span->high;
}

uint64_t model_commit(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    help_check(tide_info(d, &info) == 0);
    return info.commit_index;
}

void model_note(struct model *m, uint32_t k, const struct model_version *v) {
    if (m->keys[k].count == m->keys[k].room) {
        m->keys[k].room = m->keys[k].room * 2 + 8;
        m->keys[k].versions = realloc(m->keys[k].versions, m->keys[k].room * sizeof(struct model_version));
        if (!help_check(m->keys[k].versions != NULL)) {
            abort();
        }
    }
    m->keys[k].versions[m->keys[k].count++] = *v;
}

struct model_batch {
    size_t count;
    struct tide_op ops[MODEL_OPS];
    uint32_t k[MODEL_OPS];
    uint64_t seed[MODEL_OPS];
    uint8_t keys[MODEL_OPS][MODEL_KEY_MOST];
    uint8_t values[MODEL_OPS][MODEL_VALUE_MOST + 8];
};

uint32_t model_size(struct model *m) {
    bool big = m->evicts || (help_below(&m->rng, 4) == 0) != m->large;
    return (uint32_t)help_below(&m->rng, big ? MODEL_VALUE_MOST : 100);
}

static void model_make(struct model *m, struct model_batch *b) {
    b->count = help_below(&m->rng, 3) == 0 ? 1 + help_below(&m->rng, MODEL_OPS) : 1;
    for (size_t i = 0; i < b->count; i++) {
        struct tide_op *op = &b->ops[i];
        uint32_t k = b->k[i] = (uint32_t)help_below(&m->rng, MODEL_KEYS);
        uint64_t what = help_below(&m->rng, 20);
        *op = (struct tide_op){ .kind = what < 5   ? TIDE_OP_DELETE
                                        : what < 8 ? TIDE_OP_CAS
                                                   : TIDE_OP_PUT,
                                .key = b->keys[i] };
        op->key_len = model_key(k, b->keys[i]);
        if (op->kind == TIDE_OP_DELETE) {
            continue;
        }
        b->seed[i] = help_random(&m->rng);
        op->value = b->values[i];
        op->value_size = model_size(m);
        model_value(b->seed[i], (uint32_t)op->value_size, b->values[i]);
        const struct model_version *now = model_at(m, k, UINT64_MAX);
        op->expected = now != NULL ? now->index : 0;
        if (help_below(&m->rng, 12) == 0) {
            op->expected += 1 + help_below(&m->rng, 3); /* does not match */
        }
    }
}

/* The first cas that does not match, or count. */
static size_t model_mismatch(const struct model *m, const struct model_batch *b) {
    for (size_t i = 0; i < b->count; i++) {
        const struct model_version *now = model_at(m, b->k[i], UINT64_MAX);
        if (b->ops[i].kind == TIDE_OP_CAS && b->ops[i].expected != (now != NULL ? now->index : 0)) {
            return i;
        }
    }
    return b->count;
}

void model_write(struct model *m, struct tide *d, struct tide_reader *session, bool led) {
    static _Thread_local struct model_batch b;
    if (m->watch != NULL) {
        model_write_live(m, d, session, led);
        return;
    }
    model_make(m, &b);
    struct tide_token t = { 0, 0 };
    size_t mismatch = model_mismatch(m, &b), failed = 9999;
    uint64_t found = 9999;
    const struct tide_op *op = &b.ops[0];
    int error;
    if (b.count > 1 || help_below(&m->rng, 4) == 0) {
        error = tide_batch(d, session, b.ops, b.count, &t, &failed);
        m->batches++;
        help_check(error != TIDE_ERR_MISMATCH || failed == mismatch);
    } else if (op->kind == TIDE_OP_PUT) {
        error = tide_put(d, session, op->key, op->key_len, op->value, op->value_size, &t);
    } else if (op->kind == TIDE_OP_DELETE) {
        error = tide_delete(d, session, op->key, op->key_len, &t);
    } else {
        error = tide_cas(d, session, op->key, op->key_len, op->expected, op->value, op->value_size, &t, &found);
        const struct model_version *now = model_at(m, b.k[0], UINT64_MAX);
        help_check(error != TIDE_ERR_MISMATCH || found == (now != NULL ? now->index : 0));
    }
    if (!led) {
        help_check(error == TIDE_ERR_NO_LEADER);
        return;
    }
    if (mismatch < b.count) {
        help_check(error == TIDE_ERR_MISMATCH);
        m->mismatches++;
        return;
    }
    if (error == TIDE_ERR_FULL) {
        m->full++; /* memory stays with the sizes that it was used for: a table of random ones may fill up */
        return;
    }
    if (!help_check(error == 0) || !help_check(t.index == m->commit + b.count)) {
        return;
    }
    for (size_t i = 0; i < b.count; i++) {
        bool deleted = b.ops[i].kind == TIDE_OP_DELETE;
        struct model_version v = {
            .index = m->commit + i + 1, .seed = b.seed[i], .deleted = deleted, .expiry = MODEL_FOREVER
        };
        v.size = deleted ? 0 : (uint32_t)b.ops[i].value_size;
        model_note(m, b.k[i], &v);
        m->puts += !deleted;
        m->deletes += deleted;
    }
    m->commit = t.index;
}

struct model_scan {
    const struct model *m;
    uint64_t index;
    struct model_span *span;
    uint8_t seen[MODEL_KEYS];
};

static int model_scan_one(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                          uint64_t version) {
    struct model_scan *s = ctx;
    uint8_t want[MODEL_KEY_MOST];
    uint32_t k = MODEL_KEYS;
    if (key_len >= sizeof(k)) {
        memcpy(&k, key, sizeof(k));
    }
    if (!help_check(k < MODEL_KEYS && key_len == model_key(k, want) && memcmp(want, key, key_len) == 0)) {
        return -99;
    }
    help_check(s->seen[k]++ == 0);
    const struct model_version *v = model_at(s->m, k, s->index);
    help_check(model_is(v, value, value_size, version) && model_saw(s->span, v, true));
    return 0;
}

void model_check_section(const struct model *m, struct tide_reader *r, uint64_t index, struct model_span *span) {
    struct model_scan s = { .m = m, .index = index, .span = span };
    help_check(tide_section_scan(r, model_scan_one, &s) == 0);
    for (uint32_t k = 0; k < MODEL_KEYS; k++) {
        const struct model_version *want = model_at(m, k, index);
        uint8_t key[MODEL_KEY_MOST], value[MODEL_VALUE_MOST];
        size_t len = model_key(k, key), size = 0;
        uint64_t version = 0;
        const void *at = NULL;
        int error = k % 2 == 0 ? tide_section_get(r, key, len, value, sizeof(value), &size, &version)
                               : tide_section_peek(r, key, len, &at, &size, &version);
        help_check(error == 0 || error == TIDE_ERR_NOT_FOUND);
        help_check(model_saw(span, want, error == 0));
        help_check(s.seen[k] == (error == 0));
        help_check(error != 0 || model_is(want, k % 2 == 0 ? value : at, size, version));
    }
}
