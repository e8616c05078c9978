/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The sequencer: puts writes in order. There is no thread for it; a writer that finds it free runs it, for itself and for whoever
 * has queued meanwhile (flat combining: Hendler, Incze, Shavit, Tzafrir, 2010). Many writes at hand are one group:
 * one clock reading, one commit, one barrier, at most one wake-up.
 */
#ifndef ENGINE_SEQUENCER_H
#define ENGINE_SEQUENCER_H

#include "engine/domain.h"

/* What is worked out by the writer itself, before it queues. */
struct seq_op {
    uint64_t hash;
    uint32_t payload_crc;
    uint32_t node; /* of the leader's table, while the request is under way */
};

struct seq_request {
    const struct tide_op *ops;
    struct seq_op *prepared;
    size_t count;
    uint64_t ring_bytes; /* of all frames */
    uint64_t lane_seq;
    uint16_t lane; /* number + 1; 0: this process's own */
    bool own;      /* of the thread that runs the sequencer: nobody waits for its answer */
    /* The answer: */
    int result;
    uint64_t index; /* of the last operation */
    uint64_t found; /* MISMATCH: the version that was there */
    size_t failed;  /* MISMATCH: the operation */
    _Atomic uint32_t done; /* futex word: enum seq_done */
    struct seq_request *next;
};

/* Have the request answered, by this thread or another. Returns its result. Not inside a section. */
int seq_submit(struct tide *d, struct seq_request *request);

/* The same for many at once, which become one group as far as they fit; each has its own result. */
void seq_submit_all(struct tide *d, struct seq_request *requests, size_t n);

/* The replica, which has applied everything, leads from now on / no more. The latter answers what is queued with NO_LEADER. */
void seq_lead(struct tide *d, struct replica *leader, uint32_t term, bool announce);
void seq_unlead(struct tide *d);

#endif
