/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* bench/peers: the adapters that need no package answer right, a wrong answer is found, and settings that make no sense are refused. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/peers/stage.h"
#include "tests/lib/help.h"

/* A peer that answers with another key's value: peer_stage_verify() must find it. */
static int get_wrong(struct peer_reader *r, const uint8_t *key, uint8_t *out) {
    (void)key;
    return peer_plain.get(r, r->workload->key_bytes, out);
}

/* And a peer whose row leaves gets out. */
static uint64_t run_less(struct peer_reader *r, uint64_t from, uint64_t n) {
    return peer_plain.gets[0].run(r, from, n / 2);
}

static struct peer wrong_value, wrong_row;
static const struct peer absent = { .name = "absent", .package = "libabsent-dev" };
static const struct peer *const peers[PEERS] = { &peer_loop_alone, &peer_plain, &peer_tide, &peer_other,
                                                 &wrong_value,     &wrong_row,  &absent,    &absent };
enum { LOOP = 1, PLAIN = 2, TIDE = 4, OTHER = 8, WRONG_VALUE = 16, WRONG_ROW = 32, ABSENT = 64 };

static char error[BENCH_ERROR_BYTES];
static struct peer_settings settings;
static struct bench_program program = { .name = "peers", .repetitions = 2 };
static struct bench_figures *const figures = &program.figures;

static void begin(struct peer_stage *s) {
    char *args[] = { (char *)"peers", (char *)"--quick", (char *)"--repetitions", (char *)"2" };
    peer_settings_default(&settings, peers);
    assert_int_equal(peer_settings_parse(&settings, 4, args), -1);
    settings.slice_ns = 100000;
    settings.rounds = 2;
    bench_figures_settle(figures, 0); /* those of the test before: their values are given back */
    bench_begin(&program);
    memset(s, 0, sizeof(*s));
    s->settings = &settings;
    s->figures = figures;
    s->c = (struct peer_case){ .error = error };
    error[0] = '\0';
    wrong_value = wrong_row = peer_plain;
    wrong_value.get = get_wrong;
    wrong_row.gets[0].run = run_less;
}

static void assert_nothing_left(void) {
    char ours[64];
    snprintf(ours, sizeof(ours), "tidemark.bench-peers-%ld", (long)getpid());
    DIR *d = opendir("/dev/shm");
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        assert_int_not_equal(strncmp(e->d_name, ours, strlen(ours)), 0);
    }
    if (d != NULL) {
        closedir(d);
    }
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void assert_found(const char *id) {
    uint32_t figure = bench_figures_find(figures, id);
    assert_int_not_equal(figure, BENCH_NO_FIGURE);
    assert_true(figures->figures[figure].measured);
}

static void gets_of(uint64_t keys, uint64_t value_size) {
    static struct peer_stage s;
    begin(&s);
    peer_stage_open(&s, LOOP | PLAIN | TIDE | OTHER | ABSENT, keys, value_size, 0);
    assert_string_equal(error, "");
    assert_int_equal(peer_stage_verify(&s), 0);
    peer_measure_gets(&s);
    peer_stage_close(&s);
    assert_nothing_left();
}

static void peers__gets__answer_what_was_put(void **state) {
    (void)state;
    gets_of(1000, 64);
    uint32_t tide = bench_figures_find(figures, "get.1k.uniform.tide");
    assert_int_not_equal(tide, BENCH_NO_FIGURE);
    assert_true(figures->figures[tide].values[0] > 0.0 && figures->figures[tide].values[1] > 0.0);
    assert_found("get.1k.zipfian.tide_other");
    assert_found("get.1k.zipfian.tide_other.x");
    assert_int_equal(bench_figures_find(figures, "get.1k.uniform.tide_behind"), BENCH_NO_FIGURE); /* getcost's */
    gets_of(100, 24);
    gets_of(1, 1024);
}

static void peers__puts__are_found_afterwards(void **state) {
    static struct peer_stage s;
    (void)state;
    begin(&s);
    peer_stage_open(&s, PLAIN | TIDE, 500, 64, 1);
    peer_measure_puts(&s);
    peer_stage_close(&s);
    assert_nothing_left();
    assert_found("put.500.uniform.tide");
}

static void peers__two_readers_and_a_writer_beside__all_are_answered(void **state) {
    static struct peer_stage s;
    (void)state;
    begin(&s);
    peer_stage_open(&s, LOOP | PLAIN | TIDE, 1000, 64, 0);
    peer_measure_pairs(&s);
    peer_measure_beside(&s);
    peer_stage_close(&s);
    assert_nothing_left();
    assert_found("pairs.1k.tide");
    assert_found("beside.1k.tide_within");
}

