/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many keys at one index: mget, sections, scans. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "tests/lib/pair.h"

/* ---- many keys at one index -------------------------------------------------------------------------------------- */

static void tide_mget__any_mixture__equals_single_gets(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    struct pair p = open_pair(0);
    enum { KEYS = 500, ITEMS = 300 };
    for (uint64_t k = 0; k < KEYS; k += 1 + k % 2) {
        uint8_t value[300];
        memset(value, (int)k, sizeof(value));
        assert_int_equal(tide_put(p.d, NULL, &k, sizeof(k), value, k % sizeof(value), NULL), 0);
    }
    static uint64_t keys[ITEMS];
    static uint8_t bufs[ITEMS][300], one[300];
    static struct tide_mget_item items[ITEMS];
    for (uint64_t round = 0; round < help_scaled(200); round++) {
        size_t n = 1 + help_below(&r, ITEMS);
        memset(bufs, 0x5a, sizeof(bufs));
        for (size_t i = 0; i < n; i++) {
            keys[i] = help_below(&r, KEYS);
            items[i] = (struct tide_mget_item){
                .key = &keys[i], .key_len = 8, .buf = bufs[i], .buf_size = help_below(&r, sizeof(one)), .result = 77
            };
            if (help_below(&r, 20) == 0) {
                items[i].key_len = help_below(&r, 2) == 0 ? 0 : 65536;
            } else if (help_below(&r, 20) == 0) {
                items[i].buf = NULL;
            }
        }
        struct tide_answer a = TIDE_ANSWER_INIT, b = TIDE_ANSWER_INIT;
        assert_int_equal(tide_mget(p.r, items, n, NULL, &a), 0);
        assert_true(a.value_size == 0 && a.version == 0 && a.index >= 250);
        for (size_t i = 0; i < n; i++) {
            memset(one, 0x5a, sizeof(one));
            b = (struct tide_answer)TIDE_ANSWER_INIT;
            int want = tide_get(p.r, items[i].key, items[i].key_len, NULL, items[i].buf == NULL ? NULL : one,
                                items[i].buf_size, &b);
            assert_int_equal(items[i].result, want);
            assert_int_equal(items[i].value_size, b.value_size);
            assert_int_equal(items[i].version, b.version);
            assert_memory_equal(bufs[i], one, sizeof(one));
        }
    }
    close_pair(&p);
}

#define BALANCES 64u

struct storm {
    struct tide *d;
    _Atomic bool stop;
    uint32_t home;
    uint64_t sections;
};

struct sum {
    uint64_t keys, total, newest;
    bool bad;
};

static int add_up(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    struct sum *s = ctx;
    uint64_t balance;
    if (key_len != 8 || value_size != 8) {
        return 0; /* others' */
    }
    (void)key;
    memcpy(&balance, value, sizeof(balance));
    s->keys++;
    s->total += balance;
    s->newest = version > s->newest ? version : s->newest;
    return 0;
}

