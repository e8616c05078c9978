/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The feed's application: what it appends, and what it says about the source. */
#include "engine/write/feed.h"

#include <stdlib.h>

#include "engine/replica/sized.h"
#include "engine/replica/source.h"
#include "engine/replica/visit.h"
#include "engine/table/cancel.h"
#include "engine/table/kill.h"
#include "engine/table/rcu.h"
#include "engine/write/write_op.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/park.h"

int tide_feed_open(struct tide *d, const struct tide_feed_opts *opts, struct tide_feed **out) {
    CANCEL_HOLD_OFF();
    struct tide_feed_opts o;
    if (d == NULL || out == NULL || opts == NULL || !SIZED_TAKE(&o, opts, SIZED_FEED_OPTS) || o.flags != 0 ||
        o.reserved != 0 || o.source == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    if (d->read_only) {
        return TIDE_ERR_READ_ONLY;
    }
    if (strcmp(o.source, d->words.source) != 0) {
        tide_logf(d, TIDE_LOG_ERROR,
                  d->fed ? "%s is fed by \"%s\", not by \"%s\"" : "%s is not fed%.0s, by \"%s\" or else", d->name,
                  d->words.source, o.source);
        return TIDE_ERR_FED;
    }
    struct tide_feed *f = calloc(1, sizeof(*f));
    if (f == NULL) {
        return TIDE_ERR_NOMEM;
    }
    f->d = d;
    f->o = o;
    f->told_bound = TIDE_UNBOUNDED;
    memcpy(f->source, d->words.source, sizeof(f->source));
    pthread_mutex_init(&f->lock, NULL);
    pthread_mutex_lock(&d->control);
    bool busy = d->feed != NULL;
    if (!busy) { /* else the lane thread may be reading it */
        d->feed = f;
    }
    pthread_mutex_unlock(&d->control);
    if (busy) {
        pthread_mutex_destroy(&f->lock);
        free(f);
        return TIDE_ERR_BUSY;
    }
    tide_hold(d);
    *out = f;
    return 0;
}

/* Does this handle run a replica that leads, or may come to? The caller has the lock of starting and stopping. */
static bool feed_is_needed(const struct tide *d) {
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        const struct replica *r = atomic_load(&d->running[i]);
        if (r != NULL && (r->candidate || atomic_load(&r->leads))) {
            return true;
        }
    }
    return false;
}

