/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tidemark from another process: the leader lives in a child, and this process reads the child's replica, a
 * validated copy each time. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

static int fork_child(struct peer_case *c, void **peer) {
    char name[TIDE_NAME_MAX];
    struct other *o = calloc(1, sizeof(*o));
    *peer = o;
    snprintf(name, sizeof(name), "peers-%ld-other", (long)getpid());
    o = o != NULL && (o->far = bench_far_start(c->workload, NULL, -1, name)) != NULL ? o : NULL;
    return o == NULL ? peer_failed(c, "no memory or no process") : 0;
}

static int fill(struct peer_case *c, void **peer) {
    struct other *o = *peer;
    struct tide *d = NULL;
    int rc = bench_far_open(o->far, c->options, &d, c->stop, c->error);
    int code = rc == 0 ? bench_setup_reader(d, 0, &o->reader) : 0;
    return code != 0 ? peer_failed(c, "opening a reader: %s", tide_strerror(code)) : rc;
}

static void end(void *peer) {
    struct other *o = peer;
    if (o != NULL) {
        bench_reader_close(o->reader);
        bench_far_end(o->far);
    }
    free(o);
}

static int open_reader(struct peer_reader *r, uint32_t turn) {
    r->own = turn == 0 ? ((struct other *)r->peer)->reader : NULL;
    return r->own != NULL ? 0 : -1;
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
