/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a process finds: little shared memory, a mount that it cannot write, files of other users, an identity that changed, no
 * descriptors left. And what it leaves: an ephemeral domain after kill -9, a core dump.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "tests/lib/forked.h"
#include "tests/lib/told.h"

#define MIB (UINT64_C(1) << 20)

static int lead(struct tide *d) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    return tide_replica_start(d, &o, NULL);
}

/* In a child. What is in the way is printed. */
static bool leads_with_k(struct tide **d, const struct tide_opts *o) {
    int opened = tide_open(d, name, o), leads = opened == 0 ? lead(*d) : 0;
    int put = opened == 0 && leads == 0 ? tide_put(*d, NULL, "k", 1, "v", 1, NULL) : 0;
    if (opened != 0 || leads != 0 || put != 0) {
        fprintf(stderr, "open %d, lead %d, put %d: %s\n", opened, leads, put, told);
    }
    return opened == 0 && leads == 0 && put == 0;
}

static int follow(struct tide *d, uint32_t *id) {
    return tide_replica_start(d, NULL, id);
}

/* ---- ephemeral ------------------------------------------------------------------------------------------------------- */

/* Makes the case's domain, ephemeral, puts "k", says so, and waits to be killed. */
static pid_t child_with_ephemeral(int to) {
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_opts o = told_opts(TIDE_CREATE | TIDE_EPHEMERAL);
        CHILD(leads_with_k(&d, &o));
        child_say(to);
        for (;;) {
            pause();
        }
    }
    return pid;
}

static void kill_child(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Not only told to stop: it goes on for a moment after that. */
static void stop_child(pid_t pid) {
    int status;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
}

/* This process has the writing end, too, for children to come. So it looks whether one of them ended before it could speak. */
static void hear_all(int from, void *to, size_t bytes) {
    struct pollfd said = { .fd = from, .events = POLLIN };
    while (poll(&said, 1, 100) == 0) {
        siginfo_t ended = { 0 };
        assert_int_equal(waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT), 0);
        assert_int_equal(ended.si_pid, 0);
    }
    assert_int_equal(read(from, to, bytes), bytes);
}

static void hear(int from) {
    char byte;
    hear_all(from, &byte, 1);
}

static int get_k(struct tide *d) {
    struct tide_reader *r;
    char v[8];
    assert_int_equal(tide_reader_open(d, NULL, &r), 0);
    struct tide_bound any = TIDE_BOUND_INIT;
    any.max_staleness_ns = TIDE_UNBOUNDED;
    int error = tide_get(r, "k", 1, &any, v, sizeof(v), NULL);
    assert_int_equal(tide_reader_close(r), 0);
    return error;
}

static void ephemeral__creator_killed__the_next_one_begins_anew(void **state) {
    (void)state;
    int say[2];
    assert_int_equal(pipe(say), 0);
    struct tide *d;
    struct tide_opts o = told_opts(0);
    pid_t pid = child_with_ephemeral(say[1]);
    hear(say[0]);
    kill_child(pid);
    assert_int_equal(tide_open(&d, name, &o), TIDE_ERR_NO_DOMAIN); /* it ended with its last member */
    assert_int_equal(tide_unlink(name), TIDE_ERR_NO_DOMAIN);
    pid = child_with_ephemeral(say[1]);
    hear(say[0]);
    kill_child(pid);
    o = told_opts(TIDE_CREATE);
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(lead(d), 0);
    assert_int_equal(get_k(d), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_close(d), 0);
    assert_int_equal(tide_unlink(name), 0); /* this one is not ephemeral: its creator did not say so */
}

static void ephemeral__creator_killed_beside_others__the_last_one_out_removes_it(void **state) {
    (void)state;
    int say[2];
    assert_int_equal(pipe(say), 0);
    struct tide *a, *b;
    struct tide_opts o = told_opts(0);
    pid_t pid = child_with_ephemeral(say[1]);
    hear(say[0]);
    assert_int_equal(tide_open(&a, name, &o), 0);
    assert_int_equal(tide_open(&b, name, &o), 0);
    assert_int_equal(follow(b, NULL), 0);
    kill_child(pid);
    assert_int_equal(tide_close(a), 0);
    assert_int_equal(tide_open(&a, name, &o), 0); /* b lives, and so does the domain */
    assert_int_equal(get_k(a), 0);
    assert_int_equal(tide_close(b), 0);
    assert_int_equal(tide_close(a), 0);
    assert_int_equal(tide_open(&a, name, &o), TIDE_ERR_NO_DOMAIN);
    assert_int_equal(tide_unlink(name), TIDE_ERR_NO_DOMAIN);
}

