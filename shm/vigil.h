/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for the leader's byte, so that one who waits can be ended. fcntl() would wait for it, but only a signal ends that, and
 * signals are the application's. So a candidate tries the byte, and sleeps on a word of the segment until it may be free. The byte
 * alone decides who leads; the word only says when to look.
 *
 * A leader that leaves changes the word itself. One that dies has the kernel do it: the word is on the robust list of the leader's
 * lane thread (get_robust_list(2)), so it holds that thread's id, and the kernel puts FUTEX_OWNER_DIED in its place and wakes one
 * sleeper. It does so just before it drops the process's locks: who wakes looks again at short intervals, which grow. Where
 * the kernel has no robust lists, a candidate looks every VIGIL_LOOK_NS.
 */
#ifndef SHM_VIGIL_H
#define SHM_VIGIL_H

#include <linux/futex.h>
#include <stdbool.h>

#include "shm/layout.h"

/* The leader's side: in memory that outlives the thread. */
struct vigil_hold {
    struct robust_list_head head;
    struct robust_list entry;
};

/* By a thread of ours that runs as long as its process leads, and has no robust mutexes. Candidates are woken when it ends, too. */
void vigil_begin(struct vigil_hold *h, struct log_segment *log);

/* Nobody leads any more: the byte is free. Any thread. */
void vigil_leave(struct log_segment *log);

/* A candidate's side: what it knows from one look to the next. Starts with zeroes. */
struct vigil_wait {
    uint64_t nap_ns;
};

/* The word, to be looked at before the byte is tried. */
uint32_t vigil_look(const struct log_segment *log);

/* The byte was not free: sleep until it may be, or vigil_wake(). */
void vigil_sleep(struct log_segment *log, struct vigil_wait *w, uint32_t seen);

/* Wake all that sleep; one that is about to is missed, so call it again until it was heard. */
void vigil_wake(struct log_segment *log);

#endif
