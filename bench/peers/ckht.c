/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Concurrency Kit's hash table for one writer and many readers: keys as byte strings, room for twice as many keys
 * from the start, XXH3, an epoch section around each read.
 */
#include "bench/peers/peer.h"

#if __has_include(<ck_ht.h>)
#include <ck_epoch.h>
#include <ck_ht.h>
#include <stdlib.h>

#include "bench/lib/plain.h"
#include "bench/peers/loop.h"
#include "bench/peers/pool.h"

#define POLL_EVERY 1024u /* puts between two attempts to reclaim */

struct ckht_node {
    ck_epoch_entry_t entry;
    struct ckht *table;
    uint8_t key[PEER_KEY];
    uint8_t value[];
};

struct ckht {
    ck_ht_t ht;
    size_t ht_bytes; /* as ck_ht asked for */
    ck_epoch_t epoch;
    ck_epoch_record_t records[PEER_READERS]; /* one for each thread, as they come; never taken back */
    struct peer_pool pool;
    uint64_t puts;
};

/* ---- memory of the table ----------------------------------------------------------------------------------------- */

static size_t ck_taken; /* by all tables of this process so far */

static void *ck_get(size_t size) {
    ck_taken += size;
    return malloc(size);
}

static void *ck_move(void *p, size_t old_size, size_t new_size, bool defer) {
    (void)old_size;
    (void)defer;
    return realloc(p, new_size);
}

/* `defer` is set only when the table grows, and it never does. */
static void ck_give(void *p, size_t size, bool defer) {
    (void)size;
    (void)defer;
    free(p);
}

static struct ck_malloc allocator = { .malloc = ck_get, .realloc = ck_move, .free = ck_give };

static void hash_key(ck_ht_hash_t *h, const void *key, size_t length, uint64_t seed) {
    (void)seed;
    h->value = plain_hash(key, length);
}

/* ---- gets and puts ----------------------------------------------------------------------------------------------- */

PEER_INLINE int get(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    struct ckht *t = r->peer;
    ck_epoch_record_t *record = r->own;
    /* What ck_ht_hash() would do through a pointer. */
    ck_ht_hash_t h = { plain_hash(key, PEER_KEY) };
    ck_ht_entry_t entry;
    int rc = -1;
    ck_epoch_begin(record, NULL);
    ck_ht_entry_key_set(&entry, key, PEER_KEY);
    if (ck_ht_get_spmc(&t->ht, h, &entry)) {
        memcpy(out, ((struct ckht_node *)ck_ht_entry_value(&entry))->value, value_size);
        rc = 0;
    }
    ck_epoch_end(record, NULL);
    return rc;
}

PEER_ROW(run_get, peer_gets, get)

static int get_one(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    return get(r, key, out, r->value_size);
}

/* By the writer, inside ck_epoch_poll(). */
static void give_back(ck_epoch_entry_t *entry) {
    struct ckht_node *node = (struct ckht_node *)(void *)entry;
    peer_pool_put(&node->table->pool, node);
}

/* Returns the node that was replaced, or NULL; *rc is 0 or -1. */
PEER_INLINE struct ckht_node *set(struct ckht *t, const uint8_t *key, const uint8_t *value, size_t value_size,
                                  int *rc) {
    ck_ht_hash_t h = { plain_hash(key, PEER_KEY) };
    ck_ht_entry_t entry;
    struct ckht_node *node = peer_pool_get(&t->pool);
    *rc = -1;
    if (node == NULL) {
        return NULL;
    }
    node->table = t;
    memcpy(node->key, key, PEER_KEY);
    memcpy(node->value, value, value_size);
    ck_ht_entry_set(&entry, h, node->key, PEER_KEY, node);
    *rc = ck_ht_set_spmc(&t->ht, h, &entry) ? 0 : -1;
    return *rc == 0 && !ck_ht_entry_empty(&entry) ? ck_ht_entry_value(&entry) : NULL;
}

PEER_INLINE int put(struct peer_reader *r, const uint8_t *key, const uint8_t *value, size_t value_size) {
    struct ckht *t = r->peer;
    int rc;
    struct ckht_node *old = set(t, key, value, value_size, &rc);
    if (old != NULL) {
        ck_epoch_call(r->own, &old->entry, give_back);
    }
    if (++t->puts % POLL_EVERY == 0) {
        ck_epoch_poll(r->own);
    }
    return rc;
}

PEER_ROW(run_put, peer_puts, put)

static void settle(struct peer_reader *r) {
    ck_epoch_barrier(r->own);
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

static uint64_t table_bytes(const struct peer_case *c) {
    return c->options->keys * (4 * sizeof(ck_ht_entry_t) + sizeof(struct ckht_node) + c->options->value_size + 16);
}

static uint64_t nodes_for(const struct peer_case *c) {
    return c->options->keys + (UINT64_C(256) << 20) / (sizeof(struct ckht_node) + c->options->value_size);
}

static void fill(struct peer_case *c, void **peer) {
    const struct bench_workload *w = c->workload;
    uint8_t value[PEER_VALUE_MAX + 8];
    struct ckht *t = aligned_alloc(64, (sizeof(struct ckht) + 63) / 64 * 64);
    bench_must_system(t != NULL, "memory for ck_ht");
    *peer = t;
    memset(t, 0, sizeof(*t));
    ck_epoch_init(&t->epoch);
    size_t before = ck_taken;
    bool made = ck_ht_init(&t->ht, CK_HT_MODE_BYTESTRING, hash_key, &allocator, 2 * w->keys, 1);
    t->ht_bytes = ck_taken - before;
    peer_pool_create(&t->pool, sizeof(struct ckht_node) + w->value_size, nodes_for(c), c->huge_pages);
    bench_must_system(made, "memory for ck_ht");
    for (uint64_t i = 0; i < w->keys; i++) {
        int rc;
        bench_go_on();
        bench_workload_value(w, i, 0, value);
        set(t, bench_workload_key(w, i), value, w->value_size, &rc);
        bench_must_system(rc == 0, "ck_ht_set_spmc");
    }
    for (uint32_t i = 0; i < PEER_READERS; i++) {
        ck_epoch_register(&t->epoch, &t->records[i], NULL);
    }
}

static void end(void *peer) {
    struct ckht *t = peer;
    ck_ht_destroy(&t->ht);
    peer_pool_destroy(&t->pool);
    free(t);
}

static void open_reader(struct peer_reader *r, uint32_t turn) {
    r->own = &((struct ckht *)r->peer)->records[turn];
}

static void close_reader(struct peer_reader *r) {
    r->own = NULL;
}

static uint64_t used(void *peer) {
    const struct ckht *t = peer;
    return t->ht_bytes + t->pool.used;
}

const struct peer peer_ckht = {
    .name = "ckht",
    .gets = { { "ckht", "Concurrency Kit ck_ht", run_get, PEER_CHUNK } },
    .puts = { { "ckht", "ck_ht, ck_epoch_call for each", run_put, PEER_CHUNK } },
    .pairs = 1,
    .beside = 1,
    .used = used,
    .settle = settle,
    PEER_FUNCTIONS,
};
#else
const struct peer peer_ckht = { .name = "ckht", .package = "libck-dev" };
#endif
