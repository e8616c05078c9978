/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/nearest.h"

#include <stdint.h>
#include <string.h>

static size_t nearest_least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Restricted Damerau-Levenshtein distance, by the table of the distances between all beginnings of both. */
size_t nearest_distance(const char *a, const char *b) {
    size_t d[NEAREST_WORD_MAX + 1][NEAREST_WORD_MAX + 1];
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len > NEAREST_WORD_MAX || b_len > NEAREST_WORD_MAX) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i <= a_len; i++) {
        d[i][0] = i;
    }
    for (size_t k = 0; k <= b_len; k++) {
        d[0][k] = k;
    }
    for (size_t i = 1; i <= a_len; i++) {
        for (size_t k = 1; k <= b_len; k++) {
            d[i][k] =
                nearest_least(nearest_least(d[i - 1][k], d[i][k - 1]) + 1, d[i - 1][k - 1] + (a[i - 1] != b[k - 1]));
            if (i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1]) {
                d[i][k] = nearest_least(d[i][k], d[i - 2][k - 2] + 1);
            }
        }
    }
    return d[a_len][b_len];
}

void nearest_try(struct nearest *n, const char *candidate) {
    size_t length = strlen(n->word), distance = nearest_distance(n->word, candidate);
    /* A third of a word may be wrong; of a short one, one character. */
    size_t most = length < 6 ? 1 : length / 3;
    int begins = length >= 3 && strncmp(n->word, candidate, length) == 0;
    if (begins && distance > most) {
        distance = most;
    }
    if (distance <= most && length > 1 && (!n->best || distance < n->distance)) {
        n->best = candidate;
        n->distance = distance;
    }
}