/* Transfers between accounts are batches: at each index the sum is the same, and any mix of two indexes is not. */
static void *sum_in_sections(void *arg) {
    struct storm *s = arg;
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.home = (int32_t)s->home;
    struct tide_reader *r;
    if (!help_check(tide_reader_open(s->d, &o, &r) == 0)) {
        return NULL;
    }
    struct tide_bound any = bound_of(TIDE_FALLBACK_LEADER, TIDE_UNBOUNDED);
    while (!atomic_load(&s->stop)) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        if (!help_check(tide_section_begin(r, &any, &a) == 0)) {
            break;
        }
        struct sum first = { 0 }, second = { 0 };
        uint64_t total = 0, versions[BALANCES];
        const void *places[BALANCES];
        for (uint64_t k = 0; k < BALANCES; k++) {
            uint64_t balance = 0;
            size_t size = 0;
            help_check(tide_section_get(r, &k, 8, &balance, 8, &size, &versions[k]) == 0 && size == 8);
            help_check(versions[k] <= a.index);
            total += balance;
        }
        help_check(total == BALANCES * 1000);
        help_check(tide_section_scan(r, add_up, &first) == 0);
        help_check(first.keys == BALANCES && first.total == total && first.newest <= a.index);
        for (uint64_t k = 0; k < BALANCES; k++) {
            size_t size;
            uint64_t version;
            help_check(tide_section_peek(r, &k, 8, &places[k], &size, &version) == 0 && version == versions[k]);
        }
        help_check(tide_section_scan(r, add_up, &second) == 0);
        help_check(second.keys == BALANCES && second.total == total && second.newest == first.newest);
        total = 0;
        for (uint64_t k = 0; k < BALANCES; k++) {
            uint64_t balance;
            memcpy(&balance, places[k], 8); /* still there, and as it was */
            total += balance;
        }
        help_check(total == BALANCES * 1000);
        help_check(tide_section_end(r) == 0);
        /* The same by mget. */
        struct tide_mget_item items[BALANCES];
        uint64_t keys[BALANCES], values[BALANCES];
        for (uint64_t k = 0; k < BALANCES; k++) {
            keys[k] = k;
            items[k] = (struct tide_mget_item){ .key = &keys[k], .key_len = 8, .buf = &values[k], .buf_size = 8 };
        }
        help_check(tide_mget(r, items, BALANCES, &any, NULL) == 0);
        total = 0;
        for (uint64_t k = 0; k < BALANCES; k++) {
            help_check(items[k].result == 0);
            total += values[k];
        }
        help_check(total == BALANCES * 1000);
        s->sections++;
    }
    tide_reader_close(r);
    return NULL;
}

