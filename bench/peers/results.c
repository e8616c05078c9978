/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer_result *peer_results_add(struct peer_results *r, const char *id, const char *group, const char *title,
                                     const char *unit) {
    if (r->n == BENCH_FIGURES_MAX) {
        fprintf(stderr, "peers: more figures than there is room for; give fewer --keys or --value-size\n");
        exit(BENCH_EXIT_USAGE);
    }
    struct peer_result *one = &r->items[r->n++];
    memset(one, 0, sizeof(*one));
    snprintf(one->id, sizeof(one->id), "%s", id);
    snprintf(one->group, sizeof(one->group), "%s", group);
    snprintf(one->title, sizeof(one->title), "%s", title);
    snprintf(one->unit, sizeof(one->unit), "%s", unit);
    return one;
}

const struct peer_result *peer_results_find(const struct peer_results *r, const char *id) {
    for (uint32_t i = 0; i < r->n; i++) {
        if (strcmp(r->items[i].id, id) == 0) {
            return &r->items[i];
        }
    }
    return NULL;
}

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

void peer_results_figures(const struct peer_results *r, struct bench_figures *f) {
    double values[PEER_REPETITIONS];
    for (uint32_t i = 0; i < r->n; i++) {
        const struct peer_result *one = &r->items[i];
        memcpy(values, one->values, sizeof(values));
        bench_figures_add(f, one->id, one->group, one->title, one->unit, values, r->repetitions);
    }
}
