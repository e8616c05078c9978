/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide dump` of segments that are as they should be, and how it treats its arguments and files. */
#include <signal.h>

#include "tests/dump_case.h"

static void good_ring__is_shown(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 20);
    build_append(&b, FRAME_DELETE, "key:3", 5, "", 0);
    build_append(&b, FRAME_TERM, "", 0, "", 0);
    b.seg->readers[3].counts[0][1] = 5;
    char *out = DUMPED(&b, 0, "demo");
    assert_has(out, "log of domain \"demo\"");
    assert_has(out, "replica 0, term 1, commit 22");
    assert_has(out, "replica 0  \"first\" leader serving, applied 22, lag 0, staleness 0");
    assert_has(out, "0 alive, 0 dead");
    assert_has(out, "no living process leads");
    assert_has(out, "lanes      0 owned");
    assert_has(out, "within_bound 5");
    assert_has(out, "\"key:7\" = \"value:7\"");
    assert_has(out, "22 frames shown, 0 bad, 0 problems: good");
    free(out);
}

static void fresh_log__has_no_frames(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    b.seg->leader.leader = -1;
    char *out = DUMPED(&b, 0, "demo");
    assert_has(out, "nobody");
    assert_has(out, "0 frames shown");
    free(out);
}

static void json__is_one_object_a_line(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 5);
    build_append(&b, FRAME_PUT, "\0\"\\\xff", 4, "\n\t\x7f", 3);
    char *out = DUMPED(&b, 0, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 6);
    assert_int_equal(json_lines(out, "header"), 1);
    assert_int_equal(json_lines(out, "replica"), 1);
    assert_has(out, "\"lanes\": []");
    assert_has(out, "\"key\": \"\\\\x00\\\\x22\\\\\\\\\\\\xff\", \"value\": \"\\\\x0a\\\\x09\\\\x7f\"");
    free(out);
}

static void options__choose_frames(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 50);
    build_append(&b, FRAME_PUT, "\x01z", 2, "bin", 3);
    build_put_text(&b, "key:4", "again");
    build_save(&b, path, b.size_bytes);
    static const struct {
        const char *a, *b, *c, *d;
        uint32_t frames;
    } CASES[] = {
        { "--from", "40", "--full", "--full", 13 },  { "--from", "40", "--limit", "3", 3 },
        { "--key", "key:4", "--full", "--full", 2 }, { "--key", "\\x01z", "--full", "--full", 1 },
        { "--from", "60", "--limit", "3", 0 },       { "--from", "end", "--limit", "3", 0 },
        { "--key", "key:4", "--from", "5", 1 },      { "--from", "52", "--limit", "9", 1 },
        { "--at", "40", "--full", "--full", 1 },     { "--at", "60", "--full", "--full", 0 },
        { "--between", "3..7", "--limit", "9", 5 },  { "--between", "50..90", "--full", "--full", 3 },
        { "--between", "3..3", "--limit", "9", 1 },  { "--between", "3..9", "--key", "key:4", 1 },
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char *out = DUMP_SAYS(0, "--json", "demo", CASES[i].a, CASES[i].b, CASES[i].c, CASES[i].d);
        assert_int_equal(json_lines(out, "frame"), CASES[i].frames);
        free(out);
    }
    char *out = DUMPED(&b, 0, "--no-ring", "demo");
    assert_null(strstr(out, "key = value"));
    free(out);
}

static void long_values__are_cut_unless_full(void **state) {
    (void)state;
    struct build b;
    char value[5000];
    build_new(&b, "demo");
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    build_put_text(&b, "k", value);
    build_save(&b, path, b.size_bytes);
    struct ran ran = RUN_DUMP("demo", "--full");
    assert_has(ran.out, value);
    free(ran.out);
    char *out = DUMPED(&b, 0, "demo");
    assert_null(strstr(out, value));
    assert_has(out, "vvvv\"+49");
    free(out);
}

static void wrapped_ring__shows_what_is_left(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 5000);
    assert_true(b.seg->leader.reclaimed > 2 * b.ring_bytes);
    char *out = DUMPED(&b, 0, "--json", "demo");
    uint32_t frames = json_lines(out, "frame");
    assert_true(frames > 500 && frames < 1000);
    assert_int_equal(json_lines(out, "gap"), 0);
    assert_has(out, "\"value:5000\"");
    free(out);
}

static void given_up_entries__are_a_gap(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 5000);
    char *out = DUMPED(&b, 0, "--json", "--from", "10", "demo");
    assert_int_equal(json_lines(out, "gap"), 1);
    assert_has(out, "\"first\": 10, ");
    assert_has(out, "\"why\": \"reclaimed\"");
    free(out);
}

static void reclaimed_between_marks__is_a_start(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 10);
    uint64_t pos = b.pos;
    build_fill(&b, 10);
    b.seg->leader.reclaimed = pos;
    char *out = DUMPED(&b, 0, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 10);
    free(out);
}

static void commit_ahead_of_tail__is_walked(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 30);
    b.seg->leader.tail = 0; /* the leader died between the two stores */
    char *out = DUMPED(&b, 0, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 30);
    free(out);
}

static void frames_beyond_commit__are_not_shown(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 30);
    b.seg->leader.commit = b.seg->replicas[0].applied = 12;
    char *out = DUMPED(&b, 0, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 12);
    free(out);
}

static void short_files__are_corrupt(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 700);
    static const uint64_t LEFT[] = { 0, 1, 143, 144, 255, 1792, 42752, 1419008, 1452032, 3557375, 3557376 };
    for (size_t i = 0; i < sizeof(LEFT) / sizeof(LEFT[0]); i++) {
        build_save(&b, path, LEFT[i]);
        char *out = DUMP_SAYS(1, "--json", path);
        free(out);
    }
    build_save(&b, path, b.ring_off + 10000);
    char *out = DUMP_SAYS(1, "--json", path);
    assert_true(strstr(out, "\"line\": \"frame\"") != NULL); /* what is there is shown */
    free(out);
    build_free(&b);
}

/* Another thread cuts the file off and lets it grow again, all the time. */
static void shrinking_file__is_an_error_and_no_signal(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 700);
    build_save(&b, path, b.size_bytes);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(120);
        for (;;) {
            if (truncate(path, (off_t)b.ring_off + 100) != 0 || truncate(path, 0) != 0) {
                _exit(1);
            }
            build_save(&b, path, b.size_bytes);
        }
    }
    for (int i = 0; i < 200; i++) {
        struct ran ran = RUN_DUMP("--json", path);
        assert_true(ran.code == 0 || ran.code == 1);
        free(ran.out);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    build_free(&b);
}

static int dump_code(const char *what) {
    struct ran ran = RUN_DUMP(what);
    free(ran.out);
    return ran.code;
}

static void no_regular_file__is_not_readable(void **state) {
    (void)state;
    struct build b;
    char other[256];
    build_new(&b, "demo");
    build_save(&b, path, b.size_bytes);
    snprintf(other, sizeof(other), "%s/fifo", dir);
    assert_int_equal(mkfifo(other, 0600), 0);
    assert_int_equal(dump_code(other), 3);
    assert_int_equal(dump_code(dir), 3);
    assert_int_equal(dump_code("/dev/null"), 3);
    assert_int_equal(dump_code("nothing-of-this-name"), 3);
    assert_int_equal(dump_code("/nothing/there"), 3);
    snprintf(other, sizeof(other), "%s/link", dir);
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(dump_code(other), 0); /* the user's own path may be a link */
    snprintf(other, sizeof(other), "%s/tidemark.linked.log", dir);
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(dump_code("linked"), 3); /* a segment is never one */
    build_free(&b);
}

static void no_permission__is_not_readable(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_save(&b, path, b.size_bytes);
    build_free(&b);
    chmod(path, 0);
    pid_t pid = fork();
    if (pid == 0) { /* root may read everything: become another user */
        if (getuid() == 0 && (chmod(dir, 0755) != 0 || setuid(65534) != 0)) {
            _exit(99);
        }
        _exit(dump_code(path));
    }
    int status;
    waitpid(pid, &status, 0);
    unlink(path);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
}

static void bad_usage__is_2(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_save(&b, path, b.size_bytes);
    build_free(&b);
    static const char *const BAD[][2] = {
        { "demo", "--bogus" },  { "demo", "--from=0" },  { "demo", "--from=x" },   { "demo", "--limit=-1" },
        { "demo", "--key=" },   { "demo", "--key=\\q" }, { "demo", "--key=\\x1" }, { "demo", "demo" },
        { "--json", "--full" }, { "", "--json" },
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char *out = DUMP_SAYS(2, BAD[i][0], BAD[i][1]);
        free(out);
    }
    char *out = DUMP_SAYS(2, "demo", "--no-ring", "--follow");
    free(out);
    out = DUMP_SAYS(0, "--help");
    assert_has(out, "Exit codes");
    free(out);
}

static void output_that_fails__is_told(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 700);
    build_save(&b, path, b.size_bytes);
    build_free(&b);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = { "tide dump", path, NULL };
        dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        _exit(tool_dump(2, argv));
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), TOOL_FAILED);
}

/* Nobody holds a lock on the file: the domain has ended, and following it ends after what is there. */
static void follow_of_a_dead_file__ends(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 3);
    char *out = DUMPED(&b, 0, "--json", "--follow", "demo");
    assert_int_equal(json_lines(out, "frame"), 3);
    free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_ring__is_shown),
        cmocka_unit_test(fresh_log__has_no_frames),
        cmocka_unit_test(json__is_one_object_a_line),
        cmocka_unit_test(options__choose_frames),
        cmocka_unit_test(long_values__are_cut_unless_full),
        cmocka_unit_test(wrapped_ring__shows_what_is_left),
        cmocka_unit_test(given_up_entries__are_a_gap),
        cmocka_unit_test(reclaimed_between_marks__is_a_start),
        cmocka_unit_test(commit_ahead_of_tail__is_walked),
        cmocka_unit_test(frames_beyond_commit__are_not_shown),
        cmocka_unit_test(short_files__are_corrupt),
        cmocka_unit_test(shrinking_file__is_an_error_and_no_signal),
        cmocka_unit_test(no_regular_file__is_not_readable),
        cmocka_unit_test(no_permission__is_not_readable),
        cmocka_unit_test(bad_usage__is_2),
        cmocka_unit_test(output_that_fails__is_told),
        cmocka_unit_test(follow_of_a_dead_file__ends),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
