/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "shm/hdr.h"
#include "shm/lag.h"
#include "tests/dump_build.h"

static char dir[64];
static char path[128];

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test_dump.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof(path), "%s/tidemark.demo.log", dir);
    return setenv("TIDE_SHM_DIR", dir, 1);
}

static int remove_dir(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf -- '%s'", dir);
    return system(command);
}

/* Save, run with --json (or not), free the build, and expect an exit code. */
static char *dumped(struct build *b, int code, const char *const *args) {
    build_save(b, path, b->size_bytes);
    struct ran ran = run_dump(args);
    if (ran.code != code)
        fprintf(stderr, "%s", ran.out);
    assert_int_equal(ran.code, code);
    build_free(b);
    return ran.out;
}
#define DUMPED(b, code, ...) dumped(b, code, (const char *const[]){ __VA_ARGS__, NULL })

static void assert_has(const char *out, const char *what) {
    if (!strstr(out, what))
        fprintf(stderr, "no '%s' in:\n%s", what, out);
    assert_non_null(strstr(out, what));
}

/* Every line must be one object; returns how many are of a kind. */
static uint32_t json_lines(const char *out, const char *kind) {
    uint32_t n = 0;
    while (*out) {
        const char *end = strchr(out, '\n');
        assert_non_null(end);
        if (strncmp(out, "tide dump: ", 11) == 0) { /* standard error */
            out = end + 1;
            continue;
        }
        cJSON *line = cJSON_ParseWithLength(out, (size_t)(end - out));
        if (!line)
            fprintf(stderr, "no JSON: %.*s\n", (int)(end - out), out);
        assert_non_null(line);
        n += strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(line, "line")), kind) == 0;
        cJSON_Delete(line);
        out = end + 1;
    }
    return n;
}

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
    assert_has(out, "lanes: none (0)");
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
    static const struct { const char *a, *b, *c, *d; uint32_t frames; } CASES[] = {
        { "--from", "40", "--full", "--full", 13 },  { "--from", "40", "--limit", "3", 3 },
        { "--key", "key:4", "--full", "--full", 2 }, { "--key", "\\x01z", "--full", "--full", 1 },
        { "--from", "60", "--limit", "3", 0 },       { "--from", "end", "--limit", "3", 0 },
        { "--key", "key:4", "--from", "5", 1 },      { "--from", "52", "--limit", "9", 1 },
    };
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct ran ran = RUN_DUMP("--json", "demo", CASES[i].a, CASES[i].b, CASES[i].c, CASES[i].d);
        assert_int_equal(ran.code, 0);
        assert_int_equal(json_lines(ran.out, "frame"), CASES[i].frames);
        free(ran.out);
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

static void commit_beyond_frames__is_corrupt(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 30);
    b.seg->leader.commit = UINT64_C(1) << 60;
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 30);
    assert_has(out, "\"first\": 31, \"last\": 1152921504606846976, \"why\": \"damaged\"");
    free(out);
}

static void bad_crc__is_told_and_walked_over(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 5);
    uint64_t pos = build_put_text(&b, "victim", "value");
    build_fill(&b, 5);
    *build_at(&b, pos + FRAME_HEADER_BYTES + 7) ^= 1;
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 11);
    assert_int_equal(count_of(out, "\"crc\": \"bad\""), 1);
    free(out);
}

static void bad_crc_of_the_first_frame__is_told(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 5);
    *build_at(&b, FRAME_HEADER_BYTES) ^= 1;
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 5);
    free(out);
}

/* A frame whose header is set to something, its CRC made right: `expect` frames are still shown. */
static void check_damage(size_t off, uint32_t value, size_t bytes, uint32_t expect) {
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 3);
    uint64_t pos = build_put_text(&b, "victim", "value");
    build_fill(&b, 200);
    struct frame f;
    memcpy(&f, build_at(&b, pos), sizeof(f));
    memcpy((char *)&f + off, &value, bytes);
    f.crc = 0;
    build_put(&b, pos, &f, sizeof(f));
    char *out = DUMPED(&b, 1, "--json", "demo");
    uint32_t frames = json_lines(out, "frame");
    if (expect)
        assert_int_equal(frames, expect);
    else
        assert_true(frames > 150 && frames < 204); /* it went on at a later mark */
    free(out);
}

