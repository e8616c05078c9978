/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TRIES 4         /* a leader may die meanwhile; a batch of puts and deletes may be done twice without harm */
#define FRAME_BYTES 64u /* what the log needs for an entry beside key and value, rounding included */
#define SHOWN_EVERY 64u /* batches */

struct batch *batch_create(const struct cli *c, int *code) {
    struct tide_info info = TIDE_INFO_INIT;
    struct batch *b = calloc(1, sizeof(*b));
    int rc = b ? tide_info(c->domain, &info) : TIDE_ERR_NOMEM;
    if (rc != 0) {
        free(b);
        *code = cli_fail(c, rc, "%s", c->name);
        return NULL;
    }
    b->cli = c;
    b->one_bytes = info.ring_bytes / 4;
    b->most_bytes = info.ring_bytes / 16; /* small batches, so that followers keep up */
    return b;
}

uint64_t batch_entry_bytes(uint64_t key_size, uint64_t value_size) {
    return FRAME_BYTES + key_size + value_size;
}

static void batch_count(struct batch *b) {
    for (size_t i = 0; i < b->n; i++) {
        *(b->ops[i].kind == TIDE_OP_DELETE ? &b->deleted : &b->written) += 1;
    }
    b->batches++;
    b->n = 0;
    b->bytes = 0;
    if (b->batches % SHOWN_EVERY == 0 && isatty(STDERR_FILENO)) {
        b->shows = 1;
        fprintf(stderr, "\r%s: %llu of %llu keys", b->cli->tool, (unsigned long long)(b->written + b->deleted),
                (unsigned long long)b->all);
    }
}

int batch_flush(struct batch *b) {
    int rc = TIDE_ERR_UNKNOWN;
    if (b->n == 0) {
        return 0;
    }
    for (int tries = 0; rc == TIDE_ERR_UNKNOWN && tries < TRIES; tries++) {
        rc = tide_write(b->cli->domain, NULL, b->ops, b->n, &b->last, NULL);
    }
    if (rc == 0) {
        batch_count(b);
    }
    return rc;
}

int batch_add(struct batch *b, const struct tide_write_op *op) {
    uint64_t bytes = batch_entry_bytes(op->key_len, op->value_size);
    int rc = 0;
    if (b->n == BATCH_OPS || (b->n > 0 && b->bytes + bytes > b->most_bytes)) {
        rc = batch_flush(b);
    }
    if (rc == 0) {
        b->ops[b->n++] = *op;
        b->bytes += bytes;
    }
    return rc;
}

void batch_end(struct batch *b) {
    if (b->shows) {
        fputs("\r\033[K", stderr);
    }
}
