/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a program does to its own process while it has a domain open, or before: it closes all descriptors and opens its own, changes its
 * root, runs as another user than the real one, may start no thread more. None of that is an answer to a question about the domain.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "tests/lib/forked.h"
#include "tests/lib/told.h"

#define MIB (UINT64_C(1) << 20)
#define OWN_FILES 16 /* more than the library has descriptors */
#define OTHER_USER 54321
#define NAP_US 1000

static size_t stack_of_a_library_thread; /* of one that has told something */

static void note_with_stack(void *ctx, enum tide_log_level level, const char *text) {
#ifdef __GLIBC__
    pthread_attr_t attr;
    if (gettid() != getpid() && pthread_getattr_np(pthread_self(), &attr) == 0) {
        (void)pthread_attr_getstacksize(&attr, &stack_of_a_library_thread);
        pthread_attr_destroy(&attr);
    }
#endif
    told_note(ctx, level, text);
}

static int start(struct tide *d, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = role;
    o.candidate = 1;
    return tide_replica_start(d, &o, NULL);
}

static int get(struct tide *d, const char *key) {
    struct tide_reader *r;
    char v[8];
    int error = tide_reader_open(d, NULL, &r);
    if (error == 0) {
        error = tide_get(r, key, strlen(key), NULL, v, sizeof(v), NULL);
        (void)tide_reader_close(r);
    }
    return error;
}

/* A child has come so far, and has not ended before. The test's own end of the pipe for writing is closed. */
static void hear(int from) {
    char byte;
    assert_int_equal(read(from, &byte, 1), 1);
}

/* Root alone. What another user leaves there goes with the child. */
static void in_private_shm(const char *options) {
    if (geteuid() != 0 || unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", "/dev/shm", "tmpfs", 0, options) != 0 || unsetenv("TIDE_SHM_DIR") != 0) {
        _exit(77);
    }
}

/* ---- descriptors that the program closes ----------------------------------------------------------------------------- */

/* Close all but the standard ones and `kept`, as a daemon that begins late does. */
static void close_all_but(int kept) {
    for (int fd = 3; fd < 64; fd++) {
        if (fd != kept) {
            (void)close(fd);
        }
    }
}

/* Files of the program's own, without names, where the library's were. */
static void open_own_files(ino_t own[OWN_FILES]) {
    for (int i = 0; i < OWN_FILES; i++) {
        char path[] = "/tmp/tidemark-own-XXXXXX";
        struct stat st;
        int fd = mkstemp(path);
        CHILD(fd >= 3 && unlink(path) == 0 && fstat(fd, &st) == 0);
        own[i] = st.st_ino;
    }
}

static int own_files_open(const ino_t own[OWN_FILES]) {
    int open = 0;
    for (int fd = 3; fd < 64; fd++) {
        struct stat st;
        for (int i = 0; i < OWN_FILES; i++) {
            open += fstat(fd, &st) == 0 && st.st_ino == own[i];
        }
    }
    return open;
}

/* Leads; another process follows. */
static void lead_without_own_descriptors(int said, bool with_files) {
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    CHILD(tide_open(&d, name, &o) == 0 && start(d, TIDE_LEADER) == 0 && start(d, TIDE_FOLLOWER) == 0);
    CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
    child_say(said);
    char byte;
    CHILD(read(STDIN_FILENO, &byte, 1) == 1); /* the other one follows */
    ino_t own[OWN_FILES];
    close_all_but(said);
    if (with_files) {
        open_own_files(own);
    }
    while (strstr(told, "another part of this program closed descriptor") == NULL) {
        usleep(NAP_US);
    }
    CHILD(tide_put(d, NULL, "k2", 2, "v", 1, NULL) == 0 && get(d, "k2") == 0);
    uint32_t freed = 99;
    CHILD(tide_gc(d, &freed) == 0 && freed == 0); /* locks on those files say nothing about the other member */
    CHILD(tide_step_down(d) == 0 && tide_put(d, NULL, "k3", 2, "v", 1, NULL) == 0);
    child_say(said);
    CHILD(read(STDIN_FILENO, &byte, 1) == 1);
    CHILD(tide_close(d) == 0);
    CHILD(!with_files || own_files_open(own) == OWN_FILES);
    _exit(0);
}

