/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/peer.h"

#include <string.h>

const char *peer_count_text(uint64_t n) {
    const char *unit = n >= 1000000 && n % 1000000 == 0 ? "M" : n >= 1000 && n % 1000 == 0 ? "k" : "";
    return bench_text("%llu%s", (unsigned long long)(n / (*unit == 'M' ? 1000000 : *unit == 'k' ? 1000 : 1)), unit);
}

void peer_reader_init(struct peer_reader *r, const struct bench_workload *w, uint32_t turn, void *peer) {
    memset(r, 0, sizeof(*r));
    r->workload = w;
    r->sequence = w->sequences[turn];
    r->mask = w->steps - 1;
    r->value_size = w->value_size;
    r->peer = peer;
}
