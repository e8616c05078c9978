/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes: indexes, cas, many threads at once. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/lib/one.h"

/* ---- single writes ----------------------------------------------------------------------------------------------- */

static void writes__one_after_another__indexes_without_a_gap(void **state) {
    (void)state;
    struct one o = open_one(0, 0);
    struct tide_token t;
    for (uint64_t i = 1; i <= 300; i++) {
        uint64_t key = i / 3;
        int error = i % 3 == 0   ? tide_delete(o.d, NULL, &key, sizeof(key), &t)
                    : i % 3 == 1 ? tide_put(o.d, NULL, &key, sizeof(key), &i, sizeof(i), &t)
                                 : tide_cas(o.d, NULL, &key, sizeof(key), i - 1, &i, sizeof(i), &t, NULL);
        assert_int_equal(error, 0);
        assert_int_equal(t.index, i);
        assert_int_equal(commit_index(o.d), i);
        assert_int_equal(version_of(o.r, &key, sizeof(key), NULL), i % 3 == 0 ? 0 : i);
    }
    assert_int_equal(tide_delete(o.d, NULL, "never was", 9, &t), 0); /* a write too */
    assert_int_equal(t.index, 301);
    close_one(&o);
}

static void writes__bad_arguments__refused_and_nothing_committed(void **state) {
    (void)state;
    struct one o = open_one(64 * KIB, MIB);
    static uint8_t big[70000];
    struct tide_token t = { 1, 2 };
    uint64_t found = 3;
    size_t failed = 4;
    assert_int_equal(tide_put(NULL, NULL, "k", 1, "v", 1, &t), TIDE_ERR_INVALID);
    assert_int_equal(tide_put(o.d, NULL, NULL, 1, "v", 1, &t), TIDE_ERR_INVALID);
    assert_int_equal(tide_put(o.d, NULL, "k", 0, "v", 1, &t), TIDE_ERR_INVALID);
    assert_int_equal(tide_put(o.d, NULL, "k", 1, NULL, 1, &t), TIDE_ERR_INVALID);
    assert_int_equal(tide_put(o.d, NULL, big, 65536, "v", 1, &t), TIDE_ERR_TOO_BIG);
    assert_int_equal(tide_put(o.d, NULL, "k", 1, big, 16 * KIB, &t), TIDE_ERR_TOO_BIG);
    assert_int_equal(tide_put(o.d, NULL, "k", 1, big, SIZE_MAX, &t), TIDE_ERR_TOO_BIG);
    assert_int_equal(tide_put(o.d, NULL, big, 20000, big, 1, &t),
                     TIDE_ERR_TOO_BIG); /* a quarter of this ring is 16 KiB */
    assert_int_equal(tide_delete(o.d, NULL, "k", 0, &t), TIDE_ERR_INVALID);
    assert_int_equal(tide_cas(o.d, NULL, "k", 0, 0, "v", 1, &t, &found), TIDE_ERR_INVALID);
    struct tide_op op = { .kind = TIDE_OP_PUT, .key = "k", .key_len = 1, .value = "v", .value_size = 1 };
    assert_int_equal(tide_batch(o.d, NULL, NULL, 1, &t, &failed), TIDE_ERR_INVALID);
    assert_int_equal(tide_batch(o.d, NULL, &op, 0, &t, &failed), TIDE_ERR_INVALID);
    assert_int_equal(tide_batch(o.d, NULL, &op, 65537, &t, &failed), TIDE_ERR_INVALID);
    struct tide_op ops[3] = { op, op, op };
    ops[2].kind = (enum tide_op_kind)4;
    assert_int_equal(tide_batch(o.d, NULL, ops, 3, &t, &failed), TIDE_ERR_INVALID);
    ops[2].kind = TIDE_OP_PUT;
    ops[1].key_len = 0;
    assert_int_equal(tide_batch(o.d, NULL, ops, 3, &t, &failed), TIDE_ERR_INVALID);
    ops[1] = op;
    for (int i = 0; i < 3; i++) {
        ops[i].value = big;
        ops[i].value_size = 6000; /* each fits, all do not */
    }
    assert_int_equal(tide_batch(o.d, NULL, ops, 3, &t, &failed), TIDE_ERR_TOO_BIG);
    assert_true(t.incarnation == 1 && t.index == 2 && found == 3 && failed == 4);
    assert_int_equal(commit_index(o.d), 0);

    struct tide *other = help_open(64 * KIB, MIB, 0);
    help_leader(other);
    assert_int_equal(tide_put(other, o.r, "k", 1, "v", 1, NULL), TIDE_ERR_INVALID); /* another domain's session */
    tide_close(other);
    close_one(&o);
}

