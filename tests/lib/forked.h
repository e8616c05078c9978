/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tests of several processes: a domain's name for each case, and forked children. */
#ifndef TIDE_TESTS_FORKED_H
#define TIDE_TESTS_FORKED_H

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/help.h"

/* Of the case that runs: NAMED_CASE() in place of cmocka_unit_test(). */
static char name[TIDE_NAME_MAX + 1];

static inline int name_setup(void **state) {
    (void)state;
    snprintf(name, sizeof(name), "%s", help_name());
    return 0;
}

static inline int name_teardown(void **state) {
    (void)state;
    tide_unlink(name);
    return 0;
}

#define NAMED_CASE(test) cmocka_unit_test_setup_teardown(test, name_setup, name_teardown)

/* Failures in children are told by their status: cmocka's checks would jump into the parent's frame. */
#define CHILD(ok)                                                                                                      \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            fprintf(stderr, "%s:%d: in a child: not so: %s\n", __FILE__, __LINE__, #ok);                               \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

/* ThreadSanitizer cannot follow a child of a process with threads into threads of its own: such a case is skipped there. */
static inline void child_threads_needed(void) {
    if (HELP_THREAD_SANITIZER) {
        print_message("skipped: ThreadSanitizer does not allow threads in a child of a process with threads\n");
        skip();
    }
}

/* Another thread of this process runs just now. */
static inline bool child_others_run(void) {
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    bool run = false;
    for (struct dirent *e = readdir(tasks); e != NULL && !run; e = readdir(tasks)) {
        char path[64], text[256] = { 0 };
        (void)snprintf(path, sizeof(path), "/proc/self/task/%.20s/stat", e->d_name);
        FILE *f = e->d_name[0] != '.' && atoi(e->d_name) != (int)getpid() ? fopen(path, "re") : NULL;
        if (f != NULL) {
            const char *after = fgets(text, sizeof(text), f) != NULL ? strrchr(text, ')') : NULL;
            run = after != NULL && after[2] != 'S';
            fclose(f);
        }
    }
    closedir(tasks);
    return run;
}

/*
 * It dies with the test. Returns twice, as fork() does. gcc 12's AddressSanitizer takes no lock of its allocator across fork(): a child of a
 * process that allocates in another thread just then would wait for ever in malloc() or free(). There the fork waits until the others sleep.
 */
static inline pid_t child_begin(void) {
    fflush(NULL);
    for (int i = 0; HELP_ADDRESS_SANITIZER && i < 1000 && child_others_run(); i++) {
        usleep(1000);
    }
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

/* A byte for the process at the other end of a pipe, and one from there. Not for a test itself: they end the process. */
static inline void child_say(int to) {
    CHILD(write(to, "!", 1) == 1);
}

static inline void child_hear(int from) {
    char byte;
    CHILD(read(from, &byte, 1) == 1);
}

/* A child with a replica of the case's domain. It begins when it hears something from `go` (-1: at once), says into `told` when it
 * serves, and a leader when it has put "v" under "k" as well, and waits to be killed. */
static inline pid_t child_that_serves(enum tide_role role, int go, int told) {
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        o.role = role;
        if (go >= 0) {
            child_hear(go);
        }
        CHILD(tide_open(&d, name, NULL) == 0 && tide_replica_start(d, &o, NULL) == 0);
        CHILD(role != TIDE_LEADER || tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
        child_say(told);
        for (;;) {
            pause();
        }
    }
    return pid;
}

/* In a child: the case's domain with a small ring and small tables, and a replica of it, whose number is returned. */
static inline struct tide *child_open(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = 256 << 10;
    o.table_bytes = 4 << 20;
    CHILD(tide_open(&d, name, &o) == 0);
    return d;
}

static inline uint32_t child_replica(struct tide *d, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint32_t id = UINT32_MAX;
    o.role = role;
    CHILD(tide_replica_start(d, &o, &id) == 0);
    return id;
}

/* It has ended well. */
static inline void child_end(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The same. Status 77: what it was to do is not permitted here. */
static inline void child_end_or_skip(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: that takes root\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

#endif
