/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a sweep adds up to, and the files that come of it. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/lib/format.h"
#include "bench/lib/grid.h"
#include "bench/lib/plot.h"
#include "bench/lib/report.h"
#include "bench/lib/result.h"
#include "bench/lib/sweep.h"
#include "bench/lib/team.h"
#include "tests/lib/hdrdecode.h"
#include "tests/lib/help.h"

/* ---- a sweep with known figures ---------------------------------------------------------------------------------- */

static struct bench_options options;
static struct bench_machine machine;

static struct bench_trial trial(uint32_t replicas, uint64_t reads, uint64_t control_ops) {
    struct bench_trial t = { .replicas = replicas, .threads = replicas, .start_s = 1, .read_s = 2, .control_s = 0.5 };
    t.reads = reads;
    t.control_ops = control_ops;
    t.writes = 2000;
    t.reasons[TIDE_REASON_FRESH] = reads / 2;
    t.reasons[TIDE_REASON_WITHIN_BOUND] = reads / 4;
    t.reasons[TIDE_REASON_REDIRECTED] = reads / 4;
    t.lags[t.lags_n++] =
        (struct bench_replica_lag){ .id = 0, .role = TIDE_LEADER, .state = TIDE_STATE_SERVING, .ns = { 99999 } };
    for (uint32_t i = 1; i < replicas; i++) {
        t.lags[t.lags_n++] = (struct bench_replica_lag){
            .id = i, .role = TIDE_FOLLOWER, .state = TIDE_STATE_SERVING, .ns = { 100 * i, 200 * i, 300 * i }, .count = 7
        };
    }
    t.latency = hdr_new(1, BENCH_LATENCY_HIGHEST_NS, BENCH_LATENCY_DIGITS);
    assert_non_null(t.latency);
    for (int i = 1; i <= 1000; i++) {
        hdr_record(t.latency, i);
    }
    return t;
}

/* Points of 1, 2 and 4 replicas on two CPUs, two repetitions; the second has half of the machine. */
static void make_sweep(struct bench_sweep *s) {
    char *argv[] = { (char *)"readscale", (char *)"--repetitions", (char *)"2" };
    char error[BENCH_ERROR_BYTES];
    assert_int_equal(bench_options_parse(&options, 3, argv, 2, error), BENCH_PARSED_RUN);
    memset(&machine, 0, sizeof(machine));
    snprintf(machine.cpu_model, sizeof(machine.cpu_model), "A <fast> & \"good\" CPU");
    machine.cpus = 2;
    memset(s, 0, sizeof(*s));
    s->options = &options;
    s->machine = &machine;
    s->took_s = 10;
    s->points_n = 3;
    static const uint64_t reads[3] = { 1000, 1900, 2000 };
    static const uint64_t control[3] = { 500, 1000, 1000 };
    for (uint32_t i = 0; i < 3; i++) {
        struct bench_point *p = &s->points[i];
        p->replicas = (uint32_t)options.replicas.items[i];
        p->done = 2;
        p->trials = calloc(2, sizeof(p->trials[0]));
        assert_non_null(p->trials);
        p->trials[0] = trial(p->replicas, 2 * reads[i], control[i]);
        p->trials[1] = trial(p->replicas, reads[i], control[i] / 2);
    }
    s->samples.items = calloc(3, sizeof(s->samples.items[0]));
    assert_non_null(s->samples.items);
    s->samples.n = 3;
    s->samples.room = 3;
    s->samples.items[0] = (struct bench_sample){ 1.0, 2, 0, 1500000, 3 };
    s->samples.items[1] = (struct bench_sample){ 2.0, 4, 0, 0, 0 };
    s->samples.items[2] = (struct bench_sample){ 3.0, 4, 1, 2500000, 4 };
    assert_int_equal(bench_sweep_summarize(s), 0);
}

static int near(double a, double b) {
    return a - b < 1e-9 && b - a < 1e-9;
}

static void summarize__half_the_machine_for_one_repetition__ratios_do_not_move(void **state) {
    (void)state;
    struct bench_sweep s;
    make_sweep(&s);
    const struct bench_point *two = &s.points[1];
    assert_true(near(two->reads_per_s.max, 1900) && near(two->reads_per_s.min, 950));
    assert_true(near(two->scaling.min, 1.9) && near(two->scaling.max, 1.9) && near(two->ideal, 2));
    assert_true(near(two->control_scaling.median, 2) && near(two->against_control.median, 0.95));
    assert_true(near(two->writes_per_s.median, 1000));
    assert_int_equal(two->oversubscribed, 0);
    assert_int_equal(s.points[2].oversubscribed, 1);
    bench_sweep_destroy(&s);
}

