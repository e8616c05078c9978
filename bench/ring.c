/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What does the log carry, and how fast is it applied? */
#include <stdio.h>
#include <string.h>

#include "bench/lib/applyrate.h"
#include "bench/lib/child.h"
#include "bench/lib/granted.h"
#include "bench/lib/plainring.h"
#include "bench/lib/program.h"
#include "bench/lib/rawlog.h"

#define RING_BYTES (UINT64_C(16) << 20) /* the engine's default */
#define SLICE_NS UINT64_C(40000000)
#define FOLLOWERS_MAX 2u

static const uint32_t value_sizes[] = { 8, 64, 256 };
static const uint32_t groups[] = { 1, 16, 64 };
#define SIZES 3
#define GROUPS 3

/* What the log is held against: messages of a line, and of as many bytes as an entry with a value of 64. */
static const struct {
    const char *id, *title;
    uint32_t message_bytes, group;
} plains[] = {
    { "ring.plain.g1", "plain ring, 64-byte messages, one by one", 64, 1 },
    { "ring.plain.g16", "the same, published for 16", 64, 16 },
    { "ring.plain128.g1", "plain ring, 128-byte messages, one by one", 128, 1 },
    { "ring.plain128.g16", "the same, published for 16", 128, 16 },
};
#define PLAINS 4

/* Bars of a follower's apply, and the numbers of keys they are about. */
static const struct {
    uint64_t keys;
    double bar;
} applies[] = { { 10000, 12e6 }, { 1000000, 8e6 }, { 10000000, 5e6 } };
#define APPLIES 3
#define QUICK_KEYS 10000u
#define MOST_SHARE 0.4 /* of the memory that is there, for tables */

static struct {
    uint32_t rows[2][FOLLOWERS_MAX][SIZES][GROUPS]; /* [processes][followers - 1] */
    uint32_t plain[PLAINS];                         /* the plain ring */
    uint32_t granted[FOLLOWERS_MAX];                /* control loop: what so many threads get of so many CPUs */
    uint32_t apply[APPLIES][2];                     /* one by one, in batches of 16 */
} plan;

static void add_log_rows(void) {
    for (uint32_t mode = 0; mode < 2; mode++) {
        const char *where = mode == 0 ? "threads" : "processes";
        for (uint32_t f = 0; f < FOLLOWERS_MAX; f++) {
            for (uint32_t s = 0; s < SIZES; s++) {
                const char *group = bench_text("the log alone, entries/s: %u follower%s in %s, values of %u B%s", f + 1,
                                               f == 0 ? "" : "s", where, value_sizes[s], bench_mark(f + 2));
                for (uint32_t g = 0; g < GROUPS; g++) {
                    const char *title = groups[g] == 1 ? "one by one" : bench_text("groups of %u", groups[g]);
                    plan.rows[mode][f][s][g] =
                        bench_row(bench_text("ring.%s.f%u.v%u.g%u", where, f + 1, value_sizes[s], groups[g]), group,
                                  title, "1/s");
                }
            }
        }
    }
}

static void add_apply(int i) {
    const char *count = bench_count(applies[i].keys);
    const char *id = bench_text("apply.%.*s%c", (int)strcspn(count, " "), count, count[strlen(count) - 1]);
    const char *group = bench_text("apply: a follower with its table, %s keys, values of 64 B", count);
    plan.apply[i][0] = bench_row(bench_text("%s.one", id), group, "written by put, one by one", "1/s");
    plan.apply[i][1] = bench_row(bench_text("%s.batch16", id), group, "written in batches of 16", "1/s");
    bench_at_least(id, bench_text("a follower's apply, %s keys, 64-byte values: entries/s", count), "1/s",
                   applies[i].bar, plan.apply[i][0], BENCH_NO_ROW);
}

static void add_rows(void) {
    static const char *const control = "control, beside it in the same run";
    add_log_rows();
    for (uint32_t i = 0; i < PLAINS; i++) {
        plan.plain[i] = bench_row(plains[i].id, control, plains[i].title, "1/s");
    }
    for (uint32_t f = 0; f < FOLLOWERS_MAX; f++) {
        plan.granted[f] = bench_row(bench_text("ring.control.t%u", f + 2), control,
                                    bench_text("arithmetic: %u threads over one", f + 2), "x");
    }
    bench_at_least("ring.g16", "the log alone, 64-byte values, one follower, groups of 16: entries/s", "1/s", 40e6,
                   plan.rows[0][0][1][1], BENCH_NO_ROW);
    bench_at_least("ring.g1", "the log alone, 64-byte values, one follower, one by one: entries/s", "1/s", 20e6,
                   plan.rows[0][0][1][0], BENCH_NO_ROW);
    for (int i = 0; i < APPLIES; i++) {
        add_apply(i);
    }
}

/* ---- the log ----------------------------------------------------------------------------------------------------- */

/* Shared with the followers' processes. */
struct scene {
    struct rawlog log;
    _Alignas(128) _Atomic uint32_t over;
    _Atomic uint32_t next; /* gives each follower its slot */
    uint64_t sum[FOLLOWERS_MAX];
};

