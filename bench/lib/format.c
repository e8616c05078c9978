/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/format.h"

#include <math.h>
#include <string.h>

static void three_digits(char *out, double value, const char *unit) {
    int decimals = value >= 99.95 || value == 0.0 ? 0 : value >= 9.995 ? 1 : 2;
    snprintf(out, BENCH_TEXT, "%.*f%s", value == floor(value) && value < 1000.0 && decimals < 2 ? 0 : decimals, value,
             unit);
}

const char *bench_format_ns(char out[BENCH_TEXT], double ns) {
    if (ns >= 1e19) {
        snprintf(out, BENCH_TEXT, "none");
    } else if (ns < 999.5) {
        snprintf(out, BENCH_TEXT, "%.0f ns", ns);
    } else if (ns < 999.5e3) {
        three_digits(out, ns / 1e3, " us");
    } else if (ns < 999.5e6) {
        three_digits(out, ns / 1e6, " ms");
    } else {
        three_digits(out, ns / 1e9, " s");
    }
    return out;
}

const char *bench_format_count(char out[BENCH_TEXT], double n) {
    if (n < 999.5) {
        snprintf(out, BENCH_TEXT, "%.0f", n);
    } else if (n < 999.5e3) {
        three_digits(out, n / 1e3, " k");
    } else if (n < 999.5e6) {
        three_digits(out, n / 1e6, " M");
    } else {
        three_digits(out, n / 1e9, " G");
    }
    return out;
}

const char *bench_format_round(char out[BENCH_TEXT], uint64_t n) {
    const char *unit = n >= 1000000 && n % 1000000 == 0 ? " M" : n >= 1000 && n % 1000 == 0 ? " k" : "";
    uint64_t one = unit[0] == '\0' ? 1 : unit[1] == 'k' ? 1000 : 1000000;
    snprintf(out, BENCH_TEXT, "%llu%s", (unsigned long long)(n / one), unit);
    return out;
}

const char *bench_format_percent(char out[BENCH_TEXT], double share) {
    double percent = share * 100.0;
    if (percent == 0.0) {
        snprintf(out, BENCH_TEXT, "0");
    } else if (percent < 0.01) {
        snprintf(out, BENCH_TEXT, "<0.01");
    } else if (percent < 10.0) {
        snprintf(out, BENCH_TEXT, "%.2f", percent);
    } else if (percent >= 99.95 && percent < 100.0) {
        /* 99.99 rounded to 100.0 would hide that something else happened, too. */
        snprintf(out, BENCH_TEXT, percent >= 99.99 ? ">99.99" : "%.2f", percent);
    } else {
        snprintf(out, BENCH_TEXT, percent == 100.0 ? "%.0f" : "%.1f", percent);
    }
    return out;
}

void bench_html_text(FILE *out, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        switch (*c) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        case '\'':
            fputs("&#39;", out);
            break;
        default:
            fputc(*c, out);
        }
    }
}

void bench_html_tag(FILE *out, const char *tag, const char *text) {
    fprintf(out, "<%s>", tag);
    bench_html_text(out, text);
    fprintf(out, "</%.*s>\n", (int)strcspn(tag, " "), tag);
}
