/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/peer.h"

#include <stdio.h>
#include <string.h>

const char *peer_count_text(char out[24], uint64_t n) {
    if (n >= 1000000 && n % 1000000 == 0) {
        snprintf(out, 24, "%lluM", (unsigned long long)(n / 1000000));
    } else if (n >= 1000 && n % 1000 == 0) {
        snprintf(out, 24, "%lluk", (unsigned long long)(n / 1000));
    } else {
        snprintf(out, 24, "%llu", (unsigned long long)n);
    }
    return out;
}

void peer_reader_init(struct peer_reader *r, const struct bench_workload *w, uint32_t turn, void *peer) {
    memset(r, 0, sizeof(*r));
    r->workload = w;
    r->sequence = w->sequences[turn];
    r->mask = w->steps - 1;
    r->value_size = w->value_size;
    r->peer = peer;
}
