/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide dump` says of a domain's processes: members, lanes, orphans, large requests. */
#include <signal.h>
#include <sys/prctl.h>

#include "engine/tidemark.h"
#include "shm/board.h"
#include "shm/member.h"
#include "tests/dump_case.h"

static int holding[2] = { -1, -1 };

/* Held by this description, and seen by the dump's own, until the case ends. */
static void hold(uint32_t byte) {
    int fd = open(path, O_RDWR);
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    assert_true(fd >= 0);
    holding[holding[0] >= 0] = fd;
    assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
}

static int let_go(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        if (holding[i] >= 0) {
            close(holding[i]);
        }
        holding[i] = -1;
    }
    return 0;
}

static void build_processes(struct build *b) {
    build_new(b, "demo");
    build_fill(b, 9);
    b->seg->members[3] = (struct member_slot){ .used = 1, .pid = 333, .started_unix_ns = 1700000000000000000 };
    b->seg->members[4] = (struct member_slot){ .used = 1, .pid = 444 };
    b->seg->replicas[0].member = 3;
    b->seg->replicas[1].state = REPLICA_ORPHAN;
    b->seg->replicas[1].member = 4;
    b->seg->replicas[2].state = REPLICA_CLAIMED | (4 + 1) << BOARD_MEMBER_SHIFT;
    b->seg->lanes_board.ready = 6;
    b->seg->lanes_board.asleep = b->seg->lanes_board.step_down = 1;
    struct lane *lane = b->seg->lanes;
    lane[0].owner = 3 + 1;
    lane[0].pid = 333;
    lane[0].turn = 12 << 3 | LANE_ANSWERED;
    lane[0].ops = 2;
    lane[0].request_bytes = 80;
    lane[0].result = TIDE_ERR_MISMATCH;
    lane[0].index = 7;
    lane[0].found = 5;
    lane[0].failed = 1;
    lane[1].owner = LANE_ORPHAN;
    lane[1].turn = 3 << 3 | LANE_TAKEN;
    lane[1].asleep = 1;
    lane[1].flags = LANE_SPILLED;
    lane[1].request_bytes = 100000;
    lane[63].turn = 1 << 3 | LANE_CANCELLED;
}

/* Such a file, and the first of the two processes lives. */
static void save_processes(struct build *b) {
    build_processes(b);
    build_save(b, path, b->size_bytes);
    hold(MEMBER_FIRST + 3);
}

static void processes__are_shown(void **state) {
    (void)state;
    struct build b;
    save_processes(&b);
    hold(MEMBER_LEADER);
    char *out = DUMP_SAYS(0, "demo");
    assert_has(out, "; its process lives");
    assert_has(out, "members    1 alive, 1 dead\n");
    assert_has(out, "member 3   pid 333 alive, since 2023-11-14 22:13:20Z\n");
    assert_has(out, "member 4   pid 444 dead, ");
    assert_has(out, "leader serving, applied 9, lag 0, staleness 0, pos 576, member 3 pid ");
    assert_has(out, "follower orphan, ");
    assert_has(out, "follower claimed, ");
    assert_has(out, ", pos 0, member 4 pid 0\n");
    assert_has(out, "lanes      2 owned, ready 0x0000000000000006, their thread asleep, the leader is asked to");
    assert_has(out, "lane 0     member 3 pid 333, request 12 answered: 2 operations, 80 bytes; answer -20, "
                    "index 7, found 5, failed 1\n");
    assert_has(out, "lane 1     orphan pid 0, request 3 taken, writer asleep: 0 operations, "
                    "100000 bytes in a file\n");
    assert_has(out, "lane 63    free pid 0, request 1 cancelled: ");
    free(out);
    build_free(&b);
}

static void processes__as_json__have_their_fields(void **state) {
    (void)state;
    struct build b;
    save_processes(&b);
    char *out = DUMP_SAYS(0, "--json", "demo");
    assert_int_equal(json_lines(out, "member"), 2);
    assert_int_equal(json_lines(out, "replica"), 3);
    assert_has(out, "{\"line\": \"leader\", \"replica\": 0, \"led\": false, ");
    assert_has(out, "{\"line\": \"member\", \"id\": 3, \"pid\": 333, \"alive\": true, ");
    assert_has(out, "{\"line\": \"member\", \"id\": 4, \"pid\": 444, \"alive\": false, ");
    assert_has(out, "\"state\": \"orphan\", \"member\": 4, ");
    assert_has(out, "\"state\": \"claimed\", \"member\": 4, ");
    assert_has(out, "\"ready\": \"0x0000000000000006\", \"asleep\": true, \"step_down\": true, ");
    assert_has(out, "{\"id\": 0, \"owner\": \"member\", \"member\": 3, \"pid\": 333, \"phase\": \"answered\", "
                    "\"seq\": 12, \"ops\": 2, \"bytes\": 80, \"spilled\": false, \"asleep\": false, "
                    "\"answer\": {\"result\": -20, \"index\": 7, \"found\": 5, \"failed\": 1}}");
    assert_has(out, "{\"id\": 1, \"owner\": \"orphan\", \"member\": null, ");
    assert_has(out, "\"phase\": \"cancelled\", \"seq\": 1, ");
    free(out);
    build_free(&b);
}

/* The slots come along, the kernel's locks do not. */
static void copy_of_a_live_file__has_only_dead_members(void **state) {
    (void)state;
    struct build b;
    char copy[160];
    save_processes(&b);
    snprintf(copy, sizeof(copy), "%s.copy", path);
    build_save(&b, copy, b.size_bytes);
    char *out = DUMP_SAYS(0, copy);
    assert_has(out, "members    0 alive, 2 dead\n");
    free(out);
    build_free(&b);
}

static void spill__header_and_size_are_shown(void **state) {
    (void)state;
    struct build b;
    char spill[160];
    build_new(&b, "demo");
    b.seg->header.kind = SEGMENT_SPILL;
    b.seg->header.replica = 5;
    b.seg->header.size_bytes = sizeof(struct segment_header) + 1000;
    build_seal(&b);
    snprintf(spill, sizeof(spill), "%s/tidemark.demo.l5", dir);
    build_save(&b, spill, b.seg->header.size_bytes);
    char *out = DUMP_SAYS(0, "demo.l5");
    assert_has(out, "spill of domain \"demo\"");
    assert_has(out, "of lane 5, 1000 bytes");
    free(out);
    out = DUMP_SAYS(0, "--json", spill);
    assert_int_equal(json_lines(out, "header"), 1);
    assert_has(out, "{\"line\": \"spill\", \"lane\": 5, \"request_bytes\": 1000}");
    free(out);
    out = DUMP_SAYS(2, "--follow", spill);
    free(out);
    build_save(&b, spill, b.seg->header.size_bytes - 1);
    out = DUMP_SAYS(1, "--json", spill);
    free(out);
    b.seg->header.replica = LAYOUT_LANES;
    build_seal(&b);
    build_save(&b, spill, b.seg->header.size_bytes);
    out = DUMP_SAYS(1, spill);
    assert_has(out, "BAD: there is no lane 64");
    free(out);
    build_free(&b);
}

/* ---- a real domain ----------------------------------------------------------------------------------------------- */

/* In the child: lead until it is killed. */
static void lead(const char *name, int ready_fd) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_replica_opts replica = TIDE_REPLICA_OPTS_INIT;
    struct tide *d;
    opts.flags = TIDE_CREATE | TIDE_EXCLUSIVE;
    opts.ring_bytes = 1 << 20;
    opts.table_bytes = 1 << 20;
    replica.role = TIDE_LEADER;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (tide_open(&d, name, &opts) != 0 || tide_replica_start(d, &replica, NULL) != 0 || write(ready_fd, "!", 1) != 1) {
        _exit(1);
    }
    for (;;) {
        pause();
    }
}

static pid_t start_leader(const char *name) {
    int fds[2];
    char byte;
    assert_int_equal(pipe(fds), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        lead(name, fds[1]);
    }
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1); /* 0: it gave up */
    close(fds[0]);
    return pid;
}

static void two_processes__members_lanes_and_notes(void **state) {
    (void)state;
    char name[48], table[64], pid_text[32];
    snprintf(name, sizeof(name), "testdumplanes-%d", (int)getpid());
    pid_t pid = start_leader(name);
    struct tide *d;
    assert_int_equal(tide_open(&d, name, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tide_put(d, NULL, "key", 3, "value", 5, NULL), 0);
    }
    char *out = DUMP_SAYS(0, "--json", name);
    assert_int_equal(json_lines(out, "member"), 2);
    assert_int_equal(count_of(out, "\"alive\": true"), 2);
    assert_has(out, "\"led\": true");
    assert_has(out, "\"phase\": \"answered\", \"seq\": 3, \"ops\": 1, \"bytes\": 40, \"spilled\": false");
    assert_int_equal(count_of(out, "\"type\": \"put\", \"lane\": 2, \"lane_seq\": "), 3);
    snprintf(pid_text, sizeof(pid_text), "\"pid\": %d, \"alive\"", (int)pid);
    assert_has(out, pid_text);
    free(out);
    snprintf(table, sizeof(table), "%s.r0", name);
    out = DUMP_SAYS(0, "--json", table);
    assert_has(out, "\"lanes\": [{\"id\": 1, \"seq\": 3, \"index\": ");
    free(out);
    out = DUMP_SAYS(0, table);
    assert_has(out, "lane 1     request 3 is done, at index ");
    free(out);
    assert_int_equal(tide_close(d), 0); /* no process is left that would clear up after the leader */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    out = DUMP_SAYS(0, "--json", name);
    assert_int_equal(json_lines(out, "member"), 1);
    assert_int_equal(count_of(out, "\"alive\": false"), 1);
    assert_has(out, "\"led\": false");
    free(out);
    assert_int_equal(tide_unlink(name), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(processes__are_shown, let_go),
        cmocka_unit_test_teardown(processes__as_json__have_their_fields, let_go),
        cmocka_unit_test_teardown(copy_of_a_live_file__has_only_dead_members, let_go),
        cmocka_unit_test(spill__header_and_size_are_shown),
        cmocka_unit_test(two_processes__members_lanes_and_notes),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
