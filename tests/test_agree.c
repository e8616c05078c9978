/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replicas of one domain have tables of different sizes: each holds what the leader admits, and a domain grows while it runs. */
#include "tests/lib/help.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#define KIB UINT64_C(1024)
#define SMALL (1024 * KIB)
#define LARGE (2048 * KIB)

/* What the log callback heard. */
static _Atomic unsigned said_full, said_refused;

static void hear(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    (void)level;
    if (strstr(text, "table full") != NULL || strstr(text, "could not join") != NULL) {
        print_message("%s\n", text);
        atomic_fetch_add(&said_full, 1);
    }
    if (strstr(text, "--table") != NULL && strstr(text, "have tables of 2097152 bytes") != NULL) {
        atomic_fetch_add(&said_refused, 1);
    }
}

static struct tide *open_small(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    o.ring_bytes = 64 * KIB;
    o.table_bytes = SMALL;
    o.slow_follower_ns =
        UINT64_C(3600000000000); /* no follower is lapped: one that joins anew does so for want of memory */
    o.write_timeout_ns = UINT64_C(60000000000);
    o.log = hear;
    struct tide *d = NULL;
    assert_int_equal(tide_open(&d, help_name(), &o), 0);
    atomic_store(&said_full, 0);
    atomic_store(&said_refused, 0);
    return d;
}

static int start(struct tide *d, enum tide_role role, uint64_t table_bytes, uint32_t *id) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = role;
    o.table_bytes = table_bytes;
    o.candidate = 1;
    return tide_replica_start(d, &o, id);
}

static uint32_t started(struct tide *d, enum tide_role role, uint64_t table_bytes) {
    uint32_t id = UINT32_MAX;
    assert_int_equal(start(d, role, table_bytes, &id), 0);
    return id;
}

/* Puts of values of so many bytes under keys from *next on, until one is refused: how many. */
static uint64_t fill(struct tide *d, uint64_t *next, size_t value_bytes) {
    static const uint8_t value[4096];
    uint64_t n = 0;
    int error;
    while ((error = tide_put(d, NULL, next, sizeof(*next), value, value_bytes, NULL)) == 0) {
        ++*next;
        n++;
    }
    assert_int_equal(error, TIDE_ERR_FULL);
    return n;
}

/* The leader looks every second whether it may admit more. */
static void await_more(struct tide *d, uint64_t *next) {
    static const uint8_t value[100];
    int error;
    while ((error = tide_put(d, NULL, next, sizeof(*next), value, sizeof(value), NULL)) == TIDE_ERR_FULL) {
        sched_yield();
    }
    assert_int_equal(error, 0);
    ++*next;
}

static void await_leader(struct tide *d, uint32_t id) {
    struct tide_info i = TIDE_INFO_INIT;
    do {
        assert_int_equal(tide_info(d, &i), 0);
        sched_yield();
    } while (i.leader != (int32_t)id);
}

static void nobody_joined_anew(struct tide *d) {
    help_assert_equal_digests(d);
    assert_int_equal(atomic_load(&said_full), 0);
}

static void tide_replica_start__smaller_than_the_others__is_refused_and_told_why(void **state) {
    (void)state;
    struct tide *d = open_small();
    uint64_t next = 0;
    uint32_t leader = started(d, TIDE_LEADER, LARGE), id = UINT32_MAX;
    fill(d, &next, 100);
    assert_int_equal(start(d, TIDE_FOLLOWER, SMALL, &id), TIDE_ERR_INVALID);
    assert_int_equal(start(d, TIDE_FOLLOWER, LARGE - 64 * KIB, &id), TIDE_ERR_INVALID);
    assert_int_equal(id, UINT32_MAX);
    assert_int_equal(atomic_load(&said_refused), 2);
    assert_int_equal(start(d, TIDE_FOLLOWER, SMALL / 2, &id), TIDE_ERR_INVALID); /* less than the domain's */
    /* By default it has as much as the others. */
    uint32_t follower = started(d, TIDE_FOLLOWER, 0);
    assert_int_equal(help_info(d, follower).table_bytes, help_info(d, leader).table_bytes);
    nobody_joined_anew(d);
    /* Where nobody is left, any size will do. */
    assert_int_equal(tide_replica_stop(d, follower), 0);
    assert_int_equal(tide_replica_stop(d, leader), 0);
    tide_close(d);
}

