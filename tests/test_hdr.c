/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histograms in shared memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>

#include "shm/hdr.h"
#include "tests/lib/random.h"

#define HOUR_US INT64_C(3600000000)

/* A random value: each length from 1 to `bits` bits is as likely. */
static int64_t next_value(int bits) {
    return (int64_t)(next_random() >> 1 >> (63 - 1 - next_random() % (unsigned)bits));
}

/* ---- layout ------------------------------------------------------------------------------------------------------ */

static void shape__documented_parameters__documented_layout(void **state) {
    (void)state;
    struct hdr_shape shape;
    assert_int_equal(hdr_shape(1, HOUR_US, 3, &shape), 0);
    assert_int_equal(shape.sub_bucket_count, 2048);
    assert_int_equal(shape.bucket_count, 22);
    assert_int_equal(shape.counts_len, 23552);
    assert_int_equal(hdr_shape(1000, 10000000000, 3, &shape), 0);
    assert_int_equal(shape.unit_magnitude, 9);
    assert_int_equal(hdr_shape(1, INT64_MAX, 5, &shape), 0);
    assert_int_equal(shape.bucket_count, 64 - 18);
    assert_int_equal(hdr_size_bytes(1, HOUR_US, 3) % 64, 0);
    assert_true(hdr_size_bytes(1, HOUR_US, 3) >= offsetof(struct hdr, counts) + 23552 * 8);
}

static void shape__bad_parameters__refused(void **state) {
    (void)state;
    const struct {
        int64_t lowest, highest;
        int digits;
    } bad[] = {
        { 0, 100, 2 },
        { -1, 100, 2 },
        { INT64_MIN, INT64_MAX, 2 },
        { 10, 19, 2 },
        { 1, 1, 2 },
        { 1, -5, 2 },
        { 1, 100, -1 },
        { 1, 100, 6 },
        { 1, 100, INT32_MAX },
        { INT64_MAX, INT64_MAX, 2 },
        { INT64_MAX / 2, INT64_MAX, 5 },
        { INT64_C(1) << 60, INT64_MAX, 3 },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(hdr_size_bytes(bad[i].lowest, bad[i].highest, bad[i].digits), 0);
        assert_null(hdr_new(bad[i].lowest, bad[i].highest, bad[i].digits));
    }
}

static void equivalents__documented_values__as_documented(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, HOUR_US, 3);
    assert_int_equal(hdr_lowest_equivalent(h, 10007), 10000);
    assert_int_equal(hdr_lowest_equivalent(h, 10009), 10008);
    assert_int_equal(hdr_highest_equivalent(h, 8180), 8183);
    assert_int_equal(hdr_highest_equivalent(h, 8191), 8191);
    assert_int_equal(hdr_highest_equivalent(h, 8193), 8199);
    assert_int_equal(hdr_highest_equivalent(h, 10008), 10015);
    assert_int_equal(hdr_median_equivalent(h, 4), 4);
    assert_int_equal(hdr_median_equivalent(h, 4000), 4001);
    assert_int_equal(hdr_median_equivalent(h, 8000), 8002);
    assert_int_equal(hdr_median_equivalent(h, 10007), 10004);
    assert_int_equal(hdr_lowest_equivalent(h, -7), 0);
    assert_int_equal(hdr_highest_equivalent(h, INT64_MAX), INT64_MAX);
    hdr_free(h);
}

static void indexes__of_any_shape__cover_all_values_without_gap(void **state) {
    (void)state;
    const int64_t lowest[] = { 1, 2, 1000, 1000000 };
    for (size_t k = 0; k < 4; k++) {
        for (int digits = 0; digits <= 4; digits++) {
            struct hdr *h = hdr_new(lowest[k], HOUR_US, digits);
            struct hdr_shape shape;
            assert_int_equal(hdr_shape(lowest[k], HOUR_US, digits, &shape), 0);
            int64_t expected = 0;
            for (int32_t i = 0; i < h->counts_len; i++) {
                int64_t value = hdr_value_at_index(h, i);
                assert_int_equal(value, expected);
                assert_int_equal(hdr_index_of(&shape, value), i);
                expected = hdr_highest_equivalent(h, value) + 1;
                assert_int_equal(hdr_index_of(&shape, expected - 1), i);
            }
            assert_true(expected > HOUR_US);
            assert_int_equal(hdr_value_at_index(h, -1), 0);
            assert_int_equal(hdr_value_at_index(h, h->counts_len), 0);
            hdr_free(h);
        }
    }
}

