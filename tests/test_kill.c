/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/crash_kill.h"
#include "tests/lib/help.h"

static void kill__random_processes__nothing_lost_doubled_torn_or_stuck(void **state) {
    (void)state;
    assert_int_equal(crash_kill_run(help_seed(), help_scaled(110), 0, false), 0);
}

static void kill__in_a_domain_that_evicts__nothing_that_is_kept_is_lost(void **state) {
    (void)state;
    assert_int_equal(crash_kill_run(help_seed(), help_scaled(80), 0, true), 0);
}

int main(void) {
    help_start(110);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kill__random_processes__nothing_lost_doubled_torn_or_stuck),
        cmocka_unit_test(kill__in_a_domain_that_evicts__nothing_that_is_kept_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
