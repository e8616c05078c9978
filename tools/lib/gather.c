/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/gather.h"

#include <string.h>
#include <unistd.h>

#define TRIES 4
#define JOINED_WAIT_NS (5ull * 1000000000)

struct scan {
    const struct gather *gather;
    struct records *out;
};

static int take(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    const struct scan *scan = ctx;
    const struct gather *g = scan->gather;
    if (g->prefix_size > 0 && (key_len < g->prefix_size || memcmp(key, g->prefix, g->prefix_size) != 0))
        return 0;
    return records_add(scan->out, key, key_len, value, g->keys_only ? 0 : value_size, version) == 0 ? 0
                                                                                                    : TIDE_ERR_NOMEM;
}

static int scan_once(struct tide *d, const struct gather *g, const struct tide_bound *bound, uint64_t replicas,
                     struct records *out, struct tide_answer *a) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    struct tide_reader *reader;
    struct scan scan = { g, out };
    opts.policy = TIDE_FRESHEST;
    opts.replicas = replicas;
    records_clear(out);
    int rc = tide_reader_open(d, &opts, &reader);
    if (rc != 0)
        return rc;
    rc = tide_section_begin(reader, bound, a);
    if (rc == 0) {
        rc = tide_section_scan(reader, take, &scan);
        tide_section_end(reader);
    }
    tide_reader_close(reader);
    return rc;
}

static int has_orphan(struct tide *d) {
    int found = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS && !found; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        found = tide_replica_info(d, i, &info) == 0 && info.state == TIDE_STATE_ORPHAN;
    }
    return found;
}

static int others_serve(struct tide *d, uint32_t own) {
    int found = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS && !found; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        found = i != own && tide_replica_info(d, i, &info) == 0 && info.state == TIDE_STATE_SERVING;
    }
    return found;
}

/* A copy of our own goes when it is not needed. When everybody else died meanwhile it may be the only one: then it
 * stays for whoever comes next, which tide_close() sees to. */
static void leave(struct tide *d, uint32_t id, uint64_t commit_before) {
    struct tide_info info = TIDE_INFO_INIT;
    int same = tide_info(d, &info) == 0 && info.commit_index == commit_before;
    if (others_serve(d, id) || (same && has_orphan(d)))
        tide_replica_stop(d, id);
}

static int scan_joined(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_bound bound = g->bound;
    uint32_t id;
    int rc = tide_info(d, &info);
    opts.label = "scan";
    rc = rc == 0 ? tide_replica_start(d, &opts, &id) : rc;
    if (rc != 0)
        return rc;
    g->joined = 1;
    if (bound.fallback == TIDE_FALLBACK_LEADER) { /* that would be another process's again */
        bound.fallback = TIDE_FALLBACK_WAIT;
        bound.wait_ns = JOINED_WAIT_NS;
    }
    rc = scan_once(d, g, &bound, 1ull << id, out, a);
    leave(d, id, info.commit_index);
    return rc;
}

int gather_scan(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a) {
    int rc = TIDE_ERR_LOST;
    g->joined = 0;
    for (int tries = 0; rc == TIDE_ERR_LOST && tries < TRIES; tries++)
        rc = scan_once(d, g, &g->bound, g->replicas, out, a);
    int alone =
        (rc == TIDE_ERR_NO_REPLICA || rc == TIDE_ERR_NO_LEADER) && !others_serve(d, TIDE_REPLICAS) && has_orphan(d);
    if ((rc == TIDE_ERR_LOST || alone) && g->replicas == 0)
        rc = scan_joined(d, g, out, a);
    if (rc == 0)
        records_sort(out);
    return rc;
}
