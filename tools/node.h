/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * `tide node`: what its parts share. One thread reads requests, asks the engine and writes answers; the followers
 * have threads of their own inside the engine.
 */
#ifndef TIDE_NODE_H
#define TIDE_NODE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/tidemark.h"
#include "tools/buf.h"
#include "tools/protocol.h"

struct node_delay {
    const char *id; /* not ended by a NUL */
    size_t id_size;
    uint64_t delay_ns;
};

struct node_opts {
    struct node_delay delays[TIDE_REPLICAS];
    size_t n_delays;
    uint64_t ryw_wait_ns;
    uint64_t ring_bytes, table_bytes;
    int missing_is_error; /* a key that is not there: error 20 instead of null */
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
    struct tide_reader *leader; /* reads the leader's replica */
    uint64_t incarnation;

    /* Answers told, by reason; and of the reads that a follower could have served, how many there were and fell
     * back. */
    uint64_t reads[TIDE_REASONS];
    uint64_t bounded_reads, fallbacks;

    /* Scratch of one request. */
    struct buf key, value, other, sorted, other_sorted;
    struct json_tape stored;
};

/* ---- node_domain.c ---- */

/* Create the domain and its replicas for n_ids names (JSON text each; taken over on success). 0 or a TIDE_ERR_ code.
 * */
int node_domain_open(struct node *n, struct buf *ids, size_t n_ids);
void node_domain_close(struct node *n);

/* A reader of its own for one request, over the followers, or the leader where there is no follower. A reader is a
 * session that remembers what it has read; one shared by clients that know nothing of one another would fence them
 * all. */
int node_reader_open(struct node *n, struct tide_reader **out);

/* tide_get with room for any value: into n->value, "null" where the key is not there (*found 0). 0 or a TIDE_ERR_
 * code. */
int node_get(struct node *n, struct tide_reader *r, const struct tide_bound *bound, struct tide_answer *a, int *found);

/* Maelstrom's code for an error of the engine. is_write: codes that are definite may only be used where the write
 * certainly was not done. */
enum protocol_code node_error_code(int error, int is_write);

/* ---- node_ops.c, node_reads.c, node_snapshot.c ---- */

/* Answer one request. */
void node_handle(struct node *n, const struct request *q);

void node_read(struct node *n, const struct request *q);
void node_follower_read(struct node *n, const struct request *q);
void node_ryw_read(struct node *n, const struct request *q);
void node_snapshot_read(struct node *n, const struct request *q);
void node_status(struct node *n, const struct request *q);

/* Error answer for a TIDE_ERR_ code. */
void node_refuse(struct node *n, const struct request *q, int error, int is_write);

/* ---- node_io.c ---- */

/* Answer the lines of in_fd until it ends, the output is closed, or a signal asks for the end. 0, or -1 after a
 * message. */
int node_serve(struct node *n, int in_fd);

/* Write what has been answered so far. Before anything that may wait, so that nobody waits for another's request. */
void node_flush(struct node *n);

#endif
