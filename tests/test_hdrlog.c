/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HdrHistogram's files: texts against known ones, encodings there and back, and decoders fed with anything. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "tests/lib/hdrdecode.h"
#include "tests/lib/random.h"

#define HOUR_US INT64_C(3600000000)

static struct hdr *random_hdr(int64_t lowest, int64_t highest, int digits, int records) {
    struct hdr *h = hdr_new(lowest, highest, digits);
    assert_non_null(h);
    for (int i = 0; i < records; i++) {
        int64_t value = (int64_t)(next_random() >> 1 >> next_random() % 63);
        hdr_record_n(h, value, 1 + (int64_t)(next_random() % 3 ? 0 : next_random() >> 1 >> (10 + next_random() % 50)));
    }
    return h;
}

static void assert_same(const struct hdr *a, const struct hdr *b) {
    assert_int_equal(a->lowest, b->lowest);
    assert_int_equal(a->highest, b->highest);
    assert_int_equal(a->digits, b->digits);
    assert_int_equal(a->counts_len, b->counts_len);
    assert_int_equal(hdr_total(a), hdr_total(b));
    for (int32_t i = 0; i < a->counts_len; i++) {
        assert_int_equal(hdr_count_at_index(a, i), hdr_count_at_index(b, i));
    }
}

/* What `write` puts into a file, as text; the caller frees it. */
static char *text_of(int (*write)(FILE *out, const struct hdr *h), const struct hdr *h) {
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_int_equal(write(out, h), 0);
    fclose(out);
    return text;
}

/* ---- .hgrm ------------------------------------------------------------------------------------------------------- */

static int write_hgrm(FILE *out, const struct hdr *h) {
    return hdrlog_hgrm(out, h, HDRLOG_TICKS, 1000);
}

static void hgrm__of_three_values__the_reference_text(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, HOUR_US, 3);
    hdr_record(h, 1000);
    hdr_record(h, 2000);
    hdr_record(h, 3000);
    char *text = text_of(write_hgrm, h);
    assert_string_equal(text, "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
                              "       1.000 0.000000000000          1           1.00\n"
                              "       1.000 0.100000000000          1           1.11\n"
                              "       1.000 0.200000000000          1           1.25\n"
                              "       1.000 0.300000000000          1           1.43\n"
                              "       2.000 0.400000000000          2           1.67\n"
                              "       2.000 0.500000000000          2           2.00\n"
                              "       2.000 0.550000000000          2           2.22\n"
                              "       2.000 0.600000000000          2           2.50\n"
                              "       2.000 0.650000000000          2           2.86\n"
                              "       3.001 0.700000000000          3           3.33\n"
                              "       3.001 1.000000000000          3\n"
                              "#[Mean    =        2.000, StdDeviation   =        0.817]\n"
                              "#[Max     =        3.001, Total count    =            3]\n"
                              "#[Buckets =           22, SubBuckets     =         2048]\n");
    free(text);
    hdr_free(h);
}

static void hgrm__of_nothing__head_and_foot(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, HOUR_US, 2);
    char *text = text_of(write_hgrm, h);
    assert_string_equal(text, "       Value     Percentile TotalCount 1/(1-Percentile)\n\n"
                              "#[Mean    =         0.00, StdDeviation   =         0.00]\n"
                              "#[Max     =         0.00, Total count    =            0]\n"
                              "#[Buckets =           25, SubBuckets     =          256]\n");
    free(text);
    hdr_free(h);
}

static void hgrm__of_a_total_near_2_to_the_63__ends(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, HOUR_US, 3);
    hdr_record_n(h, 1000, INT64_MAX - 1);
    hdr_record(h, 2000);
    char *text = text_of(write_hgrm, h);
    assert_true(strlen(text) < 100000);
    assert_non_null(strstr(text, "#[Buckets"));
    free(text);
    hdr_free(h);
}

static void hgrm__bad_arguments__refused(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, HOUR_US, 3);
    assert_int_equal(hdrlog_hgrm(stderr, h, 0, 1), -1);
    assert_int_equal(hdrlog_hgrm(stderr, h, 5, 0), -1);
    assert_int_equal(hdrlog_hgrm(stderr, h, 5, -1), -1);
    assert_int_equal(errno, EINVAL);
    hdr_free(h);
}

/* ---- encoding ---------------------------------------------------------------------------------------------------- */

static void encode__of_known_counts__known_bytes(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, 1000, 1);
    hdr_record_n(h, 0, 1);
    hdr_record_n(h, 2, 64);             /* one zero before it: no run */
    hdr_record_n(h, 12, INT64_MAX / 2); /* nine zeros: a run; nine bytes of count */
    uint8_t *bytes;
    size_t length;
    assert_int_equal(hdrlog_encode(h, &bytes, &length), 0);
    static const uint8_t expected[] = {
        /* cookie, length, offset, digits; lowest, highest; ratio; counts */
        0x1c, 0x84, 0x93, 0x13, 0, 0, 0,    14,   0,    0,    0,    0,    0,    0,    0,    1,    0,    0,
        0,    0,    0,    0,    0, 1, 0,    0,    0,    0,    0,    0,    0x03, 0xe8, 0x3f, 0xf0, 0,    0,
        0,    0,    0,    0,    2, 0, 0x80, 0x01, 0x11, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    };
    assert_int_equal(length, sizeof(expected));
    assert_memory_equal(bytes, expected, sizeof(expected));
    free(bytes);
    hdr_free(h);
}

