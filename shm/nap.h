/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_SHM_NAP_H
#define TIDE_SHM_NAP_H

#include <stdint.h>

#include "shm/park.h"

/* Sleep for about `ns`, or shorter if a signal comes. For waits that look again anyway, such as a wait for a member
 * that may have died and that nobody asked to wake us. By a futex, because nanosleep() is a cancellation point:
 * engine/table/cancel.h. */
static inline void park_nap(uint64_t ns) {
    _Atomic uint32_t nobody = 0;
    park_wait(&nobody, 0, ns);
}

#endif
