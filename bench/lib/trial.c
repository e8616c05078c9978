/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/team.h"

struct stage {
    const struct bench_trial_setup *setup;
    struct tide *domain;
    struct bench_team team;
    uint32_t ids[TIDE_REPLICAS];
    uint32_t ids_n;
    uint64_t reading_ns; /* reading time so far */
    uint64_t control_ns;
    char *error;
};

static int failed(struct stage *s, const char *what, int code) {
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
    snprintf(s->error, BENCH_ERROR_BYTES, "%u replicas, %s: %s%s", s->setup->replicas, what, tide_strerror(code), hint);
    return -1;
}

static int start_replica(struct stage *s, enum tide_role role) {
    struct tide_replica_opts opts = TIDE_REPLICA_OPTS_INIT;
    opts.role = role;
    opts.apply_delay_ns = role == TIDE_FOLLOWER ? s->setup->options->apply_delay_ns : 0;
    int rc = tide_replica_start(s->domain, &opts, &s->ids[s->ids_n]);
    if (rc != 0) {
        return failed(s, role == TIDE_LEADER ? "starting the leader" : "starting a follower", rc);
    }
    s->ids_n++;
    return 0;
}

static int open_domain(struct stage *s) {
    const struct bench_options *o = s->setup->options;
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    opts.ring_bytes = o->ring_bytes;
    opts.table_bytes = bench_workload_table_bytes(o);
    opts.expected_keys = o->keys;
    int rc = tide_open(&s->domain, s->setup->domain_name, &opts);
    if (rc != 0) {
        return failed(s, "creating the domain", rc);
    }
    return start_replica(s, TIDE_LEADER);
}

/* Put every key once. The followers start afterwards, so that their lag figures hold the measurement alone. */
static int fill(struct stage *s, struct tide_token *last) {
    const struct bench_workload *w = s->setup->workload;
    uint8_t *value = malloc(w->value_size + 8);
    if (value == NULL) {
        return failed(s, "filling", TIDE_ERR_NOMEM);
    }
    int rc = 0;
    for (uint64_t i = 0; i < w->keys && rc == 0 && !*s->setup->stop; i++) {
        bench_workload_value(w, i, 0, value);
        rc = tide_put(s->domain, NULL, bench_workload_key(w, i), w->key_size, value, w->value_size, last);
    }
    free(value);
    return rc != 0 ? failed(s, "filling", rc) : 0;
}

static int start_followers(struct stage *s, const struct tide_token *last) {
    while (s->ids_n < s->setup->replicas) {
        if (*s->setup->stop) {
            return 1;
        }
        if (start_replica(s, TIDE_FOLLOWER) != 0) {
            return -1;
        }
    }
    if (*s->setup->stop) {
        return 1;
    }
    uint64_t patience_ns = s->setup->options->apply_delay_ns + UINT64_C(30000000000);
    int rc = tide_wait_applied(s->domain, last, s->setup->replicas, patience_ns);
    return rc != 0 ? failed(s, "waiting for the followers", rc) : 0;
}

static void keep_sample(struct bench_samples *samples, const struct bench_sample *one) {
    if (samples->n == samples->room) {
        size_t room = samples->room == 0 ? 1024 : samples->room * 2;
        struct bench_sample *grown = realloc(samples->items, room * sizeof(samples->items[0]));
        if (grown == NULL) {
            return; /* one picture has a gap; the figures do not depend on it */
        }
        samples->items = grown;
        samples->room = room;
    }
    samples->items[samples->n++] = *one;
}

static void look_at_lag(struct stage *s) {
    const struct bench_trial_setup *setup = s->setup;
    struct bench_sample one = { .replicas = setup->replicas, .repetition = setup->repetition };
    for (uint32_t i = 1; i < s->ids_n; i++) {
        struct tide_replica_info info = { .size = sizeof(info) };
        if (tide_replica_info(s->domain, s->ids[i], &info) != 0) {
            continue;
        }
        one.staleness_ns = info.staleness_ns > one.staleness_ns ? info.staleness_ns : one.staleness_ns;
        one.lag_entries = info.lag > one.lag_entries ? info.lag : one.lag_entries;
    }
    one.at_s = (double)(bench_now_ns() - setup->sweep_start_ns) / 1e9;
    if (s->ids_n > 1) {
        keep_sample(setup->samples, &one);
    }
}

/* Let the team do one thing for a while. Returns how long it did, ns of the domain's clock. */
static uint64_t slice(struct stage *s, uint32_t number, enum bench_phase_kind kind, uint64_t length_ns) {
    uint64_t start = tide_now(s->domain);
    bench_team_phase(&s->team, number, kind, start - s->reading_ns);
    uint64_t look = start + BENCH_SAMPLE_EVERY_NS / 2;
    for (;;) {
        uint64_t now = tide_now(s->domain);
        if (now - start >= length_ns || *s->setup->stop || atomic_load(&s->team.error) != 0) {
            return now - start;
        }
        if (kind == BENCH_READ && now >= look) {
            look_at_lag(s);
            look += BENCH_SAMPLE_EVERY_NS;
        }
        uint64_t until = start + length_ns;
        until = kind == BENCH_READ && look < until ? look : until;
        bench_sleep_ns(until > now ? until - now : 1000);
    }
}

/* Control, read, control, read, ..., control: each read slice has the control loop on both sides, so that the two meet
 * the same weather. */