static void leader_without_own_descriptors(bool with_files) {
    int say[2], go[2];
    assert_int_equal(pipe2(say, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        CHILD(dup2(go[0], STDIN_FILENO) == STDIN_FILENO);
        lead_without_own_descriptors(say[1], with_files);
    }
    close(say[1]);
    hear(say[0]);
    struct tide *d;
    struct tide_opts o = told_opts(0);
    assert_int_equal(tide_open(&d, name, &o), 0);
    struct tide_replica_opts follower = TIDE_REPLICA_OPTS_INIT;
    uint32_t id = 99;
    assert_int_equal(tide_replica_start(d, &follower, &id), 0);
    assert_int_equal(write(go[1], "!", 1), 1);
    hear(say[0]);
    struct tide_token token;
    assert_int_equal(tide_put(d, NULL, "k4", 2, "v", 1, &token), 0);
    assert_int_equal(tide_wait_applied(d, &token, 3, TIDE_UNBOUNDED), 0);
    assert_int_equal(get(d, "k3"), 0);
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    assert_int_equal(tide_replica_info(d, id, &info), 0);
    assert_int_equal(info.state, TIDE_STATE_SERVING);
    assert_int_equal(write(go[1], "!", 1), 1);
    child_end(pid);
    /* It closed the handle, so the lead is free. */
    int error;
    while ((error = tide_replica_stop(d, id)) == 0 && (error = start(d, TIDE_LEADER)) == TIDE_ERR_BUSY) {
        usleep(NAP_US);
    }
    assert_int_equal(error, 0);
    assert_int_equal(tide_close(d), 0);
    close(say[0]);
    close(go[0]);
    close(go[1]);
}

static void descriptors__closed_by_the_program__the_domain_goes_on(void **state) {
    (void)state;
    child_threads_needed();
    leader_without_own_descriptors(false);
}

static void descriptors__closed_by_the_program_and_used_anew__its_files_are_left_alone(void **state) {
    (void)state;
    child_threads_needed();
    leader_without_own_descriptors(true);
}

/* A domain that is removed meanwhile is noticed all the same. */
static void descriptors__closed_by_the_program__a_removal_is_noticed(void **state) {
    (void)state;
    child_threads_needed();
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    int say[2];
    assert_int_equal(pipe2(say, O_CLOEXEC), 0);
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(start(d, TIDE_LEADER), 0);
    assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *other;
        ino_t own[OWN_FILES];
        o = told_opts(0);
        CHILD(tide_open(&other, name, &o) == 0 && get(other, "k") == 0);
        close_all_but(say[1]);
        open_own_files(own);
        CHILD(get(other, "k") == 0);
        child_say(say[1]);
        int error;
        while ((error = get(other, "k")) == 0) {
            usleep(NAP_US);
        }
        CHILD(error == TIDE_ERR_GONE && tide_close(other) == 0 && own_files_open(own) == OWN_FILES);
        _exit(0);
    }
    close(say[1]);
    hear(say[0]);
    assert_int_equal(tide_unlink(name), 0);
    child_end(pid);
    assert_int_equal(tide_close(d), 0);
    close(say[0]);
}

/* ---- another root ---------------------------------------------------------------------------------------------------- */

static void lead_in_another_root(int said) {
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    CHILD(tide_open(&d, name, &o) == 0 && start(d, TIDE_LEADER) == 0 && start(d, TIDE_FOLLOWER) == 0);
    CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
    if (chroot("/proc") != 0) { /* where the path of the segments names nothing */
        _exit(77);
    }
    /* Writes go on over more than one look of the leader whether its domain is still there. */
    for (int i = 0; i < 1500; i++) {
        CHILD(tide_put(d, NULL, "k", 1, "w", 1, NULL) == 0 && get(d, "k") == 0);
        usleep(NAP_US);
    }
    child_say(said);
    char byte;
    CHILD(read(STDIN_FILENO, &byte, 1) == 1);
    CHILD(get(d, "k2") == 0);
    _exit(0);
}

