/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which word was meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "tools/lib/nearest.h"

static void nearest_distance__counts_changes(void **state) {
    (void)state;
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("get", "get"), 0);
    assert_int_equal(nearest_distance("gte", "get"), 1);
    assert_int_equal(nearest_distance("stats", "stat"), 1);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("sitting", "kitten"), 3);
}

static void nearest_distance__too_long__far(void **state) {
    char longest[NEAREST_WORD_MAX + 1], longer[NEAREST_WORD_MAX + 2];
    (void)state;
    memset(longest, 'x', sizeof(longest));
    longest[NEAREST_WORD_MAX] = '\0';
    memset(longer, 'x', sizeof(longer));
    longer[NEAREST_WORD_MAX + 1] = '\0';
    assert_int_equal(nearest_distance(longest, longest), 0);
    assert_int_equal(nearest_distance(longest, longer), SIZE_MAX);
}

static const char *meant(const char *word) {
    static const char *const WORDS[] = { "get", "gc", "put", "scan", "snapshot", "stat", "max-lag", "max-staleness" };
    struct nearest n = { .word = word };
    for (size_t i = 0; i < sizeof(WORDS) / sizeof(WORDS[0]); i++) {
        nearest_try(&n, WORDS[i]);
    }
    return n.best;
}

static void nearest_try__keeps_the_nearest_that_is_near_enough(void **state) {
    (void)state;
    assert_string_equal(meant("gte"), "get");
    assert_string_equal(meant("snap"), "snapshot"); /* its beginning */
    assert_string_equal(meant("max-stalness"), "max-staleness");
    assert_null(meant("frobnicate"));
    assert_null(meant("x"));
    assert_null(meant(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nearest_distance__counts_changes),
        cmocka_unit_test(nearest_distance__too_long__far),
        cmocka_unit_test(nearest_try__keeps_the_nearest_that_is_near_enough),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
