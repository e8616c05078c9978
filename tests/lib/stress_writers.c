/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/lib/stress_writers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WR_WRITERS 8u
#define WR_COUNTERS 3u
#define WR_ACCOUNTS 8u
#define WR_BALANCE UINT64_C(1000)
#define WR_INDEXES (UINT64_C(1) << 24) /* that are noted; a round ends before */

struct wr_world {
    struct tide *d;
    struct stress_setup setup;
    struct stress_team team;
    _Atomic uint64_t *given; /* a bit for each index */
    _Atomic uint64_t increments[WR_COUNTERS];
    _Atomic uint64_t highest;
};

struct wr_worker {
    struct wr_world *w;
    uint32_t number;
    uint64_t rng;
    struct tide_reader *r;
    uint64_t own; /* the value of its own key, 0: deleted */
    uint64_t writes, mismatches;
};

/* `count` indexes up to `last` are this write's, and nobody else's. */
static void wr_note(struct wr_worker *self, uint64_t last, uint64_t count) {
    for (uint64_t i = last - count + 1; i <= last && i < WR_INDEXES; i++) {
        uint64_t bit = UINT64_C(1) << (i % 64);
        if (atomic_fetch_or(&self->w->given[i / 64], bit) & bit) {
            stress_violation("index %llu was given to two writes", (unsigned long long)i);
        }
    }
    uint64_t was = atomic_load(&self->w->highest);
    while (was < last && !atomic_compare_exchange_weak(&self->w->highest, &was, last)) {
    }
    self->writes++;
}

static size_t wr_key(char out[32], const char *kind, uint32_t number) {
    return (size_t)snprintf(out, 32, "%s-%u", kind, number);
}

/* A linearizable read of a number; false where there is none. */
static bool wr_read(struct wr_worker *self, const char *key, size_t len, uint64_t *value, uint64_t *version) {
    struct tide_answer a = TIDE_ANSWER_INIT;
    stress_at("tide_get");
    int error = tide_get(self->r, key, len, NULL, value, sizeof(*value), &a);
    *version = error == 0 ? a.version : 0;
    if (error != 0) {
        *value = 0;
    }
    if (error != 0 && error != TIDE_ERR_NOT_FOUND) {
        stress_violation("reading %.*s: %s", (int)len, key, tide_strerror(error));
    }
    return error == 0;
}

static void wr_increment(struct wr_worker *self) {
    char key[32];
    uint32_t k = (uint32_t)stress_below(&self->rng, WR_COUNTERS);
    size_t len = wr_key(key, "counter", k);
    for (;;) {
        uint64_t value, version, found = UINT64_MAX;
        struct tide_token token;
        wr_read(self, key, len, &value, &version);
        value++;
        stress_at("tide_cas");
        int error = tide_cas(self->w->d, self->r, key, len, version, &value, sizeof(value), &token, &found);
        if (error == 0) {
            atomic_fetch_add(&self->w->increments[k], 1);
            wr_note(self, token.index, 1);
            return;
        }
        if (error != TIDE_ERR_MISMATCH || found == version) {
            stress_violation("cas: %s, expected %llu, found %llu", tide_strerror(error), (unsigned long long)version,
                             (unsigned long long)found);
            return;
        }
        self->mismatches++;
        if (atomic_load(&self->w->team.stop)) {
            return;
        }
    }
}

static void wr_transfer(struct wr_worker *self) {
    char keys[2][32];
    uint64_t values[2], versions[2];
    struct tide_op ops[3] = { 0 };
    struct tide_token token;
    size_t failed = 99;
    uint32_t from = (uint32_t)stress_below(&self->rng, WR_ACCOUNTS);
    uint32_t to = (from + 1 + (uint32_t)stress_below(&self->rng, WR_ACCOUNTS - 1)) % WR_ACCOUNTS;
    for (int i = 0; i < 2; i++) {
        size_t len = wr_key(keys[i], "account", i == 0 ? from : to);
        wr_read(self, keys[i], len, &values[i], &versions[i]);
        ops[i] = (struct tide_op){ .kind = TIDE_OP_CAS, .key = keys[i], .key_len = len, .expected = versions[i] };
        ops[i].value = &values[i];
        ops[i].value_size = sizeof(values[i]);
    }
    uint64_t amount = stress_below(&self->rng, values[0] + 1);
    values[0] -= amount;
    values[1] += amount;
    /* Without a condition, behind two that may fail: then it must not be written either. */
    char trace[32];
    ops[2] = (struct tide_op){ .kind = TIDE_OP_PUT, .key = trace, .key_len = wr_key(trace, "trace", self->number) };
    ops[2].value = &self->writes;
    ops[2].value_size = sizeof(self->writes);
    stress_at("tide_batch");
    int error = tide_batch(self->w->d, self->r, ops, 3, &token, &failed);
    if (error == 0) {
        wr_note(self, token.index, 3);
    } else if (error == TIDE_ERR_MISMATCH && failed < 2) {
        self->mismatches++;
    } else {
        stress_violation("transfer: %s, operation %zu", tide_strerror(error), failed);
    }
}

