/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tools read: arguments, numbers and strings of JSON, whole texts, also damaged ones. cJSON is the second
 * opinion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "tests/lib/random.h"
#include "tools/lib/args.h"
#include "tools/node/json_number.h"
#include "tools/lib/json_out.h"
#include "tools/node/json_tape.h"

#define MAX_NS 1000000000000000000u

/* ---- arguments ---- */

static void args_duration__units__in_nanoseconds(void **state) {
    static const struct {
        const char *text;
        uint64_t ns;
    } CASES[] = {
        { "0", 0 },
        { "0ms", 0 },
        { "18us", 18000 },
        { "200ms", 200000000 },
        { "1.5s", 1500000000 },
        { "7ns", 7 },
        { "2m", 120000000000 },
        { "1h", 3600000000000 },
        { "0.25ms", 250000 },
        { "1.9ns", 1 },
        { "0.1h", 360000000000 },
        { "0.123456789s", 123456789 },
        { "0.0000000000000000000001s", 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t ns = 1;
        assert_int_equal(args_duration(CASES[i].text, &ns), 0);
        assert_int_equal(ns, CASES[i].ns);
    }
}

static void args_duration__nonsense__refused(void **state) {
    static const char *const CASES[] = { "",
                                         "5",
                                         "ms",
                                         "-5ms",
                                         "+5ms",
                                         " 5ms",
                                         "5 ms",
                                         "5ms ",
                                         "5MS",
                                         "1.ms",
                                         ".5ms",
                                         "1.5",
                                         "1e3ms",
                                         "5msec",
                                         "99999999999999999999ns",
                                         "9999999999h",
                                         "0x5ms" };
    uint64_t ns = 4711;
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        assert_int_equal(args_duration(CASES[i], &ns), -1);
    }
    assert_int_equal(ns, 4711);
}

static void args_duration_text__any_time__read_back_within_rounding(void **state) {
    char text[32];
    (void)state;
    assert_string_equal(args_duration_text(18000000, text, sizeof(text)), "18ms");
    assert_string_equal(args_duration_text(1500000000, text, sizeof(text)), "1.5s");
    assert_string_equal(args_duration_text(0, text, sizeof(text)), "0ns");
    assert_string_equal(args_duration_text(1000001, text, sizeof(text)), "1.001ms");
    for (int i = 0; i < 10000; i++) {
        uint64_t ns = next_random() >> (8 + next_random() % 50), back;
        assert_int_equal(args_duration(args_duration_text(ns, text, sizeof(text)), &back), 0);
        assert_true(back >= ns && back - ns <= ns / 1000 + 1);
    }
}

static void args_size__units_and_nonsense__told_apart(void **state) {
    uint64_t v = 0;
    (void)state;
    assert_true(args_size("4096", &v) == 0 && v == 4096);
    assert_true(args_size("64K", &v) == 0 && v == 65536);
    assert_true(args_size("16MiB", &v) == 0 && v == 16777216);
    assert_true(args_size("2G", &v) == 0 && v == 2147483648);
    assert_int_equal(args_size("", &v), -1);
    assert_int_equal(args_size("-1", &v), -1);
    assert_int_equal(args_size("1.5G", &v), -1);
    assert_int_equal(args_size("1T", &v), -1);
    assert_int_equal(args_size("99999999999G", &v), -1);
    assert_int_equal(args_u64("5", 1, 4, &v), -1);
    assert_true(args_u64("4", 1, 4, &v) == 0 && v == 4);
    assert_int_equal(args_u64("4x", 1, 4, &v), -1);
}

/* ---- numbers ---- */

static void json_number__double_written_shortest__exact(void **state) {
    (void)state;
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = next_random();
        double value;
        char text[64];
        memcpy(&value, &bits, sizeof(value));
        if (value != value || value - value != 0) {
            continue;
        }
        for (int digits = 1; digits <= 17; digits++) {
            snprintf(text, sizeof(text), "%.*g", digits, value);
            if (strtod(text, NULL) == value) {
                break;
            }
        }
        assert_true(json_number_exact(text, strlen(text)));
        /* The same with all its digits is as exact; one more digit behind them is another value. */
        char all[900];
        snprintf(all, sizeof(all), "%.800e", value);
        assert_true(json_number_exact(all, strlen(all)));
    }
}

static void json_number__18_random_digits__rarely_exact_and_then_true(void **state) {
    (void)state;
    for (int i = 0; i < 20000; i++) {
        char text[64], back[64];
        snprintf(text, sizeof(text), "1%017llu", (unsigned long long)(next_random() % 100000000000000000u));
        double value = strtod(text, NULL);
        snprintf(back, sizeof(back), "%.0f", value);
        /* Above 2^53 a double is a whole number: exact means that all digits come back, or all that are not zeros. */
        if (json_number_exact(text, strlen(text))) {
            assert_true(strcmp(text, back) == 0 || strspn(text + strlen(text) - 1, "0") == 1);
        } else {
            assert_string_not_equal(text, back);
        }
    }
}

static void json_number_canonical__spellings_of_one_value__one_text(void **state) {
    static const char *const CASES[][2] = {
        { "1", "1" },
        { "1.0", "1" },
        { "10e-1", "1" },
        { "0.1e1", "1" },
        { "-0", "0" },
        { "0.0e9", "0" },
        { "100", "100" },
        { "1e2", "100" },
        { "-1.50", "-1.5" },
        { "0.000001", "0.000001" },
        { "1e-7", "1e-7" },
        { "0.0000001", "1e-7" },
        { "1e21", "1e21" },
        { "100000000000000000000", "100000000000000000000" },
        { "1.25E-10", "1.25e-10" },
        { "12.5e1", "125" },
        { "0.00012", "0.00012" },
    };
    struct buf out = { 0 };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        out.size = 0;
        json_number_canonical(&out, CASES[i][0], strlen(CASES[i][0]));
        buf_add_char(&out, '\0');
        assert_string_equal(out.data, CASES[i][1]);
    }
    buf_free(&out);
}

