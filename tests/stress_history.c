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

#include "tests/lib/history_shared.h"

#define JOBS_MOST 64u

struct options {
    uint64_t histories, ops, seed, seconds, jobs, trouble;
    bool json;
};

static int usage(int status) {
    fprintf(
        status == 0 ? stdout : stderr,
        "stress_history: several processes use one domain at once, while some are killed, stopped or lose the lead;\n"
        "what they were told is checked: linearizable with bound 0, sessions, bounds, staleness as claimed.\n\n"
        "  --histories N  so many (10000)\n"
        "  --ops N        operations in each (1000; at most 40000)\n"
        "  --seed S       repeat what a run with this seed drew (timing differs)\n"
        "  --seconds N    stop after so long, with fewer histories\n"
        "  --trouble N    of 100 histories so many have a kill, a stop or a change of leader (60)\n"
        "  --jobs N       domains at once, each with 5 processes (2)\n"
        "  --json         one object with the counts on stdout\n"
        "  --help\n\n"
        "Exit status: 0 all hold, 1 one does not (it is printed) or something hangs, 2 usage.\n");
    return status;
}

static bool number(const char *text, uint64_t most, uint64_t *out) {
    char *end;
    *out = strtoull(text, &end, 0);
    return end != text && *end == 0 && text[0] != '-' && *out <= most;
}

/* -1, or the status to end with. */
static int parse(int argc, char **argv, struct options *o) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        struct {
            const char *name;
            uint64_t least, most, *to;
        } known[] = {
            { "--histories", 1, UINT32_MAX, &o->histories },
            { "--ops", 10, 40000, &o->ops },
            { "--seed", 0, UINT64_MAX, &o->seed },
            { "--seconds", 1, 1000000, &o->seconds },
            { "--trouble", 0, 100, &o->trouble },
            { "--jobs", 1, JOBS_MOST, &o->jobs },
        };
        if (strcmp(name, "--help") == 0) {
            return usage(0);
        }
        if (strcmp(name, "--json") == 0) {
            o->json = true;
            continue;
        }
        size_t k = 0, n = sizeof(known) / sizeof(known[0]);
        while (k < n && strcmp(known[k].name, name) != 0) {
            k++;
        }
        if (k == n) {
            fprintf(stderr, "stress_history: unknown option %s\n", name);
            return usage(2);
        }
        if (i + 1 == argc || !number(argv[i + 1], known[k].most, known[k].to) || *known[k].to < known[k].least) {
            fprintf(stderr, "stress_history: %s needs a number from %" PRIu64 " to %" PRIu64 "\n", name, known[k].least,
                    known[k].most);
            return usage(2);
        }
        i++;
    }
    return -1;
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
