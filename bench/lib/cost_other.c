/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/cost_other.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/machine.h"
#include "bench/lib/setup.h"
#include "shm/park.h"

enum step { STEP_WAIT = 0, STEP_LEAD, STEP_LEADING };
#define LOOK_EVERY_NS UINT64_C(20000000)

struct bench_cost_other {
    const struct bench_workload *workload;
    char name[TIDE_NAME_MAX];
    struct tide_opts opts;
    _Atomic uint32_t step; /* LEAD is the parent's, LEADING the child's answer */
    _Atomic int code;      /* why the child gave up */
    pid_t pid;             /* 0: it is gone */
    struct tide *domain;   /* of the parent */
    struct tide_reader *reader;
};

static void await_change(struct bench_cost_other *other, uint32_t seen) {
    while (atomic_load(&other->step) == seen) {
        park_wait(&other->step, seen, UINT64_MAX);
    }
}

static void set_step(struct bench_cost_other *other, enum step step) {
    atomic_store(&other->step, (uint32_t)step);
    park_wake(&other->step, 1);
}

static int lead(struct bench_cost_other *other, struct tide **d) {
    static const volatile sig_atomic_t never = 0;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    struct tide_token last;
    struct tide_opts opts = other->opts;
    opts.flags = 0;
    leader.role = TIDE_LEADER;
    leader.id = 0;
    int rc = tide_open(d, other->name, &opts);
    rc = rc != 0 ? rc : tide_replica_start(*d, &leader, NULL);
    return rc != 0 ? rc : bench_setup_fill(*d, other->workload, &never, &last);
}

static _Noreturn void child_main(struct bench_cost_other *other) {
    struct tide *d = NULL;
    await_change(other, STEP_WAIT);
    int rc = lead(other, &d);
    if (rc == 0) {
        set_step(other, STEP_LEADING);
        for (;;) {
            pause(); /* the parent kills it */
        }
    }
    atomic_store(&other->code, rc);
    _exit(1);
}

struct bench_cost_other *bench_cost_other_start(const struct bench_workload *w, const char *name) {
    struct bench_cost_other *other = bench_shared_map(sizeof(*other));
    if (other == NULL) {
        return NULL;
    }
    other->workload = w;
    snprintf(other->name, sizeof(other->name), "%s", name);
    pid_t pid = bench_child_fork();
    if (pid == 0) {
        child_main(other); /* before the line below: what it writes there the parent would see */
    }
    other->pid = pid;
    if (pid < 0) {
        bench_shared_unmap(other, sizeof(*other));
        return NULL;
    }
    return other;
}

int bench_cost_other_lives(struct bench_cost_other *other, char *error) {
    char how[80] = "is gone";
    int pid = (int)other->pid;
    if (pid != 0 && !bench_child_ended(other->pid, how, sizeof(how))) {
        return 1;
    }
    other->pid = 0;
    int code = atomic_load(&other->code);
    snprintf(error, BENCH_ERROR_BYTES, "%llu keys, the other process (pid %d) %s",
             (unsigned long long)other->workload->keys, pid, code != 0 ? tide_strerror(code) : how);
    return 0;
}

static int failed(struct bench_cost_other *other, char *error, const char *what, int code) {
    snprintf(error, BENCH_ERROR_BYTES, "%llu keys, the other process, %s: %s",
             (unsigned long long)other->workload->keys, what, tide_strerror(code));
    return -1;
}

int bench_cost_other_open(struct bench_cost_other *other, const struct bench_options *o, struct tide_reader **out,
                          const volatile sig_atomic_t *stop, char *error) {
    struct tide_reader_opts reader = TIDE_READER_OPTS_INIT;
    other->opts = (struct tide_opts)TIDE_OPTS_INIT;
    other->opts.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    other->opts.table_bytes = bench_workload_table_bytes(o);
    other->opts.expected_keys = o->keys;
    int rc = tide_open(&other->domain, other->name, &other->opts);
    if (rc != 0) {
        return failed(other, error, "creating its domain", rc);
    }
    set_step(other, STEP_LEAD);
    while (atomic_load(&other->step) == STEP_LEAD) {
        if (*stop) {
            return 1;
        }
        if (!bench_cost_other_lives(other, error)) {
            return -1;
        }
        park_wait(&other->step, STEP_LEAD, LOOK_EVERY_NS);
    }
    reader.home = 0;
    reader.replicas = 1;
    rc = tide_reader_open(other->domain, &reader, &other->reader);
    *out = other->reader;
    return rc != 0 ? failed(other, error, "opening a reader", rc) : 0;
}

void bench_cost_other_end(struct bench_cost_other *other) {
    if (other == NULL) {
        return;
    }
    if (other->reader != NULL) {
        tide_reader_close(other->reader);
    }
    /* It holds nothing that is worth an orderly end: whatever it leaves goes with the domain. */
    if (other->pid != 0) {
        bench_child_kill(other->pid);
    }
    if (other->domain != NULL) {
        tide_close(other->domain);
    }
    bench_shared_unmap(other, sizeof(*other));
}
