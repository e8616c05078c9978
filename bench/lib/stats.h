/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Median and spread over repetitions. */
#ifndef TIDE_BENCH_STATS_H
#define TIDE_BENCH_STATS_H

#include <stddef.h>

struct bench_spread {
    double median;
    double min;
    double max;
    size_t n;
};

/* Median (of an even number: the mean of the middle two), least and greatest of n values; all 0 where n is 0.
 * Sorts the values in place. Values must not be NaN. */
struct bench_spread bench_spread_of(double *values, size_t n);

/* a / b, or 0 where b is 0: a figure that could not be measured shows as 0, never as inf or NaN, which JSON lacks. */
double bench_ratio(double a, double b);

#endif
