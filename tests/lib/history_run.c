/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many histories, in several worlds. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/lib/history_shared.h"

#define RUN_WORLD 125u

static void run_show(const struct history_totals *t, uint64_t histories) {
    if (isatty(STDERR_FILENO)) {
        fprintf(stderr, "\r%" PRIu64 " of %" PRIu64 " histories, %" PRIu64 " kills ", t->histories, histories,
                t->kills);
        if (t->histories == histories) {
            fprintf(stderr, "\n");
        }
    }
}

/* The whole history goes into a file of its own where the environment names one. */
static void run_keep(const struct history *h, const struct history_fault *f) {
    const char *path = getenv("TIDE_TEST_HISTORY");
    FILE *to = path != NULL ? fopen(path, "a") : NULL;
    if (to != NULL) {
        history_print(to, h, f);
        fclose(to);
    }
}

static void run_blame(struct history *h, const struct history_fault *f, uint64_t seed) {
    printf("# seed %" PRIu64 ": a history of %zu operations fails: %s\n", seed, h->n, history_fault_name(f->kind));
    run_keep(h, f);
    history_minimise(h, f->kind);
    struct history_fault small;
    history_check(h, &small);
    history_print(stdout, h, &small);
}

/* Rings that wrap several times in a history, or every few. */
static uint64_t run_ring_bytes(const struct history_settings *settings, uint64_t world) {
    static const uint64_t sizes[] = { 1u << 20, 256u << 10, 64u << 10, 4u << 20 };
    return settings->ring_bytes != 0 ? settings->ring_bytes : sizes[world % 4];
}

bool history_run_all(const struct history_settings *settings, uint64_t histories, uint64_t until_ns,
                     struct history_totals *totals) {
    uint64_t first = totals->histories;
    uint32_t per_world = settings->per_world != 0 ? settings->per_world : RUN_WORLD;
    bool fine = true;
    for (uint64_t world = 0; fine && totals->histories - first < histories; world++) {
        struct history_settings s = *settings;
        s.seed = settings->seed + world;
        s.lives = world % 3 != 0;
        s.evicts = world % 3 == 2;
        s.ring_bytes = run_ring_bytes(settings, world / 3 + world % 3);
        struct history_world *w = history_world_start(&s);
        fine = w != NULL;
        for (uint32_t i = 0; fine && i < per_world && totals->histories - first < histories; i++) {
            struct history h;
            struct history_fault f;
            if (until_ns != 0 && history_now_ns() > until_ns) {
                histories = totals->histories - first;
                break;
            }
            fine = history_world_run(w, &h, totals);
            if (fine && !history_check(&h, &f)) {
                run_blame(&h, &f, s.seed);
                fine = false;
            }
            run_show(totals, first + histories);
        }
        fine = fine && history_world_verify(w, totals);
        if (w != NULL) {
            history_world_end(w);
        }
    }
    return fine;
}

void history_print_totals(const struct history_totals *t) {
    printf("# %" PRIu64 " histories, %" PRIu64 " operations: %" PRIu64 " linearizable reads, %" PRIu64
           " bounded, %" PRIu64 " stale by choice, %" PRIu64 " refused\n",
           t->histories, t->ops, t->linearizable, t->bounded, t->stale, t->refused);
    printf("# %" PRIu64 " cas without a match, %" PRIu64 " writes pending, %" PRIu64 " certainly not done\n",
           t->mismatches, t->pending, t->undone);
    printf("# %" PRIu64 " kills, %" PRIu64 " of them of the leader; %" PRIu64 " stops, %" PRIu64
           " changes of leader asked for\n",
           t->kills, t->leader_kills, t->stops, t->step_downs);
    printf("# %" PRIu64 " touches, %" PRIu64 " adds; %" PRIu64 " keys expired, %" PRIu64 " evicted\n", t->touches,
           t->adds, t->expired, t->evicted);
    fflush(stdout);
}
