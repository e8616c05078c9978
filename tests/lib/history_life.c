/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of adds that were never answered: what others saw tells which they are. */
#include "tests/lib/history_part.h"

/* Was this value ever written to the key, or is it what an empty key counts as? */
static bool adds_is_known(const struct history *h, uint32_t key, uint64_t value) {
    if (value == 0) {
        return true;
    }
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *w = &h->ops[i];
        if (w->key == key && w->value == value && history_makes_value(w)) {
            return true;
        }
    }
    return false;
}

/* The value must have been there, and no write that is known left it: pending adds did, so many at most, onto a value that is known. */
static bool adds_explain(struct history *h, uint32_t key, uint64_t value, uint32_t most) {
    for (size_t i = 0; i < h->n; i++) {
        struct history_op *p = &h->ops[i];
        if (p->kind != HISTORY_ADD || p->outcome != HISTORY_PENDING || p->key != key || p->value != 0) {
            continue;
        }
        p->value = value;
        p->expected_value = value - p->delta;
        if (adds_is_known(h, key, p->expected_value) ||
            (most > 1 && adds_explain(h, key, p->expected_value, most - 1))) {
            return true;
        }
        p->value = p->expected_value = 0;
    }
    return false;
}

void history_resolve_adds(struct history *h) {
    bool more = false, any = false;
    for (size_t i = 0; i < h->n; i++) {
        any |= h->ops[i].kind == HISTORY_ADD;
        if (h->ops[i].kind == HISTORY_ADD && h->ops[i].outcome == HISTORY_DONE) {
            h->ops[i].expected_value = h->ops[i].value - h->ops[i].delta;
        }
    }
    do {
        more = false;
        for (size_t i = 0; any && i < h->n; i++) {
            const struct history_op *r = &h->ops[i];
            bool read = r->kind == HISTORY_GET && r->outcome == HISTORY_DONE;
            bool added = r->kind == HISTORY_ADD && r->value != 0;
            uint64_t value = read ? r->value : added ? r->expected_value : 0;
            more |= !adds_is_known(h, r->key, value) && adds_explain(h, r->key, value, 3);
        }
    } while (more);
}
