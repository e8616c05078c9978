/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads in chosen orders: tests/sched/sched.h. Each scenario in all orders with few switches, then in random ones. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "bench/lib/args.h"
#include "tests/lib/help.h"
#include "tests/sched/sched.h"

#define SCENARIOS_MOST 64u

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

/* Two scenarios have a fault on purpose: they run where they are asked for by name. */
static bool is_sound(const struct scenario *s) {
    return strcmp(s->name, "lost_update") != 0 && strcmp(s->name, "away") != 0;
}

/* The exit codes, and all scenarios' names. */
static const char *after(void) {
    static char text[2000] =
        "Exit codes: 0 nothing failed; 1 something did, and its order is printed; 2 bad arguments.\n"
        "Scenarios:";
    for (const struct scenario *s = sched_scenarios; s->name != NULL; s++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof(text) - used, " %s%s", s->name, s[1].name == NULL ? "\n" : "");
    }
    return text;
}

int main(int argc, char **argv) {
    struct sched_options o = { .switches = 2, .orders = 200000, .seed = (uint64_t)time(NULL) };
    uint64_t seconds = 60, random = 0, count = 0;
    const char *chosen[SCENARIOS_MOST];
    bool ok = true;
    const struct bench_arg args[] = {
        BENCH_ARG(COUNT, "seconds", "N", &seconds, "random orders for so long, for all scenarios together. Default 60",
                  .most = 1000000),
        BENCH_ARG(COUNT, "random", "N", &random, "so many random orders of each instead", .most = UINT64_MAX),
        BENCH_ARG(COUNT32, "switches", "N", &o.switches,
                  "before them, all orders with no more switches between threads that\ncould go on. Default 2",
                  .most = 100),
        BENCH_ARG(COUNT, "orders", "N", &o.orders, "but no more than so many. Default 200k", .most = UINT64_MAX),
        BENCH_ARG(WHOLE, "seed", "N", &o.seed, "of the random ones; printed"),
        BENCH_ARG(TEXT, "replay", "ORDER", &o.replay, "one order of one scenario, as a failure prints it",
                  .wants = "an order"),
    };
    struct bench_command c = {
        .name = "stress_schedules",
        .usage = "[OPTION]... [SCENARIO]...",
        .about = "Runs threads in chosen orders: each scenario in all orders with few switches, then in random ones.\n",
        .after = after(),
        .args = args,
        .args_n = sizeof(args) / sizeof(args[0]),
        .rest = chosen,
        .rest_room = SCENARIOS_MOST,
    };
    int code = bench_args_take(&c, argc, argv);
    help_start(1000000); /* names of domains that no other process has */
    for (uint32_t i = 0; i < c.rest_n && code < 0; i++) {
        if (sched_find(chosen[i]) == NULL) {
            fprintf(stderr, "stress_schedules: no scenario '%s'; --help lists all\n", chosen[i]);
            return 2;
        }
    }
    if (code >= 0) {
        return code;
    }
    for (const struct scenario *s = sched_scenarios; s->name != NULL; s++) {
        count += is_sound(s);
    }
    o.random = random;
    bool counted = c.given >> 1 & 1; /* --random */
    o.seconds = counted || o.replay != NULL ? 0 : c.rest_n > 0 ? seconds : seconds / count + 1;
    printf("# seed %llu\n", (unsigned long long)o.seed);
    for (uint32_t i = 0; i < c.rest_n; i++) {
        ok &= run(sched_find(chosen[i]), &o);
    }
    for (const struct scenario *s = sched_scenarios; c.rest_n == 0 && s->name != NULL; s++) {
        if (is_sound(s)) {
            ok &= run(s, &o);
        }
    }
    return !ok;
}
