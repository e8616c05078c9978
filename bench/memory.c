/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many bytes does a key take beyond itself and its value? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
    enum bench_sense sense;
    double bar;
} flows[BENCH_FLOWS] = {
    { "memory.mixed.lost", "memory, a table of 32 MiB: share of its budget that is not payload",
      "tide: filled with values of 100 to 2,099 bytes", BENCH_AT_MOST, 0.15 },
    { "memory.shifted.kept", "memory, sizes that change: payload over that of a fresh table",
      "tide: 100 to 499 bytes, then 100 to 2,099, the oldest deleted", BENCH_AT_LEAST, 0.85 },
    { "memory.deleted.kept", "memory, sizes that change: payload over that of a fresh table",
      "tide: full of 64 bytes, all deleted, then 1,000", BENCH_AT_LEAST, 0.9 },
    { "memory.shifted.refused", "memory, a full table: share of the puts that it refuses",
      "tide: after 1,000 of the oldest keys were deleted for it", BENCH_AT_MOST, 0.0 },
    { "memory.overwrite.refused", "memory, a full table: share of the puts that it refuses",
      "tide: overwrites with the same size", BENCH_AT_MOST, 0.0 },
};

struct memory {
    struct bench_program *p;
    uint32_t flows[BENCH_FLOWS];
    uint64_t most;
    uint64_t keys[COUNTS];
    uint32_t counts;
    uint32_t rows[COUNTS][ROWS];
    uint32_t worst[COUNTS]; /* used bytes after overwriting: the larger of leader's and follower's */
};

struct pair {
    struct tide *d;
    struct tide_token last;
};

static int put(struct pair *p, uint64_t i, uint64_t version) {
    uint64_t key[2], value[VALUE_SIZE / 8] = { i, version };
    bench_key(key, i);
    return tide_put(p->d, NULL, key, sizeof(key), value, sizeof(value), &p->last);
}

static int open_pair(struct memory *m, struct pair *p, uint64_t table_bytes, uint64_t expected, bool follower) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, expected, UINT64_C(1) << 20, table_bytes);
    return bench_program_domain(m->p, &p->d, &opts, follower);
}

/* Bytes of a replica's table in use, less what keys and values take themselves, for each key. */
static int look(struct memory *m, struct pair *p, uint32_t id, uint64_t keys, double *out) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    int rc = tide_replica_info(p->d, id, &info);
    if (rc != 0 || info.keys != keys) {
        return bench_program_failed_code(m->p, "looking at a replica", rc != 0 ? rc : TIDE_ERR_CORRUPT);
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
            return bench_program_failed_code(m->p, "putting", rc);
        }
        if (bench_stop) {
            return 1;
        }
    }
    int rc = tide_wait_applied(p->d, &p->last, 2, PATIENCE_NS);
    return rc != 0 ? bench_program_failed_code(m->p, "waiting for the follower", rc) : 0;
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

/* How many keys does a budget hold? All of the budget counts, also the part that is kept back so that overwriting
 * always works. */
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
        rc = rc != 0 ? bench_program_failed_code(m->p, "looking at a replica", rc) : 0;
        out[ROW_FULL] = (double)info.table_bytes / (double)info.keys - PAYLOAD;
    } else if (bench_stop) {
        rc = 1;
    } else if (m->p->error[0] == '\0') {
        rc = bench_program_failed_code(m->p, "filling a table until it is full", rc != 0 ? rc : TIDE_ERR_INVALID);
    }
    tide_close(p.d);
    return rc;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct memory *m = ctx;
    for (uint32_t c = 0; c < m->counts; c++) {
        double out[ROWS] = { 0.0 };
        char count[BENCH_TEXT];
        bench_program_progress(p, "%s keys", bench_format_round(count, m->keys[c]));
        int rc = fill_presized(m, m->keys[c], out);
        rc = rc != 0 ? rc : fill_grown(m, m->keys[c], out);
        rc = rc != 0 ? rc : fill_full(m, m->keys[c], out);
        if (rc != 0) {
            return rc;
        }
        for (int row = 0; row < ROWS; row++) {
            bench_program_set(p, m->rows[c][row], repetition, out[row]);
        }
        double leader = out[ROW_OVERWRITTEN], follower = out[ROW_FOLLOWER_OVERWRITTEN];
        bench_program_set(p, m->worst[c], repetition, leader > follower ? leader : follower);
    }
    double shares[BENCH_FLOWS] = { 0.0 };
    bench_program_progress(p, "sizes that change");
    int rc = bench_flow_measure(p, shares);
    for (int k = 0; k < BENCH_FLOWS && rc == 0; k++) {
        bench_program_set(p, m->flows[k], repetition, shares[k]);
    }
    return rc;
}

