/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <sys/stat.h>
#include <time.h>

#include "shm/clock.h"
#include "tools/dump/dump.h"

#define NS_PER_S UINT64_C(1000000000)

static uint64_t clock_read_clock(clockid_t id) {
    struct timespec ts;
    if (clock_gettime(id, &ts) != 0) {
        return 0;
    }
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t dump_now_ns(void) {
    return clock_read_clock(CLOCK_MONOTONIC);
}

bool dump_clock_known(const struct segment_header *h) {
    struct stat st;
    if (stat("/proc/self/ns/time", &st) == 0 && h->time_ns_inode != 0 && h->time_ns_inode != (uint64_t)st.st_ino) {
        return false;
    }
    /* A copy of a segment may be older than this boot, with which CLOCK_MONOTONIC began anew. A second is for clocks
     * that are set. */
    uint64_t unix_now = clock_read_clock(CLOCK_REALTIME), up = clock_read_clock(CLOCK_BOOTTIME);
    return h->created_unix_ns <= unix_now + NS_PER_S && h->created_unix_ns + NS_PER_S >= unix_now - up;
}

uint64_t dump_age_ns(const struct clock_line *line, uint64_t ts) {
    uint64_t now = clock_check(line) == 0 ? clock_now(line) : dump_now_ns();
    if (ts <= now) {
        return now - ts;
    }
    return ts - now < NS_PER_S ? 0 : DUMP_AGE_UNKNOWN;
}
