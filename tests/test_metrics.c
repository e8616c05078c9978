/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide metrics`: its figures are those of `tide stat --json`; its formats; what a client may ask for. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>

#include "tests/lib/help.h"
#include "tests/lib/pair.h"
#include "tools/http/http.h"
#include "tools/metrics/metrics.h"

/* What `tide ARGUMENTS` prints; to be freed. */
static char *tide_says(const char *format, const char *name) {
    char arguments[256], command[600];
    const char *build = getenv("TIDE_BUILD");
    snprintf(arguments, sizeof(arguments), format, name);
    snprintf(command, sizeof(command), "%s/tide %s", build ? build : "build", arguments);
    FILE *in = popen(command, "r");
    assert_non_null(in);
    size_t size = 0, room = 1 << 20;
    char *text = malloc(room);
    assert_non_null(text);
    for (size_t n; (n = fread(text + size, 1, room - 1 - size, in)) > 0; size += n) {
    }
    text[size] = '\0';
    assert_int_equal(pclose(in), 0);
    return text;
}

/* The value of the sample that is spelled so; it must be there. */
static double sample(const char *text, const char *spelled) {
    size_t length = strlen(spelled);
    for (const char *at = text; at != NULL && *at != '\0'; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        if (strncmp(at, spelled, length) == 0 && at[length] == ' ') {
            return strtod(at + length, NULL);
        }
    }
    fprintf(stderr, "no sample %s\n", spelled);
    fail();
    return 0;
}

static double number(const cJSON *in, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(in, name);
    if (!cJSON_IsNumber(item)) {
        fprintf(stderr, "no number %s\n", name);
    }
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void assert_near(const char *what, double a, double b) {
    if (fabs(a - b) > 1e-9 + 1e-8 * fabs(b)) {
        fprintf(stderr, "%s: metrics %.12g, stat %.12g\n", what, a, b);
        fail();
    }
}

static void same_of_domain(const char *text, const cJSON *stat, const char *domain, const char *metric,
                           const char *of_stat) {
    char spelled[200];
    snprintf(spelled, sizeof(spelled), "%s{domain=\"%s\"}", metric, domain);
    assert_near(spelled, sample(text, spelled), number(stat, of_stat));
}

static void same_of_replica(const char *text, const cJSON *r, const char *domain, const char *metric, const char *more,
                            double value) {
    char spelled[300];
    snprintf(spelled, sizeof(spelled), "%s{domain=\"%s\",replica=\"%d\",label=\"%s\"%s}", metric, domain,
             (int)number(r, "replica"), cJSON_GetStringValue(cJSON_GetObjectItem(r, "label")), more);
    assert_near(spelled, sample(text, spelled), value);
}

static void compare_replica(const char *text, const cJSON *r, const char *domain) {
    static const char *const SAME[][3] = {
        { "tide_applied_index", "", "tide_applied_index" },
        { "tide_replication_lag_entries", "", "lag" },
        { "tide_keys", "", "keys" },
        { "tide_keys_limit", "", "table_keys_most" },
        { "tide_table_limit_bytes", "", "table_bytes" },
        { "tide_table_used_bytes", "", "table_used_bytes" },
        { "tide_table_bytes", ",kind=\"live\"", "table_live_bytes" },
        { "tide_table_bytes", ",kind=\"free\"", "table_free_bytes" },
        { "tide_table_bytes", ",kind=\"waiting\"", "table_waiting_bytes" },
        { "tide_table_bytes", ",kind=\"overhead\"", "table_overhead_bytes" },
        { "tide_replica_joins_total", "", "joins" },
        { "tide_replica_lapped_total", "", "lapped" },
    };
    char state[64];
    for (size_t i = 0; i < sizeof(SAME) / sizeof(SAME[0]); i++) {
        same_of_replica(text, r, domain, SAME[i][0], SAME[i][1], number(r, SAME[i][2]));
    }
    same_of_replica(text, r, domain, "tide_apply_delay_seconds", "", number(r, "apply_delay_ns") / 1e9);
    snprintf(state, sizeof(state), ",state=\"%s\"", cJSON_GetStringValue(cJSON_GetObjectItem(r, "tide_replica_state")));
    same_of_replica(text, r, domain, "tide_replica_state", state, 1);
    const cJSON *all = cJSON_GetObjectItem(cJSON_GetObjectItem(r, "tide_replication_lag_seconds"), "all");
    same_of_replica(text, r, domain, "tide_replication_lag_seconds_count", "", number(all, "count"));
    same_of_replica(text, r, domain, "tide_replication_lag_seconds_bucket", ",le=\"+Inf\"", number(all, "count"));
}

static void compare(const char *name) {
    static const char *const SAME[][2] = {
        { "tide_commit_index", "tide_commit_index" },
        { "tide_writes_total", "tide_commit_index" },
        { "tide_leader_term", "tide_leader_term" },
        { "tide_led", "led" },
        { "tide_dead_members", "dead_members" },
        { "tide_ring_used_ratio", "tide_ring_used_ratio" },
        { "tide_ring_used_bytes", "ring_used_bytes" },
        { "tide_ring_bytes", "ring_bytes" },
        { "tide_memory_bytes", "memory_bytes" },
        { "tide_lapped_total", "lapped_total" },
        { "tide_expirations_total", "expired_total" },
        { "tide_evictions_total", "evicted_total" },
        { "tide_hits_total", "tide_hits_total" },
        { "tide_misses_total", "tide_misses_total" },
        { "tide_made_total", "tide_made_total" },
        { "tide_waited_total", "tide_waited_total" },
        { "tide_bounded_staleness_fallback_ratio", "tide_bounded_staleness_fallback_ratio" },
    };
    char *text = tide_says("metrics %s", name), *json = tide_says("stat %s --json", name), spelled[200];
    cJSON *stat = cJSON_Parse(json);
    const cJSON *item;
    assert_non_null(stat);
    for (size_t i = 0; i < sizeof(SAME) / sizeof(SAME[0]); i++) {
        const cJSON *led = cJSON_GetObjectItem(stat, SAME[i][1]);
        if (cJSON_IsBool(led)) {
            snprintf(spelled, sizeof(spelled), "%s{domain=\"%s\"}", SAME[i][0], name);
            assert_int_equal(sample(text, spelled), cJSON_IsTrue(led));
        } else {
            same_of_domain(text, stat, name, SAME[i][0], SAME[i][1]);
        }
    }
    /* `tide stat` is a member; `tide metrics` is none. */
    snprintf(spelled, sizeof(spelled), "tide_members{domain=\"%s\"}", name);
    assert_int_equal(sample(text, spelled), number(stat, "members") - 1);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(stat, "replicas")) {
        compare_replica(text, item, name);
    }
    assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(stat, "tide_reads_total")) > 0);
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(stat, "tide_reads_total")) {
        snprintf(spelled, sizeof(spelled), "tide_reads_total{domain=\"%s\",replica=\"%d\",reason=\"%s\"}", name,
                 (int)number(item, "replica"), cJSON_GetStringValue(cJSON_GetObjectItem(item, "reason")));
        assert_near(spelled, sample(text, spelled), number(item, "value"));
    }
    cJSON_Delete(stat);
    free(json);
    free(text);
}

static const char *name_of(struct tide *d) {
    static struct tide_info info;
    info = (struct tide_info)TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    return info.name;
}

static void metrics__of_a_domain__equal_stat(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    char key[16];
    for (uint64_t i = 0; i < 500; i++) {
        snprintf(key, sizeof(key), "k%u", (unsigned)i);
        put_number(p.d, key, i);
        if (i % 3 == 0) {
            (void)get(p.r, i % 2 == 0 ? key : "nokey", NULL);
        }
    }
    catch_up(&p);
    compare(name_of(p.d));
    /* The follower is behind now: readers fall back, or take a stale value. */
    put_number(p.d, "k1", 7);
    struct tide_bound stale = bound_of(TIDE_FALLBACK_STALE, 0), refuse = bound_of(TIDE_FALLBACK_ERROR, 0);
    (void)get(p.r, "k1", &stale);
    (void)get(p.r, "k1", &refuse);
    compare(name_of(p.d));
    close_pair(&p);
}

/* Its staleness grows, so it lies between that of two other looks. */
static double staleness(struct pair *p) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    assert_int_equal(tide_replica_info(p->d, p->slow, &info), 0);
    return (double)info.staleness_ns / 1e9;
}

static void metrics__of_a_follower_behind__know_its_staleness(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    char spelled[200];
    put_number(p.d, "k", 1);
    catch_up(&p);
    put_number(p.d, "k", 2);
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    assert_int_equal(tide_replica_info(p.d, p.slow, &info), 0);
    snprintf(spelled, sizeof(spelled), "tide_staleness_seconds{domain=\"%s\",replica=\"%u\",label=\"%s\"}",
             name_of(p.d), p.slow, info.label);
    double before = staleness(&p);
    char *text = tide_says("metrics %s", name_of(p.d));
    double here = sample(text, spelled), after = staleness(&p);
    assert_true(before > 0);
    assert_true(before <= here && here <= after);
    free(text);
    close_pair(&p);
}

/* ---- formats ---- */

static void prom_label__any_bytes__escaped(void **state) {
    (void)state;
    static const struct prom_family FAMILY = { "x", PROM_GAUGE, NULL, "An x." };
    struct prom p = { 0 };
    prom_family(&p, &FAMILY);
    prom_begin(&p, "");
    prom_label(&p, "a", "q\"b\\n\n\x1b[31m\xff\xc3\xa4");
    prom_u64(&p, UINT64_MAX);
    prom_end(&p);
    buf_add_char(&p.text, '\0');
    assert_string_equal(p.text.data, "# HELP x An x.\n# TYPE x gauge\n"
                                     "x{a=\"q\\\"b\\\\n\\\\x0a\\\\x1b[31m\\\\xff\xc3\xa4\"} 18446744073709551615\n");
    buf_free(&p.text);
}

static void negotiate__accept_headers__as_they_prefer(void **state) {
    (void)state;
    static const struct {
        const char *accept;
        bool open_metrics;
    } CASES[] = {
        { NULL, false },
        { "", false },
        { "*/*", false },
        { "text/plain", false },
        { "text/html,application/xhtml+xml,*/*;q=0.8", false },
        { "application/openmetrics-text", true },
        { "application/openmetrics-text; version=1.0.0; charset=utf-8", true },
        { "application/openmetrics-text;version=\"1.0.0\"", true },
        { "application/openmetrics-text;version=0.0.1", false },
        { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
          true },
        { "application/openmetrics-text;version=1.0.0;q=0.3, text/plain;version=0.0.4;q=0.5", false },
        { "application/openmetrics-text;q=0", false },
        { "application/openmetrics-text;q=0,*/*;q=0", false },
        { "application/openmetrics-text;q=7", false },
        { "application/openmetrics-text;q=", false },
        { "APPLICATION/OPENMETRICS-TEXT", true },
        { "application/openmetrics-textual", false },
        { ",,,;;;===", false },
        { ";q=1,application/openmetrics-text", true },
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        if (negotiate_open_metrics(CASES[i].accept) != CASES[i].open_metrics) {
            fprintf(stderr, "Accept: %s\n", CASES[i].accept ? CASES[i].accept : "(none)");
        }
        assert_int_equal(negotiate_open_metrics(CASES[i].accept), CASES[i].open_metrics);
    }
}

static void address_listen__what_is_none__refused(void **state) {
    (void)state;
    static const char *const CASES[] = {
        "",        ":",     "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "host:80", "[::1]", "::1:80",
        "[::1:80", "unix:", "[1.2]:80",   "1.2.3.4:x",       "0x50",         " 80",     "[]:80"
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char at[ADDRESS_TEXT], why[400] = "";
        bool usage = false;
        int fd = address_listen(CASES[i], "/metrics", at, &usage, why, sizeof(why));
        if (fd >= 0 || !usage) {
            fprintf(stderr, "'%s' was taken\n", CASES[i]);
        }
        assert_int_equal(fd, -1);
        assert_true(usage && why[0] != '\0');
    }
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__of_a_domain__equal_stat),
        cmocka_unit_test(metrics__of_a_follower_behind__know_its_staleness),
        cmocka_unit_test(prom_label__any_bytes__escaped),
        cmocka_unit_test(negotiate__accept_headers__as_they_prefer),
        cmocka_unit_test(address_listen__what_is_none__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
