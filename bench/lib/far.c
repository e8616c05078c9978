/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/far.h"

#include <stdio.h>

#include "bench/lib/child.h"
#include "bench/lib/setup.h"
#include "bench/lib/worker.h"

enum { ORDER_LEAD = 1 };

struct bench_far {
    const struct bench_workload *workload;
    char name[TIDE_NAME_MAX];
    uint64_t table_bytes;
    struct bench_worker *leader;
    struct tide *domain; /* this process's handle */
};

/* In the leader's process. */
static int lead(struct bench_worker *w, void *ctx) {
    static const volatile sig_atomic_t never = 0;
    const struct bench_far *far = ctx;
    struct tide_token last;
    struct tide *d = NULL;
    bench_worker_order(w, 0);
    struct tide_opts opts = bench_setup_opts(0, far->workload->keys, 0, far->table_bytes);
    bench_worker_what(w, "leading");
    int rc = tide_open(&d, far->name, &opts);
    rc = rc != 0 ? rc : bench_setup_start(d, 0, -1);
    rc = rc != 0 ? rc : bench_setup_fill(d, far->workload, &never, &last);
    return rc != 0 ? rc : bench_worker_serve(w, ORDER_LEAD);
}

struct bench_far *bench_far_start(const struct bench_workload *w, const struct bench_machine *m, int32_t turn,
                                  const char *name) {
    struct bench_far *far = bench_shared_map(sizeof(*far));
    if (far == NULL) {
        return NULL;
    }
    far->workload = w;
    snprintf(far->name, sizeof(far->name), "%s", name);
    far->leader = bench_worker_start(true, m, turn, lead, far);
    if (far->leader == NULL) {
        bench_shared_unmap(far, sizeof(*far));
        return NULL;
    }
    return far;
}

int bench_far_open(struct bench_far *far, const struct bench_options *o, struct tide **out,
                   const volatile sig_atomic_t *stop, char *error) {
    far->table_bytes = bench_workload_table_bytes(o);
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, o->keys, 0, far->table_bytes);
    int rc = tide_open(&far->domain, far->name, &opts);
    if (rc != 0) {
        snprintf(error, BENCH_ERROR_BYTES, "%llu keys, creating the domain of another process: %s",
                 (unsigned long long)o->keys, tide_strerror(rc));
        return -1;
    }
    *out = far->domain;
    bench_worker_tell(far->leader, ORDER_LEAD);
    return bench_worker_await(far->leader, ORDER_LEAD, stop, error);
}

int bench_far_lives(struct bench_far *far, char *error) {
    return bench_worker_lives(far->leader, error);
}

void bench_far_end(struct bench_far *far) {
    if (far == NULL) {
        return;
    }
    bench_worker_end(far->leader); /* it is killed: what it leaves goes with the domain */
    bench_close(far->domain);
    bench_shared_unmap(far, sizeof(*far));
}