/* ---- little shared memory -------------------------------------------------------------------------------------------- */

static void in_private_shm(const char *options) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, options) != 0) {
        _exit(77);
    }
}

static void in_64_mib(void) {
    in_private_shm("size=64m,mode=1777");
    struct tide *d;
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    o.log = told_note;
    CHILD(tide_open(&d, name, &o) == 0);
    CHILD(strstr(told, "64.0 MiB of shared memory can be had here: the ring gets 4.0 MiB (--ring)") != NULL);
    CHILD(tide_info(d, &info) == 0 && info.ring_bytes == 4 * MIB && info.table_bytes >= 12 * MIB);
    CHILD(lead(d) == 0 && follow(d, NULL) == 0 && follow(d, NULL) == 0);
    told[0] = '\0';
    CHILD(follow(d, NULL) == TIDE_ERR_NO_SPACE);
    CHILD(strstr(told, ".r3 takes ") != NULL && strstr(told, "/dev/shm has ") != NULL &&
          strstr(told, "tide rm") != NULL);
    CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
    CHILD(tide_close(d) == 0);
    /* Something was written: it is kept, whatever did not fit. */
    CHILD(tide_open(&d, name, &o) == 0 && tide_close(d) == 0 && tide_unlink(name) == 0);
    /* The library tries the size that the caller asked for, and leaves nothing behind that would make a smaller one fail. */
    o.ring_bytes = 16 * MIB;
    o.table_bytes = 64 * MIB;
    CHILD(tide_open(&d, name, &o) == 0 && lead(d) == TIDE_ERR_NO_SPACE && tide_close(d) == 0);
    o.flags = 0;
    CHILD(tide_open(&d, name, &o) == TIDE_ERR_NO_DOMAIN);
    _exit(0);
}

static void sizes__nothing_asked_for__fit_what_is_there(void **state) {
    (void)state;
    pid_t pid = child_begin();
    if (pid == 0) {
        in_64_mib();
    }
    child_end_or_skip(pid);
}

static void sizes__killed_before_anything_was_written__give_way_to_others(void **state) {
    (void)state;
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_opts o = told_opts(TIDE_CREATE);
        o.table_bytes = 8 * MIB;
        CHILD(tide_open(&d, name, &o) == 0 && lead(d) == 0);
        kill(getpid(), SIGKILL);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    struct tide *d;
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_opts o = told_opts(TIDE_CREATE);
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(tide_info(d, &info), 0);
    assert_int_equal(info.table_bytes, MIB);
    assert_int_equal(lead(d), 0);
    assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
    assert_int_equal(tide_close(d), 0);
    o.table_bytes = 4 * MIB; /* but data do not */
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(tide_info(d, &info), 0);
    assert_int_equal(info.table_bytes, MIB);
    assert_int_equal(tide_close(d), 0);
}

/* ---- a mount that cannot be written ----------------------------------------------------------------------------------- */

