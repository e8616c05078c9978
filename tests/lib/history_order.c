/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/history_part.h"

#include <stdlib.h>
#include <string.h>

/* A write whose place in the log is known. */
struct order_write {
    uint64_t index;
    size_t op;
    uint64_t early_ns, late_ns;   /* when its life is over: no earlier, no later. HISTORY_NEVER: not at all */
    bool evicts;                  /* it may be evicted */
    uint64_t gone_index, gone_ns; /* it was seen to be over: the least return, and the index of that */
    size_t gone_seen_by;
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

/* May a touch that was never answered have given a key another version, of the value that this read saw, and whose is not known? */
static bool order_may_be_touched(const struct order *o, const struct history_op *r) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *t = &o->h->ops[i];
        if (t->kind == HISTORY_TOUCH && t->key == r->key && t->index == 0 && t->outcome == HISTORY_PENDING &&
            t->call_ns <= r->ret_ns) {
            return true;
        }
    }
    return false;
}

/* Of all reads of this value none saw an older version: if a write's and a touch's versions were seen, this is the write's. */
static bool order_is_oldest(const struct order *o, const struct history_op *r) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *other = &o->h->ops[i];
        if (other->kind == HISTORY_GET && other->outcome == HISTORY_DONE && other->value == r->value &&
            other->version < r->version) {
            return false;
        }
    }
    return true;
}

/* The version is a touch's, done or pending: it has the value that the read saw. False: there is none. */
static bool order_touched(struct order *o, const struct history_op *r) {
    struct history_op *pending = NULL;
    for (size_t i = 0; i < o->h->n; i++) {
        struct history_op *t = &o->h->ops[i];
        if (t->kind != HISTORY_TOUCH || t->key != r->key || t->outcome > HISTORY_PENDING) {
            continue;
        }
        if (t->index == r->version) {
            t->value = r->value;
            return true;
        }
        if (t->index == 0 && t->outcome == HISTORY_PENDING && t->call_ns <= r->ret_ns && pending == NULL) {
            pending = t;
        }
    }
    size_t w = history_values_find(&o->values, r->value);
    bool own =
        w != SIZE_MAX && (o->h->ops[w].index == r->version || (o->h->ops[w].index == 0 && order_is_oldest(o, r)));
    if (own || pending == NULL) {
        return false;
    }
    pending->index = r->version;
    pending->value = r->value;
    return true;
}

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

static bool order_resolve_read(struct order *o, size_t i, bool certain) {
    const struct history_op *r = &o->h->ops[i];
    size_t w = history_values_find(&o->values, r->value);
    if (w == SIZE_MAX || o->h->ops[w].key != r->key) {
        return order_fault(o, HISTORY_UNWRITTEN, i, i);
    }
    if (o->h->ops[w].outcome == HISTORY_FAILED || o->h->ops[w].outcome == HISTORY_MISMATCH) {
        return order_fault(o, HISTORY_UNWRITTEN, w, i);
    }
    if (certain && o->h->ops[w].outcome == HISTORY_PENDING && o->h->ops[w].index == 0 && order_may_be_touched(o, r)) {
        return true;
    }
    return order_touched(o, r) || order_place(o, w, r->version, i);
}

