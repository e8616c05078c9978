/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batches, and writes into full tables. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/log/sequencer.h"
#include "shm/board.h"
#include "shm/nap.h"
#include "tests/lib/one.h"

/* ---- batches ----------------------------------------------------------------------------------------------------- */

static struct tide_op op_of(enum tide_op_kind kind, const char *key, const uint64_t *value, uint64_t expected) {
    return (struct tide_op){ .kind = kind,
                             .key = key,
                             .key_len = strlen(key),
                             .value = value,
                             .value_size = value != NULL ? sizeof(*value) : 0,
                             .expected = expected };
}

static void tide_batch__of_all_kinds__one_after_another_with_an_index_each(void **state) {
    (void)state;
    struct one o = open_one(0, 0);
    const uint64_t v[] = { 10, 11, 12, 13, 14, 15 };
    assert_int_equal(tide_put(o.d, NULL, "c", 1, &v[0], 8, NULL), 0); /* 1 */
    assert_int_equal(tide_put(o.d, NULL, "d", 1, &v[0], 8, NULL), 0); /* 2 */
    struct tide_op ops[] = {
        op_of(TIDE_OP_PUT, "a", &v[1], 0),       op_of(TIDE_OP_PUT, "b", &v[2], 0),
        op_of(TIDE_OP_CAS, "c", &v[3], 1),       op_of(TIDE_OP_DELETE, "d", NULL, 0),
        op_of(TIDE_OP_DELETE, "a", NULL, 0),     op_of(TIDE_OP_PUT, "a", &v[4], 0),
        op_of(TIDE_OP_CAS, "new", &v[5], 0),     op_of(TIDE_OP_DELETE, "b", NULL, 0),
        op_of(TIDE_OP_DELETE, "never", NULL, 0),
    };
    struct tide_token t;
    size_t failed = 77;
    assert_int_equal(tide_batch(o.d, o.r, ops, sizeof(ops) / sizeof(ops[0]), &t, &failed), 0);
    assert_int_equal(t.index, 11);
    assert_int_equal(failed, 77);
    uint64_t value;
    assert_int_equal(version_of(o.r, "a", 1, &value), 8);
    assert_int_equal(value, 14);
    assert_int_equal(version_of(o.r, "b", 1, NULL), 0);
    assert_int_equal(version_of(o.r, "c", 1, &value), 5);
    assert_int_equal(value, 13);
    assert_int_equal(version_of(o.r, "d", 1, NULL), 0);
    assert_int_equal(version_of(o.r, "new", 3, NULL), 9);
    help_follower(o.d, 0);
    help_assert_equal_digests(o.d);
    close_one(&o);
}

static void tide_batch__one_cas_that_does_not_match__writes_nothing(void **state) {
    (void)state;
    struct one o = open_one(0, 0);
    const uint64_t v = 1;
    assert_int_equal(tide_put(o.d, NULL, "x", 1, &v, 8, NULL), 0);
    struct tide_op ops[] = { op_of(TIDE_OP_PUT, "a", &v, 0), op_of(TIDE_OP_CAS, "x", &v, 1),
                             op_of(TIDE_OP_DELETE, "x", NULL, 0), op_of(TIDE_OP_CAS, "y", &v, 4),
                             op_of(TIDE_OP_CAS, "z", &v, 5) };
    struct tide_token t = { 1, 2 };
    size_t failed = 99;
    assert_int_equal(tide_batch(o.d, NULL, ops, 5, &t, &failed), TIDE_ERR_MISMATCH);
    assert_true(failed == 3 && t.index == 2);
    assert_int_equal(commit_index(o.d), 1);
    assert_int_equal(version_of(o.r, "x", 1, NULL), 1);
    assert_int_equal(version_of(o.r, "a", 1, NULL), 0);
    /* A cas is about the version before the batch. */
    struct tide_op twice[] = { op_of(TIDE_OP_PUT, "x", &v, 0), op_of(TIDE_OP_CAS, "x", &v, 1) };
    assert_int_equal(tide_batch(o.d, NULL, twice, 2, &t, NULL), 0);
    assert_int_equal(version_of(o.r, "x", 1, NULL), 3);
    close_one(&o);
}

static void tide_batch__of_the_most_operations__all_there_on_every_replica(void **state) {
    (void)state;
    struct one o = open_one(16 * MIB, 64 * MIB);
    help_follower(o.d, 0);
    enum { N = 65536 };
    struct tide_op *ops = calloc(N, sizeof(*ops));
    uint64_t *keys = calloc(N, sizeof(*keys));
    assert_true(ops != NULL && keys != NULL);
    for (uint64_t round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < N; i++) {
            keys[i] = i;
            ops[i] = (struct tide_op){
                .kind = TIDE_OP_PUT, .key = &keys[i], .key_len = 8, .value = &round, .value_size = 4
            };
        }
        struct tide_token t;
        assert_int_equal(tide_batch(o.d, o.r, ops, N, &t, NULL), 0);
        assert_int_equal(t.index, (round + 1) * N);
        for (uint64_t i = 0; i < N; i += 997) {
            assert_int_equal(version_of(o.r, &keys[i], 8, NULL), round * N + i + 1);
        }
    }
    help_assert_equal_digests(o.d);
    assert_int_equal(help_info(o.d, 1).keys, N);
    free(ops);
    free(keys);
    close_one(&o);
}

