/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Every number of the public interface has a text, and no two have the same. */
#include "tests/lib/help.h"

static void tide_strerror__every_code__a_text_of_its_own(void **state) {
    (void)state;
    for (int a = 0; a >= TIDE_ERR_REVISION; a--) {
        const char *text = tide_strerror(a);
        assert_non_null(text);
        assert_true(strlen(text) > 3 && strchr(text, '\n') == NULL);
        assert_string_not_equal(text, "unknown error");
        for (int b = 0; b > a; b--) {
            assert_string_not_equal(text, tide_strerror(b));
        }
    }
}

static void tide_strerror__unknown_codes__unknown_error(void **state) {
    (void)state;
    const int unknown[] = { 1, 42, TIDE_ERR_REVISION - 1, -1000, INT32_MAX, INT32_MIN };
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        assert_string_equal(tide_strerror(unknown[i]), "unknown error");
    }
}

static void tide_reason_name__every_reason__as_the_protocol_spells_it(void **state) {
    (void)state;
    assert_string_equal(tide_reason_name(TIDE_REASON_FRESH), "fresh");
    assert_string_equal(tide_reason_name(TIDE_REASON_WITHIN_BOUND), "within_bound");
    assert_string_equal(tide_reason_name(TIDE_REASON_WAITED), "waited");
    assert_string_equal(tide_reason_name(TIDE_REASON_REDIRECTED), "redirected_to_leader");
    assert_string_equal(tide_reason_name(TIDE_REASON_BEHIND_REDIRECTED), "follower_behind_redirected_to_leader");
    assert_string_equal(tide_reason_name(TIDE_REASON_STALE_BY_CHOICE), "stale_by_choice");
    assert_non_null(tide_reason_name(TIDE_REASON_REFUSED));
    assert_non_null(tide_reason_name((enum tide_reason)TIDE_REASONS));
    assert_non_null(tide_reason_name((enum tide_reason)12345));
}

static void tide_state_name__every_state__a_text_of_its_own(void **state) {
    (void)state;
    for (int a = TIDE_STATE_FREE; a <= TIDE_STATE_ORPHAN; a++) {
        assert_string_not_equal(tide_state_name((enum tide_state)a), "unknown");
        for (int b = TIDE_STATE_FREE; b < a; b++) {
            assert_string_not_equal(tide_state_name((enum tide_state)a), tide_state_name((enum tide_state)b));
        }
    }
    assert_string_equal(tide_state_name((enum tide_state)(TIDE_STATE_ORPHAN + 1)), "unknown");
}

static void tide_version__of_the_library__the_headers(void **state) {
    (void)state;
    assert_int_equal(tide_version(), TIDE_VERSION);
    assert_int_equal(TIDE_VERSION >> 16, TIDE_VERSION_MAJOR);
    assert_int_equal(TIDE_VERSION >> 8 & 0xff, TIDE_VERSION_MINOR);
    assert_int_equal(TIDE_VERSION & 0xff, TIDE_VERSION_PATCH);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_strerror__every_code__a_text_of_its_own),
        cmocka_unit_test(tide_strerror__unknown_codes__unknown_error),
        cmocka_unit_test(tide_reason_name__every_reason__as_the_protocol_spells_it),
        cmocka_unit_test(tide_state_name__every_state__a_text_of_its_own),
        cmocka_unit_test(tide_version__of_the_library__the_headers),
    };
    return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
