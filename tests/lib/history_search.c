/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "tests/lib/history_part.h"

#define SEARCH_STEPS 20000000u /* a history of 1,000 operations needs some thousand */
#define SEARCH_SEEN_FIRST 1024u

/* One operation of the register; two events, in one list ordered by time. */
struct search_op {
    uint64_t call_ns, ret_ns;
    uint64_t reads, writes; /* the value that must be there; the value that is there afterwards */
    size_t op;
    bool checks, changes;
    bool differs;  /* it must not be `reads` that is there */
    bool optional; /* pending, and nobody saw it */
    bool goes;     /* takes away `reads`, a value that one operation alone writes */
};

struct search_event {
    uint32_t next, prev; /* in the list; 0 is its head */
    uint32_t op;
    uint32_t answer; /* of a call: the event of its return; of a return: 0 */
};

struct search {
    const struct history *h;
    struct search_op *ops;
    uint32_t n, required;
    struct search_event *events;
    uint64_t *done; /* bit for each operation */
    uint32_t words;
    uint64_t state;
    uint32_t *stack; /* events that were taken, and the state before each */
    uint64_t *states;
    uint32_t depth;
    /* Sets of operations and states that were reached before: open addressing, 0 free, else position + 1. */
    uint32_t *slots, slot_count;
    uint64_t *seen; /* words + 1 each */
    uint32_t seen_count, seen_room;
};

/* ---- what was seen already ------------------------------------------------------------------------------------------ */

static uint32_t search_hash(const struct search *s, const uint64_t *done, uint64_t state) {
    uint64_t x = state * UINT64_C(0x9e3779b97f4a7c15);
    for (uint32_t i = 0; i < s->words; i++) {
        x = (x ^ done[i]) * UINT64_C(0xbf58476d1ce4e5b9);
        x ^= x >> 29;
    }
    return (uint32_t)(x ^ x >> 32);
}

static uint64_t *search_seen_at(const struct search *s, uint32_t i) {
    return &s->seen[(size_t)i * (s->words + 1)];
}

static void search_grow(struct search *s) {
    s->seen_room = s->seen_room != 0 ? s->seen_room * 2 : SEARCH_SEEN_FIRST;
    s->slot_count = s->seen_room * 2;
    s->seen = realloc(s->seen, (size_t)s->seen_room * (s->words + 1) * sizeof(*s->seen));
    free(s->slots);
    s->slots = calloc(s->slot_count, sizeof(*s->slots));
    if (s->seen == NULL || s->slots == NULL) {
        abort();
    }
    for (uint32_t i = 0; i < s->seen_count; i++) {
        const uint64_t *e = search_seen_at(s, i);
        uint32_t at = search_hash(s, e, e[s->words]) % s->slot_count;
        while (s->slots[at] != 0) {
            at = (at + 1) % s->slot_count;
        }
        s->slots[at] = i + 1;
    }
}

/* True where it was not there yet. */
static bool search_remember(struct search *s, uint64_t state) {
    if (s->seen_count == s->seen_room) {
        search_grow(s);
    }
    uint32_t at = search_hash(s, s->done, state) % s->slot_count;
    for (; s->slots[at] != 0; at = (at + 1) % s->slot_count) {
        const uint64_t *e = search_seen_at(s, s->slots[at] - 1);
        if (e[s->words] == state && memcmp(e, s->done, s->words * sizeof(*e)) == 0) {
            return false;
        }
    }
    uint64_t *e = search_seen_at(s, s->seen_count);
    memcpy(e, s->done, s->words * sizeof(*e));
    e[s->words] = state;
    s->slots[at] = ++s->seen_count;
    return true;
}

/* ---- the list ---------------------------------------------------------------------------------------------------------- */

static void search_unlink(struct search *s, uint32_t e) {
    s->events[s->events[e].prev].next = s->events[e].next;
    if (s->events[e].next != 0) {
        s->events[s->events[e].next].prev = s->events[e].prev;
    }
}

static void search_relink(struct search *s, uint32_t e) {
    s->events[s->events[e].prev].next = e;
    if (s->events[e].next != 0) {
        s->events[s->events[e].next].prev = e;
    }
}

