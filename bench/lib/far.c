/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/far.h"

#include <stdio.h>

#include "bench/lib/child.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"

enum { ORDER_LEAD = 1 };

struct bench_far {
    const struct bench_workload *workload;
    char which[TIDE_NAME_MAX], name[TIDE_NAME_MAX];
    uint64_t table_bytes;
    struct bench_worker *leader;
    struct tide *domain; /* this process's handle */
};

/* In the leader's process. */
static int lead(struct bench_worker *w, void *ctx) {
    const struct bench_far *far = ctx;
    struct tide_token last;
    struct tide *d;
    bench_worker_order(w, 0);
    struct tide_opts opts = bench_setup_opts(0, far->workload->keys, 0, far->table_bytes);
    bench_must(tide_open(&d, far->name, &opts), "opening the domain");
    bench_must(bench_setup_start(d, 0, -1), "leading");
    bench_must(bench_setup_fill(d, far->workload, &bench_stop, &last), "filling");
    return bench_worker_serve(w, ORDER_LEAD);
}

struct bench_far *bench_far_start(const struct bench_workload *w, int32_t turn, const char *which) {
    struct bench_far *far = bench_share(sizeof(*far));
    far->workload = w;
    snprintf(far->which, sizeof(far->which), "%s", which);
    bench_domain_name(which, far->name);
    far->leader = bench_start(true, turn, lead, far);
    return far;
}

struct tide *bench_far_open(struct bench_far *far, const struct bench_options *o) {
    far->table_bytes = bench_workload_table_bytes(o);
    struct tide_opts opts = bench_setup_opts(BENCH_SETUP_OWN, o->keys, 0, far->table_bytes);
    far->domain = bench_domain(far->which, &opts, BENCH_UNLED);
    bench_worker_tell(far->leader, ORDER_LEAD);
    bench_await(far->leader, ORDER_LEAD);
    return far->domain;
}

void bench_far_must_live(struct bench_far *far) {
    char error[BENCH_ERROR_BYTES];
    if (!bench_worker_lives(far->leader, error)) {
        bench_fail("%s", error);
    }
}

void bench_far_end(struct bench_far *far) {
    bench_worker_end(far->leader); /* it is killed: what it leaves goes with the domain */
    tide_close(far->domain);
    bench_shared_unmap(far, sizeof(*far));
}