static void tide_put__largest_sizes__come_back_whole_from_every_replica(void **state) {
    (void)state;
    const uint64_t ring = 4 * MIB;
    struct one o = open_one(ring, 64 * MIB);
    uint32_t follower = help_follower(o.d, 0);
    struct tide_reader *r = help_reader(o.d, TIDE_STICKY, (int32_t)follower, UINT64_C(1) << follower);
    const size_t key_lens[] = { 1, 16, 1000, 65535 };
    uint8_t *value = malloc(ring), *back = malloc(ring), *key = malloc(65536);
    assert_true(value != NULL && back != NULL && key != NULL);
    for (size_t i = 0; i < ring; i++) {
        value[i] = (uint8_t)(i * 31 >> 3);
    }
    memset(key, 'k', 65536);
    for (size_t k = 0; k < sizeof(key_lens) / sizeof(key_lens[0]); k++) {
        size_t most = ring / 4 - 48 - key_lens[k];
        most -= (key_lens[k] + most + 48) % 8; /* frames are multiples of 8 */
        for (size_t size = most + 8; size >= most - 8; size -= 8) {
            struct tide_token t;
            struct tide_put_opts forever = TIDE_PUT_OPTS_INIT; /* and takes no room for an expiry */
            forever.ttl_ns = TIDE_TTL_NONE;
            int error = tide_put_with(o.d, NULL, key, key_lens[k], value, size, &forever, NULL);
            assert_int_equal(error, size > most ? TIDE_ERR_TOO_BIG : 0);
            error = tide_put(o.d, NULL, key, key_lens[k], value, size, &t);
            assert_int_equal(error, size > most ? TIDE_ERR_TOO_BIG : 0);
            if (error != 0) {
                continue;
            }
            struct tide_bound b = TIDE_BOUND_INIT;
            b.fallback = TIDE_FALLBACK_WAIT;
            b.wait_ns = TIDE_UNBOUNDED;
            struct tide_answer a = TIDE_ANSWER_INIT;
            memset(back, 0, size);
            assert_int_equal(tide_get(r, key, key_lens[k], &b, back, ring, &a), 0);
            assert_true(a.value_size == size && a.version == t.index && a.served_by == follower);
            assert_memory_equal(back, value, size);
        }
    }
    help_assert_equal_digests(o.d);
    free(value);
    free(back);
    free(key);
    tide_reader_close(r);
    close_one(&o);
}

/* ---- cas --------------------------------------------------------------------------------------------------------- */

static void tide_cas__as_expected_or_not__written_or_told_what_was_there(void **state) {
    (void)state;
    struct one o = open_one(0, 0);
    struct tide_token t = { 7, 7 };
    uint64_t found = 99, value = 5;
    assert_int_equal(tide_cas(o.d, o.r, "k", 1, 3, &value, 8, &t, &found), TIDE_ERR_MISMATCH);
    assert_true(found == 0 && t.index == 7 && commit_index(o.d) == 0);
    assert_int_equal(tide_cas(o.d, o.r, "k", 1, 0, &value, 8, &t, &found), 0); /* must not exist */
    assert_int_equal(t.index, 1);
    assert_int_equal(tide_cas(o.d, o.r, "k", 1, 0, &value, 8, NULL, &found), TIDE_ERR_MISMATCH);
    assert_int_equal(found, 1);
    assert_int_equal(tide_put(o.d, NULL, "other", 5, "x", 1, NULL), 0);
    assert_int_equal(tide_cas(o.d, NULL, "k", 1, 1, &value, 8, &t, NULL), 0);
    assert_int_equal(t.index, 3);
    assert_int_equal(tide_cas(o.d, NULL, "k", 1, 1, &value, 8, NULL, NULL), TIDE_ERR_MISMATCH);
    assert_int_equal(tide_delete(o.d, NULL, "k", 1, NULL), 0);
    assert_int_equal(tide_cas(o.d, NULL, "k", 1, 3, &value, 8, NULL, &found), TIDE_ERR_MISMATCH);
    assert_int_equal(found, 0);
    assert_int_equal(tide_cas(o.d, NULL, "k", 1, 0, &value, 8, &t, NULL), 0);
    assert_int_equal(version_of(o.r, "k", 1, NULL), 5);
    close_one(&o);
}