/* First what is certain. It places other writes of a batch as well: then it is known whose a version is that a touch may have made. */
static bool order_resolve(struct order *o) {
    for (int certain = 1; certain >= 0; certain--) {
        for (size_t i = 0; i < o->h->n; i++) {
            const struct history_op *r = &o->h->ops[i];
            bool read = r->kind == HISTORY_GET && r->outcome == HISTORY_DONE && r->value != 0;
            if (read && !order_resolve_read(o, i, certain != 0)) {
                return false;
            }
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
            o->writes[o->count++] =
                (struct order_write){ .index = w->index, .op = i, .absent_from = UINT64_MAX, .gone_ns = HISTORY_NEVER };
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

static uint64_t order_after(uint64_t ns, uint64_t ttl_ns) {
    return ns == HISTORY_NEVER || ttl_ns > HISTORY_NEVER - ns ? HISTORY_NEVER : ns + ttl_ns;
}

/* A write with a life that was never answered, and whose version nobody saw: it may have been done, and be over by then. */
static bool order_unseen_life(const struct order *o, uint32_t key, uint64_t until_ns) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *p = &o->h->ops[i];
        if (p->outcome == HISTORY_PENDING && p->kind != HISTORY_GET && p->key == key && p->index == 0 &&
            p->ttl_ns != 0 && order_after(p->call_ns, p->ttl_ns) <= until_ns) {
            return true;
        }
    }
    return false;
}

/*
 * The key was not there at `index`, though the last write that is known of was a put. Its life may have been over by then; or it was
 * evicted; else a pending delete must explain it.
 */
static void order_absent(struct order *o, struct order_write *w, uint64_t index, size_t seen_by) {
    uint64_t ret_ns = o->h->ops[seen_by].ret_ns;
    if (order_unseen_life(o, o->h->ops[seen_by].key, ret_ns)) {
        return;
    }
    if (w->early_ns <= ret_ns) {
        if (ret_ns < w->gone_ns) {
            w->gone_ns = ret_ns;
            w->gone_index = index;
            w->gone_seen_by = seen_by;
        }
    } else if (index < w->absent_from) {
        w->absent_from = index;
        w->absent_seen_by = seen_by;
    }
}

/* Which of the pending touches of a key it was that moved a version is not known: the life may be counted from the first of them. */
static uint64_t order_first_touch(const struct order *o, const struct history_op *t) {
    uint64_t first = t->call_ns;
    for (size_t i = 0; t->outcome == HISTORY_PENDING && i < o->h->n; i++) {
        const struct history_op *other = &o->h->ops[i];
        bool may = other->kind == HISTORY_TOUCH && other->key == t->key && other->outcome == HISTORY_PENDING;
        first = may && other->call_ns < first ? other->call_ns : first;
    }
    return first;
}

/* A pending write left this value: nobody knows where in the log. */
static bool order_is_unplaced(const struct order *o, uint64_t value) {
    size_t w = history_values_find(&o->values, value);
    return w != SIZE_MAX && o->h->ops[w].outcome == HISTORY_PENDING && o->h->ops[w].index == 0;
}

/* May a write that was never answered, and whose version nobody saw, have come before the operation? It gives the key another value, or, as a
 * touch (values: which do not count), another life alone. */
static bool order_unseen(const struct order *o, const struct history_op *op, bool values) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *w = &o->h->ops[i];
        bool leaves = w->kind != HISTORY_GET && w->kind != HISTORY_DELETE && !(values && w->kind == HISTORY_TOUCH);
        if (leaves && w->outcome == HISTORY_PENDING && w->key == op->key && w->index == 0 && w->call_ns <= op->ret_ns) {
            return true;
        }
    }
    return false;
}

#define ORDER_ANY_LIFE                                                                                                 \
    1u /* early_ns of a value whose life is not known: it may be over from the first instant on, or never */

/* Lives, in the order of the log: an add goes on with the one that was there, a touch with the value. */
static bool order_lives(struct order *o) {
    for (size_t i = 0; i < o->count; i++) {
        struct order_write *w = &o->writes[i];
        struct history_op *op = &o->h->ops[w->op];
        struct order_write *before = i > 0 && o->h->ops[w[-1].op].key == op->key ? &w[-1] : NULL;
        w->evicts = o->h->evicts && !op->keep;
        w->early_ns = w->late_ns = HISTORY_NEVER;
        bool goes_on = op->kind == HISTORY_ADD && op->ttl_ns == 0 && op->expected_value != 0;
        if (goes_on && order_unseen(o, op, false)) {
            w->early_ns = ORDER_ANY_LIFE; /* that of a write, perhaps, or of a touch, that was never answered */
        } else if (goes_on && before != NULL) {
            w->early_ns = before->early_ns;
            w->late_ns = before->late_ns;
        } else if (op->kind != HISTORY_DELETE && op->ttl_ns != 0) {
            w->early_ns = order_after(order_first_touch(o, op), op->ttl_ns);
            w->late_ns = op->outcome == HISTORY_DONE ? order_after(op->ret_ns, op->ttl_ns) : HISTORY_NEVER;
        }
        if (op->kind == HISTORY_TOUCH) {
            bool put = before != NULL && o->h->ops[before->op].kind != HISTORY_DELETE;
            uint64_t value = put ? o->h->ops[before->op].value : 0;
            op->value = op->value == 0 ? value : op->value;
            bool unplaced = order_is_unplaced(o, op->value);
            bool explained = op->value == value ? value != 0 : unplaced;
            if (!explained && !order_unseen(o, op, true)) { /* a touch does not tell which value it found */
                return order_fault(o, HISTORY_WRONG_CAS, before != NULL ? before->op : w->op, w->op);
            }
        }
        op->early_ns = w->early_ns == HISTORY_NEVER ? 0 : w->early_ns;
        op->late_ns = w->late_ns;
    }
    return true;
}