/* That a value went away is not remembered: it shows in the state, and once another value is there, this one cannot come back. Else each value
 * that nobody read would double what there is to search. */
static void search_flip(struct search *s, uint32_t op) {
    s->done[op / 64] ^= s->ops[op].goes ? 0 : UINT64_C(1) << op % 64;
}

static bool search_take(struct search *s, uint32_t call) {
    const struct search_op *op = &s->ops[s->events[call].op];
    if (op->checks && (s->state == op->reads) == op->differs) {
        return false;
    }
    uint64_t state = op->changes ? op->writes : s->state;
    search_flip(s, s->events[call].op);
    if (!search_remember(s, state)) {
        search_flip(s, s->events[call].op);
        return false;
    }
    s->stack[s->depth] = call;
    s->states[s->depth++] = s->state;
    s->state = state;
    search_unlink(s, call);
    search_unlink(s, s->events[call].answer);
    s->required -= !op->optional;
    return true;
}

static uint32_t search_give_back(struct search *s) {
    uint32_t call = s->stack[--s->depth];
    s->state = s->states[s->depth];
    search_relink(s, s->events[call].answer);
    search_relink(s, call);
    search_flip(s, s->events[call].op);
    s->required += !s->ops[s->events[call].op].optional;
    return call;
}

/* An operation that had to take effect before `stuck` returned, but could not, wherever the search went. */
static enum history_fault_kind search_run(struct search *s, size_t *stuck) {
    uint32_t at = s->events[0].next, most = 0;
    for (uint32_t steps = 0; s->required != 0; steps++) {
        if (steps == SEARCH_STEPS) {
            return HISTORY_UNDECIDED;
        }
        if (s->events[at].answer != 0) {
            at = search_take(s, at) ? s->events[0].next : s->events[at].next;
            continue;
        }
        if (s->depth >= most) {
            most = s->depth;
            *stuck = s->ops[s->events[at].op].op;
        }
        if (s->depth == 0) {
            return HISTORY_NOT_LINEARIZABLE;
        }
        at = s->events[search_give_back(s)].next;
    }
    return HISTORY_FINE;
}

/* ---- from a history to a register -------------------------------------------------------------------------------------- */

#define SEARCH_CHAIN                                                                                                   \
    4u /* adds that were never answered, each onto the one before: more than history_resolve_adds() finds */

/* The earliest return of an answer that shows that the write was done. An add that was never answered itself, and was seen to be done, shows
 * it of the write whose value it found. */
static uint64_t search_seen_within(const struct history *h, const struct history_op *w, uint32_t chain) {
    uint64_t least = w->ret_ns;
    for (size_t i = 0; i < h->n && w->kind != HISTORY_DELETE; i++) {
        const struct history_op *r = &h->ops[i];
        bool read = r->kind == HISTORY_GET && r->outcome == HISTORY_DONE && r->value == w->value;
        bool met = (r->kind == HISTORY_CAS || r->kind == HISTORY_ADD) && r->outcome == HISTORY_DONE &&
                   r->expected_value == w->value;
        bool found = r->kind == HISTORY_CAS && r->found_known && r->found_value == w->value;
        bool onto = chain > 1 && r->kind == HISTORY_ADD && r->outcome == HISTORY_PENDING && r->key == w->key &&
                    r->value != 0 && r->expected_value == w->value && w->value != 0;
        uint64_t ret_ns = onto ? search_seen_within(h, r, chain - 1) : r->ret_ns;
        if ((read || met || found || onto) && ret_ns < least) {
            least = ret_ns;
        }
    }
    return least;
}

static uint64_t search_seen_ns(const struct history *h, const struct history_op *w) {
    return search_seen_within(h, w, SEARCH_CHAIN);
}

/* A cas of this key found a version that nobody read: one of the pending writes made it. */
static bool search_unseen_found(const struct history *h, uint32_t key) {
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *c = &h->ops[i];
        if (c->kind == HISTORY_CAS && c->outcome == HISTORY_MISMATCH && c->key == key && !c->found_known) {
            return true;
        }
    }
    return false;
}

