/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a domain tells of the memory of its tables. */
#include "tests/lib/help.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#define KIB UINT64_C(1024)

/* ---- what memory is used for ------------------------------------------------------------------------------------------- */

static struct tide_replica_info memory_of(struct tide *d, uint32_t id) {
    struct tide_replica_info i = help_info(d, id);
    uint64_t keys = 0, bytes = 0;
    for (uint32_t k = 0; k < TIDE_SIZES; k++) {
        keys += i.sizes[k].keys;
        bytes += i.sizes[k].bytes;
    }
    assert_int_equal(keys, i.keys);
    assert_int_equal(bytes, i.table_live_bytes);
    assert_int_equal(i.table_live_bytes + i.table_free_bytes + i.table_waiting_bytes + i.table_overhead_bytes,
                     i.table_bytes);
    return i;
}

/* A thread that keeps a section open. */
struct holder {
    struct tide *d;
    uint32_t id;
    pthread_t thread;
    _Atomic uint32_t open, end;
};

static void *hold_section(void *arg) {
    struct holder *h = arg;
    struct tide_reader *r = help_reader(h->d, TIDE_STICKY, (int32_t)h->id, UINT64_C(1) << h->id);
    help_check(tide_section_begin(r, NULL, NULL) == 0);
    atomic_store(&h->open, 1);
    while (atomic_load(&h->end) == 0) {
        sched_yield();
    }
    help_check(tide_section_end(r) == 0);
    tide_reader_close(r);
    return NULL;
}

static void tide_replica_info__of_a_table_that_is_filled_and_emptied__says_what_memory_is_used_for(void **state) {
    (void)state;
    static const uint8_t value[1000];
    struct tide *d = help_open(256 * KIB, 2048 * KIB, 0);
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    uint64_t keys = 0, empty = memory_of(d, leader).table_free_bytes;
    assert_int_equal(memory_of(d, leader).table_live_bytes, 0);
    assert_true(empty > 1024 * KIB);
    struct tide_token token;
    while (tide_put(d, NULL, &keys, sizeof(keys), value, sizeof(value), &token) == 0) {
        keys++;
        struct tide_replica_info i = memory_of(d, leader);
        assert_int_equal(i.table_live_bytes, keys * (sizeof(keys) + sizeof(value)));
        assert_true(i.table_waiting_bytes < 4 * KIB); /* buckets, perhaps */
    }
    assert_int_equal(tide_wait_applied(d, &token, 2, TIDE_UNBOUNDED), 0);
    for (uint32_t id = 0; id < 2; id++) {
        struct tide_replica_info full = memory_of(d, id);
        assert_int_equal(full.table_live_bytes, keys * (sizeof(keys) + sizeof(value)));
        assert_true(full.table_free_bytes < 2 * sizeof(value)); /* not one value more */
        assert_true(full.table_keys_most > full.keys);
    }
    /* What is deleted waits as long as a section is open that may read it. */
    struct holder h = { .d = d, .id = leader };
    assert_int_equal(pthread_create(&h.thread, NULL, hold_section, &h), 0);
    while (atomic_load(&h.open) == 0) {
        sched_yield();
    }
    for (uint64_t k = 0; k < keys; k++) {
        assert_int_equal(tide_delete(d, NULL, &k, sizeof(k), &token), 0);
    }
    struct tide_replica_info waits = memory_of(d, leader);
    assert_int_equal(waits.table_live_bytes, 0);
    assert_true(waits.table_waiting_bytes >= keys * (sizeof(keys) + sizeof(value)));
    assert_true(waits.table_free_bytes < empty);
    atomic_store(&h.end, 1);
    assert_int_equal(pthread_join(h.thread, NULL), 0);
    help_assert_threads();
    while (memory_of(d, leader).table_waiting_bytes > empty / 2) { /* by and by, with the writes that follow */
        assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, &token), 0);
    }
    assert_int_equal(tide_wait_applied(d, &token, 2, TIDE_UNBOUNDED), 0);
    assert_int_equal(help_info(d, follower).keys, 1);
    tide_close(d);
}

static void expect_size(struct tide *d, uint32_t size, uint64_t keys, uint64_t bytes) {
    for (uint32_t id = 0; id < 3; id++) {
        struct tide_replica_info i = memory_of(d, id);
        assert_int_equal(i.sizes[size].keys, keys);
        assert_int_equal(i.sizes[size].bytes, bytes);
    }
}

/* Each replica counts keys by size, whichever way they came there, changed and went; a newcomer too. */
static void tide_replica_info__keys_of_many_sizes__counted_by_size(void **state) {
    (void)state;
    static char value[40000];
    struct tide *d = help_open(256 * KIB, 4096 * KIB, 0);
    help_leader(d);
    help_follower(d, 0);
    struct tide_token t;
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = UINT64_C(3600000000000);
    for (size_t size = 0; size < 30; size++) { /* with its key of two bytes 2 to 31 */
        char key[2] = { 'k', (char)size };
        assert_int_equal(size % 2 == 0 ? tide_put(d, NULL, key, 2, value, size, &t)
                                       : tide_put_with(d, NULL, key, 2, value, size, &o, &t),
                         0);
    }
    assert_int_equal(tide_put(d, NULL, "large", 5, value, sizeof(value), &t), 0);
    help_follower(d, 0);
    assert_int_equal(tide_wait_applied(d, &t, 3, TIDE_UNBOUNDED), 0);
    expect_size(d, 0, 15, (2 + 16) * 15 / 2);
    expect_size(d, 1, 15, (17 + 31) * 15 / 2);
    expect_size(d, 12, 1, 40005); /* 32 to 64 KiB */
    /* Longer, shorter, as long, on the way of batches; touched; gone. */
    assert_int_equal(tide_put(d, NULL, "k\0", 2, value, 14, &t), 0); /* 2 to 16 */
    assert_int_equal(tide_put(d, NULL, "k\1", 2, value, 15, &t), 0); /* 3 to 17 */
    struct tide_op op = { .kind = TIDE_OP_PUT, .key = "large", .key_len = 5, .value = value, .value_size = 100 };
    assert_int_equal(tide_batch(d, NULL, &op, 1, &t, NULL), 0);
    assert_int_equal(tide_touch(d, NULL, "k\2", 2, o.ttl_ns, &t), 0);
    assert_int_equal(tide_delete(d, NULL, "k\3", 2, &t), 0); /* 5 */
    assert_int_equal(tide_wait_applied(d, &t, 3, TIDE_UNBOUNDED), 0);
    expect_size(d, 0, 13, (2 + 16) * 15 / 2 - 2 + 16 - 3 - 5);
    expect_size(d, 1, 16, (17 + 31) * 15 / 2 + 17);
    expect_size(d, 3, 1, 105);
    expect_size(d, 12, 0, 0);
    tide_close(d);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_replica_info__keys_of_many_sizes__counted_by_size),
        cmocka_unit_test(tide_replica_info__of_a_table_that_is_filled_and_emptied__says_what_memory_is_used_for),
    };
    return cmocka_run_group_tests_name("info", tests, NULL, NULL);
}