static void decode__of_encoded__the_same_again(void **state) {
    (void)state;
    static const int64_t lowest[] = { 1, 1, 1000, 7 };
    static const int64_t highest[] = { HOUR_US, INT64_MAX, INT64_C(3600000000000), 1000 };
    for (int round = 0; round < 200; round++) {
        int k = round % 4;
        struct hdr *h = random_hdr(lowest[k], highest[k], round % 5, round ? (int)(next_random() % 2000) : 0);
        for (int compressed = 0; compressed < 2; compressed++) {
            uint8_t *bytes;
            size_t length;
            struct hdr *again;
            assert_int_equal((compressed ? hdrlog_encode_compressed : hdrlog_encode)(h, &bytes, &length), 0);
            assert_int_equal(hdrlog_decode(bytes, length, &again), 0);
            assert_same(h, again);
            hdr_free(again);
            free(bytes);
        }
        hdr_free(h);
    }
}

static void decode__of_any_cut_or_changed_bytes__refused_or_sane(void **state) {
    (void)state;
    for (int compressed = 0; compressed < 2; compressed++) {
        struct hdr *h = random_hdr(1, HOUR_US, 1, 300);
        uint8_t *bytes;
        size_t length;
        assert_int_equal((compressed ? hdrlog_encode_compressed : hdrlog_encode)(h, &bytes, &length), 0);
        for (size_t cut = 0; cut < length; cut++) {
            uint8_t *part = malloc(cut ? cut : 1); /* just as large: the sanitizer sees a step too far */
            memcpy(part, bytes, cut);
            struct hdr *again = NULL;
            assert_int_equal(hdrlog_decode(part, cut, &again), -1);
            assert_null(again);
            free(part);
        }
        for (int round = 0; round < 20000; round++) {
            size_t at = next_random() % (round & 1 ? length : 40);
            uint8_t was = bytes[at];
            bytes[at] = (uint8_t)next_random();
            struct hdr *again = NULL;
            if (hdrlog_decode(bytes, length, &again) == 0) {
                assert_true(hdr_total(again) >= 0);
                assert_int_equal(hdr_check(again, hdr_size_bytes(again->lowest, again->highest, again->digits)), 0);
            }
            hdr_free(again);
            bytes[at] = was;
        }
        free(bytes);
        hdr_free(h);
    }
}

static void decode__of_garbage__refused(void **state) {
    (void)state;
    uint8_t bytes[200];
    for (int round = 0; round < 100000; round++) {
        size_t length = next_random() % sizeof(bytes);
        for (size_t i = 0; i < length; i++) {
            bytes[i] = (uint8_t)next_random();
        }
        if (length > 8) {
            static const uint8_t cookies[2][4] = { { 0x1c, 0x84, 0x93, 0x13 }, { 0x1c, 0x84, 0x93, 0x14 } };
            memcpy(bytes, cookies[round & 1], 4);
            memcpy(bytes + 4, (uint8_t[4]){ 0, 0, 0, (uint8_t)(length - (round & 1 ? 8 : 40)) }, 4);
        }
        struct hdr *h = NULL;
        assert_int_equal(hdrlog_decode(bytes, length, &h), -1);
    }
}

static void decode__counts_beyond_the_shape__refused(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, 1000, 1);
    uint8_t *bytes;
    size_t length;
    hdr_record(h, 1000);
    assert_int_equal(hdrlog_encode(h, &bytes, &length), 0);
    struct hdr *again;
    static const uint8_t bad[][10] = {
        { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff },    /* INT64_MIN zeros */
        { 0xff, 0x01 },                                              /* 128 zeros, of 128 - 16 counts */
        { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2 }, /* a sum over INT64_MAX */
        { 0x80 },                                                    /* ends within a count */
    };
    static const size_t lengths[] = { 9, 2, 10, 1 };
    for (size_t i = 0; i < 4; i++) {
        uint8_t whole[50];
        memcpy(whole, bytes, 40);
        memcpy(whole + 40, bad[i], lengths[i]);
        whole[7] = (uint8_t)lengths[i];
        assert_int_equal(hdrlog_decode(whole, 40 + lengths[i], &again), -1);
        assert_int_equal(errno, EINVAL);
    }
    free(bytes);
    hdr_free(h);
}

