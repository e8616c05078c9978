/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arithmetic of the benchmarks: keys, schedules, spreads. A benchmark that errs here measures something
 * else. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/format.h"
#include "bench/lib/pace.h"
#include "bench/lib/plain.h"
#include "bench/lib/stats.h"
#include "bench/lib/workload.h"
#include "bench/lib/zipf.h"
#include "tests/lib/help.h"

/* ---- zipf -------------------------------------------------------------------------------------------------------- */

static void zipf_init__arguments_out_of_range__refused(void **state) {
    (void)state;
    struct bench_zipf z;
    assert_int_equal(bench_zipf_init(&z, 0, 0.99), -1);
    assert_int_equal(bench_zipf_init(&z, 10, 0.0), -1);
    assert_int_equal(bench_zipf_init(&z, 10, 1.0), -1);
    assert_int_equal(bench_zipf_init(&z, 10, NAN), -1);
    assert_int_equal(bench_zipf_init(&z, 10, 0.5), 0);
}

static void zipf_probability__summed__is_one(void **state) {
    (void)state;
    struct bench_zipf z;
    double sum = 0.0;
    assert_int_equal(bench_zipf_init(&z, 1000, 0.99), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        sum += bench_zipf_probability(&z, i);
    }
    assert_true(fabs(sum - 1.0) < 1e-9);
}

static void zipf_next__many_draws__follow_the_law(void **state) {
    (void)state;
    enum { N = 1000, DRAWS = 2000000 };
    static uint32_t hits[N];
    struct bench_zipf z;
    struct bench_rng rng;
    assert_int_equal(bench_zipf_init(&z, N, 0.9), 0);
    bench_rng_init(&rng, 42);
    memset(hits, 0, sizeof(hits));
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = bench_zipf_next(&z, &rng);
        assert_true(rank < N);
        hits[rank]++;
    }
    /* Ranks 0 and 1 are exact; the rest is an approximation that is a few percent off, and right in the sum. */
    for (uint64_t rank = 0; rank < 2; rank++) {
        double share = hits[rank] / (double)DRAWS;
        assert_true(fabs(share / bench_zipf_probability(&z, rank) - 1.0) < 0.02);
    }
    double drawn = 0.0;
    double expected = 0.0;
    for (uint64_t rank = 0; rank < 100; rank++) {
        drawn += hits[rank] / (double)DRAWS;
        expected += bench_zipf_probability(&z, rank);
    }
    assert_true(fabs(drawn / expected - 1.0) < 0.03);
}

static void zipf_next__one_or_two_ranks__stays_in_range(void **state) {
    (void)state;
    for (uint64_t n = 1; n <= 3; n++) {
        struct bench_zipf z;
        struct bench_rng rng;
        uint32_t seen = 0;
        assert_int_equal(bench_zipf_init(&z, n, 0.99), 0);
        bench_rng_init(&rng, n);
        for (int i = 0; i < 10000; i++) {
            uint64_t rank = bench_zipf_next(&z, &rng);
            assert_true(rank < n);
            seen |= 1u << rank;
        }
        assert_int_equal(seen, (1u << n) - 1);
    }
}

/* ---- schedules --------------------------------------------------------------------------------------------------- */

static void pace__threads__take_turns_at_the_whole_rate(void **state) {
    (void)state;
    struct bench_pace a;
    struct bench_pace b;
    bench_pace_init(&a, 1000.0, 0, 2, 5000);
    bench_pace_init(&b, 1000.0, 1, 2, 5000);
    assert_int_equal(bench_pace_due(&a, 0), 5000);
    assert_int_equal(bench_pace_due(&b, 0), 1005000);
    assert_int_equal(bench_pace_due(&a, 1), 2005000);
    assert_int_equal(bench_pace_due(&b, 1), 3005000);
}

static void pace_due__after_an_hour__has_not_drifted(void **state) {
    (void)state;
    struct bench_pace p;
    bench_pace_init(&p, 3.0, 0, 1, 0); /* an interval that no binary fraction holds */
    assert_int_equal(bench_pace_due(&p, 3 * 3600), UINT64_C(3600000000000));
}

static void pace_count__at_any_instant__agrees_with_due(void **state) {
    (void)state;
    struct bench_rng rng;
    bench_rng_init(&rng, 7);
    for (int i = 0; i < 20000; i++) {
        struct bench_pace p;
        bench_pace_init(&p, 1.0 + bench_rng_unit(&rng) * 1e6, (uint32_t)(i % 3), 3, 1000);
        uint64_t now = bench_rng_below(&rng, UINT64_C(1000000000));
        uint64_t n = bench_pace_count(&p, now);
        assert_true(n == 0 || bench_pace_due(&p, n - 1) <= now);
        assert_true(bench_pace_due(&p, n) > now);
    }
}

