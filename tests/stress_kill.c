/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random kills of the processes of a domain, and the time of a fail-over. See tests/crash_kill.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/crash_kill.h"
#include "tests/lib/help.h"

static void usage(FILE *to) {
    fprintf(to, "stress_kill [--kills N] [--failover N] [--seed N] [--seconds N] [--evict]\n"
                "  --kills N     kill processes of a domain N times (1000)\n"
                "  --failover N  kill the leader N times instead, and print how long nobody led\n"
                "  --seed N      repeat a run's choices; TIDE_SEED does the same\n"
                "  --seconds N   end after so long, with fewer kills\n"
                "  --evict       in a domain that evicts; what must not be missing is kept\n"
                "Status 0: nothing was lost, doubled, torn or stuck. 1: something was. 2: wrong arguments.\n");
}

int main(int argc, char **argv) {
    static const struct option options[] = { { "kills", required_argument, NULL, 'k' },
                                             { "failover", required_argument, NULL, 'f' },
                                             { "seed", required_argument, NULL, 's' },
                                             { "seconds", required_argument, NULL, 't' },
                                             { "evict", no_argument, NULL, 'e' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    uint64_t kills = 1000, failover = 0, seconds = 0;
    bool evicts = false;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'k':
            kills = strtoull(optarg, NULL, 0);
            break;
        case 'f':
            failover = strtoull(optarg, NULL, 0);
            break;
        case 's':
            setenv("TIDE_SEED", optarg, 1);
            break;
        case 't':
            seconds = strtoull(optarg, NULL, 0);
            break;
        case 'e':
            evicts = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    help_start(600);
    uint64_t seed = help_seed();
    unsigned failures =
        failover != 0 ? crash_failover_run(seed, failover) : crash_kill_run(seed, help_scaled(kills), seconds, evicts);
    return failures != 0;
}