struct counting {
    struct tide *d;
    uint64_t adds;
    uint64_t mismatches;
};

static void *count_by_cas(void *arg) {
    struct counting *c = arg;
    struct tide_reader *r;
    if (!help_check(tide_reader_open(c->d, NULL, &r) == 0)) {
        return NULL;
    }
    for (uint64_t n = 0; n < c->adds;) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        uint64_t value = 0;
        int error = tide_get(r, "counter", 7, NULL, &value, sizeof(value), &a);
        help_check(error == 0 || error == TIDE_ERR_NOT_FOUND);
        value++;
        uint64_t found = a.version;
        error = tide_cas(c->d, r, "counter", 7, a.version, &value, sizeof(value), NULL, &found);
        if (error == TIDE_ERR_MISMATCH) {
            help_check(found > a.version);
            c->mismatches++;
        } else if (help_check(error == 0)) {
            n++;
        } else {
            break;
        }
    }
    tide_reader_close(r);
    return NULL;
}

static void tide_cas__by_many_threads__no_count_is_lost(void **state) {
    (void)state;
    struct one o = open_one(0, 0);
    help_follower(o.d, 0);
    enum { THREADS = 4 };
    struct counting c[THREADS];
    pthread_t threads[THREADS];
    uint64_t adds = help_scaled(5000);
    for (int i = 0; i < THREADS; i++) {
        c[i] = (struct counting){ .d = o.d, .adds = adds };
        assert_int_equal(pthread_create(&threads[i], NULL, count_by_cas, &c[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    uint64_t value;
    assert_int_equal(version_of(o.r, "counter", 7, &value), THREADS * adds);
    assert_int_equal(value, THREADS * adds);
    help_assert_equal_digests(o.d);
    close_one(&o);
}

/* ---- many threads ------------------------------------------------------------------------------------------------ */

#define WRITES 20000u

struct writing {
    struct tide *d;
    uint64_t id, count;
    uint64_t indexes[WRITES]; /* got */
};

static void *write_own_keys(void *arg) {
    struct writing *w = arg;
    struct help_rng r = { w->id };
    uint64_t last = 0;
    for (uint64_t n = 0; n < w->count; n++) {
        uint64_t key[2] = { w->id, help_below(&r, 100) };
        struct tide_token t = { 0, 0 };
        int error;
        if (n % 7 == 0) {
            struct tide_op ops[3];
            for (int i = 0; i < 3; i++) {
                ops[i] =
                    (struct tide_op){ .kind = TIDE_OP_PUT, .key = key, .key_len = 16, .value = &n, .value_size = 8 };
            }
            error = tide_batch(w->d, NULL, ops, 3, &t, NULL);
        } else if (n % 5 == 0) {
            error = tide_delete(w->d, NULL, key, 16, &t);
        } else {
            error = tide_put(w->d, NULL, key, 16, &n, 8, &t);
        }
        help_check(error == 0 && t.index > last); /* a thread's writes are in its order */
        last = t.index;
        w->indexes[n] = t.index;
    }
    return NULL;
}

static void writes__by_many_threads__indexes_unique_and_the_last_of_each_stands(void **state) {
    (void)state;
    struct one o = open_one(MIB, 16 * MIB);
    help_follower(o.d, 0);
    enum { THREADS = 6 };
    static struct writing w[THREADS];
    pthread_t threads[THREADS];
    uint64_t total = 0, count = help_scaled(WRITES);
    for (uint64_t i = 0; i < THREADS; i++) {
        w[i] = (struct writing){ .d = o.d, .id = i, .count = count };
        assert_int_equal(pthread_create(&threads[i], NULL, write_own_keys, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    for (uint64_t n = 0; n < count; n++) {
        total += n % 7 == 0 ? 3 : 1;
    }
    total *= THREADS;
    assert_int_equal(commit_index(o.d), total);
    uint8_t *seen = calloc(total + 1, 1);
    assert_non_null(seen);
    for (uint64_t i = 0; i < THREADS; i++) {
        for (uint64_t n = 0; n < count; n++) {
            for (uint64_t k = 0; k < (n % 7 == 0 ? 3u : 1u); k++) {
                assert_int_equal(seen[w[i].indexes[n] - k]++, 0);
            }
        }
    }
    for (uint64_t i = 1; i <= total; i++) {
        assert_int_equal(seen[i], 1);
    }
    free(seen);
    /* Replay each thread's keys. */
    for (uint64_t i = 0; i < THREADS; i++) {
        struct help_rng r = { i };
        uint64_t version[100] = { 0 }, value[100] = { 0 };
        for (uint64_t n = 0; n < count; n++) {
            uint64_t k = help_below(&r, 100);
            version[k] = n % 7 != 0 && n % 5 == 0 ? 0 : w[i].indexes[n];
            value[k] = n;
        }
        for (uint64_t k = 0; k < 100; k++) {
            uint64_t key[2] = { i, k }, got;
            assert_int_equal(version_of(o.r, key, 16, &got), version[k]);
            assert_true(version[k] == 0 || got == value[k]);
        }
    }
    help_assert_equal_digests(o.d);
    close_one(&o);
}

struct restless {
    struct tide *d;
    _Atomic bool stop;
    _Atomic uint64_t done;
};

static void *write_whatever_happens(void *arg) {
    struct restless *w = arg;
    while (!atomic_load(&w->stop)) {
        struct tide_token t = { 0, 0 };
        int error = tide_put(w->d, NULL, "k", 1, "v", 1, &t);
        bool not_done = error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT; /* both are certain */
        help_check((error == 0 && t.index != 0) || (not_done && t.index == 0));
        if (error == 0) {
            atomic_fetch_add(&w->done, 1);
        }
    }
    return NULL;
}

static void writes__while_the_leader_stops_and_starts__done_once_or_refused(void **state) {
    (void)state;
    /* The follower is all that is left between two leaders: it must not be lapped, however busy the machine is. */
    help_write_timeout_ns = 500000000; /* writes that find no leader wait for the next */
    struct tide *d = help_open(64 * KIB, MIB, UINT64_C(60) * 1000000000);
    help_follower(d, 0);
    struct restless w = { .d = d };
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, write_whatever_happens, &w), 0);
    }
    uint64_t rounds = help_scaled(60);
    for (uint64_t i = 0; i < rounds; i++) {
        uint32_t leader = help_leader(d);
        uint64_t before = atomic_load(&w.done);
        while (atomic_load(&w.done) < before + 20) {
            sched_yield();
        }
        assert_int_equal(tide_replica_stop(d, leader), 0);
    }
    atomic_store(&w.stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(d, &info);
    /* Each leader but the first has an entry of its own in the log. */
    assert_int_equal(info.commit_index, atomic_load(&w.done) + rounds - 1);
    assert_int_equal(info.term, rounds);
    help_assert_equal_digests(d);
    tide_close(d);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes__one_after_another__indexes_without_a_gap),
        cmocka_unit_test(writes__bad_arguments__refused_and_nothing_committed),
        cmocka_unit_test(tide_put__largest_sizes__come_back_whole_from_every_replica),
        cmocka_unit_test(tide_cas__as_expected_or_not__written_or_told_what_was_there),
        cmocka_unit_test(tide_cas__by_many_threads__no_count_is_lost),
        cmocka_unit_test(writes__by_many_threads__indexes_unique_and_the_last_of_each_stands),
        cmocka_unit_test(writes__while_the_leader_stops_and_starts__done_once_or_refused),
    };
    return cmocka_run_group_tests_name("writes", tests, NULL, NULL);
}