/* The writer's own key: its last write is there, whichever writer took it along. */
static void wr_own(struct wr_worker *self) {
    char key[32];
    uint64_t value, version;
    struct tide_token token;
    size_t len = wr_key(key, "own", self->number);
    wr_read(self, key, len, &value, &version);
    if (value != self->own) {
        stress_violation("writer %u's own key holds %llu, it wrote %llu", self->number, (unsigned long long)value,
                         (unsigned long long)self->own);
    }
    bool del = stress_below(&self->rng, 4) == 0;
    uint64_t next = del ? 0 : stress_rand(&self->rng) | 1;
    stress_at(del ? "tide_delete" : "tide_put");
    int error = del ? tide_delete(self->w->d, self->r, key, len, &token)
                    : tide_put(self->w->d, self->r, key, len, &next, sizeof(next), &token);
    if (error != 0) {
        stress_violation("own key: %s", tide_strerror(error));
        return;
    }
    self->own = next;
    wr_note(self, token.index, 1);
}

static void *wr_writer(void *worker) {
    struct wr_worker *self = worker;
    if (tide_reader_open(self->w->d, NULL, &self->r) != 0) {
        stress_violation("a writer's session cannot be opened");
        return NULL;
    }
    while (!atomic_load(&self->w->team.stop) && !stress_failed()) {
        switch (stress_below(&self->rng, 4)) {
        case 0:
            wr_increment(self);
            break;
        case 1:
            wr_transfer(self);
            break;
        default:
            wr_own(self);
        }
    }
    tide_reader_close(self->r);
    stress_count("writes", self->writes);
    stress_count("mismatches", self->mismatches);
    return NULL;
}

/* ---- readers ------------------------------------------------------------------------------------------------------ */

/* The accounts of one snapshot always add up. */
static void wr_add_up(struct wr_worker *self, const struct tide_answer *a) {
    uint64_t sum = 0;
    for (uint32_t k = 0; k < WR_ACCOUNTS; k++) {
        char key[32];
        uint64_t value = 0;
        int error = tide_section_get(self->r, key, wr_key(key, "account", k), &value, sizeof(value), NULL, NULL);
        if (error == TIDE_ERR_NOT_FOUND && a->stale) {
            return; /* from before the accounts were opened */
        }
        sum += value;
    }
    if (sum != WR_ACCOUNTS * WR_BALANCE && sum != 0) {
        stress_violation("the accounts at index %llu of replica %u add up to %llu", (unsigned long long)a->index,
                         a->served_by, (unsigned long long)sum);
    }
}

/* The answer says what the bound and the fallback allow, and no more. */
static void wr_check_answer(int error, const struct tide_bound *b, const struct tide_answer *a) {
    bool fits = error == 0 ? a->reason != TIDE_REASON_REFUSED && a->linearizable == (a->staleness_ns == 0 && !a->stale)
                           : a->reason == TIDE_REASON_REFUSED;
    if (error == 0) {
        fits = fits && a->stale == (a->reason == TIDE_REASON_STALE_BY_CHOICE) &&
               (!a->stale || b->fallback == TIDE_FALLBACK_STALE) &&
               (a->stale || a->staleness_ns <= b->max_staleness_ns) &&
               ((a->reason != TIDE_REASON_REDIRECTED && a->reason != TIDE_REASON_BEHIND_REDIRECTED) || a->from_leader);
    } else if (error == TIDE_ERR_REFUSED) {
        fits = fits && b->fallback == TIDE_FALLBACK_ERROR;
    } else if (error == TIDE_ERR_TIMEOUT) {
        fits = fits && b->fallback == TIDE_FALLBACK_WAIT && a->waited_ns >= b->wait_ns;
    } else {
        fits = error == TIDE_ERR_NO_REPLICA && b->fallback != TIDE_FALLBACK_LEADER;
    }
    if (!fits) {
        stress_violation(
            "fallback %u, bound %llu ns: %s, reason %s, stale %u, linearizable %u, staleness %llu, waited %llu of %llu",
            b->fallback, (unsigned long long)b->max_staleness_ns, tide_strerror(error),
            tide_reason_name((enum tide_reason)a->reason), a->stale, a->linearizable,
            (unsigned long long)a->staleness_ns, (unsigned long long)a->waited_ns, (unsigned long long)b->wait_ns);
    }
}

