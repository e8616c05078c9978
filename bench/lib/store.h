/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Caches in servers of their own, as a trace meets them: Redis and memcached, started for it on a Unix socket in a
 * directory of its own, with so many bytes for what they hold. By one thread.
 */
#ifndef TIDE_BENCH_STORE_H
#define TIDE_BENCH_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum bench_store_kind {
    BENCH_STORE_REDIS_LRU,
    BENCH_STORE_REDIS_LFU,
    BENCH_STORE_MEMCACHED,
    BENCH_STORE_REDIS, /* it evicts nothing and has no limit: for bench_store_serve() alone */
    BENCH_STORES
};

struct bench_store {
    enum bench_store_kind kind;
    pid_t pid;
    char dir[128], socket[144]; /* "": removed */
    FILE *in, *out;             /* the connection; NULL: none */
    char *line;                 /* the last line that was read */
    size_t line_room;
};

/* What fails here ends the program (bench/lib/program.h), whose end stops the server that runs and removes its folder. One runs at a time. */

/* Start one that has `bytes` for keys, values and what it needs for them; memcached counts in MiB. False with `why` (BENCH_ERROR_BYTES):
 * there is no such server in PATH. */
bool bench_store_start(struct bench_store *s, enum bench_store_kind kind, uint64_t bytes, char *why);

/* Is the key there? The value is read and not looked at. */
bool bench_store_get(struct bench_store *s, const char *key, size_t key_len);
void bench_store_set(struct bench_store *s, const char *key, size_t key_len, const void *value, size_t value_len);

void bench_store_stop(struct bench_store *s);

/* ---- for callers with a client of their own ---- */

/* Start the server alone, at s->socket; it may not listen yet. As bench_store_start(). */
bool bench_store_serve(struct bench_store *s, enum bench_store_kind kind, uint64_t bytes, char *why);

/* It must not have ended. Does not wait. */
void bench_store_must_live(struct bench_store *s);

/* Remove the socket and its directory: once all connections are made, their names are not needed any more. */
void bench_store_hide(struct bench_store *s);

#endif