static void json_number_ms__part_of_a_nanosecond__rounded_up(void **state) {
    static const struct {
        const char *text;
        int rc;
        uint64_t ns;
    } CASES[] = {
        { "0", 0, 0 },
        { "-0", 0, 0 },
        { "1", 0, 1000000 },
        { "0.000001", 0, 1 },
        { "0.0000001", 0, 1 },
        { "1e-300", 0, 1 },
        { "1.5", 0, 1500000 },
        { "2.0000001", 0, 2000001 },
        { "1e3", 0, 1000000000 },
        { "1e12", 0, 1000000000000000000 },
        { "-1", -1, 0 },
        { "1e13", -1, 0 },
        { "1e300", -1, 0 },
        { "-1e-9", -1, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        uint64_t ns = 0;
        assert_int_equal(json_number_ms(CASES[i].text, strlen(CASES[i].text), MAX_NS, &ns), CASES[i].rc);
        assert_int_equal(ns, CASES[i].ns);
    }
}

/* ---- texts ---- */

static void json_tape__every_prefix_of_a_line__a_fault_and_no_crash(void **state) {
    static const char LINE[] =
        "{\"a\": [1, -2.5e3, \"x\\u00e9\\ud83d\\ude00\", true, false, null, {\"b\": {}}], \"c\": \"\\\"\"}";
    struct json_tape t = { 0 };
    (void)state;
    for (size_t size = 0; size < strlen(LINE); size++) {
        /* In a block of its own size, so that a sanitizer sees a read behind it. */
        char *copy = malloc(size + 1);
        memcpy(copy, LINE, size);
        assert_int_not_equal(json_tape_read(&t, copy, size), JSON_OK);
        free(copy);
    }
    assert_int_equal(json_tape_read(&t, LINE, strlen(LINE)), JSON_OK);
    assert_int_equal(t.nodes[0].next, t.n_nodes);
    json_tape_free(&t);
}

static void json_append__any_text__stable_and_read_by_cjson_as_the_same(void **state) {
    static const char LINE[] =
        "{\"a\":[1,-2.5e3,\"x\\u00e9\\ud83d\\ude00\\n\",true,false,null,{\"b\":{}}],\"c\":\"\\\"\\/\"}";
    struct json_tape t = { 0 };
    struct buf out = { 0 }, again = { 0 };
    (void)state;
    assert_int_equal(json_tape_read(&t, LINE, strlen(LINE)), JSON_OK);
    json_append(&out, &t, 0);
    cJSON *in = cJSON_Parse(LINE), *back = cJSON_ParseWithLength(out.data, out.size);
    assert_non_null(in);
    assert_true(cJSON_Compare(in, back, 1));
    cJSON_Delete(in);
    cJSON_Delete(back);
    assert_int_equal(json_tape_read(&t, out.data, out.size), JSON_OK);
    json_append(&again, &t, 0);
    assert_int_equal(out.size, again.size);
    assert_memory_equal(out.data, again.data, out.size);
    buf_free(&out);
    buf_free(&again);
    json_tape_free(&t);
}

static void json_tape__hundred_thousand_names__duplicate_found_at_once(void **state) {
    struct json_tape t = { 0 };
    struct buf text = { 0 };
    (void)state;
    buf_add_char(&text, '{');
    for (int i = 0; i < 100000; i++) {
        buf_printf(&text, "%s\"%d\":0", i ? "," : "", i * 7 % 100000);
    }
    buf_add_text(&text, "}");
    assert_int_equal(json_tape_read(&t, text.data, text.size), JSON_OK);
    text.size--;
    buf_add_text(&text, ",\"\\u0037\":0}");
    assert_int_equal(json_tape_read(&t, text.data, text.size), JSON_DUPLICATE);
    buf_free(&text);
    json_tape_free(&t);
}

static void json_quote__bytes_that_are_not_utf8__still_json(void **state) {
    struct buf out = { 0 };
    (void)state;
    for (int round = 0; round < 2000; round++) {
        char bytes[40];
        size_t size = next_random() % sizeof(bytes);
        for (size_t i = 0; i < size; i++) {
            bytes[i] = (char)next_random();
        }
        struct json_tape t = { 0 };
        out.size = 0;
        json_quote(&out, bytes, size);
        assert_int_equal(json_tape_read(&t, out.data, out.size), JSON_OK);
        json_tape_free(&t);
    }
    buf_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(args_duration__units__in_nanoseconds),
        cmocka_unit_test(args_duration__nonsense__refused),
        cmocka_unit_test(args_duration_text__any_time__read_back_within_rounding),
        cmocka_unit_test(args_size__units_and_nonsense__told_apart),
        cmocka_unit_test(json_number__double_written_shortest__exact),
        cmocka_unit_test(json_number__18_random_digits__rarely_exact_and_then_true),
        cmocka_unit_test(json_number_canonical__spellings_of_one_value__one_text),
        cmocka_unit_test(json_number_ms__part_of_a_nanosecond__rounded_up),
        cmocka_unit_test(json_tape__every_prefix_of_a_line__a_fault_and_no_crash),
        cmocka_unit_test(json_append__any_text__stable_and_read_by_cjson_as_the_same),
        cmocka_unit_test(json_tape__hundred_thousand_names__duplicate_found_at_once),
        cmocka_unit_test(json_quote__bytes_that_are_not_utf8__still_json),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
