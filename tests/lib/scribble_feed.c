/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/scribble_feed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/scribble_roles.h"

#define OPEN_MOST 32u
#define GROUP_MOST 6u
#define KEYS 600u

struct scribble_feed {
    struct tide_feed *feed;
    pthread_t thread;
    _Atomic bool stop, leads;
    pthread_mutex_t lock;
    struct tide_feed_request *open[OPEN_MOST];
    size_t n;
    uint64_t random;
};

static void feed_lead(void *ctx, uint32_t term) {
    (void)term;
    atomic_store(&((struct scribble_feed *)ctx)->leads, true);
}

static void feed_unlead(void *ctx) {
    atomic_store(&((struct scribble_feed *)ctx)->leads, false);
}

static void feed_answer(struct tide_feed_request *q, int result, uint64_t revision) {
    struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
    a.result = result;
    a.revision = revision;
    if (tide_feed_answer(q, &a) == TIDE_ERR_INVALID) { /* this answer is within the feed's bounds */
        abort();
    }
}

static void feed_write(void *ctx, const struct tide_feed_write *w) {
    struct scribble_feed *f = ctx;
    pthread_mutex_lock(&f->lock);
    bool taken = f->n < OPEN_MOST;
    if (taken) {
        f->open[f->n++] = w->request;
    }
    pthread_mutex_unlock(&f->lock);
    if (!taken) {
        feed_answer(w->request, TIDE_ERR_TIMEOUT, 0);
    }
}

static struct tide_feed_request *feed_take(struct scribble_feed *f) {
    pthread_mutex_lock(&f->lock);
    struct tide_feed_request *q = f->n > 0 ? f->open[--f->n] : NULL;
    pthread_mutex_unlock(&f->lock);
    return q;
}

/* Append the puts and deletes of one revision; now and then in two groups. */
static int feed_append(struct scribble_feed *f, uint64_t revision) {
    static const char VALUE[2048];
    struct tide_feed_op ops[GROUP_MOST];
    char keys[GROUP_MOST][32];
    uint64_t x = scribble_draw(&f->random);
    size_t n = x % (GROUP_MOST + 1);
    for (size_t i = 0; i < n; i++) {
        uint64_t y = scribble_draw(&f->random);
        ops[i] = (struct tide_feed_op)TIDE_FEED_OP_INIT;
        ops[i].kind = y % 4 == 0 ? TIDE_OP_DELETE : TIDE_OP_PUT;
        ops[i].key = keys[i];
        ops[i].key_len = (size_t)snprintf(keys[i], sizeof(keys[i]), "key%08llu", (unsigned long long)(y >> 8) % KEYS);
        ops[i].value = ops[i].kind == TIDE_OP_PUT ? VALUE : NULL;
        ops[i].value_size = ops[i].kind == TIDE_OP_PUT ? (y >> 40) % (y % 8 == 1 ? sizeof(VALUE) : 64) : 0;
    }
    if (n > 1 && x >> 60 == 0) {
        (void)tide_feed_append(f->feed, revision, ops, n / 2, TIDE_FEED_MORE);
    }
    return tide_feed_append(f->feed, revision, ops, n, 0);
}

static int feed_count(void *ctx, const struct tide_entry *e) {
    uint64_t *sum = ctx;
    *sum += e->key_len > 0 ? ((const uint8_t *)e->key)[e->key_len - 1] : 0;
    *sum += e->value_size > 0 ? ((const uint8_t *)e->value)[e->value_size - 1] : 0;
    return 0;
}

static void feed_turn(struct scribble_feed *f) {
    struct tide_feed_wish wish = TIDE_FEED_WISH_INIT;
    struct tide_feed_probe probe = TIDE_FEED_PROBE_INIT;
    uint64_t revision = 0, sum = 0, x = scribble_draw(&f->random);
    if (tide_feed_revision(f->feed, &revision, NULL) != 0) {
        return;
    }
    revision = revision < UINT64_MAX / 2 ? revision + 1 : revision;
    bool asked = tide_feed_wish(f->feed, &wish) == 0 && tide_feed_probe(f->feed, &probe) == 0;
    int error = feed_append(f, revision);
    if (asked) {
        (void)tide_feed_complete(f->feed, &probe, revision);
    }
    struct tide_feed_request *q = feed_take(f);
    if (q != NULL) {
        (void)tide_feed_is_awaited(q);
        feed_answer(q, x % 8 == 0 ? TIDE_ERR_MISMATCH : error == 0 ? 0 : TIDE_ERR_UNKNOWN, revision);
    }
    if (x % 64 == 1) {
        (void)tide_feed_identify(f->feed, 17);
        (void)tide_feed_note(f->feed, "a source that makes things up");
    }
    if (x % 256 == 2) {
        (void)tide_feed_visit(f->feed, feed_count, &sum);
    }
}

static void *feed_run(void *arg) {
    struct scribble_feed *f = arg;
    while (!atomic_load(&f->stop)) {
        if (atomic_load(&f->leads)) {
            feed_turn(f);
        }
        scribble_nap(300000);
    }
    return NULL;
}

struct scribble_feed *scribble_feed_begin(struct tide *d, uint64_t random) {
    struct scribble_feed *f = calloc(1, sizeof(*f));
    struct tide_feed_opts o = TIDE_FEED_OPTS_INIT;
    if (f == NULL) {
        return NULL;
    }
    f->random = random;
    pthread_mutex_init(&f->lock, NULL);
    o.source = SCRIBBLE_SOURCE;
    o.ctx = f;
    o.lead = feed_lead;
    o.unlead = feed_unlead;
    o.write = feed_write;
    if (tide_feed_open(d, &o, &f->feed) != 0 || pthread_create(&f->thread, NULL, feed_run, f) != 0) {
        if (f->feed != NULL) {
            (void)tide_feed_close(f->feed);
        }
        pthread_mutex_destroy(&f->lock);
        free(f);
        return NULL;
    }
    return f;
}

void scribble_feed_end(struct scribble_feed *f) {
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    for (struct tide_feed_request *q; (q = feed_take(f)) != NULL;) {
        feed_answer(q, TIDE_ERR_UNKNOWN, 0);
    }
}

void scribble_feed_free(struct scribble_feed *f) {
    if (tide_feed_close(f->feed) != 0) {
        abort(); /* the domain is closed, so nobody uses the feed any more */
    }
    pthread_mutex_destroy(&f->lock);
    free(f);
}
