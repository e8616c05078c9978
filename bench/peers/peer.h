/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What is measured beside Tidemark, behind one small interface. No get or put is called through a pointer: each row has
 * its own loop over the sequence (loop.h), so that the interface costs no peer anything.
 *
 * What fails here ends the program, and so does an interruption (bench/lib/program.h).
 */
#ifndef TIDE_PEERS_PEER_H
#define TIDE_PEERS_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/lib/program.h"
#include "bench/lib/workload.h"

#define PEER_KEY 16u
#define PEER_VALUE_MAX 4096u
#define PEER_BATCH 32u
#define PEER_CHUNK 1024u /* gets between two looks at the clock */
#define PEER_ROWS 6u
#define PEER_READERS 2u

/* What every peer of one measurement gets. */
struct peer_case {
    const struct bench_options *options; /* keys, key_size, value_size */
    struct bench_workload *workload;     /* version 0 of each key's value is what a get answers */
    int huge_pages;                      /* for memory in this process: Tidemark has them */
    int for_puts;                        /* puts are measured, not gets: nothing is needed that only readers use */
    int cost;                            /* getcost's rows as well, and what they need */
    char *error;                         /* BENCH_ERROR_BYTES: of what is left out, or answers wrong */
};

/* One thread's way into a peer. Opened, used and closed by that thread. */
struct peer_reader {
    const struct bench_workload *workload;
    const uint32_t *sequence; /* indexes of keys */
    uint64_t mask;            /* its length - 1 */
    size_t value_size;
    void *peer;
    void *own, *second; /* the adapter's, for this thread */
    const void *how;    /* Tidemark: the bound, where it is another than while nothing is written (struct tide_bound) */
    uint64_t bad;       /* operations that did not answer as they should */
    _Alignas(64) uint8_t value[PEER_VALUE_MAX]; /* what is put: its first 8 bytes change with each put */
};

/* Do operations from .. from + n - 1 of the sequence. For gets: returns the sum of the first 8 bytes of what was
 * read. */
typedef uint64_t peer_run_fn(struct peer_reader *r, uint64_t from, uint64_t n);

struct peer_row {
    const char *id; /* in figures; NULL ends the list */
    const char *title;
    peer_run_fn *run;
    uint32_t chunk;                       /* n is a multiple of this */
    bool cost;                            /* measured for getcost alone */
    int (*before)(struct peer_reader *r); /* what must be so when its slice begins: 0 or -1. NULL: nothing */
};

struct peer {
    const char *name;    /* for --peers */
    const char *package; /* the Debian package that it was built without; NULL: it is there */
    struct peer_row gets[PEER_ROWS];
    struct peer_row puts[PEER_ROWS];
    int pairs;    /* its first get is also measured by two threads */
    int beside;   /* ... and with its first put at a fixed rate beside it */
    bool by_user; /* it opens readers while it fills, which only the thread that uses them may do */

    /* Memory for so many keys and such values, roughly: what does not fit is left out. */
    uint64_t (*bytes)(const struct peer_case *c);
    /* Fork, while no domain is open in this process, by the main thread. Returns what fill() is given. False with `error`: it cannot be
     * measured here, and the others can. May be NULL. */
    bool (*fork)(struct peer_case *c, void **peer);
    /* Make it and put every key. By a thread that is not pinned, since threads take pinning over from the one that
     * starts them; and that ends afterwards, which children that it forks do not survive. */
    void (*fill)(struct peer_case *c, void **peer);
    void (*end)(void *peer);

    /* turn: which of several readers. NULL: nothing to do. */
    void (*open)(struct peer_reader *r, uint32_t turn);
    void (*close)(struct peer_reader *r);
    /* Copy the value of one key, to be compared. 0 or -1. NULL: it has no values. */
    int (*get)(struct peer_reader *r, const uint8_t *key, uint8_t *out);
    /* Bytes that it has in use, filled. May be NULL. */
    uint64_t (*used)(void *peer);
    /* Wait until what puts left to be done later is done, so that it does not run into another row's time. May be
     * NULL. */
    void (*settle)(struct peer_reader *r);
    /* Of the gets whose row has `before`: the share that met the state which it makes. May be NULL. */
    double (*share)(struct peer_reader *r);
};

/* What an adapter gives, where its functions have these names. */
#define PEER_FUNCTIONS                                                                                                 \
    .bytes = table_bytes, .fill = fill, .end = end, .open = open_reader, .close = close_reader, .get = get_one

extern const struct peer peer_loop_alone, peer_plain, peer_tide, peer_other, peer_lfht, peer_ckht, peer_lmdb,
    peer_redis;
/* Linearizable, by the leader's replica where the own one is behind; and up to 200 ms old. Both are struct
 * tide_bound. */
extern const void *const peer_tide_redirect, *const peer_tide_within;
#define PEERS 8u /* of one program, at most */

/* "10k", "1M", "123": as ids spell it. */
const char *peer_count_text(uint64_t n);

/* A reader of this sequence, all else zero. */
void peer_reader_init(struct peer_reader *r, const struct bench_workload *w, uint32_t turn, void *peer);

#endif
