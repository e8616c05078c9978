/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A source for fed domains, in this process: keys with 64-bit values, a revision for each transaction, and a thread for each feed. */
#ifndef TIDE_TESTS_SOURCE_H
#define TIDE_TESTS_SOURCE_H

#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/help.h"

#define SOURCE_KEYS 64u

struct source_event {
    uint64_t revision, value;
    uint32_t key;
    bool put;
};

struct source {
    pthread_mutex_t lock;
    uint64_t revision;
    struct source_event *events;
    size_t count, room;
    struct {
        bool there;
        uint64_t value, version;
    } keys[SOURCE_KEYS];
    _Atomic uint64_t asked;  /* how many read indexes the source has given */
    _Atomic uint32_t far_us; /* how long a question is on its way */
};

void source_start(struct source *s);
void source_stop(struct source *s);

/* Do one put or delete as a transaction. Returns its revision. */
uint64_t source_put(struct source *s, uint32_t key, uint64_t value);
uint64_t source_delete(struct source *s, uint32_t key);
uint64_t source_now(struct source *s);

/* The domain's name for key number k: "k00" and so on. */
void source_key(uint32_t key, char out[4]);

struct source_write {
    struct tide_feed_request *request;
    const struct tide_write_op *ops;
    size_t n;
};

/* A handle's feed, served by a thread. */
struct source_feed {
    struct source *source;
    struct tide *d;
    struct tide_feed *feed;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct source_write writes[64];
    size_t n_writes;
    bool stop, leads, begins, wished;
    _Atomic bool cut;       /* the feed cannot reach the source */
    _Atomic bool is_cut;    /* and its thread has noticed: nothing that it asked before is under way */
    _Atomic bool hold;      /* the feed takes up no writes */
    _Atomic bool every;     /* the feed asks also when nobody waits */
    _Atomic bool mute;      /* the source does writes and does not answer them */
    _Atomic uint32_t turns; /* how often the handle came to lead */
    size_t next;            /* the next event to take */
    size_t group;           /* how many operations a group of a difference has */
};

#define SOURCE_KIND "sim"

/* Open the domain of this name for the source; create it if it does not exist. */
struct tide *source_open(const char *name, uint64_t ring_bytes);

/* Begin before the handle starts replicas; end after it has stopped them. */
void source_feed_begin(struct source_feed *f, struct source *s, struct tide *d);
void source_feed_end(struct source_feed *f);

/* Cut the feed off; return once nothing is under way. */
void source_cut(struct source_feed *f);

#endif
