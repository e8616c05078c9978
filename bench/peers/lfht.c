/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * liburcu's lock-free hash table, memb flavour with the read side inlined (_LGPL_SOURCE), as many buckets as keys
 * from the start (one array: max_nr_buckets is given), no resizing, XXH3, key and value inside the node.
 */
#include "bench/peers/peer.h"

#if __has_include(<urcu/rculfhash.h>)
#include <stdlib.h>
#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>

#include "bench/lib/plain.h"
#include "bench/peers/loop.h"
#include "bench/peers/pool.h"

#define RETIRE_BATCH 4096u /* puts for each grace period where the writer waits for it */

struct lfht_node {
    struct cds_lfht_node link;
    struct rcu_head rcu;
    struct lfht *table;
    uint8_t key[PEER_KEY];
    uint8_t value[];
};

struct lfht {
    struct cds_lfht *ht;
    uint64_t buckets;
    struct call_rcu_data *worker; /* the thread that waits for grace periods */
    struct peer_pool pool;
    uint32_t retired_n;
    struct lfht_node *retired[RETIRE_BATCH];
};

static int match(struct cds_lfht_node *node, const void *key) {
    return memcmp(caa_container_of(node, struct lfht_node, link)->key, key, PEER_KEY) == 0;
}

/* ---- gets -------------------------------------------------------------------------------------------------------- */

PEER_INLINE int get(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    struct lfht *t = r->peer;
    struct cds_lfht_iter iter;
    int rc = -1;
    urcu_memb_read_lock();
    cds_lfht_lookup(t->ht, plain_hash(key, PEER_KEY), match, key, &iter);
    struct cds_lfht_node *node = cds_lfht_iter_get_node(&iter);
    if (node != NULL) {
        memcpy(out, caa_container_of(node, struct lfht_node, link)->value, value_size);
        rc = 0;
    }
    urcu_memb_read_unlock();
    return rc;
}

PEER_ROW(run_get, peer_gets, get)

static int get_one(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    return get(r, key, out, r->value_size);
}

/* ---- puts -------------------------------------------------------------------------------------------------------- */

/* A new node in the place of the old one, which is returned. NULL: none was there (it is a failure), or no memory. */
PEER_INLINE struct lfht_node *replace(struct lfht *t, const uint8_t *key, const uint8_t *value, size_t value_size) {
    struct lfht_node *node = peer_pool_get(&t->pool);
    if (node == NULL) {
        return NULL;
    }
    node->table = t;
    memcpy(node->key, key, PEER_KEY);
    memcpy(node->value, value, value_size);
    urcu_memb_read_lock();
    struct cds_lfht_node *old = cds_lfht_add_replace(t->ht, plain_hash(key, PEER_KEY), match, node->key, &node->link);
    urcu_memb_read_unlock();
    return old != NULL ? caa_container_of(old, struct lfht_node, link) : NULL;
}

static void give_back(struct rcu_head *head) {
    struct lfht_node *node = caa_container_of(head, struct lfht_node, rcu);
    peer_pool_return(&node->table->pool, node);
}

PEER_INLINE int put_call(struct peer_reader *r, const uint8_t *key, const uint8_t *value, size_t value_size) {
    struct lfht_node *old = replace(r->peer, key, value, value_size);
    if (old == NULL) {
        return -1;
    }
    urcu_memb_call_rcu(&old->rcu, give_back);
    return 0;
}

static void reclaim(struct lfht *t) {
    urcu_memb_synchronize_rcu();
    for (uint32_t i = 0; i < t->retired_n; i++) {
        peer_pool_put(&t->pool, t->retired[i]);
    }
    t->retired_n = 0;
}

PEER_INLINE int put_batch(struct peer_reader *r, const uint8_t *key, const uint8_t *value, size_t value_size) {
    struct lfht *t = r->peer;
    struct lfht_node *old = replace(t, key, value, value_size);
    if (old == NULL) {
        return -1;
    }
    t->retired[t->retired_n++] = old;
    if (t->retired_n == RETIRE_BATCH) {
        reclaim(t);
    }
    return 0;
}

PEER_ROW(run_put_call, peer_puts, put_call)
PEER_ROW(run_put_batch, peer_puts, put_batch)

