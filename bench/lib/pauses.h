/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain grows while it is read, is overwritten, also with other sizes, and shrinks. Measured is how long anything
 * stands still meanwhile. One reader, one writer, one follower.
 *
 * The reader tells both: its own times, and by the index in each answer when the follower's applied index went on. The
 * threads take turns between that and a control loop, so that the machine's own pauses are known from the same minute
 * and the same CPUs: this cannot be done beside them where there are two CPUs, since the control loop would take what
 * the others need.
 */
#ifndef TIDE_BENCH_PAUSES_H
#define TIDE_BENCH_PAUSES_H

#include <stdatomic.h>
#include <stdint.h>

#include "engine/tidemark.h"
#include "shm/clock.h"
#include "shm/hdr.h"

#define PAUSES_SLOW_NS UINT64_C(1000000)
#define PAUSES_AWAY_NS UINT64_C(100000) /* longer than this between two looks: the reader was away, and saw nothing */

/* Apply and read in each of the four kinds of work, and arithmetic. */
enum pauses_kind {
    PAUSES_APPLY,
    PAUSES_READ,
    PAUSES_APPLY_STEADY,
    PAUSES_READ_STEADY,
    PAUSES_APPLY_SHIFT,
    PAUSES_READ_SHIFT,
    PAUSES_APPLY_SHRINK,
    PAUSES_READ_SHRINK,
    PAUSES_CONTROL, /* the reader's; when the run has ended, both */
    PAUSES_CONTROL_WRITER,
    PAUSES_KINDS
};

struct pauses {
    struct hdr *times[PAUSES_KINDS]; /* ns */
    uint64_t slow[PAUSES_KINDS];     /* longer than PAUSES_SLOW_NS */
    uint64_t ns[PAUSES_KINDS];       /* time spent, of all threads that recorded */
    uint64_t away;
    double writes_per_s; /* while it grew */

    struct tide *d;
    struct clock_line clock;
    uint64_t keys, rate;
    _Alignas(128) _Atomic uint32_t phase;
    _Alignas(128) _Atomic uint64_t written; /* entries in the log */
    uint64_t growing_ns;                    /* the writer's, as the next two */
    uint64_t refused;                       /* writes of other sizes that the table had no room for */
    uint64_t deleted;
};

void bench_pauses_run(struct pauses *p, uint64_t keys, uint64_t rate);
void bench_pauses_destroy(struct pauses *p);

/* How many lasted longer than PAUSES_SLOW_NS, in 10 s of a thread's time. */
double bench_pauses_slow(const struct pauses *p, enum pauses_kind kind);

#endif
