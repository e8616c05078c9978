/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/crew.h"
#include "bench/lib/setup.h"
#include "bench/lib/team.h"

struct stage {
    const struct bench_trial_setup *setup;
    struct tide *domain;
    struct bench_team *team;
    struct bench_crew *crew;
    uint64_t reading_ns; /* reading time so far */
    uint64_t control_ns;
    int lost; /* a member of the crew; `error` says which */
    char *error;
};

static int failed(struct stage *s, const char *what, int code) {
    return bench_setup_failed(s->error, s->setup->replicas, what, code);
}

static int open_domain(struct stage *s) {
    int rc = bench_setup_open(&s->domain, s->setup, 1);
    return rc != 0 ? failed(s, "creating the domain", rc) : 0;
}

/* Until all followers hold what was filled in. In steps, so that a process that dies meanwhile is noticed. */
static int await_followers(struct stage *s, const struct tide_token *last) {
    uint64_t until = bench_now_ns() + s->setup->options->apply_delay_ns + UINT64_C(30000000000);
    for (;;) {
        if (*s->setup->stop) {
            return 1;
        }
        int rc = tide_wait_applied(s->domain, last, s->setup->replicas, UINT64_C(100000000));
        if (rc == 0) {
            return 0;
        }
        if (bench_crew_look(s->crew) != 0) {
            return -1;
        }
        if (rc != TIDE_ERR_TIMEOUT || bench_now_ns() > until) {
            return failed(s, "waiting for the followers", rc);
        }
    }
}

static void keep_sample(struct bench_samples *samples, const struct bench_sample *one) {
    if (samples->n == samples->room) {
        size_t room = samples->room == 0 ? 1024 : samples->room * 2;
        struct bench_sample *grown = realloc(samples->items, room * sizeof(samples->items[0]));
        if (grown == NULL) {
            return; /* one picture gets a gap; no figure depends on it */
        }
        samples->items = grown;
        samples->room = room;
    }
    samples->items[samples->n++] = *one;
}

static void look_at_lag(struct stage *s) {
    const struct bench_trial_setup *setup = s->setup;
    struct bench_sample one = { .replicas = setup->replicas, .repetition = setup->repetition };
    for (uint32_t i = 1; i < setup->replicas; i++) {
        struct tide_replica_info info = { .size = sizeof(info) };
        if (tide_replica_info(s->domain, i, &info) != 0) {
            continue;
        }
        one.staleness_ns = info.staleness_ns > one.staleness_ns ? info.staleness_ns : one.staleness_ns;
        one.lag_entries = info.lag > one.lag_entries ? info.lag : one.lag_entries;
    }
    one.at_s = (double)(bench_now_ns() - setup->sweep_start_ns) / 1e9;
    if (setup->replicas > 1) {
        keep_sample(setup->samples, &one);
    }
}

/* Let the team do one thing for a while. Returns how long it did, ns of the domain's clock. */
static uint64_t slice(struct stage *s, uint32_t number, enum bench_phase_kind kind, uint64_t length_ns) {
    uint64_t start = tide_now(s->domain);
    bench_team_phase(s->team, number, kind, start - s->reading_ns);
    uint64_t look = start + BENCH_SAMPLE_EVERY_NS / 2;
    for (;;) {
        uint64_t now = tide_now(s->domain);
        if (now - start >= length_ns || *s->setup->stop || atomic_load(&s->team->error) != 0) {
            return now - start;
        }
        if (kind == BENCH_READ && now >= look) {
            look_at_lag(s);
            look += BENCH_SAMPLE_EVERY_NS;
        }
        if (bench_crew_look(s->crew) != 0) {
            s->lost = 1;
            return now - start;
        }
        uint64_t until = start + length_ns;
        until = kind == BENCH_READ && look < until ? look : until;
        bench_sleep_ns(until > now ? until - now : 1000);
    }
}

static int goes_on(const struct stage *s) {
    return !*s->setup->stop && !s->lost && atomic_load(&s->team->error) == 0;
}

/* Control, read, control, read, ..., control: each read slice has the control loop on both sides, so that the two meet
 * the same speed of the machine. */
