/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * LMDB in one process. The file lies in shared memory (or TMPDIR) and has no name once it is open, so that nothing is
 * left whatever happens. As its authors advise for speed: readers keep their transaction and renew it
 * (mdb_txn_reset, mdb_txn_renew) instead of beginning anew, MDB_NOTLS, no syncing, filled in key order with
 * MDB_APPEND, so that pages are full.
 */
#include "bench/peers/peer.h"

#if __has_include(<lmdb.h>)
#include <endian.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/peers/loop.h"

#define LONG_GETS 1000u
#define PUTS 100u
#define FILL_PUTS 100000u

struct lmdb {
    MDB_env *env;
    MDB_env *map_env; /* MDB_WRITEMAP, for puts alone */
    MDB_dbi dbi;
    MDB_dbi map_dbi;
};

struct lmdb_reader { /* a read transaction that is reset between uses */
    MDB_txn *txn;
};

/* ---- gets -------------------------------------------------------------------------------------------------------- */

PEER_INLINE int lookup(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    struct lmdb_reader *own = r->own;
    MDB_val k = { PEER_KEY, (void *)key }, v;
    if (mdb_get(own->txn, ((struct lmdb *)r->peer)->dbi, &k, &v) != 0 || v.mv_size != value_size) {
        return -1;
    }
    memcpy(out, v.mv_data, value_size);
    return 0;
}

PEER_INLINE int get(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    struct lmdb_reader *own = r->own;
    if (mdb_txn_renew(own->txn) != 0) {
        return -1;
    }
    int rc = lookup(r, key, out, value_size);
    mdb_txn_reset(own->txn);
    return rc;
}

PEER_ROW(run_get, peer_gets, get)
PEER_ROW(run_lookups, peer_gets, lookup)

/* n is a multiple of LONG_GETS. */
static uint64_t run_long(struct peer_reader *r, uint64_t from, uint64_t n) {
    struct lmdb_reader *own = r->own;
    uint64_t sum = 0;
    for (uint64_t i = from; i < from + n; i += LONG_GETS) {
        r->bad += mdb_txn_renew(own->txn) != 0;
        sum += run_lookups(r, i, LONG_GETS);
        mdb_txn_reset(own->txn);
    }
    return sum;
}

static int get_one(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    return get(r, key, out, r->value_size);
}

/* ---- puts -------------------------------------------------------------------------------------------------------- */

