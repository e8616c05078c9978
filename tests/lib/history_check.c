/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tests/lib/history_part.h"

void *history_alloc(size_t bytes) {
    void *p = calloc(1, bytes != 0 ? bytes : 1);
    if (p == NULL) {
        abort();
    }
    return p;
}

bool history_makes_value(const struct history_op *op) {
    return op->kind == HISTORY_PUT || op->kind == HISTORY_CAS || (op->kind == HISTORY_ADD && op->value != 0);
}

/* ---- values ------------------------------------------------------------------------------------------------------------ */

static int values_compare(const void *a, const void *b) {
    const struct history_value *x = a, *y = b;
    return x->value < y->value ? -1 : x->value > y->value;
}

bool history_values_make(struct history_values *v, const struct history *h, struct history_fault *f) {
    v->n = 0;
    v->sorted = history_alloc(h->n * sizeof(*v->sorted));
    for (size_t i = 0; i < h->n; i++) {
        if (history_makes_value(&h->ops[i])) {
            v->sorted[v->n++] = (struct history_value){ h->ops[i].value, i };
        }
    }
    qsort(v->sorted, v->n, sizeof(*v->sorted), values_compare);
    for (size_t i = 1; i < v->n; i++) {
        if (v->sorted[i].value == v->sorted[i - 1].value) {
            *f = (struct history_fault){ HISTORY_UNWRITTEN, v->sorted[i - 1].op, v->sorted[i].op };
            return false;
        }
    }
    return true;
}

void history_values_free(struct history_values *v) {
    free(v->sorted);
}

size_t history_values_find(const struct history_values *v, uint64_t value) {
    struct history_value key = { value, 0 };
    const struct history_value *found = bsearch(&key, v->sorted, v->n, sizeof(*v->sorted), values_compare);
    return found != NULL ? found->op : SIZE_MAX;
}

/* ---- all checks --------------------------------------------------------------------------------------------------------- */

bool history_check(const struct history *h, struct history_fault *f) {
    struct history copy = { history_alloc(h->n * sizeof(*h->ops)), h->n, h->evicts };
    if (h->n != 0) { /* an empty one has no array, and memcpy must not be given none */
        memcpy(copy.ops, h->ops, h->n * sizeof(*h->ops));
    }
    bool fine = history_check_order(&copy, f) && history_check_search(&copy, f);
    free(copy.ops);
    return fine;
}

/* ---- making a failure small ---------------------------------------------------------------------------------------------- */

static bool minimise_still_fails(const struct history *whole, const struct history_op *ops, size_t n,
                                 enum history_fault_kind kind) {
    struct history h = { (struct history_op *)ops, n, whole->evicts };
    struct history_fault f;
    return !history_check(&h, &f) && f.kind == kind;
}

/* Does r show what the write left? Without the write r alone would be a fault, and of another cause. */
static bool minimise_needs(const struct history_op *r, const struct history_op *w) {
    if (r->key != w->key || w->kind == HISTORY_GET || w->outcome > HISTORY_PENDING) {
        return false;
    }
    if (w->outcome == HISTORY_PENDING && w->ttl_ns != 0) {
        return true; /* it may explain that something is not there, or still there */
    }
    if (w->kind == HISTORY_TOUCH) { /* it moved the version, or kept the value alive */
        return r->kind == HISTORY_GET ? r->version == w->index || w->index == 0 : r->kind != HISTORY_DELETE;
    }
    bool reads = r->kind == HISTORY_GET && r->outcome == HISTORY_DONE;
    bool finds = r->kind == HISTORY_CAS && r->outcome == HISTORY_MISMATCH && r->batch_n < 2;
    if (r->kind == HISTORY_TOUCH) {
        return true; /* it found a value or none, and does not tell which write left that */
    }
    if (w->kind == HISTORY_DELETE) {
        bool expects = r->kind == HISTORY_CAS && r->outcome != HISTORY_MISMATCH && r->expected == 0;
        return (reads && r->value == 0) || expects || (finds && r->found == 0);
    }
    return (reads && r->value == w->value) ||
           ((r->kind == HISTORY_CAS || r->kind == HISTORY_ADD) && r->expected_value == w->value) ||
           (finds && r->found != 0 && (r->found == w->index || w->index == 0));
}

/* Batches stay whole: their operations know their places by each other. */
static bool minimise_may_cut(const struct history *h, size_t from, size_t to) {
    if (h->ops[from].batch_at != 0 || (to < h->n && h->ops[to].batch_at != 0)) {
        return false;
    }
    for (size_t i = 0; i < h->n; i++) {
        for (size_t w = from; w < to && (i < from || i >= to); w++) {
            if (minimise_needs(&h->ops[i], &h->ops[w])) {
                return false;
            }
        }
    }
    return true;
}

/* Leave out so many at once, wherever that is possible. */
static void minimise_pass(struct history *h, enum history_fault_kind kind, size_t part, struct history_op *less) {
    for (size_t from = 0; from + part <= h->n;) {
        size_t rest = h->n - from - part;
        memcpy(less, h->ops, from * sizeof(*less));
        memcpy(less + from, h->ops + from + part, rest * sizeof(*less));
        if (minimise_may_cut(h, from, from + part) && minimise_still_fails(h, less, h->n - part, kind)) {
            h->n -= part;
            memcpy(h->ops, less, h->n * sizeof(*less));
        } else {
            from++;
        }
    }
}

/* Make single operations of the batches, if it is not their being whole that is broken. */
static void minimise_batches(struct history *h, enum history_fault_kind kind, struct history_op *less) {
    memcpy(less, h->ops, h->n * sizeof(*less));
    for (size_t i = 0; i < h->n; i++) {
        less[i].batch_n = less[i].outcome == HISTORY_DONE ? 0 : less[i].batch_n;
        less[i].batch_at = less[i].outcome == HISTORY_DONE ? 0 : less[i].batch_at;
    }
    if (minimise_still_fails(h, less, h->n, kind)) {
        memcpy(h->ops, less, h->n * sizeof(*less));
    }
}

