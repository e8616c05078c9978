/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The library's own threads. A signal that is sent to a process runs its handler in any thread that has not blocked it,
 * and the application's handlers were written for the application's threads: ours block all signals but those that a
 * thread raises itself (a truncated segment is SIGBUS) and the profiler's. They run on the CPUs that the process had when the
 * library was loaded, not on the one that the thread which opens a domain has been pinned to.
 */
#ifndef TIDE_TABLE_THREAD_H
#define TIDE_TABLE_THREAD_H

#include <pthread.h>

/* pthread_create() with that mask, on those CPUs. 0, or -1: no thread could be started. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