static void damaged_headers__are_told_and_jumped_over(void **state) {
    (void)state;
    check_damage(offsetof(struct frame, length), 0, 4, 0);
    check_damage(offsetof(struct frame, length), 8, 4, 0);
    check_damage(offsetof(struct frame, length), 49, 4, 0);
    check_damage(offsetof(struct frame, length), UINT32_MAX, 4, 0);
    check_damage(offsetof(struct frame, length), UINT32_MAX & ~7u, 4, 0);
    check_damage(offsetof(struct frame, key_len), 65535, 2, 0);
    check_damage(offsetof(struct frame, value_len), UINT32_MAX, 4, 0);
    check_damage(offsetof(struct frame, index), 0, 8 > sizeof(uint32_t) ? 4 : 8, 0);
    check_damage(offsetof(struct frame, type), 9, 1, 204);
    check_damage(offsetof(struct frame, term), 9, 4, 204);
}

static void wrong_marks__are_not_believed(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 200);
    b.seg->marks[0].pos = 8;
    b.seg->marks[1].pos = UINT64_MAX;
    b.seg->marks[2].index = UINT64_MAX;
    char *out = DUMPED(&b, 0, "--json", "demo"); /* `reclaimed` still leads to the first frame */
    assert_int_equal(json_lines(out, "frame"), 200);
    free(out);
}

static void wrong_reclaimed__is_told(void **state) {
    (void)state;
    static const uint64_t WRONG[] = { 8, 7, UINT64_MAX, UINT64_C(1) << 40 };
    for (size_t i = 0; i < sizeof(WRONG) / sizeof(WRONG[0]); i++) {
        struct build b;
        build_new(&b, "demo");
        build_fill(&b, 200);
        b.seg->leader.reclaimed = WRONG[i];
        char *out = DUMPED(&b, 1, "--json", "demo");
        uint32_t frames = json_lines(out, "frame");
        assert_true(i < 2 ? frames > 150 && frames < 200 : frames == 0);
        free(out);
    }
}

static void all_frames_gone__ends(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 2000);
    memset(b.bytes + b.ring_off, 0, b.ring_bytes);
    char *out = DUMPED(&b, 1, "--json", "demo");
    assert_int_equal(json_lines(out, "frame"), 0);
    free(out);
}

static void bad_board__is_corrupt(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 2);
    b.seg->replicas[0].state = 99;
    b.seg->replicas[5].state = REPLICA_SERVING;
    b.seg->replicas[5].applied = 50;
    memset(b.seg->replicas[5].label, '\033', LAYOUT_LABEL);
    b.seg->leader.leader = 64;
    char *out = DUMPED(&b, 1, "demo");
    assert_has(out, "BAD: replica 0: there is no state 99");
    assert_has(out, "BAD: replica 5: applied 50 is beyond commit 2");
    assert_has(out, "BAD: leader: there is no replica 64");
    assert_null(strchr(out, '\033'));
    free(out);
}

static void bad_geometry__shows_board_only(void **state) {
    (void)state;
    static const uint64_t RINGS[][2] = {
        { 0, BUILD_RING_BYTES }, { UINT64_MAX, BUILD_RING_BYTES }, { 12345, BUILD_RING_BYTES }, { 1 << 21, 65537 },
        { 4096, BUILD_RING_BYTES }, { 1126400, 0 }, { 1126400, UINT64_C(1) << 63 }, { UINT64_MAX - 4095, 1 << 16 },
    };
    for (size_t i = 0; i < sizeof(RINGS) / sizeof(RINGS[0]); i++) {
        struct build b;
        build_new(&b, "demo");
        build_fill(&b, 2);
        b.seg->ring_off = RINGS[i][0];
        b.seg->ring_bytes = RINGS[i][1];
        char *out = DUMPED(&b, 1, "--json", "demo");
        assert_int_equal(json_lines(out, "replica"), 1);
        assert_int_equal(json_lines(out, "frame"), 0);
        free(out);
    }
}

