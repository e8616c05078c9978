/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/team.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void bench_team_phase(struct bench_team *team, uint32_t slice, enum bench_phase_kind kind, uint64_t slice_base_ns) {
    pthread_mutex_lock(&team->lock);
    atomic_store(&team->slice_base_ns, slice_base_ns);
    atomic_store(&team->phase, BENCH_PHASE(slice, kind));
    pthread_cond_broadcast(&team->changed);
    pthread_mutex_unlock(&team->lock);
}

static int prepare_reader(struct bench_team *team, uint32_t turn, uint32_t home) {
    struct bench_reader *r = &team->readers[turn];
    r->team = team;
    r->turn = turn;
    r->home = (int32_t)home;
    r->sequence = team->workload->sequences[turn];
    r->buf = malloc(team->workload->value_size + 8);
    r->latency = hdr_new(1, BENCH_LATENCY_HIGHEST_NS, BENCH_LATENCY_DIGITS);
    if (r->buf == NULL || r->latency == NULL) {
        return TIDE_ERR_NOMEM;
    }
    /* Touched here, or the first reads of every bucket would be timed with a page fault. */
    hdr_reset(r->latency);
    memset(r->buf, 0, team->workload->value_size + 8);
    return 0;
}

static int start_readers(struct bench_team *team, const uint32_t *homes, uint32_t homes_n) {
    team->readers = aligned_alloc(128, team->count * sizeof(team->readers[0]));
    if (team->readers == NULL) {
        return TIDE_ERR_NOMEM;
    }
    memset(team->readers, 0, team->count * sizeof(team->readers[0]));
    for (uint32_t t = 0; t < team->count; t++) {
        int rc = prepare_reader(team, t, homes[t % homes_n]);
        if (rc == 0 && pthread_create(&team->readers[t].thread, NULL, bench_reader_main, &team->readers[t]) != 0) {
            rc = TIDE_ERR_SYSTEM;
        }
        if (rc != 0) {
            return rc;
        }
        team->started++;
    }
    return 0;
}

int bench_team_start(struct bench_team *team, const uint32_t *homes, uint32_t homes_n) {
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->changed, NULL);
    atomic_store(&team->phase, BENCH_PHASE(0, BENCH_WAIT));
    int rc = start_readers(team, homes, homes_n);
    if (rc != 0) {
        return rc;
    }
    if (team->options->write_rate != 0.0) {
        team->writer.team = team;
        if (pthread_create(&team->writer.thread, NULL, bench_writer_main, &team->writer) != 0) {
            return TIDE_ERR_SYSTEM;
        }
        team->writing = 1;
    }
    uint32_t all = team->count + (uint32_t)team->writing;
    while (atomic_load(&team->ready) < all && atomic_load(&team->error) == 0) {
        bench_sleep_ns(200000);
    }
    return atomic_load(&team->error);
}

int bench_team_stop(struct bench_team *team) {
    bench_team_phase(team, 0, BENCH_STOP, 0);
    for (uint32_t t = 0; t < team->started; t++) {
        pthread_join(team->readers[t].thread, NULL);
    }
    if (team->writing) {
        pthread_join(team->writer.thread, NULL);
    }
    team->started = 0;
    team->writing = 0;
    return atomic_load(&team->error);
}

void bench_team_destroy(struct bench_team *team) {
    for (uint32_t t = 0; team->readers != NULL && t < team->count; t++) {
        free(team->readers[t].buf);
        hdr_free(team->readers[t].latency);
    }
    free(team->readers);
    team->readers = NULL;
    pthread_cond_destroy(&team->changed);
    pthread_mutex_destroy(&team->lock);
}
