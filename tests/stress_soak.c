/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything at once, for hours, and what has grown meanwhile: tests/lib/soak.h, `make soak`. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/soak.h"

static void usage(FILE *to) {
    fprintf(to, "stress_soak [--hours H | --seconds S] [--seed N] [--json FILE]\n"
                "  --hours H    how long (8); a fraction is allowed\n"
                "  --seconds S  the same in seconds\n"
                "  --seed N     repeat a run's choices\n"
                "  --json FILE  all figures, as one JSON object; -: on standard output\n"
                "Every minute, or every twentieth of a shorter run, a line: memory, descriptors, threads and mappings "
                "of the processes\n"
                "that are never killed; bytes and files of the domains in shared memory; members, replicas; lag; what "
                "was done.\n"
                "Status 0: nothing failed, and the last part holds no more than the first. 1: something. 2: wrong "
                "arguments.\n");
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        { "hours", required_argument, NULL, 'o' }, { "seconds", required_argument, NULL, 't' },
        { "seed", required_argument, NULL, 's' },  { "json", required_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },        { 0 }
    };
    struct soak_options o = { .hours = 8, .seed = (uint64_t)time(NULL) };
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            o.hours = strtod(optarg, NULL);
            break;
        case 't':
            o.hours = strtod(optarg, NULL) / 3600;
            break;
        case 's':
            o.seed = strtoull(optarg, NULL, 0);
            break;
        case 'j':
            o.json = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    if (!(o.hours > 0 && o.hours < 10000) || optind != argc) {
        usage(stderr);
        return 2;
    }
    return soak_run(&o);
}
