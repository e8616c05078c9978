/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_SHM_NAP_H
#define TIDE_SHM_NAP_H

#include <stdint.h>
#include <time.h>

/* Sleep for about so long, or shorter when a signal comes. For waits that look again afterwards anyway: on somebody who may
 * have died, and who is not asked to wake anybody. */
static inline void park_nap(uint64_t ns) {
    struct timespec t = { .tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u) };
    nanosleep(&t, NULL);
}

#endif