static void domains__whose_replicas_are_replaced_by_larger_ones__hold_more(void **state) {
    (void)state;
    struct tide *d = open_small();
    uint64_t next = 0;
    uint32_t first = started(d, TIDE_LEADER, 0), second = started(d, TIDE_FOLLOWER, 0);
    uint64_t before = fill(d, &next, 100);
    uint32_t larger = started(d, TIDE_FOLLOWER, LARGE);
    /* The larger one leads, and admits no more than the smaller one holds. */
    assert_int_equal(tide_replica_stop(d, first), 0);
    while (help_info(d, larger).role != TIDE_LEADER) { /* one of the two */
        struct tide_info i = TIDE_INFO_INIT;
        assert_int_equal(tide_info(d, &i), 0);
        if (i.leader == (int32_t)second) {
            assert_int_equal(tide_replica_stop(d, second), 0);
            second = started(d, TIDE_FOLLOWER, 0);
        }
        sched_yield();
    }
    await_leader(d, larger);
    if (help_info(d, second).table_bytes < help_info(d, larger).table_bytes) {
        assert_true(fill(d, &next, 100) < before / 50); /* what overwriting keeps */
        nobody_joined_anew(d);
    }
    /* The last small one goes. */
    assert_int_equal(tide_replica_stop(d, second), 0);
    await_more(d, &next);
    uint32_t third = started(d, TIDE_FOLLOWER, 0);
    assert_int_equal(help_info(d, third).table_bytes, help_info(d, larger).table_bytes);
    fill(d, &next, 100);
    assert_true(next > 2 * before - before / 10);
    nobody_joined_anew(d);
    tide_close(d);
}

/* Replicas of any size come and go, also the leader's, while a small domain is filled, overwritten and emptied. */
static void replicas__of_random_sizes_that_come_and_go__never_join_anew_for_memory(void **state) {
    (void)state;
    static const uint8_t value[4096];
    struct help_rng rng = { help_seed() };
    struct tide *d = open_small();
    uint32_t ids[6];
    size_t n = 0;
    ids[n++] = started(d, TIDE_LEADER, 0);
    uint64_t turns = help_scaled(300), refused = 0;
    for (uint64_t turn = 0; turn < turns; turn++) {
        uint64_t what = help_below(&rng, 8);
        if (what == 0 && n < 6) {
            uint32_t id = UINT32_MAX;
            int error = start(d, TIDE_FOLLOWER, SMALL + help_below(&rng, 9) * 128 * KIB, &id);
            if (error != 0 && error != TIDE_ERR_INVALID) {
                print_message("starting a replica: %s\n", tide_strerror(error));
            }
            assert_true(error == 0 || error == TIDE_ERR_INVALID);
            refused += error != 0;
            n += error == 0;
            ids[n - 1] = error == 0 ? id : ids[n - 1];
        } else if (what == 1 && n > 1) {
            size_t k = (size_t)help_below(&rng, n);
            assert_int_equal(tide_replica_stop(d, ids[k]), 0); /* where it led, another of this handle takes over */
            ids[k] = ids[--n];
        }
        for (uint64_t i = 0; i < 200; i++) {
            uint64_t key = help_below(&rng, 4000);
            size_t bytes = (size_t)help_below(&rng, turn % 3 == 0 ? 4096 : 300);
            int error = help_below(&rng, 4) == 0 ? tide_delete(d, NULL, &key, sizeof(key), NULL)
                                                 : tide_put(d, NULL, &key, sizeof(key), value, bytes, NULL);
            assert_true(error == 0 || error == TIDE_ERR_FULL);
        }
        if (turn % 16 == 0) {
            nobody_joined_anew(d);
        }
    }
    print_message("%llu replicas were refused\n", (unsigned long long)refused);
    nobody_joined_anew(d);
    tide_close(d);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_replica_start__smaller_than_the_others__is_refused_and_told_why),
        cmocka_unit_test(domains__whose_replicas_are_replaced_by_larger_ones__hold_more),
        cmocka_unit_test(replicas__of_random_sizes_that_come_and_go__never_join_anew_for_memory),
    };
    return cmocka_run_group_tests_name("agree", tests, NULL, NULL);
}
