/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The loops that are compared. All walk the same sequence over the same key array, copy the value into a buffer, and
 * add its first bytes up; they differ in the lookup alone.
 */
#include "bench/lib/cost.h"

#define KEY_AT(c, i) bench_workload_key((c)->workload, (c)->workload->sequences[0][(i) & ((c)->workload->steps - 1)])

/* Makes the compiler believe that the bytes are looked at: else it could leave out the copy, which the library's own
 * cannot. */
#define CONSUME(buf) __asm__ volatile("" : : "r"(buf) : "memory")

static inline uint64_t head_of(const void *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static uint64_t loop_alone(struct bench_cost_ctx *c, uint64_t from, uint64_t n) {
    uint64_t sum = 0;
    for (uint64_t i = from; i < from + n; i++) {
        const uint8_t *key = KEY_AT(c, i);
        CONSUME(key);
        sum += head_of(key);
    }
    return sum;
}

static uint64_t loop_plain_fixed(struct bench_cost_ctx *c, const struct plain *table, uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[BENCH_COST_VALUE];
    uint64_t sum = 0;
    for (uint64_t i = from; i < from + n; i++) {
        int got = plain_get_fixed(table, KEY_AT(c, i), BENCH_COST_KEY, buf, BENCH_COST_VALUE);
        c->bad += got < 0;
        CONSUME(buf);
        sum += head_of(buf);
    }
    return sum;
}

static uint64_t loop_plain(struct bench_cost_ctx *c, uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[BENCH_COST_VALUE];
    uint64_t sum = 0;
    size_t key_len = c->workload->key_size;
    for (uint64_t i = from; i < from + n; i++) {
        const uint8_t *key = KEY_AT(c, i);
        int got = plain_get_hashed(&c->plain, plain_hash(key, key_len), key, key_len, buf, sizeof(buf));
        c->bad += got < 0;
        CONSUME(buf);
        sum += head_of(buf);
    }
    return sum;
}

static uint64_t loop_plain_batch(struct bench_cost_ctx *c, uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[BENCH_COST_BATCH][BENCH_COST_VALUE];
    uint64_t hashes[BENCH_COST_BATCH];
    uint64_t sum = 0;
    for (uint64_t i = from; i < from + n; i += BENCH_COST_BATCH) {
        for (uint64_t k = 0; k < BENCH_COST_BATCH; k++) {
            __builtin_prefetch(KEY_AT(c, i + k)); /* tide_mget does so, too */
        }
        for (uint64_t k = 0; k < BENCH_COST_BATCH; k++) {
            hashes[k] = plain_hash(KEY_AT(c, i + k), BENCH_COST_KEY);
            plain_prefetch(&c->plain, hashes[k]);
        }
        for (uint64_t k = 0; k < BENCH_COST_BATCH; k++) {
            int got =
                plain_get_hashed(&c->plain, hashes[k], KEY_AT(c, i + k), BENCH_COST_KEY, buf[k], BENCH_COST_VALUE);
            c->bad += got < 0;
        }
        CONSUME(buf);
        for (uint64_t k = 0; k < BENCH_COST_BATCH; k++) {
            sum += head_of(buf[k]);
        }
    }
    return sum;
}

static uint64_t loop_get(struct bench_cost_ctx *c, struct tide_reader *reader, const struct tide_bound *bound,
                         uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[BENCH_COST_VALUE];
    struct tide_answer answer;
    uint64_t sum = 0;
    size_t key_len = c->workload->key_size;
    answer.size = sizeof(answer);
    for (uint64_t i = from; i < from + n; i++) {
        int rc = tide_get(reader, KEY_AT(c, i), key_len, bound, buf, sizeof(buf), &answer);
        c->bad += rc != 0;
        CONSUME(buf);
        sum += head_of(buf) + answer.index;
    }
    return sum;
}

static uint64_t loop_mget(struct bench_cost_ctx *c, uint64_t from, uint64_t n) {
    _Alignas(64) uint8_t buf[BENCH_COST_BATCH][BENCH_COST_VALUE];
    struct tide_mget_item items[BENCH_COST_BATCH];
    struct tide_answer answer;
    uint64_t sum = 0;
    answer.size = sizeof(answer);
    for (uint64_t k = 0; k < BENCH_COST_BATCH; k++) {
        items[k] = (struct tide_mget_item){ .key_len = BENCH_COST_KEY, .buf = buf[k], .buf_size = BENCH_COST_VALUE };
    }
    for (uint64_t i = from; i < from + n; i += BENCH_COST_BATCH) {
        for (uint64_t k = 0; k < BENCH_COST_BATCH; k++) {
            items[k].key = KEY_AT(c, i + k);
        }
        int rc = tide_mget(c->fresh, items, BENCH_COST_BATCH, &c->zero, &answer);
        c->bad += rc != 0;
        CONSUME(buf);
        for (uint64_t k = 0; k < BENCH_COST_BATCH; k++) {
            c->bad += items[k].result != 0;
            sum += head_of(buf[k]);
        }
    }
    return sum;
}

uint64_t bench_cost_loop(struct bench_cost_ctx *c, enum bench_cost_row row, uint64_t from, uint64_t n) {
    switch (row) {
    case BENCH_COST_LOOP:
        return loop_alone(c, from, n);
    case BENCH_COST_PLAIN_FIXED:
        return loop_plain_fixed(c, &c->plain, from, n);
    case BENCH_COST_PLAIN_DENSE:
        return loop_plain_fixed(c, &c->dense, from, n);
    case BENCH_COST_PLAIN:
        return loop_plain(c, from, n);
    case BENCH_COST_PLAIN_BATCH:
        return loop_plain_batch(c, from, n);
    case BENCH_COST_GET:
        return loop_get(c, c->fresh, &c->zero, from, n);
    case BENCH_COST_GET_BOUND:
        return loop_get(c, c->fresh, &c->bounded, from, n);
    case BENCH_COST_GET_BEHIND:
        return loop_get(c, c->behind, &c->bounded, from, n);
    case BENCH_COST_MGET:
        return loop_mget(c, from, n);
    case BENCH_COST_GET_OTHER:
        return loop_get(c, c->other, &c->zero, from, n);
    case BENCH_COST_ROWS:
        break;
    }
    return 0;
}