/* ---- recording and questions ------------------------------------------------------------------------------------- */

static void questions__of_an_empty_histogram__zero(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, HOUR_US, 3);
    assert_int_equal(hdr_total(h), 0);
    assert_int_equal(hdr_min(h), 0);
    assert_int_equal(hdr_max(h), 0);
    assert_int_equal(hdr_value_at_percentile(h, 50), 0);
    assert_true(hdr_mean(h) == 0 && hdr_stddev(h) == 0);
    assert_int_equal(h->min, INT64_MAX);
    hdr_free(h);
}

static void percentiles__one_outlier_in_ten_thousand__documented_values(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, HOUR_US, 3);
    hdr_record_n(h, 1000, 10000);
    hdr_record(h, 100000000);
    assert_int_equal(hdr_total(h), 10001);
    assert_int_equal(hdr_value_at_percentile(h, 30), 1000);
    assert_int_equal(hdr_value_at_percentile(h, 99), 1000);
    assert_int_equal(hdr_value_at_percentile(h, 99.99), 1000);
    assert_int_equal(hdr_value_at_percentile(h, 99.999), hdr_highest_equivalent(h, 100000000));
    assert_int_equal(hdr_value_at_percentile(h, 100), hdr_max(h));
    assert_int_equal(hdr_value_at_percentile(h, 0), 1000);
    assert_int_equal(hdr_value_at_percentile(h, -3), 1000);
    assert_int_equal(hdr_value_at_percentile(h, 1e300), hdr_max(h));
    assert_int_equal(hdr_value_at_percentile(h, NAN), 1000);
    assert_int_equal(hdr_min(h), 1000);
    assert_float_equal(hdr_mean(h), (1000.0 * 10000 + 100000000) / 10001, 10);
    assert_float_equal(hdr_stddev(h), 999800, 200);
    hdr_free(h);
}

static int compare_values(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a;
    int64_t y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void percentiles__random_values__equal_to_those_of_the_sorted_values(void **state) {
    (void)state;
    static int64_t values[5000];
    /* Of 100,000. */
    static const int parts[] = { 99999, 0, 50000, 1, 100000, 90000, 99000, 33333, 99900, 10, 75000, 99990 };
    enum { ASKED = sizeof(parts) / sizeof(parts[0]) };
    for (int round = 0; round < 30; round++) {
        struct hdr *h = hdr_new(1, INT64_C(1) << 40, round % 5);
        size_t n = 1 + next_random() % 5000;
        for (size_t i = 0; i < n; i++) {
            values[i] = next_value(40);
            hdr_record(h, values[i]);
        }
        qsort(values, n, sizeof(values[0]), compare_values);
        double p[ASKED];
        int64_t got[ASKED];
        for (size_t k = 0; k < ASKED; k++) {
            p[k] = parts[k] / 1000.0;
        }
        hdr_values_at_percentiles(h, p, got, ASKED);
        for (size_t k = 0; k < ASKED; k++) {
            size_t rank = ((size_t)parts[k] * n + 99999) / 100000;
            int64_t value = values[rank ? rank - 1 : 0];
            assert_int_equal(got[k], rank ? hdr_highest_equivalent(h, value) : hdr_lowest_equivalent(h, value));
            assert_int_equal(got[k], hdr_value_at_percentile(h, p[k]));
        }
        assert_int_equal(hdr_min(h), hdr_lowest_equivalent(h, values[0]));
        assert_int_equal(hdr_max(h), hdr_highest_equivalent(h, values[n - 1]));
        assert_int_equal(hdr_total(h), n);
        hdr_free(h);
    }
}

static void record__outside_the_range__clamped_and_counted(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, 1000000, 2);
    hdr_record(h, 1000001);
    hdr_record_n(h, INT64_MAX, 2);
    assert_int_equal(hdr_clamped(h), 3);
    assert_int_equal(hdr_max(h), hdr_highest_equivalent(h, 1000000));
    hdr_record(h, -1);
    hdr_record(h, INT64_MIN);
    hdr_record(h, 1000000);
    assert_int_equal(hdr_clamped(h), 3);
    assert_int_equal(hdr_count_at_index(h, 0), 2);
    assert_int_equal(hdr_total(h), 6);
    hdr_reset(h);
    assert_int_equal(hdr_total(h) + hdr_clamped(h) + hdr_max(h), 0);
    hdr_free(h);
}

