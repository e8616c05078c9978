/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * No replica runs out of memory where the leader did not: random histories of sizes, deletes, batches, lives, joins at any moment, changes
 * of leader, in tables that are full most of the time, and refuse or evict. Nobody may fail or join anew, and in the end all have one sum.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/replica/domain.h"
#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MOST 5u /* replicas at a time */
#define VALUE_MOST (64 * KIB)

struct world {
    struct tide *d;
    struct help_rng r;
    uint32_t ids[MOST], count; /* in the order in which they started */
    uint64_t ring, keys, range, most, kind;
    struct tide_token last;
    bool evicts, lives; /* keys are evicted; some values expire */
    uint64_t puts, full, changes;
};

static _Atomic uint32_t complaints;

static void complain(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level == TIDE_LOG_ERROR || strstr(text, "joins anew") != NULL) {
        printf("# %s\n", text);
        atomic_fetch_add(&complaints, 1);
    }
}

static void assert_nobody_failed(const struct world *w) {
    assert_int_equal(atomic_load(&complaints), 0);
    for (uint32_t i = 0; i < w->count; i++) {
        assert_int_equal(help_state(w->d, w->ids[i]), TIDE_STATE_SERVING);
    }
}

static void start(struct world *w, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = role;
    o.candidate = role == TIDE_LEADER || help_below(&w->r, 2);
    int error = tide_replica_start(w->d, &o, &w->ids[w->count]);
    if (error != 0) {
        fail_msg("a replica could not join: %s", tide_strerror(error));
    }
    w->count++;
}

static void stop(struct world *w, uint32_t at) {
    assert_int_equal(tide_replica_stop(w->d, w->ids[at]), 0);
    w->count--;
    memmove(&w->ids[at], &w->ids[at + 1], (w->count - at) * sizeof(w->ids[0]));
}

static bool is_led(const struct world *w) {
    for (uint32_t i = 0; i < w->count; i++) {
        if (help_info(w->d, w->ids[i]).role == TIDE_LEADER) {
            return true;
        }
    }
    return false;
}

/* The leader leaves. A candidate takes the lead, the youngest or the oldest; where there is none, a new replica does. */
static void change_leader(struct world *w) {
    assert_int_equal(tide_wait_applied(w->d, &w->last, w->count, UINT64_MAX), 0);
    bool candidates = false;
    uint32_t leader = MOST;
    for (uint32_t i = 0; i < w->count; i++) {
        bool leads = help_info(w->d, w->ids[i]).role == TIDE_LEADER;
        leader = leads ? i : leader;
        candidates |= !leads && atomic_load(&w->d->running[w->ids[i]])->candidate;
    }
    if (leader == MOST || w->count == 1) {
        return;
    }
    stop(w, leader);
    while (candidates && !is_led(w)) {
        usleep(200);
    }
    if (!candidates) {
        start(w, TIDE_LEADER);
    }
    w->changes++;
}

static size_t size_of(struct world *w) {
    switch ((w->kind + help_below(&w->r, 8) / 7) % 5) {
    case 0:
        return help_below(&w->r, 120);
    case 1:
        return help_below(&w->r, w->most);
    case 2:
        return help_below(&w->r, w->most < 3000 ? w->most : 3000);
    case 3:
        return w->most - help_below(&w->r, 64);
    default:
        return 64;
    }
}

/* A domain that evicts makes room for one put; the keys of a batch are not evicted for it, and they may be most of a small table. */
static void note(struct world *w, int error, bool single) {
    assert_true(error == 0 || (error == TIDE_ERR_FULL && !(w->evicts && single)));
    w->puts += error == 0;
    w->full += error == TIDE_ERR_FULL;
}

/* Mostly none; short ones that expire in the middle of everything, long ones that are never over here. */
static uint64_t ttl_of(struct world *w) {
    const uint64_t ttls[] = { 0, 0, UINT64_C(2000000), UINT64_C(3600000000000) };
    return w->lives ? ttls[help_below(&w->r, 4)] : 0;
}

