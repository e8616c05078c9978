/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wall clock, for what goes on across a reboot. Any thread. */
#ifndef TIDE_TOOLS_WALL_H
#define TIDE_TOOLS_WALL_H

#include <stdint.h>
#include <time.h>

/* Nanoseconds since 1970. */
static inline uint64_t wall_unix_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

#endif
