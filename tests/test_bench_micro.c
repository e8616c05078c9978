/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The benchmarks of one question each, as programs: their JSON keeps to the schema, and they leave nothing behind. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "tests/lib/files.h"

#define OUTPUT_MAX (1u << 20)
#define WATCHDOG_S 120

static char dir[64];
static char output[OUTPUT_MAX];

static int setup(void **state) {
    (void)state;
    strcpy(dir, "/dev/shm/test_bench_micro.XXXXXX");
    return mkdtemp(dir) == NULL || setenv("TIDE_SHM_DIR", dir, 1) != 0 ? -1 : 0;
}

static int teardown(void **state) {
    (void)state;
    return rmdir(dir); /* fails where a benchmark left anything */
}

/* Start a benchmark with up to three arguments; its output goes to *out, or nowhere. */
static pid_t start(const char *name, char *const args[3], int *out) {
    const char *build = getenv("TIDE_BUILD");
    char path[256];
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof(path), "%s/bench/%s", build != NULL ? build : "build", name);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        close(ends[0]);
        alarm(WATCHDOG_S);
        execl(path, name, args[0], args[1], args[2], (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    *out = ends[0];
    return pid;
}

static int finish(pid_t pid, int out) {
    size_t n = 0;
    ssize_t got;
    while ((got = read(out, output + n, sizeof(output) - 1 - n)) > 0 || (got < 0 && errno == EINTR)) {
        n += got > 0 ? (size_t)got : 0;
    }
    output[n] = '\0';
    close(out);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run(const char *name, const char *a, const char *b, const char *c) {
    int out;
    char *const args[3] = { (char *)a, (char *)b, (char *)c };
    pid_t pid = start(name, args, &out);
    return finish(pid, out);
}

static double number(const cJSON *o, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static const char *text(const cJSON *o, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, name);
    assert_true(cJSON_IsString(item));
    return item->valuestring;
}

static void check_spread(const cJSON *o) {
    assert_true(number(o, "min") <= number(o, "median"));
    assert_true(number(o, "median") <= number(o, "max"));
    assert_true(number(o, "min") >= 0);
}

static const cJSON *find(const cJSON *list, const char *id) {
    const cJSON *one, *found = NULL;
    cJSON_ArrayForEach(one, list) {
        if (strcmp(text(one, "id"), id) == 0) {
            assert_null(found); /* ids are unique */
            found = one;
        }
    }
    return found;
}

/* The whole document; figures and bars that must be in it: lists that end with NULL. */
static void check_quick(const char *name, const char *const *figures, const char *const *bars) {
    assert_int_equal(run(name, "--quick", "--json", "-"), 0);
    assert_int_equal(files_in(dir), 0);
    cJSON *o = cJSON_Parse(output);
    assert_non_null(o);
    assert_string_equal(text(o, "schema"), "tidemark.figures");
    assert_true(number(o, "schema_version") == 1);
    assert_string_equal(text(o, "bench"), name);
    assert_true(number(o, "repetitions") == 1);
    assert_true(number(cJSON_GetObjectItemCaseSensitive(o, "machine"), "cpus") >= 1);
    const cJSON *one, *list = cJSON_GetObjectItemCaseSensitive(o, "figures");
    cJSON_ArrayForEach(one, list) {
        check_spread(one);
        assert_true(strlen(text(one, "group")) > 0 && strlen(text(one, "title")) > 0 && strlen(text(one, "unit")) > 0);
        assert_ptr_equal(find(list, text(one, "id")), one);
    }
    for (; *figures != NULL; figures++) {
        one = find(list, *figures);
        assert_non_null(one);
        assert_true(number(one, "median") > 0);
    }
    list = cJSON_GetObjectItemCaseSensitive(o, "bars");
    for (; *bars != NULL; bars++) {
        one = find(list, *bars);
        assert_non_null(one);
        check_spread(one);
        assert_true(number(one, "bar") > 0);
    }
    cJSON_Delete(o);
}

static void ring__quick__is_by_the_schema(void **state) {
    static const char *const figures[] = {
        "ring.threads.f1.v64.g16", "ring.threads.f2.v8.g1", "ring.processes.f1.v256.g64", "ring.plain.g16",
        "ring.control.t2",         "apply.10k.one",         "apply.10k.batch16",          NULL
    };
    static const char *const bars[] = { "ring.g16", "ring.g1", "apply.10k", "apply.10M", NULL };
    (void)state;
    check_quick("ring", figures, bars);
}

static void visibility__quick__is_by_the_schema(void **state) {
    static const char *const figures[] = { "visibility.thread.p50",        "visibility.process.p99",
                                           "visibility.thread.fence.max",  "visibility.process.third.p99.9",
                                           "visibility.thread.parked.p50", NULL };
    static const char *const bars[] = { "visibility.thread", "visibility.process", NULL };
    (void)state;
    check_quick("visibility", figures, bars);
}

static void put__quick__is_by_the_schema(void **state) {
    static const char *const figures[] = {
        "put.10000.plain", "put.10000.put",    "put.20000.put.two", "put.20000.cas",         "put.10000.delete",
        "put.lane.p50",    "put.lane.rate100", "put.20000.load",    "put.lane.20000.rate32", NULL
    };
    static const char *const bars[] = { "put", "put.lane", "put.10k.time", "put.1M.load", "put.1M.lane32", NULL };
    (void)state;
    check_quick("put", figures, bars);
}

static const char *const names[] = { "ring", "visibility", "put" };
#define NAMES (sizeof(names) / sizeof(names[0]))

static void bench__wrong_arguments__are_told(void **state) {
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        assert_int_equal(run(names[i], "--help", NULL, NULL), 0);
        assert_non_null(strstr(output, "Exit codes"));
        assert_int_equal(run(names[i], "--nonsense", NULL, NULL), 2);
        assert_int_equal(run(names[i], "--repetitions", NULL, NULL), 2);
        assert_int_equal(run(names[i], "--repetitions", "0", NULL), 2);
        assert_string_equal(output, "");
    }
}

static void bench__interrupted__leaves_nothing(void **state) {
    (void)state;
    for (size_t i = 0; i < NAMES; i++) {
        int out;
        char *const args[3] = { (char *)"--quick", (char *)"--repetitions", (char *)"1000" };
        pid_t pid = start(names[i], args, &out);
        /* A watchdog's patience, no measurement: until it is in the middle of its work. */
        for (int tries = 0; tries < 3000 && files_in(dir) == 0; tries++) {
            usleep(10000);
        }
        assert_true(files_in(dir) > 0);
        kill(pid, SIGINT);
        assert_int_equal(finish(pid, out), 130);
        assert_int_equal(files_in(dir), 0);
    }
}

/* 0: none yet. */
static pid_t child_of(pid_t pid) {
    char path[64];
    int child = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
    FILE *in = fopen(path, "re");
    if (in != NULL) {
        (void)!fscanf(in, "%d", &child);
        fclose(in);
    }
    return child;
}

/* A benchmark that fails ends at once, from wherever it is: with its children, and its domains. */
static void bench__a_process_of_it_dies__ends_with_1_and_leaves_nothing(void **state) {
    int out;
    char *const args[3] = { (char *)"--quick", (char *)"--repetitions", (char *)"1000" };
    (void)state;
    pid_t pid = start("join", args, &out);
    for (int tries = 0; tries < 3000 && (files_in(dir) == 0 || child_of(pid) == 0); tries++) {
        usleep(10000);
    }
    pid_t child = child_of(pid);
    assert_true(child > 0);
    kill(child, SIGKILL);
    assert_int_equal(finish(pid, out), 1);
    assert_string_equal(output, "");
    assert_int_equal(files_in(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ring__quick__is_by_the_schema),
        cmocka_unit_test(visibility__quick__is_by_the_schema),
        cmocka_unit_test(put__quick__is_by_the_schema),
        cmocka_unit_test(bench__wrong_arguments__are_told),
        cmocka_unit_test(bench__interrupted__leaves_nothing),
        cmocka_unit_test(bench__a_process_of_it_dies__ends_with_1_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
