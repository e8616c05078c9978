/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a process meets that was forked, has too little memory, or whose domain is taken away under its feet. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash_world.h"
#include "tests/lib/help.h"

static char name[TIDE_NAME_MAX + 1];

static int setup(void **state) {
    (void)state;
    snprintf(name, sizeof(name), "%s", help_name());
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tide_unlink(name);
    return 0;
}

static struct tide *open_here(uint64_t table_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = 256 << 10;
    o.table_bytes = table_bytes;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

/* Failures in children are told by their status: cmocka's checks would jump into the parent's frame. */
#define CHILD(ok)                                                                                                      \
    do {                                                                                                               \
        if (!(ok)) {                                                                                                   \
            fprintf(stderr, "%s:%d: in a child: not so: %s\n", __FILE__, __LINE__, #ok);                               \
            _exit(1);                                                                                                  \
        }                                                                                                              \
    } while (0)

static pid_t child_begin(void) {
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

static void child_end(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
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
    struct tide_token token = {1, 1};
    struct tide_op op = {TIDE_OP_PUT, 0, "k", 1, "v", 1, 0};
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
    struct tide_token token = {0};
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    struct tide_bound stale = TIDE_BOUND_INIT;
    char buf[8];
    const void *value;
    size_t size;
    struct tide_mget_item item = {.key = "k", .key_len = 1, .buf = buf, .buf_size = sizeof(buf)};
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
        CHILD(tide_reader_close(r) == 0); /* what is let go is the child's memory alone */
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
    help_leader(d); /* BUSY while anybody holds the leader's place */
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
    CHILD(small_open(&d, 256 << 10, 1 << 20) == 0);
    o.role = TIDE_LEADER;
    CHILD(tide_replica_start(d, &o, NULL) == 0);
    const char *dir = getenv("TIDE_SHM_DIR");
    char path[128];
    snprintf(path, sizeof(path), "%s/ballast", dir);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    CHILD(fd >= 0);
    for (off_t at = 0; fallocate(fd, 0, at, 4096) == 0; at += 4096) {
    }
    unsigned files = crash_files(name);
    pid_t pid = fork();
    if (pid == 0) {
        struct tide *own;
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

/* ---- removed under its members' feet --------------------------------------------------------------------------------------- */

/* The domain is removed; what the leader is asked from then on is answered GONE within its next look, a second. */
static void removed__under_the_leader__writers_are_told_gone(void **state) {
    (void)state;
    struct tide *d = open_here(0);
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_put(d, r, "k", 1, "v", 1, NULL), 0);
    int told[2];
    char byte;
    assert_int_equal(pipe(told), 0);
    pid_t pid = child_begin();
    if (pid == 0) { /* a writer elsewhere */
        struct tide *own;
        CHILD(tide_open(&own, name, NULL) == 0);
        CHILD(tide_put(own, NULL, "child", 5, "v", 1, NULL) == 0);
        CHILD(write(told[1], "!", 1) == 1);
        int error;
        while ((error = tide_put(own, NULL, "child", 5, "v", 1, NULL)) == 0) {
        }
        CHILD(error == TIDE_ERR_GONE);
        CHILD(tide_close(own) == 0);
        _exit(0);
    }
    close(told[1]); /* so that the read ends also when it died before it could tell */
    assert_int_equal(read(told[0], &byte, 1), 1);
    assert_int_equal(tide_unlink(name), 0);
    int error;
    while ((error = tide_put(d, r, "k", 1, "w", 1, NULL)) == 0) {
    }
    assert_int_equal(error, TIDE_ERR_GONE);
    child_end(pid);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    assert_int_equal(tide_replica_start(d, &o, NULL), TIDE_ERR_GONE);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
    assert_int_equal(crash_files(name), 0);
    close(told[0]);
}

/* The old domain's members end while a new one of that name is there: its files stay. */
static void replaced__old_members_close__the_new_domain_keeps_its_files(void **state) {
    (void)state;
    struct tide *old = open_here(0);
    help_leader(old);
    help_follower(old, 0);
    assert_int_equal(tide_unlink(name), 0);
    struct tide *d = open_here(0);
    help_leader(d);
    help_follower(d, 0);
    assert_int_equal(tide_put(d, NULL, "k", 1, "new", 3, NULL), 0);
    unsigned files = crash_files(name);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    assert_int_equal(tide_replica_start(old, &o, NULL), TIDE_ERR_GONE);
    assert_int_equal(tide_replica_stop(old, 1), 0);
    assert_int_equal(tide_gc(old, NULL), 0);
    assert_int_equal(tide_close(old), 0);
    assert_int_equal(crash_files(name), files);
    pid_t pid = child_begin();
    if (pid == 0) { /* maps the new replicas */
        struct tide *own;
        struct tide_reader *r;
        char buf[8];
        CHILD(tide_open(&own, name, NULL) == 0 && tide_reader_open(own, NULL, &r) == 0);
        CHILD(tide_get(r, "k", 1, NULL, buf, sizeof(buf), NULL) == 0);
        _exit(0);
    }
    child_end(pid);
    assert_int_equal(tide_close(d), 0);
}

/* Creating, attaching, using and removing, by several processes at once: every error is one of a short list. */
static void removed__by_some_while_others_open_it__errors_are_clean(void **state) {
    (void)state;
    enum { PROCESSES = 6 };
    pid_t pids[PROCESSES];
    uint64_t seed = help_seed();
    for (uint64_t p = 0; p < PROCESSES; p++) {
        pids[p] = child_begin();
        if (pids[p] != 0) {
            continue;
        }
        struct help_rng rng = {seed + p};
        for (uint64_t i = 0; i < help_scaled(60); i++) {
            struct tide_opts o = TIDE_OPTS_INIT;
            struct tide *d;
            o.ring_bytes = 64 << 10;
            o.table_bytes = 256 << 10;
            o.write_timeout_ns = 20000000;
            int error = help_below(&rng, 4) == 0 ? tide_unlink(name) : TIDE_ERR_EXISTS;
            CHILD(error == 0 || error == TIDE_ERR_NO_DOMAIN || error == TIDE_ERR_EXISTS);
            error = tide_open(&d, name, &o);
            CHILD(error == 0 || error == TIDE_ERR_GONE); /* GONE: it was removed each time that it was looked at */
            if (error != 0) {
                continue;
            }
            struct tide_replica_opts ro = TIDE_REPLICA_OPTS_INIT;
            ro.role = help_below(&rng, 2) == 0 ? TIDE_LEADER : TIDE_FOLLOWER;
            ro.candidate = 1;
            error = tide_replica_start(d, &ro, NULL);
            CHILD(error == 0 || error == TIDE_ERR_BUSY || error == TIDE_ERR_GONE || error == TIDE_ERR_NO_REPLICA);
            error = tide_put(d, NULL, "k", 1, "v", 1, NULL);
            CHILD(error == 0 || error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT || error == TIDE_ERR_GONE ||
                  error == TIDE_ERR_UNKNOWN);
            error = tide_gc(d, NULL);
            CHILD(error == 0 || error == TIDE_ERR_GONE);
            CHILD(tide_close(d) == 0);
        }
        _exit(0);
    }
    for (int p = 0; p < PROCESSES; p++) {
        child_end(pids[p]);
    }
    tide_unlink(name);
    assert_int_equal(crash_files(name), 0);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
        CASE(fork__childs_handles__answer_forked_and_own_ones_work),
        CASE(fork__inside_a_section__the_child_is_refused_and_the_parent_goes_on),
        CASE(fork__parent_dies__its_locks_are_free_although_the_child_lives),
        CASE(fork__while_threads_write__the_child_can_open_and_write),
        CASE(small_shm__creating__is_no_space_and_leaves_nothing),
        CASE(small_shm__replicas_until_it_is_full__the_others_go_on),
        CASE(small_shm__a_large_request__is_no_space_and_leaves_nothing),
        CASE(removed__under_the_leader__writers_are_told_gone),
        CASE(replaced__old_members_close__the_new_domain_keeps_its_files),
        CASE(removed__by_some_while_others_open_it__errors_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
