/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads in chosen orders. Of all threads of the program one runs at a time. Control changes hands at points: each atomic access of engine and
 * shm (tests/sched/points.h), each kill point, each wait. Threads that the library starts are scheduled like all others, and time
 * is a number that the scheduler counts up, so that the same choices give the same run.
 *
 * Waits (park_wait(), mutexes, joins, grace periods) go through the scheduler: it knows which threads can go on. If none can, time passes
 * until the first wait is over. A thread that waits in a way that it does not know --- it comes to no point for SCHED_AWAY_MS --- counts as
 * away: another runs, and it comes back into line at its next point.
 *
 * The order of memory is that of these runs, sequentially consistent: what a weaker order could do is for models and ThreadSanitizer.
 */
#ifndef TIDE_SCHED_SCHED_H
#define TIDE_SCHED_SCHED_H

#include <stdbool.h>
#include <stdint.h>

#define SCHED_BODIES 3u
#define SCHED_AWAY_MS 200u

/* What is run again and again. The scheduler is in one order until before() has returned, and from the last body's end on. */
struct scenario {
    const char *name;
    unsigned bodies;        /* threads */
    bool library;           /* threads of the library take part in the choices; else they run when no body can go on */
    unsigned foreign;       /* bit k: body k plays another process: no grace period waits for its sections */
    void (*setup)(void);    /* once */
    void (*enter)(int who); /* once, in each thread: opens a reader */
    void (*before)(void);   /* ahead of each schedule */
    void (*body)(int who);
    void (*check)(void); /* after each */
    void (*leave)(int who);
    void (*teardown)(void);
};

struct sched_options {
    uint32_t switches; /* all orders with no more switches than that between threads that could go on */
    uint64_t orders;   /* but no more orders than that */
    uint64_t random;   /* then so many orders with more switches, drawn from the seed */
    uint64_t seconds;  /* random ones for so long instead */
    uint64_t seed;
    const char *replay; /* one order alone, as a failure prints it */
};

struct sched_result {
    uint64_t orders;   /* that were run of all, */
    bool all;          /* which were all */
    uint64_t random;   /* and of random ones */
    uint64_t steps;    /* points of a schedule, at most */
    uint64_t diverged; /* orders in which a choice could not be made again, since the run before it was another */
    bool failed;
    uint64_t failed_at; /* the schedule, from 1 */
    char order[600];    /* of it, for replay */
    char what[400];
};

/* In a process of its own. False: it failed, hung or died, and `what` says how. */
bool sched_run(const struct scenario *s, const struct sched_options *o, struct sched_result *out);

/* In a body, before(), check(): something is wrong in this schedule. */
void sched_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define SCHED_EXPECT(ok)                                                                                               \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            sched_fail("%s:%d: not so: %s", __FILE__, __LINE__, #ok);                                                  \
        }                                                                                                              \
    } while (0)

/* In setup(): so many schedules and no more, since what the scenario keeps from one to the next fills up. */
void sched_limit(uint64_t schedules);

/* Let time pass. */
void sched_pass_ns(uint64_t ns);

/* The scenarios, up to one without a name. */
extern const struct scenario sched_scenarios[];
const struct scenario *sched_find(const char *name);

#endif