static void base64__known_texts__there_and_back(void **state) {
    (void)state;
    static const char *const plain[] = { "", "f", "fo", "foo", "foob", "fooba", "foobar" };
    static const char *const coded[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
    for (size_t i = 0; i < 7; i++) {
        char *text;
        uint8_t *bytes;
        size_t length;
        assert_int_equal(hdrlog_base64_encode((const uint8_t *)plain[i], strlen(plain[i]), &text), 0);
        assert_string_equal(text, coded[i]);
        assert_int_equal(hdrlog_base64_decode(text, strlen(text), &bytes, &length), 0);
        assert_int_equal(length, strlen(plain[i]));
        assert_memory_equal(bytes, plain[i], length);
        free(bytes);
        free(text);
    }
    static const char *const bad[] = { "Z", "Zg=", "Zg", "====", "Z===", "Zg==Zg==", "Zm9\n", "Zm9-", "Z=g=" };
    for (size_t i = 0; i < 9; i++) {
        uint8_t *bytes;
        size_t length;
        assert_int_equal(hdrlog_base64_decode(bad[i], strlen(bad[i]), &bytes, &length), -1);
    }
}

/* ---- .hlog ------------------------------------------------------------------------------------------------------- */

static void log__written__read_back(void **state) {
    (void)state;
    setenv("TZ", "UTC", 1);
    struct hdr *a = random_hdr(1, HOUR_US, 3, 1000);
    struct hdr *b = hdr_new(1, 1000000, 2);
    char *text = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&text, &length);
    assert_int_equal(hdrlog_begin(out, "[Logged by a test]", 1700000000125), 0);
    assert_int_equal(hdrlog_interval(out, NULL, 0, 1.0005, a, 1000), 0);
    assert_int_equal(hdrlog_interval(out, "lag", 1.0005, 0.999, b, 1000), 0);
    fclose(out);
    static const char head[] =
        "#[Logged by a test]\n"
        "#[Histogram log format version 1.3]\n"
        "#[StartTime: 1700000000.125 (seconds since epoch), Tue Nov 14 22:13:20 UTC 2023]\n"
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n"
        "0.000,1.001,";
    assert_memory_equal(text, head, sizeof(head) - 1);
    FILE *in = fmemopen(text, length, "r");
    struct hdrlog_line line;
    assert_int_equal(hdrlog_next(in, &line), 1);
    assert_string_equal(line.tag, "");
    assert_same(line.hdr, a);
    hdr_free(line.hdr);
    assert_int_equal(hdrlog_next(in, &line), 1);
    assert_string_equal(line.tag, "lag");
    assert_true(line.start_s == 1.001 && line.length_s == 0.999 && line.max == 0);
    assert_same(line.hdr, b);
    hdr_free(line.hdr);
    assert_int_equal(hdrlog_next(in, &line), 0);
    fclose(in);
    free(text);
    hdr_free(a);
    hdr_free(b);
}

static void log__bad_arguments__refused(void **state) {
    (void)state;
    struct hdr *h = hdr_new(1, 1000, 2);
    FILE *out = fopen("/dev/null", "w");
    assert_int_equal(hdrlog_begin(out, "two\nlines", 0), -1);
    static const char *const tags[] = { "", "a,b", "a b", "a\n",
                                        "1234567890123456789012345678901234567890123456789012345678901234" };
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(hdrlog_interval(out, tags[i], 0, 1, h, 1), -1);
    }
    assert_int_equal(hdrlog_interval(out, NULL, -1, 1, h, 1), -1);
    assert_int_equal(hdrlog_interval(out, NULL, 0, 1, h, 0), -1);
    fclose(out);
    hdr_free(h);
}

static void log__bad_lines__refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "x",
        ",,,",
        "1,2,3",
        "1,2,3,",
        "1,2,3,AAAA",
        "1,2,3,????",
        "Tag=,1,2,3,AAAA",
        "Tag=a",
        "Tag=a,1,2",
        "nan,1,2,AAAA",
        "1,inf,2,AAAA",
        "Tag=a b,1,2,3,AAAA",
        "Tag=1234567890123456789012345678901234567890123456789012345678901234,1,2,3,AAAA",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        FILE *in = fmemopen((void *)(uintptr_t)bad[i], strlen(bad[i]), "r");
        struct hdrlog_line line = { .start_s = 42 };
        assert_int_equal(hdrlog_next(in, &line), -1);
        assert_true(line.start_s == 42 && line.hdr == NULL);
        fclose(in);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hgrm__of_three_values__the_reference_text),
        cmocka_unit_test(hgrm__of_nothing__head_and_foot),
        cmocka_unit_test(hgrm__of_a_total_near_2_to_the_63__ends),
        cmocka_unit_test(hgrm__bad_arguments__refused),
        cmocka_unit_test(encode__of_known_counts__known_bytes),
        cmocka_unit_test(decode__of_encoded__the_same_again),
        cmocka_unit_test(decode__of_any_cut_or_changed_bytes__refused_or_sane),
        cmocka_unit_test(decode__of_garbage__refused),
        cmocka_unit_test(decode__counts_beyond_the_shape__refused),
        cmocka_unit_test(base64__known_texts__there_and_back),
        cmocka_unit_test(log__written__read_back),
        cmocka_unit_test(log__bad_arguments__refused),
        cmocka_unit_test(log__bad_lines__refused),
    };
    return cmocka_run_group_tests_name("hdrlog", tests, NULL, NULL);
}
