/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bars that peers can tell of, each made of two results of the same repetitions. */
#include <stdio.h>
#include <string.h>

#include "bench/peers/stage.h"

static const struct {
    const char *id;
    const char *what;
    const char *unit;
    enum bench_sense sense;
    double bar;
    enum bench_made made;
    const char *a;
    const char *b;
} bars[] = {
    { "get.10k.plain", "get, 10 k keys: time over that of the plain table", "x", BENCH_AT_MOST, 2.0, BENCH_RATIO,
      "get.10k.uniform.tide", "get.10k.uniform.plain" },
    { "get.10k.lfht", "get, 10 k keys: cds_lfht's time over ours", "x", BENCH_AT_LEAST, 1.5, BENCH_RATIO,
      "get.10k.uniform.lfht", "get.10k.uniform.tide" },
    { "get.10k.lmdb", "get, 10 k keys: LMDB's time over ours", "x", BENCH_AT_LEAST, 10.0, BENCH_RATIO,
      "get.10k.uniform.lmdb", "get.10k.uniform.tide" },
    { "get.1M.lfht", "get, 1 M keys: cds_lfht's time over ours", "x", BENCH_AT_LEAST, 2.0, BENCH_RATIO,
      "get.1M.uniform.lfht", "get.1M.uniform.tide" },
    { "get.1M.lmdb", "get, 1 M keys: LMDB's time over ours", "x", BENCH_AT_LEAST, 6.0, BENCH_RATIO,
      "get.1M.uniform.lmdb", "get.1M.uniform.tide" },
    { "get.1M.plain", "get, 1 M keys: time over that of the plain table", "x", BENCH_AT_MOST, 1.5, BENCH_RATIO,
      "get.1M.uniform.tide", "get.1M.uniform.plain" },
    { "mget.1M.lfht", "mget of 32, 1 M keys: cds_lfht's time, one by one, over ours", "x", BENCH_AT_LEAST, 8.0,
      BENCH_RATIO, "get.1M.uniform.lfht", "get.1M.uniform.tide_mget" },
    { "mget.10M.lfht", "mget of 32, 10 M keys: cds_lfht's time, one by one, over ours", "x", BENCH_AT_LEAST, 5.0,
      BENCH_RATIO, "get.10M.uniform.lfht", "get.10M.uniform.tide_mget" },
    { "mget.10k.plain", "mget of 32, 10 k keys: time over that of the plain table's batches", "x", BENCH_AT_MOST, 1.0,
      BENCH_RATIO, "get.10k.uniform.tide_mget", "get.10k.uniform.plain_batch" },
    { "mget.1M.plain", "mget of 32, 1 M keys: time over that of the plain table's batches", "x", BENCH_AT_MOST, 1.0,
      BENCH_RATIO, "get.1M.uniform.tide_mget", "get.1M.uniform.plain_batch" },
    { "mget.10M.plain", "mget of 32, 10 M keys: time over that of the plain table's batches", "x", BENCH_AT_MOST, 1.0,
      BENCH_RATIO, "get.10M.uniform.tide_mget", "get.10M.uniform.plain_batch" },
    { "other.10k", "get from another process, 10 k keys: time over that in process", "x", BENCH_AT_MOST, 1.3,
      BENCH_RATIO, "get.10k.uniform.tide_other", "get.10k.uniform.tide" },
    { "other.1M", "get from another process, 1 M keys: time over that in process", "x", BENCH_AT_MOST, 1.3, BENCH_RATIO,
      "get.1M.uniform.tide_other", "get.1M.uniform.tide" },
    { "other.10k.lmdb", "get from another process, 10 k keys: LMDB's time over ours", "x", BENCH_AT_LEAST, 8.0,
      BENCH_RATIO, "get.10k.uniform.lmdb", "get.10k.uniform.tide_other" },
    { "other.1M.lmdb", "get from another process, 1 M keys: LMDB's time over ours", "x", BENCH_AT_LEAST, 8.0,
      BENCH_RATIO, "get.1M.uniform.lmdb", "get.1M.uniform.tide_other" },
    { "pairs.10k", "two readers, two replicas, 10 k keys: scaling over the control loop's", "x", BENCH_AT_LEAST, 0.95,
      BENCH_ALONE, "pairs.10k.tide", NULL },
    { "pairs.1M", "two readers, two replicas, 1 M keys: scaling over the control loop's", "x", BENCH_AT_LEAST, 0.95,
      BENCH_ALONE, "pairs.1M.tide", NULL },
    { "pairs.10k.processes",
      "two processes, a replica and a reader in each, 10 k keys: scaling over the control loop's", "x", BENCH_AT_LEAST,
      0.95, BENCH_ALONE, "pairs.10k.tide_processes", NULL },
    { "beside.10k", "get with a writer at 100,000/s, 10 k keys, follower's replica: speed over that without", "x",
      BENCH_AT_LEAST, 0.85, BENCH_ALONE, "beside.10k.tide", NULL },
    { "beside.1M", "get with a writer at 100,000/s, 1 M keys, follower's replica: speed over that without", "x",
      BENCH_AT_LEAST, 0.85, BENCH_ALONE, "beside.1M.tide", NULL },
    { "beside.10k.leader", "get with a writer at 100,000/s, 10 k keys, leader's replica: speed over that without", "x",
      BENCH_AT_LEAST, 0.85, BENCH_ALONE, "beside.10k.tide_leader", NULL },
    { "beside.1M.leader", "get with a writer at 100,000/s, 1 M keys, leader's replica: speed over that without", "x",
      BENCH_AT_LEAST, 0.85, BENCH_ALONE, "beside.1M.tide_leader", NULL },
    { "contract.10k", "bound, fence, session and reason, 10 k keys: on top of a bare lookup", "ns", BENCH_AT_MOST, 3.0,
      BENCH_LESS, "get.10k.uniform.tide", "get.10k.uniform.tide_section" },
    { "put.10k.rate", "put in the leader's process, 10 k keys", "1/s", BENCH_AT_LEAST, 10e6, BENCH_RATE,
      "put.10k.uniform.tide", NULL },
    { "put.10k.lfht", "put, 10 k keys: cds_lfht's time with call_rcu over ours", "x", BENCH_AT_LEAST, 3.0, BENCH_RATIO,
      "put.10k.uniform.lfht", "put.10k.uniform.tide" },
    { "put.10k.lmdb", "put, 10 k keys: LMDB's time, 100 a transaction, over ours", "x", BENCH_AT_LEAST, 8.0,
      BENCH_RATIO, "put.10k.uniform.lmdb", "put.10k.uniform.tide" },
};

static bool is_tide(const char *id) {
    const char *row = id != NULL ? strrchr(id, '.') : NULL;
    return row != NULL && strcmp(row, ".tide") == 0;
}

void peer_bars(struct bench_figures *f, bool all) {
    for (unsigned k = 0; k < sizeof(bars) / sizeof(bars[0]); k++) {
        bool two = bars[k].b != NULL;
        uint32_t a = bench_figures_find(f, bars[k].a), b = two ? bench_figures_find(f, bars[k].b) : BENCH_NO_FIGURE;
        if (!all && (a == BENCH_NO_FIGURE || (two && b == BENCH_NO_FIGURE))) {
            continue;
        }
        /* The line stands where Tidemark's own row would have to end. Bars of its other rows would only hide one another. */
        uint32_t ours = !two || is_tide(bars[k].a) ? a : is_tide(bars[k].b) ? b : BENCH_NO_FIGURE;
        bench_figures_bar(f, bars[k].id, bars[k].what, bars[k].unit, bars[k].sense, bars[k].bar, bars[k].made, a, b,
                          ours);
    }
}
