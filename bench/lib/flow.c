/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/flow.h"

#include <string.h>

#include "bench/lib/program.h"
#include "bench/lib/rng.h"
#include "bench/lib/setup.h"

#define TABLE_BYTES (UINT64_C(32) << 20)
#define RING_BYTES (UINT64_C(1) << 20)
#define KEY_SIZE 16u
#define VALUE_MAX 4096u
#define KEYS_MAX (1u << 20) /* more than there is room for: a key takes some 100 bytes */
#define PUTS 200000u        /* of each of the two mixes; */
#define QUICK_PUTS 60000u   /* enough to fill the table */
#define DELETES 1000u       /* for one put, at most */
#define WAITS 50u           /* for memory that waits for its grace period, before a table counts as full */
#define WAIT_NS UINT64_C(2000000)

/* Sizes from `least` on, `span` of them, drawn by the key's number. */
struct mix {
    uint32_t least, span;
};

static const struct mix small = { 100, 400 }, wide = { 100, 2000 }, tiny = { 64, 1 }, thousand = { 1000, 1 },
                        equal = { 200, 1 };

/* A domain whose keys are numbered: from `head` to `next` - 1 they are there, but for those that were refused. */
struct flow {
    struct tide *d;
    uint64_t head, next;
    uint64_t shift; /* keys from this number on have the second mix */
    struct mix mixes[2];
    uint64_t payload;
    bool refused[KEYS_MAX];
};

static uint32_t size_of(const struct flow *f, uint64_t i) {
    const struct mix *m = &f->mixes[i >= f->shift];
    return m->least + (uint32_t)(bench_mix64(i) % m->span);
}

static void open_flow(struct flow *f, struct mix first) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, 0, RING_BYTES, TABLE_BYTES);
    memset(f, 0, sizeof(*f));
    f->shift = UINT64_MAX;
    f->mixes[0] = f->mixes[1] = first;
    f->d = bench_domain(NULL, &opts, 0);
}

static void make_key(uint64_t key[2], uint64_t i) {
    key[0] = i;
    key[1] = UINT64_C(0x6b6b6b6b6b6b6b6b);
}

/* Does it fit? */
static bool put(const struct flow *f, uint64_t i) {
    static const uint8_t value[VALUE_MAX];
    uint64_t key[2];
    make_key(key, i);
    int rc = tide_put(f->d, NULL, key, KEY_SIZE, value, size_of(f, i), NULL);
    bench_must(rc != TIDE_ERR_FULL ? rc : 0, "putting into a table that is nearly full");
    bench_go_on();
    return rc == 0;
}

static bool put_next(struct flow *f) {
    bench_must(f->next == KEYS_MAX ? TIDE_ERR_INVALID : 0, "putting more keys than a table has room for");
    bool fits = put(f, f->next);
    f->payload += fits ? KEY_SIZE + size_of(f, f->next) : 0;
    f->next += fits;
    return fits;
}

/* Where there is no such key, this is a write too. */
static void delete_oldest(struct flow *f) {
    uint64_t key[2];
    make_key(key, f->head);
    bench_must(tide_delete(f->d, NULL, key, KEY_SIZE, NULL), "deleting the oldest key");
    bench_go_on();
    f->payload -= f->refused[f->head] ? 0 : KEY_SIZE + size_of(f, f->head);
    f->head++;
}

/* Until nothing fits, also after a while: what was deleted can be had again once its grace period is over. */
static void fill(struct flow *f) {
    for (uint32_t waits = 0; waits < WAITS; waits++) {
        while (put_next(f)) {
            waits = 0;
        }
        bench_sleep_ns(WAIT_NS);
    }
}

/* Payload of a fresh table that is full of this mix. */
static double fresh(struct mix mix) {
    static struct flow f;
    open_flow(&f, mix);
    fill(&f);
    tide_close(f.d);
    return (double)f.payload;
}

/* n puts; where one does not fit, the oldest keys go until it does. Returns how many never did. */
static uint64_t push(struct flow *f, uint64_t n) {
    uint64_t refused = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint32_t deletes = 0;
        while (!put_next(f)) {
            if (deletes++ == DELETES || f->head == f->next) {
                refused++;
                f->refused[f->next++] = true;
                break;
            }
            delete_oldest(f);
        }
    }
    return refused;
}

static void shift(double out[BENCH_FLOWS]) {
    static struct flow f;
    uint64_t n = bench->quick ? QUICK_PUTS : PUTS;
    double whole = fresh(wide);
    out[BENCH_FLOW_LOST] = 1.0 - whole / (double)TABLE_BYTES;
    open_flow(&f, small);
    f.shift = n;
    f.mixes[1] = wide;
    push(&f, n);
    out[BENCH_FLOW_REFUSED] = bench_ratio((double)push(&f, n), (double)n);
    out[BENCH_FLOW_SHIFTED] = bench_ratio((double)f.payload, whole);
    tide_close(f.d);
}

static void delete_all(double out[BENCH_FLOWS]) {
    static struct flow f;
    double whole = fresh(thousand);
    open_flow(&f, tiny);
    fill(&f);
    while (f.head < f.next) {
        delete_oldest(&f);
    }
    f.shift = f.next;
    f.mixes[1] = thousand;
    fill(&f);
    out[BENCH_FLOW_DELETED] = bench_ratio((double)f.payload, whole);
    tide_close(f.d);
}

static void overwrite(double out[BENCH_FLOWS]) {
    static struct flow f;
    uint64_t refused = 0;
    open_flow(&f, equal);
    fill(&f);
    for (uint64_t i = 0; i < f.next; i++) {
        refused += !put(&f, i);
    }
    out[BENCH_FLOW_OVERWRITE] = bench_ratio((double)refused, (double)f.next);
    tide_close(f.d);
}

void bench_flow_measure(double out[BENCH_FLOWS]) {
    shift(out);
    delete_all(out);
    overwrite(out);
}
