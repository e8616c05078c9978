/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small sweeps for real: threads, replicas, open and closed loop, and nothing that stays behind. */
#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "bench/lib/sweep.h"
#include "tests/lib/help.h"

static struct bench_options options;
static struct bench_machine machine;

static void count_progress(void *ctx, uint32_t done, uint32_t total, uint32_t replicas, uint32_t repetition) {
    (void)total;
    (void)replicas;
    (void)repetition;
    *(uint32_t *)ctx = done;
}

static int run_small(struct bench_sweep *s, const char *a, const char *b, const volatile sig_atomic_t *stop) {
    char *argv[] = { (char *)"readscale",
                     (char *)"--replicas",
                     (char *)"1,2",
                     (char *)"--repetitions",
                     (char *)"1",
                     (char *)"--duration",
                     (char *)"20ms",
                     (char *)"--keys",
                     (char *)"500",
                     (char *)a,
                     (char *)b };
    char error[BENCH_ERROR_BYTES] = "";
    uint32_t done = 0;
    assert_int_equal(bench_options_parse(&options, 11, argv, 2, error), BENCH_PARSED_RUN);
    bench_machine_read(&machine);
    int rc = bench_sweep_run(s, &options, &machine, stop, count_progress, &done, error);
    assert_string_equal(error, "");
    return rc;
}

static int segments_left(void) {
    int left = 0;
    char prefix[64];
    int n = snprintf(prefix, sizeof(prefix), "tidemark.readscale-%ld.", (long)getpid());
    DIR *d = opendir("/dev/shm");
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        left += strncmp(e->d_name, prefix, (size_t)n) == 0;
    }
    if (d != NULL) {
        closedir(d);
    }
    return left;
}

/* What holds of a repetition however little of the machine it got. Returns whether every thread got to do something. */
static int check_trial(const struct bench_trial *t, uint32_t threads) {
    uint64_t by_reason = 0;
    assert_int_equal(t->threads, threads);
    for (unsigned r = 0; r < TIDE_REASONS; r++) {
        by_reason += t->reasons[r];
    }
    assert_int_equal(by_reason, t->reads + t->refused);
    return hdr_total(t->latency) > 0 && t->reads > 0 && t->control_ops > 0 && t->writes > 0;
}

static void sweep__closed_loop__reads_at_every_point_and_leaves_nothing(void **state) {
    (void)state;
    static const volatile sig_atomic_t never = 0;
    int all = 0;
    /* On a busy machine a thread may get no turn in 20 ms: then again, until the watchdog ends it. */
    while (!all) {
        struct bench_sweep s;
        assert_int_equal(run_small(&s, "--write-rate", "max", &never), 0);
        all = s.points[1].has_lag;
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(s.points[i].done, 1);
            all &= check_trial(&s.points[i].trials[0], i + 1);
        }
        bench_sweep_destroy(&s);
        assert_int_equal(segments_left(), 0);
    }
}

static void sweep__open_loop_beyond_what_can_be_done__counts_the_overdue(void **state) {
    (void)state;
    static const volatile sig_atomic_t never = 0;
    struct bench_sweep s;
    assert_int_equal(run_small(&s, "--open-loop", "1G", &never), 0);
    const struct bench_trial *t = &s.points[0].trials[0];
    assert_true(t->overdue > 0);
    /* Each read that was due is in the histogram, started or not. */
    assert_int_equal(hdr_total(t->latency), t->reads + t->overdue);
    assert_true((double)hdr_total(t->latency) >= t->read_s * 1e9 * 0.999);
    bench_sweep_destroy(&s);
}

static void sweep__stopped_before_it_began__is_interrupted_and_leaves_nothing(void **state) {
    (void)state;
    static const volatile sig_atomic_t always = 1;
    struct bench_sweep s;
    assert_int_equal(run_small(&s, "--write-rate", "0", &always), 0);
    assert_int_equal(s.interrupted, 1);
    assert_int_equal(s.points[0].done, 0);
    bench_sweep_destroy(&s);
    assert_int_equal(segments_left(), 0);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sweep__closed_loop__reads_at_every_point_and_leaves_nothing),
        cmocka_unit_test(sweep__open_loop_beyond_what_can_be_done__counts_the_overdue),
        cmocka_unit_test(sweep__stopped_before_it_began__is_interrupted_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
