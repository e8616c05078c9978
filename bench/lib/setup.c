/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/setup.h"

#include <stdio.h>
#include <stdlib.h>

const struct tide_bound bench_setup_any = { .size = sizeof(bench_setup_any),
                                            .fallback = TIDE_FALLBACK_ERROR,
                                            .max_staleness_ns = TIDE_UNBOUNDED,
                                            .max_lag = TIDE_UNBOUNDED };

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

struct tide_opts bench_setup_opts(uint32_t flags, uint64_t keys, uint64_t ring_bytes, uint64_t table_bytes) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = flags;
    opts.expected_keys = keys;
    opts.ring_bytes = ring_bytes;
    opts.table_bytes = table_bytes;
    return opts;
}

static int start(struct tide *d, uint32_t id, int32_t cpu, uint64_t delay_ns) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    opts.id = (int32_t)id;
    opts.role = id == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
    opts.cpu = cpu;
    opts.apply_delay_ns = id == 0 ? 0 : delay_ns;
    return tide_replica_start(d, &opts, NULL);
}

int bench_setup_start(struct tide *d, uint32_t id, int32_t cpu) {
    return start(d, id, cpu, 0);
}

int bench_setup_reader(struct tide *d, uint32_t id, struct tide_reader **out) {
    struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
    opts.home = (int32_t)id;
    opts.replicas = UINT64_C(1) << id;
    return tide_reader_open(d, &opts, out);
}

int bench_setup_open(struct tide **out, const struct bench_trial_setup *setup, int create) {
    const struct bench_options *o = setup->options;
    struct tide_opts opts = bench_setup_opts(create ? BENCH_SETUP_OWN : 0, o->keys, create ? o->ring_bytes : 0,
                                             bench_workload_table_bytes(o));
    return tide_open(out, setup->domain_name, &opts);
}

int bench_setup_replica(struct tide *d, const struct bench_options *o, uint32_t id) {
    return start(d, id, -1, o->apply_delay_ns);
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

int bench_setup_fill_numbers(struct tide *d, uint64_t n) {
    uint8_t value[64] = { 0 };
    int rc = 0;
    for (uint64_t i = 0; i < n && rc == 0; i++) {
        uint64_t key[2] = { i, 0 };
        rc = tide_put(d, NULL, key, sizeof(key), value, sizeof(value), NULL);
    }
    return rc;
}