/* Did a touch find a value, perhaps that of the pending write, which nobody read? */
static bool search_touched(const struct history *h, const struct history_op *w) {
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *t = &h->ops[i];
        if (t->kind == HISTORY_TOUCH && t->outcome == HISTORY_DONE && t->key == w->key && t->ret_ns >= w->call_ns) {
            return true;
        }
    }
    return false;
}

/* May a touch that was never answered have given the value of before another version by then? */
static bool search_may_be_touched(const struct history *h, const struct history_op *op) {
    for (size_t i = 0; i < h->n; i++) {
        const struct history_op *t = &h->ops[i];
        if (t->kind == HISTORY_TOUCH && t->outcome == HISTORY_PENDING && t->key == op->key &&
            t->call_ns <= op->ret_ns) {
            return true;
        }
    }
    return false;
}

/* A write that was never answered, and of whose value nobody told. */
static bool search_is_unseen(const struct history *h, const struct history_op *w) {
    bool writes = w->kind == HISTORY_PUT || w->kind == HISTORY_CAS || w->kind == HISTORY_ADD;
    return writes && w->outcome == HISTORY_PENDING && w->index == 0 &&
           (w->value == 0 || search_seen_ns(h, w) == HISTORY_NEVER);
}

/* False where the operation tells nothing about the register. `unseen`: see search_unseen_found(). */
static bool search_translate(const struct history *h, size_t i, bool unseen, struct search_op *out) {
    const struct history_op *op = &h->ops[i];
    *out = (struct search_op){ .call_ns = op->call_ns, .ret_ns = op->ret_ns, .op = i };
    if (op->outcome == HISTORY_FAILED) {
        return false;
    }
    if (op->kind == HISTORY_GET) {
        out->checks = true;
        out->reads = op->value;
        return op->outcome == HISTORY_DONE && op->linearizable;
    }
    if (op->kind == HISTORY_TOUCH) {
        out->checks = true; /* a value was there, or for certain none */
        out->differs = op->outcome == HISTORY_DONE;
        return op->outcome != HISTORY_PENDING && op->batch_n < 2;
    }
    if (op->kind == HISTORY_ADD) {
        out->checks = out->changes = true;
        out->reads = op->expected_value;
        out->writes = op->value;
        if (op->outcome == HISTORY_DONE) {
            return true;
        }
        if (op->value == 0) { /* its sum is not known: any value that nobody read */
            out->writes = UINT64_MAX - i;
            out->ret_ns = HISTORY_NEVER;
            out->optional = true;
            out->checks = false;
            return search_touched(h, op);
        }
        out->ret_ns = search_seen_ns(h, op);
        return out->ret_ns != HISTORY_NEVER;
    }
    /* A cas that expects a version it never read the value of: the order check knows it by its index. */
    bool known = op->expected == 0 || op->expected_value != 0;
    out->changes = op->outcome != HISTORY_MISMATCH;
    out->checks = op->kind == HISTORY_CAS && (known || op->found_known);
    out->reads = op->found_known ? op->found_value : op->expected_value;
    out->differs = !out->changes && !op->found_known;
    out->writes = op->kind == HISTORY_DELETE ? 0 : op->value;
    if (op->outcome == HISTORY_MISMATCH && op->batch_n > 1) {
        return false; /* one of the batch did not match; which, is not recorded */
    }
    if (op->outcome == HISTORY_MISMATCH && !op->found_known && search_may_be_touched(h, op)) {
        return false; /* perhaps it was the version alone that did not match */
    }
    if (op->outcome == HISTORY_PENDING) {
        out->ret_ns = search_seen_ns(h, op);
        /* A write whose value nobody saw can be left out, unless a cas or a touch may have met it; a delete has no value to be seen. */
        out->optional =
            op->kind == HISTORY_DELETE || (out->ret_ns == HISTORY_NEVER && (unseen || search_touched(h, op)));
        return out->optional || out->ret_ns != HISTORY_NEVER;
    }
    return true;
}

/* The value may be gone from some instant on: when its life is over, or at any time where it can be evicted. As a delete of just this
 * value, which need not happen. */
