/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/result.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void number(cJSON *o, const char *name, double value) {
    cJSON_AddNumberToObject(o, name, value);
}

/* JSON has no infinity: unbounded is null. */
static void number_or_null(cJSON *o, const char *name, uint64_t value) {
    if (value == TIDE_UNBOUNDED) {
        cJSON_AddNullToObject(o, name);
    } else {
        number(o, name, (double)value);
    }
}

static void text(cJSON *o, const char *name, const char *value) {
    cJSON_AddStringToObject(o, name, value);
}

cJSON *bench_spread_json(const struct bench_spread *s) {
    cJSON *o = cJSON_CreateObject();
    number(o, "median", s->median);
    number(o, "min", s->min);
    number(o, "max", s->max);
    return o;
}

cJSON *bench_machine_json(const struct bench_machine *m) {
    cJSON *o = cJSON_CreateObject();
    for (uint32_t i = 0; i < BENCH_MACHINE_TEXTS; i++) {
        text(o, bench_machine_texts[i].name, (const char *)m + bench_machine_texts[i].at);
    }
    number(o, "cpus", m->cpus);
    number(o, "cpus_online", m->cpus_online);
    number(o, "memory_bytes", (double)m->memory_bytes);
    return o;
}

static cJSON *settings_json(const struct bench_options *o) {
    cJSON *j = cJSON_CreateObject();
    text(j, "mode", bench_modes[o->processes]);
    text(j, "read", bench_reads[o->read_foreign]);
    number(j, "readers_per_replica", o->readers);
    number(j, "keys", (double)o->keys);
    number(j, "key_size", o->key_size);
    number(j, "value_size", (double)o->value_size);
    text(j, "distribution", bench_dists[o->dist]);
    if (o->dist == BENCH_ZIPFIAN) {
        number(j, "theta", o->theta);
    }
    if (o->write_rate < 0.0) {
        text(j, "write_rate", "max");
    } else {
        number(j, "write_rate", o->write_rate);
    }
    number_or_null(j, "max_staleness_ns", o->max_staleness_ns);
    number_or_null(j, "max_lag", o->max_lag);
    text(j, "fallback", bench_fallbacks[o->fallback]);
    number(j, "wait_ns", (double)o->wait_ns);
    number(j, "apply_delay_ns", (double)o->apply_delay_ns);
    text(j, "policy", bench_policies[o->policy]);
    text(j, "reach", bench_reaches[o->reach_home]);
    text(j, "loop", o->open_rate > 0.0 ? "open" : "closed");
    number_or_null(j, "open_rate", o->open_rate > 0.0 ? (uint64_t)o->open_rate : TIDE_UNBOUNDED);
    number(j, "duration_ns", (double)o->duration_ns);
    number(j, "repetitions", o->repetitions);
    number(j, "sample_every", o->open_rate > 0.0 ? 1 : o->sample);
    cJSON_AddBoolToObject(j, "pin", o->pin);
    number(j, "seed", (double)o->seed);
    number(j, "ring_bytes", (double)o->ring_bytes);
    number(j, "table_bytes", (double)bench_workload_table_bytes(o));
    return j;
}

static cJSON *reasons_json(const double values[TIDE_REASONS]) {
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; i < TIDE_REASONS; i++) {
        number(o, tide_reason_name((enum tide_reason)i), values[i]);
    }
    return o;
}

static cJSON *trial_json(const struct bench_trial *t) {
    cJSON *o = cJSON_CreateObject();
    number(o, "start_s", t->start_s);
    number(o, "read_s", t->read_s);
    number(o, "control_s", t->control_s);
    number(o, "slices", (double)t->slices);
    number(o, "reads", (double)t->reads);
    number(o, "refused", (double)t->refused);
    number(o, "overdue", (double)t->overdue);
    number(o, "writes", (double)t->writes);
    number(o, "control_steps", (double)t->control_ops);
    number(o, "pinned_threads", t->pinned);
    double counts[TIDE_REASONS];
    for (int i = 0; i < TIDE_REASONS; i++) {
        counts[i] = (double)t->reasons[i];
    }
    cJSON_AddItemToObject(o, "reads_by_reason", reasons_json(counts));
    cJSON *replicas = cJSON_AddArrayToObject(o, "replicas");
    for (uint32_t i = 0; i < t->lags_n; i++) {
        const struct bench_replica_lag *lag = &t->lags[i];
        char name[32];
        cJSON *r = cJSON_CreateObject();
        number(r, "id", lag->id);
        text(r, "role", lag->role == TIDE_LEADER ? "leader" : "follower");
        text(r, "state", tide_state_name(lag->state));
        for (unsigned k = 0; k < BENCH_LAGS; k++) {
            snprintf(name, sizeof(name), "lag_%s_ns", bench_lags[k]);
            number(r, name, (double)lag->ns[k]);
        }
        number(r, "lag_max_ns", (double)lag->max_ns);
        number(r, "lag_count", (double)lag->count);
        number(r, "lapped", (double)lag->lapped);
        cJSON_AddItemToArray(replicas, r);
    }
    return o;
}

static cJSON *latency_json(const struct bench_point *p) {
    cJSON *o = cJSON_CreateObject();
    number(o, "samples", (double)hdr_total(p->latency));
    number(o, "p50", (double)p->latency_ns[BENCH_P50]);
    number(o, "p90", (double)p->latency_ns[BENCH_P90]);
    number(o, "p99", (double)p->latency_ns[BENCH_P99]);
    number(o, "p999", (double)p->latency_ns[BENCH_P999]);
    number(o, "max", (double)p->latency_max_ns);
    return o;
}

