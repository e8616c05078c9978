/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two hosts on a cluster of three, with everything that can happen to them, for as long as one likes. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/help.h"
#include "tests/lib/upstream_world.h"
#include "tools/etcd/http.h"

int main(int argc, char **argv) {
    uint64_t seconds = 60, seed = 0, members = 3;
    for (int i = 1; i < argc; i += 2) {
        uint64_t *to = strcmp(argv[i], "--seconds") == 0   ? &seconds
                       : strcmp(argv[i], "--seed") == 0    ? &seed
                       : strcmp(argv[i], "--members") == 0 ? &members
                                                           : NULL;
        if (!to || i + 1 == argc) {
            fprintf(stderr, "stress_upstream [--seconds N] [--seed N] [--members 1|3]\n");
            return 2;
        }
        *to = strtoull(argv[i + 1], NULL, 0);
    }
    if (etcd_http_missing() || !etcd_is_here()) {
        printf("skipped: %s\n", etcd_http_missing() ? etcd_http_missing() : "there is no etcd here");
        return 0;
    }
    help_start((unsigned)seconds + 600);
    struct upstream_counts counts = { 0 };
    bool fine = upstream_world_run(seed ? seed : help_seed(), members == 1 ? 1 : 3, seconds, true, &counts);
    upstream_counts_print(&counts);
    return fine ? 0 : 1;
}
