/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A file of figures read back. Anybody may have written it: every field is checked, and texts that are too long are
 * cut off. */
#include <math.h>
#include <string.h>

#include "bench/lib/figures.h"
#include "bench/lib/result.h"

#define FILE_BYTES_MAX (16l << 20)

static int failed(char *error, const char *path, const char *what) {
    snprintf(error, BENCH_ERROR_BYTES, "%.120s: %.120s", path, what);
    return -1;
}

/* 0, or -1: it is not there, or no string. */
static int take_text(char *out, size_t size, const cJSON *o, const char *name) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(o, name));
    if (text == NULL) {
        return -1;
    }
    snprintf(out, size, "%s", text);
    return 0;
}

static int take_number(double *out, const cJSON *o, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    if (!cJSON_IsNumber(item) || !isfinite(item->valuedouble)) {
        return -1;
    }
    *out = item->valuedouble;
    return 0;
}

static int take_spread(struct bench_spread *s, const cJSON *o) {
    s->n = 1;
    return take_number(&s->median, o, "median") | take_number(&s->min, o, "min") | take_number(&s->max, o, "max");
}

/* Files of older programs do not say which way is better. */
static int take_figure(struct bench_figure *f, const cJSON *o) {
    char better[8] = "";
    int bad = take_text(f->id, sizeof(f->id), o, "id") | take_text(f->group, sizeof(f->group), o, "group") |
              take_text(f->title, sizeof(f->title), o, "title") | take_text(f->unit, sizeof(f->unit), o, "unit") |
              take_spread(&f->spread, o);
    f->more =
        take_text(better, sizeof(better), o, "better") == 0 ? strcmp(better, "more") == 0 : bench_unit_more(f->unit);
    return bad;
}

static int take_bar(struct bench_bar *b, const cJSON *o) {
    char sense[16];
    double measured = 0.0;
    if ((take_text(b->id, sizeof(b->id), o, "id") | take_text(b->what, sizeof(b->what), o, "what") |
         take_text(b->unit, sizeof(b->unit), o, "unit") | take_text(sense, sizeof(sense), o, "sense") |
         take_spread(&b->spread, o) | take_number(&b->bar, o, "bar") | take_number(&measured, o, "measured")) != 0 ||
        (strcmp(sense, "at most") != 0 && strcmp(sense, "at least") != 0)) {
        return -1;
    }
    b->sense = strcmp(sense, "at most") == 0 ? BENCH_AT_MOST : BENCH_AT_LEAST;
    b->spread.n = measured >= 1.0 && measured <= 1e9 ? (size_t)measured : 0;
    b->kept = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "kept"));
    if (take_text(b->group, sizeof(b->group), o, "group") != 0 || take_number(&b->at, o, "at") != 0) {
        b->group[0] = '\0';
    }
    return 0;
}

/* A property of the machine that the file lacks shows as "unknown": the figures are good without it. */
static void take_machine(struct bench_machine *m, const cJSON *o) {
    double cpus = 0.0, online = 0.0, memory = 0.0;
    memset(m, 0, sizeof(*m));
    for (uint32_t i = 0; i < BENCH_MACHINE_TEXTS; i++) {
        char *to = (char *)m + bench_machine_texts[i].at;
        if (take_text(to, bench_machine_texts[i].size, o, bench_machine_texts[i].name) != 0) {
            snprintf(to, bench_machine_texts[i].size, "unknown");
        }
    }
    take_number(&cpus, o, "cpus");
    take_number(&online, o, "cpus_online");
    take_number(&memory, o, "memory_bytes");
    m->cpus = cpus >= 0.0 && cpus <= BENCH_CPUS_MAX ? (uint32_t)cpus : 0;
    m->cpus_online = online >= 0.0 && online <= BENCH_CPUS_MAX ? (uint32_t)online : 0;
    m->memory_bytes = memory >= 0.0 && memory < 0x1p62 ? (uint64_t)memory : 0;
}

static int take_all(struct bench_figures *f, struct bench_machine *m, const cJSON *o, const char *path, char *error) {
    char schema[32] = "";
    double version = 0.0, repetitions = 0.0;
    if (take_text(schema, sizeof(schema), o, "schema") != 0 || strcmp(schema, "tidemark.figures") != 0) {
        return failed(error, path, "no tidemark.figures file (its \"schema\" is another, or missing)");
    }
    if (take_number(&version, o, "schema_version") != 0 || version != BENCH_SCHEMA_VERSION) {
        return failed(error, path, "a version of tidemark.figures that this program does not know");
    }
    const cJSON *figures = cJSON_GetObjectItemCaseSensitive(o, "figures"),
                *bars = cJSON_GetObjectItemCaseSensitive(o, "bars");
    if (!cJSON_IsArray(figures) || !cJSON_IsArray(bars) || cJSON_GetArraySize(figures) > (int)BENCH_FIGURES_MAX ||
        cJSON_GetArraySize(bars) > (int)BENCH_BARS_MAX) {
        return failed(error, path, "\"figures\" or \"bars\" is no list, or too long");
    }
    take_machine(m, cJSON_GetObjectItemCaseSensitive(o, "machine"));
    take_number(&repetitions, o, "repetitions");
    bench_figures_init(f, "", m, repetitions >= 0.0 && repetitions <= 1e6 ? (uint32_t)repetitions : 0);
    f->quick = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(o, "quick"));
    take_text(f->note, sizeof(f->note), o, "note");
    int bad = take_text(f->bench, sizeof(f->bench), o, "bench");
    const cJSON *one;
    cJSON_ArrayForEach(one, figures) {
        bad |= take_figure(&f->figures[f->figures_n++], one);
    }
    cJSON_ArrayForEach(one, bars) {
        bad |= take_bar(&f->bars[f->bars_n++], one);
    }
    return bad != 0 ? failed(error, path, "a field is missing or of another type (docs/bench.md)") : 0;
}

int bench_figures_read(struct bench_figures *f, struct bench_machine *m, const char *path, char *error) {
    cJSON *o = bench_json_read(path, FILE_BYTES_MAX, error);
    if (o == NULL) {
        return -1;
    }
    int rc = cJSON_IsObject(o) ? take_all(f, m, o, path, error) : failed(error, path, "no JSON document");
    cJSON_Delete(o);
    return rc;
}
