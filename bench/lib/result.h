/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The result as JSON: schema "tidemark.readscale", documented in docs/bench.md. */
#ifndef TIDE_BENCH_RESULT_H
#define TIDE_BENCH_RESULT_H

#include <cjson/cJSON.h>

#include "bench/lib/sweep.h"

#define BENCH_SCHEMA_VERSION 1

/* The whole result; NULL: no memory. Free by cJSON_Delete. */
cJSON *bench_result_json(const struct bench_sweep *s);

/* Write it to a file or ("-") stdout. 0, or -1 with errno. */
int bench_result_write(const struct bench_sweep *s, const char *path);

/* Parts that other benchmarks use as well. */
cJSON *bench_machine_json(const struct bench_machine *m);
cJSON *bench_spread_json(const struct bench_spread *s);

/* Read a document. NULL with `error` (BENCH_ERROR_BYTES): there is none, it is larger than that, or no JSON. */
cJSON *bench_json_read(const char *path, long bytes_max, char *error);

/* Write `text` and `end` to a file or ("-") stdout. 0, or -1 with errno. */
int bench_text_write(const char *text, const char *end, const char *path);

/* Write a document, indented, to a file or ("-") stdout. 0, or -1 with errno. */
int bench_json_write(const cJSON *json, const char *path);

#endif