static void add_lag(cJSON *o, const struct bench_point *p) {
    if (!p->has_lag) {
        cJSON_AddNullToObject(o, "lag_ns");
        return;
    }
    cJSON *lag = cJSON_AddObjectToObject(o, "lag_ns");
    for (unsigned i = 0; i < BENCH_LAGS; i++) {
        cJSON_AddItemToObject(lag, bench_lags[i], bench_spread_json(&p->lag_ns[i]));
    }
}

static cJSON *point_json(const struct bench_point *p) {
    cJSON *o = cJSON_CreateObject();
    number(o, "replicas", p->replicas);
    number(o, "reader_threads", p->threads);
    cJSON_AddBoolToObject(o, "oversubscribed", p->oversubscribed);
    number(o, "repetitions", p->done);
    cJSON_AddItemToObject(o, "reads_per_s", bench_spread_json(&p->reads_per_s));
    number(o, "ideal_scaling", p->ideal);
    cJSON_AddItemToObject(o, "scaling", bench_spread_json(&p->scaling));
    cJSON_AddItemToObject(o, "control_steps_per_s", bench_spread_json(&p->control_per_s));
    cJSON_AddItemToObject(o, "control_scaling", bench_spread_json(&p->control_scaling));
    cJSON_AddItemToObject(o, "scaling_of_control", bench_spread_json(&p->against_control));
    cJSON_AddItemToObject(o, "latency_ns", latency_json(p));
    number(o, "overdue_share", p->overdue_share);
    cJSON_AddItemToObject(o, "share_by_reason", reasons_json(p->reason_share));
    number(o, "fallback_ratio", p->fallback_ratio);
    add_lag(o, p);
    number(o, "lapped", (double)p->lapped);
    cJSON_AddItemToObject(o, "writes_per_s", bench_spread_json(&p->writes_per_s));
    cJSON *trials = cJSON_AddArrayToObject(o, "trials");
    for (uint32_t i = 0; i < p->done; i++) {
        cJSON_AddItemToArray(trials, trial_json(&p->trials[i]));
    }
    return o;
}

cJSON *bench_result_json(const struct bench_sweep *s) {
    cJSON *o = cJSON_CreateObject();
    if (o == NULL) {
        return NULL;
    }
    text(o, "schema", "tidemark.readscale");
    number(o, "schema_version", BENCH_SCHEMA_VERSION);
    cJSON_AddBoolToObject(o, "interrupted", s->interrupted);
    number(o, "started_unix_ms", (double)s->start_unix_ms);
    number(o, "took_s", s->took_s);
    number(o, "clock_ns", s->clock_ns);
    cJSON_AddItemToObject(o, "machine", bench_machine_json(s->machine));
    cJSON_AddItemToObject(o, "settings", settings_json(s->options));
    cJSON *points = cJSON_AddArrayToObject(o, "points");
    for (uint32_t i = 0; i < s->points_n; i++) {
        if (s->points[i].done > 0) {
            cJSON_AddItemToArray(points, point_json(&s->points[i]));
        }
    }
    cJSON *samples = cJSON_AddArrayToObject(o, "lag_samples");
    for (size_t i = 0; i < s->samples.n; i++) {
        const struct bench_sample *one = &s->samples.items[i];
        cJSON *j = cJSON_CreateObject();
        number(j, "at_s", one->at_s);
        number(j, "replicas", one->replicas);
        number(j, "repetition", one->repetition);
        number(j, "staleness_ns", (double)one->staleness_ns);
        number(j, "lag_entries", (double)one->lag_entries);
        cJSON_AddItemToArray(samples, j);
    }
    return o;
}

cJSON *bench_json_read(const char *path, long bytes_max, char *error) {
    FILE *in = fopen(path, "re");
    char *text = NULL;
    long n = -1;
    if (in == NULL) {
        snprintf(error, BENCH_ERROR_BYTES, "%.120s: %.100s", path, strerror(errno));
        return NULL;
    }
    if (fseek(in, 0, SEEK_END) == 0 && (n = ftell(in)) >= 0 && n <= bytes_max && fseek(in, 0, SEEK_SET) == 0 &&
        (text = malloc((size_t)n + 1)) != NULL) {
        text[fread(text, 1, (size_t)n, in)] = '\0';
    }
    fclose(in);
    cJSON *json = text != NULL ? cJSON_Parse(text) : NULL;
    if (json == NULL) {
        snprintf(error, BENCH_ERROR_BYTES, "%.120s: %s", path,
                 n > bytes_max  ? "too large for a result"
                 : text != NULL ? "no JSON document"
                                : "cannot be read");
    }
    free(text);
    return json;
}

int bench_text_write(const char *text, const char *end, const char *path) {
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *out = to_stdout ? stdout : fopen(path, "we");
    bool bad = out == NULL || fputs(text, out) < 0 || fputs(end, out) < 0;
    /* A full disk shows only when the last bytes leave the buffer. */
    return (out != NULL && (to_stdout ? fflush(out) : fclose(out)) != 0) || bad ? -1 : 0;
}

int bench_json_write(const cJSON *json, const char *path) {
    char *printed = json != NULL ? cJSON_Print(json) : NULL;
    errno = ENOMEM;
    int rc = printed != NULL ? bench_text_write(printed, "\n", path) : -1;
    free(printed);
    return rc;
}

int bench_result_write(const struct bench_sweep *s, const char *path) {
    cJSON *json = bench_result_json(s);
    int rc = bench_json_write(json, path);
    cJSON_Delete(json);
    return rc;
}