static void add_rows(struct bench_program *p, struct memory *m) {
    uint32_t used = BENCH_NO_ROW, full = BENCH_NO_ROW;
    char id[64], group[96], count[BENCH_TEXT];
    for (uint32_t c = 0; c < m->counts; c++) {
        snprintf(group, sizeof(group), "memory, %s keys: bytes for each beyond key and value",
                 bench_format_round(count, m->keys[c]));
        snprintf(id, sizeof(id), "memory.%llu", (unsigned long long)m->keys[c]);
        bench_program_rows(p, m->rows[c], rows, ROWS, id, group, "B");
        m->worst[c] = bench_program_hidden_row(p, group);
        if (m->keys[c] == BAR_KEYS) {
            used = m->worst[c];
            full = m->rows[c][ROW_FULL];
        }
    }
    bench_program_bar(p, "memory.used", "memory, 1 M keys: bytes for each beyond key and value, after overwriting", "B",
                      BENCH_AT_MOST, BAR_BYTES, used, BENCH_NO_ROW);
    bench_program_bar(p, "memory.full", "memory, 1 M keys: the same, of a full table's whole budget", "B",
                      BENCH_AT_MOST, BAR_BYTES, full, BENCH_NO_ROW);
    for (int k = 0; k < BENCH_FLOWS; k++) {
        char what[160];
        snprintf(what, sizeof(what), "%s; %s", flows[k].group, flows[k].title + strlen("tide: "));
        m->flows[k] = bench_program_row(p, flows[k].id, flows[k].group, flows[k].title, "share");
        p->figures.figures[m->flows[k]].more = flows[k].sense == BENCH_AT_LEAST;
        bench_program_bar(p, flows[k].id, what, "share", flows[k].sense, flows[k].bar, m->flows[k], BENCH_NO_ROW);
    }
}

/* Those that there is memory for. */
static void choose_counts(struct memory *m) {
    static const uint64_t wanted[COUNTS] = { 10000, 1000000, 10000000 };
    for (uint32_t i = 0; i < COUNTS && wanted[i] <= m->most; i++) {
        if (2.0 * (double)budget(wanted[i]) < MOST_SHARE * (double)m->p->machine.memory_bytes) {
            m->keys[m->counts++] = wanted[i];
        } else {
            fprintf(stderr, "memory: %llu keys are left out: too little memory\n", (unsigned long long)wanted[i]);
        }
    }
}

int main(int argc, char **argv) {
    static struct memory m = { .most = 1000000 };
    static const struct bench_number numbers[] = { { "most", "keys; of 10k, 1M and 10M those up to it", &m.most, 10000,
                                                     10000000, 10000 } };
    static struct bench_program p = {
        .name = "memory",
        .about = "Bytes that a key takes in a replica's table beyond key and value: after filling, after heavy\n"
                 "overwriting, in the leader's and in a follower's table, and of a table's whole budget when it\n"
                 "holds as many keys as it can. And what a table holds when sizes differ, or change.\n",
        .numbers = numbers,
        .numbers_n = 1,
        .repetitions = 2,
    };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    m.p = &p;
    snprintf(p.figures.note, sizeof(p.figures.note),
             "keys of %u bytes, values of %u. Buckets, overflow buckets and everything ever carved for nodes, so slack "
             "is in it; a table's file is reserved in full, so its resident bytes are its budget (last row) however "
             "few keys it holds. LMDB's figure: bench/peers",
             KEY_SIZE, VALUE_SIZE);
    choose_counts(&m);
    add_rows(&p, &m);
    int rc = bench_program_repeat(&p, one_repetition, &m);
    return bench_program_end(&p, rc);
}
