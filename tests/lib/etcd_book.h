/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sink that keeps what a client of etcd tells, and checks it on the way: revisions rise, snapshots are whole, probes are kept. */
#ifndef TIDE_TESTS_ETCD_BOOK_H
#define TIDE_TESTS_ETCD_BOOK_H

#include <pthread.h>

#include "tools/etcd/client.h"

#define BOOK_KEYS 4096

struct book_key {
    char key[64], value[64];
    uint64_t mod_revision;
};

struct book {
    pthread_mutex_t lock;
    pthread_t thread;
    struct etcd_client *client;
    struct book_key keys[BOOK_KEYS];
    size_t n;
    uint64_t revision, told_empty, snapshots, groups, changes;
    bool copying, restored;
    uint64_t cluster;
    uint64_t probes, completed, complete_revision; /* numbers of probes */
    bool refuses;                                  /* append and snapshots */
    unsigned wrong;                                /* rules that were broken */
    char said[4000], restored_why[300];
};

/* Begin a client with this address, going on behind `revision`; asserts. */
void book_open(struct book *b, const char *url, uint64_t revision, const struct etcd_client_opts *opts);
void book_close(struct book *b);

/* The value of a key: false where there is none. */
bool book_get(struct book *b, const char *key, char value[64], uint64_t *mod_revision);
size_t book_count(struct book *b);
/* Until a probe that begins now is complete. Its revision. */
uint64_t book_catch_up(struct book *b);
void book_until_watching(struct book *b);

/* Do it and wait; the outcome's text is in static storage. A busy machine's etcd may take long to answer: a write that must be done has 100 s. */
struct etcd_outcome book_write(struct book *b, struct etcd_op *ops, size_t n);
/* One that a stopped member may never answer, or that nobody takes, ends after `ms`. */
struct etcd_outcome book_write_within(struct book *b, struct etcd_op *ops, size_t n, uint32_t ms);
struct etcd_op book_op(enum etcd_op_kind kind, const char *key, const char *value);
uint64_t book_put(struct book *b, const char *key, const char *value); /* its revision; asserts */

#endif
