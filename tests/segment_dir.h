/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory for segments, one for each test program, and what its cases share. */
#ifndef TIDE_TESTS_SEGMENT_DIR_H
#define TIDE_TESTS_SEGMENT_DIR_H

#include "shm/segment.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/lib/files.h"

#define BYTES (UINT64_C(4) << 20) /* more than the fixed part of a log segment */

/* Each run has a directory of its own below /dev/shm, so that runs do not meet and nothing is left to look for. */
static char dir[64];
static char path[SEGMENT_PATH_BYTES];

static inline void remove_all(void) {
    DIR *d = opendir(dir);
    for (struct dirent *e = d ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0) != 0) {
            (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static inline int setup(void **state) {
    (void)state;
    strcpy(dir, "/dev/shm/test_segment.XXXXXX");
    if (mkdtemp(dir) == NULL || setenv("TIDE_SHM_DIR", dir, 1) != 0) {
        return -1;
    }
    return segment_path(path, NULL, "t", SEGMENT_LOG, 0);
}

static inline int teardown(void **state) {
    (void)state;
    remove_all();
    return rmdir(dir);
}

static inline int clean(void **state) {
    (void)state;
    remove_all();
    return 0;
}

static inline struct segment published(void) {
    struct segment s = SEGMENT_INIT;
    assert_int_equal(segment_create(&s, NULL, "t", SEGMENT_LOG, 0, BYTES), 0);
    assert_int_equal(segment_publish(&s, "t", SEGMENT_LOG, 0, 11, 22), 0);
    return s;
}

static inline int attach(void) {
    struct segment s = SEGMENT_INIT;
    int error = segment_attach(&s, NULL, "t", SEGMENT_LOG, 0, true);
    if (error == 0) {
        segment_detach(&s);
    } else {
        assert_int_equal(s.fd, -1);
        assert_null(s.base);
    }
    return error;
}

#define CASE(name) cmocka_unit_test_teardown(name, clean)

/* A child that mounts something says by 77 that it may not. */
static inline void assert_mounted_and_held(pid_t child) {
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("mounting is not permitted here\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

#endif
