/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Figures as people read them. */
#ifndef TIDE_BENCH_FORMAT_H
#define TIDE_BENCH_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BENCH_TEXT 32u

/* Three significant digits and a unit: "87 ns", "1.23 us", "45.6 ms", "none" for TIDE_UNBOUNDED. Returns `out`. */
const char *bench_format_ns(char out[BENCH_TEXT], double ns);
/* "950", "1.25 k", "38.4 M". */
const char *bench_format_count(char out[BENCH_TEXT], double n);
/* A number that somebody chose: "10 k", "1 M", and as it is where it is not round: "1234". */
const char *bench_format_round(char out[BENCH_TEXT], uint64_t n);
/* A share of 1 as percent; a share above 0 never shows as 0: "0", "<0.01", "0.25", "99.8", "100".
 */
const char *bench_format_percent(char out[BENCH_TEXT], double share);

/* Text for HTML, with <, >, &, " and ' escaped. */
void bench_html_text(FILE *out, const char *text);

/* "<TAG>TEXT</TAG>" and a line end. */
void bench_html_tag(FILE *out, const char *tag, const char *text);

#endif