static bool order_check_writes(struct order *o) {
    for (size_t i = 0; i < o->count; i++) {
        const struct history_op *op = &o->h->ops[o->writes[i].op];
        if (op->kind != HISTORY_CAS && op->kind != HISTORY_ADD && op->kind != HISTORY_TOUCH) {
            continue;
        }
        /* The condition of a cas in a batch is about what stood before the batch. */
        struct order_write *before = order_last(o, op->key, o->writes[i].index - op->batch_at - 1);
        bool nothing = op->kind == HISTORY_ADD ? op->expected_value == 0 : op->kind == HISTORY_CAS && op->expected == 0;
        bool sure = op->kind == HISTORY_CAS || !order_unseen(o, op, false);
        if (!nothing && before != NULL && before->late_ns < op->call_ns && sure) {
            return order_fault(o, HISTORY_LATE, before->op, o->writes[i].op);
        }
        if (nothing && order_is_put(o, before)) {
            order_absent(o, before, o->writes[i].index - 1, o->writes[i].op);
        } else if (op->kind == HISTORY_ADD) {
            if (op->expected_value != (order_is_put(o, before) ? o->h->ops[before->op].value : 0) &&
                !order_is_unplaced(o, op->expected_value)) {
                return order_fault(o, HISTORY_WRONG_CAS, before != NULL ? before->op : o->writes[i].op,
                                   o->writes[i].op);
            }
        } else if (op->kind == HISTORY_CAS && op->expected != (order_is_put(o, before) ? before->index : 0)) {
            return order_fault(o, HISTORY_WRONG_CAS, before != NULL ? before->op : o->writes[i].op, o->writes[i].op);
        }
    }
    return true;
}

/* A value was read: its life was not over at some instant of the call, and what is left of it is as told. */
static bool order_life_fits(struct order *o, const struct order_write *w, size_t read) {
    const struct history_op *r = &o->h->ops[read];
    if (w->late_ns < r->call_ns) {
        return order_fault(o, HISTORY_LATE, w->op, read);
    }
    if (r->left_ns == 0) {
        return true;
    }
    bool lives = r->left_ns != UINT64_MAX;
    bool fits = lives ? order_after(r->ret_ns, r->left_ns) >= w->early_ns && r->call_ns + r->left_ns <= w->late_ns
                      : w->early_ns == HISTORY_NEVER || w->early_ns == ORDER_ANY_LIFE;
    return fits || order_fault(o, HISTORY_LIFE, w->op, read);
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
                order_absent(o, last, r->index, i);
            }
            continue;
        }
        if (last != NULL && last->index == r->version && !order_life_fits(o, last, i)) {
            return false;
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

/* Could anything but its life have ended this value? A pending delete can, whose place nobody knows. */
static bool order_may_be_deleted(const struct order *o, uint32_t key) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *d = &o->h->ops[i];
        bool ends = d->kind == HISTORY_DELETE || (d->kind != HISTORY_GET && d->ttl_ns != 0);
        if (ends && d->outcome == HISTORY_PENDING && d->index == 0 && d->key == key) {
            return true;
        }
    }
    return false;
}

/* Values that were seen again after they had been seen to be over. If that was by their life, no read may see them, of whatever index;
 * if it was by a delete or an eviction, none of that index or a later one. */
static bool order_check_gone(struct order *o) {
    for (size_t i = 0; i < o->h->n; i++) {
        const struct history_op *r = &o->h->ops[i];
        if (r->kind != HISTORY_GET || r->outcome != HISTORY_DONE || r->value == 0) {
            continue;
        }
        const struct order_write *last = order_last(o, r->key, r->index);
        if (last->gone_ns < r->call_ns &&
            (r->index >= last->gone_index || !(last->evicts || order_may_be_deleted(o, r->key)))) {
            return order_fault(o, HISTORY_RESURRECTED, last->gone_seen_by, i);
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
            if (o->writes[i].absent_from == UINT64_MAX || o->writes[i].evicts) {
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
                bool lives = o->writes[i].early_ns != HISTORY_NEVER;
                return order_fault(o, lives ? HISTORY_EARLY : HISTORY_LOST, o->writes[i].op,
                                   o->writes[i].absent_seen_by);
            }
        }
    }
    return true;
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
        if (!c->found_known && !order_unseen(o, c, false)) {
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
    history_resolve_adds(h);
    bool fine = history_values_make(&o.values, h, f);
    fine = fine && order_resolve(&o) && order_chain(&o) && order_lives(&o) && order_check_writes(&o) &&
           order_check_values(&o) && order_check_absences(&o) && order_check_gone(&o) && order_check_found(&o) &&
           order_check_batches(&o);
    history_values_free(&o.values);
    free(o.writes);
    return fine && history_check_times(h, f) && history_check_sessions(h, f);
}