static void on_a_read_only_mount(void) {
    in_private_shm("size=64m,mode=1777");
    struct tide *d, *o;
    struct tide_opts opts = told_opts(TIDE_CREATE);
    CHILD(tide_open(&d, name, &opts) == 0 && lead(d) == 0 && tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
    if (unshare(CLONE_NEWNS) != 0 || mount("/dev/shm", "/dev/shm", NULL, MS_BIND, NULL) != 0 ||
        mount(NULL, "/dev/shm", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0) {
        _exit(77);
    }
    opts = told_opts(0);
    CHILD(tide_open(&o, name, &opts) == 0);
    CHILD(strstr(told, "for looking alone") != NULL);
    struct tide_reader *r;
    struct tide_answer a = TIDE_ANSWER_INIT;
    char v[8];
    CHILD(tide_reader_open(o, NULL, &r) == 0);
    CHILD(tide_get(r, "k", 1, NULL, v, sizeof(v), &a) == 0 && a.linearizable == 1 && a.value_size == 1);
    struct tide_token next = { 0, 2 };
    struct tide_info info = TIDE_INFO_INIT;
    CHILD(tide_info(o, &info) == 0 && info.led == 1 && info.members == 1);
    next.incarnation = info.incarnation;
    struct tide_bound waits = TIDE_BOUND_INIT;
    waits.min = next;
    waits.fallback = TIDE_FALLBACK_WAIT;
    waits.wait_ns = 3000000;
    CHILD(tide_get(r, "k", 1, &waits, v, sizeof(v), NULL) == TIDE_ERR_FENCE_AHEAD);
    CHILD(tide_wait_applied(o, &next, 1, 3000000) == TIDE_ERR_TIMEOUT);
    struct tide_read_counts counts = { .size = sizeof(counts) };
    CHILD(tide_reader_counts(r, &counts) == 0 && counts.by_reason[TIDE_REASON_FRESH] == 1);
    struct tide_verify verify = TIDE_VERIFY_INIT;
    CHILD(tide_verify(o, &verify) == 0 && verify.nodes == 1);
    CHILD(tide_put(o, NULL, "k", 1, "w", 1, NULL) == TIDE_ERR_READ_ONLY);
    CHILD(tide_replica_start(o, NULL, NULL) == TIDE_ERR_READ_ONLY);
    CHILD(tide_ping(o, 1000000) == TIDE_ERR_READ_ONLY && tide_gc(o, NULL) == TIDE_ERR_READ_ONLY);
    CHILD(tide_step_down(o) == TIDE_ERR_READ_ONLY);
    CHILD(tide_unlink(name) == TIDE_ERR_SYSTEM);
    CHILD(tide_put(d, NULL, "k", 1, "ww", 2, NULL) == 0); /* mapped before: it goes on */
    CHILD(tide_get(r, "k", 1, NULL, v, sizeof(v), &a) == 0 && a.value_size == 2);
    CHILD(tide_reader_close(r) == 0 && tide_close(o) == 0);
    opts = told_opts(TIDE_CREATE);
    CHILD(tide_open(&o, "another", &opts) == TIDE_ERR_SYSTEM && strstr(told, "Read-only file system") != NULL);
    _exit(0);
}

static void read_only_mount__a_handle_that_looks__reads_and_changes_nothing(void **state) {
    (void)state;
    child_threads_needed();
    pid_t pid = child_begin();
    if (pid == 0) {
        on_a_read_only_mount();
    }
    child_end_or_skip(pid);
}

/* ---- other users ------------------------------------------------------------------------------------------------------ */

#define OTHER_USER 65534

static void with_another_users_files(void) {
    if (geteuid() != 0) {
        _exit(77);
    }
    in_private_shm("size=64m,mode=1777");
    char path[128];
    for (int i = 0; i < 3; i++) { /* in the way of slots 0 to 2 */
        snprintf(path, sizeof(path), "/dev/shm/tidemark.%s.r%d", name, i);
        FILE *f = fopen(path, "w");
        CHILD(f != NULL && fclose(f) == 0);
    }
    for (int i = 0; i < 63; i++) { /* and of all files for large writes but one */
        snprintf(path, sizeof(path), "/dev/shm/tidemark.%s.l%d", name, i);
        FILE *f = fopen(path, "w");
        CHILD(f != NULL && fclose(f) == 0);
    }
    CHILD(setuid(OTHER_USER) == 0);
    struct tide *d, *writer;
    static const char large[100000];
    struct tide_opts o = told_opts(TIDE_CREATE);
    struct tide_replica_opts second = TIDE_REPLICA_OPTS_INIT;
    uint32_t id = 99;
    CHILD(tide_open(&d, name, &o) == 0 && lead(d) == 0);
    CHILD(strstr(told, "cannot rename a segment to /dev/shm/tidemark.") != NULL);
    CHILD(follow(d, &id) == 0 && id == 4);
    CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0 && get_k(d) == 0);
    CHILD(tide_open(&writer, name, &o) == 0); /* a handle that does not lead writes through a lane */
    for (int i = 0; i < 3; i++) {
        CHILD(tide_put(writer, NULL, "large", 5, large, sizeof(large), NULL) == 0);
    }
    CHILD(tide_close(writer) == 0);
    second.id = 1; /* this one and no other */
    CHILD(tide_replica_start(d, &second, NULL) == TIDE_ERR_FOREIGN);
    CHILD(tide_close(d) == 0 && tide_unlink(name) == 0);
    _exit(0);
}

static void other_user__has_the_names_of_slots__others_are_taken(void **state) {
    (void)state;
    pid_t pid = child_begin();
    if (pid == 0) {
        with_another_users_files();
    }
    child_end_or_skip(pid);
}

static void other_user__domain_is_theirs__the_text_says_whose(void **state) {
    (void)state;
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_opts o = told_opts(TIDE_CREATE);
        if (geteuid() != 0) {
            _exit(77);
        }
        in_private_shm("size=64m,mode=1777");
        CHILD(tide_open(&d, name, &o) == 0 && setuid(OTHER_USER) == 0);
        struct tide *again;
        o = told_opts(0);
        CHILD(tide_open(&again, name, &o) == TIDE_ERR_FOREIGN);
        CHILD(strstr(told, "belongs to another user; this process is user 65534") != NULL);
        _exit(0);
    }
    child_end_or_skip(pid);
}

