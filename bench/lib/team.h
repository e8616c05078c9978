/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The threads of one repetition: readers that take turns between reading and the control loop, and a writer.
 *
 * The coordinator says what to do by team.phase; all threads look at it every few operations. Reading time is one line
 * without gaps: a schedule (open loop, write rate) stands still while the control loop runs.
 */
#ifndef TIDEMARK_BENCH_TEAM_H
#define TIDEMARK_BENCH_TEAM_H

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

/* Written by its thread alone until it is joined. */
struct bench_reader {
    _Alignas(128) struct bench_team *team;
    pthread_t thread;
    uint32_t turn; /* 0 .. readers - 1 */
    int32_t home;
    int pinned;
    struct tide_reader *session;
    const uint32_t *sequence;
    uint64_t step;
    uint8_t *buf;
    uint64_t sum; /* of what was read: so that no read can be left out */
    uint64_t warm_reads;
    uint64_t reads;   /* served, within read slices */
    uint64_t refused; /* answered with REFUSED or TIMEOUT */
    uint64_t overdue; /* open loop: due before the end and never started; their latency so far was counted */
    uint64_t control_ops;
    uint64_t next; /* open loop: number of the next read */
    uint64_t reasons[TIDE_REASONS];
    struct tide_read_counts before;
    struct hdr *latency;
};

struct bench_writer {
    _Alignas(128) struct bench_team *team;
    pthread_t thread;
    uint64_t writes;
};

struct bench_team {
    const struct bench_options *options;
    const struct bench_workload *workload;
    const struct bench_machine *machine;
    struct tide *domain;
    struct tide_bound bound;
    struct bench_reader *readers;
    uint32_t count;
    uint32_t started;
    struct bench_writer writer;
    int writing; /* the writer's thread exists */
    _Alignas(128) _Atomic uint32_t phase;
    /* Domain clock: where reading time 0 lies for the present slice. Set before phase. */
    _Atomic uint64_t slice_base_ns;
    _Atomic uint64_t end_ns; /* reading time at which the repetition ends */
    _Alignas(128) _Atomic uint32_t ready;
    _Atomic int error;    /* first TIDE_ERR_ code of a thread */
    pthread_mutex_t lock; /* for the writer alone, which sleeps between read slices */
    pthread_cond_t changed;
};

/* Start `count` readers (homes: replica numbers, dealt out in turn) and, where the options ask for one, the writer.
 * Returns 0 when all are ready and wait, or a TIDE_ERR_ code; bench_team_stop() must be called in either case. */
int bench_team_start(struct bench_team *team, const uint32_t *homes, uint32_t homes_n);

/* Change the phase. slice_base_ns: see struct bench_team. */
void bench_team_phase(struct bench_team *team, uint32_t slice, enum bench_phase_kind kind, uint64_t slice_base_ns);

/* End and join all threads; their figures can be read afterwards. Returns the first error of a thread, or 0. */
int bench_team_stop(struct bench_team *team);

/* Free the readers' memory. */
void bench_team_destroy(struct bench_team *team);

/* The thread functions. */
void *bench_reader_main(void *reader);
void *bench_writer_main(void *writer);

#endif
