/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replicas come and go in any order, under readers and writers. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)

/* ---- replicas ---------------------------------------------------------------------------------------------------- */

static void tide_replica_start__bad_options__invalid_and_slot_stays_free(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    const struct tide_replica_opts good = TIDE_REPLICA_OPTS_INIT;
    struct tide_replica_opts bad[10];
    size_t n = 0;
    bad[n] = good, bad[n++].size = 47;
    bad[n] = good, bad[n++].id = 64;
    bad[n] = good, bad[n++].candidate = 2;
    bad[n] = good, bad[n++].role = (enum tide_role)2;
    bad[n] = good, bad[n++].apply_delay_ns = UINT64_C(3600) * 1000 * MS + 1;
    bad[n] = good, bad[n].role = TIDE_LEADER, bad[n++].apply_delay_ns = 1;
    bad[n] = good, bad[n++].table_bytes = MIB - 1;
    bad[n] = good, bad[n++].table_bytes = UINT64_C(61) << 30;
    for (size_t i = 0; i < n; i++) {
        uint32_t id = 77;
        assert_int_equal(tide_replica_start(d, &bad[i], &id), TIDE_ERR_INVALID);
        assert_int_equal(id, 77);
    }
    for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
        assert_int_equal(help_state(d, i), TIDE_STATE_FREE);
    }
    tide_close(d);
}

static void tide_replica_start__slots__asked_for_or_first_free_or_taken(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 256 * KIB, 0);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint32_t id;
    o.id = 5;
    o.label = "a label that is longer than thirty-one bytes";
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    assert_int_equal(id, 5);
    assert_int_equal(strlen(help_info(d, 5).label), 31);
    assert_int_equal(tide_replica_start(d, &o, &id), TIDE_ERR_BUSY);
    assert_int_equal(help_follower(d, 0), 0);
    assert_string_equal(help_info(d, 0).label, "r0");
    assert_int_equal(tide_replica_stop(d, 5), 0);
    assert_int_equal(help_state(d, 5), TIDE_STATE_STOPPED);
    assert_int_equal(tide_replica_stop(d, 5), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    tide_close(d);
}

static void tide_replica_start__all_slots__then_no_more(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 256 * KIB, 0);
    help_leader(d);
    for (uint32_t i = 1; i < TIDE_REPLICAS; i++) {
        assert_int_equal(help_follower(d, 0), i);
    }
    uint32_t id = 99;
    assert_int_equal(tide_replica_start(d, NULL, &id), TIDE_ERR_SLOTS);
    struct tide_token token;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(help_put(d, "x", (uint64_t)i, &token), 0);
    }
    assert_int_equal(tide_wait_applied(d, &token, TIDE_REPLICAS, UINT64_MAX), 0);
    help_assert_equal_digests(d);
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(d, &info);
    assert_int_equal(info.replicas, 64);
    tide_close(d);
}

static struct tide *open_named(const char *name) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

static void tide_replica_start__second_leader__busy(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *a = open_named(name), *b = open_named(name);
    uint32_t leader = help_leader(a);
    struct tide_replica_opts po = TIDE_REPLICA_OPTS_INIT;
    po.role = TIDE_LEADER;
    assert_int_equal(tide_replica_start(a, &po, NULL), TIDE_ERR_BUSY);
    assert_int_equal(tide_replica_start(b, &po, NULL), TIDE_ERR_BUSY);
    assert_int_equal(tide_replica_stop(b, leader), TIDE_ERR_INVALID); /* another handle's */
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(b, &info);
    assert_int_equal(info.replicas, 1);
    assert_int_equal(info.leader, leader);
    tide_replica_stop(a, leader);
    assert_int_equal(tide_replica_start(b, &po, NULL), 0);
    assert_int_equal(help_put(b, "k", 1, NULL), 0);
    assert_int_equal(help_put(a, "k", 2, NULL), 0); /* through a lane */
    assert_int_equal(tide_info(a, &info), 0);
    assert_int_equal(info.leader, leader);
    tide_close(a);
    tide_close(b);
    tide_unlink(name);
}

static void two_handles__of_one_process__followers_of_the_other_see_the_writes(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *a = open_named(name), *b = open_named(name);
    help_leader(a);
    help_follower(b, 0);
    struct tide_reader *r = help_reader(b, TIDE_STICKY, -1, 0);
    struct tide_token token;
    for (uint64_t i = 1; i <= 1000; i++) {
        assert_int_equal(help_put(a, "k", i, &token), 0);
        struct tide_bound bound = TIDE_BOUND_INIT;
        bound.fallback = TIDE_FALLBACK_WAIT;
        bound.wait_ns = TIDE_UNBOUNDED;
        bound.min = token;
        uint64_t value = 0;
        assert_int_equal(tide_get(r, "k", 1, &bound, &value, sizeof(value), NULL), 0);
        assert_int_equal(value, i); /* perhaps of the leader's replica */
    }
    assert_int_equal(tide_wait_applied(b, &token, 2, TIDE_UNBOUNDED), 0);
    tide_close(a);
    assert_int_equal(help_get(r, "k"), 1000); /* the leader is gone, what was committed is not */
    tide_close(b);
    tide_reader_close(r);
    tide_unlink(name);
}