/* The leader is another process. This process opens the domain as root, and is another user at its first read. */
static void after_setuid(int go, int said) {
    if (geteuid() != 0) {
        _exit(77);
    }
    struct tide *d;
    struct tide_opts o = told_opts(0);
    (void)go, (void)said;
    CHILD(tide_open(&d, name, &o) == 0 && setuid(OTHER_USER) == 0);
    CHILD(tide_put(d, NULL, "k2", 2, "v", 1, NULL) == 0); /* what is mapped goes on */
    struct tide_reader *r;
    char v[8];
    CHILD(tide_reader_open(d, NULL, &r) == 0);
    CHILD(tide_get(r, "k", 1, NULL, v, sizeof(v), NULL) == TIDE_ERR_FOREIGN); /* and not: nobody leads */
    CHILD(strstr(told, "belongs to another user") != NULL);
    _exit(0);
}

static void setuid__after_opening__reads_say_what_is_in_the_way(void **state) {
    (void)state;
    int say[2];
    assert_int_equal(pipe(say), 0);
    pid_t leader = child_that_serves(TIDE_LEADER, -1, say[1]);
    hear(say[0]);
    pid_t pid = child_begin();
    if (pid == 0) {
        after_setuid(say[0], say[1]);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    kill_child(leader);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(status, 0);
}

/* ---- no descriptors ---------------------------------------------------------------------------------------------------- */

/* A reader of replica `id` alone. */
static struct tide_reader *reader_of(struct tide *d, uint32_t id) {
    struct tide_reader *r;
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.replicas = UINT64_C(1) << id;
    CHILD(tide_reader_open(d, &o, &r) == 0);
    return r;
}

static void without_descriptors(void) {
    struct tide *d;
    struct tide_opts o = told_opts(0);
    CHILD(tide_open(&d, name, &o) == 0);
    const struct rlimit none = { 3, 100 }, some = { 100, 100 };
    CHILD(setrlimit(RLIMIT_NOFILE, &none) == 0);
    struct tide_reader *r = reader_of(d, 0);
    char v[8];
    CHILD(tide_get(r, "k", 1, NULL, v, sizeof(v), NULL) == TIDE_ERR_SYSTEM); /* and not: nobody leads */
    CHILD(strstr(told, "Too many open files") != NULL);
    told[0] = '\0';
    CHILD(tide_get(r, "k", 1, NULL, v, sizeof(v), NULL) == TIDE_ERR_SYSTEM && told[0] == '\0'); /* once */
    struct tide_verify verify = TIDE_VERIFY_INIT;
    CHILD(tide_verify(d, &verify) == TIDE_ERR_SYSTEM && strstr(told, "Too many open files") != NULL);
    CHILD(tide_put(d, NULL, "k", 1, "w", 1, NULL) == 0);
    CHILD(follow(d, NULL) == TIDE_ERR_SYSTEM);
    struct tide *again;
    CHILD(tide_open(&again, name, &o) == TIDE_ERR_SYSTEM);
    CHILD(tide_unlink(name) == TIDE_ERR_SYSTEM);
    CHILD(setrlimit(RLIMIT_NOFILE, &some) == 0 && tide_get(r, "k", 1, NULL, v, sizeof(v), NULL) == 0);
    /* The next time that there are none is told as well. */
    struct tide_bound stale = TIDE_BOUND_INIT;
    stale.fallback = TIDE_FALLBACK_STALE;
    told[0] = '\0';
    CHILD(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHILD(tide_get(reader_of(d, 1), "k", 1, &stale, v, sizeof(v), NULL) == TIDE_ERR_SYSTEM);
    CHILD(strstr(told, "Too many open files") != NULL);
    _exit(0);
}

static void descriptors__none_left__errors_say_so_and_the_domain_stays(void **state) {
    (void)state;
    child_threads_needed();
    int say[2];
    assert_int_equal(pipe(say), 0);
    pid_t leader = child_that_serves(TIDE_LEADER, -1, say[1]);
    hear(say[0]);
    pid_t follower = child_that_serves(TIDE_FOLLOWER, -1, say[1]);
    hear(say[0]);
    pid_t pid = child_begin();
    if (pid == 0) {
        without_descriptors();
    }
    child_end(pid);
    kill_child(follower);
    struct tide *d;
    struct tide_opts o = told_opts(0);
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(get_k(d), 0);
    assert_int_equal(tide_close(d), 0);
    kill_child(leader);
}

static enum tide_state state_of(struct tide *d, uint32_t id) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    assert_int_equal(tide_replica_info(d, id, &info), 0);
    return info.state;
}

static void set_descriptors(pid_t pid, rlim_t most) {
    struct rlimit l;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, NULL, &l), 0);
    l.rlim_cur = most;
    assert_int_equal(prlimit(pid, RLIMIT_NOFILE, &l, NULL), 0);
}

