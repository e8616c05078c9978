/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many bytes does a key take beyond itself and its value? */
#include <stdio.h>
#include <string.h>

#include "bench/lib/flow.h"
#include "bench/lib/program.h"
#include "bench/lib/rng.h"
#include "bench/lib/setup.h"

#define BAR_BYTES 48.0
#define BAR_KEYS UINT64_C(1000000)
#define KEY_SIZE 16u
#define VALUE_SIZE 64u
#define PAYLOAD (KEY_SIZE + VALUE_SIZE)
#define OVERWRITES 3u   /* of each key, on average */
#define MOST_SHARE 0.25 /* of the memory that is there: a count that would need more is left out */
#define COUNTS 3u
#define PATIENCE_NS UINT64_C(60000000000)

enum row { ROW_PRESIZED, ROW_GROWN, ROW_FOLLOWER, ROW_OVERWRITTEN, ROW_FOLLOWER_OVERWRITTEN, ROW_FULL, ROWS };

static const struct bench_name rows[ROWS] = {
    { "presized", "tide: filled, the number of keys told beforehand" },
    { "grown", "tide: filled, grown from empty" },
    { "follower", "tide: the same, a follower's table" },
    { "overwritten", "tide: grown, then each key overwritten 3 times" },
    { "follower_overwritten", "tide: the same, a follower's table" },
    { "full", "tide: a table filled until it is full, its whole budget" },
};

static const struct {
    const char *id, *group, *title;
    bench_bar_fn *bar;
    double at;
} flows[BENCH_FLOWS] = {
    { "memory.mixed.lost", "memory, a table of 32 MiB: share of its budget that is not payload",
      "tide: filled with values of 100 to 2,099 bytes", bench_at_most, 0.15 },
    { "memory.shifted.kept", "memory, sizes that change: payload over that of a fresh table",
      "tide: 100 to 499 bytes, then 100 to 2,099, the oldest deleted", bench_at_least, 0.85 },
    { "memory.deleted.kept", "memory, sizes that change: payload over that of a fresh table",
      "tide: full of 64 bytes, all deleted, then 1,000", bench_at_least, 0.9 },
    { "memory.shifted.refused", "memory, a full table: share of the puts that it refuses",
      "tide: after 1,000 of the oldest keys were deleted for it", bench_at_most, 0.0 },
    { "memory.overwrite.refused", "memory, a full table: share of the puts that it refuses",
      "tide: overwrites with the same size", bench_at_most, 0.0 },
};

static struct {
    uint32_t flows[BENCH_FLOWS];
    uint64_t most;
    uint64_t keys[COUNTS];
    uint32_t counts;
    uint32_t rows[COUNTS][ROWS];
    uint32_t worst[COUNTS]; /* used bytes after overwriting: the larger of leader's and follower's */
} plan = { .most = 1000000 };

struct pair {
    struct tide *d;
    struct tide_token last;
};

static int put(struct pair *p, uint64_t i, uint64_t version) {
    uint64_t key[2], value[VALUE_SIZE / 8] = { i, version };
    bench_key(key, i);
    return tide_put(p->d, NULL, key, sizeof(key), value, sizeof(value), &p->last);
}

static struct pair open_pair(uint64_t table_bytes, uint64_t expected, uint32_t followers) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, expected, UINT64_C(1) << 20, table_bytes);
    return (struct pair){ .d = bench_domain(NULL, &opts, followers) };
}

/* Bytes of a replica's table in use, less what keys and values take themselves, for each key. */
static double look(const struct pair *p, uint32_t id, uint64_t keys) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    int rc = tide_replica_info(p->d, id, &info);
    bench_must(rc == 0 && info.keys != keys ? TIDE_ERR_CORRUPT : rc, "looking at a replica");
    return (double)info.table_used_bytes / (double)keys - PAYLOAD;
}

/* n keys in order, or (overwriting) at random; until the follower has them. */
static void write_many(struct pair *p, uint64_t keys, uint64_t n, bool overwrite) {
    struct bench_rng rng;
    bench_rng_init(&rng, keys);
    for (uint64_t i = 0; i < n; i++) {
        bench_must(overwrite ? put(p, bench_rng_below(&rng, keys), i + 1) : put(p, i, 0), "putting");
        bench_go_on();
    }
    bench_must(tide_wait_applied(p->d, &p->last, 2, PATIENCE_NS), "waiting for the follower");
}

static uint64_t budget(uint64_t keys) {
    return (UINT64_C(16) << 20) + keys * (PAYLOAD + 80);
}

static void fill_presized(uint64_t keys, double out[ROWS]) {
    struct pair p = open_pair(budget(keys), keys, 1);
    write_many(&p, keys, keys, false);
    out[ROW_PRESIZED] = look(&p, 0, keys);
    tide_close(p.d);
}

