/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many bytes does a key take beyond itself and its value? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/rng.h"
#include "bench/lib/run.h"
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

static const struct {
    const char *id;
    const char *title;
} rows[ROWS] = {
    { "presized", "tide: filled, the number of keys told beforehand" },
    { "grown", "tide: filled, grown from empty" },
    { "follower", "tide: the same, a follower's table" },
    { "overwritten", "tide: grown, then each key overwritten 3 times" },
    { "follower_overwritten", "tide: the same, a follower's table" },
    { "full", "tide: a table filled until it is full, its whole budget" },
};

struct memory {
    struct bench_run run;
    uint64_t most;
    uint64_t keys[COUNTS];
    uint32_t counts;
    double *bytes[COUNTS][ROWS];
    double *worst[COUNTS]; /* used bytes after overwriting: the larger of leader's and follower's */
};

struct pair {
    struct tide *d;
    struct tide_token last;
};

static void make_key(uint64_t out[2], uint64_t i) {
    out[0] = bench_mix64(i);
    out[1] = UINT64_C(0x6b6b6b6b6b6b6b6b);
}

static int put(struct pair *p, uint64_t i, uint64_t version) {
    uint64_t key[2], value[VALUE_SIZE / 8] = { i, version };
    make_key(key, i);
    return tide_put(p->d, NULL, key, sizeof(key), value, sizeof(value), &p->last);
}

static int open_pair(struct memory *m, struct pair *p, uint64_t table_bytes, uint64_t expected, int follower) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_replica_opts replica = TIDE_REPLICA_OPTS_INIT;
    opts.table_bytes = table_bytes;
    opts.expected_keys = expected;
    opts.ring_bytes = UINT64_C(1) << 20;
    p->d = NULL;
    if (bench_run_domain(&m->run, &p->d, &opts) != 0) {
        return -1;
    }
    replica.role = TIDE_LEADER;
    replica.id = 0;
    int rc = tide_replica_start(p->d, &replica, NULL);
    replica.role = TIDE_FOLLOWER;
    replica.id = 1;
    rc = rc == 0 && follower ? tide_replica_start(p->d, &replica, NULL) : rc;
    return rc != 0 ? bench_run_failed(&m->run, "starting replicas", rc) : 0;
}

/* Bytes of a replica's table in use, less what keys and values take themselves, for each key. */
static int look(struct memory *m, struct pair *p, uint32_t id, uint64_t keys, double *out) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    int rc = tide_replica_info(p->d, id, &info);
    if (rc != 0 || info.keys != keys) {
        return bench_run_failed(&m->run, "looking at a replica", rc != 0 ? rc : TIDE_ERR_CORRUPT);
    }
    *out = (double)info.table_used_bytes / (double)keys - PAYLOAD;
    return 0;
}

/* Keys from `from` on in order, or (overwriting) at random. */
static int write_many(struct memory *m, struct pair *p, uint64_t keys, uint64_t n, int overwrite) {
    struct bench_rng rng;
    bench_rng_init(&rng, keys);
    for (uint64_t i = 0; i < n; i++) {
        int rc = overwrite ? put(p, bench_rng_below(&rng, keys), i + 1) : put(p, i, 0);
        if (rc != 0) {
            return bench_run_failed(&m->run, "putting", rc);
        }
        if (bench_stop) {
            return 1;
        }
    }
    int rc = tide_wait_applied(p->d, &p->last, 2, PATIENCE_NS);
    return rc != 0 ? bench_run_failed(&m->run, "waiting for the follower", rc) : 0;
}

static uint64_t budget(uint64_t keys) {
    return (UINT64_C(16) << 20) + keys * (PAYLOAD + 80);
}

static int fill_presized(struct memory *m, uint64_t keys, double out[ROWS]) {
    struct pair p;
    int rc = open_pair(m, &p, budget(keys), keys, 1);
    rc = rc != 0 ? rc : write_many(m, &p, keys, keys, 0);
    rc = rc != 0 ? rc : look(m, &p, 0, keys, &out[ROW_PRESIZED]);
    tide_close(p.d);
    return rc;
}

static int fill_grown(struct memory *m, uint64_t keys, double out[ROWS]) {
    struct pair p;
    int rc = open_pair(m, &p, budget(keys), 0, 1);
    rc = rc != 0 ? rc : write_many(m, &p, keys, keys, 0);
    rc = rc != 0 ? rc : look(m, &p, 0, keys, &out[ROW_GROWN]);
    rc = rc != 0 ? rc : look(m, &p, 1, keys, &out[ROW_FOLLOWER]);
    rc = rc != 0 ? rc : write_many(m, &p, keys, keys * OVERWRITES, 1);
    rc = rc != 0 ? rc : look(m, &p, 0, keys, &out[ROW_OVERWRITTEN]);
    rc = rc != 0 ? rc : look(m, &p, 1, keys, &out[ROW_FOLLOWER_OVERWRITTEN]);
    tide_close(p.d);
    return rc;
}

/* How many keys does a budget hold? Everything counts here: what is kept back so that overwriting always works, too. */
static int fill_full(struct memory *m, uint64_t keys, double out[ROWS]) {
    struct pair p;
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    uint64_t n = 0, most = keys * 4;
    int rc = open_pair(m, &p, (UINT64_C(1) << 20) + keys * (PAYLOAD + 48), 0, 0);
    while (rc == 0 && n < most && !bench_stop) {
        rc = put(&p, n++, 0);
    }
    if (rc == TIDE_ERR_FULL && n > 1) {
        rc = tide_replica_info(p.d, 0, &info);
        rc = rc != 0 ? bench_run_failed(&m->run, "looking at a replica", rc) : 0;
        out[ROW_FULL] = (double)info.table_bytes / (double)info.keys - PAYLOAD;
    } else if (bench_stop) {
        rc = 1;
    } else if (m->run.error[0] == '\0') {
        rc = bench_run_failed(&m->run, "filling a table until it is full", rc != 0 ? rc : TIDE_ERR_INVALID);
    }
    tide_close(p.d);
    return rc;
}

