/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump` beside a leader that writes as fast as it can, and on what it leaves behind when it is killed. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/prctl.h>

#include <cmocka.h>

#include "engine/tidemark.h"
#include "tests/dump_build.h"

static char name[48];
static const uint64_t RINGS[] = { 64 << 10, 1 << 20, 16 << 20 };

/* In the child: values of all sizes up to a quarter of the smallest ring, so that frames wrap at every place. */
static void storm(uint64_t ring_bytes, int ready_fd) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_replica_opts replica = TIDE_REPLICA_OPTS_INIT;
    struct tide *d;
    static char value[12000];
    memset(value, 'x', sizeof(value));
    opts.flags = TIDE_CREATE | TIDE_EXCLUSIVE;
    opts.ring_bytes = ring_bytes;
    opts.table_bytes = 16 << 20;
    replica.role = TIDE_LEADER;
    if (tide_open(&d, name, &opts) != 0 || tide_replica_start(d, &replica, NULL) != 0) {
        _exit(1);
    }
    replica.role = TIDE_FOLLOWER;
    if (tide_replica_start(d, &replica, NULL) != 0) {
        _exit(2);
    }
    for (uint64_t i = 0;; i++) {
        char key[32];
        size_t key_len = (size_t)snprintf(key, sizeof(key), "key:%llu", (unsigned long long)(i % 500));
        size_t value_len = i % 97 == 0 ? i % sizeof(value) : i % 150;
        int rc = i % 13 == 0 ? tide_delete(d, NULL, key, key_len, NULL)
                             : tide_put(d, NULL, key, key_len, value, value_len, NULL);
        if (rc != 0) {
            _exit(3);
        }
        if (i == 2000 && write(ready_fd, "!", 1) != 1) {
            _exit(4);
        }
    }
}

static pid_t start_storm(uint64_t ring_bytes) {
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no storm behind */
        storm(ring_bytes, fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1); /* 0: the child gave up */
    close(fds[0]);
    return pid;
}

static void kill_storm(pid_t pid) {
    int status;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void assert_good(const struct ran *ran) {
    if (ran->code != 0) {
        fprintf(stderr, "exit code %d; %u bad frames, %u problems\n%.400s\n", ran->code,
                count_of(ran->out, "\"crc\": \"bad\""), count_of(ran->out, "\"line\": \"problem\""),
                count_of(ran->out, "\"line\": \"problem\"") ? strstr(ran->out, "\"line\": \"problem\"") : "");
    }
    assert_int_equal(ran->code, 0);
}

static void storming_leader__is_no_corruption(void **state) {
    (void)state;
    static const uint32_t DUMPS[] = { 60, 20, 2 };
    for (int k = 0; k < 3; k++) {
        uint64_t frames = 0;
        pid_t pid = start_storm(RINGS[k]);
        for (uint32_t i = 0; i < DUMPS[k]; i++) {
            struct ran ran = RUN_DUMP("--json", name);
            assert_good(&ran);
            frames += count_of(ran.out, "{\"line\": \"frame\"");
            free(ran.out);
        }
        kill_storm(pid);
        assert_true(frames > DUMPS[k]);
        struct ran ran = RUN_DUMP("--json", name); /* and what it left behind */
        assert_good(&ran);
        assert_true(count_of(ran.out, "{\"line\": \"frame\"") > 50);
        assert_int_equal(count_of(ran.out, "{\"line\": \"gap\""), 0);
        assert_int_equal(count_of(ran.out, "{\"line\": \"replica\""), 2);
        free(ran.out);
        assert_int_equal(tide_unlink(name), 0);
    }
}

static void table_of_a_storm__is_no_corruption(void **state) {
    (void)state;
    char table[64];
    pid_t pid = start_storm(RINGS[1]);
    for (int i = 0; i < 20; i++) {
        snprintf(table, sizeof(table), "%s.r%d", name, i % 2);
        struct ran ran = RUN_DUMP("--json", table);
        assert_good(&ran);
        assert_non_null(strstr(ran.out, "\"lag_all\""));
        free(ran.out);
    }
    kill_storm(pid);
    struct ran ran = RUN_DUMP("--json", table);
    assert_good(&ran);
    free(ran.out);
    assert_int_equal(tide_unlink(name), 0);
}

static void followed_storm__ends_with_the_leader(void **state) {
    (void)state;
    pid_t pid = start_storm(RINGS[0]);
    struct ran ran = RUN_DUMP("--json", "--follow", "--limit", "20000", name);
    assert_good(&ran);
    assert_int_equal(count_of(ran.out, "{\"line\": \"frame\""), 20000);
    free(ran.out);
    fflush(NULL);
    pid_t killer = fork();
    if (killer == 0) { /* after the follower has begun, or before: it ends either way */
        struct timespec some = { .tv_nsec = 50000000 };
        nanosleep(&some, NULL);
        kill(pid, SIGKILL);
        _exit(0);
    }
    ran = RUN_DUMP("--json", "--follow", "--from", "end", name);
    assert_good(&ran);
    free(ran.out);
    waitpid(killer, NULL, 0);
    waitpid(pid, NULL, 0);
    assert_int_equal(tide_unlink(name), 0);
}

static void followed_domain__ends_when_interrupted(void **state) {
    (void)state;
    pid_t pid = start_storm(RINGS[0]);
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t follower = fork();
    if (follower == 0) {
        char *argv[] = { "tide dump", "--follow", name, NULL };
        dup2(fds[1], STDOUT_FILENO);
        close(fds[0]);
        close(fds[1]);
        alarm(60);
        int code = tool_dump(3, argv);
        _exit(code);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1); /* it prints: so its handler is set */
    kill(follower, SIGINT);
    char rest[65536], last[65536 + 1] = "";
    for (ssize_t n; (n = read(fds[0], rest, sizeof(rest))) > 0;) {
        memcpy(last, rest, (size_t)n);
        last[n] = 0;
    }
    close(fds[0]);
    int status;
    waitpid(follower, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_non_null(strstr(last, "frames shown, 0 bad, 0 problems: good"));
    kill_storm(pid);
    assert_int_equal(tide_unlink(name), 0);
}

static int start(void **state) {
    (void)state;
    snprintf(name, sizeof(name), "testdumplive-%d", (int)getpid());
    (void)tide_unlink(name);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(storming_leader__is_no_corruption, start),
        cmocka_unit_test_setup(table_of_a_storm__is_no_corruption, start),
        cmocka_unit_test_setup(followed_storm__ends_with_the_leader, start),
        cmocka_unit_test_setup(followed_domain__ends_when_interrupted, start),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)tide_unlink(name);
    return failed;
}
