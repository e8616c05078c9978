/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Small sweeps for real: threads and processes, replicas, open and closed loop, and nothing that stays behind. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/far.h"
#include "bench/lib/program.h"
#include "bench/lib/setup.h"
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

/* mode: "threads", "processes", or "foreign": processes whose readers have no replica. */
static int run_small_in(struct bench_sweep *s, const char *mode, const char *a, const char *b,
                        bench_progress_fn *progress, const volatile sig_atomic_t *stop, char error[BENCH_ERROR_BYTES]) {
    int foreign = strcmp(mode, "foreign") == 0;
    char *argv[] = { (char *)"readscale",
                     (char *)"--replicas",
                     (char *)"1,2",
                     (char *)"--repetitions",
                     (char *)"1",
                     (char *)"--duration",
                     (char *)"20ms",
                     (char *)"--keys",
                     (char *)"500",
                     (char *)"--mode",
                     (char *)(foreign ? "processes" : mode),
                     (char *)"--read",
                     (char *)(foreign ? "foreign" : "own"),
                     (char *)a,
                     (char *)b };
    uint32_t done = 0;
    error[0] = '\0';
    assert_int_equal(bench_options_parse(&options, 15, argv, 2, error), BENCH_PARSED_RUN);
    bench_machine_read(&machine);
    return bench_sweep_run(s, &options, &machine, stop, progress, &done, error);
}

static int run_small(struct bench_sweep *s, const char *mode, const char *a, const char *b,
                     const volatile sig_atomic_t *stop) {
    char error[BENCH_ERROR_BYTES];
    int rc = run_small_in(s, mode, a, b, count_progress, stop, error);
    assert_string_equal(error, "");
    return rc;
}

static int segments_left(void) {
    int left = 0;
    char ours[2][64];
    snprintf(ours[0], sizeof(ours[0]), "tidemark.readscale-%ld.", (long)getpid());
    snprintf(ours[1], sizeof(ours[1]), "tidemark.bench-getcost-%ld.", (long)getpid());
    DIR *d = opendir("/dev/shm");
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        left += strncmp(e->d_name, ours[0], strlen(ours[0])) == 0 || strncmp(e->d_name, ours[1], strlen(ours[1])) == 0;
    }
    if (d != NULL) {
        closedir(d);
    }
    return left;
}

/* What must be true of a repetition on a busy machine, too. Returns whether every thread got to do something. */
static int check_trial(const struct bench_trial *t, uint32_t threads) {
    uint64_t by_reason = 0;
    assert_int_equal(t->threads, threads);
    for (unsigned r = 0; r < TIDE_REASONS; r++) {
        by_reason += t->reasons[r];
    }
    assert_int_equal(by_reason, t->reads + t->refused);
    return hdr_total(t->latency) > 0 && t->reads > 0 && t->control_ops > 0 && t->writes > 0;
}

static const volatile sig_atomic_t never = 0;

