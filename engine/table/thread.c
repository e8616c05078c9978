/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/thread.h"

#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/auxv.h>

#include "shm/fault.h"

#define THREAD_STACK_LEAST ((size_t)256 << 10)

static cpu_set_t thread_cpus; /* the process's CPUs when the library was loaded */
static bool thread_cpus_known;

__attribute__((constructor)) static void thread_look_at_cpus(void) {
    thread_cpus_known = sched_getaffinity(0, sizeof(thread_cpus), &thread_cpus) == 0;
}

/* Start on any of thread_cpus. The calling thread may be pinned to one CPU and busy there: a library thread that
 * inherited the pin would wait for that CPU, and every member would wait for the library thread. */
/* A thread of the library answers all lanes at once, from its stack. A small limit ('ulimit -s'), or musl, gives it less by default. */
static void thread_need_stack(pthread_attr_t *attr) {
    size_t bytes;
    if (pthread_attr_getstacksize(attr, &bytes) == 0 && bytes < THREAD_STACK_LEAST) {
        (void)pthread_attr_setstacksize(attr, THREAD_STACK_LEAST);
    }
}

static int thread_start_on(pthread_t *thread, void *(*run)(void *), void *arg, const cpu_set_t *cpus) {
    pthread_attr_t attr;
    int error = pthread_attr_init(&attr);
    if (error != 0) {
        return error;
    }
    thread_need_stack(&attr);
#ifdef __GLIBC__ /* musl has no such attribute: a thread inherits its starter's CPUs */
    error = cpus != NULL ? pthread_attr_setaffinity_np(&attr, sizeof(*cpus), cpus) : 0;
#else
    (void)cpus;
#endif
    error = error != 0 ? error : pthread_create(thread, &attr, run, arg);
    pthread_attr_destroy(&attr);
    return error;
}

static int thread_start_anywhere(pthread_t *thread, void *(*run)(void *), void *arg) {
    int error = thread_start_on(thread, run, arg, thread_cpus_known ? &thread_cpus : NULL);
    /* Those CPUs may be forbidden by now. */
    return error != 0 && thread_cpus_known ? thread_start_on(thread, run, arg, NULL) : error;
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
    int error = thread_start_anywhere(thread, run, arg); /* the new thread inherits the signal mask */
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        errno = error;
        return fault_errno(
            -1, "cannot start a thread: look at the limits of processes and threads ('ulimit -u', pids.max of a "
                "control group) and of addresses ('ulimit -v')");
    }
    return 0;
}

_Thread_local uint64_t thread_number;

void thread_identify(void) {
    static _Atomic uint64_t last;
    if (thread_number == 0) {
        thread_number = atomic_fetch_add(&last, 2) + 2;
    }
}

/* ---- the end of a thread --------------------------------------------------------------------------------------------- */

/* Destructors run in up to PTHREAD_DESTRUCTOR_ITERATIONS rounds, in no order. Sanitizers use the last round. */
#define THREAD_ROUNDS_LEFT 2

static _Thread_local struct {
    uint32_t rounds;
    void (*ends[THREAD_ENDS])(void);
} thread_own;

static pthread_key_t thread_key;
static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static int thread_key_error;

static void thread_end(void *mark) {
    if (thread_own.rounds++ < THREAD_ROUNDS_LEFT && pthread_setspecific(thread_key, mark) == 0) {
        return;
    }
    for (int i = 0; i < THREAD_ENDS; i++) {
        void (*end)(void) = thread_own.ends[i];
        thread_own.ends[i] = NULL;
        if (end != NULL) {
            end();
        }
    }
}
_Static_assert(PTHREAD_DESTRUCTOR_ITERATIONS > THREAD_ROUNDS_LEFT + 1, "its round comes, and is not the last");

static void thread_make_key(void) {
    thread_key_error = pthread_key_create(&thread_key, thread_end);
}

int thread_at_end(enum thread_end which, void (*end)(void)) {
    pthread_once(&thread_once, thread_make_key);
    if (thread_key_error != 0 || pthread_setspecific(thread_key, &thread_own) != 0) {
        return -1;
    }
    thread_own.ends[which] = end;
    return 0;
}

/* ---- staying -------------------------------------------------------------------------------------------------------- */

/* A static program has none of these functions, nor has one with an old libc that does not link libdl. Neither can be
 * unloaded. */
#pragma weak dladdr
#pragma weak dlopen

/* Is `base` the program itself? Its headers lie where the kernel says that the program's do. */
static bool thread_in_program(const void *base) {
    const ElfW(Ehdr) *header = base;
    return getauxval(AT_PHDR) == (unsigned long)base + header->e_phoff;
}

static void thread_stay(void) {
    Dl_info info;
    if (dladdr != NULL && dlopen != NULL && dladdr(&thread_key, &info) != 0 && info.dli_fname != NULL &&
        info.dli_fbase != NULL && !thread_in_program(info.dli_fbase)) {
        /* The object is loaded already: this call only marks it. */
        (void)dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
    }
}

void thread_stay_loaded(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, thread_stay);
}
