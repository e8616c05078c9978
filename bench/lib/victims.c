/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/victims.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bench/lib/child.h"

#define RING_BYTES (UINT64_C(1) << 20)
#define WRITE_NS UINT64_C(500000) /* between two writes */
#define CALM_NS UINT64_C(20000000)

struct node {
    _Atomic uint32_t serves;
    _Atomic int code;
};

/* Shared with the children. */
struct victims_shared {
    char name[TIDE_NAME_MAX];
    uint64_t keys;
    struct node nodes[VICTIMS_NODES];
    _Atomic uint64_t acks;
    _Atomic uint64_t ack_ns; /* CLOCK_MONOTONIC of the last one */
    _Atomic int writer_code;
};

uint64_t victims_table_bytes(uint64_t keys) {
    return (UINT64_C(8) << 20) + keys * 160;
}

static int open_domain(const struct victims_shared *w, struct tide **d, uint32_t flags) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = flags;
    opts.ring_bytes = RING_BYTES;
    opts.table_bytes = victims_table_bytes(w->keys);
    opts.expected_keys = w->keys;
    return tide_open(d, w->name, &opts);
}

static int put_one(const struct victims_shared *w, struct tide *d, uint64_t i) {
    uint64_t key[2] = { i % w->keys, 0 }, value[8] = { i };
    return tide_put(d, NULL, key, sizeof(key), value, sizeof(value), NULL);
}

static int start_node(struct victims_shared *w, int leads) {
    struct tide *d = NULL;
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    opts.role = leads ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.candidate = 1;
    int rc = open_domain(w, &d, leads ? TIDE_CREATE | TIDE_EXCLUSIVE : 0);
    rc = rc != 0 ? rc : tide_replica_start(d, &opts, NULL);
    for (uint64_t i = 0; leads && i < w->keys && rc == 0; i++) {
        rc = put_one(w, d, i);
    }
    return rc;
}