static void foreign_header__is_corrupt(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        struct build b;
        build_new(&b, "demo");
        build_fill(&b, 2);
        if (i == 0)
            b.seg->header.magic++;
        if (i == 1)
            b.seg->header.version++;
        if (i == 2)
            b.seg->header.fingerprint++;
        if (i == 3)
            b.seg->header.kind = 3;
        if (i == 4)
            b.seg->header.size_bytes++;
        build_seal(&b);
        char *out = DUMPED(&b, 1, "--json", "demo");
        assert_true(json_lines(out, "problem") >= 1);
        assert_int_equal(json_lines(out, "frame"), i == 4 ? 2 : 0);
        free(out);
    }
}

static void short_files__are_corrupt(void **state) {
    (void)state;
    struct build b;
    build_new(&b, "demo");
    build_fill(&b, 700);
    static const uint64_t LEFT[] = { 0, 1, 143, 144, 255, 1664, 42624, 1123968, 1123969 };
    for (size_t i = 0; i < sizeof(LEFT) / sizeof(LEFT[0]); i++) {
        build_save(&b, path, LEFT[i]);
        struct ran ran = RUN_DUMP("--json", path);
        assert_int_equal(ran.code, 1);
        free(ran.out);
    }
    build_save(&b, path, b.ring_off + 10000);
    struct ran ran = RUN_DUMP("--json", path);
    assert_int_equal(ran.code, 1);
    assert_true(strstr(ran.out, "\"line\": \"frame\"") != NULL); /* what is there is shown */
    free(ran.out);
    build_free(&b);
}

/* Somebody cuts the file off and lets it grow again, all the time. */
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
            if (truncate(path, (off_t)b.ring_off + 100) != 0 || truncate(path, 0) != 0)
                _exit(1);
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
    if (pid == 0) { /* root may read everything: be somebody else */
        if (getuid() == 0 && (chmod(dir, 0755) != 0 || setuid(65534) != 0))
            _exit(99);
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
        { "demo", "--bogus" },   { "demo", "--from=0" },  { "demo", "--from=x" },   { "demo", "--limit=-1" },
        { "demo", "--key=" },    { "demo", "--key=\\q" }, { "demo", "--key=\\x1" }, { "demo", "demo" },
        { "--json", "--full" }, { "", "--json" },
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct ran ran = RUN_DUMP(BAD[i][0], BAD[i][1]);
        assert_int_equal(ran.code, 2);
        free(ran.out);
    }
    struct ran ran = RUN_DUMP("demo", "--no-ring", "--follow");
    assert_int_equal(ran.code, 2);
    free(ran.out);
    ran = RUN_DUMP("--help");
    assert_int_equal(ran.code, 0);
    assert_has(ran.out, "Exit codes");
    free(ran.out);
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
    assert_int_equal(WEXITSTATUS(status), 3);
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

static struct table_segment *build_table(size_t *size_bytes) {
    struct build b;
    build_new(&b, "demo");
    uint64_t all = (sizeof(struct table_segment) + 127) & ~UINT64_C(127);
    uint64_t windows = (all + lag_all_size_bytes() + 127) & ~UINT64_C(127);
    uint64_t buckets = (windows + lag_windows_size_bytes() + 4095) & ~UINT64_C(4095);
    *size_bytes = buckets + 65536;
    struct table_segment *t = aligned_alloc(4096, *size_bytes);
    memset((void *)t, 0, *size_bytes);
    t->header = b.seg->header;
    t->header.kind = SEGMENT_TABLE;
    t->header.size_bytes = *size_bytes;
    t->header.crc = crc32c(0, &t->header, offsetof(struct segment_header, crc));
    t->lag_all_off = all;
    t->lag_windows_off = windows;
    t->buckets_off = buckets;
    t->nodes_end = *size_bytes;
    t->buckets = 64;
    t->carved = *size_bytes - 4096;
    t->live_keys = 17;
    struct hdr *h = (struct hdr *)((char *)t + all);
    struct lag_windows *w = (struct lag_windows *)((char *)t + windows);
    assert_int_equal(lag_init(h, w), 0);
    for (int i = 1; i <= 100; i++)
        lag_record(h, w, build_now(CLOCK_MONOTONIC), i * 1000, 1);
    build_free(&b);
    return t;
}