enum { ORDER_FOLLOW = 1, ORDER_DONE = 2 };

static int follow(struct bench_worker *w, void *ctx) {
    struct scene *s = ctx;
    uint32_t id = atomic_fetch_add(&s->next, 1);
    s->sum[id] = rawlog_touch(&s->log);
    bench_worker_done(w, ORDER_FOLLOW);
    if (rawlog_follow(&s->log, id, &s->over) != 0) {
        bench_must(TIDE_ERR_CORRUPT, "checking what it read from the log");
    }
    bench_worker_done(w, ORDER_DONE);
    return 0;
}

/* Entries a second, until the last follower has read every entry: an entry under way is no throughput yet. */
static double lead(struct scene *s, struct bench_worker **workers, uint32_t n, uint32_t value_size, uint32_t group) {
    for (uint32_t i = 0; i < n; i++) {
        bench_await(workers[i], ORDER_FOLLOW);
    }
    rawlog_touch(&s->log);
    uint64_t start = bench_now_ns();
    uint64_t entries = rawlog_lead(&s->log, value_size, group, bench_slice_ns(SLICE_NS));
    atomic_store(&s->over, 1);
    for (uint32_t i = 0; i < n; i++) {
        bench_await(workers[i], ORDER_DONE);
    }
    return (double)entries * 1e9 / (double)(bench_now_ns() - start);
}

static double one_log(bool processes, uint32_t followers, uint32_t value_size, uint32_t group) {
    struct bench_worker *workers[FOLLOWERS_MAX] = { NULL };
    struct scene *s = bench_share(sizeof(*s));
    bench_must_system(rawlog_create(&s->log, RING_BYTES) == 0, "memory for a ring");
    bench_machine_pin(&bench->machine, 0);
    for (uint32_t i = 0; i < followers; i++) {
        rawlog_pin(&s->log, i);
        workers[i] = bench_start(processes, (int32_t)i + 1, follow, s);
    }
    double per_s = lead(s, workers, followers, value_size, group);
    for (uint32_t i = 0; i < followers; i++) {
        bench_worker_end(workers[i]);
    }
    rawlog_destroy(&s->log);
    bench_shared_unmap(s, sizeof(*s));
    return per_s;
}

/* ---- control ----------------------------------------------------------------------------------------------------- */

static void measure_control(void) {
    uint64_t slice = bench_slice_ns(SLICE_NS);
    for (uint32_t f = 0; f < FOLLOWERS_MAX; f++) {
        bench_set(plan.granted[f], bench_granted(&bench->machine, f + 2, slice / 2));
    }
    for (uint32_t i = 0; i < PLAINS; i++) {
        bench_set(plan.plain[i],
                  bench_plainring_per_s(&bench->machine, RING_BYTES, plains[i].message_bytes, plains[i].group, slice));
    }
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static void repeat(void) {
    for (uint32_t cell = 0; cell < 2 * FOLLOWERS_MAX * SIZES * GROUPS; cell++) {
        uint32_t g = cell % GROUPS, s = cell / GROUPS % SIZES, f = cell / GROUPS / SIZES % FOLLOWERS_MAX;
        uint32_t mode = cell / GROUPS / SIZES / FOLLOWERS_MAX;
        bench_set(plan.rows[mode][f][s][g], one_log(mode == 1, f + 1, value_sizes[s], groups[g]));
        bench_go_on();
    }
    measure_control();
}

/* All repetitions of one number of keys, before anything else: while its domain is open no process may be forked. */
static void measure_apply(int i) {
    unsigned long long keys = applies[i].keys;
    if (bench->quick && keys > QUICK_KEYS) {
        return;
    }
    if (2.0 * (double)bench_applyrate_table_bytes(keys) > MOST_SHARE * (double)bench->machine.memory_bytes) {
        fprintf(stderr, "ring: apply of %llu keys is left out: too little memory\n", keys);
        return;
    }
    bench_progress("apply, %llu keys", keys);
    struct bench_applyrate *follower = bench_applyrate_start(keys);
    for (uint32_t k = 0; k < 2 * bench->repetitions; k++) {
        bench_figures_set(&bench->figures, plan.apply[i][k % 2], k / 2, bench_applyrate(follower, k % 2 == 0 ? 1 : 16));
    }
    bench_applyrate_end(follower);
}

static void prepare(void) {
    add_rows();
    for (int i = 0; i < APPLIES; i++) {
        measure_apply(i);
    }
}

BENCH_NOTE("Keys of 16 bytes, a ring of %u MiB, slices of %u ms; entries/s counts until the last follower has read "
           "the last entry.",
           (unsigned)(RING_BYTES >> 20), (unsigned)(bench_slice_ns(SLICE_NS) / 1000000))

BENCH_MAIN(
        .name = "ring", .repetitions = 5, .note = note,
        .about =
            "Measures what the log carries: one leader that appends (time, header, checksum, group commit), 1 and 2\n"
            "followers that read and check everything and keep nothing; values of 8, 64 and 256 bytes, keys of 16;\n"
            "groups of 1, 16 and 64; threads and processes. And how fast a real follower applies into its table.\n")
