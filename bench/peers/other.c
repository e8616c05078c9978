/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tidemark from another process: the leader lives in a child, and this process reads the child's replica, a
 * validated copy each time. */
#include <stdlib.h>

#include "bench/lib/far.h"
#include "bench/lib/setup.h"
#include "bench/peers/loop.h"

struct other {
    struct bench_far *far;
    struct tide_reader *reader;
};

static uint64_t run_get(struct peer_reader *r, uint64_t from, uint64_t n) {
    return peer_tide.gets[0].run(r, from, n);
}

static int get_one(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    return peer_tide.get(r, key, out);
}

static uint64_t table_bytes(const struct peer_case *c) {
    return bench_workload_table_bytes(c->options);
}

static bool fork_child(struct peer_case *c, void **peer) {
    struct other *o = bench_alloc(1, sizeof(*o));
    o->far = bench_far_start(c->workload, -1, "other");
    *peer = o;
    return true;
}

static void fill(struct peer_case *c, void **peer) {
    struct other *o = *peer;
    bench_must(bench_setup_reader(bench_far_open(o->far, c->options), 0, &o->reader), "opening a reader");
}

static void end(void *peer) {
    struct other *o = peer;
    tide_reader_close(o->reader);
    bench_far_end(o->far);
    free(o);
}

/* There is one, for one thread. */
static void open_reader(struct peer_reader *r, uint32_t turn) {
    (void)turn;
    r->own = ((struct other *)r->peer)->reader;
}

static void close_reader(struct peer_reader *r) {
    r->own = NULL; /* end() closes it */
}

const struct peer peer_other = {
    .name = "other",
    .gets = { { "tide_other", "tide_get from another process", run_get, PEER_CHUNK } },
    .by_user = true,
    .fork = fork_child,
    PEER_FUNCTIONS,
};
