/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Histories of several processes with kills among them, as many as one likes. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/lib/args.h"
#include "tests/lib/history_shared.h"

#define JOBS_MOST 64u

struct options {
    uint64_t histories, ops, seed, seconds, jobs, trouble;
    int json;
};

/* -1, or the status to end with. */
static int parse(int argc, char **argv, struct options *o) {
    const struct bench_arg args[] = {
        BENCH_ARG(COUNT, "histories", "N", &o->histories, "so many. Default 10k", .least = 1, .most = UINT32_MAX),
        BENCH_ARG(COUNT, "ops", "N", &o->ops, "operations in each. Default 1,000", .least = 10, .most = 40000),
        BENCH_ARG(WHOLE, "seed", "S", &o->seed, "repeat what a run with this seed drew (timing differs)"),
        BENCH_ARG(COUNT, "seconds", "N", &o->seconds, "stop after so long, with fewer histories", .least = 1,
                  .most = 1000000),
        BENCH_ARG(COUNT, "trouble", "N", &o->trouble,
                  "of 100 histories so many have a kill, a stop or a change of leader.\nDefault 60", .most = 100),
        BENCH_ARG(COUNT, "jobs", "N", &o->jobs, "domains at once, each with 5 processes. Default 2", .least = 1,
                  .most = JOBS_MOST),
        BENCH_ARG(FLAG, "json", NULL, &o->json, "one object with the counts on stdout"),
    };
    struct bench_command c = {
        .name = "stress_history",
        .usage = "[options]",
        .about =
            "Several processes use one domain at once, while some are killed, stopped or lose the lead. Checks what "
            "they\n"
            "were told: linearizable with bound 0, sessions, bounds, staleness as claimed.\n",
        .after = "Exit codes: 0 all hold; 1 one does not (it is printed) or something hangs; 2 bad arguments.\n",
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
    };
    return bench_args_take(&c, argc, argv);
}

static void job(const struct options *o, uint64_t k, uint64_t until_ns, struct history_totals *totals) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    help_start(1000000);
    struct history_settings s = { .seed = o->seed + k * 1000000,
                                  .ops = (uint32_t)o->ops,
                                  .trouble = (uint32_t)o->trouble };
    uint64_t share = o->histories / o->jobs + (k < o->histories % o->jobs);
    exit(history_run_all(&s, share, until_ns, totals) ? 0 : 1);
}

static void add(struct history_totals *to, const struct history_totals *t) {
    uint64_t *sum = (uint64_t *)to;
    const uint64_t *more = (const uint64_t *)t;
    for (size_t i = 0; i < sizeof(*to) / sizeof(*sum); i++) {
        sum[i] += more[i];
    }
}

int main(int argc, char **argv) {
    struct options o = { .histories = 10000, .ops = 1000, .jobs = 2, .trouble = 60 };
    o.seed = history_now_ns() ^ (uint64_t)getpid() << 32;
    int status = parse(argc, argv, &o);
    if (status >= 0) {
        return status;
    }
    struct history_totals *totals =
        mmap(NULL, JOBS_MOST * sizeof(*totals), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (totals == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    fprintf(stderr, "stress_history: seed %" PRIu64 "\n", o.seed);
    uint64_t until_ns = o.seconds != 0 ? history_now_ns() + o.seconds * 1000000000u : 0;
    for (uint64_t k = 0; k < o.jobs; k++) {
        if (fork() == 0) {
            job(&o, k, until_ns, &totals[k]);
        }
    }
    bool fine = true;
    while (wait(&status) > 0) {
        fine = fine && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    for (uint64_t k = 1; k < o.jobs; k++) {
        add(&totals[0], &totals[k]);
    }
    if (o.json) {
        printf("{\"seed\": %" PRIu64 ", \"histories\": %" PRIu64 ", \"operations\": %" PRIu64 ", \"kills\": %" PRIu64
               ", \"leader_kills\": %" PRIu64 ", \"stops\": %" PRIu64 ", \"pending\": %" PRIu64 ", \"ok\": %s}\n",
               o.seed, totals->histories, totals->ops, totals->kills, totals->leader_kills, totals->stops,
               totals->pending, fine ? "true" : "false");
    } else {
        history_print_totals(totals);
    }
    return fine ? 0 : 1;
}
