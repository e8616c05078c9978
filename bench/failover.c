/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long does nobody lead after a kill -9 of the leader? */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
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

struct failover {
    struct bench_program *p;
    struct victims victims;
    uint64_t kills, keys, large;
    struct size sizes[SIZES];
    uint32_t sizes_n;
};

/* Look until everything has happened. at: instants, 0 where it was not seen. */
static int watch(struct failover *f, struct tide *d, struct tide_info *before, uint64_t start, uint64_t at[STAGES]) {
    struct tide_info info = TIDE_INFO_INIT;
    while (at[STAGE_ACK] == 0) {
        int rc = tide_info(d, &info);
        uint64_t now = bench_now_ns(), acked = victims_acked_ns(&f->victims);
        if (rc != 0) {
            return bench_program_failed_code(f->p, "looking at the domain", rc);
        }
        if (bench_stop) {
            return 1;
        }
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
            return bench_program_failed(f->p, "nobody took over after a kill of the leader");
        }
        bench_sleep_ns(POLL_NS);
    }
    return 0;
}

static int kill_leader(struct failover *f, struct size *size, struct tide *d) {
    struct tide_info before = TIDE_INFO_INIT;
    uint64_t at[STAGES] = { 0 };
    int rc = tide_info(d, &before);
    uint64_t start = bench_now_ns();
    if (rc != 0 || victims_kill(&f->victims, before.leader_pid) != 0) {
        return bench_program_failed(f->p, "none of the two processes leads");
    }
    int32_t pid = before.leader_pid;
    rc = watch(f, d, &before, start, at);
    for (int s = 0; s < STAGES && rc == 0; s++) {
        if (at[s] != 0) {
            size->ns[s][size->n[s]++] = (double)(at[s] - start);
        }
    }
    victims_bury(&f->victims, pid);
    return rc;
}

static int one_kill(struct failover *f, struct size *size) {
    struct tide *d = NULL;
    int rc = victims_ready(&f->victims);
    if (rc != 0) {
        return rc;
    }
    /* Opened anew for each kill: processes may be forked only while this one has no domain open. */
    rc = victims_attach(&f->victims, &d);
    if (rc != 0) {
        return bench_program_failed_code(f->p, "attaching to the domain", rc);
    }
    rc = kill_leader(f, size, d);
    tide_close(d);
    return rc;
}

static void keep(struct bench_program *p, struct size *size, uint32_t repetition) {
    for (int s = 0; s < STAGES; s++) {
        uint64_t n = size->n[s];
        struct bench_spread spread = bench_spread_of(size->ns[s], n); /* sorts */
        if (n > 0) {
            bench_program_set(p, size->rows[MARK_P50][s], repetition, spread.median);
            bench_program_set(p, size->rows[MARK_P99][s], repetition, size->ns[s][(n * 99 + 99) / 100 - 1]);
            bench_program_set(p, size->rows[MARK_MAX][s], repetition, spread.max);
        }
    }
    size->dropped_seen += size->n[STAGE_DROPPED];
}

static int with_size(struct failover *f, struct size *size, uint32_t repetition) {
    char count[BENCH_TEXT];
    memset(size->n, 0, sizeof(size->n));
    int rc = victims_start(&f->victims, f->p, size->keys);
    for (uint64_t i = 0; i < size->kills && rc == 0; i++) {
        bench_program_progress(f->p, "%s keys, kill %llu of %llu", bench_format_round(count, size->keys),
                               (unsigned long long)i + 1, (unsigned long long)size->kills);
        rc = bench_stop ? 1 : one_kill(f, size);
    }
    victims_end(&f->victims);
    if (rc == 0) {
        keep(f->p, size, repetition);
    }
    return rc;
}

static int one_repetition(struct bench_program *p, void *ctx, uint32_t repetition) {
    struct failover *f = ctx;
    int rc = 0;
    (void)p;
    for (uint32_t i = 0; i < f->sizes_n && rc == 0; i++) {
        rc = with_size(f, &f->sizes[i], repetition);
    }
    return rc;
}

