/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/kill.h"

#ifdef TIDE_KILL_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

void (*kill_point_seen)(const char *name);

void kill_point(const char *name) {
    static _Atomic unsigned passed;
    const char *wanted = getenv("TIDE_KILL");
    if (kill_point_seen != NULL) {
        kill_point_seen(name);
    }
    if (wanted == NULL) {
        return;
    }
    const char *colon = strchr(wanted, ':');
    size_t len = colon != NULL ? (size_t)(colon - wanted) : strlen(wanted);
    unsigned nth = colon != NULL ? (unsigned)strtoul(colon + 1, NULL, 10) : 1;
    if (strlen(name) == len && memcmp(name, wanted, len) == 0 && atomic_fetch_add(&passed, 1) + 1 == nth) {
        raise(SIGKILL);
    }
}
#else
/* C11 wants something in every file. */
extern int kill_points_are_off;
#endif