static void descriptors__none_left_for_a_follower_that_was_lapped__it_serves_when_there_are(void **state) {
    (void)state;
    child_threads_needed();
    int say[2];
    assert_int_equal(pipe(say), 0);
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    o.ring_bytes = 64 * 1024;
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(lead(d), 0);
    pid_t pid = child_that_serves(TIDE_FOLLOWER, -1, say[1]);
    hear(say[0]);
    assert_int_equal(state_of(d, 1), TIDE_STATE_SERVING);
    set_descriptors(pid, 3);
    stop_child(pid);
    static const char value[4096];
    for (int i = 0; i < 64; i++) {
        assert_int_equal(tide_put(d, NULL, "k", 1, value, sizeof(value), NULL), 0);
    }
    assert_int_equal(kill(pid, SIGCONT), 0);
    for (int i = 0; i < 300; i++) { /* longer than the former time-outs */
        assert_int_equal(tide_put(d, NULL, "k", 1, value, sizeof(value), NULL), 0);
        usleep(1000);
        assert_int_not_equal(state_of(d, 1), TIDE_STATE_FAILED);
        assert_int_not_equal(state_of(d, 1), TIDE_STATE_SERVING);
    }
    set_descriptors(pid, 100);
    while (state_of(d, 1) != TIDE_STATE_SERVING) {
        usleep(1000);
    }
    kill_child(pid);
    assert_int_equal(tide_close(d), 0);
}

/* ---- a child that no handler of fork() ran in --------------------------------------------------------------------------- */

/* A leader's process whose child, made by clone() itself, sleeps. It says that it leads, and then the child's number. */
static void lead_beside_a_clone(int said) {
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    CHILD(leads_with_k(&d, &o));
    pid_t clone = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (clone == 0) {
        for (;;) {
            (void)syscall(SYS_pause);
        }
    }
    CHILD(write(said, &clone, sizeof(clone)) == (ssize_t)sizeof(clone));
    for (;;) {
        pause();
    }
}

