/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/history_part.h"

#include <stdlib.h>
#include <string.h>

/* A write whose place in the log is known. */
struct order_write {
    uint64_t index;
    size_t op;
    uint64_t absent_from; /* least index at or after it at which the key was not there, before the next write */
    size_t absent_seen_by;
};

struct order {
    struct history *h;
    struct history_fault *f;
    struct history_values values;
    struct order_write *writes; /* by key, then index */
    size_t count;
    size_t first[HISTORY_KEYS + 1]; /* of each key */
};

static bool order_fault(struct order *o, enum history_fault_kind kind, size_t a, size_t b) {
    *o->f = (struct history_fault){ kind, a, b };
    return false;
}

/* ---- where the pending writes went ---------------------------------------------------------------------------------- */

/* The write has this index, says the read of it. */
static bool order_place(struct order *o, size_t write, uint64_t index, size_t seen_by) {
    struct history_op *w = &o->h->ops[write];
    if (w->outcome == HISTORY_PENDING && w->index == 0) {
        size_t first = write - w->batch_at, n = w->batch_n != 0 ? w->batch_n : 1;
        for (size_t i = 0; i < n; i++) {
            o->h->ops[first + i].index = index - w->batch_at + i;
        }
    }
    return w->index == index || order_fault(o, HISTORY_TWO_VERSIONS, write, seen_by);
}

static bool order_resolve(struct order *o) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *r = &o->h->ops[i];
        if (r->kind != HISTORY_GET || r->outcome != HISTORY_DONE || r->value == 0) {
            continue;
        }
        size_t w = history_values_find(&o->values, r->value);
        if (w == SIZE_MAX || o->h->ops[w].key != r->key) {
            return order_fault(o, HISTORY_UNWRITTEN, i, i);
        }
        if (o->h->ops[w].outcome == HISTORY_FAILED || o->h->ops[w].outcome == HISTORY_MISMATCH) {
            return order_fault(o, HISTORY_UNWRITTEN, w, i);
        }
        if (!order_place(o, w, r->version, i)) {
            return false;
        }
    }
    return true;
}

/* ---- the chain of each key ------------------------------------------------------------------------------------------- */

static int order_by_index(const void *a, const void *b) {
    const struct order_write *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

static const struct history *order_sorted; /* qsort() has no argument for it */

static int order_by_key(const void *a, const void *b) {
    const struct order_write *x = a, *y = b;
    int keys = (int)order_sorted->ops[x->op].key - (int)order_sorted->ops[y->op].key;
    return keys != 0 ? keys : order_by_index(a, b);
}

static bool order_chain(struct order *o) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *w = &o->h->ops[i];
        bool placed = w->outcome == HISTORY_DONE || (w->outcome == HISTORY_PENDING && w->index != 0);
        if (w->kind != HISTORY_GET && placed) {
            o->writes[o->count++] = (struct order_write){ w->index, i, UINT64_MAX, 0 };
        }
    }
    qsort(o->writes, o->count, sizeof(*o->writes), order_by_index);
    for (size_t i = 1; i < o->count; i++) {
        if (o->writes[i].index == o->writes[i - 1].index) {
            return order_fault(o, HISTORY_SAME_INDEX, o->writes[i - 1].op, o->writes[i].op);
        }
    }
    order_sorted = o->h;
    qsort(o->writes, o->count, sizeof(*o->writes), order_by_key);
    for (size_t key = 0, i = 0; key <= HISTORY_KEYS; key++) {
        while (i < o->count && o->h->ops[o->writes[i].op].key < key) {
            i++;
        }
        o->first[key] = i;
    }
    return true;
}

/* The last write of a key at or below `index`, or NULL. */
static struct order_write *order_last(const struct order *o, uint32_t key, uint64_t index) {
    size_t low = o->first[key], high = o->first[key + 1];
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (o->writes[middle].index <= index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == o->first[key] ? NULL : &o->writes[low - 1];
}

static bool order_is_put(const struct order *o, const struct order_write *w) {
    return w != NULL && o->h->ops[w->op].kind != HISTORY_DELETE;
}

/* The key was not there at `index`, though the last write that is known of was a put: a pending delete must explain it. */
static void order_absent(struct order_write *w, uint64_t index, size_t seen_by) {
    if (index < w->absent_from) {
        w->absent_from = index;
        w->absent_seen_by = seen_by;
    }
}

static bool order_check_writes(struct order *o) {
    for (size_t i = 0; i < o->count; i++) {
        const struct history_op *op = &o->h->ops[o->writes[i].op];
        if (op->kind != HISTORY_CAS) {
            continue;
        }
        /* The condition of a cas in a batch is about what stood before the batch. */
        struct order_write *before = order_last(o, op->key, o->writes[i].index - op->batch_at - 1);
        if (op->expected == 0 && order_is_put(o, before)) {
            order_absent(before, o->writes[i].index - 1, o->writes[i].op);
        } else if (op->expected != (order_is_put(o, before) ? before->index : 0)) {
            return order_fault(o, HISTORY_WRONG_CAS, before != NULL ? before->op : o->writes[i].op, o->writes[i].op);
        }
    }
    return true;
}

static bool order_check_values(struct order *o) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *r = &o->h->ops[i];
        if (r->kind != HISTORY_GET || r->outcome != HISTORY_DONE) {
            continue;
        }
        struct order_write *last = order_last(o, r->key, r->index);
        if (r->value == 0) {
            if (order_is_put(o, last)) {
                order_absent(last, r->index, i);
            }
            continue;
        }
        if (r->version > r->index) {
            return order_fault(o, HISTORY_FROM_FUTURE, i, i);
        }
        if (last == NULL || last->index != r->version) {
            bool deleted = last != NULL && o->h->ops[last->op].kind == HISTORY_DELETE;
            return order_fault(o, deleted ? HISTORY_RESURRECTED : HISTORY_LOST, last != NULL ? last->op : i, i);
        }
    }
    return true;
}