static void write_one(struct world *w) {
    static uint8_t value[VALUE_MOST];
    char key[16];
    size_t len = (size_t)snprintf(key, sizeof(key), "key%llu", (unsigned long long)help_below(&w->r, w->range));
    if (help_below(&w->r, 6) == 0) {
        assert_int_equal(tide_delete(w->d, NULL, key, len, &w->last), 0);
        return;
    }
    size_t size = size_of(w);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = ttl_of(w);
    o.flags =
        w->evicts && size < 100 && help_below(&w->r, 16) == 0 ? TIDE_KEEP : 0; /* few enough for others to have room */
    if (w->lives && help_below(&w->r, 12) == 0) {
        int error = tide_touch(w->d, NULL, key, len, ttl_of(w), &w->last);
        assert_true(error == 0 || error == TIDE_ERR_NOT_FOUND || (error == TIDE_ERR_FULL && !w->evicts));
        return;
    }
    int error = tide_put_with(w->d, NULL, key, len, value, size, &o, &w->last);
    note(w, error, true);
    if (error == TIDE_ERR_FULL && help_below(&w->r, 2) == 0) {
        assert_int_equal(tide_delete(w->d, NULL, key, len, &w->last), 0);
    }
}

/* What was refused does not fit by the sum that decides it: memory that is in pieces is no reason. Where nothing expires meanwhile, and
 * nothing is taken out of the sum by other entries. */
static void assert_does_not_fit(const struct world *w, const struct tide_write_op *ops, uint64_t n) {
    for (uint32_t i = 0; i < w->count; i++) {
        if (help_info(w->d, w->ids[i]).role == TIDE_LEADER) {
            const struct table_writer *t = &atomic_load(&w->d->running[w->ids[i]])->writer;
            struct table_batch batch = { 0 };
            for (uint64_t k = 0; k < n; k++) {
                if (ops[k].kind == TIDE_OP_PUT) {
                    table_batch_add(t, &batch, ops[k].key_len + ops[k].value_size);
                }
            }
            assert_false(table_admits_batch(t, &batch, 0));
        }
    }
}

/* Mostly a few operations; some have hundreds, which may take all that is free. */
static void write_batch(struct world *w) {
    enum { OPS = 400 };
    static uint8_t value[VALUE_MOST];
    static char keys[OPS][16];
    static struct tide_write_op ops[OPS];
    uint64_t room = w->ring / 4 - 4 * KIB, n = 1 + help_below(&w->r, help_below(&w->r, 4) == 0 ? OPS : 12);
    n = n < room / 200 ? n : room / 200;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t size = size_of(w);
        size = size < room / n - 100 ? size : room / n - 100;
        int len = snprintf(keys[i], sizeof(keys[i]), "key%llu", (unsigned long long)help_below(&w->r, w->range));
        ops[i] = (struct tide_write_op)TIDE_WRITE_OP_INIT;
        ops[i].kind = help_below(&w->r, 5) == 0 ? TIDE_OP_DELETE : TIDE_OP_PUT;
        ops[i].key = keys[i];
        ops[i].key_len = (size_t)len;
        ops[i].value = value;
        ops[i].value_size = size;
        ops[i].ttl_ns = ops[i].kind == TIDE_OP_PUT ? ttl_of(w) : 0;
    }
    int error = tide_write(w->d, NULL, ops, n, &w->last, NULL);
    note(w, error, n == 1);
    if (error == TIDE_ERR_FULL && !w->lives) {
        assert_does_not_fit(w, ops, n);
    }
}

static bool is_alike(const struct world *w) {
    const struct arena *first = &atomic_load(&w->d->running[w->ids[0]])->writer.arena;
    for (uint32_t i = 1; i < w->count; i++) {
        const struct arena *a = &atomic_load(&w->d->running[w->ids[i]])->writer.arena;
        if (a->live != first->live || arena_transit(a, 0) != arena_transit(first, 0)) {
            return false;
        }
    }
    return true;
}

/* The leader removes expired keys at instants of its own: compare again until it has made no entry meanwhile. Its tables' words, which are no
 * atomics, are compared where nothing expires. */