static void settle(struct peer_reader *r) {
    struct lfht *t = r->peer;
    urcu_memb_barrier();
    if (t->retired_n > 0) {
        reclaim(t);
    }
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

/* Nodes that wait for their grace period: the callbacks of a slice are all done between slices at the latest. */
static uint64_t nodes_for(const struct peer_case *c) {
    return c->options->keys + (UINT64_C(256) << 20) / (sizeof(struct lfht_node) + c->options->value_size);
}

static uint64_t buckets_for(uint64_t keys) {
    uint64_t buckets = 1;
    while (buckets < keys) {
        buckets *= 2;
    }
    return buckets;
}

static uint64_t table_bytes(const struct peer_case *c) {
    return buckets_for(c->options->keys) * sizeof(struct cds_lfht_node) +
           c->options->keys * (sizeof(struct lfht_node) + c->options->value_size + 16);
}

/* The library knows of no registered thread beside its own and Tidemark's readers. */
static void open_reader(struct peer_reader *r, uint32_t turn) {
    (void)turn;
    r->own = NULL;
    if (!URCU_TLS(urcu_memb_reader).registered) {
        urcu_memb_register_thread();
        r->own = r;
    }
    urcu_memb_set_thread_call_rcu_data(((struct lfht *)r->peer)->worker);
}

static void close_reader(struct peer_reader *r) {
    urcu_memb_set_thread_call_rcu_data(NULL);
    if (r->own != NULL) {
        urcu_memb_unregister_thread();
    }
}

static void add_all(const struct bench_workload *w, struct lfht *t) {
    uint8_t value[PEER_VALUE_MAX + 8];
    for (uint64_t i = 0; i < w->keys; i++) {
        bench_go_on();
        struct lfht_node *node = peer_pool_get(&t->pool);
        node->table = t;
        bench_workload_value(w, i, 0, value);
        memcpy(node->key, bench_workload_key(w, i), PEER_KEY);
        memcpy(node->value, value, w->value_size);
        urcu_memb_read_lock();
        cds_lfht_add(t->ht, plain_hash(node->key, PEER_KEY), &node->link);
        urcu_memb_read_unlock();
    }
}

static void fill(struct peer_case *c, void **peer) {
    struct lfht *t = bench_alloc(1, sizeof(*t));
    struct peer_reader self = { .peer = t };
    *peer = t;
    peer_pool_create(&t->pool, sizeof(struct lfht_node) + c->options->value_size, nodes_for(c), c->huge_pages);
    uint64_t buckets = buckets_for(c->options->keys);
    t->buckets = buckets;
    t->ht = cds_lfht_new_flavor(buckets, buckets, buckets, 0, &urcu_memb_flavor, NULL);
    bench_must_system(t->ht != NULL, "memory for cds_lfht's buckets");
    /* Not the library's own, which cannot be ended: its thread would be left in the list of readers in children
     * that are forked later. Started here, it is not pinned to the writer's CPU. */
    t->worker = urcu_memb_create_call_rcu_data(0, -1);
    bench_must_system(t->worker != NULL, "a thread for call_rcu");
    open_reader(&self, 0);
    add_all(c->workload, t);
    close_reader(&self);
}

static void end(void *peer) {
    struct lfht *t = peer;
    struct cds_lfht_iter iter;
    struct cds_lfht_node *node;
    struct peer_reader self = { .peer = t };
    open_reader(&self, 0);
    urcu_memb_read_lock();
    cds_lfht_for_each(t->ht, &iter, node) {
        cds_lfht_del(t->ht, node);
    }
    urcu_memb_read_unlock();
    settle(&self);
    close_reader(&self);
    cds_lfht_destroy(t->ht, NULL);
    urcu_memb_call_rcu_data_free(t->worker);
    peer_pool_destroy(&t->pool);
    free(t);
}

static uint64_t used(void *peer) {
    const struct lfht *t = peer;
    return t->buckets * sizeof(struct cds_lfht_node) + t->pool.used;
}

const struct peer peer_lfht = {
    .name = "lfht",
    .gets = { { "lfht", "liburcu cds_lfht", run_get, PEER_CHUNK } },
    .puts = { { "lfht", "cds_lfht, call_rcu for each", run_put_call, PEER_CHUNK },
              { "lfht_batch", "cds_lfht, a grace period for 4,096", run_put_batch, PEER_CHUNK } },
    .pairs = 1,
    .beside = 1,
    .used = used,
    .settle = settle,
    PEER_FUNCTIONS,
};
#else
const struct peer peer_lfht = { .name = "lfht", .package = "liburcu-dev" };
#endif
