/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was measured, by repetition, until figures and bars are made of it. */
#ifndef TIDEMARK_BENCH_PEERS_RESULTS_H
#define TIDEMARK_BENCH_PEERS_RESULTS_H

#include "bench/lib/figures.h"
#include "bench/peers/settings.h"

struct peer_result {
    char id[64]; /* "get.10k.uniform.lfht" */
    char group[96];
    char title[96];
    char unit[16];
    double values[PEER_REPETITIONS];
};

#define PEER_RESULTS (BENCH_FIGURES_MAX / 2) /* each may become two figures */

struct peer_results {
    uint32_t repetitions;
    uint32_t n;
    struct peer_result items[PEER_RESULTS];
};

/* A new one, all values 0. The program ends where there is no more room. */
struct peer_result *peer_results_add(struct peer_results *r, const char *id, const char *group, const char *title,
                                     const char *unit);

/* NULL: was not measured. */
const struct peer_result *peer_results_find(const struct peer_results *r, const char *id);

/* "10k", "1M", "123": as ids spell it. */
const char *peer_count_text(char out[24], uint64_t n);

/* All figures, and the bars (bars.c). */
void peer_results_figures(const struct peer_results *r, struct bench_figures *f);
void peer_results_bars(const struct peer_results *r, struct bench_figures *f);

#endif