/* Values that were seen again after their absence; and whether there are pending deletes enough for all absences. */
static bool order_check_absences(struct order *o) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *r = &o->h->ops[i];
        if (r->kind == HISTORY_GET && r->outcome == HISTORY_DONE && r->value != 0) {
            const struct order_write *last = order_last(o, r->key, r->index);
            if (r->index >= last->absent_from) {
                return order_fault(o, HISTORY_RESURRECTED, last->absent_seen_by, i);
            }
        }
    }
    for (uint32_t key = 0; key < HISTORY_KEYS; key++) {
        size_t needed = 0;
        for (size_t i = o->first[key]; i < o->first[key + 1]; i++) {
            if (o->writes[i].absent_from == UINT64_MAX) {
                continue;
            }
            size_t there = 0;
            uint64_t seen_ns = o->h->ops[o->writes[i].absent_seen_by].ret_ns;
            for (size_t k = 0; k < o->h->n; k++) {
                const struct history_op *d = &o->h->ops[k];
                there += d->kind == HISTORY_DELETE && d->outcome == HISTORY_PENDING && d->key == key && d->index == 0 &&
                         d->call_ns <= seen_ns;
            }
            if (++needed > there) {
                return order_fault(o, HISTORY_LOST, o->writes[i].op, o->writes[i].absent_seen_by);
            }
        }
    }
    return true;
}

/* Is there a pending write that can be what the cas found, though nobody read it? */
static bool order_unseen(const struct history *h, const struct history_op *c) {
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *w = &h->ops[i];
        if ((w->kind == HISTORY_PUT || w->kind == HISTORY_CAS) && w->outcome == HISTORY_PENDING && w->key == c->key &&
            w->index == 0 && w->call_ns <= c->ret_ns) {
            return true;
        }
    }
    return false;
}

/* The version that a cas found instead of the expected one. */
static bool order_check_found(struct order *o) {
    for (size_t i = 0; i < o->h->n; i++) {
        struct history_op *c = &o->h->ops[i];
        if (c->kind != HISTORY_CAS || c->outcome != HISTORY_MISMATCH || c->batch_n > 1) {
            continue; /* a batch does not tell what it found */
        }
        if (c->found == c->expected) {
            return order_fault(o, HISTORY_WRONG_CAS, i, i);
        }
        const struct order_write *w = c->found != 0 ? order_last(o, c->key, c->found) : NULL;
        c->found_known = c->found == 0 || (order_is_put(o, w) && w->index == c->found);
        c->found_value = c->found_known && w != NULL ? o->h->ops[w->op].value : 0;
        if (!c->found_known && !order_unseen(o->h, c)) {
            return order_fault(o, HISTORY_UNWRITTEN, i, i);
        }
    }
    return true;
}

/* ---- batches ---------------------------------------------------------------------------------------------------------- */

static bool order_check_batches(struct order *o) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *b = &o->h->ops[i];
        if (b->batch_n < 2 || b->batch_at != 0 || b->index == 0 || b->kind == HISTORY_GET ||
            b->outcome > HISTORY_PENDING) {
            continue;
        }
        for (size_t k = 0; k < o->h->n; k++) {
            const struct history_op *r = &o->h->ops[k];
            if (r->kind == HISTORY_GET && r->outcome == HISTORY_DONE && r->index >= b->index &&
                r->index < b->index + b->batch_n - 1) {
                return order_fault(o, HISTORY_TORN_BATCH, i, k);
            }
        }
    }
    return true;
}

bool history_check_order(struct history *h, struct history_fault *f) {
    struct order o = { .h = h, .f = f };
    *f = (struct history_fault){ 0 };
    o.writes = history_alloc(h->n * sizeof(*o.writes));
    bool fine = history_values_make(&o.values, h, f);
    fine = fine && order_resolve(&o) && order_chain(&o) && order_check_writes(&o) && order_check_values(&o) &&
           order_check_absences(&o) && order_check_found(&o) && order_check_batches(&o);
    history_values_free(&o.values);
    free(o.writes);
    return fine && history_check_times(h, f) && history_check_sessions(h, f);
}
