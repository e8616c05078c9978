/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "shm/nap.h"

void source_start(struct source *s) {
    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    s->revision = 1; /* etcd begins with 1, too */
}

void source_stop(struct source *s) {
    pthread_mutex_destroy(&s->lock);
    free(s->events);
}

void source_key(uint32_t key, char out[4]) {
    out[0] = 'k';
    out[1] = (char)('0' + key / 10 % 10);
    out[2] = (char)('0' + key % 10);
    out[3] = 0;
}

static uint32_t source_number(const void *key, size_t len) {
    const char *k = key;
    assert_int_equal(len, 3);
    return (uint32_t)(k[1] - '0') * 10 + (uint32_t)(k[2] - '0');
}

/* The caller holds the lock and has raised the revision. */
static void source_do(struct source *s, uint32_t key, bool put, uint64_t value) {
    if (s->count == s->room) {
        s->room = s->room == 0 ? 1024 : 2 * s->room;
        s->events = realloc(s->events, s->room * sizeof(*s->events));
        assert_non_null(s->events);
    }
    s->events[s->count++] = (struct source_event){ s->revision, value, key, put };
    s->keys[key].there = put;
    s->keys[key].value = value;
    s->keys[key].version = s->revision;
}

static uint64_t source_one(struct source *s, uint32_t key, bool put, uint64_t value) {
    pthread_mutex_lock(&s->lock);
    uint64_t revision = ++s->revision;
    source_do(s, key, put, value);
    pthread_mutex_unlock(&s->lock);
    return revision;
}

uint64_t source_put(struct source *s, uint32_t key, uint64_t value) {
    return source_one(s, key, true, value);
}

uint64_t source_delete(struct source *s, uint32_t key) {
    return source_one(s, key, false, 0);
}

uint64_t source_now(struct source *s) {
    pthread_mutex_lock(&s->lock);
    uint64_t revision = s->revision;
    pthread_mutex_unlock(&s->lock);
    return revision;
}

/* ---- a feed ---------------------------------------------------------------------------------------------------------- */