/* Looks at a follower's `applied` for as long as it is told. */
struct looks {
    const struct replica_board *board;
    uint64_t batch; /* entries */
    _Atomic bool stop, begun;
    uint64_t wrong; /* values in the middle of a batch */
};

static void *look_at_applied(void *arg) {
    struct looks *l = arg;
    uint64_t last = 0;
    while (!atomic_load(&l->stop)) {
        uint64_t applied = board_applied(l->board);
        l->wrong += applied != last && applied % l->batch != 0;
        last = applied;
        atomic_store(&l->begun, true);
    }
    return NULL;
}

/* Entry by entry it would be published some hundred times in the middle of each. */
static void tide_batch__of_thousands__a_follower_publishes_nothing_between_its_entries(void **state) {
    (void)state;
    struct one o = open_one(16 * MIB, 16 * MIB);
    uint32_t follower = help_follower(o.d, 0);
    enum { N = 8192 };
    struct tide_op *ops = calloc(N, sizeof(*ops));
    uint64_t *keys = calloc(N, sizeof(*keys));
    assert_true(ops != NULL && keys != NULL);
    struct looks l = { .board = &o.d->log->replicas[follower], .batch = N };
    pthread_t looks;
    assert_int_equal(pthread_create(&looks, NULL, look_at_applied, &l), 0);
    while (!atomic_load(&l.begun)) {
        park_nap(100000);
    }
    struct tide_token t;
    for (uint64_t round = 0; round < help_scaled(40); round++) {
        for (uint64_t i = 0; i < N; i++) {
            keys[i] = i;
            ops[i] = (struct tide_op){
                .kind = TIDE_OP_PUT, .key = &keys[i], .key_len = 8, .value = &round, .value_size = 4
            };
        }
        assert_int_equal(tide_batch(o.d, o.r, ops, N, &t, NULL), 0);
        assert_int_equal(t.index, (round + 1) * N); /* so each batch ends at a multiple */
        assert_int_equal(tide_wait_applied(o.d, &t, 2, UINT64_C(60000000000)), 0);
    }
    atomic_store(&l.stop, true);
    pthread_join(looks, NULL);
    assert_int_equal(l.wrong, 0);
    free(ops);
    free(keys);
    close_one(&o);
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static void *put_large(void *arg) {
    static const uint8_t value[200 * KIB];
    help_check(tide_put(arg, NULL, "large", 5, value, sizeof(value), NULL) == 0);
    return NULL;
}

static uint32_t queued(const struct sequencer *s) {
    uint32_t n = 0;
    for (const struct seq_request *q = atomic_load(&s->queue); q != NULL; q = q->next) {
        n += q->sweep == NULL;
    }
    return n;
}

/* Writes that wait for the turn together are one group, and one commit, while they fit a quarter of the ring: followers have to
 * get on with what is committed before the leader comes around. */
static void tide_put__waiting_writes_do_not_fit_a_quarter_of_the_ring__as_many_groups(void **state) {
    (void)state;
    struct one o = open_one(MIB, 4 * MIB);
    help_follower(o.d, 0);
    struct sequencer *s = &o.d->seq;
    uint64_t groups = atomic_load(&o.d->log->leader.groups);
    pthread_t writers[3];
    while (atomic_exchange(&s->taken, true)) {
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&writers[i], NULL, put_large, o.d), 0);
    }
    while (queued(s) < 3) {
        park_nap(100000);
    }
    atomic_store(&s->taken, false);
    seq_help(o.d);
    for (size_t i = 0; i < 3; i++) {
        pthread_join(writers[i], NULL);
    }
    help_assert_threads();
    assert_int_equal(atomic_load(&o.d->log->leader.groups), groups + 3);
    help_assert_equal_digests(o.d);
    close_one(&o);
}

/* The same nodes are replaced again and again, so that all spare memory is in use when a batch comes that replaces
 * many of another size. */
