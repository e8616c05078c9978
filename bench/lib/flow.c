/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/flow.h"

#include <string.h>

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
    struct bench_program *p;
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

static int open_flow(struct flow *f, struct bench_program *p, struct mix first) {
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, 0, RING_BYTES, TABLE_BYTES);
    memset(f, 0, sizeof(*f));
    f->p = p;
    f->shift = UINT64_MAX;
    f->mixes[0] = f->mixes[1] = first;
    return bench_program_domain(p, &f->d, &opts, false);
}

static void close_flow(struct flow *f) {
    bench_close(f->d);
}

static int put(struct flow *f, uint64_t i) {
    static const uint8_t value[VALUE_MAX];
    uint64_t key[2] = { i, UINT64_C(0x6b6b6b6b6b6b6b6b) };
    return tide_put(f->d, NULL, key, KEY_SIZE, value, size_of(f, i), NULL);
}

static int put_next(struct flow *f) {
    int rc = f->next < KEYS_MAX ? put(f, f->next) : TIDE_ERR_INVALID;
    if (rc == 0) {
        f->payload += KEY_SIZE + size_of(f, f->next);
        f->next++;
    }
    return rc;
}

/* Where there is no such key, this is a write too. */
static int delete_oldest(struct flow *f) {
    uint64_t i = f->head, key[2] = { i, UINT64_C(0x6b6b6b6b6b6b6b6b) };
    int rc = tide_delete(f->d, NULL, key, KEY_SIZE, NULL);
    if (rc == 0) {
        f->payload -= f->refused[i] ? 0 : KEY_SIZE + size_of(f, i);
        f->head++;
    }
    return rc;
}

static int ended(struct flow *f, const char *what, int rc) {
    return bench_stop ? 1 : rc != 0 ? bench_program_failed_code(f->p, what, rc) : 0;
}

/* Until nothing fits, also after a while: what was deleted can be had again once its grace period is over. */
static int fill(struct flow *f) {
    int rc = 0;
    for (uint32_t waits = 0; waits < WAITS && !bench_stop && (rc == 0 || rc == TIDE_ERR_FULL);) {
        rc = put_next(f);
        if (rc == TIDE_ERR_FULL) {
            waits++;
            bench_sleep_ns(WAIT_NS);
        } else {
            waits = 0;
        }
    }
    return ended(f, "filling a table", rc == TIDE_ERR_FULL ? 0 : rc);
}

/* Payload of a fresh table that is full of this mix. */
static int fresh(struct bench_program *p, struct mix mix, double *payload) {
    static struct flow f;
    int rc = open_flow(&f, p, mix);
    rc = rc != 0 ? rc : fill(&f);
    *payload = (double)f.payload;
    close_flow(&f);
    return rc;
}

/* n puts; where one does not fit, the oldest keys go until it does. *refused: that it never did. */
static int push(struct flow *f, uint64_t n, uint64_t *refused) {
    int rc = 0;
    for (uint64_t i = 0; i < n && rc == 0 && !bench_stop; i++) {
        rc = put_next(f);
        for (uint32_t deletes = 0; rc == TIDE_ERR_FULL; deletes++) {
            if (deletes == DELETES || f->head == f->next) {
                ++*refused;
                f->refused[f->next++] = true;
                rc = 0;
                break;
            }
            rc = delete_oldest(f);
            rc = rc != 0 ? rc : put_next(f);
        }
    }
    return ended(f, "pushing keys through a full table", rc);
}

static int shift(struct bench_program *p, double out[BENCH_FLOWS]) {
    static struct flow f;
    uint64_t n = p->quick ? QUICK_PUTS : PUTS, refused = 0;
    double whole = 0;
    int rc = fresh(p, wide, &whole);
    out[BENCH_FLOW_LOST] = 1.0 - whole / (double)TABLE_BYTES;
    if (rc != 0) {
        return rc;
    }
    rc = open_flow(&f, p, small);
    f.shift = n;
    f.mixes[1] = wide;
    rc = rc != 0 ? rc : push(&f, n, &refused);
    refused = 0;
    rc = rc != 0 ? rc : push(&f, n, &refused);
    out[BENCH_FLOW_SHIFTED] = bench_ratio((double)f.payload, whole);
    out[BENCH_FLOW_REFUSED] = bench_ratio((double)refused, (double)n);
    close_flow(&f);
    return rc;
}

static int delete_all(struct bench_program *p, double out[BENCH_FLOWS]) {
    static struct flow f;
    double whole = 0;
    int rc = fresh(p, thousand, &whole);
    if (rc != 0) {
        return rc;
    }
    rc = open_flow(&f, p, tiny);
    rc = rc != 0 ? rc : fill(&f);
    int code = 0;
    while (rc == 0 && code == 0 && f.head < f.next && !bench_stop) {
        code = delete_oldest(&f);
    }
    rc = rc != 0 ? rc : ended(&f, "deleting all keys", code);
    f.shift = f.next;
    f.mixes[1] = thousand;
    rc = rc != 0 ? rc : fill(&f);
    out[BENCH_FLOW_DELETED] = bench_ratio((double)f.payload, whole);
    close_flow(&f);
    return rc;
}

static int overwrite(struct bench_program *p, double out[BENCH_FLOWS]) {
    static struct flow f;
    uint64_t refused = 0;
    int rc = open_flow(&f, p, equal), code = 0;
    rc = rc != 0 ? rc : fill(&f);
    for (uint64_t i = 0; i < f.next && rc == 0 && code == 0 && !bench_stop; i++) {
        code = put(&f, i);
        refused += code == TIDE_ERR_FULL;
        code = code == TIDE_ERR_FULL ? 0 : code;
    }
    rc = rc != 0 ? rc : ended(&f, "overwriting in a full table", code);
    out[BENCH_FLOW_OVERWRITE] = bench_ratio((double)refused, (double)f.next);
    close_flow(&f);
    return rc;
}

int bench_flow_measure(struct bench_program *p, double out[BENCH_FLOWS]) {
    int rc = shift(p, out);
    rc = rc != 0 ? rc : delete_all(p, out);
    return rc != 0 ? rc : overwrite(p, out);
}
