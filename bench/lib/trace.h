/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Traces of requests: which key was asked for, in order. By one thread; afterwards any thread and any child may read it. */
#ifndef TIDE_BENCH_TRACE_H
#define TIDE_BENCH_TRACE_H

#include <stddef.h>
#include <stdint.h>

/* The longest key that all caches take that a trace is replayed against. */
#define BENCH_TRACE_KEY_MAX 250u

struct bench_trace {
    char name[64];
    uint32_t *requests; /* numbers of keys */
    uint64_t requests_n;
    char *texts;  /* of the keys, each ended by a 0 */
    uint64_t *at; /* where a key's text begins; one more than there are keys */
    uint32_t keys_n;
};

/* Read a file with one key a line, plain or packed by xz. One that cannot be read ends the program. */
void bench_trace_read(struct bench_trace *t, const char *path);

/* Make one up, the same each time: keys that are asked for by Zipf's law, between them runs of keys that are asked for
 * once. */
void bench_trace_make(struct bench_trace *t, uint32_t keys, uint64_t requests);

static inline const char *bench_trace_key(const struct bench_trace *t, uint32_t key, size_t *len) {
    *len = (size_t)(t->at[key + 1] - t->at[key] - 1);
    return t->texts + t->at[key];
}

#endif
