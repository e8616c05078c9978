/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random programs over the public interface, with kills and stops: tests/lib/explore.h. */
#include <time.h>

#include "bench/lib/args.h"
#include "tests/lib/explore.h"

int main(int argc, char **argv) {
    struct explore_options o = { .seed = (uint64_t)time(NULL), .seconds = 60, .round = 2 };
    const struct bench_arg args[] = {
        BENCH_ARG(NUMBER, "seconds", "N", &o.seconds, "how long. Default 60", .most = 1000000),
        BENCH_ARG(NUMBER, "round", "N", &o.round, "seconds of one round. Default 2", .most = 1000000),
        BENCH_ARG(WHOLE, "seed", "S", &o.seed, "settings and choices of the first round; the next ones take S+1, ..."),
        BENCH_ARG(FLAG, "verbose", NULL, &o.verbose, "print each round's settings"),
    };
    struct bench_command c = {
        .name = "stress_explore",
        .usage = "[options]",
        .about = "Makes random programs of every public call, in processes that are killed and stopped.\n",
        .after = "Exit codes: 0 every call did what its documentation says; 1 one did not; 2 bad arguments.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
    };
    int code = bench_args_take(&c, argc, argv);
    return code >= 0 ? code : explore_run(&o);
}
