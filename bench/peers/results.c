/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/peers/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct peer_result *peer_results_add(struct peer_results *r, const char *id, const char *group, const char *title,
                                     const char *unit) {
    if (r->n == PEER_RESULTS) {
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

/* "get.10k.uniform.lfht" -> the result "get.10k.uniform.tide"; NULL where there is none, or the result is it. */
static const struct peer_result *ours_beside(const struct peer_results *r, const struct peer_result *one) {
    char id[sizeof(one->id) + 8];
    const char *dot = strrchr(one->id, '.');
    if (strcmp(one->unit, "ns") != 0 || dot == NULL || strcmp(dot, ".tide") == 0 || strcmp(dot, ".loop") == 0) {
        return NULL;
    }
    snprintf(id, sizeof(id), "%.*s.tide", (int)(dot - one->id), one->id);
    return peer_results_find(r, id);
}

/* A group's times, then the same over Tidemark's, which is what one should take away from a noisy machine. */
static uint32_t add_group(const struct peer_results *r, struct bench_figures *f, uint32_t from) {
    double values[PEER_REPETITIONS];
    char id[sizeof(r->items[0].id)], group[sizeof(r->items[0].group)];
    uint32_t end = from;
    for (; end < r->n && strcmp(r->items[end].group, r->items[from].group) == 0; end++) {
        const struct peer_result *one = &r->items[end];
        memcpy(values, one->values, sizeof(values));
        bench_figures_add(f, one->id, one->group, one->title, one->unit, values, r->repetitions);
    }
    for (uint32_t i = from; i < end; i++) {
        const struct peer_result *one = &r->items[i], *ours = ours_beside(r, one);
        if (ours != NULL) {
            snprintf(id, sizeof(id), "%.60s.x", one->id);
            snprintf(group, sizeof(group), "%.70s over tide's", one->group);
            bench_figures_ratio(values, one->values, ours->values, r->repetitions);
            bench_figures_add(f, id, group, one->title, "x", values, r->repetitions);
        }
    }
    return end;
}

void peer_results_figures(const struct peer_results *r, struct bench_figures *f) {
    for (uint32_t i = 0; i < r->n;) {
        i = add_group(r, f, i);
    }
}
