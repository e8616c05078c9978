/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/stats.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

struct bench_spread bench_spread_of(double *values, size_t n) {
    struct bench_spread s = { 0.0, 0.0, 0.0, n };
    if (n == 0) {
        return s;
    }
    qsort(values, n, sizeof(values[0]), by_value);
    s.min = values[0];
    s.max = values[n - 1];
    s.median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2.0;
    return s;
}

double bench_ratio(double a, double b) {
    return b == 0.0 ? 0.0 : a / b;
}
