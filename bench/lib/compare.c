/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/compare.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "bench/lib/format.h"
#include "bench/lib/options.h"
#include "bench/lib/result.h"
#include "bench/lib/stats.h"

#define FILE_BYTES_MAX (256l << 20) /* with samples of lag it may be large */

static const cJSON *get(const cJSON *o, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(o, name);
}

static bool is_figure(const cJSON *o) {
    return cJSON_IsNumber(o) && isfinite(o->valuedouble) && o->valuedouble >= 0;
}

static bool is_spread(const cJSON *o) {
    return is_figure(get(o, "median")) && is_figure(get(o, "min")) && is_figure(get(o, "max"));
}

static struct bench_spread spread_of(const cJSON *o) {
    return (struct bench_spread){ get(o, "median")->valuedouble, get(o, "min")->valuedouble, get(o, "max")->valuedouble,
                                  1 };
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static bool is_point(const cJSON *p) {
    return is_figure(get(p, "replicas")) && is_figure(get(p, "repetitions")) && is_spread(get(p, "reads_per_s")) &&
           is_spread(get(p, "scaling")) && is_figure(get(get(p, "latency_ns"), "p50")) &&
           is_figure(get(get(p, "latency_ns"), "p99"));
}

/* Is `json` such a result? 0, or -1 with what is wrong in `error`. */
static int check(const cJSON *json, const char *name, char *error) {
    const char *schema = cJSON_GetStringValue(get(json, "schema"));
    const cJSON *version = get(json, "schema_version"), *points = get(json, "points"), *p;
    if (!schema || strcmp(schema, "tidemark.readscale") != 0) {
        snprintf(error, BENCH_ERROR_BYTES, "%.120s: no result of readscale (its schema is not tidemark.readscale)",
                 name);
        return -1;
    }
    if (!is_figure(version) || version->valuedouble != BENCH_SCHEMA_VERSION) {
        snprintf(error, BENCH_ERROR_BYTES, "%.120s: its schema has another version; this readscale knows %d", name,
                 BENCH_SCHEMA_VERSION);
        return -1;
    }
    if (!cJSON_IsArray(points) || cJSON_GetArraySize(points) == 0 || !cJSON_IsObject(get(json, "settings")) ||
        !cJSON_IsObject(get(json, "machine"))) {
        snprintf(error, BENCH_ERROR_BYTES, "%.120s: it has no points, no settings, or no machine", name);
        return -1;
    }
    cJSON_ArrayForEach(p, points) {
        if (!is_point(p)) {
            snprintf(error, BENCH_ERROR_BYTES, "%.120s: a point lacks figures", name);
            return -1;
        }
    }
    return 0;
}

cJSON *bench_compare_read(const char *path, char *error) {
    cJSON *json = bench_json_read(path, FILE_BYTES_MAX, error);
    if (json != NULL && check(json, path, error) != 0) {
        cJSON_Delete(json);
        json = NULL;
    }
    return json;
}

/* ---- printing ---------------------------------------------------------------------------------------------------- */

/* A JSON value in a few characters; texts of files that others wrote may hold anything. */
static const char *value_text(const cJSON *v, char out[64]) {
    if (cJSON_IsString(v)) {
        snprintf(out, 64, "%.60s", v->valuestring);
    } else if (cJSON_IsNumber(v)) {
        snprintf(out, 64, "%.10g", v->valuedouble);
    } else {
        snprintf(out, 64, "%s", cJSON_IsTrue(v) ? "yes" : cJSON_IsFalse(v) ? "no" : cJSON_IsNull(v) ? "none" : "-");
    }
    for (char *c = out; *c != '\0'; c++) {
        *c = (unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f ? '?' : *c;
    }
    return out;
}

/* When it was measured is no reason for anything. */
static bool is_date(const cJSON *item) {
    return strcmp(item->string, "date") == 0;
}

static uint32_t print_differences(FILE *out, const char *what, const cJSON *old, const cJSON *now) {
    const cJSON *item;
    uint32_t n = 0;
    char a[64], b[64];
    cJSON_ArrayForEach(item, now) {
        const cJSON *before = item->string ? get(old, item->string) : NULL;
        if (item->string && !is_date(item) && !cJSON_Compare(before, item, true)) {
            fprintf(out, "%s %s: %s, now %s\n", what, item->string, value_text(before, a), value_text(item, b));
            n++;
        }
    }
    return n;
}

static const cJSON *point_with(const cJSON *points, double replicas) {
    const cJSON *p;
    cJSON_ArrayForEach(p, points) {
        if (get(p, "replicas")->valuedouble == replicas) {
            return p;
        }
    }
    return NULL;
}

/* A change is one only where all repetitions of one run lie beyond all of the other. */
static const char *verdict(const struct bench_spread *old, const struct bench_spread *now) {
    return now->min > old->max ? "more" : now->max < old->min ? "less" : "within the spread";
}

static void print_row(FILE *out, double replicas, const char *what, const struct bench_spread *old,
                      const struct bench_spread *now, bool is_count) {
    char t[6][BENCH_TEXT];
    const double values[6] = { old->median, old->min, old->max, now->median, now->min, now->max };
    for (int i = 0; i < 6; i++) {
        if (is_count) {
            bench_format_count(t[i], values[i]);
        } else {
            snprintf(t[i], BENCH_TEXT, "%.2f", values[i]);
        }
    }
    char before[3 * BENCH_TEXT + 8], after[3 * BENCH_TEXT + 8];
    snprintf(before, sizeof(before), "%s (%s to %s)", t[0], t[1], t[2]);
    snprintf(after, sizeof(after), "%s (%s to %s)", t[3], t[4], t[5]);
    fprintf(out, "%-8.0f  %-8s  %-28s  %-28s  %5.2fx  %s\n", replicas, what, before, after,
            bench_ratio(now->median, old->median), verdict(old, now));
}

static void print_latency(FILE *out, double replicas, const char *name, const cJSON *old, const cJSON *now) {
    char a[BENCH_TEXT], b[BENCH_TEXT];
    double before = get(get(old, "latency_ns"), name)->valuedouble,
           after = get(get(now, "latency_ns"), name)->valuedouble;
    fprintf(out, "%-8.0f  %-8s  %-28s  %-28s  %5.2fx\n", replicas, name, bench_format_ns(a, before),
            bench_format_ns(b, after), bench_ratio(after, before));
}

void bench_compare_print(FILE *out, const char *old_name, const cJSON *old, const cJSON *now) {
    const cJSON *p;
    uint32_t alike = 0;
    fprintf(out, "\nCompared with %s\n", old_name);
    uint32_t differences = print_differences(out, "setting", get(old, "settings"), get(now, "settings")) +
                           print_differences(out, "machine", get(old, "machine"), get(now, "machine"));
    fprintf(out, differences == 0 ? "Settings and machine are the same.\n"
                                  : "What differs above may be why the figures below do.\n");
    fprintf(out, "\n%-8s  %-8s  %-28s  %-28s  %6s  %s\n", "replicas", "figure", "old: median (least to most)",
            "new: median (least to most)", "ratio", "verdict");
    cJSON_ArrayForEach(p, get(now, "points")) {
        double replicas = get(p, "replicas")->valuedouble;
        const cJSON *before = point_with(get(old, "points"), replicas);
        if (!before) {
            continue;
        }
        alike++;
        struct bench_spread a = spread_of(get(before, "reads_per_s")), b = spread_of(get(p, "reads_per_s"));
        print_row(out, replicas, "reads/s", &a, &b, true);
        a = spread_of(get(before, "scaling"));
        b = spread_of(get(p, "scaling"));
        print_row(out, replicas, "scaling", &a, &b, false);
        print_latency(out, replicas, "p50", before, p);
        print_latency(out, replicas, "p99", before, p);
    }
    if (alike == 0) {
        fprintf(out, "no number of replicas was measured in both\n");
    }
    fprintf(out, "More reads and scaling, and less latency, are better. A ratio is of the medians, new to old. 'within "
                 "the spread': some\n"
                 "repetition of one run lies among those of the other, so that this is no change. Latency is of all "
                 "repetitions together.\n");
}
