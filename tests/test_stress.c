/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A short run of each stress program. `make stress SECONDS=` runs them longer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/lib/stress_replicas.h"
#include "tests/lib/stress_snapshot.h"
#include "tests/lib/stress_teardown.h"
#include "tests/lib/stress_writers.h"

#define SHORT_SECONDS 1.5

/* Another seed each time, printed: a fixed one would see the same settings for ever. */
static uint64_t test_seed(void) {
    uint64_t state = stress_now_ns();
    return stress_rand(&state) % 1000000000u;
}

static void stress_snapshot__storm__shows_exactly_its_index(void **state) {
    (void)state;
    assert_int_equal(stress_run("# stress_snapshot", stress_snapshot_round, SHORT_SECONDS, test_seed(), false), 0);
}

static void stress_replicas__come_and_go__contract_holds(void **state) {
    (void)state;
    assert_int_equal(stress_run("# stress_replicas", stress_replicas_round, SHORT_SECONDS, test_seed(), false), 0);
}

static void stress_writers__many__nothing_lost_or_twice(void **state) {
    (void)state;
    assert_int_equal(stress_run("# stress_writers", stress_writers_round, SHORT_SECONDS, test_seed(), false), 0);
}

static void stress_teardown__any_order__nothing_hangs(void **state) {
    (void)state;
    assert_int_equal(stress_run("# stress_teardown", stress_teardown_round, SHORT_SECONDS, test_seed(), false), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stress_snapshot__storm__shows_exactly_its_index),
        cmocka_unit_test(stress_replicas__come_and_go__contract_holds),
        cmocka_unit_test(stress_writers__many__nothing_lost_or_twice),
        cmocka_unit_test(stress_teardown__any_order__nothing_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
