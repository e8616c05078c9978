/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/etcd_book.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/help.h"

static void broken(struct book *b, const char *rule) {
    fprintf(stderr, "broken: %s\n", rule);
    b->wrong++;
}

static void copy(char to[64], const struct wire_bytes *from) {
    size_t size = from->size < 63 ? from->size : 63;
    memcpy(to, from->data, size);
    to[size] = '\0';
}

static struct book_key *find(struct book *b, const char *key) {
    for (size_t i = 0; i < b->n; i++) {
        if (strcmp(b->keys[i].key, key) == 0) {
            return &b->keys[i];
        }
    }
    return NULL;
}

static void take(struct book *b, const struct etcd_change *change) {
    char key[64];
    copy(key, &change->key);
    struct book_key *k = find(b, key);
    if (change->deleted) {
        if (k) {
            *k = b->keys[--b->n];
        }
        return;
    }
    if (!k && b->n == BOOK_KEYS) {
        broken(b, "more keys than the book has room for");
        return;
    }
    k = k ? k : &b->keys[b->n++];
    memcpy(k->key, key, sizeof(key));
    copy(k->value, &change->value);
    k->mod_revision = change->mod_revision;
}

/* ---- the sink ---------------------------------------------------------------------------------------------------- */

static const char *identify(void *ctx, uint64_t cluster, bool *stranger) {
    struct book *b = ctx;
    *stranger = b->cluster != 0 && b->cluster != cluster;
    b->cluster = *stranger ? b->cluster : cluster;
    return NULL;
}

static const char *snapshot_begin(void *ctx, uint64_t revision) {
    struct book *b = ctx;
    pthread_mutex_lock(&b->lock);
    bool refused = b->refuses;
    if (!refused) {
        b->snapshots++;
        b->copying = true;
        b->n = 0;
        b->revision = revision;
    }
    pthread_mutex_unlock(&b->lock);
    return refused ? "the book is closed" : NULL;
}

