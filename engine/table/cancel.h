/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pthread_cancel() of a thread inside the library would end it with a lock taken, a file half made, a lane borrowed. So
 * every public function that may block, or that calls a cancellation point, holds cancellation off until it returns;
 * the thread is cancelled at its next cancellation point after that. Reads that find all they need, and writes in the
 * leader's process, contain no cancellation point and need not hold it off: naps and futexes are none (shm/nap.h), and
 * the log callback runs with cancellation off.
 */
#ifndef TIDE_TABLE_CANCEL_H
#define TIDE_TABLE_CANCEL_H

#include <pthread.h>

static inline int cancel_hold_off(void) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void cancel_let_on(const int *before) {
    int unused;
    pthread_setcancelstate(*before, &unused);
}

/* Hold cancellation off to the end of the block. */
#define CANCEL_HOLD_OFF() __attribute__((unused, cleanup(cancel_let_on))) int cancel_before = cancel_hold_off()

#endif
