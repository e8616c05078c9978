/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of readscale. */
#include <string.h>

#include "bench/lib/options.h"
#include "tests/lib/help.h"

static void parse_count__good_and_bad(void **state) {
    (void)state;
    static const char *const bad[] = { "",     "-1",  " 1",  "1 ",   "k",   "1.0000001k",
                                       "0x10", "inf", "nan", "1e40", "1kk", "+1" };
    uint64_t n = 0;
    assert_int_equal(bench_parse_count("10k", &n), 0);
    assert_int_equal(n, 10000);
    assert_int_equal(bench_parse_count("1.5M", &n), 0);
    assert_int_equal(n, 1500000);
    assert_int_equal(bench_parse_count("64KiB", &n), 0);
    assert_int_equal(n, 65536);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        n = 77;
        assert_int_equal(bench_parse_count(bad[i], &n), -1);
        assert_int_equal(n, 77);
    }
}

static void parse_duration__needs_a_unit(void **state) {
    (void)state;
    uint64_t ns = 1;
    assert_int_equal(bench_parse_duration("1.5ms", &ns), 0);
    assert_int_equal(ns, 1500000);
    assert_int_equal(bench_parse_duration("0", &ns), 0);
    assert_int_equal(ns, 0);
    assert_int_equal(bench_parse_duration("none", &ns), 0);
    assert_true(ns == TIDE_UNBOUNDED);
    assert_int_equal(bench_parse_duration("5", &ns), -1);
    assert_int_equal(bench_parse_duration("5h", &ns), -1);
}

static enum bench_parsed parse(struct bench_options *o, char *error, const char *a, const char *b) {
    char *argv[] = { (char *)"readscale", (char *)a, (char *)b, NULL };
    return bench_options_parse(o, a == NULL ? 1 : b == NULL ? 2 : 3, argv, 2, error);
}

static void options__replicas__must_rise(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", ",", "1,", "2,1", "1,1", "0", "65", "1, 2", "a", "1;2", "99999999999999999999"
    };
    struct bench_options o;
    char error[BENCH_ERROR_BYTES];
    assert_int_equal(parse(&o, error, "--replicas", "1,2,64"), BENCH_PARSED_RUN);
    assert_int_equal(o.replicas.n, 3);
    assert_int_equal(o.replicas.items[2], 64);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(parse(&o, error, "--replicas", bad[i]), BENCH_PARSED_ERROR);
        assert_non_null(strstr(error, "rising numbers"));
    }
}

static void options__none__are_the_documented_defaults(void **state) {
    (void)state;
    struct bench_options o;
    char error[BENCH_ERROR_BYTES];
    assert_int_equal(parse(&o, error, NULL, NULL), BENCH_PARSED_RUN);
    assert_int_equal(o.replicas.n, 3); /* 2 CPUs: 1, 2, and one step beyond */
    assert_int_equal(o.replicas.items[2], 4);
    assert_int_equal(o.keys, 10000);
    assert_int_equal(o.key_size, 16);
    assert_int_equal(o.value_size, 64);
    assert_int_equal(o.max_staleness_ns, 200000000);
    assert_int_equal(o.wait_ns, 0);
    assert_int_equal(o.repetitions, 5);
    assert_true(o.write_rate == 1000.0 && o.open_rate == 0.0 && o.pin == 1);
    /* About a minute: reading is four fifths of a repetition. */
    double total_s = (double)(o.replicas.n * o.repetitions * o.duration_ns) / 1e9 * 1.25;
    assert_true(total_s > 40 && total_s < 60);
}

static void options__values__by_blank_or_equals_sign(void **state) {
    (void)state;
    struct bench_options o;
    char error[BENCH_ERROR_BYTES];
    assert_int_equal(parse(&o, error, "--keys=5k", NULL), BENCH_PARSED_RUN);
    assert_int_equal(o.keys, 5000);
    assert_int_equal(parse(&o, error, "--write-rate", "max"), BENCH_PARSED_RUN);
    assert_true(o.write_rate == BENCH_RATE_MAX);
    assert_int_equal(parse(&o, error, "--fallback", "wait"), BENCH_PARSED_RUN);
    assert_int_equal(o.wait_ns, 100000000);
    assert_int_equal(parse(&o, error, "--theta", "0.8"), BENCH_PARSED_RUN);
    assert_int_equal(o.dist, BENCH_ZIPFIAN);
    assert_int_equal(parse(&o, error, "--help", NULL), BENCH_PARSED_HELP);
    assert_int_equal(parse(&o, error, "--no-pin", NULL), BENCH_PARSED_RUN);
    assert_int_equal(o.pin, 0);
}

