/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a result: report.html with its pictures inside, result.json, histograms. */
#ifndef TIDE_BENCH_REPORT_H
#define TIDE_BENCH_REPORT_H

#include "bench/lib/sweep.h"

/*
 * Write everything into a directory, which is created where it is not there (its parents as well):
 * report.html, result.json, throughput.svg, latency.svg, lag.svg, and readscale-rN.hgrm and readscale-rN.hlog for each
 * point. Without gnuplot the report has the tables alone and says so. 0, or -1 with `error` (BENCH_ERROR_BYTES) filled.
 */
int bench_report_write(const struct bench_sweep *s, const char *dir, char *error);

/* mkdir -p. 0, or -1 with errno. */
int bench_make_directory(const char *path);

#endif