static void *wr_reader(void *worker) {
    struct wr_worker *self = worker;
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    uint64_t reads = 0, served = 0;
    o.replicas = UINT64_C(0xfe); /* the leader by fallback alone */
    o.policy = (enum tide_policy)(self->number % 3);
    if (tide_reader_open(self->w->d, &o, &self->r) != 0) {
        stress_violation("a reader cannot be opened");
        return NULL;
    }
    for (; !atomic_load(&self->w->team.stop) && !stress_failed(); reads++) {
        struct tide_bound b = TIDE_BOUND_INIT;
        struct tide_answer a = TIDE_ANSWER_INIT;
        b.fallback = (uint32_t)stress_below(&self->rng, 4);
        b.max_staleness_ns = stress_below(&self->rng, 2) * stress_below(&self->rng, 3000000);
        b.wait_ns = stress_below(&self->rng, 2) * stress_below(&self->rng, 1000000);
        stress_at("tide_section_begin");
        int error = tide_section_begin(self->r, &b, &a);
        wr_check_answer(error, &b, &a);
        if (error == 0) {
            served++;
            wr_add_up(self, &a);
            tide_section_end(self->r);
        }
        if (stress_below(&self->rng, 16) == 0) {
            stress_sleep_ns(50000);
        }
    }
    tide_reader_counts(self->r, &counts);
    uint64_t counted = 0;
    for (int reason = 0; reason < TIDE_REASONS; reason++) {
        counted += reason != TIDE_REASON_REFUSED ? counts.by_reason[reason] : 0;
    }
    if (counted != served) {
        stress_violation("%llu reads were served, %llu counted", (unsigned long long)served,
                         (unsigned long long)counted);
    }
    tide_reader_close(self->r);
    stress_count("reads", reads);
    return NULL;
}

/* ---- rounds ------------------------------------------------------------------------------------------------------- */

static void wr_open_accounts(struct wr_worker *self) {
    char keys[WR_ACCOUNTS][32];
    uint64_t balance = WR_BALANCE;
    struct tide_op ops[WR_ACCOUNTS] = { 0 };
    struct tide_token token;
    for (uint32_t k = 0; k < WR_ACCOUNTS; k++) {
        ops[k] = (struct tide_op){ .kind = TIDE_OP_CAS, .key = keys[k], .key_len = wr_key(keys[k], "account", k) };
        ops[k].value = &balance;
        ops[k].value_size = sizeof(balance);
    }
    int error = tide_batch(self->w->d, NULL, ops, WR_ACCOUNTS, &token, NULL);
    if (error != 0) {
        stress_violation("the accounts cannot be opened: %s", tide_strerror(error));
        return;
    }
    wr_note(self, token.index, WR_ACCOUNTS);
    error = tide_wait_applied(self->w->d, &token, self->w->setup.followers + 1, UINT64_C(10000000000));
    if (error != 0) {
        stress_violation("tide_wait_applied: %s", tide_strerror(error));
    }
}

static void wr_check_end(struct wr_world *w) {
    struct tide_info info = TIDE_INFO_INIT;
    struct wr_worker self = { .w = w };
    tide_info(w->d, &info);
    if (info.commit_index != atomic_load(&w->highest)) {
        stress_violation("commit is %llu, the highest index given out %llu", (unsigned long long)info.commit_index,
                         (unsigned long long)atomic_load(&w->highest));
    }
    for (uint64_t i = 1; i <= info.commit_index && i < WR_INDEXES; i++) {
        if (!(atomic_load(&w->given[i / 64]) >> (i % 64) & 1)) {
            stress_violation("index %llu was given to nobody", (unsigned long long)i);
            break;
        }
    }
    if (tide_reader_open(w->d, NULL, &self.r) != 0) {
        return;
    }
    for (uint32_t k = 0; k < WR_COUNTERS; k++) {
        char key[32];
        uint64_t value, version, expected = atomic_load(&w->increments[k]);
        wr_read(&self, key, wr_key(key, "counter", k), &value, &version);
        if (value != expected) {
            stress_violation("counter %u is %llu after %llu increments", k, (unsigned long long)value,
                             (unsigned long long)expected);
        }
    }
    tide_reader_close(self.r);
}

void stress_writers_round(uint64_t seed, uint64_t round_ns) {
    struct wr_world w = { .given = calloc(WR_INDEXES / 64, sizeof(uint64_t)) };
    struct wr_worker workers[WR_WRITERS + 4];
    uint64_t rng = seed, start = stress_now_ns();
    stress_draw(&w.setup, &rng);
    w.d = w.given != NULL ? stress_open(&w.setup, NULL) : NULL;
    if (w.d != NULL) {
        uint32_t writers = 2 + (uint32_t)stress_below(&rng, WR_WRITERS - 1), n = 0;
        struct wr_worker opener = { .w = &w };
        wr_open_accounts(&opener);
        for (; n < writers; n++) {
            workers[n] = (struct wr_worker){ .w = &w, .number = n, .rng = stress_rand(&rng) };
            stress_spawn(&w.team, "writer", wr_writer, &workers[n]);
        }
        for (uint32_t i = 0; i < 2; i++, n++) {
            workers[n] = (struct wr_worker){ .w = &w, .number = i, .rng = stress_rand(&rng) };
            stress_spawn(&w.team, "reader", wr_reader, &workers[n]);
        }
        while (stress_now_ns() - start < round_ns && !stress_failed() && atomic_load(&w.highest) < WR_INDEXES / 2) {
            stress_at("waiting for the round's end");
            stress_sleep_ns(5000000);
        }
        stress_join(&w.team);
        if (!stress_failed()) {
            wr_check_end(&w);
            stress_settle(w.d);
        }
        stress_at("tide_close");
        tide_close(w.d);
    }
    free((void *)w.given);
}
