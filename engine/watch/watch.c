/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* tide_watch_*: what changes, entry by entry. docs/design.md, *Watching*. */
#include <stdlib.h>

#include "engine/replica/sized.h"
#include "engine/table/cancel.h"
#include "engine/table/rcu.h"
#include "engine/watch/gather.h"
#include "shm/clock.h"
#include "shm/nap.h"
#include "shm/park.h"

#define WATCH_SPINS 200u                   /* a few microseconds: shorter than a futex sleep and its wake-up */
#define WATCH_LOOK_NS UINT64_C(250000000)  /* at least so often it looks up: whether the domain is gone or closed */
#define WATCH_NAP_LEAST_NS UINT64_C(50000) /* of a handle that cannot announce itself */
#define WATCH_NAP_MOST_NS UINT64_C(2000000)
/* The leader mends its words within a second where another process changed them; so long what cannot be is looked at again. */
#define WATCH_DOUBT_NS UINT64_C(2500000000)
#define WATCH_DOUBT_NAP_NS UINT64_C(10000000)

enum watch_phase { WATCH_LOG = 0, WATCH_FIRST = 1 /* INITIAL: what was gathered is told */ };

struct tide_watch {
    struct tide *domain;
    struct walk walk;
    enum watch_phase phase;
    int error;         /* that ended it: told at each call from then on */
    uint64_t doubt_ns; /* since when the log's words cannot be; 0: they can */
    uint64_t nap_ns;
    struct key_set set;
    size_t told;          /* entries of the set */
    uint64_t gathered_ns; /* when it was complete: domain clock */
    uint8_t prefix[];
};

static int watch_check(const struct tide_watch *w) {
    if (w == NULL) {
        return TIDE_ERR_INVALID;
    }
    return -(int)atomic_load(&w->domain->closed);
}

/* ---- opening ------------------------------------------------------------------------------------------------------ */

static int watch_take_opts(const struct tide *d, const struct tide_watch_opts *o) {
    const uint32_t known = TIDE_WATCH_INITIAL;
    bool some = o->from.incarnation != 0 || o->from.index != 0;
    if ((o->flags & ~known) != 0 || o->reserved != 0 || o->prefix_len > TIDE_KEY_MAX ||
        (o->prefix == NULL && o->prefix_len != 0) || (some && (o->flags & TIDE_WATCH_INITIAL) != 0)) {
        return TIDE_ERR_INVALID;
    }
    if (d->fed && o->from.incarnation == TIDE_REVISION) {
        return o->from.index > atomic_load(&d->log->feed.position) ? TIDE_ERR_FENCE_AHEAD : 0;
    }
    if (some && o->from.incarnation != d->words.header.incarnation) {
        return TIDE_ERR_INCARNATION;
    }
    if (d->fed && (o->flags & TIDE_WATCH_INITIAL) != 0 &&
        atomic_load(&d->log->feed.complete_ts) == 0) { /* MO(feed.complete) */
        return TIDE_ERR_REFUSED;
    }
    return o->from.index > board_commit(d->log) ? TIDE_ERR_FENCE_AHEAD : 0;
}

static int watch_gather(struct tide_watch *w) {
    if (rcu_inside()) {
        return TIDE_ERR_THREAD;
    }
    if (rcu_register_self() != 0) {
        return TIDE_ERR_NOMEM;
    }
    int error = gather_all(w->domain, &w->walk, &w->set);
    w->gathered_ns = clock_now(&w->domain->log->clock);
    w->phase = WATCH_FIRST;
    return error;
}

static void watch_free(struct tide_watch *w) {
    key_set_free(&w->set);
    walk_free(&w->walk);
    free(w);
}

