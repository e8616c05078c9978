/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Our half of tests/hdr_reference.test.sh; tests/java/HdrReference.java is the other.
 *
 *   tool_hdrwrite write DIR        DIR/log.hlog, and for each histogram in it DIR/N.hgrm and DIR/N.txt
 *   tool_hdrwrite read FILE DIR    DIR/N.txt for each histogram in a log
 *
 * N.txt: all that can be asked of a histogram, doubles as the bits of their representation.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "tests/lib/hdrdecode.h"
#include "tests/lib/random.h"

#define HISTOGRAMS 120
#define PERCENTILES 200 /* 0 to 100, then 99.901 to 99.999 */
#define START_UNIX_MS UINT64_C(1700000000125)
#define INTERVAL_S 0.75 /* exact in binary, so that sums of it are exact on both sides */

static const double scales[] = { 1, 1000, 1000000, 3.7 };

static FILE *open_in(const char *dir, const char *name) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *out = fopen(path, "w");
    if (!out) {
        perror(path);
    }
    return out;
}

static uint64_t bits_of(double value) {
    uint64_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static int write_facts(const struct hdr *h, const char *dir, int i) {
    char name[32];
    snprintf(name, sizeof(name), "%d.txt", i);
    FILE *out = open_in(dir, name);
    if (!out) {
        return -1;
    }
    fprintf(out, "shape %lld %lld %d\n", (long long)h->lowest, (long long)h->highest, h->digits);
    fprintf(out, "total %lld min %lld max %lld\n", (long long)hdr_total(h), (long long)hdr_min(h),
            (long long)hdr_max(h));
    fprintf(out, "mean %016llx stddev %016llx\n", (unsigned long long)bits_of(hdr_mean(h)),
            (unsigned long long)bits_of(hdr_stddev(h)));
    double p[PERCENTILES];
    int64_t v[PERCENTILES];
    for (int k = 0; k < PERCENTILES; k++) {
        p[k] = k <= 100 ? k : 100 - (200 - k) / 1000.0;
    }
    hdr_values_at_percentiles(h, p, v, PERCENTILES);
    for (int k = 0; k < PERCENTILES; k++) {
        fprintf(out, "p %d %lld\n", k, (long long)v[k]);
    }
    for (int32_t k = 0; k < h->counts_len; k++) {
        if (hdr_count_at_index(h, k)) {
            fprintf(out, "count %lld %lld\n", (long long)hdr_value_at_index(h, k), (long long)hdr_count_at_index(h, k));
        }
    }
    return fclose(out);
}

/* A histogram of every kind: shapes, many and few values, wide and narrow, large counts, one value, none. */
static struct hdr *make(int i) {
    static const int64_t lowest[] = { 1, 1, 1000, 1, 2000000 };
    /* Nothing above 2^53: there JDKs before 19 print other digits than those after. */
    static const int64_t highest[] = { INT64_C(3600000000), INT64_C(3600000000000), INT64_C(3600000000000),
                                       INT64_C(1) << 52, INT64_C(3600000000000) };
    /* Five digits over the widest range would be 2.5 million counts: too slow to be worth it. */
    struct hdr *h = hdr_new(lowest[i % 5], highest[i % 5], i % 20 == 15 ? i / 20 : 1 + i % 3);
    if (!h) {
        return NULL;
    }
    /* Empty ones only where lowest is 1: elsewhere the reference, having decoded one, says that its max is not 0. */
    int records = i % 10 == 0 ? 0 : i % 10 == 1 ? 1 : 1 + (int)(next_random() % (i % 10 == 2 ? 10 : 20000));
    int64_t center = (int64_t)(next_random() % 1000000);
    for (int k = 0; k < records; k++) {
        int64_t value = i % 3 == 0   ? (int64_t)(next_random() >> 1 >> next_random() % 63)
                        : i % 3 == 1 ? center + (int64_t)(next_random() % 50000)
                                     : center * (int64_t)(1 + next_random() % 7);
        hdr_record_n(h, value, i % 7 == 5 ? 1 + (int64_t)(next_random() % 1000000000) : 1);
    }
    if (i % 11 == 4) {
        hdr_record_n(h, 0, 3);
    }
    return h;
}

static int write_one(FILE *log, const char *dir, int i) {
    char name[32];
    char tag[32];
    snprintf(name, sizeof(name), "%d.hgrm", i);
    snprintf(tag, sizeof(tag), "tag%d", i);
    struct hdr *h = make(i);
    FILE *out = open_in(dir, name);
    if (!h || !out) {
        return -1;
    }
    int rc = hdrlog_hgrm(out, h, HDRLOG_TICKS, scales[i % 4]);
    if (fclose(out) != 0 || write_facts(h, dir, i) != 0) {
        rc = -1;
    }
    if (hdrlog_interval(log, i % 3 ? tag : NULL, i * INTERVAL_S, INTERVAL_S, h, scales[i % 4]) != 0) {
        rc = -1;
    }
    hdr_free(h);
    return rc;
}

static int write_all(const char *dir) {
    FILE *log = open_in(dir, "log.hlog");
    if (!log || hdrlog_begin(log, "[Logged by the reference test]", START_UNIX_MS) != 0) {
        return 1;
    }
    for (int i = 0; i < HISTOGRAMS; i++) {
        if (write_one(log, dir, i) != 0) {
            return 1;
        }
    }
    return fclose(log) != 0;
}

static int read_all(const char *path, const char *dir) {
    FILE *log = fopen(path, "r");
    if (!log) {
        perror(path);
        return 1;
    }
    struct hdrlog_line line;
    int rc;
    int i = 0;
    while ((rc = hdrlog_next(log, &line)) == 1) {
        rc = write_facts(line.hdr, dir, i++);
        hdr_free(line.hdr);
        if (rc != 0) {
            break;
        }
    }
    fclose(log);
    if (rc != 0) {
        fprintf(stderr, "%s: interval %d cannot be read\n", path, i);
    }
    return rc != 0;
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "write") == 0) {
        return write_all(argv[2]);
    }
    if (argc == 4 && strcmp(argv[1], "read") == 0) {
        return read_all(argv[2], argv[3]);
    }
    fprintf(stderr, "usage: tool_hdrwrite write DIR | read FILE DIR\n");
    return 2;
}
