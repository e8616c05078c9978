/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The writers of the snapshot stress, and its rounds. */
#include "tests/lib/stress_snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t snap_key(uint8_t out[SNAP_KEY_MAX], const struct snap_world *w, uint32_t group, uint32_t key) {
    size_t n =
        (size_t)snprintf((char *)out, SNAP_KEY_MAX, "group%03u/key%04u", group, key); /* 16 bytes: the fast compare */
    size_t longer = (w->seed + group + key) % 3 == 0 ? 16 + (w->seed >> 8 ^ key * 7) % 100 : n;
    for (; n < longer; n++) {
        out[n] = (uint8_t)('a' + n % 26);
    }
    return n;
}

size_t snap_churn_key(uint8_t out[SNAP_KEY_MAX], uint64_t number) {
    return (size_t)snprintf((char *)out, SNAP_KEY_MAX, "n%llu", (unsigned long long)number);
}

static uint64_t snap_mix(const struct snap_world *w, uint32_t group, uint32_t key, uint64_t generation) {
    uint64_t state = w->seed ^ snap_value_tag(group, key) << 8 ^ generation;
    return stress_rand(&state);
}

/* Key 0 is always there and tells the generation. */
bool snap_present(const struct snap_world *w, uint32_t group, uint32_t key, uint64_t generation) {
    return generation != 0 && (key == 0 || snap_mix(w, group, key, generation) % 4 != 0);
}

size_t snap_value_size(const struct snap_world *w, uint32_t group, uint32_t key, uint64_t generation) {
    /* Runs of generations with one size for all keys, then another: memory of one class does not serve the next. */
    uint64_t mix = snap_mix(w, group, generation / 16 % 3 == 0 ? 0 : key, generation / 16);
    return 16 + mix % (w->value_max - 15);
}

/* In so small a table a write may fail for want of memory. Any other error is a violation. */
static bool snap_written(int error, const char *what) {
    if (error == TIDE_ERR_FULL) {
        stress_count("full", 1);
        stress_sleep_ns(100000);
        return false;
    }
    if (error != 0) {
        stress_violation("%s: %s", what, tide_strerror(error));
    }
    return error == 0;
}

static void snap_write_group(struct snap_world *w, uint32_t group, uint8_t *values) {
    uint8_t keys[SNAP_KEYS_MAX][SNAP_KEY_MAX];
    struct tide_op ops[SNAP_KEYS_MAX] = { 0 };
    struct tide_token token;
    uint64_t generation = atomic_load(&w->generation[group]) + 1;
    for (uint32_t k = 0; k < w->keys; k++) {
        bool present = snap_present(w, group, k, generation);
        ops[k] = (struct tide_op){ .kind = present ? TIDE_OP_PUT : TIDE_OP_DELETE, .key = keys[k] };
        ops[k].key_len = snap_key(keys[k], w, group, k);
        if (present) {
            ops[k].value = values + k * SNAP_VALUE_MAX;
            ops[k].value_size = snap_value_size(w, group, k, generation);
            stress_value_make(values + k * SNAP_VALUE_MAX, ops[k].value_size, snap_value_tag(group, k), generation);
        }
    }
    atomic_store(&w->generation[group], generation);
    bool done = false;
    while (!done && !stress_failed() && !atomic_load(&w->team.stop)) {
        stress_at("tide_batch");
        done = snap_written(tide_batch(w->d, NULL, ops, w->keys, &token, NULL), "tide_batch");
    }
    if (done) {
        stress_history_add(&w->group[group], generation, 0, token.index - w->keys + 1, token.index);
    }
}

void *snap_group_writer(void *worker) {
    struct snap_worker *self = worker;
    struct snap_world *w = self->w;
    uint8_t *values = malloc((size_t)SNAP_KEYS_MAX * SNAP_VALUE_MAX);
    while (values != NULL && !atomic_load(&w->team.stop) && !stress_failed()) {
        uint32_t group = (uint32_t)stress_below(&self->rng, w->groups);
        group = group - group % w->writers + self->number; /* each group has one writer */
        if (group < w->groups) {
            snap_write_group(w, group, values);
        }
        if (stress_below(&self->rng, 512) == 0) {
            stress_sleep_ns(stress_below(&self->rng, 2000000)); /* followers catch up: a state that readers must meet */
        }
    }
    free(values);
    return NULL;
}

