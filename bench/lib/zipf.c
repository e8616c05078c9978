/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/zipf.h"

#include <math.h>

int bench_zipf_init(struct bench_zipf *z, uint64_t n, double theta) {
    if (n == 0 || !(theta > 0.0 && theta < 1.0)) {
        return -1;
    }
    double zeta = 0.0;
    /* From the small terms up: adding them to a large sum first would lose them. */
    for (uint64_t i = n; i >= 1; i--) {
        zeta += pow((double)i, -theta);
    }
    z->n = n;
    z->theta = theta;
    z->zeta_n = zeta;
    z->alpha = 1.0 / (1.0 - theta);
    z->second = 1.0 + pow(0.5, theta);
    z->eta = n > 2 ? (1.0 - pow(2.0 / (double)n, 1.0 - theta)) / (1.0 - z->second / zeta) : 0.0;
    return 0;
}

uint64_t bench_zipf_next(const struct bench_zipf *z, struct bench_rng *rng) {
    double u = bench_rng_unit(rng);
    double uz = u * z->zeta_n;
    if (uz < 1.0 || z->n == 1) {
        return 0;
    }
    if (uz < z->second || z->n == 2) {
        return 1;
    }
    uint64_t rank = (uint64_t)((double)z->n * pow(z->eta * u - z->eta + 1.0, z->alpha));
    /* Rounding may reach n where u is next to 1. */
    return rank < z->n ? rank : z->n - 1;
}

double bench_zipf_probability(const struct bench_zipf *z, uint64_t rank) {
    return pow((double)rank + 1.0, -z->theta) / z->zeta_n;
}
