/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/thread.h"

#include <signal.h>

int thread_start(pthread_t *thread, void *(*run)(void *), void *arg) {
    static const int stay[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF};
    sigset_t block, before;
    sigfillset(&block);
    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
        sigdelset(&block, stay[i]);
    }
    if (pthread_sigmask(SIG_BLOCK, &block, &before) != 0) {
        return -1;
    }
    int error = pthread_create(thread, NULL, run, arg); /* inherits the mask */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error == 0 ? 0 : -1;
}
