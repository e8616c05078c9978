/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long after the call of put does a follower's reader have the value? */
#include <stdio.h>

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

static struct {
    struct bench_sight *stages[STAGES];
    uint32_t one_way;
    uint32_t rows[WAYS][BENCH_TIMES];
} plan;

static void add_rows(void) {
    plan.one_way = bench_row("visibility.oneway", "from core to core", "one way: half of a round trip", "ns");
    for (uint32_t w = 0; w < WAYS; w++) {
        bench_times(plan.rows[w], bench_text("visibility.%s", ways[w].id),
                    bench_text("%s%s", ways[w].title, bench_mark(ways[w].threads)));
    }
    bench_at_most("visibility.thread", "put to visible, follower in a thread, spinning: p50 over one way", "x", BAR,
                  plan.rows[0][0], plan.one_way);
    bench_at_most("visibility.process", "put to visible, follower in a process, spinning: p50 over one way", "x", BAR,
                  plan.rows[1][0], plan.one_way);
}

static void repeat(void) {
    double ns = bench_pingpong_one_way_ns(&bench->machine, 0, 1, bench_slice_ns(PINGPONG_NS));
    if (ns > 0) {
        bench_set(plan.one_way, ns);
    }
    for (uint32_t w = 0; w < WAYS; w++) {
        bench_set_times(plan.rows[w], bench_sight_measure(plan.stages[ways[w].stage], ways[w].way, ways[w].rest_ns,
                                                          bench_slice_ns(SLICE_NS)));
    }
}

/* All processes first: none may be forked while a domain is open. */
static void prepare(void) {
    add_rows();
    for (int i = 0; i < STAGES; i++) {
        bool third = i == THREAD_THIRD || i == PROCESS_THIRD;
        plan.stages[i] = bench_sight_start(i >= PROCESS, third ? BENCH_SIGHT_THIRD : BENCH_SIGHT_WRITER);
    }
    for (int i = 0; i < STAGES; i++) {
        bench_sight_open(plan.stages[i]);
    }
}

BENCH_NOTE("1,000 keys of 16 bytes, values of 64; slices of %u ms; each time contains one reading of the clock.",
           (unsigned)(bench_slice_ns(SLICE_NS) / 1000000))

BENCH_MAIN(.name = "visibility", .repetitions = 7, .note = note,
           .about = "Measures the time from the call of put to the moment when a reader of a follower's replica has\n"
                    "the value; the follower in a thread and in a process, spinning and parked. Beside it, in the\n"
                    "same run: one cache line handed from core to core.\n")