static void alternate(struct stage *s, struct bench_trial *out) {
    uint64_t total_ns = s->setup->options->duration_ns;
    uint64_t slices = (total_ns + BENCH_READ_SLICE_NS - 1) / BENCH_READ_SLICE_NS;
    uint64_t read_ns = total_ns / slices;
    uint32_t number = 1;
    slice(s, number++, BENCH_WARM, BENCH_WARM_NS);
    out->start_s = (double)(bench_now_ns() - s->setup->sweep_start_ns) / 1e9;
    for (uint64_t i = 0; i < slices && goes_on(s); i++) {
        s->control_ns += slice(s, number++, BENCH_CONTROL, read_ns / 4);
        s->reading_ns += slice(s, number++, BENCH_READ, read_ns);
        out->slices++;
    }
    s->control_ns += slice(s, number++, BENCH_CONTROL, read_ns / 4);
    atomic_store(&s->team->end_ns, s->reading_ns);
}

static void collect_lags(struct stage *s, struct bench_trial *out) {
    for (uint32_t i = 0; i < s->setup->replicas; i++) {
        struct tide_replica_info info = { .size = sizeof(info) };
        if (tide_replica_info(s->domain, i, &info) != 0) {
            continue;
        }
        out->lags[out->lags_n++] = (struct bench_replica_lag){
            .id = info.id,
            .role = info.role,
            .state = info.state,
            .ns = { info.lag_all_p50_ns, info.lag_all_p99_ns, info.lag_all_p999_ns },
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
    for (uint32_t t = 0; t < s->team->count; t++) {
        const struct bench_reader *r = &s->team->readers[t];
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
    out->threads = s->team->count;
    out->writes = s->team->writer.writes;
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

static int stop_team(struct stage *s) {
    bench_team_phase(s->team, 0, BENCH_STOP, 0);
    return s->lost ? -1 : bench_crew_join(s->crew);
}

static int run_team(struct stage *s, struct bench_trial *out) {
    out->clock_ns = cost_of_clock(s->domain);
    int rc = bench_crew_read(s->crew);
    s->lost |= rc < 0;
    if (rc == 0 && goes_on(s)) {
        alternate(s, out);
    }
    int ended = stop_team(s);
    rc = rc != 0 ? rc : ended;
    int code = atomic_load(&s->team->error);
    if (rc >= 0 && code != 0) {
        /* A process that died makes the others' calls fail: report its death, not their errors. */
        return bench_crew_blame(s->crew) != 0 ? -1 : failed(s, "reading and writing", code);
    }
    if (rc != 0 || *s->setup->stop) {
        return rc != 0 ? rc : 1;
    }
    collect_lags(s, out);
    return collect_readers(s, out);
}

static int run_stage(struct stage *s, struct bench_trial *out) {
    const struct bench_trial_setup *setup = s->setup;
    struct tide_token last = { 0, 0 };
    s->crew = bench_crew_start(setup, s->team, s->error);
    if (s->crew == NULL) {
        return -1;
    }
    /* The followers start when the leader is filled, so that their lag figures hold the measurement alone. */
    int rc = open_domain(s);
    rc = rc != 0 ? rc : bench_crew_lead(s->crew, s->domain, &last);
    rc = rc != 0 ? rc : bench_crew_follow(s->crew);
    rc = rc != 0 ? rc : await_followers(s, &last);
    return rc != 0 ? rc : run_team(s, out);
}

int bench_trial_run(const struct bench_trial_setup *setup, struct bench_trial *out, char *error) {
    uint32_t threads = setup->replicas * setup->options->readers;
    struct stage s = { .setup = setup, .error = error };
    memset(out, 0, sizeof(*out));
    out->replicas = setup->replicas;
    if (bench_workload_prepare(setup->workload, threads) == 0) {
        s.team = bench_team_create(setup->options, setup->workload, setup->machine, threads);
    }
    if (s.team == NULL) {
        snprintf(error, BENCH_ERROR_BYTES, "no memory for the key sequences; give fewer --keys or --readers");
        return -1;
    }
    int rc = run_stage(&s, out);
    if (bench_crew_end(s.crew, rc != 0) != 0) {
        rc = -1;
    }
    if (s.domain != NULL) {
        tide_close(s.domain); /* also removes the segments, those of processes that were killed among them */
    }
    bench_team_destroy(s.team);
    if (rc != 0) {
        bench_trial_destroy(out);
    }
    return rc;
}

void bench_trial_destroy(struct bench_trial *t) {
    hdr_free(t->latency);
    t->latency = NULL;
}
