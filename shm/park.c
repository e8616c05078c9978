/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/park.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PARK_FOR_EVER (UINT64_C(1) << 62) /* ns: over a century, and some kernels refuse more */

/* Without FUTEX_PRIVATE_FLAG: the kernel then finds sleepers by file and offset, in other processes too. */
static long park_futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *limit,
                       uint32_t bits) {
    return syscall(SYS_futex, (uint32_t *)(void *)word, operation, value, limit, NULL, bits);
}

static struct timespec park_timespec(uint64_t ns) {
    return (struct timespec){ .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
}

int park_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns) {
    /* FUTEX_WAIT takes a relative time of CLOCK_MONOTONIC. */
    struct timespec limit = park_timespec(timeout_ns);
    struct timespec *at_most = timeout_ns >= PARK_FOR_EVER ? NULL : &limit;
    if (park_futex(word, FUTEX_WAIT, seen, at_most, 0) == -1 && errno == ETIMEDOUT) {
        return -1;
    }
    return 0;
}

int park_wait_bits(_Atomic uint32_t *word, uint32_t seen, uint32_t bits, uint64_t until_ns) {
    struct timespec until = park_timespec(until_ns);
    struct timespec *limit = until_ns >= PARK_FOR_EVER ? NULL : &until;
    if (park_futex(word, FUTEX_WAIT_BITSET, seen, limit, bits) == -1 && errno == ETIMEDOUT) {
        return -1;
    }
    return 0;
}

void park_wake(_Atomic uint32_t *word, int count) {
    if (count > 0) {
        (void)park_futex(word, FUTEX_WAKE, (uint32_t)count, NULL, 0);
    }
}

void park_wake_bits(_Atomic uint32_t *word, uint32_t bits) {
    if (bits != 0) {
        (void)park_futex(word, FUTEX_WAKE_BITSET, INT32_MAX, NULL, bits);
    }
}
