/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Redis over a Unix socket, by its own C client: one GET at a time, and 100 in a pipeline. */
#include "bench/peers/peer.h"

#if __has_include(<hiredis/hiredis.h>)
#include <hiredis/hiredis.h>
#include <stdlib.h>

#include "bench/lib/store.h"
#include "bench/peers/loop.h"

#define ONE_CHUNK 16u
#define PIPELINE 100u
#define FILL_PIPELINE 1000u
#define START_NS UINT64_C(10000000000)
#define LOOK_EVERY_NS UINT64_C(5000000)
#define KEYS_MAX UINT64_C(2000000)

struct redis {
    struct bench_store server;
    redisContext *connections[PEER_READERS];
};

/* ---- gets and puts ----------------------------------------------------------------------------------------------- */

static void ask_get(redisContext *c, const uint8_t *key) {
    const char *words[] = { "GET", (const char *)key };
    const size_t sizes[] = { 3, PEER_KEY };
    redisAppendCommandArgv(c, 2, words, sizes);
}

static void ask_set(redisContext *c, const uint8_t *key, const uint8_t *value, size_t value_size) {
    const char *words[] = { "SET", (const char *)key, (const char *)value };
    const size_t sizes[] = { 3, PEER_KEY, value_size };
    redisAppendCommandArgv(c, 3, words, sizes);
}

/* The next answer of type `type`, its text copied to `out` (NULL: not). 0 or -1. */
static int take(redisContext *c, int type, uint8_t *out, size_t value_size) {
    redisReply *reply = NULL;
    int rc = -1;
    if (redisGetReply(c, (void **)&reply) != REDIS_OK || reply == NULL) {
        return -1;
    }
    if (reply->type == type && (out == NULL || reply->len == value_size)) {
        rc = 0;
        if (out != NULL) {
            memcpy(out, reply->str, value_size);
        }
    }
    freeReplyObject(reply);
    return rc;
}

static int get(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    ask_get(r->own, key);
    return take(r->own, REDIS_REPLY_STRING, out, value_size);
}

static uint64_t run_get(struct peer_reader *r, uint64_t from, uint64_t n) {
    return peer_gets(r, from, n, r->value_size, get);
}

static uint64_t run_pipeline(struct peer_reader *r, uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[PEER_VALUE_MAX];
    uint64_t sum = 0;
    for (uint64_t i = from; i < from + n; i += PIPELINE) {
        for (uint64_t k = i; k < i + PIPELINE; k++) {
            ask_get(r->own, peer_key(r, k));
        }
        for (uint64_t k = 0; k < PIPELINE; k++) {
            r->bad += take(r->own, REDIS_REPLY_STRING, buf, r->value_size) != 0;
            PEER_CONSUME(buf);
            sum += peer_head(buf);
        }
    }
    return sum;
}

static uint64_t run_put(struct peer_reader *r, uint64_t from, uint64_t n) {
    for (uint64_t i = from; i < from + n; i += PIPELINE) {
        for (uint64_t k = i; k < i + PIPELINE; k++) {
            memcpy(r->value, &k, sizeof(k));
            ask_set(r->own, peer_key(r, k), r->value, r->value_size);
        }
        for (uint64_t k = 0; k < PIPELINE; k++) {
            r->bad += take(r->own, REDIS_REPLY_STATUS, NULL, 0) != 0;
        }
    }
    return 0;
}

static int get_one(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    return get(r, key, out, r->value_size);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static uint64_t table_bytes(const struct peer_case *c) {
    return c->options->keys * (c->options->value_size + 160);
}

static void connect_all(struct redis *r) {
    uint64_t end_ns = bench_now_ns() + START_NS;
    for (uint32_t i = 0; i < PEER_READERS;) {
        bench_go_on();
        bench_store_must_live(&r->server);
        r->connections[i] = redisConnectUnix(r->server.socket);
        if (r->connections[i] != NULL && r->connections[i]->err == 0) {
            i++;
            continue;
        }
        if (r->connections[i] != NULL) {
            redisFree(r->connections[i]);
            r->connections[i] = NULL;
        }
        if (bench_now_ns() > end_ns) {
            bench_fail("Redis: the server does not answer at its socket within 10 s of its start");
        }
        bench_sleep_ns(LOOK_EVERY_NS);
    }
    bench_store_hide(&r->server);
}

static void set_all(const struct bench_workload *w, redisContext *to) {
    uint8_t value[PEER_VALUE_MAX + 8];
    for (uint64_t i = 0; i < w->keys; i += FILL_PIPELINE) {
        uint64_t n = w->keys - i < FILL_PIPELINE ? w->keys - i : FILL_PIPELINE;
        bench_go_on();
        for (uint64_t k = 0; k < n; k++) {
            bench_workload_value(w, i + k, 0, value);
            ask_set(to, bench_workload_key(w, i + k), value, w->value_size);
        }
        for (uint64_t k = 0; k < n; k++) {
            if (take(to, REDIS_REPLY_STATUS, NULL, 0) != 0) {
                bench_fail("filling Redis: %s", to->errstr);
            }
        }
    }
}

/* Not in fill(): the server dies with the thread that forks it, and fill() may run in a thread that ends. */
static bool start(struct peer_case *c, void **peer) {
    if (c->options->keys > KEYS_MAX) {
        snprintf(c->error, BENCH_ERROR_BYTES,
                 "above 2 M keys filling it takes long, and a get costs what the socket costs");
        return false;
    }
    struct redis *r = bench_alloc(1, sizeof(*r));
    *peer = r;
    return bench_store_serve(&r->server, BENCH_STORE_REDIS, 0, c->error);
}

static void fill(struct peer_case *c, void **peer) {
    struct redis *r = *peer;
    connect_all(r);
    set_all(c->workload, r->connections[0]);
}

static void end(void *peer) {
    struct redis *r = peer;
    for (uint32_t i = 0; i < PEER_READERS; i++) {
        redisFree(r->connections[i]);
    }
    bench_store_stop(&r->server);
    free(r);
}

static void open_reader(struct peer_reader *r, uint32_t turn) {
    r->own = ((struct redis *)r->peer)->connections[turn];
}

static void close_reader(struct peer_reader *r) {
    r->own = NULL; /* end() closes it */
}

const struct peer peer_redis = {
    .name = "redis",
    .gets = { { "redis", "Redis, Unix socket, one by one", run_get, ONE_CHUNK },
              { "redis_100", "Redis, 100 in a pipeline", run_pipeline, PIPELINE } },
    .puts = { { "redis_100", "Redis, 100 SETs in a pipeline", run_put, PIPELINE } },
    .fork = start,
    PEER_FUNCTIONS,
};
#else
const struct peer peer_redis = { .name = "redis", .package = "libhiredis-dev" };
#endif