static void summarize__reasons_and_latency__are_added_up(void **state) {
    (void)state;
    struct bench_sweep s;
    make_sweep(&s);
    const struct bench_point *one = &s.points[0];
    assert_true(near(one->reason_share[TIDE_REASON_FRESH], 0.5) && near(one->fallback_ratio, 0.25));
    assert_int_equal(hdr_total(one->latency), 2000);
    assert_int_equal(one->latency_ns[BENCH_P50], 500);
    assert_int_equal(one->latency_ns[BENCH_P99], 990);
    assert_int_equal(one->latency_max_ns, 1000);
    bench_sweep_destroy(&s);
}

static void summarize__lag__is_of_the_worst_follower_never_of_the_leader(void **state) {
    (void)state;
    struct bench_sweep s;
    make_sweep(&s);
    assert_int_equal(s.points[0].has_lag, 0);
    assert_int_equal(s.points[2].has_lag, 1);
    assert_true(near(s.points[2].lag_ns[BENCH_LAG_P50].median, 300) &&
                near(s.points[2].lag_ns[BENCH_LAG_P999].median, 900));
    bench_sweep_destroy(&s);
}

static void fallback_ratio__no_reads__is_zero(void **state) {
    (void)state;
    uint64_t none[TIDE_REASONS] = { 0 };
    uint64_t all[TIDE_REASONS] = { 1, 1, 1, 1, 1, 1, 1 };
    assert_true(bench_fallback_ratio(none) == 0.0);
    assert_true(near(bench_fallback_ratio(all), 5.0 / 7.0));
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static double at(const cJSON *o, const char *a, const char *b) {
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(o, a);
    found = b != NULL ? cJSON_GetObjectItemCaseSensitive(found, b) : found;
    assert_true(cJSON_IsNumber(found));
    return found->valuedouble;
}

static void result_json__of_a_sweep__has_the_documented_schema(void **state) {
    (void)state;
    struct bench_sweep s;
    make_sweep(&s);
    options.max_staleness_ns = TIDE_UNBOUNDED;
    cJSON *made = bench_result_json(&s);
    char *text = cJSON_Print(made);
    cJSON *o = cJSON_Parse(text);
    assert_non_null(o);
    assert_string_equal(cJSON_GetObjectItem(o, "schema")->valuestring, "tidemark.readscale");
    assert_true(near(at(o, "schema_version", NULL), 1));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(o, "settings"), "max_staleness_ns")));
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(o, "settings"), "mode")->valuestring, "threads");
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(o, "settings"), "read")->valuestring, "own");
    assert_string_equal(cJSON_GetObjectItem(cJSON_GetObjectItem(o, "machine"), "cpu_model")->valuestring,
                        machine.cpu_model);
    const cJSON *points = cJSON_GetObjectItem(o, "points");
    assert_int_equal(cJSON_GetArraySize(points), 3);
    const cJSON *two = cJSON_GetArrayItem(points, 1);
    assert_true(near(at(two, "replicas", NULL), 2) && near(at(two, "scaling", "median"), 1.9));
    assert_true(near(at(two, "latency_ns", "p99"), 990));
    assert_true(near(at(two, "share_by_reason", "redirected_to_leader"), 0.25));
    assert_true(near(at(cJSON_GetObjectItem(two, "lag_ns"), "p999", "max"), 300));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(points, 0), "lag_ns")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(two, "trials")), 2);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(o, "lag_samples")), 3);
    cJSON_Delete(o);
    free(text);
    cJSON_Delete(made);
    bench_sweep_destroy(&s);
}

/* ---- tables and pictures ----------------------------------------------------------------------------------------- */

static char *printed(void (*print)(FILE *, const struct bench_sweep *), const struct bench_sweep *s) {
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    print(f, s);
    fclose(f);
    return text;
}

static void print_throughput_script(FILE *f, const struct bench_sweep *s) {
    assert_int_equal(bench_plot_throughput(f, s), 0);
}

static void tables__of_a_sweep__mark_what_is_oversubscribed(void **state) {
    (void)state;
    struct bench_sweep s;
    make_sweep(&s);
    char *text = printed(bench_sweep_print, &s);
    assert_non_null(strstr(text, "4*"));
    assert_null(strstr(text, "2*"));
    assert_non_null(strstr(text, "of control"));
    assert_non_null(strstr(text, "nothing is subtracted"));
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "inf"));
    free(text);
    bench_sweep_destroy(&s);
}

static void plot__of_a_sweep__has_a_row_for_each_point(void **state) {
    (void)state;
    struct bench_sweep s;
    make_sweep(&s);
    char *text = printed(print_throughput_script, &s);
    assert_non_null(strstr(text, "\n2 0.00"));
    assert_non_null(strstr(text, "more readers than CPUs"));
    free(text);
    s.points[0].done = 0;
    FILE *f = tmpfile();
    assert_int_equal(bench_plot_throughput(f, &s), 1);
    s.samples.n = 0;
    assert_int_equal(bench_plot_lag(f, &s), 1);
    fclose(f);
    s.points[0].done = 2;
    bench_sweep_destroy(&s);
}