static void assert_all_agree(struct world *w) {
    struct tide_verify v = TIDE_VERIFY_INIT;
    uint64_t commit;
    bool alike;
    do {
        commit = board_commit(w->d->log);
        assert_int_equal(
            tide_wait_applied(w->d, &(struct tide_token){ w->last.incarnation, commit }, w->count, UINT64_MAX), 0);
        assert_int_equal(tide_verify(w->d, &v), 0);
        assert_int_equal(v.differing, 0);
        assert_int_equal(v.damaged, 0);
        alike = w->lives || is_alike(w);
    } while (board_commit(w->d->log) != commit);
    assert_int_equal(v.compared, w->count);
    assert_true(alike);
}

static void history(struct world *w, uint64_t steps) {
    start(w, TIDE_LEADER);
    assert_int_equal(tide_put(w->d, NULL, "key0", 4, "", 0, &w->last), 0);
    for (uint64_t i = 0; i < steps; i++) {
        uint64_t what = help_below(&w->r, 1000);
        if (what < 5) {
            w->kind = help_below(&w->r, 5);
            w->range = help_below(&w->r, 2) == 0 ? 23 : w->keys;
        } else if (what < 10 && w->count < MOST) {
            start(w, TIDE_FOLLOWER);
        } else if (what < 13 && w->count > 1) {
            uint32_t at = (uint32_t)help_below(&w->r, w->count);
            if (help_info(w->d, w->ids[at]).role != TIDE_LEADER) {
                stop(w, at);
            }
        } else if (what < 15) {
            change_leader(w);
        } else if (what < 80) {
            write_batch(w);
        } else {
            write_one(w);
        }
        if (i % 64 == 0) {
            assert_nobody_failed(w);
        }
    }
    assert_all_agree(w);
    assert_nobody_failed(w);
}

static void histories__tables_full_most_of_the_time__nobody_runs_out(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    uint64_t puts = 0, full = 0, changes = 0, evicted = 0, expired = 0;
    for (uint64_t round = 0; round < help_scaled(40); round++) {
        struct world w = { .r = { help_random(&r) }, .keys = 50 + help_below(&r, 4000), .ring = 64 * KIB };
        w.ring <<= help_below(&r, 5);
        w.range = w.keys;
        w.most = w.ring / 4 - 600;
        w.most = help_below(&r, 3) == 0 ? 700 : w.most < VALUE_MOST ? w.most : VALUE_MOST;
        struct tide_opts o = TIDE_OPTS_INIT;
        o.flags |= TIDE_EPHEMERAL;
        o.ring_bytes = w.ring;
        o.table_bytes = (w.ring < 256 * KIB ? 256 * KIB : w.ring) + help_below(&r, 3) * 200 * KIB;
        o.slow_follower_ns = UINT64_C(600) * 1000000000;
        o.log = complain;
        w.evicts = round % 4 >= 2;
        w.lives = round % 2 == 1;
        o.evict = w.evicts ? TIDE_EVICT_S3FIFO : TIDE_EVICT_NONE;
        assert_int_equal(tide_open(&w.d, help_name(), &o), 0);
        history(&w, 3000);
        struct tide_info info = TIDE_INFO_INIT;
        assert_int_equal(tide_info(w.d, &info), 0);
        evicted += info.evicted_total;
        expired += info.expired_total;
        puts += w.puts;
        full += w.full;
        changes += w.changes;
        assert_int_equal(tide_close(w.d), 0);
    }
    printf("# %llu puts, %llu refused, %llu changes of leader, %llu keys evicted, %llu expired\n",
           (unsigned long long)puts, (unsigned long long)full, (unsigned long long)changes, (unsigned long long)evicted,
           (unsigned long long)expired);
    assert_true(full > 0 && changes > 0);
    assert_true((evicted > 0 && expired > 0) ||
                help_scaled(40) < 40); /* few histories may all be of domains that do not evict */
}

int main(void) {
    help_start(240);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories__tables_full_most_of_the_time__nobody_runs_out),
    };
    return cmocka_run_group_tests_name("memory_model", tests, NULL, NULL);
}
