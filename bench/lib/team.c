/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/team.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/child.h"
#include "shm/park.h"

void bench_team_phase(struct bench_team *team, uint32_t slice, enum bench_phase_kind kind, uint64_t slice_base_ns) {
    atomic_store(&team->slice_base_ns, slice_base_ns);
    atomic_store(&team->phase, BENCH_PHASE(slice, kind));
    park_wake(&team->phase, INT_MAX); /* the writer alone sleeps on it */
}

static size_t rounded(size_t size) {
    return (size + 127) & ~(size_t)127;
}

/* Readers first, then their histograms. */
static int make_readers(struct bench_team *team) {
    size_t hdr_bytes = rounded(hdr_size_bytes(1, BENCH_LATENCY_HIGHEST_NS, BENCH_LATENCY_DIGITS));
    size_t readers_bytes = rounded(team->count * sizeof(team->readers[0]));
    team->room_bytes = readers_bytes + team->count * hdr_bytes;
    team->readers = bench_shared_map(team->room_bytes);
    if (team->readers == NULL) {
        return -1;
    }
    for (uint32_t t = 0; t < team->count; t++) {
        struct bench_reader *r = &team->readers[t];
        r->team = team;
        r->turn = t;
        r->sequence = team->workload->sequences[t];
        r->latency = (struct hdr *)((char *)team->readers + readers_bytes + t * hdr_bytes);
        if (hdr_init(r->latency, 1, BENCH_LATENCY_HIGHEST_NS, BENCH_LATENCY_DIGITS) != 0) {
            return -1;
        }
    }
    return 0;
}

struct bench_team *bench_team_create(const struct bench_options *options, const struct bench_workload *workload,
                                     const struct bench_machine *machine, uint32_t count) {
    struct bench_team *team = bench_shared_map(sizeof(*team));
    if (team == NULL) {
        return NULL;
    }
    team->options = options;
    team->workload = workload;
    team->machine = machine;
    team->count = count;
    team->workers = count + (options->write_rate != 0.0);
    team->bound = (struct tide_bound){ .size = sizeof(team->bound),
                                       .fallback = options->fallback,
                                       .max_staleness_ns = options->max_staleness_ns,
                                       .max_lag = options->max_lag,
                                       .wait_ns = options->wait_ns };
    atomic_store(&team->phase, BENCH_PHASE(0, BENCH_WAIT));
    if (make_readers(team) != 0) {
        bench_team_destroy(team);
        return NULL;
    }
    return team;
}

void bench_team_destroy(struct bench_team *team) {
    if (team != NULL) {
        bench_shared_unmap(team->readers, team->room_bytes);
        bench_shared_unmap(team, sizeof(*team));
    }
}

static int start_reader(const struct bench_squad *squad, uint32_t turn) {
    struct bench_team *team = squad->team;
    struct bench_reader *r = &team->readers[turn];
    r->domain = squad->domain;
    r->home = (int32_t)(turn % squad->homes_n);
    r->buf = malloc(team->workload->value_size + 8);
    if (r->buf == NULL) {
        return TIDE_ERR_NOMEM;
    }
    /* Touched here, by the process that counts in it, or the first reads of every bucket would be timed with a page
     * fault. */
    hdr_reset(r->latency);
    memset(r->buf, 0, team->workload->value_size + 8);
    r->running = pthread_create(&r->thread, NULL, bench_reader_main, r) == 0;
    return r->running ? 0 : TIDE_ERR_SYSTEM;
}

int bench_squad_start(const struct bench_squad *squad) {
    struct bench_team *team = squad->team;
    for (uint32_t t = squad->first; squad->reads && t < team->count; t += squad->stride) {
        int rc = start_reader(squad, t);
        if (rc != 0) {
            return rc;
        }
    }
    if (squad->writes && team->options->write_rate != 0.0) {
        team->writer.team = team;
        team->writer.domain = squad->domain;
        team->writer.running = pthread_create(&team->writer.thread, NULL, bench_writer_main, &team->writer) == 0;
        return team->writer.running ? 0 : TIDE_ERR_SYSTEM;
    }
    return 0;
}

void bench_squad_join(const struct bench_squad *squad) {
    struct bench_team *team = squad->team;
    for (uint32_t t = squad->first; squad->reads && t < team->count; t += squad->stride) {
        struct bench_reader *r = &team->readers[t];
        if (r->running) {
            pthread_join(r->thread, NULL);
            r->running = 0;
        }
        free(r->buf);
        r->buf = NULL;
    }
    if (squad->writes && team->writer.running) {
        pthread_join(team->writer.thread, NULL);
        team->writer.running = 0;
    }
}
