/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the segments change under the processes of a domain: tests/lib/scribble.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/lib/scribble.h"

static void usage(FILE *to) {
    fprintf(to,
            "stress_scribble [--seconds N] [--seed S] [--word TEXT] [--no-leads] [--verbose]\n"
            "  --seconds N   how long (60)\n"
            "  --seed S      repeat a run's choices\n"
            "  --word TEXT   only words whose name contains it, say node. or leader.commit\n"
            "  --no-leads    no words that say where other words lie, or how many: ThreadSanitizer sees races there\n"
            "  --verbose     print each change, and what the library says\n"
            "Status 0: nobody died, hung or grew. 1: somebody did. 2: wrong arguments.\n");
}

int main(int argc, char **argv) {
    static const struct option options[] = { { "seconds", required_argument, NULL, 't' },
                                             { "seed", required_argument, NULL, 's' },
                                             { "word", required_argument, NULL, 'w' },
                                             { "verbose", no_argument, NULL, 'v' },
                                             { "no-leads", no_argument, NULL, 'l' },
                                             { "help", no_argument, NULL, 'h' },
                                             { 0 } };
    struct scribble_options o = { .seed = (uint64_t)time(NULL), .seconds = 60 };
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 't':
            o.seconds = strtod(optarg, NULL);
            break;
        case 's':
            o.seed = strtoull(optarg, NULL, 0);
            break;
        case 'w':
            o.word = optarg;
            break;
        case 'l':
            o.no_leads = true;
            break;
        case 'v':
            o.verbose = true;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    return scribble_run(&o);
}
