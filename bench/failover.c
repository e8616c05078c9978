/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long is a domain without a leader after a kill -9 of it? */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/lib/program.h"
#include "bench/lib/victims.h"

#define BAR_NS 20e6
#define POLL_NS UINT64_C(10000) /* between two looks: a spinning observer would take a CPU from the others */
#define SIZES 2u
#define LARGE_SHARE 10u /* so many times fewer kills with the large table: each is followed by a join */

enum stage { STAGE_DROPPED, STAGE_TAKEN, STAGE_LED, STAGE_COMMIT, STAGE_ACK, STAGES };
enum mark { MARK_P50, MARK_P99, MARK_MAX, MARKS };

static const struct bench_name stages[STAGES] = {
    { "dropped", "kill -9 to the kernel dropping the lock" },
    { "taken", "kill -9 to the candidate having it" },
    { "led", "kill -9 to the new term" },
    { "commit", "kill -9 to the next commit" },
    { "ack", "kill -9 to the next write acknowledged" },
};

/* A table of this size. */
struct size {
    uint64_t keys;
    uint64_t kills;     /* in each repetition */
    double *ns[STAGES]; /* of one repetition */
    uint64_t n[STAGES];
    uint32_t rows[MARKS][STAGES];
    uint64_t dropped_seen;
};

static struct {
    struct victims victims;
    uint64_t kills, keys, large;
    struct size sizes[SIZES];
    uint32_t sizes_n;
} plan = { .kills = 100, .keys = 10000, .large = 1000000 };

static void look(struct tide *d, struct tide_info *info) {
    bench_must(tide_info(d, info), "looking at the domain");
    bench_go_on();
}

/* Look until everything has happened. at: instants, 0 where it was not seen. */
static void watch(struct tide *d, struct tide_info *before, uint64_t start, uint64_t at[STAGES]) {
    struct tide_info info = TIDE_INFO_INIT;
    while (at[STAGE_ACK] == 0) {
        look(d, &info);
        uint64_t now = bench_now_ns(), acked = victims_acked_ns(&plan.victims);
        if (info.term == before->term) {
            /* The old leader may have committed until it died. The new one announces its term before it commits. */
            before->commit_index = info.commit_index;
        }
        if (at[STAGE_DROPPED] == 0 && at[STAGE_TAKEN] == 0 && info.led == 0) {
            at[STAGE_DROPPED] = now;
        }
        if (at[STAGE_TAKEN] == 0 && info.led != 0 && (at[STAGE_DROPPED] != 0 || info.term != before->term)) {
            at[STAGE_TAKEN] = now;
        }
        if (at[STAGE_LED] == 0 && info.term != before->term) {
            at[STAGE_LED] = now;
        }
        if (at[STAGE_COMMIT] == 0 && at[STAGE_LED] != 0 && info.commit_index != before->commit_index) {
            at[STAGE_COMMIT] = now;
        }
        if (at[STAGE_COMMIT] != 0 && acked >= at[STAGE_LED]) {
            at[STAGE_ACK] = acked > at[STAGE_COMMIT] ? acked : at[STAGE_COMMIT];
        }
        if (now - start > VICTIMS_PATIENCE_NS) {
            bench_fail("no candidate took over within 20 s of the kill of the leader");
        }
        bench_sleep_ns(POLL_NS);
    }
}

static void one_kill(struct size *size) {
    struct tide_info before = TIDE_INFO_INIT;
    uint64_t at[STAGES] = { 0 };
    victims_ready(&plan.victims);
    /* Opened anew for each kill: processes may be forked only while this one has no domain open. */
    struct tide *d = victims_attach(&plan.victims);
    look(d, &before);
    int32_t pid = before.leader_pid;
    uint64_t start = bench_now_ns();
    victims_kill(&plan.victims, pid);
    watch(d, &before, start, at);
    for (int s = 0; s < STAGES; s++) {
        if (at[s] != 0) {
            size->ns[s][size->n[s]++] = (double)(at[s] - start);
        }
    }
    victims_bury(&plan.victims, pid);
    tide_close(d);
}