static void add_rows(struct bench_program *p, struct size *size) {
    static const char *const marks[MARKS] = { "p50", "p99", "max" };
    char id[64], group[96], what[160], count[BENCH_TEXT];
    unsigned long long keys = size->keys;
    bench_format_round(count, size->keys);
    for (int m = 0; m < MARKS; m++) {
        snprintf(group, sizeof(group), "failover, %s keys, %s", count, marks[m]);
        for (int s = 0; s < STAGES; s++) {
            snprintf(id, sizeof(id), "failover.%llu.%s.%s", keys, stages[s].id, marks[m]);
            size->rows[m][s] = bench_program_row(p, id, group, stages[s].title, "ns");
        }
    }
    snprintf(id, sizeof(id), "failover.%llu.commit.p99", keys);
    snprintf(what, sizeof(what), "failover, %s keys: kill -9 of the leader to the next commit, p99", count);
    bench_program_bar(p, id, what, "ns", BENCH_AT_MOST, BAR_NS, size->rows[MARK_P99][STAGE_COMMIT], BENCH_NO_ROW);
}

static void note(const struct failover *f) {
    struct bench_program *p = f->p;
    int n = snprintf(p->figures.note, sizeof(p->figures.note),
                     "a leader, a candidate and a writer (2,000 writes/s at most), each a process; 16-byte keys, "
                     "64-byte values. Looked at every %llu us or so. ",
                     (unsigned long long)(POLL_NS / 1000));
    for (uint32_t i = 0; i < f->sizes_n; i++) {
        const struct size *size = &f->sizes[i];
        char count[BENCH_TEXT];
        n +=
            snprintf(p->figures.note + n, sizeof(p->figures.note) - (size_t)n,
                     "%s keys: table of %llu MiB, %llu kills a repetition, the free lock seen after %llu of %llu%s",
                     bench_format_round(count, size->keys), (unsigned long long)(victims_table_bytes(size->keys) >> 20),
                     (unsigned long long)size->kills, (unsigned long long)size->dropped_seen,
                     (unsigned long long)(size->kills * p->done), i + 1 < f->sizes_n ? "; " : "");
    }
}

static int add_sizes(struct failover *f) {
    int good = 1;
    f->sizes_n = f->large != 0 ? 2 : 1;
    for (uint32_t i = 0; i < f->sizes_n; i++) {
        struct size *size = &f->sizes[i];
        size->keys = i == 0 ? f->keys : f->large;
        size->kills = i == 0 ? f->kills : (f->kills + LARGE_SHARE - 1) / LARGE_SHARE;
        add_rows(f->p, size);
        for (int s = 0; s < STAGES; s++) {
            good &= (size->ns[s] = calloc(size->kills, sizeof(double))) != NULL;
        }
    }
    return good ? 0 : bench_program_failed_code(f->p, "starting", TIDE_ERR_NOMEM);
}

static void release(struct failover *f) {
    for (uint32_t i = 0; i < f->sizes_n; i++) {
        for (int s = 0; s < STAGES; s++) {
            free(f->sizes[i].ns[s]);
        }
    }
}

int main(int argc, char **argv) {
    static struct failover f = { .kills = 100, .keys = 10000, .large = 1000000 };
    static const struct bench_number numbers[] = {
        { "kills", "of the leader, in each repetition", &f.kills, 1, 100000, 5 },
        { "keys", "in the tables", &f.keys, 1000, 100000000, 10000 },
        { "large", "keys in larger tables, with a tenth of the kills; 0: none", &f.large, 0, 100000000, 0 },
    };
    static struct bench_program p = {
        .name = "failover",
        .about = "A leader, a candidate follower and a writer, each a process of its own: kills the leader\n"
                 "by SIGKILL, and measures when the kernel drops its lock, the candidate has it, the new term\n"
                 "begins, its first entry is committed, and the next write is acknowledged. A fresh process\n"
                 "joins as the next candidate before the next kill.\n",
        .numbers = numbers,
        .numbers_n = sizeof(numbers) / sizeof(numbers[0]),
        .repetitions = 3,
    };
    int code;
    if (!bench_program_start(&p, argc, argv, &code)) {
        return code;
    }
    prctl(PR_SET_TIMERSLACK, 1ul);
    f.p = &p;
    int rc = add_sizes(&f);
    rc = rc != 0 ? rc : bench_program_repeat(&p, one_repetition, &f);
    note(&f);
    release(&f);
    return bench_program_end(&p, rc);
}
