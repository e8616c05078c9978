/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two hosts on a cluster of three, with everything that can happen to them, for as long as one likes. */
#include <stdio.h>

#include "bench/lib/args.h"
#include "tests/lib/help.h"
#include "tests/lib/upstream_world.h"
#include "tools/etcd/http.h"

int main(int argc, char **argv) {
    uint64_t seconds = 60, seed = 0, members = 3;
    const struct bench_arg args[] = {
        BENCH_ARG(COUNT, "seconds", "N", &seconds, "how long. Default 60", .least = 1, .most = 1000000),
        BENCH_ARG(WHOLE, "seed", "N", &seed, "repeat a run's choices; TIDE_SEED does the same"),
        BENCH_ARG(COUNT, "members", "N", &members, "of etcd: 1 or 3. Default 3", .least = 1, .most = 3),
    };
    struct bench_command c = {
        .name = "stress_upstream",
        .usage = "[options]",
        .about = "Two hosts on a cluster of etcd, with everything that can happen to them.\n",
        .after = "Exit codes: 0 nothing wrong, or there is no etcd here; 1 something; 2 bad arguments.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
    };
    int code = bench_args_take(&c, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (etcd_http_missing() || !etcd_is_here()) {
        printf("skipped: %s\n", etcd_http_missing() ? etcd_http_missing() : "there is no etcd here");
        return 0;
    }
    help_start((unsigned)seconds + 600);
    struct upstream_counts counts = { 0 };
    bool fine = upstream_world_run(seed ? seed : help_seed(), members == 1 ? 1 : 3, seconds, true, &counts);
    upstream_counts_print(&counts);
    return fine ? 0 : 1;
}