/* Keys lo to hi-1 are there. Put at the upper end and delete at the lower end, one or some at a time. */
void *snap_churn_writer(void *worker) {
    struct snap_worker *self = worker;
    struct snap_world *w = self->w;
    uint64_t lo = 0, hi = 0, window = 1 + stress_below(&self->rng, w->churn_max);
    uint8_t keys[SNAP_CHURN_BATCH][SNAP_KEY_MAX], values[SNAP_CHURN_BATCH][64];
    while (!atomic_load(&w->team.stop) && !stress_failed()) {
        struct tide_op ops[SNAP_CHURN_BATCH] = { 0 };
        struct tide_token token;
        uint32_t n = stress_below(&self->rng, 4) == 0 ? 1 + (uint32_t)stress_below(&self->rng, SNAP_CHURN_BATCH) : 1;
        uint64_t new_lo = lo, new_hi = hi;
        for (uint32_t i = 0; i < n; i++) {
            bool put = new_hi - new_lo < window;
            uint64_t number = put ? new_hi++ : new_lo++;
            ops[i] = (struct tide_op){ .kind = put ? TIDE_OP_PUT : TIDE_OP_DELETE, .key = keys[i] };
            ops[i].key_len = snap_churn_key(keys[i], number);
            ops[i].value = values[i];
            ops[i].value_size = 16 + number % 48;
            stress_value_make(values[i], ops[i].value_size, SNAP_CHURN_TAG, number);
        }
        stress_at("tide_batch of churn");
        if (snap_written(tide_batch(w->d, NULL, ops, n, &token, NULL), "tide_batch of churn")) {
            lo = new_lo;
            hi = new_hi;
            stress_history_add(&w->churn, lo + hi, lo, token.index - n + 1, token.index);
        } else {
            window = window / 2 + 1;
        }
        if (stress_below(&self->rng, 4096) == 0) {
            window = 1 + stress_below(&self->rng, w->churn_max);
        }
    }
    return NULL;
}

static void snap_draw(struct snap_world *w, uint64_t *rng) {
    stress_draw(&w->setup, rng);
    w->groups = 1 + (uint32_t)stress_below(rng, SNAP_GROUPS);
    w->keys = 2 + (uint32_t)stress_below(rng, SNAP_KEYS_MAX - 1);
    w->writers = w->groups > 1 ? 1 + (uint32_t)stress_below(rng, 2) : 1;
    /* A batch is at most a quarter of the ring, and the live data a quarter of the table. */
    uint64_t batch = w->setup.ring_bytes / 4, live = w->setup.table_bytes / 4 / w->groups;
    uint64_t each = (batch < live ? batch : live) / w->keys;
    each = each > 64 + SNAP_KEY_MAX + 48 ? each - SNAP_KEY_MAX - 48 : 64;
    w->value_max = each > SNAP_VALUE_MAX ? SNAP_VALUE_MAX : each;
    w->value_max = stress_below(rng, 2) == 0 ? 64 : w->value_max;
    w->churn_max = w->setup.table_bytes / 2048;
    w->churn_max = w->churn_max > SNAP_CHURN_MAX ? SNAP_CHURN_MAX : w->churn_max;
}

void stress_snapshot_round(uint64_t seed, uint64_t round_ns) {
    struct snap_world *w = calloc(1, sizeof(*w));
    struct snap_worker workers[8];
    uint64_t rng = seed;
    if (w == NULL) {
        return;
    }
    w->seed = seed;
    snap_draw(w, &rng);
    for (uint32_t g = 0; g < SNAP_GROUPS; g++) {
        stress_history_init(&w->group[g]);
    }
    stress_history_init(&w->churn);
    w->d = stress_open(&w->setup, NULL);
    if (w->d != NULL) {
        uint32_t readers = 2 + (uint32_t)stress_below(&rng, 2), n = 0;
        for (; n < w->writers; n++) {
            workers[n] = (struct snap_worker){ w, n, stress_rand(&rng) };
            stress_spawn(&w->team, "group writer", snap_group_writer, &workers[n]);
        }
        workers[n] = (struct snap_worker){ w, n, stress_rand(&rng) };
        stress_spawn(&w->team, "churn writer", snap_churn_writer, &workers[n++]);
        for (uint32_t i = 0; i < readers; i++, n++) {
            workers[n] = (struct snap_worker){ w, i, stress_rand(&rng) };
            stress_spawn(&w->reading, "reader", snap_reader, &workers[n]);
        }
        for (uint64_t start = stress_now_ns(); stress_now_ns() - start < round_ns && !stress_failed();) {
            stress_at("waiting for the round's end");
            stress_sleep_ns(10000000);
        }
        stress_join(&w->team);
        stress_join(&w->reading); /* after the writers, because readers check the last states at the end */
        if (!stress_failed()) {
            stress_settle(w->d);
        }
        stress_at("tide_close");
        tide_close(w->d);
    }
    free(w);
}