static int put_some(struct peer_reader *r, MDB_env *env, MDB_dbi dbi, uint64_t from, uint64_t n) {
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc != 0) {
        return rc;
    }
    for (uint64_t i = from; i < from + n && rc == 0; i++) {
        MDB_val k = { PEER_KEY, (void *)peer_key(r, i) }, v = { r->value_size, r->value };
        memcpy(r->value, &i, sizeof(i));
        rc = mdb_put(txn, dbi, &k, &v, 0);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static uint64_t run_put(struct peer_reader *r, uint64_t from, uint64_t n) {
    struct lmdb *l = r->peer;
    for (uint64_t i = from; i < from + n; i += PUTS) {
        r->bad += put_some(r, l->env, l->dbi, i, PUTS) != 0;
    }
    return 0;
}

static uint64_t run_put_map(struct peer_reader *r, uint64_t from, uint64_t n) {
    struct lmdb *l = r->peer;
    for (uint64_t i = from; i < from + n; i += PUTS) {
        r->bad += put_some(r, l->map_env, l->map_dbi, i, PUTS) != 0;
    }
    return 0;
}

/* ---- set-up ------------------------------------------------------------------------------------------------------ */

/* Pages of 4 KiB hold three values of 1 KiB; tree, free list and copies of pages on top. */
static uint64_t table_bytes(const struct peer_case *c) {
    uint64_t each = c->options->keys * (c->options->value_size + PEER_KEY + 16) * 3 / 2 + (UINT64_C(8) << 20);
    return c->for_puts ? 2 * each : each;
}

struct order { /* keys differ in their first eight bytes */
    uint64_t head;
    uint64_t i;
};

static int by_head(const void *a, const void *b) {
    uint64_t x = ((const struct order *)a)->head, y = ((const struct order *)b)->head;
    return (x > y) - (x < y);
}

static struct order *sorted_keys(const struct bench_workload *w) {
    struct order *all = malloc(w->keys * sizeof(*all));
    for (uint64_t i = 0; all != NULL && i < w->keys; i++) {
        all[i] = (struct order){ be64toh(peer_head(bench_workload_key(w, i))), i };
    }
    if (all != NULL) {
        qsort(all, w->keys, sizeof(*all), by_head);
    }
    return all;
}

static int add_some(const struct bench_workload *w, MDB_env *env, MDB_dbi *dbi, const struct order *all, uint64_t n) {
    uint8_t value[PEER_VALUE_MAX + 8];
    MDB_txn *txn = NULL;
    int rc = mdb_txn_begin(env, NULL, 0, &txn);
    if (rc != 0) {
        return rc;
    }
    rc = mdb_dbi_open(txn, NULL, 0, dbi);
    for (uint64_t k = 0; k < n && rc == 0; k++) {
        MDB_val key = { PEER_KEY, (void *)bench_workload_key(w, all[k].i) }, v = { w->value_size, value };
        bench_workload_value(w, all[k].i, 0, value);
        rc = mdb_put(txn, *dbi, &key, &v, MDB_APPEND);
    }
    if (rc != 0) {
        mdb_txn_abort(txn);
        return rc;
    }
    return mdb_txn_commit(txn);
}

static int make_env(struct peer_case *c, MDB_env **env, MDB_dbi *dbi, unsigned flags, const struct order *all) {
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    const struct bench_workload *w = c->workload;
    char path[4096], lock[sizeof(path) + 8];
    snprintf(path, sizeof(path), "%s/tidemark-peers-%ld-%u.mdb", dir, (long)getpid(), flags & MDB_WRITEMAP ? 1 : 0);
    snprintf(lock, sizeof(lock), "%s-lock", path);
    int rc = mdb_env_create(env);
    if (rc != 0) {
        *env = NULL;
        return peer_failed(c, "mdb_env_create: %s", mdb_strerror(rc));
    }
    mdb_env_set_mapsize(*env, 2 * table_bytes(c) + (UINT64_C(64) << 20));
    rc = mdb_env_open(*env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOMEMINIT | flags, 0600);
    unlink(path);
    unlink(lock);
    for (uint64_t i = 0; rc == 0 && i < w->keys && !*c->stop; i += FILL_PUTS) {
        rc = add_some(w, *env, dbi, all + i, w->keys - i < FILL_PUTS ? w->keys - i : FILL_PUTS);
    }
    return rc != 0 ? peer_failed(c, "filling %s: %s", path, mdb_strerror(rc)) : *c->stop ? PEER_STOPPED : 0;
}

static int fill(struct peer_case *c, void **peer) {
    struct lmdb *l = calloc(1, sizeof(*l));
    struct order *all = sorted_keys(c->workload);
    *peer = l;
    int rc = l == NULL || all == NULL ? peer_failed(c, "no memory") : 0;
    rc = rc != 0 ? rc : make_env(c, &l->env, &l->dbi, 0, all);
    if (rc == 0 && c->for_puts) {
        rc = make_env(c, &l->map_env, &l->map_dbi, MDB_WRITEMAP, all);
    }
    free(all);
    return rc;
}

static void end(void *peer) {
    struct lmdb *l = peer;
    if (l == NULL) {
        return;
    }
    if (l->env != NULL) {
        mdb_env_close(l->env);
    }
    if (l->map_env != NULL) {
        mdb_env_close(l->map_env);
    }
    free(l);
}

static int open_reader(struct peer_reader *r, uint32_t turn) {
    struct lmdb_reader *own = calloc(1, sizeof(*own));
    (void)turn;
    r->own = own;
    if (own == NULL || mdb_txn_begin(((struct lmdb *)r->peer)->env, NULL, MDB_RDONLY, &own->txn) != 0) {
        return -1;
    }
    mdb_txn_reset(own->txn);
    return 0;
}

static void close_reader(struct peer_reader *r) {
    struct lmdb_reader *own = r->own;
    if (own != NULL && own->txn != NULL) {
        mdb_txn_abort(own->txn);
    }
    free(own);
    r->own = NULL;
}

static uint64_t used(void *peer) {
    const struct lmdb *l = peer;
    MDB_envinfo info;
    MDB_stat stat;
    if (mdb_env_info(l->env, &info) != 0 || mdb_env_stat(l->env, &stat) != 0) {
        return 0;
    }
    return (info.me_last_pgno + 1) * (uint64_t)stat.ms_psize;
}

const struct peer peer_lmdb = {
    .name = "lmdb",
    .gets = { { "lmdb", "LMDB, a transaction for each get", run_get, PEER_CHUNK },
              { "lmdb_1000", "LMDB, a transaction for 1,000", run_long, LONG_GETS } },
    .puts = { { "lmdb", "LMDB, 100 puts a transaction", run_put, PUTS },
              { "lmdb_map", "the same with MDB_WRITEMAP", run_put_map, PUTS } },
    .pairs = 1,
    .used = used,
    PEER_FUNCTIONS,
};
#else
const struct peer peer_lmdb = { .name = "lmdb", .package = "liblmdb-dev" };
#endif
