/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/lib/figures.h"

#include <math.h>
#include <stdio.h>

/* Three digits that count; 999.7 is 1000 then, which the next unit shows better: the caller looks. */
static void figures_three_digits(double value, const char *unit, char buf[FIGURES_BYTES]) {
    int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(buf, FIGURES_BYTES, "%.*f%s", decimals, value, unit);
}

const char *figures_count(double n, char buf[FIGURES_BYTES]) {
    static const char *const UNITS[] = { "", "k", "M", "G", "T", "P", "E" };
    size_t unit = 0;
    if (!(n >= 0) || isinf(n)) {
        snprintf(buf, FIGURES_BYTES, "-");
        return buf;
    }
    for (; n >= 999.5 && unit + 1 < sizeof(UNITS) / sizeof(UNITS[0]); unit++) {
        n /= 1000;
    }
    if (unit == 0 && (n == floor(n) || n >= 99.95)) {
        snprintf(buf, FIGURES_BYTES, "%.0f", n);
    } else {
        figures_three_digits(n, UNITS[unit], buf);
    }
    return buf;
}

const char *figures_time(uint64_t ns, char buf[FIGURES_BYTES]) {
    static const struct {
        double up_to, one; /* in ns; shown below `up_to`, in units of `one` */
        const char *name;
    } UNITS[] = { { 999.5, 1, "ns" },    { 999.5e3, 1e3, "us" },    { 999.5e6, 1e6, "ms" },    { 119.5e9, 1e9, "s" },
                  { 7200e9, 60e9, "m" }, { 172800e9, 3600e9, "h" }, { INFINITY, 86400e9, "d" } };
    double value = (double)ns;
    size_t i = 0;
    while (value >= UNITS[i].up_to) {
        i++;
    }
    if (ns == UINT64_MAX) { /* the staleness of what was never complete */
        snprintf(buf, FIGURES_BYTES, "never");
    } else if (ns < 1000) {
        snprintf(buf, FIGURES_BYTES, ns == 0 ? "0" : "%.0f%s", value, UNITS[i].name);
    } else {
        figures_three_digits(value / UNITS[i].one, UNITS[i].name, buf);
    }
    return buf;
}

const char *figures_share(double share, char buf[FIGURES_BYTES]) {
    double percent = 100 * share;
    if (!(share >= 0)) {
        snprintf(buf, FIGURES_BYTES, "-");
    } else if (percent == 0 || percent >= 100) {
        snprintf(buf, FIGURES_BYTES, "%d %%", percent == 0 ? 0 : 100);
    } else if (percent < 9.995) {
        snprintf(buf, FIGURES_BYTES, percent < 0.01 ? "<0.01 %%" : "%.2f %%", percent);
    } else {
        snprintf(buf, FIGURES_BYTES, "%.1f %%", percent > 99.9 ? 99.9 : percent);
    }
    return buf;
}
