/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Waiting for the leader's byte, in a way that can be ended. fcntl() would wait for it, but only a signal ends that
 * wait, and signals are the application's. So a candidate tries the byte, and sleeps on a word of the segment until the
 * byte may be free. The byte alone decides who leads; the word only says when to look.
 *
 * A leader that leaves changes the word itself. For a leader that dies the kernel does it: the word is on the robust
 * list of the leader's lane thread (get_robust_list(2)) and holds that thread's id. The kernel replaces the id by
 * FUTEX_OWNER_DIED and wakes one sleeper. It does so just before it drops the process's locks, so a woken candidate
 * looks again at short intervals, which grow. On a kernel without robust lists, a candidate looks every VIGIL_LOOK_NS.
 */
#ifndef TIDE_SHM_VIGIL_H
#define TIDE_SHM_VIGIL_H

#include <linux/futex.h>
#include <stdbool.h>

#include "shm/layout.h"

/* The leader's side. It must lie in memory that outlives the thread. */
struct vigil_hold {
    struct robust_list_head head;
    struct robust_list entry;
};

/* Called by a library thread that runs as long as its process leads, and that has no robust mutexes. If that thread
 * ends, candidates are woken, too. */
void vigil_begin(struct vigil_hold *h, struct log_segment *log);

/* This process leads no longer, and the byte is free: wake the candidates. Any thread. */
void vigil_leave(struct log_segment *log);

/* A candidate's state from one look to the next. Starts with zeroes. */
struct vigil_wait {
    uint64_t nap_ns;
};

/* Load the word before the byte is tried. */
uint32_t vigil_look(const struct log_segment *log);

/* The byte was not free: sleep until it may be, or until vigil_wake(). */
void vigil_sleep(struct log_segment *log, struct vigil_wait *w, uint32_t seen);

/* Wake all sleepers. It misses a candidate that is just about to sleep, so call it again until the candidate has
 * reacted. */
void vigil_wake(struct log_segment *log);

#endif
