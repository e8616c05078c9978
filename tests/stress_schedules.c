/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads in chosen orders: tests/sched/sched.h. Each scenario in all orders with few switches, then in random ones. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sched/sched.h"

static void usage(FILE *to) {
    fprintf(to, "stress_schedules [OPTION]... [SCENARIO]...\n"
                "  --seconds N    random orders for so long, for all scenarios together (60)\n"
                "  --random N     so many random orders of each instead\n"
                "  --switches N   before them, all orders with no more switches between threads that could go on (2)\n"
                "  --orders N     but no more than so many (200000)\n"
                "  --seed N       of the random ones; printed\n"
                "  --replay ORDER one order of one scenario, as a failure prints it\n"
                "Status 0: nothing failed. 1: something did; its order is printed. 2: wrong arguments.\n"
                "Scenarios:");
    for (const struct scenario *s = sched_scenarios; s->name != NULL; s++) {
        fprintf(to, " %s", s->name);
    }
    fprintf(to, "\n");
}

static bool run(const struct scenario *s, const struct sched_options *o) {
    struct sched_result r;
    bool ok = sched_run(s, o, &r);
    printf("# %-18s %llu orders with %u switches at most%s, %llu random; %llu choices in the longest; %llu diverged\n",
           s->name, (unsigned long long)r.orders, o->switches, r.all ? ", which are all" : "",
           (unsigned long long)r.random, (unsigned long long)r.steps, (unsigned long long)r.diverged);
    if (!ok) {
        printf("FAILED %s in schedule %llu: %s\n  again: %s --replay '%s' %s\n", s->name,
               (unsigned long long)r.failed_at, r.what, "build/tests/stress_schedules", r.order, s->name);
    }
    fflush(stdout);
    return ok;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        { "seconds", required_argument, NULL, 't' },  { "random", required_argument, NULL, 'r' },
        { "switches", required_argument, NULL, 'w' }, { "orders", required_argument, NULL, 'o' },
        { "seed", required_argument, NULL, 's' },     { "replay", required_argument, NULL, 'p' },
        { "help", no_argument, NULL, 'h' },           { 0 }
    };
    struct sched_options o = { .switches = 2, .orders = 200000, .seed = (uint64_t)time(NULL) };
    uint64_t seconds = 60, count = 0;
    bool random = false, ok = true;
    int option;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        uint64_t value = optarg != NULL ? strtoull(optarg, NULL, 0) : 0;
        switch (option) {
        case 't':
            seconds = value;
            break;
        case 'r':
            o.random = value;
            random = true;
            break;
        case 'w':
            o.switches = (uint32_t)value;
            break;
        case 'o':
            o.orders = value;
            break;
        case 's':
            o.seed = value;
            break;
        case 'p':
            o.replay = optarg;
            break;
        case 'h':
            usage(stdout);
            return 0;
        default:
            usage(stderr);
            return 2;
        }
    }
    for (const struct scenario *s = sched_scenarios; s->name != NULL; s++) {
        count += strcmp(s->name, "lost_update") != 0 && strcmp(s->name, "away") != 0;
    }
    o.seconds = random || o.replay != NULL ? 0 : optind < argc ? seconds : seconds / count + 1;
    printf("# seed %llu\n", (unsigned long long)o.seed);
    for (int i = optind; i < argc; i++) {
        const struct scenario *s = sched_find(argv[i]);
        if (s == NULL) {
            usage(stderr);
            return 2;
        }
        ok &= run(s, &o);
    }
    for (const struct scenario *s = sched_scenarios; optind == argc && s->name != NULL; s++) {
        if (strcmp(s->name, "lost_update") != 0 && strcmp(s->name, "away") != 0) {
            ok &= run(s, &o);
        }
    }
    return !ok;
}
