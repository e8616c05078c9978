/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the segments change under the processes of a domain: tests/lib/scribble.h. */
#include <time.h>

#include "bench/lib/args.h"
#include "tests/lib/scribble.h"

int main(int argc, char **argv) {
    struct scribble_options o = { .seed = (uint64_t)time(NULL), .seconds = 60 };
    int no_leads = 0, verbose = 0;
    const struct bench_arg args[] = {
        BENCH_ARG(NUMBER, "seconds", "N", &o.seconds, "how long. Default 60", .most = 1000000),
        BENCH_ARG(WHOLE, "seed", "S", &o.seed, "repeat a run's choices"),
        BENCH_ARG(TEXT, "word", "TEXT", &o.word, "only words whose name contains it, say node. or leader.commit",
                  .wants = "a part of a name"),
        BENCH_ARG(FLAG, "no-leads", NULL, &no_leads,
                  "no words that say where other words lie, or how many: ThreadSanitizer\nsees races there"),
        BENCH_ARG(FLAG, "verbose", NULL, &verbose, "print each change, and what the library says"),
    };
    struct bench_command c = {
        .name = "stress_scribble",
        .usage = "[options]",
        .about = "Changes words of a domain's shared memory under the processes that use it.\n",
        .after = "Exit codes: 0 nobody died, hung or grew; 1 somebody did; 2 bad arguments.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
    };
    int code = bench_args_take(&c, argc, argv);
    o.no_leads = no_leads != 0;
    o.verbose = verbose != 0;
    return code >= 0 ? code : scribble_run(&o);
}
