/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long does nobody lead after a kill -9 of the leader? */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/run.h"

#define BAR_NS 20e6
#define NODES 2u
#define KEYS 10000u
#define TABLE_BYTES (UINT64_C(16) << 20)
#define RING_BYTES (UINT64_C(1) << 20)
#define POLL_NS UINT64_C(10000)    /* between two looks: a spinning observer would take a core from those it looks at */
#define CALM_NS UINT64_C(20000000) /* after the follower serves */
#define WRITE_NS UINT64_C(500000)  /* between two writes */
#define PATIENCE_NS UINT64_C(20000000000)

enum stage { STAGE_DROPPED, STAGE_TAKEN, STAGE_LED, STAGE_COMMIT, STAGE_ACK, STAGES };

static const char *const stage_ids[STAGES] = { "dropped", "taken", "led", "commit", "ack" };
static const char *const stage_titles[STAGES] = {
    "kill -9 to the kernel dropping the lock",
    "kill -9 to the candidate having it",
    "kill -9 to the new term",
    "kill -9 to the next commit",
    "kill -9 to the next write acknowledged",
};

struct node {
    _Atomic uint32_t serves;
    _Atomic int code;
};

/* Shared with the children. */
struct world {
    char name[TIDE_NAME_MAX];
    struct node nodes[NODES];
    _Atomic uint64_t acks;
    _Atomic uint64_t ack_ns; /* CLOCK_MONOTONIC of the last one */
    _Atomic int writer_code;
};

struct failover {
    struct bench_run run;
    struct world *w;
    uint64_t kills;
    pid_t nodes[NODES]; /* 0: none */
    pid_t writer;
    double *ns[STAGES]; /* of one repetition; dropped_n of the first */
    uint64_t dropped_n;
    double *values[3][STAGES]; /* p50, p99, max of each repetition */
    uint64_t dropped_seen;
};

static int open_domain(const struct world *w, struct tide **d, uint32_t flags) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = flags;
    opts.ring_bytes = RING_BYTES;
    opts.table_bytes = TABLE_BYTES;
    opts.expected_keys = KEYS;
    return tide_open(d, w->name, &opts);
}

static int start_node(struct world *w, int leads) {
    struct tide *d = NULL;
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    opts.role = leads ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.candidate = 1;
    int rc = open_domain(w, &d, leads ? TIDE_CREATE | TIDE_EXCLUSIVE : 0);
    return rc != 0 ? rc : tide_replica_start(d, &opts, NULL);
}

static _Noreturn void node_main(struct world *w, uint32_t slot, int leads) {
    int rc = start_node(w, leads);
    if (rc != 0) {
        atomic_store(&w->nodes[slot].code, rc);
        _exit(1);
    }
    atomic_store(&w->nodes[slot].serves, 1);
    for (;;) {
        pause(); /* until it is killed */
    }
}

static _Noreturn void writer_main(struct world *w) {
    struct tide *d = NULL;
    uint64_t value[8] = { 0 };
    int rc = open_domain(w, &d, 0);
    prctl(PR_SET_TIMERSLACK, 1ul);
    for (uint64_t i = 0; rc == 0; i++) {
        uint64_t key[2] = { i % KEYS, 0 };
        value[0] = i;
        rc = tide_put(d, NULL, key, sizeof(key), value, sizeof(value), NULL);
        if (rc == 0) {
            atomic_store(&w->ack_ns, bench_now_ns());
            atomic_fetch_add(&w->acks, 1);
        } else if (rc == TIDE_ERR_UNKNOWN || rc == TIDE_ERR_NO_LEADER || rc == TIDE_ERR_TIMEOUT) {
            rc = 0; /* between two leaders */
        }
        if (i > KEYS) { /* the first round fills the table */
            bench_sleep_ns(WRITE_NS);
        }
    }
    atomic_store(&w->writer_code, rc);
    _exit(1);
}

static int fork_node(struct failover *f, uint32_t slot, int leads) {
    atomic_store(&f->w->nodes[slot].serves, 0);
    atomic_store(&f->w->nodes[slot].code, 0);
    pid_t pid = bench_child_fork();
    if (pid == 0) {
        node_main(f->w, slot, leads);
    }
    f->nodes[slot] = pid > 0 ? pid : 0;
    return pid < 0 ? bench_run_failed_errno(&f->run, "starting a process") : 0;
}

static int fork_writer(struct failover *f) {
    pid_t pid = bench_child_fork();
    if (pid == 0) {
        writer_main(f->w);
    }
    f->writer = pid > 0 ? pid : 0;
    return pid < 0 ? bench_run_failed_errno(&f->run, "starting a process") : 0;
}

