/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process holds of a domain. Private to the engine. */
#ifndef ENGINE_DOMAIN_H
#define ENGINE_DOMAIN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "engine/table.h"
#include "engine/tidemark.h"
#include "shm/board.h"
#include "shm/ring.h"
#include "shm/segment.h"

struct seq_request;
struct apply_part;

/* A replica that this process runs. Readers reach it through tide.replicas[] inside a section. */
struct replica {
    /* What reads use. */
    struct replica_board *board;
    struct table table;
    uint32_t id;
    bool leader;

    /* What its one applying thread uses. */
    alignas(LAYOUT_PAIR) struct tide *domain;
    struct table_writer writer;
    uint64_t applied; /* index up to which the table is the log, published or not */
    uint64_t pos;     /* of the frame after it */
    uint64_t last_ts; /* of the last entry applied */
    uint64_t published;
    bool exact;       /* the table is the log up to `applied` and nothing newer: not while a newcomer copies */
    struct hdr *lag_all;
    struct lag_windows *lag_windows;
    uint8_t *scratch; /* TIDE_KEY_MAX bytes: a delete's key, copied out */
    uint64_t joined_at; /* the index at which it joined anew last */
    struct apply_part *parts; /* the entries of a batch, with their nodes */
    size_t parts_room;

    struct segment segment;
    uint64_t table_bytes;
    int32_t cpu;
    pthread_t thread;
    _Atomic uint32_t stop;
    _Atomic uint32_t nudge;   /* futex word: the thread's sleep ends */
    _Atomic uint32_t started; /* futex word: 0 until the thread serves or has failed */
    int start_error;
};

/* One sequencer for each process; it writes while a leader's replica is here. */
struct sequencer {
    alignas(LAYOUT_PAIR) _Atomic uint32_t taken;
    _Atomic(struct seq_request *) queue; /* newest first */
    /* Of whoever has it taken: */
    alignas(LAYOUT_PAIR) struct replica *leader;
    struct ring_writer ring;
    uint64_t refine_ts; /* the clock is looked after from this stamp on */
};

struct tide {
    /* What reads use. */
    struct log_segment *log;
    struct ring ring;
    _Atomic(struct replica *) replicas[LAYOUT_REPLICAS];
    _Atomic uint32_t closed;

    struct sequencer seq;

    alignas(LAYOUT_PAIR) pthread_mutex_t control; /* starting and stopping */
    struct replica *running[LAYOUT_REPLICAS];     /* under control; replicas[] has those that readers may use */
    _Atomic uint32_t holds;     /* the handle and its readers */
    _Atomic uint32_t next_home; /* spreads readers */
    struct segment segment;
    char name[LAYOUT_NAME];
    bool ephemeral;
    tide_log_fn *log_fn;
    void *log_ctx;
};

void tide_logf(struct tide *d, enum tide_log_level level, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The handle's memory goes with its last hold. */
void tide_hold(struct tide *d);
void tide_drop(struct tide *d);

/* A code of shm/error.h is one of ours. */
_Static_assert((int)SHM_ERR_NO_SPACE == (int)TIDE_ERR_NO_SPACE && (int)SHM_ERR_GONE == (int)TIDE_ERR_GONE &&
                   (int)SHM_ERR_CORRUPT == (int)TIDE_ERR_CORRUPT && (int)SHM_ERR_INVALID == (int)TIDE_ERR_INVALID,
               "the error codes of shm and of the engine are one list");

#endif
