/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HdrHistogram's standard files, so that its tools (HistogramLogProcessor, the plotters) read our results:
 * `.hgrm`, the percentile distribution as text; `.hlog`, the interval log, version 1.3; and the V2 encoding inside it.
 *
 * Source of the formats: HdrHistogram's documentation and its Java implementation's behaviour, against which
 * tests/hdr_reference.test.sh compares every byte of the texts.
 *
 * All functions: any thread, on private histograms (take hdr_snapshot() of one that is being written). Errors: 0, or -1
 * with errno: EINVAL (the bytes or arguments are no good), ENOMEM, or what writing the file gave. Decoders take any
 * bytes: they check all, read nothing outside, and allocate no more than the header's shape asks, at most
 * HDRLOG_BYTES_MAX.
 */
#ifndef BENCH_LIB_HDRLOG_H
#define BENCH_LIB_HDRLOG_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/hdr.h"

#define HDRLOG_TICKS 5                      /* lines for each halving of the distance to 100 % */
#define HDRLOG_BYTES_MAX ((size_t)64 << 20) /* a histogram from outside is no larger in memory */

/* The percentile distribution, as Java's outputPercentileDistribution(stream, ticks, scale) prints it: values are
 * divided by `scale` (1e3: ns shown as us). ticks >= 1, scale > 0. */
int hdrlog_hgrm(FILE *out, const struct hdr *h, int ticks, double scale);

/* The V2 encoding (hdrlog_encode) and the same within zlib (hdrlog_encode_compressed). *bytes is the caller's, to
 * free(). */
int hdrlog_encode(const struct hdr *h, uint8_t **bytes, size_t *length);
int hdrlog_encode_compressed(const struct hdr *h, uint8_t **bytes, size_t *length);

/* Takes either of the two. *out is the caller's, to hdr_free(). */
int hdrlog_decode(const uint8_t *bytes, size_t length, struct hdr **out);

/* Base64 with padding, as in the log. *text ends with a zero and is the caller's, to free(); bytes likewise. */
int hdrlog_base64_encode(const uint8_t *bytes, size_t length, char **text);
int hdrlog_base64_decode(const char *text, size_t length, uint8_t **bytes, size_t *out_length);

/* Writes the head of a log: `comment` (NULL: none) as a comment, the version, the start time, the legend. Times in
 * the log's lines count from start_unix_ms. */
int hdrlog_begin(FILE *out, const char *comment, uint64_t start_unix_ms);

/* Writes one interval. tag: NULL, or without comma, blank and line end. scale: divides the maximum that is shown
 * (1e6: ns as ms, as the standard tools expect it); the histogram itself stays as it is. */
int hdrlog_interval(FILE *out, const char *tag, double start_s, double length_s, const struct hdr *h, double scale);

/* One interval of a log. */
struct hdrlog_line {
    char tag[64]; /* "": none */
    double start_s;
    double length_s;
    double max;      /* as shown */
    struct hdr *hdr; /* the caller's, to hdr_free() */
};

/* Reads the next interval, over comments and legend. 1: got one; 0: the end; -1: a line that cannot be (EINVAL), or
 * no memory. */
int hdrlog_next(FILE *in, struct hdrlog_line *line);

#endif
