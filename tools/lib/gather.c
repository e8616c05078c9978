/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/gather.h"

#include <string.h>

#include "tools/lib/visit.h"

#define TRIES 4

struct scan {
    const struct gather *gather;
    struct records *out;
};

static int take(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    const struct scan *scan = ctx;
    const struct gather *g = scan->gather;
    if (g->prefix_size > 0 && (key_len < g->prefix_size || memcmp(key, g->prefix, g->prefix_size) != 0)) {
        return 0;
    }
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
    if (rc != 0) {
        return rc;
    }
    rc = tide_section_begin(reader, bound, a);
    if (rc == 0) {
        rc = tide_section_scan(reader, take, &scan);
        tide_section_end(reader);
    }
    tide_reader_close(reader);
    return rc;
}

static int scan_joined(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a) {
    struct tide_bound bound = g->bound;
    struct visit visit;
    int rc = visit_begin(d, &visit, &bound);
    if (rc != 0) {
        return rc;
    }
    g->joined = 1;
    rc = scan_once(d, g, &bound, 1ull << visit.id, out, a);
    visit_end(d, &visit);
    return rc;
}

int gather_scan(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a) {
    int rc = TIDE_ERR_LOST;
    g->joined = 0;
    for (int tries = 0; rc == TIDE_ERR_LOST && tries < TRIES; tries++) {
        rc = scan_once(d, g, &g->bound, g->replicas, out, a);
    }
    if ((rc == TIDE_ERR_LOST || visit_would_help(d, rc)) && g->replicas == 0) {
        rc = scan_joined(d, g, out, a);
    }
    if (rc == 0) {
        records_sort(out);
    }
    return rc;
}