/* docs/operations.md, *Removed, replaced, forked*: the locks are the clone's as well. */
static void clone__of_a_leader_that_was_killed__keeps_the_lead_until_it_ends(void **state) {
    (void)state;
#if defined(__x86_64__)
    int say[2];
    assert_int_equal(pipe(say), 0);
    pid_t leader = child_begin(), clone;
    if (leader == 0) {
        lead_beside_a_clone(say[1]);
    }
    hear_all(say[0], &clone, sizeof(clone));
    kill_child(leader);
    struct tide *d;
    struct tide_opts o = told_opts(0);
    o.write_timeout_ns = 20000000;
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_open(&d, name, &o), 0);
    int write_error = tide_put(d, NULL, "k", 1, "w", 1, NULL), read_error = get_k(d), lead_error = lead(d);
    assert_int_equal(tide_info(d, &info), 0);
    kill(clone, SIGKILL);
    assert_int_equal(write_error, TIDE_ERR_TIMEOUT);
    assert_int_equal(read_error, 0);
    assert_int_equal(lead_error, TIDE_ERR_BUSY);
    assert_int_equal(info.led, 1);
    for (int i = 0; (lead_error = lead(d)) == TIDE_ERR_BUSY && i < 10000; i++) {
        usleep(1000);
    }
    assert_int_equal(lead_error, 0);
    assert_int_equal(get_k(d), 0);
    assert_int_equal(tide_close(d), 0);
#else
    skip();           /* the arguments of clone() have another order */
#endif
}

/* What the child of _Fork() has of its parent goes when it executes a program. */
static void lead_beside_a_fork(int said, int go) {
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    CHILD(leads_with_k(&d, &o));
    pid_t fork_child = _Fork();
    if (fork_child == 0) {
        char byte;
        (void)!read(go, &byte, 1);
        execl("/bin/sleep", "sleep", "100", (char *)NULL);
        _exit(1);
    }
    CHILD(write(said, &fork_child, sizeof(fork_child)) == (ssize_t)sizeof(fork_child));
    for (;;) {
        pause();
    }
}

static void fork__without_handlers__the_lead_is_free_once_it_executes_a_program(void **state) {
    (void)state;
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    int say[2], go[2];
    assert_int_equal(pipe(say), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t leader = child_begin(), left;
    if (leader == 0) {
        lead_beside_a_fork(say[1], go[0]);
    }
    hear_all(say[0], &left, sizeof(left));
    kill_child(leader);
    struct tide *d;
    struct tide_opts o = told_opts(0);
    assert_int_equal(tide_open(&d, name, &o), 0);
    int before = lead(d), after = before;
    bool said = write(go[1], "!", 1) == 1;
    for (int i = 0; said && (after = lead(d)) == TIDE_ERR_BUSY && i < 10000; i++) {
        usleep(1000);
    }
    int lives = kill(left, 0);
    kill(left, SIGKILL);
    assert_int_equal(before, TIDE_ERR_BUSY);
    assert_int_equal(after, 0);
    assert_int_equal(lives, 0);
    assert_int_equal(get_k(d), 0);
    assert_int_equal(tide_close(d), 0);
#else
    skip();           /* this libc has no _Fork() */
#endif
}

/* ---- processors --------------------------------------------------------------------------------------------------------- */

/* Do all threads but the caller's run on these processors alone? */
static bool others_run_on(const cpu_set_t *cpus) {
    DIR *dir = opendir("/proc/self/task");
    struct dirent *entry;
    bool all = dir != NULL;
    int others = 0;
    while (all && (entry = readdir(dir)) != NULL) {
        pid_t tid = (pid_t)atoi(entry->d_name);
        cpu_set_t own;
        if (tid != 0 && tid != gettid()) {
            all = sched_getaffinity(tid, sizeof(own), &own) == 0 && CPU_EQUAL(&own, cpus);
            others++;
        }
    }
    if (dir != NULL) {
        closedir(dir);
    }
    return all && others != 0;
}

/* tidemark.h: the library's threads run where the process could when the library was loaded, also if the thread that starts them is pinned. */
static void affinity__caller_is_pinned__the_librarys_threads_are_not(void **state) {
    (void)state;
    cpu_set_t at_start, one;
    assert_int_equal(sched_getaffinity(0, sizeof(at_start), &at_start), 0);
#ifdef __GLIBC__
    bool can = CPU_COUNT(&at_start) > 1;
#else
    bool can = false; /* threads inherit the CPUs of the one that starts them */
#endif
    if (!can) {
        skip();
    }
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_opts o = told_opts(TIDE_CREATE);
        int cpu = 0;
        while (!CPU_ISSET(cpu, &at_start)) {
            cpu++;
        }
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHILD(sched_setaffinity(0, sizeof(one), &one) == 0);
        CHILD(tide_open(&d, name, &o) == 0 && lead(d) == 0 && follow(d, NULL) == 0);
        CHILD(others_run_on(&at_start));
        CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
        CHILD(tide_close(d) == 0);
        _exit(0);
    }
    child_end(pid);
}

