/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HdrHistogram's files read back (bench/lib/hdrlog.h writes them). The bytes may be any: all are checked, nothing outside is read,
 * and no more is allocated than the header's shape asks, at most HDRLOG_BYTES_MAX. 0, or -1 with errno: EINVAL (the bytes
 * are no good) or ENOMEM.
 */
#ifndef TIDEMARK_TESTS_HDRDECODE_H
#define TIDEMARK_TESTS_HDRDECODE_H

#include "bench/lib/hdrlog.h"

#define HDRLOG_BYTES_MAX ((size_t)64 << 20) /* a histogram from outside is no larger in memory */

/* Takes what hdrlog_encode() gives, or hdrlog_encode_compressed(). *out is the caller's, to hdr_free(). */
int hdrlog_decode(const uint8_t *bytes, size_t length, struct hdr **out);

/* *bytes is the caller's, to free(). */
int hdrlog_base64_decode(const char *text, size_t length, uint8_t **bytes, size_t *out_length);

/* One interval of a log. */
struct hdrlog_line {
    char tag[HDRLOG_TAG_MAX]; /* "": none */
    double start_s;
    double length_s;
    double max;      /* as shown */
    struct hdr *hdr; /* the caller's, to hdr_free() */
};

/* Reads the next interval, over comments and legend. 1: got one; 0: the end; -1: a line that cannot be (EINVAL), or
 * no memory. */
int hdrlog_next(FILE *in, struct hdrlog_line *line);

#endif
