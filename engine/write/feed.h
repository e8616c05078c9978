/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The feed of a domain whose entries come from a source: its leader's side. Writes come through lanes, from this process, too; the lane
 * thread hands them to the application, which answers them from any thread. A lane stays TAKEN until then, and an answer that promises a
 * revision waits until the log holds that.
 *
 * Who dies? A writer: its lane becomes an orphan, and is free once the answer is there. The leader: the next one finds the lane TAKEN, and answers
 * UNKNOWN, since the source may have done it. A leader that hands over answers UNKNOWN itself.
 */
#ifndef TIDE_WRITE_FEED_H
#define TIDE_WRITE_FEED_H

#include <pthread.h>

#include "engine/write/lane_work.h"

struct tide_feed_request {
    struct tide_feed *feed;
    struct tide_feed_request *next, **at; /* the feed's list */
    struct tide_write_op *ops;
    struct lane_work work;
    struct seq_request q;
    bool answered; /* by the application: it waits for `revision` */
    bool lost;     /* the writer was told UNKNOWN */
    uint64_t revision;
};

struct tide_feed {
    struct tide *d;
    struct tide_feed_opts o;
    char source[LAYOUT_SOURCE];
    pthread_mutex_t lock;
    struct tide_feed_request *requests;
    bool leads;
    bool part;         /* the last group had TIDE_FEED_MORE */
    uint32_t leader;   /* the leading replica's number */
    uint64_t revision; /* everything up to it is in the log */
    uint64_t index;    /* and was at this index */
    uint64_t first;    /* questions up to this number were begun by others */
    uint64_t begun;
    /* The board's words, as this leader last stored them: what another process writes there is overwritten by the next completion. */
    uint64_t done, complete_ts, complete_revision;
    /* For the lane thread: what wish() told of. */
    uint64_t told_wanted, told_bound;
};

/* This handle leads from now on, with this replica. Before the lane thread starts, and at its first step. */
void feed_begin(struct tide_feed *f, const struct replica *leader);
void feed_tell_lead(struct tide_feed *f, uint32_t term);

/* The lane thread ends: nothing more is handed over. */
void feed_end(struct tide_feed *f);

/* Is this lane's request with the application? Then the lane is left alone. */
bool feed_has(struct tide_feed *f, uint32_t lane, uint64_t seq);

/* A request that was taken from its lane. */
void feed_hand_over(struct tide_feed *f, struct tide_feed_request *q);

/* Has what readers want changed since the application was told? Then tell it. The lane thread. */
bool feed_is_wished(const struct tide_feed *f);
void feed_tell_wish(struct tide_feed *f);

/* The log holds more: answer writers that wait for it. The caller has the lock. */
void feed_answer_held(struct tide_feed *f);

#endif
