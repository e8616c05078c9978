/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making all peers and putting every key into each. Two threads share the work: with 10 M keys it takes as long as
 * measuring. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "bench/peers/pages.h"
#include "bench/peers/stage.h"

#define SPARE_BYTES (UINT64_C(256) << 20)

static uint64_t memory_left(void) {
    uint64_t kib = bench_file_kib("/proc/meminfo", "MemAvailable");
    return kib != 0 ? kib * 1024 : UINT64_MAX;
}

static void tell_left_out(const struct peer_stage *s, const struct peer *p, const char *why) {
    peer_progress(NULL, s, 0);
    fprintf(stderr, "peers: %s is left out at %s keys with values of %llu bytes: %s\n", p->name,
            peer_count_text(s->options.keys), (unsigned long long)s->options.value_size, why);
}

/* Told once: the package will not come while this program runs. */
static void tell_not_built(const struct peer *p) {
    static const struct peer *told[PEERS];
    uint32_t k = 0;
    while (told[k] != NULL && told[k] != p) {
        k++;
    }
    if (told[k] == NULL) {
        fprintf(stderr, "peers: %s is left out: this was built without it. `make bench-peers` installs %s\n", p->name,
                p->package);
    }
    told[k] = p;
}

/* Is it to be measured, and is there room for it in *left bytes? */
static int fits(const struct peer_stage *s, const struct peer *p, uint64_t *left) {
    if (p->package != NULL) {
        tell_not_built(p);
        return 0;
    }
    uint64_t need = p->bytes(&s->c) / 10 * 11;
    if (need > *left) {
        tell_left_out(s, p,
                      bench_text("it needs about %llu MiB, and %llu are left", (unsigned long long)(need >> 20),
                                 (unsigned long long)(*left >> 20)));
        return 0;
    }
    *left -= need;
    return 1;
}

static void fill_those(struct peer_stage *s, bool ours) {
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (seat->ready && seat->peer->by_user == ours) {
            seat->peer->fill(&s->c, &seat->handle);
        }
    }
}

static void *fill_others(void *stage) {
    fill_those(stage, false);
    return NULL;
}

void peer_stage_fill(struct peer_stage *s) {
    uint64_t left = memory_left();
    left = left > SPARE_BYTES ? left - SPARE_BYTES : 0;
    peer_progress("filling", s, 0);
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        seat->ready = seat->peer != NULL && fits(s, seat->peer, &left);
    }
    /* Forks come first: later, domains are open and threads run. */
    for (uint32_t k = 0; k < PEERS; k++) {
        struct peer_seat *seat = &s->seats[k];
        if (seat->ready && seat->peer->fork != NULL && !seat->peer->fork(&s->c, &seat->handle)) {
            tell_left_out(s, seat->peer, s->c.error);
            seat->ready = 0;
        }
    }
    pthread_t helper = bench_thread(fill_others, s);
    fill_those(s, true);
    pthread_join(helper, NULL);
    if (s->c.huge_pages) {
        peer_pages_collapse_private();
    }
}
