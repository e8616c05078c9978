/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/setup.h"

#include <stdio.h>
#include <stdlib.h>

int bench_setup_failed(char *error, uint32_t replicas, const char *what, int code) {
    const char *hint = "";
    if (code == TIDE_ERR_NO_SPACE) {
        hint = " (--table, --ring)";
    } else if (code == TIDE_ERR_FULL) {
        hint = "; give a larger --table";
    } else if (code == TIDE_ERR_EXISTS) {
        hint = "; give another --name";
    } else if (code == TIDE_ERR_TOO_BIG) {
        hint = "; give a larger --ring or a smaller --value-size";
    }
    snprintf(error, BENCH_ERROR_BYTES, "%u replicas, %s: %s%s", replicas, what, tide_strerror(code), hint);
    return -1;
}

int bench_setup_open(struct tide **out, const struct bench_trial_setup *setup, int create) {
    const struct bench_options *o = setup->options;
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = create ? TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL : 0;
    opts.ring_bytes = create ? o->ring_bytes : 0;
    opts.table_bytes = bench_workload_table_bytes(o);
    opts.expected_keys = o->keys;
    return tide_open(out, setup->domain_name, &opts);
}

int bench_setup_replica(struct tide *d, const struct bench_options *o, uint32_t id) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    opts.id = (int32_t)id;
    opts.role = id == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.apply_delay_ns = id == 0 ? 0 : o->apply_delay_ns;
    return tide_replica_start(d, &opts, NULL);
}

const char *bench_setup_replica_text(uint32_t id) {
    return id == 0 ? "starting the leader" : "starting a follower";
}

int bench_setup_fill(struct tide *d, const struct bench_workload *w, const volatile sig_atomic_t *stop,
                     struct tide_token *last) {
    uint8_t *value = malloc(w->value_size + 8);
    int rc = value == NULL ? TIDE_ERR_NOMEM : 0;
    for (uint64_t i = 0; i < w->keys && rc == 0 && !*stop; i++) {
        bench_workload_value(w, i, 0, value);
        rc = tide_put(d, NULL, bench_workload_key(w, i), w->key_size, value, w->value_size, last);
    }
    free(value);
    return rc;
}
