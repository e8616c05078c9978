/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lag windows: histograms of seconds, in shared memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>

#include "shm/hdr.h"
#include "shm/lag.h"
#include "tests/lib/random.h"

#define NS_PER_S UINT64_C(1000000000)

/* ---- lag --------------------------------------------------------------------------------------------------------- */

struct lag {
    struct hdr *all;
    struct lag_windows *windows;
    struct hdr *out;
};

static struct lag lag_open(void) {
    struct lag lag = { .all = aligned_alloc(64, lag_all_size_bytes()),
                       .windows = aligned_alloc(64, lag_windows_size_bytes()),
                       .out = lag_new() };
    assert_int_equal(lag_init(lag.all, lag.windows), 0);
    return lag;
}

static void lag_close(struct lag *lag) {
    free(lag->all);
    free(lag->windows);
    hdr_free(lag->out);
}

static int64_t rolling_total(struct lag *lag, uint64_t now_ns) {
    lag_rolling(lag->windows, now_ns, lag->out);
    return hdr_total(lag->out);
}

static void lag_rolling__as_seconds_pass__forgets_after_ten(void **state) {
    (void)state;
    struct lag lag = lag_open();
    uint64_t start = 1000 * NS_PER_S;
    assert_int_equal(rolling_total(&lag, start), 0);
    for (uint64_t s = 0; s < 40; s++) {
        lag_record(lag.all, lag.windows, start + s * NS_PER_S, 100 + (int64_t)s, 1);
        lag_record(lag.all, lag.windows, start + s * NS_PER_S + NS_PER_S - 1, 100 + (int64_t)s, 2);
        assert_int_equal(rolling_total(&lag, start + s * NS_PER_S + 5), 3 * (s < 10 ? s + 1 : 11));
        assert_int_equal(hdr_min(lag.out), s < 10 ? 100 : 100 + s - 10);
        assert_int_equal(hdr_max(lag.out), 100 + s);
    }
    uint64_t last = start + 39 * NS_PER_S;
    assert_int_equal(rolling_total(&lag, last + 10 * NS_PER_S), 3);
    assert_int_equal(rolling_total(&lag, last + 11 * NS_PER_S), 0);
    assert_int_equal(rolling_total(&lag, last - NS_PER_S), 33); /* a reader that read the clock a little earlier */
    assert_int_equal(rolling_total(&lag, 0), 0);
    lag_all(lag.all, lag.out);
    assert_int_equal(hdr_total(lag.out), 120);
    lag_record(lag.all, lag.windows, last + 1000 * NS_PER_S, INT64_MAX, 7);
    assert_int_equal(rolling_total(&lag, last + 1000 * NS_PER_S), 7);
    assert_int_equal(hdr_max(lag.out), hdr_highest_equivalent(lag.out, LAG_HIGHEST_NS));
    lag_close(&lag);
}

static void lag_check__of_what_init_made__good_and_else_refused(void **state) {
    (void)state;
    struct lag lag = lag_open();
    size_t all = lag_all_size_bytes();
    size_t windows = lag_windows_size_bytes();
    assert_int_equal(lag_size_bytes(), all + windows);
    assert_int_equal(all, hdr_size_bytes(LAG_LOWEST_NS, LAG_HIGHEST_NS, LAG_DIGITS));
    assert_int_equal(lag_check(lag.all, all, lag.windows, windows), 0);
    assert_int_equal(lag_check(lag.all, all - 1, lag.windows, windows), -1);
    assert_int_equal(lag_check(lag.all, all, lag.windows, windows - 1), -1);
    assert_int_equal(lag_check(lag.all, all, lag.windows, 0), -1);
    lag.windows->window_count = 12;
    assert_int_equal(lag_check(lag.all, all, lag.windows, windows), -1);
    lag.windows->window_count = LAYOUT_LAG_WINDOWS;
    assert_int_equal(hdr_init(lag.all, 1, INT64_C(3600000000), 1), 0);
    assert_int_equal(lag_check(lag.all, all, lag.windows, windows), -1);
    lag_all(lag.all, lag.out);
    assert_int_equal(hdr_total(lag.out), 0);
    lag_close(&lag);
}

static void lag_readers__of_random_bytes__no_harm(void **state) {
    (void)state;
    struct lag lag = lag_open();
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < lag_windows_size_bytes() / 8; i++) {
            ((uint64_t *)lag.windows)[i] = next_random();
        }
        for (size_t i = 0; i < LAYOUT_LAG_WINDOWS; i++) { /* else no window would be looked into */
            lag.windows->second[i] = round & 1 ? 100 + i : next_random();
        }
        for (size_t i = 0; i < lag_all_size_bytes() / 8; i++) {
            ((uint64_t *)lag.all)[i] = next_random();
        }
        assert_int_equal(lag_check(lag.all, lag_all_size_bytes(), lag.windows, lag_windows_size_bytes()), -1);
        assert_true(rolling_total(&lag, 105 * NS_PER_S) >= 0);
        assert_true(hdr_value_at_percentile(lag.out, 99) >= 0);
        lag_all(lag.all, lag.out);
        lag_record(lag.all, lag.windows, next_random(), (int64_t)next_random(), 1);
    }
    lag_close(&lag);
}

struct lag_writer {
    struct lag lag;
    _Atomic uint64_t second;
    atomic_int stop;
};

/* Each second counts at an index of its own, so that a reader sees which seconds it got. Among the last, which a
 * reader reaches a while after it has looked at the window's number. */
static int32_t index_of(uint64_t second) {
    return 4400 + (int32_t)(second % 128);
}

static void *keep_lagging(void *argument) {
    struct lag_writer *writer = argument;
    for (uint64_t second = 1000; !atomic_load(&writer->stop); second++) {
        int64_t lag_ns = hdr_value_at_index(writer->lag.all, index_of(second));
        for (int i = 0; i < 20; i++) {
            lag_record(writer->lag.all, writer->lag.windows, second * NS_PER_S, lag_ns, 1);
        }
        atomic_store(&writer->second, second);
    }
    return NULL;
}

static void lag_rolling__while_windows_are_taken__no_second_but_the_asked(void **state) {
    (void)state;
    struct lag_writer writer = { .lag = lag_open(), .second = 1000 };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_lagging, &writer), 0);
    for (int round = 0; round < 500; round++) {
        uint64_t now = atomic_load(&writer.second);
        lag_rolling(writer.lag.windows, now * NS_PER_S, writer.lag.out);
        int64_t good = 0;
        for (uint64_t second = now - 10; second <= now + 1; second++) {
            int64_t count = hdr_count_at_index(writer.lag.out, index_of(second));
            assert_true(count <= 20);
            good += count;
        }
        assert_int_equal(good, hdr_total(writer.lag.out));
    }
    atomic_store(&writer.stop, 1);
    pthread_join(thread, NULL);
    lag_close(&writer.lag);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lag_rolling__as_seconds_pass__forgets_after_ten),
        cmocka_unit_test(lag_check__of_what_init_made__good_and_else_refused),
        cmocka_unit_test(lag_readers__of_random_bytes__no_harm),
        cmocka_unit_test(lag_rolling__while_windows_are_taken__no_second_but_the_asked),
    };
    return cmocka_run_group_tests_name("lag", tests, NULL, NULL);
}