/* ---- leaders come and go ----------------------------------------------------------------------------------------- */

static void tide_replica_stop__of_the_leader__writes_refused_reads_go_on_and_the_next_has_everything(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 60000 * MS);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    uint64_t value = 7;
    assert_int_equal(tide_get(r, "k", 1, NULL, &value, sizeof(value), NULL), TIDE_ERR_NO_LEADER);
    assert_int_equal(help_put(d, "k", 1, NULL), TIDE_ERR_NO_LEADER);
    uint32_t follower = help_follower(d, 0);
    uint64_t n = 0, term = 0;
    for (int round = 0; round < 10; round++) {
        uint32_t leader = help_leader(d);
        struct tide_info info = TIDE_INFO_INIT;
        tide_info(d, &info);
        assert_true(info.term > term);
        term = info.term;
        assert_int_equal(info.leader, leader);
        if (round > 0) {
            assert_int_equal(help_get(r, "k"), n);
        }
        /* More than the ring holds, so that the next leader cannot have it from the log. */
        struct tide_token token;
        for (int i = 0; i < 2000; i++) {
            assert_int_equal(help_put(d, "k", ++n, &token), 0);
        }
        tide_wait_applied(d, &token, 2, UINT64_MAX);
        assert_int_equal(tide_replica_stop(d, leader), 0);
        tide_info(d, &info);
        assert_int_equal(info.leader, -1);
        struct tide_token untouched = { 1, 2 };
        assert_int_equal(help_put(d, "k", 0, &untouched), TIDE_ERR_NO_LEADER);
        assert_true(untouched.incarnation == 1 && untouched.index == 2);
        struct tide_answer a = TIDE_ANSWER_INIT;
        assert_int_equal(tide_get(r, "k", 1, NULL, &value, sizeof(value), &a), 0);
        assert_int_equal(value, n);
        assert_int_equal(a.served_by, follower);
        assert_int_equal(a.reason, TIDE_REASON_FRESH);
        assert_int_equal(a.linearizable, 1);
        assert_int_equal(a.from_leader, 0);
        help_assert_equal_digests(d);
    }
    assert_true(help_info(d, help_leader(d)).joins > 0);
    help_assert_equal_digests(d);
    tide_reader_close(r);
    tide_close(d);
}

static void tide_replica_start__of_a_log_that_lost_its_start_with_nobody_to_copy_from__no_replica(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    uint32_t leader = help_leader(d);
    for (uint64_t i = 0; i < 5000; i++) {
        assert_int_equal(help_put(d, "k", i, NULL), 0);
    }
    tide_replica_stop(d, leader);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    assert_int_equal(tide_replica_start(d, &o, NULL), TIDE_ERR_NO_REPLICA);
    o.role = TIDE_LEADER;
    assert_int_equal(tide_replica_start(d, &o, NULL), TIDE_ERR_NO_REPLICA);
    tide_close(d);
}

/* ---- stopping and closing with readers --------------------------------------------------------------------------- */

struct reading {
    struct tide *d;
    _Atomic bool stop;
    _Atomic uint64_t reads;
};

static void followers__that_spin_before_they_sleep__apply_and_stop(void **state) {
    (void)state;
    static const uint64_t spins[] = { 1, 300000, TIDE_UNBOUNDED };
    struct tide *d = help_open(0, 0, 0);
    uint32_t ids[3];
    help_leader(d);
    for (int i = 0; i < 3; i++) {
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        o.spin_ns = spins[i];
        assert_int_equal(tide_replica_start(d, &o, &ids[i]), 0);
    }
    for (uint64_t n = 0; n < 20; n++) {
        struct tide_token token;
        assert_int_equal(tide_put(d, NULL, "k", 1, &n, sizeof(n), &token), 0);
        assert_int_equal(tide_wait_applied(d, &token, 4, UINT64_C(60000000000)), 0);
        usleep(n % 2 == 0 ? 0 : 1000); /* some of them sleep by now, some do not */
    }
    help_assert_equal_digests(d);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tide_replica_stop(d, ids[i]), 0); /* also the one that never sleeps */
    }
    assert_int_equal(tide_close(d), 0);
}

