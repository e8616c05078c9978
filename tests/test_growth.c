/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A table that grows from empty through many doublings, key by key and in batches, with deletes in between, while readers of an
 * own replica and of another handle's look keys up and scan, and while newcomers copy it.
 *
 * One writer. Entry n (from 1) of it puts key n, but each fourth deletes the key of half its number, so that what is there at an
 * index follows from the index alone.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define KEY_BYTES 16u

struct growth {
    struct tide *d;
    uint64_t before, entries; /* index of the entry before the first; how many there will be */
    uint32_t batch;
    _Atomic uint64_t written; /* so many entries are acknowledged */
    _Atomic uint64_t begun;   /* so many may be in the log */
    _Atomic bool stop;
};

static void key_of(uint64_t n, char key[KEY_BYTES + 1]) {
    snprintf(key, KEY_BYTES + 1, "key %012u", (unsigned)n & 0xffffffu);
}

static bool is_put(uint64_t n) {
    return n % 4 != 0;
}

/* The entry that deletes key n, or 0: n / 2 is what entry n deletes, also where there is no such key. */
static uint64_t deleted_by(uint64_t n) {
    return n % 2 == 0 ? n * 2 : 0;
}

static bool is_there(uint64_t n, uint64_t entries) {
    return is_put(n) && n <= entries && (deleted_by(n) == 0 || deleted_by(n) > entries);
}

/* Up to `count` entries from n on, as one batch where there are several. */
static void write_some(struct growth *g, uint64_t n, uint32_t count) {
    static char keys[1024][KEY_BYTES + 1];
    static uint64_t values[1024][5]; /* 40 bytes */
    static struct tide_op ops[1024];
    for (uint32_t i = 0; i < count; i++) {
        bool put = is_put(n + i);
        key_of(put ? n + i : (n + i) / 2, keys[i]);
        values[i][0] = values[i][4] = n + i;
        ops[i] = (struct tide_op){ put ? TIDE_OP_PUT : TIDE_OP_DELETE, 0, keys[i], KEY_BYTES, put ? values[i] : NULL,
                                   put ? sizeof(values[i]) : 0,        0 };
    }
    atomic_store(&g->begun, n + count - 1);
    help_check(tide_batch(g->d, NULL, ops, count, NULL, NULL) == 0);
    atomic_store(&g->written, n + count - 1);
}

static void *write_all(void *arg) {
    struct growth *g = arg;
    for (uint64_t n = 1; n <= g->entries;) {
        uint32_t count = g->entries - n + 1 < g->batch ? (uint32_t)(g->entries - n + 1) : g->batch;
        write_some(g, n, count);
        n += count;
    }
    atomic_store(&g->stop, true);
    return NULL;
}

struct looker {
    struct growth *g;
    struct tide *d; /* whose reader */
    uint32_t home;
    uint64_t seed;
};

struct scanned {
    uint64_t keys, sum, at;
};

static int scan_one(void *ctx, const void *key, size_t key_len, const void *value, size_t size, uint64_t version) {
    struct scanned *s = ctx;
    uint64_t n;
    char expected[KEY_BYTES + 1];
    memcpy(&n, value, sizeof(n));
    key_of(n, expected);
    help_check(key_len == KEY_BYTES && size == 40 && memcmp(key, expected, KEY_BYTES) == 0 && version <= s->at);
    s->keys++;
    s->sum += n * n;
    return 0;
}

/* Each key once, and all of them. Another handle's table may have changed too much meanwhile. */
static void scan_all(const struct growth *g, struct tide_reader *r) {
    struct tide_answer a = TIDE_ANSWER_INIT;
    if (!help_check(tide_section_begin(r, NULL, &a) == 0)) {
        return;
    }
    struct scanned s = { .at = a.index };
    int error = tide_section_scan(r, scan_one, &s);
    help_check(error == 0 || error == TIDE_ERR_LOST);
    uint64_t keys = 0, sum = 0, entries = a.index - g->before;
    for (uint64_t n = 1; n <= entries; n++) {
        bool there = is_there(n, entries);
        keys += there;
        sum += there ? n * n : 0;
    }
    help_check(error != 0 || (s.keys == keys && s.sum == sum));
    help_check(tide_section_end(r) == 0);
}

