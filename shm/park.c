/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/park.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Without FUTEX_PRIVATE_FLAG: the kernel then finds sleepers by file and offset, in other processes too. */
static long park_futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *limit) {
    return syscall(SYS_futex, (uint32_t *)(void *)word, operation, value, limit, NULL, 0);
}

int park_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns) {
    /* FUTEX_WAIT takes a relative time of CLOCK_MONOTONIC. 2^62 ns is over a century, and some kernels refuse more. */
    struct timespec limit = { .tv_sec = (time_t)(timeout_ns / 1000000000u),
                              .tv_nsec = (long)(timeout_ns % 1000000000u) };
    struct timespec *at_most = timeout_ns >= UINT64_C(1) << 62 ? NULL : &limit;
    if (park_futex(word, FUTEX_WAIT, seen, at_most) == -1 && errno == ETIMEDOUT) {
        return -1;
    }
    return 0;
}

void park_wake(_Atomic uint32_t *word, int count) {
    if (count > 0) {
        (void)park_futex(word, FUTEX_WAKE, (uint32_t)count, NULL);
    }
}
