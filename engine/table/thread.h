/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Threads: their numbers, calls at their end, and the library's own threads.
 *
 * A signal sent to a process runs its handler in any thread that has not blocked it, and the application's handlers
 * were written for the application's threads. So the library's threads block all signals but those that a thread raises
 * itself (a truncated segment is SIGBUS) and the profiler's. They run on the CPUs that the process had when the library
 * was loaded, not on the CPU to which the thread that opens a domain is pinned. They do not follow a later change of
 * the process's CPUs: it cannot be told from a thread that pins itself.
 */
#ifndef TIDE_TABLE_THREAD_H
#define TIDE_TABLE_THREAD_H

#include <pthread.h>
#include <stdint.h>

/* pthread_create() with that signal mask, on those CPUs. 0, or -1: no thread could be started. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/* The calling thread's number: even, 0 before thread_identify(). No other thread ever gets it, even after this one has
 * ended. */
extern _Thread_local uint64_t thread_number;
void thread_identify(void);

/*
 * A word that no other living thread has, a multiple of 4, never 0: one instruction, where a thread-local variable of a shared library is
 * a call (tide_get() takes 25 ns with that call, 22 ns without). A later thread may have it again, so what is remembered by it
 * has to be forgotten when the thread ends.
 */
static inline uint64_t thread_here(void) {
#if defined(__x86_64__) && defined(__LP64__)
    uint64_t here; /* the first word there holds its own address: the ABI of thread-local storage */
    __asm__("movq %%fs:0, %0" : "=r"(here));
    return here;
#elif defined(__aarch64__)
    return (uint64_t)(uintptr_t)__builtin_thread_pointer();
#else
    return (uint64_t)(uintptr_t)&thread_number;
#endif
}

/*
 * Have end() called when the calling thread ends: once for each `which`, in their order. The call comes late:
 * destructors of the application's keys, which may use the library, have had two rounds by then. 0, or -1: no key could
 * be made.
 */
enum thread_end { THREAD_END_READERS, THREAD_END_RCU, THREAD_ENDS };
int thread_at_end(enum thread_end which, void (*end)(void));

/* Keep the shared object that contains the library loaded, or dlclose() would take away the code that ends threads. Any
 * thread. */
void thread_stay_loaded(void);

#endif
