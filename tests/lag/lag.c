/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A machine that is busy with others, for `make lag`: preloaded, it lets calls that sleep, wake, start or hear somebody return late, at random. Most
 * lose up to 60 ms, some 300 ms. A test that takes a while for granted fails then; one that waits for what must come does not.
 *
 * TIDE_LAG_SEED         which calls (1); threads draw by their numbers as well, so a seed repeats a run only roughly
 * TIDE_LAG_PER_MILLE    of the calls, how many (20)
 */
#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LAG_SHORT_NS UINT64_C(60000000)
#define LAG_LONG_NS UINT64_C(300000000)
#define LAG_LONG_PER_MILLE 30u

/* How often a call is late, in percent of TIDE_LAG_PER_MILLE: what happens in loops less, what happens seldom more. */
enum { LAG_LOOPS = 1, LAG_BEFORE = 20, LAG_CALLS = 100, LAG_BIRTHS = 1000 };

#define NEXT(name)                                                                                                     \
    static __typeof__(name) *next;                                                                                     \
    if (next == NULL) {                                                                                                \
        next = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                                                            \
    }

#define EXPORT __attribute__((visibility("default")))

static uint64_t seed = 1, per_mille = 20;
static __thread uint64_t drawn;

__attribute__((constructor)) static void lag_begin(void) {
    const char *set = getenv("TIDE_LAG_SEED");
    seed = set != NULL ? strtoull(set, NULL, 0) : seed;
    set = getenv("TIDE_LAG_PER_MILLE");
    per_mille = set != NULL ? strtoull(set, NULL, 0) : per_mille;
}

/* SplitMix64. */
static uint64_t lag_draw(void) {
    if (drawn == 0) {
        drawn = seed * UINT64_C(0x9e3779b97f4a7c15) ^ (uint64_t)gettid() << 20;
    }
    uint64_t x = drawn += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static void lag(uint64_t percent) {
    NEXT(clock_nanosleep)
    int error = errno;
    if (lag_draw() % 100000 < per_mille * percent) {
        uint64_t ns = lag_draw() % 1000 < LAG_LONG_PER_MILLE ? LAG_LONG_NS : lag_draw() % LAG_SHORT_NS;
        next(CLOCK_MONOTONIC, 0, &(struct timespec){ 0, (long)ns }, NULL);
    }
    errno = error;
}

/* The library calls futex by this one. */
EXPORT long syscall(long number, ...) {
    NEXT(syscall)
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(list, long);
    }
    va_end(list);
    if (number == SYS_futex) {
        lag(LAG_BEFORE);
    }
    long result = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number == SYS_futex) {
        lag(LAG_CALLS);
    }
    return result;
}

struct start {
    void *(*run)(void *);
    void *arg;
};

static void *lag_thread(void *arg) {
    struct start start = *(struct start *)arg;
    free(arg);
    lag(LAG_BIRTHS);
    return start.run(start.arg);
}

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *), void *arg) {
    NEXT(pthread_create)
    struct start *start = malloc(sizeof(*start));
    if (start == NULL) {
        return EAGAIN;
    }
    *start = (struct start){ run, arg };
    int error = next(thread, attr, lag_thread, start);
    if (error != 0) {
        free(start);
    }
    lag(LAG_CALLS);
    return error;
}

EXPORT pid_t fork(void) {
    NEXT(fork)
    pid_t pid = next();
    drawn = pid == 0 ? 0 : drawn;
    lag(LAG_BIRTHS);
    return pid;
}

/* Calls that are late on their way back, and nothing else. */
#define LATE(result, name, percent, parameters, arguments)                                                             \
    EXPORT result name parameters {                                                                                    \
        NEXT(name)                                                                                                     \
        result got = next arguments;                                                                                   \
        lag(percent);                                                                                                  \
        return got;                                                                                                    \
    }

LATE(int, nanosleep, LAG_CALLS, (const struct timespec *asked, struct timespec *left), (asked, left))
LATE(int, clock_nanosleep, LAG_CALLS, (clockid_t clock, int flags, const struct timespec *asked, struct timespec *left),
     (clock, flags, asked, left))
LATE(int, usleep, LAG_CALLS, (useconds_t us), (us))
LATE(int, sched_yield, LAG_LOOPS, (void), ())
LATE(int, poll, LAG_CALLS, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
LATE(int, pthread_join, LAG_CALLS, (pthread_t thread, void **result), (thread, result))
LATE(int, pthread_mutex_lock, LAG_LOOPS, (pthread_mutex_t * mutex), (mutex))
LATE(pid_t, waitpid, LAG_CALLS, (pid_t pid, int *status, int options), (pid, status, options))
LATE(int, kill, LAG_CALLS, (pid_t pid, int number), (pid, number))
LATE(ssize_t, read, LAG_CALLS, (int fd, void *to, size_t bytes), (fd, to, bytes))
LATE(ssize_t, write, LAG_BEFORE, (int fd, const void *from, size_t bytes), (fd, from, bytes))
