/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long after the call of put does a follower's reader have the value? */
#include <stdio.h>
#include <string.h>

#include "bench/lib/pingpong.h"
#include "bench/lib/program.h"
#include "bench/lib/sight.h"

#define SLICE_NS UINT64_C(120000000)
#define PINGPONG_NS UINT64_C(20000000)
#define SPINNING_NS UINT64_C(1000) /* between two puts: the follower still spins */
#define PARKED_NS UINT64_C(100000) /* it has gone to sleep */
#define BAR 4.0

enum { THREAD, THREAD_THIRD, PROCESS, PROCESS_THIRD, STAGES };

struct way {
    const char *id, *title;
    int stage;
    enum bench_sight_way way;
    uint64_t rest_ns;
    uint32_t threads; /* that spin */
};

static const struct way ways[] = {
    { "thread", "follower in a thread; the writer's thread reads it", THREAD, BENCH_SIGHT_ASK, SPINNING_NS, 2 },
    { "process", "follower in a process; the writer's thread reads it", PROCESS, BENCH_SIGHT_ASK, SPINNING_NS, 2 },
    { "thread.fence", "the same in a thread, by the session's fence", THREAD, BENCH_SIGHT_FENCE, SPINNING_NS, 2 },
    { "process.fence", "the same in a process, by the session's fence", PROCESS, BENCH_SIGHT_FENCE, SPINNING_NS, 2 },
    { "thread.third", "follower and reader: two more threads", THREAD_THIRD, BENCH_SIGHT_ASK, SPINNING_NS, 3 },
    { "process.third", "follower and reader: two threads of a process", PROCESS_THIRD, BENCH_SIGHT_ASK, SPINNING_NS,
      3 },
    { "put", "until put returns: follower in a thread", THREAD, BENCH_SIGHT_RETURN, SPINNING_NS, 2 },
    { "thread.parked", "follower parked, in a thread", THREAD, BENCH_SIGHT_ASK, PARKED_NS, 2 },
    { "process.parked", "follower parked, in a process", PROCESS, BENCH_SIGHT_ASK, PARKED_NS, 2 },
    { "put.parked", "until put returns: follower parked, in a thread", THREAD, BENCH_SIGHT_RETURN, PARKED_NS, 2 },
};
#define WAYS (sizeof(ways) / sizeof(ways[0]))

struct plan {
    struct bench_sight *stages[STAGES];
    uint32_t one_way;
    uint32_t rows[WAYS][BENCH_TIMES];
};

static void add_rows(struct bench_program *p, struct plan *plan) {
    char id[64], group[96];
    plan->one_way =
        bench_program_row(p, "visibility.oneway", "from core to core", "one way: half of a round trip", "ns");
    for (uint32_t w = 0; w < WAYS; w++) {
        snprintf(group, sizeof(group), "%s%s", ways[w].title, bench_program_mark(p, ways[w].threads));
        snprintf(id, sizeof(id), "visibility.%s", ways[w].id);
        bench_program_times(p, plan->rows[w], id, group);
    }
    bench_program_bar(p, "visibility.thread", "put to visible, follower in a thread, spinning: p50 over one way", "x",
                      BENCH_AT_MOST, BAR, plan->rows[0][0], plan->one_way);
    bench_program_bar(p, "visibility.process", "put to visible, follower in a process, spinning: p50 over one way", "x",
                      BENCH_AT_MOST, BAR, plan->rows[1][0], plan->one_way);
}

static void measure_one_way(struct bench_program *p, const struct plan *plan, uint32_t repetition) {
    double ns = bench_pingpong_one_way_ns(&p->machine, 0, 1, bench_program_slice_ns(p, PINGPONG_NS));
    if (ns > 0) {
        bench_program_set(p, plan->one_way, repetition, ns);
    }
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    const struct plan *plan = ctx;
    measure_one_way(p, plan, repetition);
    for (uint32_t w = 0; w < WAYS; w++) {
        const struct hdr *times;
        int rc = bench_sight_measure(plan->stages[ways[w].stage], ways[w].way, ways[w].rest_ns,
                                     bench_program_slice_ns(p, SLICE_NS), &times);
        if (rc != 0) {
            return rc;
        }
        bench_program_set_times(p, plan->rows[w], repetition, times);
    }
    return 0;
}

/* All processes first: none may be forked while a domain is open. */
static int open_stages(struct bench_program *p, struct plan *plan) {
    int rc = 0;
    for (int i = 0; i < STAGES && rc == 0; i++) {
        bool third = i == THREAD_THIRD || i == PROCESS_THIRD;
        plan->stages[i] = bench_sight_start(p, i >= PROCESS, third ? BENCH_SIGHT_THIRD : BENCH_SIGHT_WRITER);
        rc = plan->stages[i] == NULL ? -1 : 0;
    }
    for (int i = 0; i < STAGES && rc == 0; i++) {
        rc = bench_sight_open(plan->stages[i]);
    }
    return rc;
}

int main(int argc, char **argv) {
    static struct bench_program p = {
        .name = "visibility",
        .about = "Measures the time from the call of put to the moment when a reader of a follower's replica has\n"
                 "the value; the follower in a thread and in a process, spinning and parked. Beside it, in the\n"
                 "same run: one cache line handed from core to core.\n",
        .repetitions = 7,
    };
    static struct plan plan;
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    snprintf(p.figures.note, sizeof(p.figures.note),
             "1,000 keys of 16 bytes, values of 64; slices of %u ms; each time contains one reading of the clock.",
             (unsigned)(bench_program_slice_ns(&p, SLICE_NS) / 1000000));
    add_rows(&p, &plan);
    int rc = open_stages(&p, &plan);
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &plan);
    for (int i = 0; i < STAGES; i++) {
        bench_sight_end(plan.stages[i]);
    }
    return bench_program_end(&p, rc);
}
