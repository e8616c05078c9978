/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two hosts on one cluster, for some seconds; tests/stress_upstream.c for longer. TIDE_SECONDS=N: the second case alone, for so long. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/help.h"
#include "tests/lib/upstream_world.h"
#include "tools/etcd/http.h"

static void two_hosts_on_one_member__a_quiet_cluster(void **state) {
    struct upstream_counts counts = { 0 };
    (void)state;
    if (getenv("TIDE_SECONDS")) {
        skip();
    }
    assert_true(upstream_world_run(help_seed(), 1, 3, false, &counts));
    upstream_counts_print(&counts);
    assert_true(counts.fresh > 0 && counts.bounded > 0 && counts.by_token > 0 && counts.watched > 0);
}

static void two_hosts_on_three_members__with_kills_stops_and_compactions(void **state) {
    struct upstream_counts counts = { 0 };
    const char *seconds = getenv("TIDE_SECONDS");
    (void)state;
    assert_true(upstream_world_run(help_seed(), 3, seconds ? strtoull(seconds, NULL, 10) : 15, true, &counts));
    upstream_counts_print(&counts);
}

int main(void) {
    help_start(200);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_hosts_on_one_member__a_quiet_cluster),
        cmocka_unit_test(two_hosts_on_three_members__with_kills_stops_and_compactions),
    };
    if (etcd_http_missing() || !etcd_is_here()) {
        printf("1..1\nok 1 # SKIP %s\n", etcd_http_missing() ? etcd_http_missing() : "there is no etcd here");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
