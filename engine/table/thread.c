/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>

static cpu_set_t thread_cpus; /* of the process when the library was loaded */
static bool thread_cpus_known;

__attribute__((constructor)) static void thread_look_at_cpus(void) {
    thread_cpus_known = sched_getaffinity(0, sizeof(thread_cpus), &thread_cpus) == 0;
}

/* A thread that was pinned by the application is often a busy one: ours would wait for its processor, and everybody for ours. */
static int thread_start_anywhere(pthread_t *thread, void *(*run)(void *), void *arg) {
    pthread_attr_t attr;
    int error = -1;
    if (thread_cpus_known && pthread_attr_init(&attr) == 0) {
#ifdef __GLIBC__ /* musl has no such attribute: a thread begins where its starter is */
        if (pthread_attr_setaffinity_np(&attr, sizeof(thread_cpus), &thread_cpus) == 0) {
            error = pthread_create(thread, &attr, run, arg);
        }
#endif
        pthread_attr_destroy(&attr);
    }
    /* Those may be forbidden by now. */
    return error != 0 ? pthread_create(thread, NULL, run, arg) : 0;
}

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg) {
    static const int stay[] = { SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF };
    sigset_t block, before;
    sigfillset(&block);
    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
        sigdelset(&block, stay[i]);
    }
    if (pthread_sigmask(SIG_BLOCK, &block, &before) != 0) {
        return -1;
    }
    int error = thread_start_anywhere(thread, run, arg); /* inherits the mask */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0 ? 0 : -1;
}
