/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/pages.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif
#define HUGE_PAGE ((uint64_t)2 << 20)
#define MAPS_MAX 4096u

struct map {
    uint64_t start, end;
};

/* Whole huge pages alone; a refusal is no reason to stop, since a range may hold pages that were never touched. */
static void collapse(uint64_t start, uint64_t end) {
    for (uint64_t at = (start + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE; at + HUGE_PAGE <= end; at += HUGE_PAGE) {
        (void)madvise((void *)(uintptr_t)at, HUGE_PAGE, MADV_COLLAPSE);
    }
}

/* Private, writable mappings without a file, of at least a huge page. How many. */
static uint32_t list_maps(struct map *out) {
    FILE *f = fopen("/proc/self/maps", "re");
    char line[512], flags[8], path[384];
    uint32_t n = 0;
    while (f != NULL && n < MAPS_MAX && fgets(line, sizeof(line), f) != NULL) {
        struct map m;
        path[0] = '\0';
        int got = sscanf(line, "%" SCNx64 "-%" SCNx64 " %7s %*s %*s %*s %383s", &m.start, &m.end, flags, path);
        if (got >= 3 && m.end - m.start >= HUGE_PAGE && strncmp(flags, "rw-p", 4) == 0 &&
            (path[0] == '\0' || strcmp(path, "[heap]") == 0)) {
            out[n++] = m;
        }
    }
    if (f != NULL) {
        fclose(f);
    }
    return n;
}

void peer_pages_collapse_private(void) {
    static struct map maps[MAPS_MAX]; /* all are listed first: collapsing changes the list */
    uint32_t n = list_maps(maps);
    for (uint32_t i = 0; i < n; i++) {
        collapse(maps[i].start, maps[i].end);
    }
}