static void options__processes__read_their_own_replica_or_a_foreign_one(void **state) {
    (void)state;
    struct bench_options o;
    char error[BENCH_ERROR_BYTES];
    char *argv[] = { (char *)"readscale", (char *)"--mode=processes", (char *)"--read=foreign",
                     (char *)"--replicas=63,64" };
    assert_int_equal(bench_options_parse(&o, 2, argv, 2, error), BENCH_PARSED_RUN);
    assert_true(o.processes && !o.read_foreign);
    assert_int_equal(bench_options_parse(&o, 3, argv, 2, error), BENCH_PARSED_RUN);
    assert_true(o.processes && o.read_foreign);
    /* Two processes for each replica and the coordinator would be more than a domain takes. */
    assert_int_equal(bench_options_parse(&o, 4, argv, 2, error), BENCH_PARSED_ERROR);
    assert_non_null(strstr(error, "up to 63"));
}

static void options__one_slip_away__the_argument_is_named(void **state) {
    static const char *const slips[][2] = { { "--keyz", "'--keys'?" },        { "--mdoe", "'--mode'?" },
                                            { "--replica", "'--replicas'?" }, { "--dur=1s", "'--duration'?" },
                                            { "--benchmark", NULL },          { "--ke", NULL } };
    (void)state;
    for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
        struct bench_options o;
        char error[BENCH_ERROR_BYTES] = "";
        assert_int_equal(parse(&o, error, slips[i][0], NULL), BENCH_PARSED_ERROR);
        const char *meant = strstr(error, "did you mean ");
        assert_true(slips[i][1] != NULL ? meant != NULL && strstr(meant, slips[i][1]) != NULL : meant == NULL);
    }
}

static void options__wrong__error_names_the_argument(void **state) {
    (void)state;
    static const char *const wrong[][2] = {
        { "--bogus", NULL },       { "bogus", NULL },       { "-x", NULL },           { "--keys", NULL },
        { "--keys", "many" },      { "--keys", "0" },       { "--theta", "1" },       { "--fallback", "maybe" },
        { "--no-pin=1", NULL },    { "--ring", "100000" },  { "--name", "a/b" },      { "--name", ".a" },
        { "--replicas", "4,2" },   { "--duration", "1ns" }, { "--sample", "-1" },     { "--bound", "50" },
        { "--key-size", "70000" }, { "--readers", "0" },    { "--repetitions", "0" }, { "--", NULL },
        { "--keys=", NULL },       { "--out", "" },         { "--mode", "fork" },     { "--read", "all" },
        { "--read", "foreign" },
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct bench_options o;
        char error[BENCH_ERROR_BYTES] = "";
        assert_int_equal(parse(&o, error, wrong[i][0], wrong[i][1]), BENCH_PARSED_ERROR);
        size_t name = strcspn(wrong[i][0], "=");
        char wanted[32] = "";
        memcpy(wanted, wrong[i][0], name);
        assert_non_null(strstr(error, wanted));
        assert_null(strchr(error, '\n'));
    }
}

static void options__keys_that_do_not_fit_their_size__refused(void **state) {
    (void)state;
    struct bench_options o;
    char error[BENCH_ERROR_BYTES];
    assert_int_equal(parse(&o, error, "--key-size", "1"), BENCH_PARSED_ERROR);
    assert_int_equal(parse(&o, error, "--key-size", "2"), BENCH_PARSED_RUN);
}

static void default_sweep__any_cpus__powers_up_to_one_beyond(void **state) {
    (void)state;
    assert_int_equal(bench_options_default_sweep(1).n, 2);
    assert_int_equal(bench_options_default_sweep(1).items[1], 2);
    assert_int_equal(bench_options_default_sweep(6).n, 4);
    assert_int_equal(bench_options_default_sweep(6).items[3], 8);
    assert_int_equal(bench_options_default_sweep(8).n, 5);
    assert_int_equal(bench_options_default_sweep(1000).n, 7);
    assert_int_equal(bench_options_default_sweep(1000).items[6], 64);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse_count__good_and_bad),
        cmocka_unit_test(parse_duration__needs_a_unit),
        cmocka_unit_test(options__replicas__must_rise),
        cmocka_unit_test(options__none__are_the_documented_defaults),
        cmocka_unit_test(options__values__by_blank_or_equals_sign),
        cmocka_unit_test(options__processes__read_their_own_replica_or_a_foreign_one),
        cmocka_unit_test(options__wrong__error_names_the_argument),
        cmocka_unit_test(options__one_slip_away__the_argument_is_named),
        cmocka_unit_test(options__keys_that_do_not_fit_their_size__refused),
        cmocka_unit_test(default_sweep__any_cpus__powers_up_to_one_beyond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
