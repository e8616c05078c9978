/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/visit.h"

#define WAIT_NS (5ull * 1000000000)

/* Is there a replica in this state, other than `own`? */
static int visit_has_state(struct tide *d, enum tide_state state, uint32_t own) {
    int found = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS && !found; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        found = i != own && tide_replica_info(d, i, &info) == 0 && info.state == state;
    }
    return found;
}

int visit_serves(struct tide *d, uint64_t replicas) {
    int serves = 0;
    for (uint32_t i = 0; i < TIDE_REPLICAS && !serves; i++) {
        struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
        serves = (replicas >> i & 1) != 0 && tide_replica_info(d, i, &info) == 0 && info.state == TIDE_STATE_SERVING;
    }
    return serves;
}

int visit_would_help(struct tide *d, int error) {
    return (error == TIDE_ERR_NO_REPLICA || error == TIDE_ERR_NO_LEADER) &&
           !visit_has_state(d, TIDE_STATE_SERVING, TIDE_REPLICAS) &&
           visit_has_state(d, TIDE_STATE_ORPHAN, TIDE_REPLICAS);
}

int visit_begin(struct tide *d, struct visit *v, struct tide_bound *bound) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    int rc = tide_info(d, &info);
    opts.label = "visit";
    rc = rc == 0 ? tide_replica_start(d, &opts, &v->id) : rc;
    v->commit_index = info.commit_index;
    if (bound->fallback == TIDE_FALLBACK_LEADER) {
        bound->fallback = TIDE_FALLBACK_WAIT;
        bound->wait_ns = WAIT_NS;
    }
    return rc;
}

void visit_end(struct tide *d, const struct visit *v) {
    struct tide_info info = TIDE_INFO_INIT;
    int same = tide_info(d, &info) == 0 && info.commit_index == v->commit_index;
    if (visit_has_state(d, TIDE_STATE_SERVING, v->id) || (same && visit_has_state(d, TIDE_STATE_ORPHAN, v->id))) {
        tide_replica_stop(d, v->id);
    }
}