static void sections_and_mgets__beside_a_writer_of_batches__see_exactly_one_index(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    struct tide *d = help_open(UINT64_C(1) << 20, UINT64_C(8) << 20, 0);
    uint32_t homes[3] = { help_leader(d), help_follower(d, 0), help_follower(d, 1 * MS) };
    uint64_t balance[BALANCES];
    struct tide_op ops[BALANCES];
    uint64_t keys[BALANCES];
    for (uint64_t k = 0; k < BALANCES; k++) {
        balance[k] = 1000;
        keys[k] = k;
        ops[k] = (struct tide_op){
            .kind = TIDE_OP_PUT, .key = &keys[k], .key_len = 8, .value = &balance[k], .value_size = 8
        };
    }
    struct tide_token token;
    assert_int_equal(tide_batch(d, NULL, ops, BALANCES, &token, NULL), 0);
    assert_int_equal(tide_wait_applied(d, &token, 3, UINT64_MAX), 0);
    struct storm s[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        s[i] = (struct storm){ .d = d, .home = homes[i] };
        assert_int_equal(pthread_create(&threads[i], NULL, sum_in_sections, &s[i]), 0);
    }
    uint64_t extra = 1000;
    for (uint64_t n = 0; n < help_scaled(60000); n++) {
        uint64_t from = help_below(&r, BALANCES), to = help_below(&r, BALANCES),
                 amount = help_below(&r, balance[from] + 1);
        balance[from] -= amount;
        balance[to] += amount;
        struct tide_op two[3];
        size_t count = 0;
        /* Now and then an account is deleted and put again in the same batch: no section misses it. */
        if (n % 5 == 0) {
            two[count++] = (struct tide_op){ .kind = TIDE_OP_DELETE, .key = &from, .key_len = 8 };
        }
        two[count++] = (struct tide_op){
            .kind = TIDE_OP_PUT, .key = &from, .key_len = 8, .value = &balance[from], .value_size = 8
        };
        two[count++] =
            (struct tide_op){ .kind = TIDE_OP_PUT, .key = &to, .key_len = 8, .value = &balance[to], .value_size = 8 };
        assert_int_equal(tide_batch(d, NULL, two, count, NULL, NULL), 0);
        /* Others come and go, so that tables grow and tombstones are cleared. */
        char other[32];
        int len = snprintf(other, sizeof(other), "other %llu", (unsigned long long)help_below(&r, 5000));
        extra++;
        int error = n % 3 == 0 ? tide_delete(d, NULL, other, (size_t)len, NULL)
                               : tide_put(d, NULL, other, (size_t)len, &extra, 4, NULL);
        assert_int_equal(error, 0);
    }
    for (int i = 0; i < 3; i++) {
        atomic_store(&s[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    help_assert_equal_digests(d);
    tide_close(d);
}

static int stop_at_third(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                         uint64_t version) {
    (void)key, (void)key_len, (void)value, (void)value_size, (void)version;
    return ++*(int *)ctx == 3 ? -33 : 0;
}

static void tide_section_scan__callback_that_has_enough__ends_it(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(tide_put(p.d, p.r, &i, 8, &i, 8, NULL), 0);
    }
    int calls = 0;
    assert_int_equal(tide_section_scan(p.r, stop_at_third, &calls), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_begin(p.r, NULL, NULL), 0);
    assert_int_equal(tide_section_scan(p.r, stop_at_third, &calls), -33);
    assert_int_equal(calls, 3);
    assert_int_equal(tide_section_end(p.r), 0);
    close_pair(&p);
}

static void tide_section_get__errors__leave_everything_untouched(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    put_number(p.d, "k", 9);
    uint64_t value = 1, version = 2;
    size_t size = 3;
    const void *at = &value;
    assert_int_equal(tide_section_get(p.r, "k", 1, &value, 8, &size, &version), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_peek(p.r, "k", 1, &at, &size, &version), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_begin(p.r, NULL, NULL), 0);
    assert_int_equal(tide_section_get(p.r, "none", 4, &value, 8, &size, &version), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_section_peek(p.r, "none", 4, &at, &size, &version), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_section_get(p.r, "k", 0, &value, 8, &size, &version), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_get(p.r, NULL, 1, &value, 8, &size, &version), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_get(p.r, "k", 1, NULL, 8, &size, &version), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_peek(p.r, "k", 1, NULL, &size, &version), TIDE_ERR_INVALID);
    assert_true(value == 1 && size == 3 && version == 2 && at == &value);
    assert_int_equal(tide_section_get(p.r, "k", 1, &value, 4, &size, &version), TIDE_ERR_BUFFER);
    assert_true(value == 1 && size == 8 && version == 1); /* what is needed */
    assert_int_equal(tide_section_get(p.r, "k", 1, &value, 8, NULL, NULL), 0);
    assert_int_equal(value, 9);
    assert_int_equal(tide_section_end(p.r), 0);
    close_pair(&p);
}

/* Versions that a scan of another process's replica has to go back for, in a table whose memory changed its use before. */
static int scan_counts(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                       uint64_t version) {
    uint64_t *found = ctx;
    help_check(key_len == 8 && value_size == 8 && version != 0 && memcmp(key, value, 8) == 0);
    ++*found;
    return 0;
}

static void *overwrite_half(void *domain) {
    for (uint64_t k = 0, newer = UINT64_MAX; k < 100; k += 2) {
        help_check(tide_put(domain, NULL, &k, sizeof(k), &newer, sizeof(newer), NULL) == 0);
    }
    return NULL;
}

static void tide_section_scan__elsewhere_and_overwritten_since__finds_what_there_was(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    struct tide *other = help_open_again(p.d);
    struct tide_reader *r = help_reader(other, TIDE_STICKY, 0, 1);
    static uint8_t value[20000];
    for (uint64_t k = 0; k < 100; k++) {
        assert_int_equal(tide_put(p.d, NULL, &k, sizeof(k), value, sizeof(value) - 64 * k, NULL), 0);
        assert_int_equal(tide_put(p.d, NULL, &k, sizeof(k), &k, sizeof(k), NULL), 0);
    }
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    pthread_t writer; /* a thread in a section does not write */
    assert_int_equal(pthread_create(&writer, NULL, overwrite_half, p.d), 0);
    assert_int_equal(pthread_join(writer, NULL), 0);
    uint64_t found = 0;
    assert_int_equal(tide_section_scan(r, scan_counts, &found), 0);
    assert_int_equal(found, 100);
    help_assert_threads();
    assert_int_equal(tide_section_end(r), 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(other), 0);
    close_pair(&p);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_mget__any_mixture__equals_single_gets),
        cmocka_unit_test(sections_and_mgets__beside_a_writer_of_batches__see_exactly_one_index),
        cmocka_unit_test(tide_section_scan__callback_that_has_enough__ends_it),
        cmocka_unit_test(tide_section_scan__elsewhere_and_overwritten_since__finds_what_there_was),
        cmocka_unit_test(tide_section_get__errors__leave_everything_untouched),
    };
    return cmocka_run_group_tests_name("sections", tests, NULL, NULL);
}