static void add__of_two__equal_to_recording_all_in_one(void **state) {
    (void)state;
    struct hdr *parts[2] = { hdr_new(1, HOUR_US, 3), hdr_new(1, HOUR_US, 3) };
    struct hdr *all = hdr_new(1, HOUR_US, 3);
    for (int i = 0; i < 20000; i++) {
        int64_t value = next_value(33); /* some above highest */
        hdr_record(parts[i & 1], value);
        hdr_record(all, value);
    }
    assert_int_equal(hdr_add(parts[0], parts[1]), 0);
    for (int32_t i = 0; i < all->counts_len; i++) {
        assert_int_equal(hdr_count_at_index(parts[0], i), hdr_count_at_index(all, i));
    }
    assert_int_equal(hdr_total(parts[0]), 20000);
    assert_int_equal(hdr_clamped(parts[0]), hdr_clamped(all));
    assert_int_equal(hdr_max(parts[0]), hdr_max(all));
    struct hdr *other = hdr_new(1, HOUR_US, 2);
    assert_int_equal(hdr_add(other, all), -1);
    assert_int_equal(hdr_total(other), 0);
    assert_int_equal(hdr_add_at_index(other, other->counts_len, 1), -1);
    assert_int_equal(hdr_add_at_index(other, -1, 1), -1);
    assert_int_equal(hdr_add_at_index(other, 0, -1), -1);
    hdr_free(other);
    hdr_free(all);
    hdr_free(parts[0]);
    hdr_free(parts[1]);
}

/* ---- bytes of others --------------------------------------------------------------------------------------------- */

static void check__each_derived_field_off__refused(void **state) {
    (void)state;
    size_t room = hdr_size_bytes(1, HOUR_US, 3);
    struct hdr *h = hdr_new(1, HOUR_US, 3);
    assert_int_equal(hdr_check(h, room), 0);
    assert_int_equal(hdr_check(h, room - 1), -1);
    assert_int_equal(hdr_check(h, 10), -1);
    int32_t *fields[] = { &h->digits,           &h->unit_magnitude, &h->sub_bucket_half_magnitude,
                          &h->sub_bucket_count, &h->bucket_count,   &h->counts_len };
    const int32_t wrong[] = { -1, 1, 63, 64, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < 6; i++) {
        int32_t right = *fields[i];
        for (size_t k = 0; k < 6; k++) {
            *fields[i] = wrong[k];
            assert_int_equal(hdr_check(h, room), -1);
            assert_null(hdr_snapshot(h, room));
        }
        *fields[i] = right;
    }
    h->highest = INT64_MAX; /* a shape that would be fine, with counts that reach out of the room */
    assert_int_equal(hdr_check(h, room), -1);
    hdr_free(h);
}