static bool search_may_go(const struct history *h, size_t i, struct search_op *out) {
    const struct history_op *op = &h->ops[i];
    bool wrote =
        op->kind != HISTORY_GET && op->kind != HISTORY_DELETE && op->outcome <= HISTORY_PENDING && op->value != 0;
    bool evicts = h->evicts && !op->keep;
    bool unseen = op->kind != HISTORY_GET && op->outcome == HISTORY_PENDING && op->index == 0 && op->ttl_ns != 0;
    bool touched = search_is_unseen(h, op) && search_touched(h, op);
    if (unseen ||
        touched) { /* it may have been done, and be over, with nobody seeing either: by its own life, or by that of a touch */
        *out = (struct search_op){ .call_ns = op->call_ns + (touched ? 0 : op->ttl_ns),
                                   .ret_ns = HISTORY_NEVER,
                                   .op = i,
                                   .changes = true,
                                   .optional = true };
        return true;
    }
    *out = (struct search_op){ .call_ns = evicts ? op->call_ns : op->early_ns,
                               .ret_ns = HISTORY_NEVER,
                               .reads = op->value,
                               .op = i,
                               .checks = true,
                               .changes = true,
                               .optional = true,
                               .goes = true };
    return wrote && (evicts || op->early_ns != 0);
}

struct search_moment {
    uint64_t ns;
    uint32_t op;
    bool returns;
};

static int search_by_time(const void *a, const void *b) {
    const struct search_moment *x = a, *y = b;
    if (x->ns != y->ns) {
        return x->ns < y->ns ? -1 : 1;
    }
    if (x->returns != y->returns) {
        return x->returns ? 1 : -1; /* at one instant they are concurrent */
    }
    return x->op < y->op ? -1 : x->op > y->op;
}

static void search_list(struct search *s) {
    struct search_moment *moments = history_alloc(2 * (size_t)s->n * sizeof(*moments));
    uint32_t *calls = history_alloc(s->n * sizeof(*calls));
    for (uint32_t i = 0; i < s->n; i++) {
        moments[2 * i] = (struct search_moment){ s->ops[i].call_ns, i, false };
        moments[2 * i + 1] = (struct search_moment){ s->ops[i].ret_ns, i, true };
    }
    qsort(moments, 2 * (size_t)s->n, sizeof(*moments), search_by_time);
    for (uint32_t i = 0; i < 2 * s->n; i++) {
        uint32_t e = i + 1;
        s->events[e] = (struct search_event){ e < 2 * s->n ? e + 1 : 0, e - 1, moments[i].op, 0 };
        if (moments[i].returns) {
            s->events[calls[moments[i].op]].answer = e;
        } else {
            calls[moments[i].op] = e;
        }
    }
    s->events[0].next = s->n != 0 ? 1 : 0;
    free(moments);
    free(calls);
}

static bool search_key(const struct history *h, uint32_t key, struct history_fault *f) {
    struct search s = { .h = h };
    s.ops = history_alloc(2 * h->n * sizeof(*s.ops));
    bool unseen = search_unseen_found(h, key);
    for (size_t i = 0; i < h->n; i++) {
        if (h->ops[i].key == key && search_translate(h, i, unseen, &s.ops[s.n])) {
            s.required += !s.ops[s.n++].optional;
        }
        if (h->ops[i].key == key && search_may_go(h, i, &s.ops[s.n])) {
            s.n++;
        }
    }
    s.words = (s.n + 63) / 64;
    s.events = history_alloc((2 * (size_t)s.n + 1) * sizeof(*s.events));
    s.done = history_alloc((s.words + 1) * sizeof(*s.done));
    s.stack = history_alloc(s.n * sizeof(*s.stack));
    s.states = history_alloc(s.n * sizeof(*s.states));
    search_list(&s);
    size_t stuck = 0;
    enum history_fault_kind kind = search_run(&s, &stuck);
    if (kind != HISTORY_FINE) {
        *f = (struct history_fault){ kind, stuck, stuck };
    }
    free(s.ops);
    free(s.events);
    free(s.done);
    free(s.stack);
    free(s.states);
    free(s.slots);
    free(s.seen);
    return kind == HISTORY_FINE;
}

bool history_check_search(const struct history *h, struct history_fault *f) {
    *f = (struct history_fault){ 0 };
    bool fine = true;
    for (uint32_t key = 0; key < HISTORY_KEYS && fine; key++) {
        fine = search_key(h, key, f);
    }
    return fine;
}