void history_minimise(struct history *h, enum history_fault_kind kind) {
    struct history_op *less = history_alloc(h->n * sizeof(*less));
    size_t before;
    minimise_batches(h, kind, less);
    for (size_t part = h->n / 2; part >= 8; part /= 2) {
        minimise_pass(h, kind, part, less);
    }
    do { /* what goes may have been all that held something else */
        before = h->n;
        for (size_t part = 8; part > 0; part--) {
            minimise_pass(h, kind, part, less);
        }
    } while (h->n < before);
    free(less);
}

/* ---- words ---------------------------------------------------------------------------------------------------------------- */

const char *history_fault_name(enum history_fault_kind kind) {
    static const char *const names[] = {
        [HISTORY_FINE] = "fine",
        [HISTORY_UNWRITTEN] = "a value was read that was not written",
        [HISTORY_TWO_VERSIONS] = "one write has two indexes",
        [HISTORY_SAME_INDEX] = "two writes have one index",
        [HISTORY_LOST] = "an older value was read than the one of that index",
        [HISTORY_RESURRECTED] = "a deleted value came back",
        [HISTORY_WRONG_CAS] = "a cas took effect that did not match, or the reverse",
        [HISTORY_ORDER] = "a write is not beyond what was known before its call",
        [HISTORY_FROM_FUTURE] = "a read saw an index before its write was called",
        [HISTORY_STALE] = "staleness 0 was claimed of older data",
        [HISTORY_CLAIM] = "the data was older than the claimed staleness",
        [HISTORY_BOUND] = "the claim breaks the bound or contradicts itself",
        [HISTORY_SESSION] = "the session went back",
        [HISTORY_EARLY] = "a value was gone before its life was over",
        [HISTORY_LATE] = "a value was there after its life was over",
        [HISTORY_LIFE] = "what is left of a life is not what it can be",
        [HISTORY_TORN_BATCH] = "a part of a batch was seen",
        [HISTORY_ERROR] = "an error that must not occur",
        [HISTORY_NOT_LINEARIZABLE] = "no order explains what was seen",
        [HISTORY_UNDECIDED] = "the search for an order was given up",
    };
    return names[kind];
}

static const struct history *print_sorted; /* qsort() has no argument for it */

static int print_by_call(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    uint64_t p = print_sorted->ops[x].call_ns, q = print_sorted->ops[y].call_ns;
    return p != q ? (p < q ? -1 : 1) : x < y ? -1 : x > y;
}

static void print_op(FILE *to, const struct history_op *op, size_t i, uint64_t start_ns, const char *mark) {
    static const char *const kinds[] = { "get", "put", "delete", "cas", "touch", "add", "?", "?" };
    static const char *const outcomes[] = { "", " pending", " mismatch", " failed" };
    fprintf(to, "# %s%4zu session %-6u ", mark, i, op->session);
    fprintf(to, "%11.3f .. ", (double)(op->call_ns - start_ns) / 1e3);
    if (op->ret_ns != HISTORY_NEVER) {
        fprintf(to, "%11.3f", (double)(op->ret_ns - start_ns) / 1e3);
    } else {
        fprintf(to, "%11s", "never");
    }
    fprintf(to, " us key %u %s%s", op->key, kinds[op->kind & 7], outcomes[op->outcome & 3]);
    if (op->error != 0) {
        fprintf(to, " (%s)", tide_strerror(op->error));
    }
    fprintf(to, " value %" PRIx64 " index %" PRIu64, op->value, op->index);
    if (op->kind == HISTORY_GET && op->outcome == HISTORY_DONE) {
        fprintf(to, " version %" PRIu64 " commit %" PRIu64 " staleness %" PRIu64, op->version, op->commit,
                op->staleness_ns);
        fprintf(to, " of %" PRIu64 " min %" PRIu64 " %s replica %u%s%s", op->max_staleness_ns, op->min_index,
                tide_reason_name(op->reason), op->served_by, op->linearizable ? " linearizable" : "",
                op->stale ? " stale" : "");
    } else if (op->kind == HISTORY_ADD) {
        fprintf(to, " delta %" PRIx64, op->delta);
    } else if (op->kind == HISTORY_CAS) {
        fprintf(to, " expected %" PRIu64 " (%" PRIx64 ") found %" PRIu64, op->expected, op->expected_value, op->found);
    }
    if (op->ttl_ns != 0 || op->left_ns != 0) {
        fprintf(to, " %s %.3f us", op->ttl_ns != 0 ? "lives" : "left", (double)(op->ttl_ns + op->left_ns) / 1e3);
    }
    if (op->batch_n > 1) {
        fprintf(to, " batch %u of %u", op->batch_at + 1u, op->batch_n);
    }
    fprintf(to, "\n");
}

void history_print(FILE *to, const struct history *h, const struct history_fault *f) {
    size_t *order = history_alloc(h->n * sizeof(*order));
    for (size_t i = 0; i < h->n; i++) {
        order[i] = i;
    }
    print_sorted = h;
    qsort(order, h->n, sizeof(*order), print_by_call);
    fprintf(to, "# %s: operations %zu and %zu\n", history_fault_name(f->kind), f->a, f->b);
    for (size_t i = 0; i < h->n; i++) {
        bool blamed = order[i] == f->a || order[i] == f->b;
        print_op(to, &h->ops[order[i]], order[i], h->ops[order[0]].call_ns, blamed ? "> " : "  ");
    }
    fflush(to);
    free(order);
}