static void *read_until_stopped(void *arg) {
    struct reading *c = arg;
    struct tide_reader *r = NULL;
    if (!help_check(tide_reader_open(c->d, NULL, &r) == 0)) {
        return NULL;
    }
    struct tide_bound bound = TIDE_BOUND_INIT;
    bound.max_staleness_ns = TIDE_UNBOUNDED;
    uint64_t last = 0;
    while (!atomic_load(&c->stop)) {
        uint64_t value = 0;
        struct tide_answer a = TIDE_ANSWER_INIT;
        int error = tide_get(r, "k", 1, &bound, &value, sizeof(value), &a);
        help_check(error == 0 || error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_NO_LEADER ||
                   error == TIDE_ERR_TIMEOUT || error == TIDE_ERR_CLOSED);
        if (error == 0) {
            help_check(value >= last && a.index >= value); /* monotonic, and value v was written at index v or later */
            last = value;
        }
        atomic_fetch_add(&c->reads, 1);
        if (error == TIDE_ERR_CLOSED) {
            break;
        }
    }
    help_check(tide_reader_close(r) == 0);
    return NULL;
}

static void replicas__stopped_and_started_in_any_order_under_readers__answers_stay_monotonic(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    /* Followers are all that is left between two leaders: none must be lapped, however busy the machine is. */
    struct tide *d = help_open(64 * KIB, MIB, 60000 * MS);
    struct reading c = { .d = d };
    int32_t leader = (int32_t)help_leader(d);
    help_follower(d, 0);
    help_follower(d, 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_until_stopped, &c), 0);
    }
    uint64_t n = 0;
    for (uint64_t round = 0; round < help_scaled(150); round++) {
        for (int i = 0; i < 50 && leader >= 0; i++) {
            assert_int_equal(help_put(d, "k", ++n, NULL), 0);
        }
        uint32_t running[TIDE_REPLICAS], count = 0;
        for (uint32_t i = 0; i < TIDE_REPLICAS; i++) {
            enum tide_state s = help_state(d, i);
            if (s != TIDE_STATE_FREE && s != TIDE_STATE_STOPPED) {
                running[count++] = i;
            }
        }
        uint32_t which = running[help_below(&r, count)];
        if (leader < 0) {
            leader = (int32_t)help_leader(d);
        } else if (count < 3 || (count < 5 && help_below(&r, 2) == 0)) {
            help_follower(d, 0);
        } else {
            assert_int_equal(tide_replica_stop(d, which), 0);
            leader = (int32_t)which == leader ? -1 : leader;
        }
    }
    help_assert_equal_digests(d);
    assert_int_equal(tide_close(d), 0); /* under the readers: they get TIDE_ERR_CLOSED and end */
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_true(atomic_load(&c.reads) > 0);
    help_assert_threads();
}

static void tide_close__before_its_readers__they_answer_closed(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    help_leader(d);
    help_follower(d, 0);
    help_put(d, "k", 5, NULL);
    struct tide_reader *readers[3];
    for (int i = 0; i < 3; i++) {
        readers[i] = help_reader(d, (enum tide_policy)i, -1, 0);
        assert_int_equal(help_get(readers[i], "k"), 5);
    }
    assert_int_equal(tide_close(d), 0);
    for (int i = 0; i < 3; i++) {
        uint64_t value = 1;
        struct tide_answer a = TIDE_ANSWER_INIT;
        for (uint32_t fallback = 0; fallback <= TIDE_FALLBACK_STALE; fallback++) {
            struct tide_bound bound = TIDE_BOUND_INIT;
            bound.fallback = fallback;
            assert_int_equal(tide_get(readers[i], "k", 1, &bound, &value, sizeof(value), &a), TIDE_ERR_CLOSED);
        }
        assert_int_equal(tide_section_begin(readers[i], NULL, NULL), TIDE_ERR_CLOSED);
        assert_int_equal(value, 1);
        assert_int_equal(tide_reader_close(readers[i]), 0);
    }
}

static void tide_reader_close__with_an_open_section__ends_it(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    uint32_t leader = help_leader(d);
    help_put(d, "k", 5, NULL);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(help_put(d, "k", 6, NULL), 0); /* not in a section any more */
    assert_int_equal(tide_replica_stop(d, leader), 0);
    tide_close(d);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_replica_start__bad_options__invalid_and_slot_stays_free),
        cmocka_unit_test(tide_replica_start__slots__asked_for_or_first_free_or_taken),
        cmocka_unit_test(tide_replica_start__all_slots__then_no_more),
        cmocka_unit_test(tide_replica_start__second_leader__busy),
        cmocka_unit_test(two_handles__of_one_process__followers_of_the_other_see_the_writes),
        cmocka_unit_test(tide_replica_stop__of_the_leader__writes_refused_reads_go_on_and_the_next_has_everything),
        cmocka_unit_test(tide_replica_start__of_a_log_that_lost_its_start_with_nobody_to_copy_from__no_replica),
        cmocka_unit_test(followers__that_spin_before_they_sleep__apply_and_stop),
        cmocka_unit_test(replicas__stopped_and_started_in_any_order_under_readers__answers_stay_monotonic),
        cmocka_unit_test(tide_close__before_its_readers__they_answer_closed),
        cmocka_unit_test(tide_reader_close__with_an_open_section__ends_it),
    };
    return cmocka_run_group_tests_name("replicas", tests, NULL, NULL);
}