static _Noreturn void node_main(struct victims_shared *w, uint32_t slot, int leads) {
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

static _Noreturn void writer_main(struct victims_shared *w) {
    struct tide *d = NULL;
    int rc = open_domain(w, &d, 0);
    prctl(PR_SET_TIMERSLACK, 1ul);
    for (uint64_t i = 0; rc == 0; i++) {
        rc = put_one(w, d, i);
        if (rc == 0) {
            atomic_store(&w->ack_ns, bench_now_ns());
            atomic_fetch_add(&w->acks, 1);
        } else if (rc == TIDE_ERR_UNKNOWN || rc == TIDE_ERR_NO_LEADER || rc == TIDE_ERR_TIMEOUT) {
            rc = 0; /* between two leaders */
        }
        bench_sleep_ns(WRITE_NS);
    }
    atomic_store(&w->writer_code, rc);
    _exit(1);
}

static int fork_node(struct victims *v, uint32_t slot, int leads) {
    atomic_store(&v->w->nodes[slot].serves, 0);
    atomic_store(&v->w->nodes[slot].code, 0);
    pid_t pid = bench_child_fork();
    if (pid == 0) {
        node_main(v->w, slot, leads);
    }
    v->nodes[slot] = pid > 0 ? pid : 0;
    return pid < 0 ? bench_program_failed_errno(v->p, "starting a process") : 0;
}

static int fork_writer(struct victims *v) {
    pid_t pid = bench_child_fork();
    if (pid == 0) {
        writer_main(v->w);
    }
    v->writer = pid > 0 ? pid : 0;
    return pid < 0 ? bench_program_failed_errno(v->p, "starting a process") : 0;
}

/* 0; -1 when one that should live does not. */
static int all_live(struct victims *v) {
    char how[80], what[64];
    for (uint32_t i = 0; i <= VICTIMS_NODES; i++) {
        pid_t *pid = i < VICTIMS_NODES ? &v->nodes[i] : &v->writer;
        if (*pid != 0 && bench_child_ended(*pid, how, sizeof(how))) {
            int code = atomic_load(i < VICTIMS_NODES ? &v->w->nodes[i].code : &v->w->writer_code);
            snprintf(what, sizeof(what), "process %d (%s)", (int)*pid,
                     i < VICTIMS_NODES ? "a replica's" : "the writer's");
            *pid = 0;
            return bench_program_failed(v->p, "%s %s", what, code != 0 ? tide_strerror(code) : how);
        }
    }
    return 0;
}

/* Until *word is at least `wanted`. 0; 1: asked to end; -1. */
static int await(struct victims *v, const _Atomic uint64_t *acks, uint64_t wanted, const _Atomic uint32_t *serves) {
    uint64_t until = bench_now_ns() + VICTIMS_PATIENCE_NS;
    while ((acks != NULL && atomic_load(acks) < wanted) || (serves != NULL && atomic_load(serves) == 0)) {
        if (bench_stop) {
            return 1;
        }
        if (all_live(v) != 0) {
            return -1;
        }
        if (bench_now_ns() > until) {
            return bench_program_failed(
                v->p, "%s", acks != NULL ? "no write is acknowledged any more" : "a follower does not come to serve");
        }
        bench_sleep_ns(200000);
    }
    return 0;
}

int victims_start(struct victims *v, struct bench_program *p, uint64_t keys) {
    memset(v, 0, sizeof(*v));
    v->p = p;
    v->w = bench_shared_map(sizeof(*v->w));
    if (v->w == NULL) {
        return bench_program_failed_code(p, "starting", TIDE_ERR_NOMEM);
    }
    v->w->keys = keys;
    bench_program_domain_name(p, v->w->name);
    int rc = fork_node(v, 0, 1);
    rc = rc != 0 ? rc : await(v, NULL, 0, &v->w->nodes[0].serves);
    return rc != 0 ? rc : fork_writer(v);
}

void victims_end(struct victims *v) {
    for (uint32_t i = 0; i <= VICTIMS_NODES; i++) {
        pid_t pid = i < VICTIMS_NODES ? v->nodes[i] : v->writer;
        if (pid != 0) {
            bench_child_kill(pid);
        }
    }
    if (v->w != NULL) {
        tide_unlink(v->w->name);
        bench_shared_unmap(v->w, sizeof(*v->w));
    }
}

int victims_ready(struct victims *v) {
    for (uint32_t i = 0; i < VICTIMS_NODES; i++) {
        int rc = v->nodes[i] == 0 ? fork_node(v, i, 0) : 0;
        rc = rc != 0 ? rc : await(v, NULL, 0, &v->w->nodes[i].serves);
        if (rc != 0) {
            return rc;
        }
    }
    int rc = await(v, &v->w->acks, atomic_load(&v->w->acks) + 3, NULL);
    if (rc == 0) {
        bench_sleep_ns(CALM_NS);
    }
    return rc;
}

int victims_attach(struct victims *v, struct tide **d) {
    return open_domain(v->w, d, 0);
}

static uint32_t node_of(const struct victims *v, int32_t pid) {
    for (uint32_t i = 0; i < VICTIMS_NODES; i++) {
        if (v->nodes[i] != 0 && v->nodes[i] == (pid_t)pid) {
            return i;
        }
    }
    return VICTIMS_NODES;
}

int victims_kill(struct victims *v, int32_t pid) {
    uint32_t slot = node_of(v, pid);
    return slot == VICTIMS_NODES ? -1 : kill(v->nodes[slot], SIGKILL);
}

void victims_bury(struct victims *v, int32_t pid) {
    uint32_t slot = node_of(v, pid);
    if (slot != VICTIMS_NODES) {
        bench_child_kill(v->nodes[slot]);
        v->nodes[slot] = 0;
    }
}

uint64_t victims_acked_ns(const struct victims *v) {
    return atomic_load(&v->w->ack_ns);
}