static void alternate(struct stage *s, struct bench_trial *out) {
    uint64_t total_ns = s->setup->options->duration_ns;
    uint64_t slices = (total_ns + BENCH_READ_SLICE_NS - 1) / BENCH_READ_SLICE_NS;
    uint64_t read_ns = total_ns / slices;
    uint32_t number = 1;
    slice(s, number++, BENCH_WARM, BENCH_WARM_NS);
    out->start_s = (double)(bench_now_ns() - s->setup->sweep_start_ns) / 1e9;
    for (uint64_t i = 0; i < slices && !*s->setup->stop && atomic_load(&s->team.error) == 0; i++) {
        s->control_ns += slice(s, number++, BENCH_CONTROL, read_ns / 4);
        s->reading_ns += slice(s, number++, BENCH_READ, read_ns);
        out->slices++;
    }
    s->control_ns += slice(s, number++, BENCH_CONTROL, read_ns / 4);
    atomic_store(&s->team.end_ns, s->reading_ns);
}

static void collect_lags(struct stage *s, struct bench_trial *out) {
    for (uint32_t i = 0; i < s->ids_n; i++) {
        struct tide_replica_info info = { .size = sizeof(info) };
        if (tide_replica_info(s->domain, s->ids[i], &info) != 0) {
            continue;
        }
        out->lags[out->lags_n++] = (struct bench_replica_lag){
            .id = info.id,
            .role = info.role,
            .state = info.state,
            .p50_ns = info.lag_all_p50_ns,
            .p99_ns = info.lag_all_p99_ns,
            .p999_ns = info.lag_all_p999_ns,
            .max_ns = info.lag_all_max_ns,
            .count = info.lag_count,
            .lapped = info.lapped,
        };
    }
}

static int collect_readers(struct stage *s, struct bench_trial *out) {
    out->latency = hdr_new(1, BENCH_LATENCY_HIGHEST_NS, BENCH_LATENCY_DIGITS);
    if (out->latency == NULL) {
        return failed(s, "adding up", TIDE_ERR_NOMEM);
    }
    for (uint32_t t = 0; t < s->team.count; t++) {
        const struct bench_reader *r = &s->team.readers[t];
        out->reads += r->reads;
        out->refused += r->refused;
        out->overdue += r->overdue;
        out->control_ops += r->control_ops;
        out->pinned += (uint32_t)r->pinned;
        hdr_add(out->latency, r->latency);
        for (unsigned i = 0; i < TIDE_REASONS; i++) {
            out->reasons[i] += r->reasons[i];
        }
    }
    out->threads = s->team.count;
    out->writes = s->team.writer.writes;
    out->read_s = (double)s->reading_ns / 1e9;
    out->control_s = (double)s->control_ns / 1e9;
    return 0;
}

static double cost_of_clock(struct tide *d) {
    enum { LOOKS = 10000 };
    uint64_t start = tide_now(d);
    for (int i = 0; i < LOOKS; i++) {
        tide_now(d);
    }
    return (double)(tide_now(d) - start) / LOOKS;
}

static int run_team(struct stage *s, struct bench_trial *out) {
    const struct bench_options *o = s->setup->options;
    s->team.options = o;
    s->team.workload = s->setup->workload;
    s->team.machine = s->setup->machine;
    s->team.domain = s->domain;
    s->team.count = s->setup->replicas * o->readers;
    s->team.bound = (struct tide_bound){ .size = sizeof(s->team.bound),
                                         .fallback = o->fallback,
                                         .max_staleness_ns = o->max_staleness_ns,
                                         .max_lag = o->max_lag,
                                         .wait_ns = o->wait_ns };
    out->clock_ns = cost_of_clock(s->domain);
    int rc = bench_team_start(&s->team, s->ids, s->ids_n);
    if (rc == 0) {
        alternate(s, out);
    }
    int ended = bench_team_stop(&s->team);
    rc = rc != 0 ? rc : ended;
    if (rc != 0) {
        rc = failed(s, "reading and writing", rc);
    } else if (*s->setup->stop) {
        rc = 1;
    } else {
        collect_lags(s, out);
        rc = collect_readers(s, out);
    }
    bench_team_destroy(&s->team);
    return rc;
}

int bench_trial_run(const struct bench_trial_setup *setup, struct bench_trial *out, char *error) {
    struct stage *s = aligned_alloc(128, sizeof(*s));
    if (s == NULL || bench_workload_prepare(setup->workload, setup->replicas * setup->options->readers) != 0) {
        snprintf(error, BENCH_ERROR_BYTES, "no memory for the key sequences; give fewer --keys or --readers");
        free(s);
        return -1;
    }
    memset(s, 0, sizeof(*s));
    memset(out, 0, sizeof(*out));
    out->replicas = setup->replicas;
    s->setup = setup;
    s->error = error;
    struct tide_token last = { 0, 0 };
    int rc = open_domain(s);
    rc = rc != 0 ? rc : fill(s, &last);
    rc = rc != 0 ? rc : start_followers(s, &last);
    if (rc == 0) {
        rc = *setup->stop ? 1 : run_team(s, out);
    }
    if (s->domain != NULL) {
        tide_close(s->domain);
    }
    free(s);
    if (rc != 0) {
        bench_trial_destroy(out);
    }
    return rc;
}

void bench_trial_destroy(struct bench_trial *t) {
    hdr_free(t->latency);
    t->latency = NULL;
}
