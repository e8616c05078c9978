/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two results of readscale side by side: medians with the spread of both, so that nobody takes noise for a change. One thread. */
#ifndef TIDE_BENCH_COMPARE_H
#define TIDE_BENCH_COMPARE_H

#include <stdio.h>

#include <cjson/cJSON.h>

/* Read a result (schema "tidemark.readscale") and check all that the comparison needs. NULL with `error` (BENCH_ERROR_BYTES). Free by
 * cJSON_Delete. */
cJSON *bench_compare_read(const char *path, char *error);

/* Print what differs in settings and machine, and for each number of replicas that both have: old, new, their ratio, and whether their
 * spreads overlap. Both were checked. */
void bench_compare_print(FILE *out, const char *old_name, const cJSON *old, const cJSON *now);

#endif
