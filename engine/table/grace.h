/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Grace periods in the background: a writer takes a ticket and goes on; one thread of the process waits for readers.
 * (liburcu 0.14 has start_poll_synchronize_rcu for this; Debian 12 has 0.13.)
 */
#ifndef TIDE_TABLE_GRACE_H
#define TIDE_TABLE_GRACE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* The thread runs while anybody holds it. Any thread may call. 0, or -1: no thread could be started. The thread calls
 * look() once a second, between grace periods, since every process with an open handle has this one thread; NULL:
 * nothing to call. It keeps the look() that it was started with. */
int grace_hold(void (*look)(void));
void grace_drop(void);

/* A ticket for a grace period that starts after this call. Never blocks on readers. Any thread, while the grace thread
 * is held. */
uint64_t grace_start(void);

/* Has that grace period ended? Everything that the sections open at its start did happens before the answer true. */
extern _Atomic uint64_t grace_done_ticket; /* tickets up to here have had their grace period */
static inline bool grace_done(uint64_t ticket) {
    return atomic_load(&grace_done_ticket) >= ticket;
}

/* Wait until it has ended, at most `ns`; false: it has not. Never call it inside a section. */
bool grace_wait(uint64_t ticket, uint64_t ns);

/* Around fork(): in the child the thread is gone and nobody holds it. */
void grace_before_fork(void);
void grace_after_fork(bool child);

#endif
