/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bars that peers can tell of, each made of two results of the same repetitions. */
#include <stdio.h>
#include <string.h>

#include "bench/peers/stage.h"

/* Of two rows of one group of gets: the time of the first over that of the second. */
#define RATIO(id, sense, bar, what, group, a, b)                                                                       \
    { id, what, "x", sense, bar, BENCH_RATIO, "get." group ".uniform." a, "get." group ".uniform." b }
#define MOST(id, ...) RATIO(id, BENCH_AT_MOST, __VA_ARGS__)
#define LEAST(id, ...) RATIO(id, BENCH_AT_LEAST, __VA_ARGS__)
/* Of a row that is a gain itself. */
#define GAIN(id, bar, what, a)                                                                                         \
    { id, what, "x", BENCH_AT_LEAST, bar, BENCH_ALONE, a, NULL }

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
    MOST("get.10k.plain", 2.0, "get, 10 k keys: time over that of the plain table", "10k", "tide", "plain"),
    LEAST("get.10k.lfht", 1.5, "get, 10 k keys: cds_lfht's time over ours", "10k", "lfht", "tide"),
    LEAST("get.10k.lmdb", 10.0, "get, 10 k keys: LMDB's time over ours", "10k", "lmdb", "tide"),
    LEAST("get.1M.lfht", 2.0, "get, 1 M keys: cds_lfht's time over ours", "1M", "lfht", "tide"),
    LEAST("get.1M.lmdb", 6.0, "get, 1 M keys: LMDB's time over ours", "1M", "lmdb", "tide"),
    MOST("get.1M.plain", 1.5, "get, 1 M keys: time over that of the plain table", "1M", "tide", "plain"),
    LEAST("mget.1M.lfht", 8.0, "mget of 32, 1 M keys: cds_lfht's time, one by one, over ours", "1M", "lfht",
          "tide_mget"),
    LEAST("mget.10M.lfht", 5.0, "mget of 32, 10 M keys: cds_lfht's time, one by one, over ours", "10M", "lfht",
          "tide_mget"),
    MOST("mget.10k.plain", 1.0, "mget of 32, 10 k keys: time over that of the plain table's batches", "10k",
         "tide_mget", "plain_batch"),
    MOST("mget.1M.plain", 1.0, "mget of 32, 1 M keys: time over that of the plain table's batches", "1M", "tide_mget",
         "plain_batch"),
    MOST("mget.10M.plain", 1.0, "mget of 32, 10 M keys: time over that of the plain table's batches", "10M",
         "tide_mget", "plain_batch"),
    MOST("other.10k", 1.3, "get from another process, 10 k keys: time over that in process", "10k", "tide_other",
         "tide"),
    MOST("other.1M", 1.3, "get from another process, 1 M keys: time over that in process", "1M", "tide_other", "tide"),
    LEAST("other.10k.lmdb", 8.0, "get from another process, 10 k keys: LMDB's time over ours", "10k", "lmdb",
          "tide_other"),
    LEAST("other.1M.lmdb", 6.0, "get from another process, 1 M keys: LMDB's time over ours", "1M", "lmdb",
          "tide_other"),
    LEAST("get.1M.v1024.ckht", 1.0, "get, 1 M keys of 1 KiB: ck_ht's time over ours", "1M.v1024", "ckht", "tide"),
    LEAST("get.1M.v1024.lfht", 1.0, "get, 1 M keys of 1 KiB: cds_lfht's time over ours", "1M.v1024", "lfht", "tide"),
    LEAST("get.1M.v1024.lmdb", 1.0, "get, 1 M keys of 1 KiB: LMDB's time over ours", "1M.v1024", "lmdb", "tide"),
    LEAST("get.1M.v1024.redis", 1.0, "get, 1 M keys of 1 KiB: Redis' time, in a pipeline, over ours", "1M.v1024",
          "redis_100", "tide"),
    LEAST("get.10M.ckht", 1.2, "get, 10 M keys: ck_ht's time over ours", "10M", "ckht", "tide"),
    LEAST("get.10M.lfht", 1.2, "get, 10 M keys: cds_lfht's time over ours", "10M", "lfht", "tide"),
    GAIN("pairs.10k", 0.95, "two readers, two replicas, 10 k keys: scaling over the control loop's", "pairs.10k.tide"),
    GAIN("pairs.1M", 0.95, "two readers, two replicas, 1 M keys: scaling over the control loop's", "pairs.1M.tide"),
    GAIN("pairs.10k.processes", 0.95,
         "two processes, a replica and a reader in each, 10 k keys: scaling over the control loop's",
         "pairs.10k.tide_processes"),
    GAIN("beside.10k", 0.85, "get with a writer at 100,000/s, 10 k keys, follower's replica: speed over that without",
         "beside.10k.tide"),
    GAIN("beside.1M", 0.85, "get with a writer at 100,000/s, 1 M keys, follower's replica: speed over that without",
         "beside.1M.tide"),
    GAIN("beside.10k.leader", 0.85,
         "get with a writer at 100,000/s, 10 k keys, leader's replica: speed over that without",
         "beside.10k.tide_leader"),
    GAIN("beside.1M.leader", 0.85,
         "get with a writer at 100,000/s, 1 M keys, leader's replica: speed over that without",
         "beside.1M.tide_leader"),
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
        /* The line stands where Tidemark's own row would have to end. Bars of its other rows would only hide one
         * another. */
        uint32_t ours = !two || is_tide(bars[k].a) ? a : is_tide(bars[k].b) ? b : BENCH_NO_FIGURE;
        bench_figures_bar(f, bars[k].id, bars[k].what, bars[k].unit, bars[k].sense, bars[k].bar, bars[k].made, a, b,
                          ours);
    }
}
