/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replicas that join while others write, and that are lapped. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)

/* ---- joining ----------------------------------------------------------------------------------------------------- */

struct churn {
    struct tide *d;
    _Atomic bool stop;
    _Atomic uint64_t written;
    uint64_t keys;
};

static void *churn_write(void *arg) {
    struct churn *c = arg;
    struct help_rng r = { 42 };
    uint8_t value[200];
    for (uint64_t n = 0; !atomic_load(&c->stop); n++) {
        uint64_t key = help_below(&r, c->keys);
        memset(value, (int)n, sizeof(value));
        int error = help_below(&r, 4) == 0
                        ? tide_delete(c->d, NULL, &key, sizeof(key), NULL)
                        : tide_put(c->d, NULL, &key, sizeof(key), value, help_below(&r, sizeof(value)), NULL);
        if (!help_check(error == 0)) {
            break;
        }
        atomic_fetch_add(&c->written, 1);
    }
    return NULL;
}

static void tide_replica_start__while_somebody_writes__joins_and_has_the_same_digest(void **state) {
    (void)state;
    struct tide *d = help_open(256 * KIB, 4 * MIB, 1000 * MS);
    help_leader(d);
    struct churn c = { .d = d, .keys = 5000 };
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, churn_write, &c), 0);
    while (atomic_load(&c.written) < 20000) {
        sched_yield(); /* several laps of the ring: a newcomer must copy */
    }
    for (uint64_t round = 0; round < help_scaled(10); round++) {
        uint32_t id = help_follower(d, 0);
        assert_int_equal(help_state(d, id), TIDE_STATE_SERVING);
        assert_true(help_info(d, id).joins > 0);
        if (round % 2 == 0) {
            assert_int_equal(tide_replica_stop(d, id), 0);
        }
    }
    atomic_store(&c.stop, true);
    pthread_join(writer, NULL);
    help_assert_threads();
    help_assert_equal_digests(d);
    tide_close(d);
}

static void follower__lapped__joins_anew_and_is_equal_again(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 1 * MS);
    uint32_t leader = help_leader(d), slow = help_follower(d, UINT64_C(3600) * 1000 * MS), fast = help_follower(d, 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)slow, UINT64_C(1) << slow);
    uint64_t n = 0;
    struct tide_token token;
    while (help_info(d, slow).lapped == 0) {
        assert_int_equal(help_put(d, n % 2 == 0 ? "even" : "odd", n, &token), 0);
        n++;
    }
    assert_int_equal(help_info(d, leader).lapped, 0);
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(d, &info);
    assert_true(info.lapped_total >= 1);
    tide_replica_set_delay(d, slow, 0);
    help_assert_equal_digests(d);
    assert_int_equal(help_state(d, slow), TIDE_STATE_SERVING);
    assert_true(help_info(d, slow).joins >= 1);
    uint64_t value = 0;
    struct tide_answer a = TIDE_ANSWER_INIT;
    assert_int_equal(tide_get(r, "even", 4, NULL, &value, sizeof(value), &a), 0);
    assert_int_equal(value, (n - 1) / 2 * 2);
    assert_int_equal(a.served_by, slow);
    assert_int_equal(help_state(d, fast), TIDE_STATE_SERVING);
    tide_reader_close(r);
    tide_close(d);
}

static void followers__with_a_ring_too_small_for_the_writes__lose_nothing(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 4 * MIB, 1); /* the leader waits for no follower */
    help_leader(d);
    for (int i = 0; i < 3; i++) {
        help_follower(d, 0);
    }
    static uint8_t value[8000];
    for (uint64_t i = 0; i < help_scaled(20000); i++) {
        uint64_t key = i % 100;
        assert_int_equal(tide_put(d, NULL, &key, sizeof(key), value, key * 80 % sizeof(value), NULL), 0);
    }
    help_assert_equal_digests(d);
    tide_close(d);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_replica_start__while_somebody_writes__joins_and_has_the_same_digest),
        cmocka_unit_test(follower__lapped__joins_anew_and_is_equal_again),
        cmocka_unit_test(followers__with_a_ring_too_small_for_the_writes__lose_nothing),
    };
    return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