static void snapshot__of_scribbled_counts__sane_numbers(void **state) {
    (void)state;
    size_t room = hdr_size_bytes(1, HOUR_US, 2);
    struct hdr *h = hdr_new(1, HOUR_US, 2);
    for (int32_t i = 0; i < h->counts_len; i++) {
        h->counts[i] = i % 3 == 0 ? INT64_MAX : i % 3 == 1 ? INT64_MIN : (int64_t)next_random();
    }
    h->total = -5;
    h->max = INT64_MIN;
    h->reserved = -1;
    struct hdr *copy = hdr_snapshot(h, room);
    assert_non_null(copy);
    assert_int_equal(hdr_total(copy), INT64_MAX);
    int64_t sum = 0;
    for (int32_t i = 0; i < copy->counts_len; i++) {
        assert_true(hdr_count_at_index(copy, i) >= 0);
        assert_false(__builtin_add_overflow(sum, hdr_count_at_index(copy, i), &sum));
    }
    assert_int_equal(hdr_clamped(copy), 0);
    (void)hdr_value_at_percentile(h, 50);
    (void)hdr_mean(h);
    (void)hdr_stddev(h);
    assert_true(hdr_value_at_percentile(copy, 50) >= 0);
    hdr_free(copy);
    hdr_free(h);
}

static void snapshot__of_random_bytes__refused_or_sane(void **state) {
    (void)state;
    size_t room = 4096;
    uint64_t *bytes = malloc(room); /* just as large as told: the sanitizer sees a step too far */
    for (int round = 0; round < 20000; round++) {
        for (size_t i = 0; i < room / 8; i++) {
            bytes[i] = round & 1 ? next_random() % 16 : next_random();
        }
        struct hdr *copy = hdr_snapshot((struct hdr *)bytes, room);
        hdr_free(copy);
    }
    free(bytes);
}

/* ---- beside the writer ------------------------------------------------------------------------------------------- */

struct writer {
    struct hdr *h;
    atomic_int stop;
};

static void *keep_recording(void *argument) {
    struct writer *writer = argument;
    for (int64_t value = 0; !atomic_load(&writer->stop); value = (value + 97) % 1000000) {
        hdr_record(writer->h, value);
    }
    return NULL;
}

static void snapshot__beside_the_writer__never_fewer_than_before(void **state) {
    (void)state;
    size_t room = hdr_size_bytes(1, HOUR_US, 2);
    struct writer writer = { .h = hdr_new(1, HOUR_US, 2) };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, keep_recording, &writer), 0);
    int64_t before = 0;
    for (int i = 0; i < 500; i++) {
        struct hdr *copy = hdr_snapshot(writer.h, room);
        assert_true(hdr_total(copy) >= before);
        before = hdr_total(copy);
        assert_true(hdr_value_at_percentile(writer.h, 99) <= hdr_highest_equivalent(copy, 1000000));
        hdr_free(copy);
    }
    atomic_store(&writer.stop, 1);
    pthread_join(thread, NULL);
    struct hdr *copy = hdr_snapshot(writer.h, room);
    assert_int_equal(hdr_total(copy), hdr_total(writer.h));
    hdr_free(copy);
    hdr_free(writer.h);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shape__documented_parameters__documented_layout),
        cmocka_unit_test(shape__bad_parameters__refused),
        cmocka_unit_test(equivalents__documented_values__as_documented),
        cmocka_unit_test(indexes__of_any_shape__cover_all_values_without_gap),
        cmocka_unit_test(questions__of_an_empty_histogram__zero),
        cmocka_unit_test(percentiles__one_outlier_in_ten_thousand__documented_values),
        cmocka_unit_test(percentiles__random_values__equal_to_those_of_the_sorted_values),
        cmocka_unit_test(record__outside_the_range__clamped_and_counted),
        cmocka_unit_test(add__of_two__equal_to_recording_all_in_one),
        cmocka_unit_test(check__each_derived_field_off__refused),
        cmocka_unit_test(snapshot__of_scribbled_counts__sane_numbers),
        cmocka_unit_test(snapshot__of_random_bytes__refused_or_sane),
        cmocka_unit_test(snapshot__beside_the_writer__never_fewer_than_before),
    };
    return cmocka_run_group_tests_name("hdr", tests, NULL, NULL);
}