static void tide_batch__spare_memory_used_up_on_a_follower__applied_all_the_same(void **state) {
    (void)state;
    struct one o = open_one(256 * KIB, MIB);
    uint32_t follower = help_follower(o.d, 0);
    static uint8_t value[4000];
    enum { N = 50 };
    uint64_t keys[N];
    struct tide_op ops[N];
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = i;
        ops[i] =
            (struct tide_op){ .kind = TIDE_OP_PUT, .key = &keys[i], .key_len = 8, .value = value, .value_size = 600 };
        assert_int_equal(tide_put(o.d, NULL, &keys[i], 8, value, 600, NULL), 0);
    }
    struct tide_token t;
    /* Another size takes what is free. */
    uint64_t other = 1000;
    for (int i = 0; i < 400; i++) {
        assert_int_equal(tide_put(o.d, NULL, &other, 8, value, sizeof(value), &t), 0);
    }
    for (int i = 0; i < 300; i++) {
        assert_int_equal(tide_batch(o.d, NULL, ops, 1 + (size_t)i % N, &t, NULL), 0);
        for (uint64_t k = 0; k < N; k++) {
            ops[k].value_size = 600 + (size_t)i % 3 * 40;
        }
    }
    assert_int_equal(tide_wait_applied(o.d, &t, 2, UINT64_MAX), 0);
    assert_int_equal(help_state(o.d, follower), TIDE_STATE_SERVING);
    help_assert_equal_digests(o.d);
    close_one(&o);
}

/* ---- full tables ------------------------------------------------------------------------------------------------- */

static void tide_put__full_table__refused_until_something_is_deleted(void **state) {
    (void)state;
    struct one o = open_one(64 * KIB, 512 * KIB);
    help_follower(o.d, 0);
    static uint8_t value[100];
    uint64_t n = 0;
    int error;
    while ((error = tide_put(o.d, NULL, &n, 8, value, sizeof(value), NULL)) == 0) {
        n++;
    }
    assert_int_equal(error, TIDE_ERR_FULL);
    assert_true(n > 1000);
    uint64_t commit = commit_index(o.d);
    assert_int_equal(tide_put(o.d, NULL, "another", 7, value, sizeof(value), NULL), TIDE_ERR_FULL);
    assert_int_equal(commit_index(o.d), commit);
    for (uint64_t k = 0; k < n; k++) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        assert_int_equal(tide_get(o.r, &k, 8, NULL, NULL, 0, &a), TIDE_ERR_BUFFER);
        assert_int_equal(a.version, k + 1);
    }
    for (int round = 0; round < 3; round++) {
        for (uint64_t k = 0; k < n; k++) {
            assert_int_equal(tide_delete(o.d, NULL, &k, 8, NULL), 0);
        }
        uint64_t again = 0;
        for (uint64_t k = 0; k < n; k++) {
            error = tide_put(o.d, NULL, &k, 8, value, sizeof(value), NULL);
            assert_true(error == 0 || error == TIDE_ERR_FULL);
            again += error == 0;
        }
        assert_true(again >= n - n / 4);
    }
    help_assert_equal_digests(o.d); /* and so no follower failed */
    close_one(&o);
}

static void tide_batch__full_table__all_or_nothing(void **state) {
    (void)state;
    struct one o = open_one(64 * KIB, 512 * KIB);
    help_follower(o.d, 0);
    static uint8_t value[500];
    uint64_t keys[20], n = 0, full = 0;
    struct tide_op ops[20];
    struct help_rng r = { help_seed() };
    for (uint64_t i = 0; i < help_scaled(4000); i++) {
        for (int k = 0; k < 20; k++) {
            keys[k] = help_below(&r, 3000);
            ops[k] = (struct tide_op){ .kind = help_below(&r, 4) == 0 ? TIDE_OP_DELETE : TIDE_OP_PUT,
                                       .key = &keys[k],
                                       .key_len = 8,
                                       .value = value,
                                       .value_size = help_below(&r, 5) * 100 };
        }
        struct tide_token t;
        int error = tide_batch(o.d, NULL, ops, 1 + help_below(&r, 20), &t, NULL);
        assert_true(error == 0 || error == TIDE_ERR_FULL);
        if (error == 0) {
            assert_int_equal(t.index, commit_index(o.d));
            n = t.index;
        } else {
            full++;
            assert_int_equal(commit_index(o.d), n);
        }
    }
    (void)full;
    help_assert_equal_digests(o.d);
    close_one(&o);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_batch__of_all_kinds__one_after_another_with_an_index_each),
        cmocka_unit_test(tide_batch__one_cas_that_does_not_match__writes_nothing),
        cmocka_unit_test(tide_batch__of_the_most_operations__all_there_on_every_replica),
        cmocka_unit_test(tide_batch__of_thousands__a_follower_publishes_nothing_between_its_entries),
        cmocka_unit_test(tide_put__waiting_writes_do_not_fit_a_quarter_of_the_ring__as_many_groups),
        cmocka_unit_test(tide_batch__spare_memory_used_up_on_a_follower__applied_all_the_same),
        cmocka_unit_test(tide_put__full_table__refused_until_something_is_deleted),
        cmocka_unit_test(tide_batch__full_table__all_or_nothing),
    };
    return cmocka_run_group_tests_name("batches", tests, NULL, NULL);
}
