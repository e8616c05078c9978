/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histories of several processes, checked: tests/lib/history_op.h says for what. The checkers' own tests: test_history_check.c. */
#include "tests/lib/history_world.h"

#define OPS 1000u
#define PER_WORLD 30u /* so that the rings of all sizes have their turn */

static uint64_t seed;
static struct history_totals totals;

static void run(uint64_t histories, uint32_t trouble) {
    struct history_settings s = { .seed = seed, .ops = OPS, .trouble = trouble, .per_world = PER_WORLD };
    assert_true(history_run_all(&s, help_scaled(histories), 0, &totals));
}

static void histories__nothing_goes_wrong__hold(void **state) {
    (void)state;
    run(60, 0);
}

static void histories__kills_and_stops_among_them__hold(void **state) {
    (void)state;
    seed += 1000;
    run(120, 50);
    history_print_totals(&totals);
}

int main(void) {
    help_start(100);
    seed = help_seed();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(histories__nothing_goes_wrong__hold),
        cmocka_unit_test(histories__kills_and_stops_among_them__hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
