/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/victims.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"

#define RING_BYTES (UINT64_C(1) << 20)
#define WRITE_NS UINT64_C(500000) /* between two writes */
#define CALM_NS UINT64_C(20000000)

enum { ORDER_SERVED = 1 };

/* What a process is to be. */
struct victims_part {
    struct victims_shared *w;
    bool leads;
};

/* Shared with the children. */
struct victims_shared {
    char name[TIDE_NAME_MAX];
    uint64_t keys;
    struct victims_part parts[VICTIMS_NODES + 1]; /* the last is the writer's */
    _Atomic uint64_t acks;
    _Atomic uint64_t ack_ns; /* CLOCK_MONOTONIC of the last one */
};

uint64_t victims_table_bytes(uint64_t keys) {
    return (UINT64_C(8) << 20) + keys * 160;
}

static struct tide *open_domain(const struct victims_shared *w, uint32_t flags) {
    struct tide_opts opts = bench_setup_opts(flags, w->keys, RING_BYTES, victims_table_bytes(w->keys));
    struct tide *d;
    bench_must(tide_open(&d, w->name, &opts), "opening the domain");
    return d;
}

static int put_one(const struct victims_shared *w, struct tide *d, uint64_t i) {
    uint64_t key[2] = { i % w->keys, 0 }, value[8] = { i };
    return tide_put(d, NULL, key, sizeof(key), value, sizeof(value), NULL);
}

static int serve(struct bench_worker *worker, void *ctx) {
    const struct victims_part *part = ctx;
    const struct victims_shared *w = part->w;
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    opts.role = part->leads ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.candidate = 1;
    struct tide *d = open_domain(w, part->leads ? TIDE_CREATE | TIDE_EXCLUSIVE : 0);
    bench_must(tide_replica_start(d, &opts, NULL), "starting a replica");
    for (uint64_t i = 0; part->leads && i < w->keys; i++) {
        bench_must(put_one(w, d, i), "filling");
    }
    return bench_worker_serve(worker, ORDER_SERVED);
}

static int write_on(struct bench_worker *worker, void *ctx) {
    struct victims_shared *w = ((struct victims_part *)ctx)->w;
    struct tide *d = open_domain(w, 0);
    (void)worker;
    prctl(PR_SET_TIMERSLACK, 1ul);
    for (uint64_t i = 0;; i++) {
        int rc = put_one(w, d, i);
        if (rc == 0) {
            atomic_store(&w->ack_ns, bench_now_ns());
            atomic_fetch_add(&w->acks, 1);
        } else if (rc != TIDE_ERR_UNKNOWN && rc != TIDE_ERR_NO_LEADER && rc != TIDE_ERR_TIMEOUT) {
            bench_must(rc, "writing"); /* those are between two leaders */
        }
        bench_sleep_ns(WRITE_NS);
    }
    return 0; /* never: it is killed */
}

static void start(struct victims *v, uint32_t slot, bool leads) {
    bool node = slot < VICTIMS_NODES;
    v->w->parts[slot] = (struct victims_part){ v->w, leads };
    v->workers[slot] = bench_start(true, -1, node ? serve : write_on, &v->w->parts[slot]);
    bench_worker_call(v->workers[slot], node ? "a replica's process" : "the writer's process");
}

/* Until this node serves (NULL: do not ask) and so many writes are acknowledged. */
static void await(struct victims *v, struct bench_worker *node, uint64_t acks) {
    uint64_t until = bench_now_ns() + VICTIMS_PATIENCE_NS;
    while ((node != NULL && !bench_worker_reached(node, ORDER_SERVED)) || atomic_load(&v->w->acks) < acks) {
        char error[BENCH_ERROR_BYTES];
        for (uint32_t i = 0; i <= VICTIMS_NODES; i++) {
            if (v->workers[i] != NULL && !bench_worker_lives(v->workers[i], error)) {
                bench_fail("%s", error);
            }
        }
        if (bench_now_ns() > until) {
            bench_fail(node == NULL ? "no write was acknowledged for 20 s"
                                    : "a replica does not come to serve within 20 s");
        }
        bench_rest(200000);
    }
}

void victims_start(struct victims *v, uint64_t keys) {
    memset(v, 0, sizeof(*v));
    v->w = bench_share(sizeof(*v->w));
    v->w->keys = keys;
    bench_domain_name(NULL, v->w->name);
    start(v, 0, true);
    await(v, v->workers[0], 0);
    start(v, VICTIMS_NODES, false);
}

void victims_end(struct victims *v) {
    for (uint32_t i = 0; i <= VICTIMS_NODES; i++) {
        bench_worker_end(v->workers[i]);
    }
    tide_unlink(v->w->name);
    bench_shared_unmap(v->w, sizeof(*v->w));
}

void victims_ready(struct victims *v) {
    for (uint32_t i = 0; i < VICTIMS_NODES; i++) {
        if (v->workers[i] == NULL) {
            start(v, i, false);
        }
        await(v, v->workers[i], 0);
    }
    await(v, NULL, atomic_load(&v->w->acks) + 3);
    bench_rest(CALM_NS);
}

struct tide *victims_attach(const struct victims *v) {
    return open_domain(v->w, 0);
}

static struct bench_worker **node_of(struct victims *v, int32_t pid) {
    for (uint32_t i = 0; i < VICTIMS_NODES; i++) {
        if (v->workers[i] != NULL && bench_worker_pid(v->workers[i]) == (pid_t)pid) {
            return &v->workers[i];
        }
    }
    return NULL;
}

void victims_kill(struct victims *v, int32_t pid) {
    if (pid <= 0 || node_of(v, pid) == NULL || kill((pid_t)pid, SIGKILL) != 0) {
        bench_fail("killing the leader: pid %d is none of the two processes, or is gone", (int)pid);
    }
}

void victims_bury(struct victims *v, int32_t pid) {
    struct bench_worker **node = node_of(v, pid);
    if (node != NULL) {
        bench_worker_end(*node);
        *node = NULL;
    }
}

uint64_t victims_acked_ns(const struct victims *v) {
    return atomic_load(&v->w->ack_ns);
}
