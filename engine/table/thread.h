/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads: who they are, what is done when they end, and the library's own.
 *
 * The library's own threads. A signal that is sent to a process runs its handler in any thread that has not blocked it,
 * and the application's handlers were written for the application's threads: ours block all signals but those that a
 * thread raises itself (a truncated segment is SIGBUS) and the profiler's. They run on the CPUs that the process had when the
 * library was loaded, not on the one that the thread which opens a domain has been pinned to. What the process is pinned to later
 * they do not follow: nobody can tell that from a thread which pins itself.
 */
#ifndef TIDE_TABLE_THREAD_H
#define TIDE_TABLE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* pthread_create() with that mask, on those CPUs. 0, or -1: no thread could be started. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/* The calling thread's number, which no other thread gets, also not after it has ended: even, 0 before thread_identify(). */
extern _Thread_local uint64_t thread_number;
void thread_identify(void);

/*
 * Have end() called when the calling thread ends; once for each of these, in this order. It comes late: destructors of the
 * application's keys, which may use the library, have had two rounds by then. 0, or -1: no key could be made.
 */
enum thread_end { THREAD_END_READERS, THREAD_END_RCU, THREAD_ENDS };
int thread_at_end(enum thread_end which, void (*end)(void));

/* Where the library is part of a shared object: that is not unloaded any more, or dlclose() would take away the code that ends
 * threads. Any thread. */
void thread_stay_loaded(void);

#endif
