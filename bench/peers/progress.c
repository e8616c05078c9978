/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdio.h>
#include <unistd.h>

#include "bench/peers/stage.h"

void peer_progress(const char *part, const struct peer_stage *s, uint32_t done) {
    char keys[24];
    if (!isatty(STDERR_FILENO)) {
        return;
    }
    fputs("\r\033[K", stderr);
    if (part != NULL) {
        fprintf(stderr, "%s, %s keys, %llu bytes, %s: %u of %u", part, peer_count_text(keys, s->options.keys),
                (unsigned long long)s->options.value_size, bench_dists[s->workload.dist], done,
                s->settings->repetitions);
    }
    fflush(stderr);
}
