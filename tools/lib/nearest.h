/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which word was meant by one that is unknown. Any thread. */
#ifndef TIDE_LIB_NEAREST_H
#define TIDE_LIB_NEAREST_H

#include <stddef.h>

#define NEAREST_WORD_MAX 31u /* longer words have no neighbours */

/* How many insertions, deletions, changes of a character, or swaps of two neighbours make b of a. Both of at most
 * NEAREST_WORD_MAX bytes; SIZE_MAX where one is longer. */
size_t nearest_distance(const char *a, const char *b);

/* A search: begin with { .word = ... }, call nearest_try() for each candidate; `best` is then the nearest that is near
 * enough to be meant, or NULL. Candidates live as long as the search. */
struct nearest {
    const char *word;
    const char *best;
    size_t distance;
};
void nearest_try(struct nearest *n, const char *candidate);

#endif
