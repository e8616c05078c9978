/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads in chosen orders, briefly: tests/sched/sched.h. `make stress T=schedules` takes longer. */
#include "tests/lib/help.h"

#include <stdio.h>

#include "tests/sched/sched.h"

#define ORDERS 6000u
#define FEED_ORDERS 1500u /* each waits for the library's threads, many times */
#define RANDOM 400u

/* All orders with one switch, as many with two as there are or as the longest scenarios have time for, then random ones with more. */
static void run(const char *name, uint32_t switches, uint64_t orders, uint64_t random) {
    const struct sched_options o = {
        .switches = switches, .orders = help_scaled(orders), .random = help_scaled(random), .seed = help_seed()
    };
    struct sched_result r;
    bool ok = sched_run(sched_find(name), &o, &r);
    print_message("# %s: %llu orders%s, %llu random, %llu choices\n", name, (unsigned long long)r.orders,
                  r.all ? ", which are all with so few switches" : "", (unsigned long long)r.random,
                  (unsigned long long)r.steps);
    if (!ok) {
        fail_msg("schedule %llu: %s; again: stress_schedules --replay '%s' %s", (unsigned long long)r.failed_at, r.what,
                 r.order, name);
    }
}

static void put_against_get__every_order__fresh_and_whole(void **state) {
    (void)state;
    run("put_get", 2, 4 * ORDERS, RANDOM);
}

static void put_against_get_of_another_process__every_order__fresh_and_whole(void **state) {
    (void)state;
    run("put_get_foreign", 2, ORDERS, RANDOM);
}

static void two_writers_and_a_reader__orders__each_write_done(void **state) {
    (void)state;
    run("writers", 2, ORDERS, RANDOM);
}

static void put_against_split__orders__no_key_is_missed(void **state) {
    (void)state;
    run("put_split", 1, ORDERS, RANDOM);
}

static void put_against_split_of_another_process__orders__no_key_is_missed(void **state) {
    (void)state;
    run("put_split_foreign", 1, ORDERS, RANDOM);
}

static void retire_against_section__orders__nothing_changes_in_it(void **state) {
    (void)state;
    run("retire_section", 2, ORDERS, RANDOM);
}

static void pin_against_reclaim__every_order__what_is_pinned_stays(void **state) {
    (void)state;
    run("pin_reclaim", 2, 4 * ORDERS, RANDOM);
}

static void take_over_against_lane__random_orders__done_once_or_not_at_all(void **state) {
    (void)state;
    run("takeover_lane", 1, 0, RANDOM);
}

static void expire_against_read__every_order__never_absent_before_a_touch_that_found_it(void **state) {
    (void)state;
    run("expire_read", 2, 4 * ORDERS, RANDOM);
}

static void evict_against_read__orders__whole_or_absent(void **state) {
    (void)state;
    run("evict_read", 1, ORDERS, RANDOM);
}

static void put_against_get_by_the_long_way__every_order__fresh_and_whole(void **state) {
    (void)state;
    run("find_foreign", 2, ORDERS, RANDOM);
}

static void digest_against_who_asks_for_it__every_order__the_indexs_own(void **state) {
    (void)state;
    run("digest_read", 2, ORDERS, RANDOM);
}

static void feed_against_read__orders__what_the_source_had(void **state) {
    (void)state;
    run("feed_read", 2, FEED_ORDERS, RANDOM);
}

static void feed_against_read_of_another_process__orders__what_the_source_had(void **state) {
    (void)state;
    run("feed_read_foreign", 2, FEED_ORDERS, RANDOM);
}

static void feed_against_read_of_the_leaders_replica__orders__what_the_source_had(void **state) {
    (void)state;
    run("feed_read_leader", 2, FEED_ORDERS, RANDOM);
}

/* The scheduler itself: an order that loses an update is found, and found again. */
static void lost_update__found_and_repeated(void **state) {
    (void)state;
    struct sched_options o = { .switches = 1, .orders = 1000 };
    struct sched_result r, again;
    assert_false(sched_run(sched_find("lost_update"), &o, &r));
    assert_true(r.order[0] != '\0');
    o.replay = r.order;
    assert_false(sched_run(sched_find("lost_update"), &o, &again));
    assert_string_equal(again.what, r.what);
    o = (struct sched_options){ .random = 1000, .seed = 7 };
    assert_false(sched_run(sched_find("lost_update"), &o, &r));
    assert_false(sched_run(sched_find("lost_update"), &o, &again));
    assert_int_equal(again.failed_at, r.failed_at);
    assert_string_equal(again.order, r.order);
    o = (struct sched_options){ .switches = 0, .orders = 1000 };
    assert_true(sched_run(sched_find("lost_update"), &o, &r));
    assert_true(r.all);
}

static void waits_for_what_the_scheduler_does_not_know__another_runs(void **state) {
    (void)state;
    run("away", 1, 100, 4);
}

int main(void) {
    help_start(600);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lost_update__found_and_repeated),
        cmocka_unit_test(waits_for_what_the_scheduler_does_not_know__another_runs),
        cmocka_unit_test(put_against_get__every_order__fresh_and_whole),
        cmocka_unit_test(put_against_get_of_another_process__every_order__fresh_and_whole),
        cmocka_unit_test(two_writers_and_a_reader__orders__each_write_done),
        cmocka_unit_test(put_against_split__orders__no_key_is_missed),
        cmocka_unit_test(put_against_split_of_another_process__orders__no_key_is_missed),
        cmocka_unit_test(retire_against_section__orders__nothing_changes_in_it),
        cmocka_unit_test(pin_against_reclaim__every_order__what_is_pinned_stays),
        cmocka_unit_test(take_over_against_lane__random_orders__done_once_or_not_at_all),
        cmocka_unit_test(expire_against_read__every_order__never_absent_before_a_touch_that_found_it),
        cmocka_unit_test(evict_against_read__orders__whole_or_absent),
        cmocka_unit_test(put_against_get_by_the_long_way__every_order__fresh_and_whole),
        cmocka_unit_test(digest_against_who_asks_for_it__every_order__the_indexs_own),
        cmocka_unit_test(feed_against_read__orders__what_the_source_had),
        cmocka_unit_test(feed_against_read_of_another_process__orders__what_the_source_had),
        cmocka_unit_test(feed_against_read_of_the_leaders_replica__orders__what_the_source_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
