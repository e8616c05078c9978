/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of one repetition: readers that take turns between reading and the control loop, and a writer. They run
 * in one process or in several: the team lies in memory that forked processes share, and the domain's handle is each
 * process's own.
 *
 * The coordinator says what to do by team.phase; all threads look at it every few operations. Reading time is one line
 * without gaps: a schedule (open loop, write rate) stands still while the control loop runs.
 */
#ifndef TIDE_BENCH_TEAM_H
#define TIDE_BENCH_TEAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "bench/lib/machine.h"
#include "bench/lib/options.h"
#include "bench/lib/workload.h"
#include "engine/tidemark.h"
#include "shm/hdr.h"

#define BENCH_LATENCY_HIGHEST_NS INT64_C(3600000000000)
#define BENCH_LATENCY_DIGITS 3

enum bench_phase_kind { BENCH_WAIT = 0, BENCH_WARM = 1, BENCH_CONTROL = 2, BENCH_READ = 3, BENCH_STOP = 4 };
#define BENCH_PHASE(slice, kind) (((uint32_t)(slice) << 3) | (uint32_t)(kind))
#define BENCH_PHASE_KIND(phase) ((enum bench_phase_kind)((phase)&7u))

struct bench_team;

/* Written by its thread alone until it is joined. Pointers but team, sequence and latency mean something in its process
 * alone. */
struct bench_reader {
    _Alignas(128) struct bench_team *team;
    struct tide *domain;
    pthread_t thread;
    int running;   /* to be joined */
    uint32_t turn; /* 0 .. readers - 1 */
    int32_t home;
    int pinned;
    struct tide_reader *session;
    const uint32_t *sequence;
    uint64_t step;
    uint8_t *buf;
    uint64_t sum;     /* of what was read: so that no read can be left out */
    uint64_t reads;   /* served, within read slices */
    uint64_t refused; /* answered with REFUSED or TIMEOUT */
    uint64_t overdue; /* open loop: due before the end and never started; their latency so far was counted */
    uint64_t control_ops;
    uint64_t next; /* open loop: number of the next read */
    uint64_t reasons[TIDE_REASONS];
    struct tide_read_counts before;
    struct hdr *latency; /* shared, as the reader itself */
};

struct bench_writer {
    _Alignas(128) struct bench_team *team;
    struct tide *domain;
    pthread_t thread;
    int running;
    uint64_t writes;
};

struct bench_team {
    const struct bench_options *options;
    const struct bench_workload *workload;
    const struct bench_machine *machine;
    struct tide_bound bound;
    struct bench_reader *readers;
    size_t room_bytes; /* of the mapping that holds readers and histograms */
    uint32_t count;
    uint32_t workers; /* threads in all: the writer as well, where there is one */
    struct bench_writer writer;
    _Alignas(128) _Atomic uint32_t phase;
    /* Domain clock: where reading time 0 lies for the present slice. Set before phase. */
    _Atomic uint64_t slice_base_ns;
    _Atomic uint64_t end_ns; /* reading time at which the repetition ends */
    _Alignas(128) _Atomic uint32_t ready;
    _Atomic int error; /* first TIDE_ERR_ code of a thread */
};

/* A team in shared memory, for `count` readers; NULL: no memory. Before the fork, where there are to be processes. */
struct bench_team *bench_team_create(const struct bench_options *options, const struct bench_workload *workload,
                                     const struct bench_machine *machine, uint32_t count);
void bench_team_destroy(struct bench_team *team);

/* Which of the team's threads run in this process: readers first, first + stride, ...; reader t's home is replica
 * t % homes_n. */
struct bench_squad {
    struct bench_team *team;
    struct tide *domain;
    uint32_t first;
    uint32_t stride;
    uint32_t homes_n;
    int reads;
    int writes; /* the writer, where the options ask for one */
};

/* Start this process's threads. 0, or a TIDE_ERR_ code; bench_squad_join() must be called in either case. */
int bench_squad_start(const struct bench_squad *squad);

/* Join this process's threads, after BENCH_STOP; their figures can be read afterwards. */
void bench_squad_join(const struct bench_squad *squad);

/* Change the phase. slice_base_ns: see struct bench_team. By the coordinator. */
void bench_team_phase(struct bench_team *team, uint32_t slice, enum bench_phase_kind kind, uint64_t slice_base_ns);

/* The thread functions. */
void *bench_reader_main(void *reader);
void *bench_writer_main(void *writer);

#endif
