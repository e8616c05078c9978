/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Many puts and deletes in batches that the ring holds with ease, for `tide snapshot load`, clear and del --prefix. Keys and values
 * stay the caller's until the batch is written. One thread.
 */
#ifndef TIDE_TOOLS_BATCH_H
#define TIDE_TOOLS_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "engine/tidemark.h"
#include "tools/lib/client.h"

#define BATCH_OPS 1024u

struct batch {
    const struct cli *cli;
    uint64_t all; /* how many keys there will be, for who waits at a terminal */
    struct tide_write_op ops[BATCH_OPS];
    size_t n;
    uint64_t bytes, most_bytes, one_bytes; /* in the batch; in any batch; in one entry at most */
    uint64_t written, deleted, batches;    /* what was committed */
    struct tide_token last;
    int shows; /* progress stands on the terminal */
};

/* A batch for c->domain, or NULL after a message and *code. free() it. */
struct batch *batch_create(const struct cli *c, int *code);

/* What one entry of this key and value needs in the log; more than b->one_bytes can never be written. */
uint64_t batch_entry_bytes(uint64_t key_size, uint64_t value_size);

/* Add a put or delete; writes the batch first where this one no longer fits. 0 or a TIDE_ERR_ code: UNKNOWN after several
 * tries, since puts and deletes may be done twice. */
int batch_add(struct batch *b, const struct tide_write_op *op);

/* Write what is left. */
int batch_flush(struct batch *b);

/* After the last one: take the progress off the terminal. */
void batch_end(struct batch *b);

#endif