/* 0; -1 when one that should live does not. */
static int all_live(struct failover *f) {
    char how[80], what[64];
    for (uint32_t i = 0; i <= NODES; i++) {
        pid_t *pid = i < NODES ? &f->nodes[i] : &f->writer;
        if (*pid != 0 && bench_child_ended(*pid, how, sizeof(how))) {
            int code = atomic_load(i < NODES ? &f->w->nodes[i].code : &f->w->writer_code);
            snprintf(what, sizeof(what), "process %d (%s)", (int)*pid, i < NODES ? "a replica's" : "the writer's");
            *pid = 0;
            snprintf(f->run.error, sizeof(f->run.error), "%s %s", what, code != 0 ? tide_strerror(code) : how);
            return -1;
        }
    }
    return 0;
}

/* Until *word is at least `wanted`. 0; 1: asked to end; -1. */
static int await(struct failover *f, const _Atomic uint64_t *acks, uint64_t wanted, const _Atomic uint32_t *serves) {
    uint64_t until = bench_now_ns() + PATIENCE_NS;
    while ((acks != NULL && atomic_load(acks) < wanted) || (serves != NULL && atomic_load(serves) == 0)) {
        if (bench_stop) {
            return 1;
        }
        if (all_live(f) != 0) {
            return -1;
        }
        if (bench_now_ns() > until) {
            snprintf(f->run.error, sizeof(f->run.error), "%s",
                     acks != NULL ? "no write is acknowledged any more" : "a follower does not come to serve");
            return -1;
        }
        bench_sleep_ns(200000);
    }
    return 0;
}

static uint32_t node_of(const struct failover *f, int32_t pid) {
    for (uint32_t i = 0; i < NODES; i++) {
        if (f->nodes[i] != 0 && f->nodes[i] == (pid_t)pid) {
            return i;
        }
    }
    return NODES;
}

