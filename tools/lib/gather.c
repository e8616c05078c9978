/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/gather.h"

#include <string.h>

#include "tools/lib/visit.h"
#include "tools/lib/wall.h"

#define TRIES 4

struct scan {
    const struct gather *gather;
    struct records *out;
    size_t *damaged;
    uint64_t
        begun_unix_ns; /* before the section: so a life by the wall clock is never longer than what is left of it */
};

static int gather_take(void *ctx, const struct tide_entry *e) {
    const struct scan *scan = ctx;
    const struct gather *g = scan->gather;
    if (g->prefix_size > 0 && (e->key_len < g->prefix_size || memcmp(e->key, g->prefix, g->prefix_size) != 0)) {
        return 0;
    }
    if (records_add(scan->out, e->key, e->key_len, e->value, g->keys_only ? 0 : e->value_size, e->version) != 0) {
        return TIDE_ERR_NOMEM;
    }
    struct record *x = &scan->out->list[scan->out->n - 1];
    x->flags = e->flags;
    x->ttl_ns = e->ttl_ns;
    *scan->damaged += (e->flags & TIDE_DAMAGED) != 0;
    if (e->ttl_ns != TIDE_TTL_NONE && __builtin_add_overflow(scan->begun_unix_ns, e->ttl_ns, &x->expires_unix_ns)) {
        x->expires_unix_ns = 0;
    }
    return 0;
}

static int gather_scan_once(struct tide *d, struct gather *g, const struct tide_bound *bound, uint64_t replicas,
                            struct records *out, struct tide_answer *a) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    struct tide_reader *reader;
    struct scan scan = { g, out, &g->damaged, 0 };
    g->damaged = 0;
    opts.policy = TIDE_FRESHEST;
    opts.replicas = replicas;
    records_clear(out);
    int rc = tide_reader_open(d, &opts, &reader);
    if (rc != 0) {
        return rc;
    }
    scan.begun_unix_ns = wall_unix_ns();
    rc = tide_section_begin(reader, bound, a);
    if (rc == 0) {
        rc = tide_section_visit(reader, gather_take, &scan);
        tide_section_end(reader);
    }
    tide_reader_close(reader);
    return rc;
}

static int gather_scan_joined(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a) {
    struct tide_bound bound = g->bound;
    struct visit visit;
    int rc = visit_begin(d, &visit, &bound);
    if (rc != 0) {
        return rc;
    }
    g->joined = 1;
    rc = gather_scan_once(d, g, &bound, 1ull << visit.id, out, a);
    visit_end(d, &visit);
    return rc;
}

static int gather_scan_some(struct tide *d, struct gather *g, uint64_t replicas, struct records *out,
                            struct tide_answer *a) {
    int rc = TIDE_ERR_LOST;
    for (int tries = 0; rc == TIDE_ERR_LOST && tries < TRIES; tries++) {
        rc = gather_scan_once(d, g, &g->bound, replicas, out, a);
    }
    return rc;
}

/* As long as what was read has damage, from another replica; at last, what there is. */
static int gather_scan_whole(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a) {
    uint64_t asked = g->replicas != 0 ? g->replicas : UINT64_MAX, left = asked;
    int rc = gather_scan_some(d, g, g->replicas, out, a);
    while (rc == 0 && g->damaged != 0) {
        left &= ~(1ull << a->served_by);
        if (!visit_serves(d, left)) {
            break;
        }
        rc = gather_scan_some(d, g, left, out, a);
    }
    return rc != 0 && left != asked ? gather_scan_some(d, g, g->replicas, out, a) : rc;
}

int gather_scan(struct tide *d, struct gather *g, struct records *out, struct tide_answer *a) {
    g->joined = 0;
    int rc = gather_scan_whole(d, g, out, a);
    if ((rc == TIDE_ERR_LOST || visit_would_help(d, rc)) && g->replicas == 0) {
        rc = gather_scan_joined(d, g, out, a);
    }
    if (rc == 0) {
        records_sort(out);
    }
    return rc;
}