int tide_watch_open(struct tide *d, const struct tide_watch_opts *opts, struct tide_watch **out) {
    static const struct tide_watch_opts defaults = TIDE_WATCH_OPTS_INIT;
    struct tide_watch_opts o;
    CANCEL_HOLD_OFF();
    if (d == NULL || out == NULL || !SIZED_TAKE(&o, opts != NULL ? opts : &defaults, SIZED_WATCH_OPTS)) {
        return TIDE_ERR_INVALID;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    int error = watch_take_opts(d, &o);
    struct tide_watch *w = error == 0 ? malloc(sizeof(*w) + o.prefix_len) : NULL;
    if (w == NULL) {
        return error != 0 ? error : TIDE_ERR_NOMEM;
    }
    *w = (struct tide_watch){ .domain = d, .nap_ns = WATCH_NAP_LEAST_NS };
    if (o.prefix_len != 0) {
        memcpy(w->prefix, o.prefix, o.prefix_len);
    }
    uint64_t from = o.from.incarnation != 0 ? o.from.index : board_commit(d->log);
    walk_init(&w->walk, &d->ring, w->prefix, o.prefix_len, from + 1);
    if ((o.flags & TIDE_WATCH_INITIAL) != 0) {
        error = watch_gather(w);
    } else if (o.from.incarnation == TIDE_REVISION && d->fed) {
        enum walk_status status = walk_after_revision(&w->walk, o.from.index);
        w->error = status == WALK_OK ? 0 : status == WALK_LOST ? TIDE_ERR_LOST : TIDE_ERR_CORRUPT;
    } else {
        walk_place(&w->walk); /* now, while the entry is there; tide_watch_next() tells where it is not */
    }
    if (error != 0) {
        watch_free(w);
        return error;
    }
    tide_hold(d);
    *out = w;
    return 0;
}

int tide_watch_close(struct tide_watch *w) {
    CANCEL_HOLD_OFF();
    if (w == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (!tide_forked(w->domain)) {
        tide_drop(w->domain);
    }
    watch_free(w);
    return 0;
}

/* ---- events ------------------------------------------------------------------------------------------------------- */

static inline void watch_give(struct tide_event *out, struct tide_event *e) {
    if (__builtin_expect(out->size == sizeof(*e), 1)) {
        e->size = sizeof(*e);
        *out = *e;
    } else {
        SIZED_GIVE(out, e);
    }
}

static uint64_t watch_left(uint64_t expiry, uint64_t now) {
    return expiry == NEVER_EXPIRES ? TIDE_TTL_NONE : expiry > now ? expiry - now : 0;
}

/* The next of what was there at the beginning, and SYNCED at its end. */
static void watch_tell_first(struct tide_watch *w, struct tide_event *out) {
    struct tide_event e = { .time_ns = w->gathered_ns };
    while (w->told < w->set.count) {
        const struct key_set_entry *k = &w->set.entries[w->told++];
        if (k->gone || k->expiry <= w->gathered_ns) {
            continue;
        }
        e.kind = TIDE_EVENT_PUT;
        e.more = 1;
        e.index = k->version;
        e.key = k->bytes;
        e.key_len = k->key_len;
        e.value = k->bytes + k->key_len;
        e.value_size = k->value_len;
        e.ttl_ns = watch_left(k->expiry, w->gathered_ns);
        e.revision = k->revision;
        watch_give(out, &e);
        return;
    }
    key_set_free(&w->set);
    w->phase = WATCH_LOG;
    e.kind = TIDE_EVENT_SYNCED;
    e.index = w->walk.next - 1;
    e.ttl_ns = TIDE_TTL_NONE;
    watch_give(out, &e);
}

static inline void watch_tell(struct tide_watch *w, const struct walk_entry *x, struct tide_event *out) {
    static const uint8_t kinds[] = {
        [FRAME_PUT] = TIDE_EVENT_PUT,
        [FRAME_DELETE] = TIDE_EVENT_DELETE,
        [FRAME_EXPIRE] = TIDE_EVENT_EXPIRE,
        [FRAME_EVICT] = TIDE_EVENT_EVICT,
    };
    struct tide_event e = {
        .kind = kinds[x->f.type],
        .more = (x->f.flags & FRAME_MORE) != 0 && walk_batch_goes_on(&w->walk),
        .index = x->f.index,
        .time_ns = x->f.commit_ts,
        .key = x->key,
        .key_len = x->f.key_len,
        .value = x->value,
        .value_size = x->f.value_len,
        .ttl_ns = watch_left(x->expiry, x->f.commit_ts),
        .revision = x->version,
    };
    watch_give(out, &e);
}

/* ---- waiting ------------------------------------------------------------------------------------------------------ */

static bool watch_has_more(const struct tide_watch *w) {
    return board_commit(w->domain->log) >= w->walk.next;
}

/* Sleep until there is more, at most ns. */
static void watch_sleep(struct tide_watch *w, uint64_t ns) {
    struct leader_board *lead = &w->domain->log->leader;
    for (uint32_t i = 0; i < WATCH_SPINS && ns > WATCH_NAP_LEAST_NS; i++) {
        if (watch_has_more(w)) {
            return;
        }
        park_relax();
    }
    if (w->domain->read_only) { /* nobody can be told of this sleeper */
        park_nap(w->nap_ns < ns ? w->nap_ns : ns);
        w->nap_ns = w->nap_ns < WATCH_NAP_MOST_NS ? 2 * w->nap_ns : w->nap_ns;
        return;
    }
    uint32_t seen = atomic_load(&lead->wake);
    atomic_store(&lead->parked, 1); /* MO(log.parked): announced before commit is looked at again */
    atomic_thread_fence(memory_order_seq_cst);
    if (!watch_has_more(w)) {
        park_wait(&lead->wake, seen, ns < WATCH_LOOK_NS ? ns : WATCH_LOOK_NS);
    }
}

/* The log has nothing, or nothing that can be, where the watch stands. 0: look again. */
static __attribute__((noinline)) int watch_wait(struct tide_watch *w, enum walk_status status, uint64_t *until_ns,
                                                uint64_t timeout_ns) {
    uint64_t now = clock_monotonic_ns();
    *until_ns = *until_ns != 0 ? *until_ns : clock_after(now, timeout_ns);
    if (status == WALK_DAMAGED) {
        w->doubt_ns = w->doubt_ns != 0 ? w->doubt_ns : now;
        if (now - w->doubt_ns >= WATCH_DOUBT_NS) {
            return w->error = TIDE_ERR_CORRUPT;
        }
    } else {
        w->doubt_ns = 0;
    }
    if (now >= *until_ns) {
        return TIDE_ERR_TIMEOUT;
    }
    CANCEL_HOLD_OFF();
    if (status == WALK_DAMAGED) {
        park_nap(WATCH_DOUBT_NAP_NS < *until_ns - now ? WATCH_DOUBT_NAP_NS : *until_ns - now);
    } else {
        watch_sleep(w, *until_ns - now);
    }
    return 0;
}

int tide_watch_next(struct tide_watch *w, struct tide_event *event, uint64_t timeout_ns) {
    uint64_t until_ns = 0;
    int error = watch_check(w);
    if (error != 0 || event == NULL || event->size < SIZED_EVENT) {
        return error != 0 ? error : TIDE_ERR_INVALID;
    }
    while (w->error == 0) {
        if (__builtin_expect(w->phase == WATCH_FIRST, 0)) {
            watch_tell_first(w, event);
            return 0;
        }
        struct walk_entry x;
        enum walk_status status = walk_next(&w->walk, &x);
        if (__builtin_expect(status == WALK_OK, 1)) {
            w->doubt_ns = 0;
            w->nap_ns = WATCH_NAP_LEAST_NS;
            watch_tell(w, &x, event);
            return 0;
        }
        if (status == WALK_NOMEM) {
            return TIDE_ERR_NOMEM;
        }
        if (status == WALK_LOST) {
            return w->error = TIDE_ERR_LOST;
        }
        error = watch_wait(w, status, &until_ns, timeout_ns);
        error = error != 0 ? error : watch_check(w);
        if (error != 0) {
            return error;
        }
    }
    return w->error;
}

int tide_watch_token(struct tide_watch *w, struct tide_token *out) {
    int error = watch_check(w);
    if (error != 0 || out == NULL) {
        return error != 0 ? error : TIDE_ERR_INVALID;
    }
    if (w->phase == WATCH_FIRST) {
        return TIDE_ERR_BUSY;
    }
    *out = (struct tide_token){ w->domain->words.header.incarnation, w->walk.next - 1 };
    return 0;
}

int tide_watch_oldest(struct tide_watch *w, struct tide_token *out) {
    int error = watch_check(w);
    if (error != 0 || out == NULL) {
        return error != 0 ? error : TIDE_ERR_INVALID;
    }
    uint64_t oldest = walk_oldest(&w->domain->ring);
    *out = (struct tide_token){ w->domain->words.header.incarnation, oldest - 1 };
    return 0;
}