static void with_size(struct size *size) {
    memset(size->n, 0, sizeof(size->n));
    victims_start(&plan.victims, size->keys);
    for (uint64_t i = 0; i < size->kills; i++) {
        bench_progress("%s keys, kill %llu of %llu", bench_count(size->keys), (unsigned long long)i + 1,
                       (unsigned long long)size->kills);
        one_kill(size);
    }
    victims_end(&plan.victims);
    for (int s = 0; s < STAGES; s++) {
        uint64_t n = size->n[s];
        struct bench_spread spread = bench_spread_of(size->ns[s], n); /* sorts */
        if (n > 0) {
            bench_set(size->rows[MARK_P50][s], spread.median);
            bench_set(size->rows[MARK_P99][s], size->ns[s][(n * 99 + 99) / 100 - 1]);
            bench_set(size->rows[MARK_MAX][s], spread.max);
        }
    }
    size->dropped_seen += size->n[STAGE_DROPPED];
}

static void repeat(void) {
    for (uint32_t i = 0; i < plan.sizes_n; i++) {
        with_size(&plan.sizes[i]);
    }
}

static void add_rows(struct size *size) {
    static const char *const marks[MARKS] = { "p50", "p99", "max" };
    const char *count = bench_count(size->keys);
    unsigned long long keys = size->keys;
    for (int m = 0; m < MARKS; m++) {
        const char *group = bench_text("failover, %s keys, %s", count, marks[m]);
        for (int s = 0; s < STAGES; s++) {
            size->rows[m][s] = bench_row(bench_text("failover.%llu.%s.%s", keys, stages[s].id, marks[m]), group,
                                         stages[s].title, "ns");
        }
    }
    bench_at_most(bench_text("failover.%llu.commit.p99", keys),
                  bench_text("failover, %s keys: kill -9 of the leader to the next commit, p99", count), "ns", BAR_NS,
                  size->rows[MARK_P99][STAGE_COMMIT], BENCH_NO_ROW);
}

static void note(char *out, size_t size) {
    int n = snprintf(out, size,
                     "a leader, a candidate and a writer (2,000 writes/s at most), each a process; 16-byte keys, "
                     "64-byte values. Looked at every %llu us or so. ",
                     (unsigned long long)(POLL_NS / 1000));
    for (uint32_t i = 0; i < plan.sizes_n; i++) {
        const struct size *of = &plan.sizes[i];
        n += snprintf(out + n, size - (size_t)n,
                      "%s keys: table of %llu MiB, %llu kills a repetition, the free lock seen after %llu of %llu%s",
                      bench_count(of->keys), (unsigned long long)(victims_table_bytes(of->keys) >> 20),
                      (unsigned long long)of->kills, (unsigned long long)of->dropped_seen,
                      (unsigned long long)(of->kills * bench->done), i + 1 < plan.sizes_n ? "; " : "");
    }
}

static void prepare(void) {
    prctl(PR_SET_TIMERSLACK, 1ul);
    plan.sizes_n = plan.large != 0 ? 2 : 1;
    for (uint32_t i = 0; i < plan.sizes_n; i++) {
        struct size *size = &plan.sizes[i];
        size->keys = i == 0 ? plan.keys : plan.large;
        size->kills = i == 0 ? plan.kills : (plan.kills + LARGE_SHARE - 1) / LARGE_SHARE;
        add_rows(size);
        for (int s = 0; s < STAGES; s++) {
            size->ns[s] = bench_alloc(size->kills, sizeof(double));
        }
    }
}

BENCH_MAIN(.name = "failover", .repetitions = 3, .note = note,
           BENCH_NUMBERS({ "kills", "of the leader, in each repetition", &plan.kills, 1, 100000, 5 },
                         { "keys", "in the tables", &plan.keys, 1000, 100000000, 10000 },
                         { "large", "keys in larger tables, with a tenth of the kills; 0: none", &plan.large, 0,
                           100000000, 0 }),
           .about = "A leader, a candidate follower and a writer, each a process of its own: kills the leader\n"
                    "by SIGKILL, and measures when the kernel drops its lock, the candidate has it, the new term\n"
                    "begins, its first entry is committed, and the next write is acknowledged. A fresh process\n"
                    "joins as the next candidate before the next kill.\n")