static void look_one(const struct growth *g, struct tide_reader *r, uint64_t n) {
    char key[KEY_BYTES + 1];
    uint64_t value[5] = { 0 };
    struct tide_answer a = TIDE_ANSWER_INIT;
    key_of(n, key);
    uint64_t written = atomic_load(&g->written);
    int error = tide_get(r, key, KEY_BYTES, NULL, value, sizeof(value), &a);
    uint64_t entries = a.index - g->before;
    help_check(entries >= written && entries <= atomic_load(&g->begun)); /* fresh */
    help_check(error == (is_there(n, entries) ? 0 : TIDE_ERR_NOT_FOUND));
    help_check(error != 0 || (value[0] == n && value[4] == n && a.version == g->before + n));
}

static void *look_at_it(void *arg) {
    const struct looker *l = arg;
    const struct growth *g = l->g;
    struct help_rng rng = { l->seed };
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    struct tide_reader *r = NULL;
    o.policy = TIDE_STICKY;
    o.home = (int32_t)l->home;
    help_check(tide_reader_open(l->d, &o, &r) == 0);
    for (uint64_t i = 0; !atomic_load(&g->stop) || i == 0; i++) {
        look_one(g, r, 1 + help_below(&rng, atomic_load(&g->begun) + 10));
        if (i % 4096 == 100) {
            scan_all(g, r);
        }
    }
    for (uint64_t n = 1; n <= g->entries; n += 7) {
        look_one(g, r, n);
    }
    scan_all(g, r);
    help_check(tide_reader_close(r) == 0);
    return NULL;
}

static uint64_t commit_of(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    return info.commit_index;
}

static void assert_all_whole(struct tide *d) {
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.damaged, 0);
    assert_int_equal(v.differing, 0);
}

static void grow_under_readers(uint32_t batch) {
    static struct growth g;
    memset(&g, 0, sizeof(g));
    g.d = help_open(MIB, 32 * MIB, UINT64_C(60) * 1000000000);
    struct tide *other = help_open_again(g.d);
    uint32_t leader = help_leader(g.d), follower = help_follower(g.d, 0);
    g.before = commit_of(g.d);
    g.entries = help_scaled(60000);
    g.batch = batch;
    struct looker lookers[3] = {
        { &g, g.d, leader, 1 },
        { &g, other, leader, 2 },
        { &g, other, follower, 3 },
    };
    pthread_t threads[3], writer;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, look_at_it, &lookers[i]), 0);
    }
    assert_int_equal(pthread_create(&writer, NULL, write_all, &g), 0);
    pthread_join(writer, NULL);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    help_assert_equal_digests(g.d);
    assert_all_whole(g.d);
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(g.d), 0);
}

static void growth__key_by_key__readers_miss_nothing_and_see_nothing_twice(void **state) {
    (void)state;
    grow_under_readers(1);
}

static void growth__in_batches__readers_miss_nothing_and_see_nothing_twice(void **state) {
    (void)state;
    grow_under_readers(500);
}

/* Another handle's newcomers, which nothing of the donor waits for. */
static void growth__newcomers_copy_it_meanwhile__they_have_everything(void **state) {
    (void)state;
    static struct growth g;
    for (uint64_t round = 0; round < help_scaled(12); round++) {
        memset(&g, 0, sizeof(g));
        g.d = help_open(64 * KIB, 4 * MIB, UINT64_C(60) * 1000000000);
        struct tide *other = help_open_again(g.d);
        help_leader(g.d);
        g.before = commit_of(g.d);
        g.entries = 2000;
        g.batch = 1;
        while (g.entries >
               atomic_load(&g.written) + 1000) { /* the log is not whole any more: there is a donor to copy from */
            write_some(&g, atomic_load(&g.written) + 1, 1);
        }
        pthread_t writer;
        struct growth rest = { .d = g.d, .batch = 1, .entries = 6000 };
        assert_int_equal(pthread_create(&writer, NULL, write_all, &rest), 0);
        while (!atomic_load(&rest.stop)) {
            uint32_t id;
            struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
            assert_int_equal(tide_replica_start(other, &o, &id), 0);
            assert_int_equal(tide_replica_stop(other, id), 0);
        }
        pthread_join(writer, NULL);
        uint32_t last = help_follower(other, 0);
        help_assert_threads();
        help_assert_equal_digests(g.d);
        assert_int_equal(help_info(g.d, last).joins, 1);
        assert_all_whole(g.d);
        assert_int_equal(tide_close(other), 0);
        assert_int_equal(tide_close(g.d), 0);
    }
}

int main(void) {
    help_start(180);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growth__key_by_key__readers_miss_nothing_and_see_nothing_twice),
        cmocka_unit_test(growth__in_batches__readers_miss_nothing_and_see_nothing_twice),
        cmocka_unit_test(growth__newcomers_copy_it_meanwhile__they_have_everything),
    };
    return cmocka_run_group_tests_name("growth", tests, NULL, NULL);
}