static void fill_grown(uint64_t keys, double out[ROWS]) {
    struct pair p = open_pair(budget(keys), 0, 1);
    write_many(&p, keys, keys, false);
    out[ROW_GROWN] = look(&p, 0, keys);
    out[ROW_FOLLOWER] = look(&p, 1, keys);
    write_many(&p, keys, keys * OVERWRITES, true);
    out[ROW_OVERWRITTEN] = look(&p, 0, keys);
    out[ROW_FOLLOWER_OVERWRITTEN] = look(&p, 1, keys);
    tide_close(p.d);
}

/* How many keys does a budget hold? All of the budget counts, also the part that is kept back so that overwriting
 * always works. */
static void fill_full(uint64_t keys, double out[ROWS]) {
    struct pair p = open_pair((UINT64_C(1) << 20) + keys * (PAYLOAD + 48), 0, 0);
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    int rc = 0;
    for (uint64_t n = 0; rc == 0 && n < keys * 4; n++) {
        rc = put(&p, n, 0);
        bench_go_on();
    }
    bench_must(rc == 0 ? TIDE_ERR_INVALID : rc != TIDE_ERR_FULL ? rc : 0, "filling a table until it is full");
    bench_must(tide_replica_info(p.d, 0, &info), "looking at a replica");
    out[ROW_FULL] = (double)info.table_bytes / (double)info.keys - PAYLOAD;
    tide_close(p.d);
}

static void repeat(void) {
    for (uint32_t c = 0; c < plan.counts; c++) {
        double out[ROWS] = { 0.0 };
        bench_progress("%s keys", bench_count(plan.keys[c]));
        fill_presized(plan.keys[c], out);
        fill_grown(plan.keys[c], out);
        fill_full(plan.keys[c], out);
        for (int row = 0; row < ROWS; row++) {
            bench_set(plan.rows[c][row], out[row]);
        }
        double leader = out[ROW_OVERWRITTEN], follower = out[ROW_FOLLOWER_OVERWRITTEN];
        bench_set(plan.worst[c], leader > follower ? leader : follower);
    }
    double shares[BENCH_FLOWS] = { 0.0 };
    bench_progress("sizes that change");
    bench_flow_measure(shares);
    for (int k = 0; k < BENCH_FLOWS; k++) {
        bench_set(plan.flows[k], shares[k]);
    }
}

static void add_rows(void) {
    uint32_t used = BENCH_NO_ROW, full = BENCH_NO_ROW;
    for (uint32_t c = 0; c < plan.counts; c++) {
        const char *group =
            bench_text("memory, %s keys: bytes for each beyond key and value", bench_count(plan.keys[c]));
        bench_rows(plan.rows[c], rows, ROWS, bench_text("memory.%llu", (unsigned long long)plan.keys[c]), group, "B");
        plan.worst[c] = bench_hidden_row(group);
        if (plan.keys[c] == BAR_KEYS) {
            used = plan.worst[c];
            full = plan.rows[c][ROW_FULL];
        }
    }
    bench_at_most("memory.used", "memory, 1 M keys: bytes for each beyond key and value, after overwriting", "B",
                  BAR_BYTES, used, BENCH_NO_ROW);
    bench_at_most("memory.full", "memory, 1 M keys: the same, of a full table's whole budget", "B", BAR_BYTES, full,
                  BENCH_NO_ROW);
    for (int k = 0; k < BENCH_FLOWS; k++) {
        const char *what = bench_text("%s; %s", flows[k].group, flows[k].title + strlen("tide: "));
        plan.flows[k] = bench_row(flows[k].id, flows[k].group, flows[k].title, "share");
        bench->figures.figures[plan.flows[k]].more = flows[k].bar == bench_at_least;
        flows[k].bar(flows[k].id, what, "share", flows[k].at, plan.flows[k], BENCH_NO_ROW);
    }
}

/* Those that there is memory for. */
static void choose_counts(void) {
    static const uint64_t wanted[COUNTS] = { 10000, 1000000, 10000000 };
    for (uint32_t i = 0; i < COUNTS && wanted[i] <= plan.most; i++) {
        if (2.0 * (double)budget(wanted[i]) < MOST_SHARE * (double)bench->machine.memory_bytes) {
            plan.keys[plan.counts++] = wanted[i];
        } else {
            fprintf(stderr, "memory: %llu keys are left out: too little memory\n", (unsigned long long)wanted[i]);
        }
    }
}

static void prepare(void) {
    choose_counts();
    add_rows();
}

BENCH_NOTE("keys of %u bytes, values of %u. Buckets, overflow buckets and everything ever carved for nodes, so slack "
           "is in it; a table's file is reserved in full, so its resident bytes are its budget (last row) however "
           "few keys it holds. LMDB's figure: bench/peers",
           KEY_SIZE, VALUE_SIZE)

BENCH_MAIN(.name = "memory", .repetitions = 2, .note = note,
           BENCH_NUMBERS({ "most", "keys; of 10k, 1M and 10M those up to it", &plan.most, 10000, 10000000, 10000 }),
           .about = "Bytes that a key takes in a replica's table beyond key and value: after filling, after heavy\n"
                    "overwriting, in the leader's and in a follower's table, and of a table's whole budget when it\n"
                    "holds as many keys as it can. And what a table holds when sizes differ, or change.\n")
