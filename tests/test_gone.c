/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A domain that is taken away, or replaced, under its members' feet: leaders, writers, and those that only read. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "shm/crc.h"
#include "shm/layout.h"
#include "tests/crash_world.h"
#include "tests/lib/forked.h"
#include "tests/lib/help.h"

static struct tide *open_here(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = 256 << 10;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

static int get(struct tide_reader *r, const struct tide_bound *bound) {
    char buf[8];
    return tide_get(r, "k", 1, bound, buf, sizeof(buf), NULL);
}

/* Reads until they fail; the watchdog ends what never does. In bursts: the look that ends it comes once a second. */
static int read_until_it_fails(struct tide_reader *r) {
    int error;
    for (unsigned i = 1; (error = get(r, NULL)) == 0; i++) {
        if (i % 256 == 0) {
            crash_nap_us(500);
        }
    }
    return error;
}

/* ---- readers ------------------------------------------------------------------------------------------------------------- */

/* Every way of reading gives the same answer, also to a caller who was waiting. */
static void assert_reads_gone(struct tide *d, struct tide_reader *r) {
    struct tide_bound stale = TIDE_BOUND_INIT, patient = TIDE_BOUND_INIT;
    struct tide_mget_item item = { .key = "k", .key_len = 1 };
    struct tide_reader *another;
    struct tide_verify verify = TIDE_VERIFY_INIT;
    stale.max_staleness_ns = TIDE_UNBOUNDED;
    stale.fallback = TIDE_FALLBACK_STALE;
    patient.fallback = TIDE_FALLBACK_WAIT;
    patient.wait_ns = TIDE_UNBOUNDED;
    assert_int_equal(get(r, NULL), TIDE_ERR_GONE);
    assert_int_equal(get(r, &stale), TIDE_ERR_GONE);
    assert_int_equal(get(r, &patient), TIDE_ERR_GONE);
    assert_int_equal(tide_mget(r, &item, 1, NULL, NULL), TIDE_ERR_GONE);
    assert_int_equal(tide_section_begin(r, NULL, NULL), TIDE_ERR_GONE);
    assert_int_equal(tide_reader_open(d, NULL, &another), TIDE_ERR_GONE);
    assert_int_equal(tide_put(d, r, "k", 1, "v", 1, NULL), TIDE_ERR_GONE);
    assert_int_equal(tide_verify(d, &verify), TIDE_ERR_GONE);
    assert_int_equal(tide_gc(d, NULL), TIDE_ERR_GONE);
}

/* Three handles of one process: one leads, one has a follower, one has nothing and reads the others'. */
static void handles(struct tide *d[3], struct tide_reader *r[3]) {
    for (int i = 0; i < 3; i++) {
        d[i] = open_here();
    }
    help_leader(d[0]);
    help_follower(d[1], 0);
    struct tide_token token;
    assert_int_equal(tide_put(d[0], NULL, "k", 1, "v", 1, &token), 0);
    assert_int_equal(tide_wait_applied(d[0], &token, 2, TIDE_UNBOUNDED), 0);
    for (int i = 0; i < 3; i++) {
        r[i] = help_reader(d[i], TIDE_STICKY, i == 2 ? 0 : i, 0);
        assert_int_equal(get(r[i], NULL), 0);
    }
}

static void close_handles(struct tide *d[3], struct tide_reader *r[3]) {
    for (int i = 2; i >= 0; i--) {
        assert_int_equal(tide_reader_close(r[i]), 0);
        assert_int_equal(tide_close(d[i]), 0);
    }
}

/* Before anybody has noticed: the tables are missing, and that is no damage. */
static void domain__removed_a_moment_ago__verify_says_gone(void **state) {
    (void)state;
    struct tide *d[3];
    struct tide_reader *r[3];
    struct tide_verify verify = TIDE_VERIFY_INIT;
    handles(d, r);
    struct tide *looks = open_here(); /* has mapped none of the tables */
    assert_int_equal(tide_unlink(name), 0);
    assert_int_equal(tide_verify(looks, &verify), TIDE_ERR_GONE);
    assert_int_equal(verify.damaged, 0);
    assert_int_equal(tide_close(looks), 0);
    close_handles(d, r);
}

/* As a member leaves it that makes a table while the domain is removed, and is killed: tide_unlink() of the domain that has the name by then
 * takes it along. */
static void table__of_a_domain_that_was_removed_before__goes_with_the_next(void **state) {
    (void)state;
    const char *dir = getenv("TIDE_SHM_DIR");
    char table[512], aside[512], stray[512];
    dir = dir != NULL ? dir : "/dev/shm";
    snprintf(table, sizeof(table), "%s/tidemark.%s.r0", dir, name);
    snprintf(aside, sizeof(aside), "%s/aside.%s", dir, name);
    snprintf(stray, sizeof(stray), "%s/tidemark.%s.r9", dir, name);
    struct tide *d = open_here();
    help_leader(d);
    assert_int_equal(link(table, aside), 0);
    assert_int_equal(tide_unlink(name), 0);
    assert_int_equal(tide_close(d), 0);
    assert_int_equal(rename(aside, stray), 0);
    d = open_here();
    help_leader(d);
    assert_int_equal(tide_unlink(name), 0);
    assert_int_equal(crash_files(name), 0);
    assert_int_equal(tide_close(d), 0);
}

static void removed__under_readers__they_are_told_gone(void **state) {
    (void)state;
    struct tide *d[3];
    struct tide_reader *r[3];
    handles(d, r);
    assert_int_equal(tide_unlink(name), 0);
    for (int i = 2; i >= 0; i--) { /* the one that leads last: no write has asked for it */
        assert_int_equal(read_until_it_fails(r[i]), TIDE_ERR_GONE);
        assert_reads_gone(d[i], r[i]);
    }
    close_handles(d, r);
    assert_int_equal(crash_files(name), 0);
}

static void replaced__under_readers__they_are_told_gone_and_the_new_one_is_read(void **state) {
    (void)state;
    struct tide *d[3];
    struct tide_reader *r[3];
    handles(d, r);
    assert_int_equal(tide_unlink(name), 0);
    struct tide *fresh = open_here();
    help_leader(fresh);
    struct tide_reader *reader = help_reader(fresh, TIDE_STICKY, 0, 0);
    assert_int_equal(tide_put(fresh, NULL, "k", 1, "new", 3, NULL), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(read_until_it_fails(r[i]), TIDE_ERR_GONE);
        assert_reads_gone(d[i], r[i]);
    }
    close_handles(d, r);
    assert_int_equal(get(reader, NULL), 0);
    assert_int_equal(tide_put(fresh, NULL, "k", 1, "newer", 5, NULL), 0);
    assert_int_equal(tide_reader_close(reader), 0);
    assert_int_equal(tide_close(fresh), 0);
}

/* A section that is open promises its index until it ends; the next one cannot be had. */
static void removed__while_a_section_is_open__it_stays_whole(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
    struct tide_reader *held = help_reader(d, TIDE_STICKY, 0, 0), *r = help_reader(d, TIDE_STICKY, 0, 0);
    char buf[8];
    assert_int_equal(tide_section_begin(held, NULL, NULL), 0);
    assert_int_equal(tide_unlink(name), 0);
    assert_int_equal(read_until_it_fails(r), TIDE_ERR_GONE);
    assert_int_equal(tide_section_get(held, "k", 1, buf, sizeof(buf), NULL, NULL), 0);
    assert_int_equal(tide_section_end(held), 0);
    assert_int_equal(tide_section_begin(held, NULL, NULL), TIDE_ERR_GONE);
    assert_int_equal(tide_reader_close(held), 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* A process of its own: it says when it has read, and reads on until it is told that there is nothing to read any more. */
static pid_t reading_child(bool own_replica, int go, int told) {
    pid_t pid = child_begin();
    if (pid != 0) {
        return pid;
    }
    char byte;
    struct tide *d;
    struct tide_reader *r;
    CHILD(read(go, &byte, 1) == 1);
    CHILD(tide_open(&d, name, NULL) == 0);
    CHILD(!own_replica || tide_replica_start(d, NULL, NULL) == 0);
    CHILD(tide_reader_open(d, NULL, &r) == 0);
    CHILD(get(r, NULL) == 0);
    CHILD(write(told, "!", 1) == 1);
    CHILD(read_until_it_fails(r) == TIDE_ERR_GONE);
    CHILD(tide_reader_close(r) == 0 && tide_close(d) == 0);
    _exit(0);
}

static void removed__under_reading_processes__they_are_told_gone(void **state) {
    (void)state;
    int go[2], told[2];
    char bytes[2];
    pid_t pids[2];
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(told), 0);
    for (int i = 0; i < 2; i++) { /* before this process has threads: ThreadSanitizer follows them then */
        pids[i] = reading_child(i == 1, go[0], told[1]);
    }
    close(told[1]); /* so that the reads end also when they died before they could tell */
    struct tide *d = open_here();
    help_leader(d);
    assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
    assert_int_equal(write(go[1], "!!", 2), 2);
    assert_int_equal(read(told[0], &bytes[0], 1), 1);
    assert_int_equal(read(told[0], &bytes[1], 1), 1);
    assert_int_equal(tide_unlink(name), 0);
    child_end(pids[0]);
    child_end(pids[1]);
    assert_int_equal(tide_close(d), 0);
    assert_int_equal(crash_files(name), 0);
    close(go[0]);
    close(go[1]);
    close(told[0]);
}

/* Nobody leads, nobody writes, and readers read the replica that a dead process left. */
static void removed__when_all_others_are_dead__the_last_reader_is_told_gone(void **state) {
    (void)state;
    int told[2];
    char byte;
    assert_int_equal(pipe(told), 0);
    pid_t pid = child_that_serves(TIDE_LEADER, -1, told[1]);
    close(told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    struct tide *d = open_here();
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(get(r, NULL), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(get(r, NULL), 0);
    assert_int_equal(tide_unlink(name), 0);
    assert_int_equal(read_until_it_fails(r), TIDE_ERR_GONE);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
    close(told[0]);
}

/* The replica that it reads is another handle's, which stays open. */
static void tide_close__under_a_reader_of_anothers_replica__it_is_told_closed(void **state) {
    (void)state;
    struct tide *d[3];
    struct tide_reader *r[3];
    handles(d, r);
    assert_int_equal(tide_close(d[2]), 0);
    assert_int_equal(get(r[2], NULL), TIDE_ERR_CLOSED);
    assert_int_equal(tide_reader_close(r[2]), 0);
    for (int i = 1; i >= 0; i--) {
        assert_int_equal(get(r[i], NULL), 0);
        assert_int_equal(tide_reader_close(r[i]), 0);
        assert_int_equal(tide_close(d[i]), 0);
    }
}

/* ---- leaders and writers --------------------------------------------------------------------------------------------------- */

static void *put_large(void *ctx) {
    struct tide *d = ctx;
    static uint8_t value[100000];
    return (void *)(intptr_t)tide_put(d, NULL, "large", 5, value, sizeof(value), NULL);
}

/* A leader elsewhere is stopped, and a request that does not fit into its lane waits for it in a file. */
struct large {
    struct tide *d;
    pid_t leader;
    pthread_t writer;
    char file[512];
};

static struct large large_waits(void) {
    struct large l = { .file = "" };
    struct tide_opts o = TIDE_OPTS_INIT;
    const char *dir = getenv("TIDE_SHM_DIR");
    int told[2];
    char byte;
    assert_int_equal(pipe(told), 0);
    l.leader = child_that_serves(TIDE_LEADER, -1, told[1]);
    close(told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    close(told[0]);
    o.write_timeout_ns = UINT64_C(60000000000);
    assert_int_equal(tide_open(&l.d, name, &o), 0);
    assert_int_equal(kill(l.leader, SIGSTOP), 0);
    assert_int_equal(waitpid(l.leader, NULL, WUNTRACED), l.leader);
    assert_int_equal(pthread_create(&l.writer, NULL, put_large, l.d), 0);
    for (unsigned lane = 0; lane == 0 || access(l.file, F_OK) != 0; lane++) {
        snprintf(l.file, sizeof(l.file), "%s/tidemark.%s.l%u", dir != NULL ? dir : "/dev/shm", name, lane % 64);
        crash_nap_us(10);
    }
    return l;
}

static int large_ends(struct large *l) {
    void *error;
    assert_int_equal(kill(l->leader, SIGCONT), 0);
    assert_int_equal(pthread_join(l->writer, &error), 0);
    assert_int_equal(tide_close(l->d), 0);
    kill(l->leader, SIGKILL);
    assert_int_equal(waitpid(l->leader, NULL, 0), l->leader);
    return (int)(intptr_t)error;
}

/* The file goes with the domain before the leader has read it. */
static void removed__while_a_large_request_waits__its_writer_is_told_gone(void **state) {
    (void)state;
    struct large l = large_waits();
    assert_int_equal(tide_unlink(name), 0);
    assert_int_equal(large_ends(&l), TIDE_ERR_GONE);
}

/* A member of a domain that had the name before puts its own request there. */
static void large_request__replaced_by_another_domains__is_not_done(void **state) {
    (void)state;
    struct large l = large_waits();
    struct segment_header h;
    int fd = open(l.file, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, &h, sizeof(h), 0), sizeof(h));
    h.incarnation++;
    h.crc = crc32c(0, &h, offsetof(struct segment_header, crc));
    assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
    close(fd);
    assert_int_equal(large_ends(&l), TIDE_ERR_TIMEOUT);
}

/* The domain is removed; what the leader is asked from then on is answered GONE within its next look, a second. */
static void removed__under_the_leader__writers_are_told_gone(void **state) {
    (void)state;
    int go[2], told[2];
    char byte;
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(told), 0);
    pid_t pid = child_begin();
    if (pid == 0) { /* a writer elsewhere */
        struct tide *own;
        CHILD(read(go[0], &byte, 1) == 1);
        struct tide_opts o = TIDE_OPTS_INIT;
        o.write_timeout_ns = UINT64_C(60000000000); /* a busy machine is no fault */
        CHILD(tide_open(&own, name, &o) == 0);
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
    struct tide *d = open_here();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_put(d, r, "k", 1, "v", 1, NULL), 0);
    assert_int_equal(write(go[1], "!", 1), 1);
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
    close(go[0]);
    close(go[1]);
    close(told[0]);
}

/* The old domain's members end while a new one of that name is there: its files stay. */
static void replaced__old_members_close__the_new_domain_keeps_its_files(void **state) {
    (void)state;
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t pid = child_begin();
    if (pid == 0) { /* maps the new replicas */
        struct tide *own;
        struct tide_reader *r;
        char byte;
        CHILD(read(go[0], &byte, 1) == 1);
        CHILD(tide_open(&own, name, NULL) == 0 && tide_reader_open(own, NULL, &r) == 0);
        CHILD(get(r, NULL) == 0);
        _exit(0);
    }
    struct tide *old = open_here();
    help_leader(old);
    help_follower(old, 0);
    assert_int_equal(tide_unlink(name), 0);
    struct tide *d = open_here();
    help_leader(d);
    help_follower(d, 0);
    assert_int_equal(tide_put(d, NULL, "k", 1, "new", 3, NULL), 0);
    unsigned files = crash_files(name);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    assert_int_equal(tide_replica_start(old, &o, NULL), TIDE_ERR_GONE);
    assert_int_equal(tide_replica_stop(old, 1), 0);
    int error = tide_gc(old, NULL);
    assert_true(error == 0 || error == TIDE_ERR_GONE); /* it may have been noticed by now */
    assert_int_equal(tide_close(old), 0);
    assert_int_equal(crash_files(name), files);
    assert_int_equal(write(go[1], "!", 1), 1);
    child_end(pid);
    assert_int_equal(tide_close(d), 0);
    close(go[0]);
    close(go[1]);
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
        struct help_rng rng = { seed + p };
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
    help_start(60);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(domain__removed_a_moment_ago__verify_says_gone),
        NAMED_CASE(table__of_a_domain_that_was_removed_before__goes_with_the_next),
        NAMED_CASE(removed__under_readers__they_are_told_gone),
        NAMED_CASE(replaced__under_readers__they_are_told_gone_and_the_new_one_is_read),
        NAMED_CASE(removed__while_a_section_is_open__it_stays_whole),
        NAMED_CASE(removed__under_reading_processes__they_are_told_gone),
        NAMED_CASE(removed__when_all_others_are_dead__the_last_reader_is_told_gone),
        NAMED_CASE(tide_close__under_a_reader_of_anothers_replica__it_is_told_closed),
        NAMED_CASE(removed__while_a_large_request_waits__its_writer_is_told_gone),
        NAMED_CASE(large_request__replaced_by_another_domains__is_not_done),
        NAMED_CASE(removed__under_the_leader__writers_are_told_gone),
        NAMED_CASE(replaced__old_members_close__the_new_domain_keeps_its_files),
        NAMED_CASE(removed__by_some_while_others_open_it__errors_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