/* Look until everything has happened. at: instants, 0 where it was not seen. */
static int watch(struct failover *f, struct tide *d, struct tide_info *before, uint64_t start, uint64_t at[STAGES]) {
    struct tide_info info = TIDE_INFO_INIT;
    while (at[STAGE_ACK] == 0) {
        int rc = tide_info(d, &info);
        uint64_t now = bench_now_ns(), acked = atomic_load(&f->w->ack_ns);
        if (rc != 0) {
            return bench_run_failed(&f->run, "looking at the domain", rc);
        }
        if (bench_stop) {
            return 1;
        }
        if (info.term == before->term) {
            /* It may have committed until it died. The new leader announces its term before it commits. */
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
        if (now - start > PATIENCE_NS) {
            snprintf(f->run.error, sizeof(f->run.error), "nobody took over after a kill of the leader");
            return -1;
        }
        bench_sleep_ns(POLL_NS);
    }
    return 0;
}

static int kill_leader(struct failover *f, struct tide *d, uint64_t turn, uint32_t *slot) {
    struct tide_info before = TIDE_INFO_INIT;
    uint64_t at[STAGES] = { 0 };
    int rc = tide_info(d, &before);
    *slot = rc == 0 ? node_of(f, before.leader_pid) : NODES;
    if (*slot == NODES) {
        snprintf(f->run.error, sizeof(f->run.error), "none of the two processes leads");
        return -1;
    }
    uint64_t start = bench_now_ns();
    kill(f->nodes[*slot], SIGKILL);
    rc = watch(f, d, &before, start, at);
    for (int s = 0; s < STAGES && rc == 0; s++) {
        if (at[s] != 0) {
            f->ns[s][s == STAGE_DROPPED ? f->dropped_n++ : turn] = (double)(at[s] - start);
        }
    }
    bench_child_kill(f->nodes[*slot]);
    f->nodes[*slot] = 0;
    return rc;
}

/* Both nodes serve, the writer writes, all is calm; then the kill. */
static int one_kill(struct failover *f, uint64_t turn) {
    struct tide *d = NULL;
    uint32_t slot = NODES;
    for (uint32_t i = 0; i < NODES; i++) {
        int rc = f->nodes[i] == 0 ? fork_node(f, i, 0) : 0;
        rc = rc != 0 ? rc : await(f, NULL, 0, &f->w->nodes[i].serves);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = await(f, &f->w->acks, atomic_load(&f->w->acks) + 3, NULL);
    if (rc != 0) {
        return rc;
    }
    bench_sleep_ns(CALM_NS);
    /* Opened for each kill anew: processes are forked while this one has no domain open. */
    rc = open_domain(f->w, &d, 0);
    if (rc != 0) {
        return bench_run_failed(&f->run, "attaching to the domain", rc);
    }
    rc = kill_leader(f, d, turn, &slot);
    tide_close(d);
    return rc;
}

static void keep(struct failover *f, uint64_t repetition) {
    for (int s = 0; s < STAGES; s++) {
        uint64_t n = s == STAGE_DROPPED ? f->dropped_n : f->kills;
        struct bench_spread spread = bench_spread_of(f->ns[s], n); /* sorts */
        f->values[0][s][repetition] = spread.median;
        f->values[1][s][repetition] = n > 0 ? f->ns[s][(n - 1) * 99 / 100] : 0.0;
        f->values[2][s][repetition] = spread.max;
    }
    f->dropped_seen += f->dropped_n;
    f->dropped_n = 0;
}

static int measure(struct failover *f) {
    int rc = fork_node(f, 0, 1);
    rc = rc != 0 ? rc : await(f, NULL, 0, &f->w->nodes[0].serves);
    rc = rc != 0 ? rc : fork_writer(f);
    rc = rc != 0 ? rc : await(f, &f->w->acks, KEYS, NULL);
    for (uint64_t r = 0; r < f->run.repetitions && rc == 0; r++) {
        for (uint64_t i = 0; i < f->kills && rc == 0; i++) {
            bench_run_progress(&f->run, "repetition %llu of %llu, kill %llu of %llu", (unsigned long long)r + 1,
                               (unsigned long long)f->run.repetitions, (unsigned long long)i + 1,
                               (unsigned long long)f->kills);
            rc = bench_stop ? 1 : one_kill(f, i);
        }
        if (rc == 0) {
            keep(f, r);
        }
    }
    return rc;
}

static void figures(struct failover *f) {
    static const char *const percentiles[3] = { "p50", "p99", "max" };
    char id[64], group[96], title[96];
    struct bench_figures *out = &f->run.figures;
    snprintf(out->note, sizeof(out->note),
             "%llu kills a repetition; a leader, a candidate and a writer (2,000 writes/s at most), each a process; %u "
             "keys of 16 "
             "and 64 bytes, tables of %llu MiB. Looked at every %llu us or so. The lock was seen free after %llu of "
             "%llu kills, "
             "else the candidate had it already",
             (unsigned long long)f->kills, KEYS, (unsigned long long)(TABLE_BYTES >> 20),
             (unsigned long long)(POLL_NS / 1000), (unsigned long long)f->dropped_seen,
             (unsigned long long)(f->kills * f->run.repetitions));
    /* Before the figures are added, which sorts them. */
    bench_figures_bar(out, "failover.commit.p99", "failover: kill -9 of the leader to the next commit, p99", "ns",
                      BENCH_AT_MOST, BAR_NS, f->values[1][STAGE_COMMIT], f->run.repetitions);
    bench_figures_bar_line(out, "failover, p99", BAR_NS);
    for (int p = 0; p < 3; p++) {
        snprintf(group, sizeof(group), "failover, %s", percentiles[p]);
        for (int s = 0; s < STAGES; s++) {
            if (s == STAGE_DROPPED && f->dropped_seen == 0) {
                continue;
            }
            snprintf(id, sizeof(id), "failover.%s.%s", stage_ids[s], percentiles[p]);
            snprintf(title, sizeof(title), "%s", stage_titles[s]);
            bench_figures_add(out, id, group, title, "ns", f->values[p][s], f->run.repetitions);
        }
    }
}

static void end_children(struct failover *f) {
    for (uint32_t i = 0; i <= NODES; i++) {
        pid_t pid = i < NODES ? f->nodes[i] : f->writer;
        if (pid != 0) {
            bench_child_kill(pid);
        }
    }
    tide_unlink(f->w->name);
}

static int allocate(struct failover *f) {
    int good = (f->w = bench_shared_map(sizeof(*f->w))) != NULL;
    for (int s = 0; s < STAGES; s++) {
        good &= (f->ns[s] = calloc(f->kills, sizeof(double))) != NULL;
        for (int p = 0; p < 3; p++) {
            good &= (f->values[p][s] = calloc(f->run.repetitions, sizeof(double))) != NULL;
        }
    }
    return good ? 0 : bench_run_failed(&f->run, "starting", TIDE_ERR_NOMEM);
}

static void release(struct failover *f) {
    for (int s = 0; s < STAGES; s++) {
        free(f->ns[s]);
        for (int p = 0; p < 3; p++) {
            free(f->values[p][s]);
        }
    }
    bench_shared_unmap(f->w, sizeof(*f->w));
}

int main(int argc, char **argv) {
    static struct failover f = { .kills = 100 };
    struct bench_run_number numbers[] = { { "--kills", "of the leader, in each repetition", &f.kills, 1, 100000, 5 } };
    f.run.name = "failover";
    f.run.what = "A leader, a candidate follower and a writer, each a process of its own: kills the leader\n"
                 "by SIGKILL, and measures when the kernel drops its lock, the candidate has it, the new term\n"
                 "begins, its first entry is committed, and the next write is acknowledged. A fresh process\n"
                 "joins as the next candidate before the next kill.";
    f.run.numbers = numbers;
    f.run.numbers_n = 1;
    f.run.repetitions = 3;
    f.run.repetitions_quick = 1;
    int rc = bench_run_begin(&f.run, argc, argv);
    if (rc >= 0) {
        return rc;
    }
    prctl(PR_SET_TIMERSLACK, 1ul);
    rc = allocate(&f);
    if (rc == 0) {
        bench_run_domain_name(&f.run, f.w->name);
        rc = measure(&f);
        end_children(&f);
    }
    if (rc == 0) {
        figures(&f);
    }
    rc = bench_run_end(&f.run, rc);
    release(&f);
    return rc;
}