static void pace_latency__late_start__counts_the_queue(void **state) {
    (void)state;
    assert_int_equal(bench_pace_latency(1000, 4000), 3000);
    assert_int_equal(bench_pace_latency(4000, 1000), 0);
}

static void pace_next__far_near_past__sleeps_spins_goes(void **state) {
    (void)state;
    uint64_t sleep_ns = 0;
    assert_int_equal(bench_pace_next(100, 100, 50, &sleep_ns), BENCH_PACE_GO);
    assert_int_equal(bench_pace_next(101, 100, 50, &sleep_ns), BENCH_PACE_GO);
    assert_int_equal(bench_pace_next(100, 101, 50, &sleep_ns), BENCH_PACE_SPIN);
    assert_int_equal(bench_pace_next(0, 50, 50, &sleep_ns), BENCH_PACE_SPIN);
    assert_int_equal(bench_pace_next(0, 550, BENCH_PACE_SPIN_ALWAYS, &sleep_ns), BENCH_PACE_SPIN);
    assert_int_equal(bench_pace_next(0, 550, 50, &sleep_ns), BENCH_PACE_SLEEP);
    assert_int_equal(sleep_ns, 500);
}

/* ---- spreads and texts ------------------------------------------------------------------------------------------- */

static void spread__odd_even_none(void **state) {
    (void)state;
    double odd[] = { 3, 1, 2 };
    double even[] = { 4, 1, 3, 2 };
    struct bench_spread s = bench_spread_of(odd, 3);
    assert_true(s.median == 2 && s.min == 1 && s.max == 3 && s.n == 3);
    s = bench_spread_of(even, 4);
    assert_true(s.median == 2.5 && s.min == 1 && s.max == 4);
    s = bench_spread_of(even, 0);
    assert_true(s.median == 0 && s.min == 0 && s.max == 0);
    assert_true(bench_ratio(1, 0) == 0 && bench_ratio(6, 3) == 2);
}

static void format__figures__three_digits_and_a_unit(void **state) {
    (void)state;
    char t[BENCH_TEXT];
    assert_string_equal(bench_format_ns(t, 87), "87 ns");
    assert_string_equal(bench_format_ns(t, 1234), "1.23 us");
    assert_string_equal(bench_format_ns(t, 999600), "1.00 ms");
    assert_string_equal(bench_format_ns(t, 45.6e6), "45.6 ms");
    assert_string_equal(bench_format_ns(t, 200e6), "200 ms");
    assert_string_equal(bench_format_ns(t, (double)TIDE_UNBOUNDED), "none");
    assert_string_equal(bench_format_count(t, 38.4e6), "38.4 M");
    assert_string_equal(bench_format_count(t, 12), "12");
    assert_string_equal(bench_format_percent(t, 0), "0");
    assert_string_equal(bench_format_percent(t, 0.00001), "<0.01");
    assert_string_equal(bench_format_percent(t, 0.999999), ">99.99");
    assert_string_equal(bench_format_percent(t, 1), "100");
    assert_string_equal(bench_format_percent(t, 0.25), "25.0");
}