static void assert_nothing_left(void) {
    assert_int_equal(segments_left(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void closed_loop(const char *mode) {
    int all = 0;
    /* On a busy machine a thread may get no turn in 20 ms: then again, until the watchdog ends it. */
    while (!all) {
        struct bench_sweep s;
        assert_int_equal(run_small(&s, mode, "--write-rate", "max", &never), 0);
        all = s.points[1].has_lag;
        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(s.points[i].done, 1);
            all &= check_trial(&s.points[i].trials[0], i + 1);
        }
        bench_sweep_destroy(&s);
        assert_nothing_left();
    }
}

static void sweep__closed_loop__reads_at_every_point_and_leaves_nothing(void **state) {
    (void)state;
    closed_loop("threads");
}

static void sweep__processes__each_reads_its_own_replica(void **state) {
    (void)state;
    closed_loop("processes");
}

static void sweep__processes_without_a_replica__read_those_of_others(void **state) {
    (void)state;
    closed_loop("foreign");
}

static void kill_the_leader(void *ctx, uint32_t done, uint32_t total, uint32_t replicas, uint32_t repetition) {
    (void)replicas;
    (void)repetition;
    (void)ctx;
    if (done == total) {
        return;
    }
    if (bench_child_fork() == 0) {
        char name[TIDE_NAME_MAX];
        struct tide_opts opts = TIDE_OPTS_INIT;
        struct tide_info info = TIDE_INFO_INIT;
        struct tide *d = NULL;
        opts.flags = 0;
        snprintf(name, sizeof(name), "readscale-%ld", (long)getppid());
        while (tide_open(&d, name, &opts) != 0) {
        }
        while (tide_info(d, &info) != 0 || info.leader_pid == 0) {
        }
        kill(info.leader_pid, SIGKILL);
        _exit(0);
    }
}

static void sweep__a_process_is_killed__says_which_and_leaves_nothing(void **state) {
    (void)state;
    char error[BENCH_ERROR_BYTES];
    struct bench_sweep s;
    assert_int_equal(run_small_in(&s, "processes", "--duration", "60s", kill_the_leader, &never, error), -1);
    assert_non_null(strstr(error, "the process of the leader, replica 0 (pid "));
    assert_non_null(strstr(error, "was killed by signal 9"));
    bench_sweep_destroy(&s);
    assert_true(wait(NULL) > 0); /* the killer */
    assert_nothing_left();
}

/* Stops the sweep while its processes work. */
static volatile sig_atomic_t stop_soon;

static void on_alarm(int number) {
    (void)number;
    stop_soon = 1;
}

static void sweep__processes_stopped__are_gone(void **state) {
    (void)state;
    char error[BENCH_ERROR_BYTES];
    struct bench_sweep s;
    struct sigaction action = { .sa_handler = on_alarm };
    struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
    timer_t timer;
    sigaction(SIGUSR1, &action, NULL);
    assert_int_equal(timer_create(CLOCK_MONOTONIC, &event, &timer), 0);
    struct itimerspec when = { .it_value = { .tv_nsec = 60000000 } };
    assert_int_equal(timer_settime(timer, 0, &when, NULL), 0);
    assert_int_equal(run_small_in(&s, "foreign", "--duration", "60s", count_progress, &stop_soon, error), 0);
    assert_int_equal(s.interrupted, 1);
    bench_sweep_destroy(&s);
    timer_delete(timer);
    assert_nothing_left();
}

static void overdue(const char *mode) {
    struct bench_sweep s;
    assert_int_equal(run_small(&s, mode, "--open-loop", "1G", &never), 0);
    const struct bench_trial *t = &s.points[0].trials[0];
    assert_true(t->overdue > 0);
    /* Each read that was due is in the histogram, started or not. */
    assert_int_equal(hdr_total(t->latency), t->reads + t->overdue);
    assert_true((double)hdr_total(t->latency) >= t->read_s * 1e9 * 0.999);
    bench_sweep_destroy(&s);
}

static void sweep__open_loop_beyond_what_can_be_done__counts_the_overdue(void **state) {
    (void)state;
    overdue("threads");
    overdue("processes");
}

static void sweep__stopped_before_it_began__is_interrupted_and_leaves_nothing(void **state) {
    (void)state;
    static const volatile sig_atomic_t always = 1;
    struct bench_sweep s;
    assert_int_equal(run_small(&s, "processes", "--write-rate", "0", &always), 0);
    assert_int_equal(s.interrupted, 1);
    assert_int_equal(s.points[0].done, 0);
    bench_sweep_destroy(&s);
    assert_int_equal(segments_left(), 0);
}

static void far__a_leader_in_a_child__its_keys_are_read_here(void **state) {
    (void)state;
    static struct bench_program program = { .name = "getcost", .repetitions = 1 };
    bench_begin(&program);
    struct bench_options o = { .keys = 300, .key_size = 16, .value_size = 64, .seed = 1 };
    struct bench_workload w;
    struct tide_reader *reader = NULL;
    uint8_t expected[64];
    uint8_t got[64];
    assert_int_equal(bench_workload_init(&w, &o, 1), 0);
    struct bench_far *far = bench_far_start(&w, -1, "other");
    struct tide *d = bench_far_open(far, &o);
    assert_int_equal(bench_setup_reader(d, 0, &reader), 0);
    for (uint64_t i = 0; i < w.keys; i++) {
        struct tide_answer answer = TIDE_ANSWER_INIT;
        bench_workload_value(&w, i, 0, expected);
        assert_int_equal(tide_get(reader, bench_workload_key(&w, i), 16, NULL, got, sizeof(got), &answer), 0);
        assert_memory_equal(got, expected, sizeof(got));
        assert_true(answer.linearizable && answer.from_leader);
    }
    bench_far_must_live(far);
    tide_reader_close(reader);
    bench_far_end(far);
    bench_workload_destroy(&w);
    assert_nothing_left();
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sweep__closed_loop__reads_at_every_point_and_leaves_nothing),
        cmocka_unit_test(sweep__processes__each_reads_its_own_replica),
        cmocka_unit_test(sweep__processes_without_a_replica__read_those_of_others),
        cmocka_unit_test(sweep__a_process_is_killed__says_which_and_leaves_nothing),
        cmocka_unit_test(sweep__processes_stopped__are_gone),
        cmocka_unit_test(sweep__open_loop_beyond_what_can_be_done__counts_the_overdue),
        cmocka_unit_test(far__a_leader_in_a_child__its_keys_are_read_here),
        cmocka_unit_test(sweep__stopped_before_it_began__is_interrupted_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
