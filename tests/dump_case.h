/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the unit tests of `tide dump` share: a directory of segments, and looking at what a dump says. */
#ifndef TIDE_TESTS_DUMP_CASE_H
#define TIDE_TESTS_DUMP_CASE_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "tests/dump_build.h"

static char dir[64];
static char path[128];

static inline int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test_dump.XXXXXX");
    if (!mkdtemp(dir)) {
        return -1;
    }
    snprintf(path, sizeof(path), "%s/tidemark.demo.log", dir);
    return setenv("TIDE_SHM_DIR", dir, 1);
}

static inline int remove_dir(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf -- '%s'", dir);
    return system(command);
}

/* Run, and expect an exit code. What it says, to be freed. */
static inline char *dump_says(int code, const char *const *args) {
    struct ran ran = run_dump(args);
    if (ran.code != code) {
        fprintf(stderr, "%s", ran.out);
    }
    assert_int_equal(ran.code, code);
    return ran.out;
}
#define DUMP_SAYS(code, ...) dump_says(code, (const char *const[]){ __VA_ARGS__, NULL })

/* Save, run with --json (or not), free the build, and expect an exit code. */
static inline char *dumped(struct build *b, int code, const char *const *args) {
    build_save(b, path, b->size_bytes);
    char *out = dump_says(code, args);
    build_free(b);
    return out;
}
#define DUMPED(b, code, ...) dumped(b, code, (const char *const[]){ __VA_ARGS__, NULL })

static inline void assert_has(const char *out, const char *what) {
    if (!strstr(out, what)) {
        fprintf(stderr, "no '%s' in:\n%s", what, out);
    }
    assert_non_null(strstr(out, what));
}

/* Every line must be one object; returns how many are of a kind. */
static inline uint32_t json_lines(const char *out, const char *kind) {
    uint32_t n = 0;
    while (*out) {
        const char *end = strchr(out, '\n');
        assert_non_null(end);
        if (strncmp(out, "tide dump: ", 11) == 0) { /* standard error */
            out = end + 1;
            continue;
        }
        cJSON *line = cJSON_ParseWithLength(out, (size_t)(end - out));
        if (!line) {
            fprintf(stderr, "no JSON: %.*s\n", (int)(end - out), out);
        }
        assert_non_null(line);
        n += strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(line, "line")), kind) == 0;
        cJSON_Delete(line);
        out = end + 1;
    }
    return n;
}

#endif