static void html_text__marks__are_escaped(void **state) {
    (void)state;
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    bench_html_text(f, "<a href=\"x\">'&'</a>");
    fclose(f);
    assert_string_equal(text, "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
    free(text);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static char directory[] = "/tmp/tidemark-test-bench-XXXXXX";

static int make_directory(void **state) {
    (void)state;
    return mkdtemp(directory) == NULL;
}

static void empty(const char *path) {
    DIR *d = opendir(path);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char name[600];
        snprintf(name, sizeof(name), "%s/%s", path, e->d_name);
        if (e->d_name[0] != '.' && unlink(name) != 0) {
            empty(name);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
    rmdir(path);
}

static int remove_directory(void **state) {
    (void)state;
    empty(directory);
    return 0;
}

static char *file_text(const char *dir, const char *name) {
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t room = 4u << 20;
    char *text = calloc(1, room);
    assert_non_null(text);
    assert_true(fread(text, 1, room - 1, f) > 0);
    fclose(f);
    return text;
}

static void write_report(const struct bench_sweep *s, const char *dir) {
    char error[BENCH_ERROR_BYTES] = "";
    int rc = bench_report_write(s, dir, error);
    assert_string_equal(error, "");
    assert_int_equal(rc, 0);
}

static void report__without_gnuplot__has_the_tables_and_says_so(void **state) {
    (void)state;
    struct bench_sweep s;
    char dir[128];
    char path[4096];
    make_sweep(&s);
    snprintf(dir, sizeof(dir), "%s/a/b", directory);
    snprintf(path, sizeof(path), "%s", getenv("PATH") != NULL ? getenv("PATH") : "/usr/bin:/bin");
    setenv("PATH", directory, 1);
    write_report(&s, dir);
    setenv("PATH", path, 1);
    char *page = file_text(dir, "report.html");
    assert_non_null(strstr(page, "gnuplot is not installed"));
    assert_null(strstr(page, "data:image/"));
    assert_non_null(strstr(page, "A &lt;fast&gt; &amp; &quot;good&quot; CPU"));
    assert_non_null(strstr(page, "of control"));
    free(page);
    cJSON *json = cJSON_Parse(page = file_text(dir, "result.json"));
    assert_non_null(json);
    cJSON_Delete(json);
    free(page);
    bench_sweep_destroy(&s);
}

static void report__with_gnuplot__has_three_pictures(void **state) {
    (void)state;
    if (system("gnuplot --version >/dev/null 2>&1") != 0) {
        skip();
    }
    struct bench_sweep s;
    make_sweep(&s);
    write_report(&s, directory);
    char *page = file_text(directory, "report.html");
    int pictures = 0;
    for (const char *p = page; (p = strstr(p, "data:image/svg+xml;base64,")) != NULL; p++) {
        pictures++;
    }
    assert_int_equal(pictures, 3);
    free(page);
    bench_sweep_destroy(&s);
}

static void report__hlog__reads_back_one_interval_for_each_repetition(void **state) {
    (void)state;
    struct bench_sweep s;
    char path[128];
    struct hdrlog_line line;
    make_sweep(&s);
    write_report(&s, directory);
    snprintf(path, sizeof(path), "%s/readscale-r2.hlog", directory);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hdrlog_next(f, &line), 1);
        assert_string_equal(line.tag, "r2");
        assert_int_equal(hdr_total(line.hdr), 1000);
        hdr_free(line.hdr);
    }
    assert_int_equal(hdrlog_next(f, &line), 0);
    fclose(f);
    bench_sweep_destroy(&s);
}

static void report__directory_that_cannot_be__error_names_it(void **state) {
    (void)state;
    struct bench_sweep s;
    char error[BENCH_ERROR_BYTES] = "";
    char path[128];
    make_sweep(&s);
    snprintf(path, sizeof(path), "%s/file", directory);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(bench_report_write(&s, path, error), -1);
    assert_non_null(strstr(error, path));
    bench_sweep_destroy(&s);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summarize__half_the_machine_for_one_repetition__ratios_do_not_move),
        cmocka_unit_test(summarize__reasons_and_latency__are_added_up),
        cmocka_unit_test(summarize__lag__is_of_the_worst_follower_never_of_the_leader),
        cmocka_unit_test(fallback_ratio__no_reads__is_zero),
        cmocka_unit_test(result_json__of_a_sweep__has_the_documented_schema),
        cmocka_unit_test(tables__of_a_sweep__mark_what_is_oversubscribed),
        cmocka_unit_test(plot__of_a_sweep__has_a_row_for_each_point),
        cmocka_unit_test(html_text__marks__are_escaped),
        cmocka_unit_test(report__without_gnuplot__has_the_tables_and_says_so),
        cmocka_unit_test(report__with_gnuplot__has_three_pictures),
        cmocka_unit_test(report__hlog__reads_back_one_interval_for_each_repetition),
        cmocka_unit_test(report__directory_that_cannot_be__error_names_it),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