static int measure(struct memory *m) {
    for (uint64_t r = 0; r < m->run.repetitions; r++) {
        for (uint32_t c = 0; c < m->counts; c++) {
            double out[ROWS] = { 0.0 };
            char count[BENCH_TEXT];
            bench_run_progress(&m->run, "repetition %llu of %llu, %s keys", (unsigned long long)r + 1,
                               (unsigned long long)m->run.repetitions, bench_run_count(count, m->keys[c]));
            int rc = fill_presized(m, m->keys[c], out);
            rc = rc != 0 ? rc : fill_grown(m, m->keys[c], out);
            rc = rc != 0 ? rc : fill_full(m, m->keys[c], out);
            if (rc != 0) {
                return rc;
            }
            for (int row = 0; row < ROWS; row++) {
                m->bytes[c][row][r] = out[row];
            }
            m->worst[c][r] = out[ROW_OVERWRITTEN] > out[ROW_FOLLOWER_OVERWRITTEN] ? out[ROW_OVERWRITTEN]
                                                                                  : out[ROW_FOLLOWER_OVERWRITTEN];
        }
    }
    return 0;
}

static const char *group_name(char out[96], uint64_t keys) {
    char count[BENCH_TEXT];
    snprintf(out, 96, "memory, %s keys: bytes for each beyond key and value", bench_run_count(count, keys));
    return out;
}

static void bars(struct memory *m) {
    struct bench_figures *f = &m->run.figures;
    uint32_t c = 0;
    char group[96];
    while (c < m->counts && m->keys[c] != BAR_KEYS) {
        c++;
    }
    uint64_t n = c < m->counts ? m->run.repetitions : 0;
    double nothing = 0.0;
    bench_figures_bar(f, "memory.used", "memory, 1 M keys: bytes for each beyond key and value, after overwriting", "B",
                      BENCH_AT_MOST, BAR_BYTES, n > 0 ? m->worst[c] : &nothing, n);
    bench_figures_bar_line(f, group_name(group, BAR_KEYS), BAR_BYTES);
    /* The values are sorted here and once more where the figure is added. */
    bench_figures_bar(f, "memory.full", "memory, 1 M keys: the same, of a full table's whole budget", "B",
                      BENCH_AT_MOST, BAR_BYTES, n > 0 ? m->bytes[c][ROW_FULL] : &nothing, n);
}

static void figures(struct memory *m) {
    struct bench_figures *f = &m->run.figures;
    char id[64], group[96];
    snprintf(f->note, sizeof(f->note),
             "keys of %u bytes, values of %u. Buckets, overflow buckets and everything ever carved for nodes, so slack "
             "is in it; "
             "a table's file is reserved in full, so its resident bytes are its budget (last row) however few keys it "
             "holds. "
             "LMDB's figure: bench/peers",
             KEY_SIZE, VALUE_SIZE);
    bars(m);
    for (uint32_t c = 0; c < m->counts; c++) {
        for (int row = 0; row < ROWS; row++) {
            snprintf(id, sizeof(id), "memory.%llu.%s", (unsigned long long)m->keys[c], rows[row].id);
            bench_figures_add(f, id, group_name(group, m->keys[c]), rows[row].title, "B", m->bytes[c][row],
                              m->run.repetitions);
        }
    }
}

/* Which counts there is memory for. */
static int start(struct memory *m) {
    static const uint64_t wanted[COUNTS] = { 10000, 1000000, 10000000 };
    int good = 1;
    for (uint32_t i = 0; i < COUNTS; i++) {
        if (wanted[i] <= m->most &&
            2.0 * (double)budget(wanted[i]) < MOST_SHARE * (double)m->run.machine.memory_bytes) {
            uint32_t c = m->counts++;
            m->keys[c] = wanted[i];
            good &= (m->worst[c] = calloc(m->run.repetitions, sizeof(double))) != NULL;
            for (int row = 0; row < ROWS; row++) {
                good &= (m->bytes[c][row] = calloc(m->run.repetitions, sizeof(double))) != NULL;
            }
        } else if (wanted[i] <= m->most) {
            fprintf(stderr, "memory: %llu keys are left out: too little memory\n", (unsigned long long)wanted[i]);
        }
    }
    return good ? 0 : bench_run_failed(&m->run, "starting", TIDE_ERR_NOMEM);
}

int main(int argc, char **argv) {
    static struct memory m = { .most = 1000000 };
    struct bench_run_number numbers[] = { { "--most", "keys; of 10k, 1M and 10M those up to it", &m.most, 10000,
                                            10000000, 10000 } };
    m.run.name = "memory";
    m.run.what = "Bytes that a key takes in a replica's table beyond key and value: after filling, after heavy\n"
                 "overwriting, in the leader's and in a follower's table, and of a table's whole budget when it\n"
                 "holds as many keys as it can.";
    m.run.numbers = numbers;
    m.run.numbers_n = 1;
    m.run.repetitions = 2;
    m.run.repetitions_quick = 1;
    int rc = bench_run_begin(&m.run, argc, argv);
    if (rc >= 0) {
        return rc;
    }
    rc = start(&m);
    rc = rc != 0 ? rc : measure(&m);
    if (rc == 0) {
        figures(&m);
    }
    rc = bench_run_end(&m.run, rc);
    for (uint32_t c = 0; c < m.counts; c++) {
        free(m.worst[c]);
        for (int row = 0; row < ROWS; row++) {
            free(m.bytes[c][row]);
        }
    }
    return rc;
}