static void root__changed_after_opening__the_domain_is_not_gone(void **state) {
    (void)state;
    int say[2], go[2], status = 0;
    assert_int_equal(pipe2(say, O_CLOEXEC), 0);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        close(say[0]);
        CHILD(dup2(go[0], STDIN_FILENO) == STDIN_FILENO);
        lead_in_another_root(say[1]);
    }
    close(say[1]);
    char byte;
    if (read(say[0], &byte, 1) == 1) {
        struct tide *d;
        struct tide_opts o = told_opts(0);
        assert_int_equal(tide_open(&d, name, &o), 0);
        assert_int_equal(tide_put(d, NULL, "k2", 2, "v", 1, NULL), 0);
        assert_int_equal(write(go[1], "!", 1), 1);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(tide_close(d), 0);
    } else {
        assert_int_equal(waitpid(pid, &status, 0), pid);
    }
    close(say[0]);
    close(go[0]);
    close(go[1]);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- another user ---------------------------------------------------------------------------------------------------- */

/* A set-user-id program: it may read the files, whom it runs for may not. What the dead left is there all the same. */
static void as_set_user_id(void) {
    in_private_shm("size=64m,mode=1777");
    pid_t pid = fork();
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    o.ring_bytes = 64 << 10;
    if (pid == 0) {
        CHILD(setresuid(OTHER_USER, OTHER_USER, OTHER_USER) == 0);
        CHILD(tide_open(&d, name, &o) == 0 && start(d, TIDE_LEADER) == 0);
        char key[16];
        for (int i = 0; i < 4000; i++) { /* more than the ring holds, so that the table is the only whole copy */
            CHILD(tide_put(d, NULL, key, (size_t)snprintf(key, sizeof(key), "k%d", i), "value", 5, NULL) == 0);
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    CHILD(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
    CHILD(setresuid(OTHER_USER + 1, OTHER_USER, OTHER_USER) == 0);
    CHILD(tide_open(&d, name, &o) == 0);
    CHILD(strstr(told, "created anew") == NULL);
    CHILD(start(d, TIDE_LEADER) == 0 && get(d, "k0") == 0 && get(d, "k3999") == 0);
    CHILD(tide_close(d) == 0 && tide_unlink(name) == 0);
    _exit(0);
}

static void real_user__may_not_read_the_files__what_the_dead_left_stays(void **state) {
    (void)state;
    child_threads_needed();
    pid_t pid = child_begin();
    if (pid == 0) {
        as_set_user_id();
    }
    child_end_or_skip(pid);
}

/* ---- no thread more -------------------------------------------------------------------------------------------------- */

/* A domain with a leader and a follower that take over, where so many processes and threads may be. */
static bool with_so_many_threads(rlim_t most) {
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    struct rlimit few;
    CHILD(getrlimit(RLIMIT_NPROC, &few) == 0);
    few.rlim_cur = most;
    CHILD(setrlimit(RLIMIT_NPROC, &few) == 0);
    int error = tide_open(&d, name, &o);
    if (error == 0) {
        struct tide_info info = TIDE_INFO_INIT;
        error = start(d, TIDE_LEADER);
        CHILD(tide_info(d, &info) == 0 && (error == 0) == (info.led != 0)); /* nothing runs after an error */
        error = error != 0 ? error : start(d, TIDE_FOLLOWER);
        CHILD(tide_close(d) == 0);
    }
    if (error == 0) {
        CHILD(tide_unlink(name) == 0);
        return true;
    }
    CHILD(error == TIDE_ERR_NOMEM);
    CHILD(strstr(told, "cannot start a thread") != NULL && strstr(told, "ulimit -u") != NULL);
    o.flags = 0;
    CHILD(tide_open(&d, name, &o) == TIDE_ERR_NO_DOMAIN); /* what could not be made left nothing */
    return false;
}

static void threads__none_can_be_started__the_text_says_so_and_nothing_is_left(void **state) {
    (void)state;
    child_threads_needed();
    pid_t pid = child_begin();
    if (pid == 0) {
        bool enough = false;
        in_private_shm("size=64m,mode=1777");
        CHILD(setresuid(OTHER_USER, OTHER_USER, OTHER_USER) == 0);
        for (rlim_t most = 1; !enough; most++) {
            CHILD(most < 64);
            enough = with_so_many_threads(most);
        }
        _exit(0);
    }
    child_end_or_skip(pid);
}

static void allow_threads(bool more) {
    struct rlimit l;
    CHILD(getrlimit(RLIMIT_NPROC, &l) == 0);
    l.rlim_cur = more ? l.rlim_max : 1;
    CHILD(setrlimit(RLIMIT_NPROC, &l) == 0);
}

static struct tide *candidate(enum tide_role role) {
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    CHILD(tide_open(&d, name, &o) == 0 && start(d, role) == 0);
    return d;
}

/* Takes the lead when it is handed over, writes, and ends when it is told to. */
static void lead_second(int go, int said) {
    child_hear(go);
    struct tide *d = candidate(TIDE_FOLLOWER);
    child_say(said);
    child_hear(go);
    struct tide_info info = TIDE_INFO_INIT;
    do {
        usleep(NAP_US);
        CHILD(tide_info(d, &info) == 0);
    } while (info.led == 0 || strstr(told, "leads, term") == NULL);
    CHILD(tide_put(d, NULL, "second", 6, "v", 1, NULL) == 0);
    child_say(said);
    child_hear(go);
    CHILD(tide_close(d) == 0);
    _exit(0);
}

static void hand_over_without_a_thread(void) {
    int go[2], said[2], status;
    CHILD(pipe(go) == 0 && pipe(said) == 0);
    in_private_shm("size=64m,mode=1777");
    CHILD(setresuid(OTHER_USER, OTHER_USER, OTHER_USER) == 0);
    pid_t second = fork();
    if (second == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        lead_second(go[0], said[1]);
    }
    struct tide *d = candidate(TIDE_LEADER);
    struct tide_replica_info own = TIDE_REPLICA_INFO_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    child_say(go[1]);
    child_hear(said[0]);
    allow_threads(false);
    CHILD(tide_step_down(d) == 0);
    while (strstr(told, "it has no thread to apply the log: tries again") == NULL ||
           strstr(told, "cannot start a thread") == NULL) {
        usleep(NAP_US);
    }
    child_say(go[1]);
    child_hear(said[0]);
    CHILD(tide_info(d, &info) == 0);
    uint64_t commit = info.commit_index;
    CHILD(tide_replica_info(d, 0, &own) == 0 && own.applied_index < commit);
    allow_threads(true);
    while (own.applied_index < commit) {
        usleep(NAP_US);
        CHILD(tide_replica_info(d, 0, &own) == 0 && own.state == TIDE_STATE_SERVING);
    }
    child_say(go[1]);
    CHILD(waitpid(second, &status, 0) == second && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHILD(tide_close(d) == 0 && tide_unlink(name) == 0);
    _exit(0);
}

/* It handed over, and its replica would have served what was, for ever. */
static void threads__none_for_a_replica_that_led__it_says_so_and_follows_later(void **state) {
    (void)state;
    child_threads_needed();
    pid_t pid = child_begin();
    if (pid == 0) {
        hand_over_without_a_thread();
    }
    child_end_or_skip(pid);
}

/* ---- no file more ---------------------------------------------------------------------------------------------------- */

static void files__file_system_has_them_all__the_text_says_so(void **state) {
    (void)state;
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_opts o = told_opts(TIDE_CREATE);
        in_private_shm("size=64m,mode=1777,nr_inodes=3");
        CHILD(tide_open(&d, name, &o) == 0 && start(d, TIDE_LEADER) == 0);
        CHILD(start(d, TIDE_FOLLOWER) == TIDE_ERR_NO_SPACE);
        CHILD(strstr(told, "/dev/shm/ may have 3 files (inodes), and has them all") != NULL &&
              strstr(told, "nr_inodes") != NULL);
        CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0 && tide_close(d) == 0);
        _exit(0);
    }
    child_end_or_skip(pid);
}

/* A follower that has to join anew, and may not make files of a table's size just then. */
static void follow_with_small_files(int said) {
    struct tide *d;
#ifdef __GLIBC__
    pthread_attr_t small; /* as 'ulimit -s' has it: the library's threads have more all the same */
    CHILD(pthread_attr_init(&small) == 0 && pthread_attr_setstacksize(&small, (size_t)64 << 10) == 0);
    CHILD(HELP_ADDRESS_SANITIZER || pthread_setattr_default_np(&small) == 0);
#endif
    struct tide_opts o = told_opts(0);
    o.log = note_with_stack;
    CHILD(tide_open(&d, name, &o) == 0 && tide_replica_start(d, NULL, NULL) == 0);
    child_say(said);
    while (strstr(told, "could not join anew") == NULL || strstr(told, "limit of a file's size") == NULL) {
        usleep(NAP_US);
    }
#ifdef __GLIBC__
    CHILD(stack_of_a_library_thread >= (size_t)256 << 10);
#endif
    child_say(said);
    for (;;) {
        pause();
    }
}

static void set_file_size(pid_t pid, rlim_t most) {
    struct rlimit l;
    assert_int_equal(prlimit(pid, RLIMIT_FSIZE, NULL, &l), 0);
    l.rlim_cur = most < l.rlim_max ? most : l.rlim_max;
    assert_int_equal(prlimit(pid, RLIMIT_FSIZE, &l, NULL), 0);
}

static void file_size_limit__of_a_follower_that_was_lapped__it_says_why_and_serves_later(void **state) {
    (void)state;
    child_threads_needed();
    int say[2], status;
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    o.ring_bytes = 64 << 10;
    assert_int_equal(pipe2(say, O_CLOEXEC), 0);
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(start(d, TIDE_LEADER), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        follow_with_small_files(say[1]);
    }
    close(say[1]);
    hear(say[0]);
    set_file_size(pid, 4096);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    static const char value[4096];
    for (int i = 0; i < 64; i++) {
        assert_int_equal(tide_put(d, NULL, "k", 1, value, sizeof(value), NULL), 0);
    }
    assert_int_equal(kill(pid, SIGCONT), 0);
    hear(say[0]);
    set_file_size(pid, RLIM_INFINITY);
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    while (tide_replica_info(d, 1, &info) != 0 || info.state != TIDE_STATE_SERVING) {
        assert_int_not_equal(info.state, TIDE_STATE_FAILED);
        usleep(NAP_US);
    }
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(tide_close(d), 0);
    close(say[0]);
}

/* ---- a small stack ----------------------------------------------------------------------------------------------------- */

#define SMALL_STACK ((size_t)48 << 10) /* docs/embedding.md says how much a thread needs */

/* Every kind of call, in a thread with a small stack. Sizes of frames are the same whatever the calls answer. */
static void *call_all(void *arg) {
    struct tide *d = arg, *again;
    static char value[200000]; /* over what a lane holds, so that it goes by a file */
    char v[8];
    struct tide_opts o = told_opts(0);
    struct tide_reader *r;
    struct tide_watch *watch;
    struct tide_watch_opts watch_opts = TIDE_WATCH_OPTS_INIT;
    struct tide_info info = TIDE_INFO_INIT;
    struct tide_replica_info replica_info = TIDE_REPLICA_INFO_INIT;
    struct tide_verify verify = TIDE_VERIFY_INIT;
    uint32_t id = 99;
    bool good = tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0 && tide_replica_start(d, NULL, &id) == 0;
    good = good && tide_reader_open(d, NULL, &r) == 0 && tide_get(r, "k", 1, NULL, v, sizeof(v), NULL) == 0;
    good = good && tide_reader_close(r) == 0;
    good = good && tide_open(&again, name, &o) == 0;
    good = good && tide_put(again, NULL, "big", 3, value, sizeof(value), NULL) == 0 && get(again, "k") == 0;
    good = good && tide_watch_open(again, &watch_opts, &watch) == 0 && tide_watch_close(watch) == 0;
    good = good && tide_info(again, &info) == 0 && tide_replica_info(again, id, &replica_info) == 0;
    good = good && tide_verify(again, &verify) == 0 && verify.damaged == 0 && tide_gc(again, NULL) == 0;
    good = good && tide_ping(again, TIDE_UNBOUNDED) == 0 && tide_close(again) == 0 && tide_replica_stop(d, id) == 0;
    return good ? arg : NULL;
}

static void call_all_with_a_small_stack(void) {
    struct tide *d;
    struct tide_opts o = told_opts(TIDE_CREATE);
    o.table_bytes = 4 * MIB;
    pthread_t thread;
    pthread_attr_t attr;
    void *answer;
    CHILD(pthread_attr_init(&attr) == 0 && pthread_attr_setstacksize(&attr, SMALL_STACK) == 0);
    CHILD(tide_open(&d, name, &o) == 0 && start(d, TIDE_LEADER) == 0);
    CHILD(pthread_create(&thread, &attr, call_all, d) == 0 && pthread_join(thread, &answer) == 0);
    CHILD(answer == d);
    CHILD(tide_close(d) == 0);
    _exit(0);
}

static void stack__of_48_kib__every_call_fits(void **state) {
    (void)state;
    if (HELP_ADDRESS_SANITIZER || HELP_THREAD_SANITIZER) {
        print_message("skipped: sanitizers need larger frames\n");
        skip();
    }
    pid_t pid = child_begin();
    if (pid == 0) {
        call_all_with_a_small_stack();
    }
    child_end(pid);
}

/* ---- no handle more ---------------------------------------------------------------------------------------------------- */

static void handles__all_are_attached__the_text_says_how_many(void **state) {
    (void)state;
    pid_t pid = child_begin();
    if (pid == 0) {
        enum { MOST = 512 };
        static struct tide *d[MOST + 1];
        struct tide_opts o = told_opts(TIDE_CREATE);
        o.ring_bytes = 64 << 10;
        struct rlimit files;
        CHILD(getrlimit(RLIMIT_NOFILE, &files) == 0);
        files.rlim_cur = files.rlim_max;
        CHILD(setrlimit(RLIMIT_NOFILE, &files) == 0);
        for (int i = 0; i < MOST; i++) {
            CHILD(tide_open(&d[i], name, &o) == 0);
        }
        CHILD(tide_open(&d[MOST], name, &o) == TIDE_ERR_SLOTS);
        CHILD(strstr(told, "512 handles are attached already, each a member: close some") != NULL);
        CHILD(tide_close(d[0]) == 0 && tide_open(&d[MOST], name, &o) == 0);
        _exit(0);
    }
    child_end(pid);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(descriptors__closed_by_the_program__the_domain_goes_on),
        NAMED_CASE(descriptors__closed_by_the_program_and_used_anew__its_files_are_left_alone),
        NAMED_CASE(descriptors__closed_by_the_program__a_removal_is_noticed),
        NAMED_CASE(root__changed_after_opening__the_domain_is_not_gone),
        NAMED_CASE(real_user__may_not_read_the_files__what_the_dead_left_stays),
        NAMED_CASE(threads__none_can_be_started__the_text_says_so_and_nothing_is_left),
        NAMED_CASE(threads__none_for_a_replica_that_led__it_says_so_and_follows_later),
        NAMED_CASE(file_size_limit__of_a_follower_that_was_lapped__it_says_why_and_serves_later),
        NAMED_CASE(stack__of_48_kib__every_call_fits),
        NAMED_CASE(handles__all_are_attached__the_text_says_how_many),
        NAMED_CASE(files__file_system_has_them_all__the_text_says_so),
    };
    return cmocka_run_group_tests_name("process", tests, NULL, NULL);
}
