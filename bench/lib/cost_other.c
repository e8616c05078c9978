/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/cost_other.h"

#include <stdio.h>

#include "bench/lib/child.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"

enum { ORDER_LEAD = 1 };

struct bench_cost_other {
    const struct bench_workload *workload;
    char name[TIDE_NAME_MAX];
    struct tide_opts opts;
    struct bench_worker *leader;
    struct tide *domain; /* of the parent */
    struct tide_reader *reader;
};

/* In the child. */
static int lead(struct bench_worker *w, void *ctx) {
    static const volatile sig_atomic_t never = 0;
    const struct bench_cost_other *other = ctx;
    struct tide_replica_opts leader = TIDE_REPLICA_OPTS_INIT;
    struct tide_token last;
    struct tide *d = NULL;
    uint32_t order = bench_worker_order(w, 0);
    struct tide_opts opts = other->opts;
    opts.flags = 0;
    leader.role = TIDE_LEADER;
    leader.id = 0;
    bench_worker_what(w, "leading");
    int rc = tide_open(&d, other->name, &opts);
    rc = rc != 0 ? rc : tide_replica_start(d, &leader, NULL);
    rc = rc != 0 ? rc : bench_setup_fill(d, other->workload, &never, &last);
    if (rc == 0) {
        bench_worker_done(w, ORDER_LEAD);
        bench_worker_order(w, order); /* the parent kills it */
    }
    return rc;
}

struct bench_cost_other *bench_cost_other_start(const struct bench_workload *w, const char *name) {
    struct bench_cost_other *other = bench_shared_map(sizeof(*other));
    if (other == NULL) {
        return NULL;
    }
    other->workload = w;
    snprintf(other->name, sizeof(other->name), "%s", name);
    other->leader = bench_worker_start(true, NULL, -1, lead, other);
    if (other->leader == NULL) {
        bench_shared_unmap(other, sizeof(*other));
        return NULL;
    }
    return other;
}

int bench_cost_other_lives(struct bench_cost_other *other, char *error) {
    return bench_worker_lives(other->leader, error);
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
    bench_worker_tell(other->leader, ORDER_LEAD);
    rc = bench_worker_await(other->leader, ORDER_LEAD, stop, error);
    if (rc != 0) {
        return rc;
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
    bench_worker_end(other->leader); /* it is killed: whatever it leaves goes with the domain */
    if (other->domain != NULL) {
        tide_close(other->domain);
    }
    bench_shared_unmap(other, sizeof(*other));
}