static void source_poke(struct source_feed *f) {
    pthread_mutex_lock(&f->lock);
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void source_lead(void *ctx, uint32_t term) {
    struct source_feed *f = ctx;
    (void)term;
    atomic_fetch_add(&f->turns, 1);
    pthread_mutex_lock(&f->lock);
    f->leads = f->begins = true;
    pthread_mutex_unlock(&f->lock);
    source_poke(f);
}

static void source_unlead(void *ctx) {
    struct source_feed *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->leads = false;
    pthread_mutex_unlock(&f->lock);
    source_poke(f);
}

static void source_wish(void *ctx) {
    struct source_feed *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->wished = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static void source_write(void *ctx, const struct tide_feed_write *w) {
    struct source_feed *f = ctx;
    pthread_mutex_lock(&f->lock);
    f->writes[f->n_writes++] = (struct source_write){ w->request, w->ops, w->n };
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
}

static int source_do_write(struct source *s, const struct source_write *w, struct tide_feed_answer *a) {
    pthread_mutex_lock(&s->lock);
    for (size_t i = 0; i < w->n; i++) {
        const struct tide_write_op *op = &w->ops[i];
        uint32_t k = source_number(op->key, op->key_len);
        uint64_t version = s->keys[k].there ? s->keys[k].version : 0;
        if (op->kind == TIDE_OP_CAS && op->expected != version) {
            a->result = TIDE_ERR_MISMATCH;
            a->found = version;
        } else if (op->kind == TIDE_OP_ADD || op->kind == TIDE_OP_TOUCH || op->value_size > 8) {
            a->result = TIDE_ERR_INVALID;
        }
        if (a->result != 0) {
            a->failed = (uint32_t)i;
            pthread_mutex_unlock(&s->lock);
            return a->result;
        }
    }
    a->revision = ++s->revision;
    for (size_t i = 0; i < w->n; i++) {
        uint64_t value = 0;
        if (w->ops[i].value_size != 0) {
            memcpy(&value, w->ops[i].value, w->ops[i].value_size);
        }
        source_do(s, source_number(w->ops[i].key, w->ops[i].key_len), w->ops[i].kind != TIDE_OP_DELETE, value);
    }
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void source_writes(struct source_feed *f) {
    struct source_write todo[64];
    pthread_mutex_lock(&f->lock);
    size_t n = f->hold ? 0 : f->n_writes;
    memcpy(todo, f->writes, n * sizeof(*todo));
    f->n_writes -= n;
    pthread_mutex_unlock(&f->lock);
    for (size_t i = 0; i < n; i++) {
        struct tide_feed_answer a = TIDE_FEED_ANSWER_INIT;
        if (!tide_feed_is_awaited(todo[i].request)) {
            a.result = TIDE_ERR_UNKNOWN;
        } else {
            source_do_write(f->source, &todo[i], &a);
        }
        if (f->mute) {
            pthread_mutex_lock(&f->lock);
            f->writes[f->n_writes++] = todo[i]; /* answered when the feed ends */
            pthread_mutex_unlock(&f->lock);
            f->hold = true;
        } else {
            tide_feed_answer(todo[i].request, &a);
        }
    }
}

/* Append one group of operations. */
static int source_group(struct source_feed *f, uint64_t revision, const struct source_event *e, size_t n, bool more) {
    struct tide_feed_op ops[SOURCE_KEYS];
    char keys[SOURCE_KEYS][4];
    for (size_t i = 0; i < n; i++) {
        source_key(e[i].key, keys[i]);
        ops[i] = (struct tide_feed_op){ .size = sizeof(*ops),
                                        .kind = e[i].put ? TIDE_OP_PUT : TIDE_OP_DELETE,
                                        .key = keys[i],
                                        .key_len = 3,
                                        .value = &e[i].value,
                                        .value_size = 8,
                                        .version = e[i].revision };
    }
    return tide_feed_append(f->feed, revision, ops, n, more ? TIDE_FEED_MORE : 0);
}

/* Append everything that the source has, in groups. */
static int source_difference(struct source_feed *f) {
    struct source *s = f->source;
    struct source_event all[SOURCE_KEYS];
    pthread_mutex_lock(&s->lock);
    uint64_t revision = s->revision;
    for (uint32_t k = 0; k < SOURCE_KEYS; k++) {
        all[k] = (struct source_event){ s->keys[k].version, s->keys[k].value, k, s->keys[k].there };
    }
    f->next = s->count;
    pthread_mutex_unlock(&s->lock);
    int error = 0;
    for (size_t k = 0; k < SOURCE_KEYS && error == 0; k += f->group) {
        bool last = k + f->group >= SOURCE_KEYS;
        error = source_group(f, revision, all + k, last ? SOURCE_KEYS - k : f->group, !last);
    }
    return error;
}

static void source_go_on(struct source_feed *f) {
    uint64_t revision;
    uint32_t whole;
    if (tide_feed_revision(f->feed, &revision, &whole) != 0) {
        return;
    }
    if (revision == 0 || whole == 0) {
        source_difference(f);
        return;
    }
    pthread_mutex_lock(&f->source->lock);
    for (f->next = 0; f->next < f->source->count && f->source->events[f->next].revision <= revision; f->next++) {
    }
    pthread_mutex_unlock(&f->source->lock);
}

/* Append what the source has done since the last call. False: this handle no longer leads. */
static bool source_tail(struct source_feed *f) {
    struct source *s = f->source;
    for (;;) {
        struct source_event group[SOURCE_KEYS];
        size_t n = 0;
        pthread_mutex_lock(&s->lock);
        while (f->next + n < s->count && n < SOURCE_KEYS &&
               s->events[f->next + n].revision == s->events[f->next].revision) {
            group[n] = s->events[f->next + n];
            n++;
        }
        pthread_mutex_unlock(&s->lock);
        if (n == 0) {
            return true;
        }
        if (source_group(f, group[0].revision, group, n, false) != 0) {
            return false;
        }
        f->next += n;
    }
}

static void source_probe(struct source_feed *f) {
    struct tide_feed_wish wish = TIDE_FEED_WISH_INIT;
    if (tide_feed_wish(f->feed, &wish) != 0 || (wish.wanted <= wish.done && !f->every)) {
        return;
    }
    struct tide_feed_probe probe = TIDE_FEED_PROBE_INIT;
    if (tide_feed_probe(f->feed, &probe) == 0) {
        uint32_t far_us = f->source->far_us;
        if (far_us != 0) {
            usleep(far_us);
        }
        uint64_t revision = source_now(f->source);
        atomic_fetch_add(&f->source->asked, 1);
        if (source_tail(f)) {
            tide_feed_complete(f->feed, &probe, revision);
        }
    }
}

static void *source_run(void *arg) {
    struct source_feed *f = arg;
    for (;;) {
        pthread_mutex_lock(&f->lock);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 500000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (!f->stop && !f->wished && !f->begins && (f->n_writes == 0 || f->hold)) {
            pthread_cond_timedwait(&f->changed, &f->lock, &until);
        }
        f->wished = false;
        bool stop = f->stop, leads = f->leads, begins = f->begins && f->leads;
        if (!f->cut) {
            f->begins = false;
        }
        pthread_mutex_unlock(&f->lock);
        if (stop) {
            return NULL;
        }
        if (f->cut) {
            f->is_cut = true;
            struct timespec ms = { 0, 1000000 };
            nanosleep(&ms, NULL);
            continue;
        }
        if (begins) {
            source_go_on(f);
        }
        source_writes(f);
        if (leads && source_tail(f)) {
            source_probe(f);
        }
    }
}

void source_cut(struct source_feed *f) {
    f->is_cut = false;
    f->cut = true;
    while (!f->is_cut) {
        park_nap(100000);
    }
}

struct tide *source_open(const char *name, uint64_t ring_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = ring_bytes;
    o.source = SOURCE_KIND;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

void source_feed_begin(struct source_feed *f, struct source *s, struct tide *d) {
    memset((void *)f, 0, sizeof(*f));
    f->source = s;
    f->d = d;
    f->group = SOURCE_KEYS;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->changed, NULL);
    struct tide_feed_opts o = TIDE_FEED_OPTS_INIT;
    o.source = SOURCE_KIND;
    o.ctx = f;
    o.lead = source_lead;
    o.unlead = source_unlead;
    o.write = source_write;
    o.wish = source_wish;
    assert_int_equal(tide_feed_open(d, &o, &f->feed), 0);
    assert_int_equal(pthread_create(&f->thread, NULL, source_run, f), 0);
}

void source_feed_end(struct source_feed *f) {
    pthread_mutex_lock(&f->lock);
    f->stop = true;
    pthread_cond_signal(&f->changed);
    pthread_mutex_unlock(&f->lock);
    pthread_join(f->thread, NULL);
    assert_int_equal(tide_feed_close(f->feed), 0);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->changed);
}
