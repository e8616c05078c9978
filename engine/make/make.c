/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Get or make: of many who miss a key at once, one makes the value. docs/design.md, *Get or make*. */
#include "engine/make/hold.h"
#include "engine/log/derive.h"
#include "engine/replica/sized.h"
#include "engine/table/cancel.h"
#include "shm/clock.h"

/* More is as much: a life of more than 100 years is none, and its end would not tell when the value became stale. */
#define MAKE_STALE_MOST_NS (UINT64_C(10) * 365 * 24 * 3600 * 1000000000)

struct make_call {
    struct tide_reader *r;
    const void *key;
    size_t key_len;
    struct tide_make_opts o;
    tide_make_fn *make;
    void *ctx;
    void *buf;
    size_t buf_size;
    struct tide_answer a;
};

static int make_get(struct make_call *c, const struct tide_bound *bound) {
    c->a = (struct tide_answer)TIDE_ANSWER_INIT;
    return tide_get(c->r, c->key, c->key_len, bound, c->buf, c->buf_size, &c->a);
}

/* The read could not be had, or found nothing: that ends no call here. */
static bool make_goes_on(int error) {
    return error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_NO_REPLICA ||
           error == TIDE_ERR_TIMEOUT;
}

/* How long the value may be had: fresh, and stale after that. */
static uint64_t make_life_ns(const struct make_call *c) {
    uint64_t ttl = c->o.ttl_ns != 0 ? c->o.ttl_ns : c->r->domain->words.default_ttl_ns;
    if (ttl == 0 || ttl == TIDE_TTL_NONE || ttl > TIDE_TTL_NONE - c->o.stale_ns) {
        return ttl == 0 ? 0 : TIDE_TTL_NONE;
    }
    return ttl + c->o.stale_ns;
}

static bool make_is_stale(const struct make_call *c) {
    return c->a.ttl_ns <= c->o.stale_ns && c->o.stale_ns != 0;
}

/* Make and put. The answer is about what was put. */
static int make_value(struct make_call *c) {
    size_t size = 0;
    int error = c->make(c->ctx, c->key, c->key_len, c->buf, c->buf_size, &size);
    c->a = (struct tide_answer)TIDE_ANSWER_INIT;
    c->a.value_size = size;
    if (error != 0 || size > c->buf_size) {
        return error != 0 ? error : TIDE_ERR_BUFFER;
    }
    reader_bump(&c->r->counts->made, 1);
    struct tide *d = c->r->domain;
    struct tide_token token;
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = make_life_ns(c);
    error = tide_put_with(d, c->r, c->key, c->key_len, c->buf, size, &o, &token);
    if (error == 0) {
        c->a.index = c->a.commit_index = c->a.version = token.index;
        c->a.linearizable = c->a.from_leader = 1;
        c->a.served_by = (uint32_t)atomic_load(&d->log->leader.leader);
        c->a.ttl_ns = o.ttl_ns != 0 && o.ttl_ns <= DERIVE_TTL_MOST ? o.ttl_ns : TIDE_TTL_NONE;
    }
    return error;
}

/* The lease is ours. Perhaps it was made between our miss and now. */
static int make_holding(struct make_call *c, uint32_t slot, bool again) {
    int error = again ? TIDE_ERR_NOT_FOUND : make_get(c, NULL);
    if (error == TIDE_ERR_NOT_FOUND || make_goes_on(error)) {
        error = make_value(c);
    }
    hold_release(c->r, slot, error == 0 || (error == TIDE_ERR_BUFFER && c->a.version != 0));
    return error;
}

/* Not there: make it, or wait for another to have made it. */
static int make_missing(struct make_call *c) {
    uint64_t hash = hold_hash(c->r->domain, c->key, c->key_len), until_ns = 0;
    for (;;) {
        struct lease_place place;
        enum lease_status status = hold_take(c->r, hash, &place);
        if (status == LEASE_NONE) {
            return make_value(c);
        }
        if (status == LEASE_TAKEN) {
            return make_holding(c, place.slot, false);
        }
        if (hold_has(c->r, place.slot)) {
            return TIDE_ERR_BUSY;
        }
        uint64_t now = clock_monotonic_ns();
        until_ns = until_ns != 0 ? until_ns : clock_after(now, c->o.wait_ns);
        if (now >= until_ns) {
            return TIDE_ERR_TIMEOUT;
        }
        bool over = lease_wait(c->r->domain->log, &place, until_ns - now);
        int error = over ? make_get(c, NULL) : TIDE_ERR_NOT_FOUND;
        if (error == 0 || error == TIDE_ERR_BUFFER) {
            reader_bump(&c->r->counts->waited, 1);
        }
        error = make_goes_on(error) ? -(int)atomic_load(&c->r->domain->closed) : error == 0 ? 1 : error;
        if (error != 0) {
            return error > 0 ? 0 : error;
        }
    }
}

/* There, but old: make it anew, unless another does. Where that fails the old one is good enough. */
static int make_anew(struct make_call *c, const struct tide_bound *bound) {
    struct lease_place place;
    uint64_t hash = hold_hash(c->r->domain, c->key, c->key_len);
    if (hold_take(c->r, hash, &place) != LEASE_TAKEN) {
        return 0;
    }
    int error = make_get(c, NULL); /* another may have made it between our look and now */
    if (error == 0 && !make_is_stale(c)) {
        hold_release(c->r, place.slot, true);
        return 0;
    }
    error = make_holding(c, place.slot, true);
    if (error != 0 && make_get(c, bound) == 0) {
        error = 0;
    }
    return error;
}

/* Hand the answer over as far as the caller's struct goes; its size stays. */
static void make_answer(const struct make_call *c, struct tide_answer *a) {
    if (a != NULL) {
        uint32_t size = a->size;
        memcpy(a, &c->a, size < sizeof(c->a) ? size : sizeof(c->a));
        a->size = size;
    }
}

static int make_check(const struct make_call *c, const struct tide_answer *a) {
    int error = reader_check(c->r);
    if (error != 0) {
        return error;
    }
    if (c->make == NULL || c->o.flags != 0 || c->o.reserved != 0 || (a != NULL && a->size < SIZED_ANSWER)) {
        return TIDE_ERR_INVALID;
    }
    return c->r->section != NULL ? TIDE_ERR_THREAD : 0;
}

int tide_get_or_make(struct tide_reader *r, const void *key, size_t key_len, const struct tide_bound *bound,
                     const struct tide_make_opts *opts, tide_make_fn *make, void *ctx, void *buf, size_t buf_size,
                     struct tide_answer *a) {
    static const struct tide_make_opts defaults = TIDE_MAKE_OPTS_INIT;
    struct make_call c = {
        .r = r, .key = key, .key_len = key_len, .make = make, .ctx = ctx, .buf = buf, .buf_size = buf_size
    };
    if (!SIZED_TAKE(&c.o, opts != NULL ? opts : &defaults, SIZED_MAKE_OPTS)) {
        return TIDE_ERR_INVALID;
    }
    c.o.stale_ns = c.o.stale_ns < MAKE_STALE_MOST_NS ? c.o.stale_ns : MAKE_STALE_MOST_NS;
    int error = make_check(&c, a);
    if (error != 0) {
        return error;
    }
    error = make_get(&c, bound);
    if (error == TIDE_ERR_NOT_FOUND || (error == 0 && make_is_stale(&c))) {
        CANCEL_HOLD_OFF();
        error = error == 0 ? make_anew(&c, bound) : make_missing(&c);
    }
    make_answer(&c, a);
    return error;
}