/* ---- workload and the plain table -------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, 5);
}

static void workload__keys_of_any_size__are_distinct(void **state) {
    (void)state;
    for (uint32_t size = 2; size <= 5; size++) {
        struct bench_options o = { .keys = 5000, .key_size = size, .value_size = 3 };
        struct bench_workload w;
        assert_int_equal(bench_workload_init(&w, &o, 1), 0);
        uint8_t(*copy)[8] = calloc(o.keys, 8);
        assert_non_null(copy);
        for (uint64_t i = 0; i < o.keys; i++) {
            memcpy(copy[i], bench_workload_key(&w, i), size);
        }
        qsort(copy, o.keys, 8, by_bytes);
        for (uint64_t i = 1; i < o.keys; i++) {
            assert_int_not_equal(memcmp(copy[i - 1], copy[i], 8), 0);
        }
        free(copy);
        bench_workload_destroy(&w);
    }
}

static void workload__sequences__stay_in_range_and_differ(void **state) {
    (void)state;
    struct bench_options o = { .keys = 1000, .key_size = 16, .value_size = 64, .theta = 0.99, .seed = 3 };
    for (int d = 0; d < 2; d++) {
        struct bench_workload w;
        uint32_t same = 0;
        o.dist = d == 1 ? BENCH_ZIPFIAN : BENCH_UNIFORM;
        assert_int_equal(bench_workload_init(&w, &o, 2), 0);
        assert_int_equal(bench_workload_prepare(&w, 2), 0);
        assert_int_equal(w.steps & (w.steps - 1), 0);
        for (uint64_t i = 0; i < w.steps; i++) {
            assert_true(w.sequences[0][i] < o.keys && w.sequences[1][i] < o.keys);
            same += w.sequences[0][i] == w.sequences[1][i];
        }
        assert_true(same < w.steps / 4);
        bench_workload_destroy(&w);
    }
}

static void workload__value__depends_on_key_and_version(void **state) {
    (void)state;
    struct bench_options o = { .keys = 10, .key_size = 16, .value_size = 13 };
    struct bench_workload w;
    uint8_t a[16] = { 0 }, b[16] = { 0 };
    assert_int_equal(bench_workload_init(&w, &o, 1), 0);
    bench_workload_value(&w, 1, 0, a);
    bench_workload_value(&w, 1, 0, b);
    assert_memory_equal(a, b, 16);
    assert_int_equal(a[13] | a[14] | a[15], 0);
    bench_workload_value(&w, 1, 1, b);
    assert_memory_not_equal(a, b, 13);
    bench_workload_value(&w, 2, 0, b);
    assert_memory_not_equal(a, b, 13);
    bench_workload_destroy(&w);
}

static void plain__filled_to_its_load__finds_all_and_nothing_else(void **state) {
    (void)state;
    struct bench_options o = { .keys = 3000, .key_size = 16, .value_size = 64 };
    struct bench_workload w;
    struct plain t;
    uint8_t value[64], got[64];
    assert_int_equal(bench_workload_init(&w, &o, 1), 0);
    assert_int_equal(plain_create(&t, 2000, 0.5, 16, 64), 0);
    assert_int_equal(t.mask + 1, 4096);
    for (uint64_t i = 0; i < 2000; i++) {
        bench_workload_value(&w, i, 0, value);
        assert_int_equal(plain_put(&t, bench_workload_key(&w, i), 16, value, 64), 0);
    }
    assert_int_equal(t.used, 2000);
    for (uint64_t i = 0; i < 3000; i++) {
        const uint8_t *key = bench_workload_key(&w, i);
        int want = i < 2000 ? 64 : -1;
        bench_workload_value(&w, i, 0, value);
        assert_int_equal(plain_get_fixed(&t, key, 16, got, 64), want);
        assert_true(i >= 2000 || memcmp(got, value, 64) == 0);
        memset(got, 0, sizeof(got));
        assert_int_equal(plain_get_hashed(&t, plain_hash(key, 16), key, 16, got, 64), want);
        assert_true(i >= 2000 || memcmp(got, value, 64) == 0);
    }
    uint8_t zero[16] = { 0 }; /* an empty slot's bytes are no key */
    assert_int_equal(plain_get_fixed(&t, zero, 16, got, 64), -1);
    assert_int_equal(plain_put(&t, value, 17, value, 1), -1);
    assert_int_equal(plain_put(&t, value, 16, value, 65), -1);
    plain_destroy(&t);
    bench_workload_destroy(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zipf_init__arguments_out_of_range__refused),
        cmocka_unit_test(zipf_probability__summed__is_one),
        cmocka_unit_test(zipf_next__many_draws__follow_the_law),
        cmocka_unit_test(zipf_next__one_or_two_ranks__stays_in_range),
        cmocka_unit_test(pace__threads__take_turns_at_the_whole_rate),
        cmocka_unit_test(pace_due__after_an_hour__has_not_drifted),
        cmocka_unit_test(pace_count__at_any_instant__agrees_with_due),
        cmocka_unit_test(pace_latency__late_start__counts_the_queue),
        cmocka_unit_test(pace_next__far_near_past__sleeps_spins_goes),
        cmocka_unit_test(spread__odd_even_none),
        cmocka_unit_test(format__figures__three_digits_and_a_unit),
        cmocka_unit_test(workload__keys_of_any_size__are_distinct),
        cmocka_unit_test(workload__sequences__stay_in_range_and_differ),
        cmocka_unit_test(workload__value__depends_on_key_and_version),
        cmocka_unit_test(plain__filled_to_its_load__finds_all_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