int tide_feed_close(struct tide_feed *f) {
    CANCEL_HOLD_OFF();
    if (f == NULL) {
        return TIDE_ERR_INVALID;
    }
    struct tide *d = f->d;
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    pthread_mutex_lock(&d->control);
    bool needed = feed_is_needed(d);
    if (!needed) {
        d->feed = NULL;
    }
    pthread_mutex_unlock(&d->control);
    if (needed) {
        return TIDE_ERR_BUSY;
    }
    for (struct tide_feed_request *q = f->requests, *next; q != NULL; q = next) {
        next = q->next;
        lane_work_free(&q->work);
        free(q->ops);
        free(q);
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
    tide_drop(d);
    return 0;
}

/* So many questions are never asked. A number beyond is another process's: it would wrap, and then no probe would be this leader's. */
#define FEED_QUESTIONS (UINT64_C(1) << 62)

static uint64_t feed_number(const _Atomic uint64_t *word) {
    uint64_t number = atomic_load(word); /* MO(feed.done) */
    return number < FEED_QUESTIONS ? number : 0;
}

/* Go on from what the leader before has told readers. Shared memory is input: what cannot be is not taken over. */
static void feed_take_board(struct tide_feed *f) {
    struct feed_board *board = &f->d->log->feed;
    uint64_t begun = feed_number(&board->begun), commit = board_commit(f->d->log);
    uint64_t ts = atomic_load(&board->complete_ts); /* MO(feed.complete) */
    f->done = feed_number(&board->done);
    f->begun = begun > f->begun ? begun : f->begun;
    f->begun = f->done > f->begun ? f->done : f->begun; /* numbers only have to rise */
    f->first = f->begun;
    f->complete_ts = ts <= clock_now(&f->d->log->clock) ? ts : 0;
    f->complete_revision = atomic_load(&board->complete_revision); /* MO(feed.complete) */
    if (atomic_load(&board->complete_index) > commit) {            /* MO(feed.complete) */
        atomic_store(&board->complete_index, commit); /* MO(feed.complete): which covers all that may be meant */
    }
    atomic_store(&board->complete_ts, f->complete_ts); /* MO(feed.complete) */
}

void feed_begin(struct tide_feed *f, const struct replica *leader) {
    pthread_mutex_lock(&f->lock);
    f->revision = leader->source.revision;
    f->part = leader->source.part != 0;
    f->index = board_commit(f->d->log);
    f->leader = leader->view.id;
    feed_take_board(f);
    f->told_wanted = 0;
    f->told_bound = TIDE_UNBOUNDED;
    atomic_store(&f->d->log->feed.writes_open, 0);
    atomic_store(&f->d->log->feed.position, f->revision); /* what a dead leader was about to append, this one may */
    park_rouse(&f->d->log->feed.wake, INT32_MAX);         /* whom a dead leader answered, and had not woken yet */
    f->leads = true;
    pthread_mutex_unlock(&f->lock);
}

void feed_tell_lead(struct tide_feed *f, uint32_t term) {
    if (f->o.lead != NULL) {
        f->o.lead(f->o.ctx, term);
    }
}

/* Enter: the handle leads, and the lock is held. */
static int feed_enter(struct tide_feed *f) {
    if (f == NULL) {
        return TIDE_ERR_INVALID;
    }
    uint32_t closed = atomic_load(&f->d->closed);
    if (closed != 0) {
        return -(int)closed;
    }
    pthread_mutex_lock(&f->lock);
    if (!f->leads) {
        pthread_mutex_unlock(&f->lock);
        return TIDE_ERR_NO_LEADER;
    }
    return 0;
}

int tide_feed_revision(struct tide_feed *f, uint64_t *revision, uint32_t *whole) {
    CANCEL_HOLD_OFF();
    int error = feed_enter(f);
    if (error != 0) {
        return error;
    }
    if (revision != NULL) {
        *revision = f->revision;
    }
    if (whole != NULL) {
        *whole = !f->part;
    }
    pthread_mutex_unlock(&f->lock);
    return 0;
}

int tide_feed_identify(struct tide_feed *f, uint64_t identity) {
    CANCEL_HOLD_OFF();
    int error = identity == 0 ? TIDE_ERR_INVALID : feed_enter(f);
    if (error != 0) {
        return error;
    }
    uint64_t had = 0;
    bool same = atomic_compare_exchange_strong(&f->d->log->feed.identity, &had, identity) || had == identity;
    pthread_mutex_unlock(&f->lock);
    if (!same) {
        tide_logf(
            f->d, TIDE_LOG_ERROR,
            "%s holds entries of another source of the kind \"%s\" (%llx, and this one is %llx): remove the domain "
            "and make it anew (tide rm)",
            f->d->name, f->source, (unsigned long long)had, (unsigned long long)identity);
    }
    return same ? 0 : TIDE_ERR_FED;
}

int tide_feed_note(struct tide_feed *f, const char *text) {
    CANCEL_HOLD_OFF();
    int error = text == NULL ? TIDE_ERR_INVALID : feed_enter(f);
    if (error != 0) {
        return error;
    }
    char note[LAYOUT_SOURCE_NOTE] = { 0 };
    size_t n = strnlen(text, sizeof(note) - 1);
    for (; n > 0 && text[n] != 0 && ((uint8_t)text[n] & 0xc0) == 0x80; n--) { /* not in the middle of a character */
    }
    memcpy(note, text, n);
    bytes_store_racy(f->d->log->feed.note, note, sizeof(note));
    pthread_mutex_unlock(&f->lock);
    return 0;
}

/* ---- appending ------------------------------------------------------------------------------------------------------- */

/* A group in the sequencer's shape: one operation more than the source's, for the revision, where its last operation has another version. */
struct feed_group {
    struct tide_op *ops;
    struct seq_op *prepared;
    struct seq_more *more;
    size_t count;
    uint64_t ring_bytes;
};

static const struct tide_feed_op *feed_op_at(const struct tide_feed_op *ops, size_t i) {
    return (const struct tide_feed_op *)(const void *)((const uint8_t *)ops + i * ops->size);
}

static int feed_take_op(const struct tide *d, const struct tide_feed_op *theirs, uint32_t size, uint64_t revision,
                        struct feed_group *g) {
    struct tide_feed_op o;
    if (theirs->size != size || !SIZED_TAKE(&o, theirs, SIZED_FEED_OP) || o.flags != 0 || o.reserved != 0 ||
        (o.kind != TIDE_OP_PUT && (o.kind != TIDE_OP_DELETE || o.ttl_ns != 0)) || o.version > revision) {
        return TIDE_ERR_INVALID;
    }
    bool put = o.kind == TIDE_OP_PUT;
    struct tide_op *op = &g->ops[g->count];
    struct seq_more *more = &g->more[g->count];
    *op = (struct tide_op){ .kind = (enum tide_op_kind)o.kind,
                            .key = o.key,
                            .key_len = o.key_len,
                            .value = put ? o.value : NULL,
                            .value_size = put ? o.value_size : 0 };
    *more = (struct seq_more){ .ttl_ns = o.ttl_ns, .version = o.version != 0 ? o.version : revision };
    int error = write_check(d, op, more, &g->ring_bytes);
    if (error == 0) {
        write_digest(d, op, &g->prepared[g->count]);
        g->count++;
    }
    return error;
}

static void feed_free_group(struct feed_group *g) {
    free(g->ops);
    free(g->prepared);
    free(g->more);
}

static int feed_make_group(const struct tide *d, const struct tide_feed_op *ops, size_t n, uint64_t revision, bool more,
                           struct feed_group *g) {
    g->ops = malloc((n + 1) * sizeof(*g->ops));
    g->prepared = calloc(n + 1, sizeof(*g->prepared));
    g->more = malloc((n + 1) * sizeof(*g->more));
    int error = g->ops == NULL || g->prepared == NULL || g->more == NULL ? TIDE_ERR_NOMEM : 0;
    for (size_t i = 0; i < n && error == 0; i++) {
        error = feed_take_op(d, feed_op_at(ops, i), ops->size, revision, g);
    }
    if (error == 0 && !more && (n == 0 || g->more[n - 1].version != revision)) {
        g->ops[g->count] = (struct tide_op){ .kind = (enum tide_op_kind)SEQ_OP_NOTE };
        g->more[g->count++] = (struct seq_more){ .version = revision };
    }
    return error != 0 ? error : g->count > WRITE_BATCH_MAX ? TIDE_ERR_TOO_BIG : 0;
}

static int feed_submit(struct tide_feed *f, const struct feed_group *g, const struct seq_source *source) {
    struct tide *d = f->d;
    struct seq_request q = { .ops = g->ops,
                             .prepared = g->prepared,
                             .more = g->more,
                             .count = g->count,
                             .ring_bytes = g->ring_bytes,
                             .source = source };
    KILL_POINT("feed.append");
    int error = seq_submit(d, &q);
    KILL_POINT("feed.appended");
    if (error == 0) {
        pthread_mutex_lock(&f->lock);
        f->part = source->more;
        f->revision = source->more ? f->revision : source->revision;
        f->index = q.index;
        if (f->leads) {
            feed_answer_held(f);
        }
        pthread_mutex_unlock(&f->lock);
    }
    return error;
}

int tide_feed_append(struct tide_feed *f, uint64_t revision, const struct tide_feed_op *ops, size_t n, uint32_t flags) {
    CANCEL_HOLD_OFF();
    bool more = (flags & TIDE_FEED_MORE) != 0;
    if (revision == 0 || revision == UINT64_MAX || (ops == NULL && n != 0) || (n == 0 && more) ||
        (flags & ~(uint32_t)TIDE_FEED_MORE) != 0 || (n != 0 && ops->size < SIZED_FEED_OP)) {
        return TIDE_ERR_INVALID;
    }
    if (n > WRITE_BATCH_MAX) {
        return TIDE_ERR_TOO_BIG;
    }
    int error = feed_enter(f);
    if (error != 0) {
        return error;
    }
    pthread_mutex_unlock(&f->lock);
    if (rcu_inside()) {
        return TIDE_ERR_THREAD; /* as every write */
    }
    struct feed_group g = { 0 };
    error = feed_make_group(f->d, ops, n, revision, more, &g);
    const struct seq_source source = { revision, more };
    if (error == 0 && more) { /* before the first of it can be seen: nothing is complete from here on */
        pthread_mutex_lock(&f->lock);
        f->part = true;
        pthread_mutex_unlock(&f->lock);
    }
    error = error == 0 ? feed_submit(f, &g, &source) : error;
    feed_free_group(&g);
    return error;
}

/* ---- what is complete -------------------------------------------------------------------------------------------------- */

int tide_feed_probe(struct tide_feed *f, struct tide_feed_probe *probe) {
    CANCEL_HOLD_OFF();
    int error = probe == NULL || probe->size < SIZED_FEED_PROBE ? TIDE_ERR_INVALID : feed_enter(f);
    if (error != 0) {
        return error;
    }
    struct feed_board *board = &f->d->log->feed;
    uint64_t number = ++f->begun;
    struct tide_feed_probe made = { sizeof(made), number, clock_now(&f->d->log->clock) };
    /* The exchange is a full barrier: whoever loads a lower number afterwards began before the question is sent. And T was taken before. */
    atomic_exchange(&board->begun, number);
    if (atomic_load(&board->wanted) > number + 1) {
        atomic_store(&board->wanted, number); /* no reader wants that: another process changed the word */
    }
    pthread_mutex_unlock(&f->lock);
    KILL_POINT("feed.probed");
    SIZED_GIVE(probe, &made);
    return 0;
}

/* Tell readers. Stored in this order, so that each word promises no more than those before it keep. Returns the bits of those whose questions
 * are answered by it: feed_wake(). */
static uint32_t feed_publish(struct tide_feed *f, const struct tide_feed_probe *probe, uint64_t revision) {
    struct feed_board *board = &f->d->log->feed;
    uint64_t answered = f->done;
    uint64_t held = revision > f->revision ? revision : f->revision;
    f->complete_revision = held > f->complete_revision ? held : f->complete_revision;
    f->complete_ts = probe->time_ns > f->complete_ts ? probe->time_ns : f->complete_ts;
    f->done = probe->number > f->done ? probe->number : f->done;
    /* MO(feed.complete): release; what was appended before this call is committed, so this index covers it. */
    atomic_store_explicit(&board->complete_index, board_commit(f->d->log), memory_order_release);
    KILL_POINT("feed.completing");
    atomic_store_explicit(&board->complete_revision, f->complete_revision,
                          memory_order_release);                                      /* MO(feed.complete) */
    atomic_store_explicit(&board->complete_ts, f->complete_ts, memory_order_release); /* MO(feed.complete) */
    atomic_store(&f->d->seq.complete_ts, f->complete_ts);
    KILL_POINT("feed.completed");
    /* MO(feed.done): sequentially consistent, before the look for those that sleep. */
    atomic_store(&board->done, f->done);
    return source_bits(answered, f->done);
}

/*
 * Wake readers whose questions have these bits. Their bits are taken back first, as in shm/park.h; those of others stay, since they sleep on.
 * Without the feed's lock: a thousand wake-ups take a millisecond, and whoever is woken asks anew.
 */
static void feed_wake(struct feed_board *board, uint32_t bits) {
    if ((atomic_load(&board->waiters) & bits) != 0) {
        atomic_fetch_and(&board->waiters, ~bits);
        atomic_fetch_add(&board->wake, 1);
        park_wake_bits(&board->wake, bits);
    }
}

int tide_feed_complete(struct tide_feed *f, const struct tide_feed_probe *probe, uint64_t revision) {
    CANCEL_HOLD_OFF();
    struct tide_feed_probe p;
    if (probe == NULL || !SIZED_TAKE(&p, probe, SIZED_FEED_PROBE) || revision == 0 || revision == UINT64_MAX) {
        return TIDE_ERR_INVALID;
    }
    uint32_t answered = 0;
    int error = feed_enter(f);
    if (error != 0) {
        return error;
    }
    if (p.number <= f->first || p.number > f->begun || p.time_ns == 0 || p.time_ns > clock_now(&f->d->log->clock)) {
        error = TIDE_ERR_INVALID;
    } else if (f->part || f->revision == 0) {
        error = TIDE_ERR_BUSY;
    } else {
        answered = feed_publish(f, &p, revision);
    }
    pthread_mutex_unlock(&f->lock);
    KILL_POINT("feed.answered");
    feed_wake(&f->d->log->feed, answered);
    return error;
}

/* ---- what readers want ------------------------------------------------------------------------------------------------- */

static uint64_t feed_wanted(const struct tide_feed *f) {
    /* Readers want at most the one after the newest. */
    uint64_t wanted = atomic_load(&f->d->log->feed.wanted);
    return wanted < f->begun + 1 ? wanted : f->begun + 1;
}

int tide_feed_wish(struct tide_feed *f, struct tide_feed_wish *out) {
    CANCEL_HOLD_OFF();
    int error = out == NULL || out->size < SIZED_FEED_WISH ? TIDE_ERR_INVALID : feed_enter(f);
    if (error != 0) {
        return error;
    }
    struct tide_feed_wish found = {
        .size = sizeof(found),
        .wanted = feed_wanted(f),
        .begun = f->begun,
        .done = atomic_load(&f->d->log->feed.done), /* MO(feed.done) */
        .bound_ns = source_bound_wanted(f->d, clock_now(&f->d->log->clock)),
    };
    pthread_mutex_unlock(&f->lock);
    SIZED_GIVE(out, &found);
    return 0;
}

/* For the lane thread, without the lock. Readers want at most the one after the newest. */
static uint64_t feed_wanted_now(const struct tide_feed *f) {
    const struct feed_board *board = &f->d->log->feed;
    uint64_t wanted = atomic_load(&board->wanted), next = atomic_load(&board->begun) + 1;
    return wanted < next ? wanted : next;
}

static uint64_t feed_bound_now(const struct tide_feed *f) {
    return source_bound_wanted(f->d, clock_now(&f->d->log->clock));
}

bool feed_is_wished(const struct tide_feed *f) {
    return f->o.wish != NULL && (feed_wanted_now(f) != f->told_wanted || feed_bound_now(f) < f->told_bound);
}

void feed_tell_wish(struct tide_feed *f) {
    uint64_t wanted = feed_wanted_now(f), bound = feed_bound_now(f);
    /* Not only where it is higher: what another process put there, and a probe took back, would hide all that follows. */
    bool wished = wanted != f->told_wanted || bound < f->told_bound;
    f->told_wanted = wanted;
    f->told_bound = bound; /* also where it became looser: the next tighter one is news */
    if (wished && f->o.wish != NULL) {
        f->o.wish(f->o.ctx);
    }
}

/* ---- what is there ----------------------------------------------------------------------------------------------------- */

struct feed_visit {
    tide_entry_fn *fn;
    void *ctx;
};

static int feed_visit_node(void *ctx, const struct visited *n) {
    const struct feed_visit *visit = ctx;
    const struct tide_entry entry = { .size = sizeof(entry),
                                      .key = n->key,
                                      .key_len = n->key_len,
                                      .value = n->value,
                                      .value_size = n->value_len,
                                      .version = n->version,
                                      .ttl_ns = n->expiry == NEVER_EXPIRES ? TIDE_TTL_NONE : n->expiry };
    return visit->fn(visit->ctx, &entry);
}

int tide_feed_visit(struct tide_feed *f, tide_entry_fn *fn, void *ctx) {
    CANCEL_HOLD_OFF();
    int error = fn == NULL ? TIDE_ERR_INVALID : feed_enter(f);
    if (error != 0) {
        return error;
    }
    uint32_t id = f->leader;
    pthread_mutex_unlock(&f->lock);
    if (rcu_inside()) {
        return TIDE_ERR_THREAD;
    }
    if (rcu_register_self() != 0) {
        return TIDE_ERR_NOMEM;
    }
    struct foreign_scratch scratch = { 0 };
    struct feed_visit visit = { fn, ctx };
    rcu_enter();
    const struct view *v = view_current(f->d, id);
    if (v == NULL || v->foreign) {
        error = TIDE_ERR_NO_LEADER;
    } else {
        uint64_t at = board_applied(v->board), buckets = foreign_buckets(v);
        error = buckets == 0 ? TIDE_ERR_CORRUPT : 0;
        for (uint64_t b = 0; b < buckets && error == 0; b++) {
            error = visit_bucket(v, b, buckets, at, &scratch, feed_visit_node, &visit);
        }
        error = error == 0 && table_is_damaged(&v->table) ? TIDE_ERR_CORRUPT : error;
    }
    rcu_exit();
    free(scratch.bytes);
    return error;
}
