/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was known when: an answer with index i proves, from its return on, that i is committed. */
#include <stdlib.h>

#include "engine/tidemark.h"
#include "tests/lib/history_part.h"

struct times_proof {
    uint64_t ret_ns;
    uint64_t index; /* the highest that any answer up to ret_ns had */
    size_t op;
};

static int times_by_return(const void *a, const void *b) {
    const struct times_proof *x = a, *y = b;
    return x->ret_ns < y->ret_ns ? -1 : x->ret_ns > y->ret_ns;
}

static size_t times_collect(const struct history *h, struct times_proof *proofs) {
    size_t n = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (h->ops[i].outcome == HISTORY_DONE && h->ops[i].ret_ns != HISTORY_NEVER) {
            proofs[n++] = (struct times_proof){ h->ops[i].ret_ns, h->ops[i].index, i };
        }
    }
    qsort(proofs, n, sizeof(*proofs), times_by_return);
    for (size_t i = 1; i < n; i++) {
        if (proofs[i].index < proofs[i - 1].index) {
            proofs[i].index = proofs[i - 1].index;
            proofs[i].op = proofs[i - 1].op;
        }
    }
    return n;
}

/* The best proof that was there before `at_ns`, or NULL. What returned at the very instant was concurrent. */
static const struct times_proof *times_known(const struct times_proof *proofs, size_t n, uint64_t at_ns) {
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (proofs[middle].ret_ns < at_ns) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? NULL : &proofs[low - 1];
}

/* The claim against the bound, and against itself. */
static bool times_claim_is_sound(const struct history_op *r) {
    bool fresh = r->staleness_ns == 0 && !r->stale;
    uint64_t lag = r->commit > r->index ? r->commit - r->index : 0;
    if (r->linearizable != fresh || (r->stale && !r->may_be_stale)) {
        return false;
    }
    return r->stale || (r->staleness_ns <= r->max_staleness_ns && lag <= r->max_lag);
}

static bool times_check(const struct history *h, const struct times_proof *proofs, size_t n, size_t i,
                        struct history_fault *f) {
    const struct history_op *op = &h->ops[i];
    bool placed = op->outcome == HISTORY_DONE || (op->outcome == HISTORY_PENDING && op->index != 0);
    if (!placed) {
        return true;
    }
    if (op->kind != HISTORY_GET) {
        const struct times_proof *known = times_known(proofs, n, op->call_ns);
        if (known != NULL && known->index >= op->index) {
            bool read = h->ops[known->op].kind == HISTORY_GET;
            *f = (struct history_fault){ read ? HISTORY_FROM_FUTURE : HISTORY_ORDER, known->op, i };
            return false;
        }
        return true;
    }
    if (!times_claim_is_sound(op)) {
        *f = (struct history_fault){ HISTORY_BOUND, i, i };
        return false;
    }
    uint64_t since = op->call_ns > op->staleness_ns ? op->call_ns - op->staleness_ns : 0;
    const struct times_proof *known = times_known(proofs, n, since);
    if (known != NULL && known->index > op->index) {
        *f = (struct history_fault){ op->staleness_ns == 0 ? HISTORY_STALE : HISTORY_CLAIM, known->op, i };
        return false;
    }
    return true;
}

bool history_check_times(const struct history *h, struct history_fault *f) {
    struct times_proof *proofs = history_alloc(h->n * sizeof(*proofs));
    size_t n = times_collect(h, proofs);
    bool fine = true;
    for (size_t i = 0; i < h->n && fine; i++) {
        fine = times_check(h, proofs, n, i, f);
    }
    free(proofs);
    return fine;
}

/* ---- sessions --------------------------------------------------------------------------------------------------------- */

static bool sessions_error_is_allowed(const struct history_op *op) {
    switch (op->error) {
    case TIDE_ERR_TIMEOUT:
    case TIDE_ERR_NO_LEADER:
        return true;
    case TIDE_ERR_REFUSED:
    case TIDE_ERR_NO_REPLICA:
    case TIDE_ERR_LOST:
        return op->kind == HISTORY_GET;
    default:
        return false;
    }
}

static const struct history *sessions_sorted; /* qsort() has no argument for it */

static int sessions_by_call(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    const struct history_op *p = &sessions_sorted->ops[x], *q = &sessions_sorted->ops[y];
    if (p->session != q->session) {
        return p->session < q->session ? -1 : 1;
    }
    if (p->call_ns != q->call_ns) {
        return p->call_ns < q->call_ns ? -1 : 1;
    }
    return x < y ? -1 : x > y; /* a batch or a snapshot: in its own order */
}

static bool sessions_step(const struct history *h, size_t i, size_t *last, struct history_fault *f) {
    const struct history_op *op = &h->ops[i];
    if (op->outcome == HISTORY_FAILED && !sessions_error_is_allowed(op)) {
        *f = (struct history_fault){ HISTORY_ERROR, i, i };
        return false;
    }
    if (op->outcome != HISTORY_DONE) {
        return true;
    }
    const struct history_op *before = *last != SIZE_MAX && h->ops[*last].session == op->session ? &h->ops[*last] : NULL;
    uint64_t fence = before != NULL ? before->index : 0;
    if (op->stale) {
        return true; /* the caller opted in: the fence is part of the bound that is broken */
    }
    bool kept = op->kind == HISTORY_GET ? op->index >= fence && op->index >= op->min_index : op->index > fence;
    if (!kept) {
        *f = (struct history_fault){ HISTORY_SESSION, before != NULL ? *last : i, i };
        return false;
    }
    *last = i;
    return true;
}

bool history_check_sessions(const struct history *h, struct history_fault *f) {
    size_t *order = history_alloc(h->n * sizeof(*order)), last = SIZE_MAX;
    for (size_t i = 0; i < h->n; i++) {
        order[i] = i;
    }
    sessions_sorted = h;
    qsort(order, h->n, sizeof(*order), sessions_by_call);
    bool fine = true;
    for (size_t i = 0; i < h->n && fine; i++) {
        fine = sessions_step(h, order[i], &last, f);
    }
    free(order);
    return fine;
}
