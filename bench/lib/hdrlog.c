/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/hdrlog.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int fail(int code) {
    errno = code;
    return -1;
}

/* ---- numbers as Java prints them --------------------------------------------------------------------------------- */

#define FIXED_MAX 360 /* the largest double has 309 digits before the point */

/*
 * What Java's %.Nf makes of v >= 0: it rounds the shortest decimal that reads back as v, half up, where C rounds the
 * binary value itself. 0.125 with two digits is 0.13 there and 0.12 here; without this the texts would differ from the
 * reference in about one line of a thousand. (Above 2^53 it is what Java prints since version 19; older versions
 * sometimes show other digits, all of them beyond a double's precision.)
 */
static const char *java_fixed(double v, int decimals, char out[FIXED_MAX]) {
    char sci[40];
    char digits[24];
    if (!isfinite(v)) {
        return isnan(v) ? "NaN" : "Infinity";
    }
    int significant = 1;
    for (; significant < 17; significant++) {
        snprintf(sci, sizeof(sci), "%.*e", significant - 1, v);
        if (strtod(sci, NULL) == v) {
            break;
        }
    }
    snprintf(sci, sizeof(sci), "%.*e", significant - 1, v);
    int point = atoi(strchr(sci, 'e') + 1) + 2; /* digits before the point, with a zero in front for a carry to go to */
    int n = 0;
    digits[n++] = '0';
    for (const char *c = sci; *c != 'e'; c++) {
        if (*c != '.') {
            digits[n++] = *c;
        }
    }
    int keep = point + decimals;
    if (keep < n) {
        int up = keep >= 0 && digits[keep] >= '5';
        n = keep > 0 ? keep : 0;
        for (int i = n - 1; up && i >= 0; i--) {
            up = digits[i] == '9';
            digits[i] = up ? '0' : (char)(digits[i] + 1);
        }
    }
    size_t length = 0;
    for (int i = point > 1 ? 0 : point - 1; i < point + decimals; i++) {
        if (i == point) {
            out[length++] = '.';
        }
        if (!(i == 0 && point > 1 && digits[0] == '0')) {
            out[length++] = i >= 0 && i < n ? digits[i] : '0';
        }
    }
    out[length] = 0;
    return out;
}

/* ---- .hgrm ------------------------------------------------------------------------------------------------------- */

/* Each halving of the distance to 100 % gets `ticks` lines, so the step halves with it. Infinite where doubles end:
 * totals above 2^53 would else repeat one line for ever. */
static double next_level(double level, int ticks) {
    if (level >= 100) {
        return INFINITY;
    }
    double halvings = floor(log(100.0 / (100.0 - level)) / log(2)) + 1;
    double next = level + 100.0 / ((double)ticks * pow(2, halvings));
    return next > level ? next : INFINITY;
}

static void print_level(FILE *out, const struct hdr *h, int64_t value, double scale, double level, int64_t seen) {
    char a[FIXED_MAX];
    char b[FIXED_MAX];
    char c[FIXED_MAX];
    const char *shown = java_fixed((double)value / scale, h->digits, a);
    if (level == 100) {
        fprintf(out, "%12s %s %10lld\n", shown, java_fixed(1, 12, b), (long long)seen);
    } else {
        fprintf(out, "%12s %s %10lld %14s\n", shown, java_fixed(level / 100, 12, b), (long long)seen,
                java_fixed(1 / (1 - level / 100), 2, c));
    }
}

static void print_levels(FILE *out, const struct hdr *h, int ticks, double scale) {
    int64_t total = 0;
    for (int32_t i = 0; i < h->counts_len; i++) {
        total += hdr_count_at_index(h, i);
    }
    double level = 0;
    int64_t seen = 0;
    for (int32_t i = 0; i < h->counts_len && seen < total; i++) {
        int64_t count = hdr_count_at_index(h, i);
        if (!count) {
            continue;
        }
        seen += count;
        int64_t value = hdr_highest_equivalent(h, hdr_value_at_index(h, i));
        while (100.0 * (double)seen / (double)total >= level) {
            print_level(out, h, value, scale, level, seen);
            level = next_level(level, ticks);
            if (seen == total) {
                break;
            }
        }
    }
    if (total) {
        print_level(out, h, hdr_max(h), scale, 100, total);
    }
}

int hdrlog_hgrm(FILE *out, const struct hdr *h, int ticks, double scale) {
    if (ticks < 1 || !(scale > 0) || !isfinite(scale)) {
        return fail(EINVAL);
    }
    char a[FIXED_MAX];
    char b[FIXED_MAX];
    fprintf(out, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    print_levels(out, h, ticks, scale);
    fprintf(out, "#[Mean    = %12s, StdDeviation   = %12s]\n", java_fixed(hdr_mean(h) / scale, h->digits, a),
            java_fixed(hdr_stddev(h) / scale, h->digits, b));
    fprintf(out, "#[Max     = %12s, Total count    = %12lld]\n", java_fixed((double)hdr_max(h) / scale, h->digits, a),
            (long long)hdr_total(h));
    fprintf(out, "#[Buckets = %12d, SubBuckets     = %12d]\n", h->bucket_count, h->sub_bucket_count);
    return ferror(out) ? -1 : 0;
}

/* ---- .hlog ------------------------------------------------------------------------------------------------------- */

int hdrlog_begin(FILE *out, const char *comment, uint64_t start_unix_ms) {
    char seconds[FIXED_MAX];
    char date[64];
    struct tm tm;
    time_t start = (time_t)(start_unix_ms / 1000);
    if ((comment && strpbrk(comment, "\r\n")) || !localtime_r(&start, &tm) ||
        strftime(date, sizeof(date), "%a %b %d %H:%M:%S %Z %Y", &tm) == 0) {
        return fail(EINVAL);
    }
    if (comment) {
        fprintf(out, "#%s\n", comment);
    }
    fprintf(out, "#[Histogram log format version 1.3]\n");
    fprintf(out, "#[StartTime: %s (seconds since epoch), %s]\n", java_fixed((double)start_unix_ms / 1000, 3, seconds),
            date);
    fprintf(out, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n");
    return ferror(out) ? -1 : 0;
}

static int print_interval(FILE *out, const char *tag, double start_s, double length_s, double max, const char *text) {
    char a[FIXED_MAX];
    char b[FIXED_MAX];
    char c[FIXED_MAX];
    if (tag) {
        fprintf(out, "Tag=%s,", tag);
    }
    fprintf(out, "%s,%s,%s,%s\n", java_fixed(start_s, 3, a), java_fixed(length_s, 3, b), java_fixed(max, 3, c), text);
    return ferror(out) ? -1 : 0;
}

int hdrlog_interval(FILE *out, const char *tag, double start_s, double length_s, const struct hdr *h, double scale) {
    if ((tag && (!*tag || strpbrk(tag, ", \r\n") || strlen(tag) >= HDRLOG_TAG_MAX)) || !(start_s >= 0) ||
        !(length_s >= 0) || !(scale > 0) || !isfinite(start_s + length_s + scale)) {
        return fail(EINVAL);
    }
    uint8_t *bytes;
    size_t length;
    char *text;
    if (hdrlog_encode_compressed(h, &bytes, &length) != 0) {
        return -1;
    }
    int rc = hdrlog_base64_encode(bytes, length, &text);
    free(bytes);
    if (rc != 0) {
        return -1;
    }
    rc = print_interval(out, tag, start_s, length_s, (double)hdr_max(h) / scale, text);
    free(text);
    return rc;
}
