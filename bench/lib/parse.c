/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words of the command line into numbers. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/lib/options.h"

struct unit {
    const char *name;
    double factor;
};

static const struct unit count_units[] = {
    { "", 1.0 },      { "k", 1e3 },     { "K", 1e3 },      { "M", 1e6 },      { "G", 1e9 },      { "Ki", 0x1p10 },
    { "Mi", 0x1p20 }, { "Gi", 0x1p30 }, { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 },
};
static const struct unit time_units[] = { { "ns", 1.0 }, { "us", 1e3 }, { "ms", 1e6 }, { "s", 1e9 }, { "m", 60e9 } };

static int parse_scaled(const char *text, const struct unit *units, size_t n, uint64_t *out) {
    /* strtod alone would also take " 1", "-1", "inf" and "0x1p3". */
    if (text[0] < '0' || text[0] > '9' || text[1] == 'x' || text[1] == 'X') {
        return -1;
    }
    char *end = NULL;
    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(end, units[i].name) == 0) {
            value *= units[i].factor;
            /* 2^53: above it doubles skip integers, and the answer would not be what was typed. */
            if (!(value <= 0x1p53) || value != floor(value)) {
                return -1;
            }
            *out = (uint64_t)value;
            return 0;
        }
    }
    return -1;
}

int bench_parse_count(const char *text, uint64_t *out) {
    return parse_scaled(text, count_units, sizeof(count_units) / sizeof(count_units[0]), out);
}

int bench_parse_duration(const char *text, uint64_t *out_ns) {
    if (strcmp(text, "none") == 0) {
        *out_ns = TIDE_UNBOUNDED;
        return 0;
    }
    if (strcmp(text, "0") == 0) {
        *out_ns = 0;
        return 0;
    }
    return parse_scaled(text, time_units, sizeof(time_units) / sizeof(time_units[0]), out_ns);
}