/* ---- the directory ------------------------------------------------------------------------------------------------------ */

static void directory__is_not_there__the_text_says_so(void **state) {
    (void)state;
    const char *before = getenv("TIDE_SHM_DIR");
    char *kept = before != NULL ? strdup(before) : NULL;
    struct tide *d;
    struct tide_opts o = told_opts(0);
    setenv("TIDE_SHM_DIR", "/nowhere/at/all", 1);
    int looked = tide_open(&d, name, &o);
    setenv("TIDE_SHM_DIR", "relative", 1);
    int crooked = tide_open(&d, name, &o);
    if (kept != NULL) {
        setenv("TIDE_SHM_DIR", kept, 1);
    } else {
        unsetenv("TIDE_SHM_DIR");
    }
    free(kept);
    assert_int_equal(looked, TIDE_ERR_SYSTEM);
    assert_int_equal(crooked, TIDE_ERR_INVALID);
    assert_non_null(strstr(told, "/nowhere/at/all/, does not exist"));
    assert_non_null(strstr(told, "TIDE_SHM_DIR is 'relative'"));
}

/* ---- core dumps ---------------------------------------------------------------------------------------------------------- */

/* Mappings of the case's segments, and those among them that a core dump leaves out. */
static void count_mappings(int *all, int *left_out) {
    char line[512], needle[TIDE_NAME_MAX + 16];
    bool ours = false;
    *all = *left_out = 0;
    snprintf(needle, sizeof(needle), "tidemark.%s.", name);
    FILE *f = fopen("/proc/self/smaps", "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
            ours = strstr(line, needle) != NULL;
            *all += ours;
        } else if (ours && strncmp(line, "VmFlags:", 8) == 0) {
            *left_out += strstr(line, " dd") != NULL;
        }
    }
    fclose(f);
}

static void core_dump__left_out_unless_asked_for(void **state) {
    (void)state;
    for (uint32_t flag = 0; flag <= TIDE_DUMPED; flag += TIDE_DUMPED) {
        struct tide *d, *other;
        struct tide_opts o = told_opts(TIDE_CREATE | TIDE_EPHEMERAL | flag);
        int all, left_out;
        assert_int_equal(tide_open(&d, name, &o), 0);
        assert_int_equal(lead(d), 0);
        assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
        assert_int_equal(tide_open(&other, name, &o), 0);
        assert_int_equal(get_k(other), 0); /* maps the leader's table, too */
        count_mappings(&all, &left_out);
        assert_true(
            all >=
            6); /* two logs, two rings twice in a row, a table and its mapping by the other; some may be merged */
        assert_int_equal(left_out, flag == 0 ? all : 0);
        assert_int_equal(tide_close(other), 0);
        assert_int_equal(tide_close(d), 0);
    }
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(ephemeral__creator_killed__the_next_one_begins_anew),
        NAMED_CASE(ephemeral__creator_killed_beside_others__the_last_one_out_removes_it),
        NAMED_CASE(sizes__nothing_asked_for__fit_what_is_there),
        NAMED_CASE(sizes__killed_before_anything_was_written__give_way_to_others),
        NAMED_CASE(read_only_mount__a_handle_that_looks__reads_and_changes_nothing),
        NAMED_CASE(other_user__has_the_names_of_slots__others_are_taken),
        NAMED_CASE(other_user__domain_is_theirs__the_text_says_whose),
        NAMED_CASE(setuid__after_opening__reads_say_what_is_in_the_way),
        NAMED_CASE(descriptors__none_left__errors_say_so_and_the_domain_stays),
        NAMED_CASE(descriptors__none_left_for_a_follower_that_was_lapped__it_serves_when_there_are),
        NAMED_CASE(clone__of_a_leader_that_was_killed__keeps_the_lead_until_it_ends),
        NAMED_CASE(fork__without_handlers__the_lead_is_free_once_it_executes_a_program),
        NAMED_CASE(affinity__caller_is_pinned__the_librarys_threads_are_not),
        NAMED_CASE(directory__is_not_there__the_text_says_so),
        NAMED_CASE(core_dump__left_out_unless_asked_for),
    };
    return cmocka_run_group_tests_name("environment", tests, NULL, NULL);
}
