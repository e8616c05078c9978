/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process meets that was forked, or has too little memory. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash_world.h"
#include "tests/lib/forked.h"
#include "tests/lib/help.h"

static struct tide *open_here(uint64_t table_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = 256 << 10;
    o.table_bytes = table_bytes;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

/* ---- fork -------------------------------------------------------------------------------------------------------------- */

static int never(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    (void)ctx, (void)key, (void)key_len, (void)value, (void)value_size, (void)version;
    return 0;
}

static void forked_domain(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_replica_info replica = TIDE_REPLICA_INFO_INIT;
    struct tide_replica_opts start = TIDE_REPLICA_OPTS_INIT;
    struct tide_verify verify = TIDE_VERIFY_INIT;
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    struct tide_reader *fresh;
    struct tide_token token = { 1, 1 };
    struct tide_op op = { TIDE_OP_PUT, 0, "k", 1, "v", 1, 0 };
    uint64_t index, digest;
    CHILD(tide_info(d, &info) == TIDE_ERR_FORKED);
    CHILD(tide_replica_info(d, 0, &replica) == TIDE_ERR_FORKED);
    CHILD(tide_replica_digest(d, 0, &index, &digest) == TIDE_ERR_FORKED);
    CHILD(tide_replica_start(d, &start, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_replica_stop(d, 0) == TIDE_ERR_FORKED);
    CHILD(tide_replica_set_delay(d, 0, 0) == TIDE_ERR_FORKED);
    CHILD(tide_ping(d, 0) == TIDE_ERR_FORKED);
    CHILD(tide_verify(d, &verify) == TIDE_ERR_FORKED);
    CHILD(tide_step_down(d) == TIDE_ERR_FORKED);
    CHILD(tide_gc(d, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_read_counts(d, &counts) == TIDE_ERR_FORKED);
    CHILD(tide_wait_applied(d, &token, 1, 0) == TIDE_ERR_FORKED);
    CHILD(tide_reader_open(d, NULL, &fresh) == TIDE_ERR_FORKED);
    CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_delete(d, NULL, "k", 1, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_cas(d, NULL, "k", 1, 0, "v", 1, NULL, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_batch(d, NULL, &op, 1, NULL, NULL) == TIDE_ERR_FORKED);
}

static void forked_reader(struct tide *d, struct tide_reader *r) {
    struct tide_token token = { 0 };
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    struct tide_bound stale = TIDE_BOUND_INIT;
    char buf[8];
    const void *value;
    size_t size;
    struct tide_mget_item item = { .key = "k", .key_len = 1, .buf = buf, .buf_size = sizeof(buf) };
    stale.max_staleness_ns = TIDE_UNBOUNDED;
    stale.fallback = TIDE_FALLBACK_STALE;
    CHILD(tide_get(r, "k", 1, NULL, buf, sizeof(buf), NULL) == TIDE_ERR_FORKED);
    CHILD(tide_get(r, "k", 1, &stale, buf, sizeof(buf), NULL) == TIDE_ERR_FORKED);
    CHILD(tide_mget(r, &item, 1, NULL, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_section_begin(r, NULL, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_section_end(r) == TIDE_ERR_FORKED);
    CHILD(tide_section_get(r, "k", 1, buf, sizeof(buf), NULL, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_section_peek(r, "k", 1, &value, &size, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_section_scan(r, never, NULL) == TIDE_ERR_FORKED);
    CHILD(tide_reader_token(r, &token) == TIDE_ERR_FORKED);
    CHILD(tide_reader_observe(r, &token) == TIDE_ERR_FORKED);
    CHILD(tide_reader_counts(r, &counts) == TIDE_ERR_FORKED);
    CHILD(tide_put(d, r, "k", 1, "v", 1, NULL) == TIDE_ERR_FORKED);
}

static void fork__childs_handles__answer_forked_and_own_ones_work(void **state) {
    (void)state;
    child_threads_needed();
    struct tide *d = open_here(0);
    struct tide_reader *r;
    help_leader(d);
    help_follower(d, 0);
    r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_put(d, r, "k", 1, "v", 1, NULL), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        forked_domain(d);
        forked_reader(d, r);
        struct tide *own;
        struct tide_reader *reader;
        char buf[8];
        CHILD(tide_open(&own, name, NULL) == 0);
        CHILD(tide_reader_open(own, NULL, &reader) == 0);
        CHILD(tide_get(reader, "k", 1, NULL, buf, sizeof(buf), NULL) == 0 && buf[0] == 'v');
        CHILD(tide_put(own, reader, "child", 5, "w", 1, NULL) == 0); /* the parent leads */
        CHILD(tide_get(reader, "child", 5, NULL, buf, sizeof(buf), NULL) == 0 && buf[0] == 'w');
        CHILD(tide_reader_close(r) == 0); /* this frees the child's memory alone */
        CHILD(tide_close(d) == 0);
        CHILD(tide_reader_close(reader) == 0);
        CHILD(tide_close(own) == 0);
        _exit(0);
    }
    child_end(pid);
    char buf[8];
    assert_int_equal(tide_get(r, "child", 5, NULL, buf, sizeof(buf), NULL), 0);
    assert_int_equal(tide_put(d, r, "k", 1, "x", 1, NULL), 0);
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    assert_int_equal(info.members, 1);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

static void fork__inside_a_section__the_child_is_refused_and_the_parent_goes_on(void **state) {
    (void)state;
    struct tide *d = open_here(0);
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_put(d, r, "k", 1, "v", 1, NULL), 0);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        forked_domain(d);
        forked_reader(d, r);
        _exit(0);
    }
    child_end(pid);
    char buf[8];
    assert_int_equal(tide_section_get(r, "k", 1, buf, sizeof(buf), NULL, NULL), 0);
    assert_int_equal(tide_section_end(r), 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* A parent leads, forks, and is killed: its child must not keep the leader's place. */
static void fork__parent_dies__its_locks_are_free_although_the_child_lives(void **state) {
    (void)state;
    int hold[2], told[2];
    char byte;
    assert_int_equal(pipe(hold), 0);
    assert_int_equal(pipe(told), 0);
    pid_t parent = child_begin();
    if (parent == 0) {
        struct tide *d;
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        o.role = TIDE_LEADER;
        CHILD(tide_open(&d, name, NULL) == 0 && tide_replica_start(d, &o, NULL) == 0);
        CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
        if (fork() == 0) { /* lives on until the pipe is closed */
            close(hold[1]);
            CHILD(write(told[1], "!", 1) == 1);
            CHILD(read(hold[0], &byte, 1) == 0);
            _exit(0);
        }
        pause();
    }
    close(told[1]); /* so that the read ends also when they died before they could tell */
    assert_int_equal(read(told[0], &byte, 1), 1);
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    struct tide *d = open_here(0);
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    assert_int_equal(info.led, 0);
    help_leader(d); /* BUSY while a process holds the leader's place */
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    char buf[8];
    assert_int_equal(tide_get(r, "k", 1, NULL, buf, sizeof(buf), NULL), 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
    close(hold[1]);
    close(hold[0]);
    close(told[0]);
}

static void *put_for_a_while(void *domain) {
    struct tide *d = domain;
    for (int i = 0; i < 20000; i++) {
        help_check(tide_put(d, NULL, "k", 1, &i, sizeof(i), NULL) == 0);
    }
    return NULL;
}

static void fork__while_threads_write__the_child_can_open_and_write(void **state) {
    (void)state;
    child_threads_needed();
    struct tide *d = open_here(0);
    help_leader(d);
    help_follower(d, 0);
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, put_for_a_while, d), 0);
    for (int i = 0; i < 20; i++) {
        pid_t pid = child_begin();
        if (pid == 0) {
            struct tide *own;
            CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == TIDE_ERR_FORKED);
            CHILD(tide_open(&own, name, NULL) == 0);
            CHILD(tide_put(own, NULL, "child", 5, &i, sizeof(i), NULL) == 0);
            CHILD(tide_close(own) == 0);
            _exit(0);
        }
        child_end(pid);
    }
    pthread_join(writer, NULL);
    help_assert_threads();
    help_assert_equal_digests(d);
    assert_int_equal(tide_close(d), 0);
}

/* ---- the dead ------------------------------------------------------------------------------------------------------------ */

/* Its slot still says SERVING, as no reaper has come yet. */
static void tide_wait_applied__replica_of_a_dead_process__does_not_count(void **state) {
    (void)state;
    int go[2], told[2];
    char byte;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(told), 0);
    pid_t pid = child_that_serves(TIDE_FOLLOWER, go[0], told[1]);
    close(told[1]);
    struct tide *d = open_here(0);
    struct tide_token token;
    help_leader(d);
    assert_int_equal(write(go[1], "!", 1), 1);
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, &token), 0);
    assert_int_equal(tide_wait_applied(d, &token, 2, TIDE_UNBOUNDED), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(tide_wait_applied(d, &token, 2, 0), TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_wait_applied(d, &token, 1, 0), 0);
    assert_int_equal(tide_close(d), 0);
    close(go[0]);
    close(go[1]);
    close(told[0]);
}

/* Its pin stands in the ring, in a domain whose followers may hold the leader up for a day. */
static void put__follower_of_a_dead_process_in_the_way__goes_on_without_it(void **state) {
    (void)state;
    static uint8_t value[8192];
    int go[2], told[2];
    char byte;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(told), 0);
    pid_t pid = child_that_serves(TIDE_FOLLOWER, go[0], told[1]);
    close(told[1]);
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = UINT64_C(64) << 10;
    o.table_bytes = UINT64_C(256) << 10;
    o.slow_follower_ns = UINT64_C(86400000000000);
    struct tide *d = NULL;
    assert_int_equal(tide_open(&d, name, &o), 0);
    help_leader(d);
    assert_int_equal(write(go[1], "!", 1), 1);
    assert_int_equal(read(told[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 32; i++) {
        assert_int_equal(tide_put(d, NULL, "k", 1, value, sizeof(value), NULL), 0);
    }
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    assert_int_equal(info.lapped_total, 0);
    assert_int_equal(info.replicas, 1);
    assert_int_equal(tide_close(d), 0);
    close(go[0]);
    close(go[1]);
    close(told[0]);
}

/* ---- a small /dev/shm ---------------------------------------------------------------------------------------------------- */

/* In a child with a tmpfs of its own of so many bytes at `where`; 77: not allowed here. */
static void small_enter(const char *where, const char *size) {
    char options[64];
    snprintf(options, sizeof(options), "size=%s,mode=0700", size);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", where, "tmpfs", 0, options) != 0) {
        _exit(77);
    }
    CHILD(setenv("TIDE_SHM_DIR", where, 1) == 0);
}

static void small_run(void (*body)(void)) {
    char where[] = "/tmp/tide-small-XXXXXX";
    assert_non_null(mkdtemp(where));
    pid_t pid = child_begin();
    if (pid == 0) {
        small_enter(where, "8m");
        body();
        CHILD(crash_files(name) == 0);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rmdir(where);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        print_message("skipped: no mount namespace can be had here\n");
        skip();
    }
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int small_open(struct tide **d, uint64_t ring_bytes, uint64_t table_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = ring_bytes;
    o.table_bytes = table_bytes;
    return tide_open(d, name, &o);
}

static void small_create(void) {
    struct tide *d;
    CHILD(small_open(&d, 16 << 20, 32 << 20) == TIDE_ERR_NO_SPACE);
    CHILD(crash_files(name) == 0);
}

static void small_replicas(void) {
    struct tide *d;
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    CHILD(small_open(&d, 256 << 10, 1 << 20) == 0);
    o.role = TIDE_LEADER;
    CHILD(tide_replica_start(d, &o, NULL) == 0);
    o.role = TIDE_FOLLOWER;
    unsigned files = crash_files(name), followers = 0;
    int error;
    while ((error = tide_replica_start(d, &o, NULL)) == 0) {
        followers++;
    }
    CHILD(error == TIDE_ERR_NO_SPACE);
    CHILD(crash_files(name) == files + followers);
    CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
    CHILD(tide_close(d) == 0);
    CHILD(tide_unlink(name) == 0);
}

/* A writer elsewhere whose request does not fit into its lane, and no room for the file that it needs. */
static void small_spill(void) {
    static char value[60000];
    struct tide *d;
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    char path[128], byte;
    int go[2];
    snprintf(path, sizeof(path), "%s/ballast", getenv("TIDE_SHM_DIR"));
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHILD(fd >= 0 && pipe(go) == 0);
    pid_t pid = fork(); /* before there are threads here: ThreadSanitizer follows it then */
    if (pid == 0) {
        struct tide *own;
        CHILD(read(go[0], &byte, 1) == 1);
        unsigned files = crash_files(name);
        CHILD(tide_open(&own, name, NULL) == 0);
        CHILD(tide_put(own, NULL, "big", 3, value, sizeof(value), NULL) == TIDE_ERR_NO_SPACE);
        CHILD(crash_files(name) == files);
        CHILD(tide_put(own, NULL, "small", 5, value, 100, NULL) == 0);
        CHILD(ftruncate(fd, 0) == 0);
        CHILD(tide_put(own, NULL, "big", 3, value, sizeof(value), NULL) == 0);
        CHILD(crash_files(name) == files);
        CHILD(tide_close(own) == 0);
        _exit(0);
    }
    CHILD(small_open(&d, 256 << 10, 1 << 20) == 0);
    o.role = TIDE_LEADER;
    CHILD(tide_replica_start(d, &o, NULL) == 0);
    for (off_t at = 0; fallocate(fd, 0, at, 4096) == 0; at += 4096) {
    }
    CHILD(write(go[1], "!", 1) == 1);
    int status;
    CHILD(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHILD(tide_close(d) == 0);
    CHILD(tide_unlink(name) == 0);
}

static void small_shm__creating__is_no_space_and_leaves_nothing(void **state) {
    (void)state;
    small_run(small_create);
}

static void small_shm__replicas_until_it_is_full__the_others_go_on(void **state) {
    (void)state;
    small_run(small_replicas);
}

static void small_shm__a_large_request__is_no_space_and_leaves_nothing(void **state) {
    (void)state;
    small_run(small_spill);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(fork__childs_handles__answer_forked_and_own_ones_work),
        NAMED_CASE(fork__inside_a_section__the_child_is_refused_and_the_parent_goes_on),
        NAMED_CASE(fork__parent_dies__its_locks_are_free_although_the_child_lives),
        NAMED_CASE(fork__while_threads_write__the_child_can_open_and_write),
        NAMED_CASE(tide_wait_applied__replica_of_a_dead_process__does_not_count),
        NAMED_CASE(put__follower_of_a_dead_process_in_the_way__goes_on_without_it),
        NAMED_CASE(small_shm__creating__is_no_space_and_leaves_nothing),
        NAMED_CASE(small_shm__replicas_until_it_is_full__the_others_go_on),
        NAMED_CASE(small_shm__a_large_request__is_no_space_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
