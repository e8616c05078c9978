/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random kills of the processes of a domain, and the time of a fail-over. See tests/crash_kill.h. */
#include <stdlib.h>

#include "bench/lib/args.h"
#include "tests/crash_kill.h"
#include "tests/lib/help.h"

int main(int argc, char **argv) {
    uint64_t kills = 1000, failover = 0, seconds = 0;
    const char *seed = NULL;
    int evicts = 0;
    const struct bench_arg args[] = {
        BENCH_ARG(COUNT, "kills", "N", &kills, "kill processes of a domain N times. Default 1,000", .least = 1,
                  .most = 1000000000),
        BENCH_ARG(COUNT, "failover", "N", &failover, "kill the leader N times instead, and print how long nobody led",
                  .least = 1, .most = 1000000000),
        BENCH_ARG(TEXT, "seed", "N", &seed, "repeat a run's choices; TIDE_SEED does the same", .wants = "a number"),
        BENCH_ARG(COUNT, "seconds", "N", &seconds, "end after so long, with fewer kills", .least = 1, .most = 1000000),
        BENCH_ARG(FLAG, "evict", NULL, &evicts, "in a domain that evicts; what must not be missing is kept"),
    };
    struct bench_command c = {
        .name = "stress_kill",
        .usage = "[options]",
        .about = "Kills processes of a domain at random instants, and compares its log with what was acknowledged.\n",
        .after = "Exit codes: 0 nothing was lost, doubled, torn or stuck; 1 something was; 2 bad arguments.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
    };
    int code = bench_args_take(&c, argc, argv);
    if (code >= 0) {
        return code;
    }
    if (seed != NULL) {
        setenv("TIDE_SEED", seed, 1);
    }
    help_start(600);
    uint64_t drawn = help_seed();
    unsigned failures = failover != 0 ? crash_failover_run(drawn, failover)
                                      : crash_kill_run(drawn, help_scaled(kills), seconds, evicts != 0);
    return failures != 0;
}