static void verify__another_keys_value_or_fewer_gets__is_found(void **state) {
    static struct peer_stage s;
    (void)state;
    begin(&s);
    peer_stage_open(&s, WRONG_VALUE, 1000, 64, 0);
    assert_int_equal(peer_stage_verify(&s), -1);
    assert_non_null(strstr(error, "answers what was not put"));
    peer_stage_close(&s);
    begin(&s);
    peer_stage_open(&s, WRONG_ROW, 1000, 64, 0);
    assert_int_equal(peer_stage_verify(&s), -1);
    assert_non_null(strstr(error, "plain table"));
    peer_stage_close(&s);
}

/* What getcost has beside: the denser table, a bound of 200 ms, and the follower that is kept behind. */
static void getcost__rows__have_ratios_to_the_plain_table(void **state) {
    static struct peer_stage s;
    (void)state;
    begin(&s);
    settings.cost = 1;
    peer_stage_open(&s, LOOP | PLAIN | TIDE | OTHER, 1000, 64, 0);
    assert_int_equal(peer_stage_verify(&s), 0);
    peer_measure_gets(&s);
    peer_stage_close(&s);
    assert_nothing_left();
    assert_found("get.1k.uniform.plain_dense");
    assert_found("get.1k.uniform.tide_within.to_plain");
    assert_found("get.1k.uniform.tide_behind.net");
    uint32_t share = bench_figures_find(figures, "get.1k.uniform.tide_behind.share");
    assert_int_not_equal(share, BENCH_NO_FIGURE);
    assert_true(figures->figures[share].values[1] > 0.0 && figures->figures[share].values[1] <= 1.0);
}

static void figures__bars__of_the_same_repetition(void **state) {
    (void)state;
    begin(&(struct peer_stage){ 0 });
    uint32_t plain = bench_figures_add(figures, "get.10k.uniform.plain", "g", "plain", "ns");
    uint32_t tide = bench_figures_add(figures, "get.10k.uniform.tide", "g", "tide", "ns");
    bench_figures_set(figures, plain, 0, 10.0);
    bench_figures_set(figures, plain, 1, 40.0);
    bench_figures_set(figures, tide, 0, 20.0);
    bench_figures_set(figures, tide, 1, 60.0);
    peer_bars(figures, true);
    bench_figures_settle(figures, 2);
    assert_string_equal(figures->bars[0].id, "get.10k.plain");
    assert_true(figures->bars[0].spread.min == 1.5 && figures->bars[0].spread.max == 2.0 && figures->bars[0].kept);
    assert_true(figures->bars[0].at == 50.0);
    assert_int_equal(figures->bars[1].spread.n, 0);
    assert_false(figures->bars[1].kept);
    begin(&(struct peer_stage){ 0 });
    peer_bars(figures, false); /* getcost lists only bars whose rows it has */
    assert_int_equal(figures->bars_n, 0);
}

static int parse_two(const char *name, const char *value) {
    struct peer_settings s;
    peer_settings_default(&s, peers);
    char *args[] = { (char *)"peers", (char *)name, (char *)value };
    return peer_settings_parse(&s, value != NULL ? 3 : 2, args);
}

static void settings__what_makes_no_sense__is_refused(void **state) {
    (void)state;
    begin(&(struct peer_stage){ 0 });
    assert_int_equal(parse_two("--keys", "10k,1M"), -1);
    assert_int_equal(parse_two("--keys", "10k,"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--keys", "0"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--keys", NULL), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--value-size", "4"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--value-size", "4097"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--dist", "zipfian"), -1);
    assert_int_equal(parse_two("--dist", "normal"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--peers", "tide,plain"), -1);
    assert_int_equal(parse_two("--peers", "tide,foo"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--parts", ""), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--pages", "huge"), -1);
    assert_int_equal(parse_two("--pages", "auto"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--repetitions", "101"), BENCH_EXIT_USAGE);
    assert_int_equal(parse_two("--foo", "1"), BENCH_EXIT_USAGE);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings__what_makes_no_sense__is_refused),
        cmocka_unit_test(figures__bars__of_the_same_repetition),
        cmocka_unit_test(verify__another_keys_value_or_fewer_gets__is_found),
        cmocka_unit_test(peers__gets__answer_what_was_put),
        cmocka_unit_test(getcost__rows__have_ratios_to_the_plain_table),
        cmocka_unit_test(peers__puts__are_found_afterwards),
        cmocka_unit_test(peers__two_readers_and_a_writer_beside__all_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
