/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `tide node`: what its parts share. One thread reads requests, asks the engine and writes answers; the followers
 * have threads of their own inside the engine.
 */
#ifndef TIDE_NODE_NODE_H
#define TIDE_NODE_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/tidemark.h"
#include "tools/lib/buf.h"
#include "tools/node/protocol.h"

struct node_delay {
    const char *id; /* not ended by a NUL */
    size_t id_size;
    uint64_t delay_ns;
};

struct node_opts {
    const char *domain; /* NULL: one of its own, with every replica of node_ids */
    struct node_delay delays[TIDE_REPLICAS];
    size_t n_delays;
    uint64_t ryw_wait_ns;
    uint64_t ring_bytes, table_bytes;
    int missing_is_error; /* a key that is not there: error 20 instead of null */
};

/* Whose replica a slot of a shared domain was, when it was looked at last. */
struct node_slot {
    int32_t pid;
    char label[32];
    struct buf id; /* the label as JSON text */
};

/* One read, and its repetitions in a shared domain, whose leader and slots may change while it is under way. */
struct node_try {
    int at_leader; /* asked of the leader; else of the followers */
    unsigned again;
    uint64_t avoid;    /* slots that turned out to be the leader's */
    uint64_t until_ns; /* of CLOCK_MONOTONIC: no leader is waited for any longer */
    uint64_t waited_ns;
    int waited;
};

/* Beside the TIDE_ERR_ codes, which are below 0. */
enum node_error {
    NODE_ERR_NOT_JSON = 1, /* another program's value */
    NODE_ERR_LABEL,        /* node_id does not fit a replica's label */
    NODE_ERR_TAKEN,        /* another process runs under this node_id */
};

struct node {
    struct node_opts opts;
    struct protocol protocol;
    int out_fd;
    int out_closed; /* nobody reads the answers any more */
    int out_failed; /* they cannot be written for another reason */

    /* After init: the names as JSON text, position = replica number. */
    struct buf *ids;
    size_t n_ids;
    struct tide *domain;
    struct tide_reader *leader; /* reads the leader's replica; none in a shared domain, where it changes */
    struct node_slot slots[TIDE_REPLICAS];
    uint64_t log_device, log_inode; /* of a shared domain's log, to notice when it is removed or replaced */
    uint64_t incarnation;

    /* Answers told, by reason; and of the reads that a follower could have served, how many there were and fell
     * back. */
    uint64_t reads[TIDE_REASONS];
    uint64_t bounded_reads, fallbacks;

    /* Scratch of one request. */
    struct buf key, value, other, sorted, other_sorted;
    struct json_tape stored;
    struct json_out values, ttls;
    int wants_ttl; /* the request has "ttl": true */
    int found;     /* the key of the last read is there */
};

/* ---- domain.c ---- */

/* Create the domain and its replicas for n_ids names (JSON text each; taken over on success), or join the shared one
 * with the replica of node_id. 0, a TIDE_ERR_ code or an enum node_error. */
int node_domain_open(struct node *n, const struct buf *node_id, struct buf *ids, size_t n_ids);
void node_domain_close(struct node *n);

/* Close the domain, and free all memory of the node. */
void node_end(struct node *n);

/* No replica but the leader's: there are no followers to ask. */
int node_is_alone(struct node *n);

/* A reader for one request, over the followers or at the leader. A reader is a session that remembers what it has
 * read; one over followers that is shared by clients who know nothing of one another would fence them all. */
int node_reader_open(struct node *n, const struct node_try *t, struct tide_reader **out);
void node_reader_close(struct node *n, struct tide_reader *r);

/* One tide_get of n->key under a bound, with room for any value, as often as it takes: into n->value, "null" where the
 * key is not there (*found 0). The value is the table's bytes: see node_value_json(). 0 or a TIDE_ERR_ code. */
int node_get(struct node *n, int at_leader, const struct tide_bound *bound, struct tide_answer *a, int *found);

/* The bytes in n->value as JSON in the output's style, since other programs put what they like: 0 or
 * NODE_ERR_NOT_JSON. */
int node_value_json(struct node *n);

/* ---- shared.c: a domain shared with other processes ---- */

static inline int node_is_shared(const struct node *n) {
    return n->opts.domain != NULL;
}

/* Start this process's replica: it leads where nobody does, and may take over. 0, TIDE_ERR_ or an enum node_error. */
int shared_start(struct node *n, const struct buf *node_id, const struct buf *ids, size_t n_ids, uint64_t delay_ns);

/* Remember whose replica the slot of this info is. */
void shared_note_slot(struct node *n, const struct tide_replica_info *info);

int shared_is_alone(struct node *n);

/* Before a read or a status: frees what dead processes left, which must not answer under their names. TIDE_ERR_GONE
 * where the domain was removed: its members could read on from what nobody writes any more. */
int shared_refresh(struct node *n);

int shared_reader_open(struct node *n, const struct node_try *t, struct tide_reader **out);

/* After a read that answered rc and *a: 1 where it must be done anew, because there was no leader, the wrong one, or
 * it is not sure whose replica served. When 0, n->slots names who served. */
int node_try_again(struct node *n, struct node_try *t, int rc, struct tide_answer *a);

/* ---- handle.c ---- */

/* Answer one request. */
void node_handle(struct node *n, const struct request *q);

/* ---- ops.c, reads.c, snapshot_read.c, status.c: one type of request each ---- */

void node_init(struct node *n, const struct request *q);
void node_write(struct node *n, const struct request *q);
void node_delete(struct node *n, const struct request *q);
void node_touch(struct node *n, const struct request *q);
void node_incr(struct node *n, const struct request *q);
void node_cas(struct node *n, const struct request *q);
void node_read(struct node *n, const struct request *q);
void node_follower_read(struct node *n, const struct request *q);
void node_ryw_read(struct node *n, const struct request *q);
void node_snapshot_read(struct node *n, const struct request *q);
void node_status(struct node *n, const struct request *q);

/* ---- answer.c ---- */

/* Write what has been answered so far. Before anything that may wait, so that nobody waits for another's request. */
void node_flush(struct node *n);

/* Maelstrom's code for an error of the engine. is_write: codes that are definite may only be used where
 * the write certainly was not done. */
enum protocol_code node_error_code(int error, int is_write);

/* Error answer for a TIDE_ERR_ code or an enum node_error. */
void node_refuse(struct node *n, const struct request *q, int error, int is_write);

/* ---- stop.c ---- */

/* SIGTERM, SIGINT and SIGHUP ask for the end from now on. 0, or -1 after a message. */
int node_catch_signals(void);

/* Has one of them? */
int node_is_stopped(void);

/* Until fd is ready for `events` of poll(), or one of them asks for the end. */
void node_wait_for(int fd, short events);

/* ---- io.c ---- */

/* Answer the lines of in_fd until it ends, the output is closed, or a signal asks for the end. 0, or -1 after a
 * message. */
int node_serve(struct node *n, int in_fd);

#endif