static void save_table(const struct table_segment *t, size_t bytes) {
    struct build b = { .bytes = (uint8_t *)(uintptr_t)t };
    char table_path[160];
    snprintf(table_path, sizeof(table_path), "%s/tidemark.demo.r0", dir);
    build_save(&b, table_path, bytes);
}

static void table__shows_counts_and_lag(void **state) {
    (void)state;
    size_t bytes;
    struct table_segment *t = build_table(&bytes);
    save_table(t, bytes);
    struct ran ran = RUN_DUMP("demo.r0");
    assert_int_equal(ran.code, 0);
    assert_has(ran.out, "17 live keys");
    assert_has(ran.out, "64 from byte");
    assert_has(ran.out, "100 entries, p50 50");
    free(ran.out);
    ran = RUN_DUMP("demo.r0", "--json");
    assert_int_equal(json_lines(ran.out, "table"), 1);
    free(ran.out);
    ran = RUN_DUMP("demo.r0", "--follow");
    assert_int_equal(ran.code, 2);
    free(ran.out);
    free(t);
}

static void damaged_table__is_corrupt(void **state) {
    (void)state;
    for (int i = 0; i < 7; i++) {
        size_t bytes;
        struct table_segment *t = build_table(&bytes);
        if (i == 0)
            t->lag_all_off = UINT64_MAX - 7;
        if (i == 1)
            t->lag_windows_off = bytes - 8;
        if (i == 2)
            ((struct hdr *)((char *)t + t->lag_all_off))->counts_len = INT32_MAX;
        if (i == 3)
            t->buckets = UINT64_MAX;
        if (i == 4)
            t->carved = 8;
        if (i == 5)
            t->nodes_end = UINT64_MAX;
        save_table(t, i == 6 ? bytes - 1 : bytes);
        struct ran ran = RUN_DUMP("demo.r0", "--json");
        assert_int_equal(ran.code, 1);
        assert_true(json_lines(ran.out, "problem") >= 1);
        assert_int_equal(json_lines(ran.out, "table"), 1);
        free(ran.out);
        free(t);
    }
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
        cmocka_unit_test(commit_beyond_frames__is_corrupt),
        cmocka_unit_test(bad_crc__is_told_and_walked_over),
        cmocka_unit_test(bad_crc_of_the_first_frame__is_told),
        cmocka_unit_test(damaged_headers__are_told_and_jumped_over),
        cmocka_unit_test(wrong_marks__are_not_believed),
        cmocka_unit_test(wrong_reclaimed__is_told),
        cmocka_unit_test(all_frames_gone__ends),
        cmocka_unit_test(bad_board__is_corrupt),
        cmocka_unit_test(bad_geometry__shows_board_only),
        cmocka_unit_test(foreign_header__is_corrupt),
        cmocka_unit_test(short_files__are_corrupt),
        cmocka_unit_test(shrinking_file__is_an_error_and_no_signal),
        cmocka_unit_test(no_regular_file__is_not_readable),
        cmocka_unit_test(no_permission__is_not_readable),
        cmocka_unit_test(bad_usage__is_2),
        cmocka_unit_test(output_that_fails__is_told),
        cmocka_unit_test(follow_of_a_dead_file__ends),
        cmocka_unit_test(table__shows_counts_and_lag),
        cmocka_unit_test(damaged_table__is_corrupt),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
