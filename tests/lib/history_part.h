/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the parts of the checker share. */
#ifndef TIDE_TESTS_HISTORY_PART_H
#define TIDE_TESTS_HISTORY_PART_H

#include "tests/lib/history_op.h"

/* Which operation wrote a value. */
struct history_values {
    struct history_value {
        uint64_t value;
        size_t op;
    } * sorted;
    size_t n;
};

/* Never NULL. */
void *history_alloc(size_t bytes);

/* Does the operation leave a value of its own? Not a pending add that nobody saw the sum of. */
bool history_makes_value(const struct history_op *op);

/* False where two writes have one value, which is the recorder's mistake. */
bool history_values_make(struct history_values *v, const struct history *h, struct history_fault *f);
void history_values_free(struct history_values *v);
size_t history_values_find(const struct history_values *v, uint64_t value); /* SIZE_MAX: nobody */

/* Values of adds: what a pending one left, from what was seen. Each add is a cas of a value from here on. */
void history_resolve_adds(struct history *h);

/* Real time, claims and bounds. Pending writes have their indexes already, where those are known. */
bool history_check_times(const struct history *h, struct history_fault *f);

/* Each session by itself, and errors. */
bool history_check_sessions(const struct history *h, struct history_fault *f);

#endif
