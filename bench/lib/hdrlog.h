/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HdrHistogram's standard files, so that its tools (HistogramLogProcessor, the plotters) read our results:
 * `.hgrm`, the percentile distribution as text; `.hlog`, the interval log, version 1.3; and the V2 encoding inside it.
 *
 * Source of the formats: HdrHistogram's documentation and its Java implementation's behaviour, against which
 * tests/hdr_reference.test.sh compares every byte of the texts.
 *
 * All functions: any thread, on private histograms (take hdr_snapshot() of one that is being written). Errors: 0, or -1
 * with errno: EINVAL (the bytes or arguments are no good), ENOMEM, or what writing the file gave. What reads
 * these files is in tests/lib/hdrdecode.h.
 */
#ifndef TIDE_BENCH_HDRLOG_H
#define TIDE_BENCH_HDRLOG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/hdr.h"

#define HDRLOG_TICKS 5     /* lines for each halving of the distance to 100 % */
#define HDRLOG_TAG_MAX 64u /* bytes of a tag, with its zero */

/* The percentile distribution, as Java's outputPercentileDistribution(stream, ticks, scale) prints it: values are
 * divided by `scale` (1e3: ns shown as us). ticks >= 1, scale > 0. */
int hdrlog_hgrm(FILE *out, const struct hdr *h, int ticks, double scale);

/* The V2 encoding (hdrlog_encode) and the same within zlib (hdrlog_encode_compressed). *bytes is the caller's, to
 * free(). */
int hdrlog_encode(const struct hdr *h, uint8_t **bytes, size_t *length);
int hdrlog_encode_compressed(const struct hdr *h, uint8_t **bytes, size_t *length);

/* Base64 with padding, as in the log: into a buffer of (length + 2) / 3 * 4 + 1 bytes; or *text ends with a zero and is the caller's, to free(). */
void hdrlog_base64(char *to, const void *bytes, size_t length);
int hdrlog_base64_encode(const uint8_t *bytes, size_t length, char **text);

/* Writes the head of a log: `comment` (NULL: none) as a comment, the version, the start time, the legend. Times in
 * the log's lines count from start_unix_ms. */
int hdrlog_begin(FILE *out, const char *comment, uint64_t start_unix_ms);

/* Writes one interval. tag: NULL, or without comma, blank and line end. scale: divides the maximum that is shown
 * (1e6: ns as ms, as the standard tools expect it); the histogram itself stays as it is. */
int hdrlog_interval(FILE *out, const char *tag, double start_s, double length_s, const struct hdr *h, double scale);

#endif
