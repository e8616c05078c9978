/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One number of keys and size of values: all peers, filled alike and proven to answer alike. */
#ifndef TIDE_PEERS_STAGE_H
#define TIDE_PEERS_STAGE_H

#include "bench/lib/figures.h"
#include "bench/peers/settings.h"

struct peer_seat {
    const struct peer *peer;
    void *handle;
    int ready;                  /* it is installed, and there is memory for it */
    struct peer_reader *reader; /* of the main thread */
};

struct peer_stage {
    const struct peer_settings *settings;
    struct bench_figures *figures;
    struct peer_case c;
    struct bench_options options;
    struct bench_workload workload;
    struct peer_seat seats[PEERS];
    uint32_t rounds;  /* slices of each row in a repetition */
    int rounds_large; /* the tables do not fit the caches */
    uint64_t warm_ns; /* of a slice, before its time is taken */
    uint64_t slice_ns;
    uint64_t sum; /* of what all gets read, so that none can be left out */
};

/*
 * Fill the chosen peers (bits as in settings) and open the main thread's readers; it stays unpinned. What is left out
 * is told on stderr once.
 */
void peer_stage_open(struct peer_stage *s, unsigned chosen, uint64_t keys, uint64_t value_size, int for_puts);
void peer_stage_close(struct peer_stage *s);

/* The part of it that takes long (fill.c). */
void peer_stage_fill(struct peer_stage *s);

/* Another order of keys, for readers opened or initialized afterwards and the main thread's. */
void peer_stage_dist(struct peer_stage *s, enum bench_dist dist);

/* Does every get answer with the value that was put? 0; or -1, and which does not is in the error. */
int peer_stage_verify(struct peer_stage *s);

/* All operations of the main thread's readers must have been answered, or the program ends. */
void peer_stage_answered(struct peer_stage *s);

/* A reader with its value to put, opened by the calling thread. Close by the same thread. */
struct peer_reader *peer_stage_reader(struct peer_stage *s, struct peer_seat *seat, uint32_t turn);
void peer_stage_reader_close(struct peer_seat *seat, struct peer_reader *r);

/* The parts (alone.c, pairs.c, beside.c). */
void peer_measure_gets(struct peer_stage *s);
void peer_measure_puts(struct peer_stage *s);
void peer_measure_pairs(struct peer_stage *s);
void peer_measure_beside(struct peer_stage *s);
/* Two readers in two processes. Only while no stage is open. */
void peer_measure_processes(const struct peer_settings *settings, struct bench_figures *figures);

/* Add the bars that these figures tell of (bars.c); all: also those that were not measured. */
void peer_bars(struct bench_figures *f, bool all);

/* Progress (run.c), where stderr is a terminal: "gets, 10k keys, uniform: 2 of 5". NULL clears the line. */
void peer_progress(const char *part, const struct peer_stage *s, uint32_t done);

/* The whole program: `usual` are its defaults, `s` gets them and what the command line says. Returns the exit code. */
int peer_run(struct peer_settings *s, int argc, char **argv);

#endif