static const char *snapshot_keys(void *ctx, const struct etcd_change *keys, size_t n) {
    struct book *b = ctx;
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < n; i++) {
        char key[64];
        copy(key, &keys[i].key);
        if (keys[i].mod_revision > b->revision || keys[i].deleted) {
            broken(b, "a snapshot has nothing newer than its revision");
        }
        if (find(b, key)) {
            broken(b, "a snapshot has each key once");
        }
        take(b, &keys[i]);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static const char *snapshot_end(void *ctx) {
    struct book *b = ctx;
    pthread_mutex_lock(&b->lock);
    b->copying = false;
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

static const char *append(void *ctx, uint64_t revision, const struct etcd_change *changes, size_t n) {
    struct book *b = ctx;
    pthread_mutex_lock(&b->lock);
    bool refused = b->refuses;
    if (!refused) {
        if (revision <= b->revision || b->copying) {
            broken(b, "revisions rise, each is told once");
        }
        b->revision = revision;
        b->told_empty += n == 0;
        b->groups++;
        b->changes += n;
        for (size_t i = 0; i < n; i++) {
            if (changes[i].mod_revision != revision) {
                broken(b, "a group is of one revision");
            }
            take(b, &changes[i]);
        }
    }
    pthread_mutex_unlock(&b->lock);
    return refused ? "the book is closed" : NULL;
}

static bool probe(void *ctx, struct etcd_probe *out) {
    struct book *b = ctx;
    pthread_mutex_lock(&b->lock);
    *out = (struct etcd_probe){ ++b->probes, 0 };
    pthread_mutex_unlock(&b->lock);
    return true;
}

static void complete(void *ctx, const struct etcd_probe *probe, uint64_t revision) {
    struct book *b = ctx;
    pthread_mutex_lock(&b->lock);
    if (probe->number > b->probes) {
        broken(b, "a probe that was begun");
    }
    if (probe->number > b->completed) {
        b->completed = probe->number;
        b->complete_revision = revision;
    }
    pthread_mutex_unlock(&b->lock);
}

static void restored(void *ctx, const char *why, bool stranger) {
    struct book *b = ctx;
    (void)stranger;
    pthread_mutex_lock(&b->lock);
    b->restored = true;
    snprintf(b->restored_why, sizeof(b->restored_why), "%s", why);
    pthread_mutex_unlock(&b->lock);
}

static void say(void *ctx, enum etcd_level level, const char *text) {
    struct book *b = ctx;
    size_t at = strlen(b->said);
    (void)level;
    pthread_mutex_lock(&b->lock);
    snprintf(b->said + at, sizeof(b->said) - at, "%s\n", text);
    pthread_mutex_unlock(&b->lock);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void *run(void *arg) {
    etcd_client_run(arg);
    return NULL;
}

void book_open(struct book *b, const char *url, uint64_t revision, const struct etcd_client_opts *opts) {
    struct etcd_client_opts o = opts ? *opts : (struct etcd_client_opts){ 0 };
    char why[200] = "";
    const char *cannot = NULL;
    memset(b, 0, sizeof(*b));
    pthread_mutex_init(&b->lock, NULL);
    assert_int_equal(etcd_address_read(&o.address, url, why, sizeof(why)), 0);
    o.sink = (struct etcd_sink){ b,     identify, snapshot_begin, snapshot_keys, snapshot_end, append,
                                 probe, complete, restored,       say,           NULL };
    b->client = etcd_client_open(&o, &cannot);
    assert_non_null(b->client);
    b->revision = revision;
    etcd_client_follow(b->client, revision, false);
    assert_int_equal(pthread_create(&b->thread, NULL, run, b->client), 0);
}

void book_close(struct book *b) {
    etcd_client_stop(b->client);
    pthread_join(b->thread, NULL);
    etcd_client_close(b->client);
    pthread_mutex_destroy(&b->lock);
    assert_int_equal(b->wrong, 0);
}

static void nap(void) {
    nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
}

void book_until_watching(struct book *b) {
    struct etcd_state state;
    do {
        nap();
        etcd_client_state(b->client, &state);
    } while (strcmp(state.phase, "watching") != 0);
}

bool book_get(struct book *b, const char *key, char value[64], uint64_t *mod_revision) {
    pthread_mutex_lock(&b->lock);
    struct book_key *k = find(b, key);
    if (k && value) {
        memcpy(value, k->value, 64);
    }
    if (k && mod_revision) {
        *mod_revision = k->mod_revision;
    }
    pthread_mutex_unlock(&b->lock);
    return k != NULL;
}

size_t book_count(struct book *b) {
    pthread_mutex_lock(&b->lock);
    size_t n = b->n;
    pthread_mutex_unlock(&b->lock);
    return n;
}

uint64_t book_catch_up(struct book *b) {
    pthread_mutex_lock(&b->lock);
    uint64_t before = b->probes, completed, revision;
    pthread_mutex_unlock(&b->lock);
    etcd_client_ask(b->client, true, 0);
    do {
        nap();
        pthread_mutex_lock(&b->lock);
        completed = b->completed;
        revision = b->complete_revision;
        pthread_mutex_unlock(&b->lock);
    } while (completed <= before);
    return revision;
}

/* ---- writes ------------------------------------------------------------------------------------------------------ */

struct waiting {
    pthread_mutex_t lock;
    bool ended;
    struct etcd_outcome outcome;
    char why[400];
};

static void ended(void *ctx, const struct etcd_outcome *outcome) {
    struct waiting *w = ctx;
    pthread_mutex_lock(&w->lock);
    w->outcome = *outcome;
    snprintf(w->why, sizeof(w->why), "%s", outcome->why ? outcome->why : "");
    w->ended = true;
    pthread_mutex_unlock(&w->lock);
}

struct etcd_outcome book_write_within(struct book *b, struct etcd_op *ops, size_t n, uint32_t ms) {
    static char why[400];
    struct waiting w = { .lock = PTHREAD_MUTEX_INITIALIZER };
    bool done;
    etcd_client_write(b->client, ops, n, ms, NULL, ended, &w);
    do {
        nap();
        pthread_mutex_lock(&w.lock);
        done = w.ended;
        pthread_mutex_unlock(&w.lock);
    } while (!done);
    memcpy(why, w.why, sizeof(why));
    w.outcome.why = why;
    return w.outcome;
}

struct etcd_outcome book_write(struct book *b, struct etcd_op *ops, size_t n) {
    return book_write_within(b, ops, n, 100000);
}

struct etcd_op book_op(enum etcd_op_kind kind, const char *key, const char *value) {
    return (struct etcd_op){ .kind = kind,
                             .key = { key, strlen(key) },
                             .value = { value ? value : "", value ? strlen(value) : 0 } };
}

uint64_t book_put(struct book *b, const char *key, const char *value) {
    struct etcd_op op = book_op(ETCD_PUT, key, value);
    struct etcd_outcome o = book_write(b, &op, 1);
    assert_string_equal(o.why, "");
    assert_int_equal(o.result, ETCD_DONE);
    return o.revision;
}
