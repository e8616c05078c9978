/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef TIDE_TESTS_STRESS_WRITERS_H
#define TIDE_TESTS_STRESS_WRITERS_H

#include "tests/lib/stress_domain.h"

/*
 * Many threads write at once, so that most writes are taken along by others: put, delete, compare-and-set on shared
 * counters, transfers between accounts by batches with conditions. No index is given out twice or left out, no
 * increment is lost, no transfer shows in parts; readers beside them use all four fallbacks.
 */
void stress_writers_round(uint64_t seed, uint64_t round_ns);

#endif
