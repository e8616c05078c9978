/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Everything at once, for hours, and what has grown meanwhile: tests/lib/soak.h, `make soak`. */
#include <time.h>

#include "bench/lib/args.h"
#include "tests/lib/soak.h"

int main(int argc, char **argv) {
    struct soak_options o = { .hours = 8, .seed = (uint64_t)time(NULL) };
    double seconds = 0;
    const struct bench_arg args[] = {
        BENCH_ARG(NUMBER, "hours", "H", &o.hours, "how long; a fraction is allowed. Default 8", .most = 10000),
        BENCH_ARG(NUMBER, "seconds", "S", &seconds, "the same in seconds", .most = 36000000),
        BENCH_ARG(WHOLE, "seed", "N", &o.seed, "repeat a run's choices"),
        BENCH_ARG(TEXT, "json", "FILE", &o.json, "all figures, as one JSON object; -: on standard output",
                  .wants = "a file name, or -"),
    };
    struct bench_command c = {
        .name = "stress_soak",
        .usage = "[options]",
        .about =
            "Does everything at once, with kills. Every minute, or every twentieth of a shorter run, prints a line:\n"
            "memory, descriptors, threads and mappings of the processes that are never killed; bytes and files of "
            "the\n"
            "domains in shared memory; members, replicas; lag; what was done.\n",
        .after = "Exit codes: 0 nothing failed, and the last part holds no more than the first; 1 something; 2 bad "
                 "arguments.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
    };
    int code = bench_args_take(&c, argc, argv);
    o.hours = seconds > 0 ? seconds / 3600 : o.hours;
    return code >= 0 ? code : soak_run(&o);
}
