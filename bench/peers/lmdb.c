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

/* ---- gets: a reader's own is a transaction that is reset between uses --------------------------------------------- */

PEER_INLINE int lookup(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    MDB_val k = { PEER_KEY, (void *)key }, v;
    if (mdb_get(r->own, ((struct lmdb *)r->peer)->dbi, &k, &v) != 0 || v.mv_size != value_size) {
        return -1;
    }
    memcpy(out, v.mv_data, value_size);
    return 0;
}

PEER_INLINE int get(struct peer_reader *r, const uint8_t *key, uint8_t *out, size_t value_size) {
    if (mdb_txn_renew(r->own) != 0) {
        return -1;
    }
    int rc = lookup(r, key, out, value_size);
    mdb_txn_reset(r->own);
    return rc;
}

PEER_ROW(run_get, peer_gets, get)
PEER_ROW(run_lookups, peer_gets, lookup)

/* n is a multiple of LONG_GETS. */
static uint64_t run_long(struct peer_reader *r, uint64_t from, uint64_t n) {
    uint64_t sum = 0;
    for (uint64_t i = from; i < from + n; i += LONG_GETS) {
        r->bad += mdb_txn_renew(r->own) != 0;
        sum += run_lookups(r, i, LONG_GETS);
        mdb_txn_reset(r->own);
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
    struct order *all = bench_alloc(w->keys, sizeof(*all));
    for (uint64_t i = 0; i < w->keys; i++) {
        all[i] = (struct order){ be64toh(peer_head(bench_workload_key(w, i))), i };
    }
    qsort(all, w->keys, sizeof(*all), by_head);
    return all;
}

static void must(int rc, const char *what) {
    if (rc != 0) {
        bench_fail("LMDB, %s: %s", what, mdb_strerror(rc));
    }
}

static void add_some(const struct bench_workload *w, MDB_env *env, MDB_dbi *dbi, const struct order *all, uint64_t n) {
    uint8_t value[PEER_VALUE_MAX + 8];
    MDB_txn *txn;
    must(mdb_txn_begin(env, NULL, 0, &txn), "beginning to fill");
    must(mdb_dbi_open(txn, NULL, 0, dbi), "opening the table");
    for (uint64_t k = 0; k < n; k++) {
        MDB_val key = { PEER_KEY, (void *)bench_workload_key(w, all[k].i) }, v = { w->value_size, value };
        bench_workload_value(w, all[k].i, 0, value);
        must(mdb_put(txn, *dbi, &key, &v, MDB_APPEND), "filling");
    }
    must(mdb_txn_commit(txn), "filling");
}

static void make_env(struct peer_case *c, MDB_env **env, MDB_dbi *dbi, unsigned flags, const struct order *all) {
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp";
    const struct bench_workload *w = c->workload;
    char path[4096], lock[sizeof(path) + 8];
    snprintf(path, sizeof(path), "%s/tidemark-peers-%ld-%u.mdb", dir, (long)getpid(), flags & MDB_WRITEMAP ? 1 : 0);
    snprintf(lock, sizeof(lock), "%s-lock", path);
    must(mdb_env_create(env), "mdb_env_create");
    mdb_env_set_mapsize(*env, 2 * table_bytes(c) + (UINT64_C(64) << 20));
    int rc =
        mdb_env_open(*env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOSYNC | MDB_NOMETASYNC | MDB_NOMEMINIT | flags, 0600);
    unlink(path);
    unlink(lock);
    must(rc, path);
    for (uint64_t i = 0; i < w->keys; i += FILL_PUTS) {
        bench_go_on();
        add_some(w, *env, dbi, all + i, w->keys - i < FILL_PUTS ? w->keys - i : FILL_PUTS);
    }
}

static void fill(struct peer_case *c, void **peer) {
    struct lmdb *l = bench_alloc(1, sizeof(*l));
    struct order *all = sorted_keys(c->workload);
    *peer = l;
    make_env(c, &l->env, &l->dbi, 0, all);
    if (c->for_puts) {
        make_env(c, &l->map_env, &l->map_dbi, MDB_WRITEMAP, all);
    }
    free(all);
}

static void end(void *peer) {
    struct lmdb *l = peer;
    mdb_env_close(l->env);
    if (l->map_env != NULL) {
        mdb_env_close(l->map_env);
    }
    free(l);
}

static void open_reader(struct peer_reader *r, uint32_t turn) {
    MDB_txn *txn;
    (void)turn;
    must(mdb_txn_begin(((struct lmdb *)r->peer)->env, NULL, MDB_RDONLY, &txn), "opening a reader");
    mdb_txn_reset(txn);
    r->own = txn;
}

static void close_reader(struct peer_reader *r) {
    mdb_txn_abort(r->own);
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
