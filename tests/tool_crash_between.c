/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two processes and one instant between them, in a build with kill points (engine/table/kill.h): one dies there, or stands still while the
 * other goes on. tool_crash.c kills at every instant, but leaves to chance where the other processes are; here the case says it.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/table/kill.h"
#include "engine/replica/replica.h"
#include "engine/log/sequencer.h"
#include "tests/crash_world.h"
#include "shm/crc.h"
#include "tests/lib/forked.h"

/* Two replicas serve, at the same index, with the same bytes, and nothing is left of the process that died. */
static void assert_two_equal(struct tide *d) {
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_gc(d, NULL), 0);
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    struct tide_token token = { .incarnation = info.incarnation, .index = info.commit_index };
    assert_int_equal(tide_wait_applied(d, &token, 2, TIDE_UNBOUNDED), 0);
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.replicas, 2);
    assert_int_equal(v.compared, 2);
    assert_int_equal(v.differing, 0);
    assert_int_equal(v.damaged, 0);
}

struct talk {
    int go[2], told[2];
};

static void talk_open(struct talk *t) {
    assert_int_equal(pipe(t->go), 0);
    assert_int_equal(pipe(t->told), 0);
}

/* So that a read ends also when the child died before it could tell. */
static void talk_leave_to_child(struct talk *t) {
    close(t->go[0]);
    close(t->told[1]);
}

static void talk_close(struct talk *t) {
    close(t->go[1]);
    close(t->told[0]);
}

static void await(const struct talk *t) {
    char byte;
    assert_int_equal(read(t->told[0], &byte, 1), 1);
}

static void tell(const struct talk *t) {
    assert_int_equal(write(t->go[1], "!", 1), 1);
}

/* ---- a leader dies when it has taken the mark of the sleepers back, and has not woken them ----------------------------------- */

static pid_t leader_that_dies(const struct talk *t) {
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d = child_open();
        child_replica(d, TIDE_LEADER);
        CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
        child_say(t->told[1]);
        child_hear(t->go[0]);
        CHILD(setenv("TIDE_KILL", "seq.unparked", 1) == 0);
        tide_put(d, NULL, "k", 1, "w", 1, NULL);
        _exit(1);
    }
    return pid;
}

static bool thread_sleeps(const char *process, const char *thread) {
    char path[384], stat[512];
    snprintf(path, sizeof(path), "%s/%s/stat", process, thread);
    FILE *f = fopen(path, "r");
    if (f == NULL) {
        return true; /* it has ended */
    }
    size_t n = fread(stat, 1, sizeof(stat), f);
    fclose(f);
    const char *name_end = memrchr(stat, ')', n);
    return name_end != NULL && name_end + 2 < stat + n && name_end[2] == 'S';
}

static bool process_sleeps(pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    bool sleeps = true;
    for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        sleeps = sleeps && (e->d_name[0] == '.' || thread_sleeps(path, e->d_name));
    }
    closedir(dir);
    return sleeps;
}

/* Its follower has announced its sleep, and sleeps. */
static void await_sleep(struct tide *d, pid_t pid) {
    while (atomic_load(&d->log->leader.parked) == 0 || !process_sleeps(pid)) {
        crash_nap_us(1000);
    }
}

static void leader_dies_between_mark_and_wake__the_next_one_wakes_the_sleepers(void **state) {
    (void)state;
    struct talk leads, follows;
    int status;
    talk_open(&leads);
    talk_open(&follows);
    pid_t leader = leader_that_dies(&leads);
    talk_leave_to_child(&leads);
    await(&leads);
    pid_t follower = child_that_serves(TIDE_FOLLOWER, -1, follows.told[1]);
    talk_leave_to_child(&follows);
    await(&follows);
    struct tide *d = child_open();
    await_sleep(d, follower);
    tell(&leads);
    assert_int_equal(waitpid(leader, &status, 0), leader);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_int_equal(atomic_load(&d->log->leader.parked), 0);
    assert_int_equal(board_commit(d->log), 2);
    assert_true(process_sleeps(follower)); /* through the commit */

    struct tide_token token;
    child_replica(d, TIDE_LEADER);
    assert_int_equal(tide_put(d, NULL, "k", 1, "x", 1, &token), 0);
    assert_int_equal(tide_wait_applied(d, &token, 2, TIDE_UNBOUNDED), 0);
    assert_two_equal(d);
    kill(follower, SIGKILL);
    assert_int_equal(waitpid(follower, NULL, 0), follower);
    assert_int_equal(tide_close(d), 0);
    talk_close(&leads);
    talk_close(&follows);
}

/* ---- a donor's table doubles while a newcomer copies it ----------------------------------------------------------------------- */

#define OLD_KEYS 400u /* in 64 buckets, which are copied in one go; 512 would be too many for them */

static size_t key_name(char out[24], const char *kind, uint64_t n) {
    return (size_t)snprintf(out, 24, "%s.%llu", kind, (unsigned long long)n);
}

static void put_numbered(struct tide *d, const char *kind, uint64_t n) {
    char key[24];
    CHILD(tide_put(d, NULL, key, key_name(key, kind, n), &n, sizeof(n), NULL) == 0);
}

/* It wrote its keys so long ago that the ring has lost them; when it is told, it doubles its table, and goes on until all that has
 * moved is cleared where it was. */
static pid_t donor_that_doubles(const struct talk *t) {
    pid_t pid = child_begin();
    if (pid != 0) {
        return pid;
    }
    static const char filler[2000];
    struct tide *d = child_open();
    const struct table_writer *w = &atomic_load(&d->running[child_replica(d, TIDE_LEADER)])->writer;
    for (uint64_t i = 0; i < OLD_KEYS; i++) {
        put_numbered(d, "old", i);
    }
    while (atomic_load(&d->log->leader.reclaimed) < d->log->ring_bytes) {
        CHILD(tide_put(d, NULL, "filler", 6, filler, sizeof(filler), NULL) == 0);
    }
    uint64_t before = w->buckets;
    CHILD(before == w->cleared);
    child_say(t->told[1]);
    child_hear(t->go[0]);
    uint64_t keys = 0;
    while (w->buckets < 2 * before) {
        put_numbered(d, "new", keys++);
    }
    while (w->cleared < w->buckets) {
        put_numbered(d, "new", 0);
        crash_nap_us(100); /* for the grace period that each waits for */
    }
    child_say(t->told[1]);
    for (;;) {
        pause();
    }
}

static struct talk donor_talk;
static const char *stop_at;

/* In the newcomer's thread, which stands still until the donor has done it. */
static void let_the_donor_double(const char *point) {
    if (stop_at != NULL && strcmp(point, stop_at) == 0) {
        stop_at = NULL;
        child_say(donor_talk.go[1]);
        child_hear(donor_talk.told[0]);
    }
}

static void assert_has_old_keys(struct tide *d, uint32_t id) {
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)id, UINT64_C(1) << id);
    for (uint64_t i = 0; i < OLD_KEYS; i++) {
        char key[24];
        key[key_name(key, "old", i)] = '\0';
        assert_int_equal(help_get(r, key), i);
    }
    assert_int_equal(tide_reader_close(r), 0);
}

static void join_while_the_donor_doubles(const char *point) {
    talk_open(&donor_talk);
    pid_t donor = donor_that_doubles(&donor_talk);
    talk_leave_to_child(&donor_talk);
    await(&donor_talk);
    struct tide *d = child_open();
    stop_at = point;
    kill_point_seen = let_the_donor_double;
    uint32_t id = child_replica(d, TIDE_FOLLOWER);
    kill_point_seen = NULL;
    assert_null(stop_at);
    assert_int_equal(help_info(d, id).joins, 1); /* copied, and only once */
    assert_two_equal(d);
    assert_has_old_keys(d, id);
    kill(donor, SIGKILL);
    assert_int_equal(waitpid(donor, NULL, 0), donor);
    assert_int_equal(tide_close(d), 0);
    talk_close(&donor_talk);
}

static void join__donor_doubles_before_its_slots_are_copied__nothing_is_missing(void **state) {
    (void)state;
    join_while_the_donor_doubles("join.counted");
}

static void join__donor_doubles_after_its_slots_are_copied__nothing_is_missing(void **state) {
    (void)state;
    join_while_the_donor_doubles("join.slots");
}

/* ---- a writer queues and goes to sleep while a put on its short way has the turn ----------------------------------------------- */

static struct tide *queue_domain;
static pthread_t queue_thread;

static void *put_queued(void *unused) {
    (void)unused;
    assert_int_equal(tide_put(queue_domain, NULL, "queued", 6, "v", 1, NULL), 0);
    return NULL;
}

/* In the thread that has the turn, after the last look that it takes at the queue while it has it. */
static void let_another_queue(const char *point) {
    if (stop_at == NULL || strcmp(point, stop_at) != 0) {
        return;
    }
    stop_at = NULL;
    assert_int_equal(pthread_create(&queue_thread, NULL, put_queued, NULL), 0);
    bool asleep = false;
    while (!asleep) { /* the leader's own sweep may have queued as well */
        for (struct seq_request *q = atomic_load(&queue_domain->seq.queue); q != NULL && !asleep; q = q->next) {
            asleep = atomic_load(&q->done) == SEQ_ASLEEP;
        }
        crash_nap_us(100);
    }
}

static void put__another_has_queued_meanwhile_and_sleeps__is_served(void **state) {
    (void)state;
    struct tide *d = queue_domain = child_open();
    child_replica(d, TIDE_LEADER);
    for (int i = 0; i < 3; i++) { /* the first is new, the second has two versions of a key for the first time */
        assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
    }
    stop_at = "put.done";
    kill_point_seen = let_another_queue;
    assert_int_equal(tide_put(d, NULL, "k", 1, "w", 1, NULL), 0);
    kill_point_seen = NULL;
    assert_null(stop_at); /* it went the short way */
    assert_int_equal(pthread_join(queue_thread, NULL), 0);
    assert_int_equal(board_commit(d->log), 5);
    assert_int_equal(tide_close(d), 0);
}

/* ---- a reader has loaded a slot, and what it leads to becomes the inside of a value that imitates it --------------------------- */

#define IMITATED "imitated-key-016" /* of 16 bytes: the short way of a get */
#define IMITATED_BYTES 64u
#define INSIDE_BYTES 2000u
#define FILLERS 1500u

static struct talk reader_talk;

/* In the reader, once. */
static void let_memory_be_used_anew(const char *point) {
    if (stop_at != NULL && strcmp(point, stop_at) == 0) {
        stop_at = NULL;
        child_say(reader_talk.told[1]);
        child_hear(reader_talk.go[0]);
    }
}

static int no_false_value(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                          uint64_t version) {
    (void)ctx;
    (void)version;
    CHILD(key_len != 16 || memcmp(key, IMITATED, 16) != 0 ||
          (value_size == IMITATED_BYTES && *(const char *)value == 'T'));
    return 0;
}

enum reading { READ_GET, READ_SECTION, READ_SCAN };

/* The read may find the old value, or nothing, or give up; it must not find a value that was never put. */
static pid_t reader_that_stops(enum reading how) {
    pid_t pid = child_begin();
    if (pid == 0) {
        child_hear(reader_talk.go[0]);
        struct tide *d = child_open();
        struct tide_reader_opts opts = TIDE_READER_OPTS_INIT;
        struct tide_reader *r = NULL;
        CHILD(tide_reader_open(d, &opts, &r) == 0);
        char value[IMITATED_BYTES] = { 0 };
        CHILD(tide_get(r, IMITATED, 16, NULL, value, sizeof(value), NULL) == 0 && value[0] == 'T');
        CHILD(how == READ_GET || tide_section_begin(r, NULL, NULL) == 0);
        stop_at = how == READ_GET ? "read.slot" : "read.found";
        kill_point_seen = let_memory_be_used_anew;
        size_t size = 0;
        uint64_t version = 0;
        int error = how == READ_GET       ? tide_get(r, IMITATED, 16, NULL, value, sizeof(value), NULL)
                    : how == READ_SECTION ? tide_section_get(r, IMITATED, 16, value, sizeof(value), &size, &version)
                                          : tide_section_scan(r, no_false_value, NULL);
        kill_point_seen = NULL;
        CHILD(stop_at == NULL);
        CHILD(how == READ_SCAN || error != 0 || value[0] == 'T');
        _exit(0);
    }
    return pid;
}

/* A value full of nodes that are the imitated one, but for the value: one every 112 bytes. */
static void fill_with_imitations(uint8_t *value, size_t key_len, uint64_t shift, uint64_t index) {
    struct {
        struct table_node head;
        char key[16], value[IMITATED_BYTES];
    } n;
    memset((void *)&n, 0, sizeof(n));
    atomic_store(&n.head.index, index);
    atomic_store(&n.head.key_len, 16);
    atomic_store(&n.head.value_len, IMITATED_BYTES);
    memcpy(n.key, IMITATED, 16);
    memset(n.value, 'F', sizeof(n.value));
    atomic_store(&n.head.crc, crc32c(0, n.key, 16 + IMITATED_BYTES));
    size_t at = (16 - (NODE_HEADER_BYTES + key_len) % 16) % 16 + 16 * shift;
    for (; at + sizeof(n) <= INSIDE_BYTES; at += sizeof(n)) {
        memcpy(value + at, (const void *)&n, sizeof(n));
    }
}

static void use_all_memory(struct tide *d, struct help_rng *r, uint64_t index) {
    static uint8_t value[INSIDE_BYTES];
    char key[24];
    int error = 0;
    for (uint64_t i = 0; error == 0; i++) {
        size_t len = key_name(key, "in", i);
        fill_with_imitations(value, len, help_below(r, 7), index);
        error = tide_put(d, NULL, key, len, value, sizeof(value), NULL);
    }
    assert_int_equal(error, TIDE_ERR_FULL);
}

static void delete_all(struct tide *d, const char *kind, uint64_t n) {
    char key[24];
    for (uint64_t i = 0; i < n; i++) {
        assert_int_equal(tide_delete(d, NULL, key, key_name(key, kind, i), NULL), 0);
    }
}

static void read_while_memory_is_used_anew(enum reading how) {
    talk_open(&reader_talk);
    pid_t reader = reader_that_stops(how);
    talk_leave_to_child(&reader_talk);
    struct tide *d = child_open();
    child_replica(d, TIDE_LEADER);
    struct help_rng r = { help_seed() };
    char key[24], value[IMITATED_BYTES];
    memset(value, 'T', sizeof(value));
    for (uint64_t i = 0; how != READ_SCAN && i < FILLERS; i++) { /* of the lowest pages some stay free always */
        assert_int_equal(tide_put(d, NULL, key, key_name(key, "beside", i), value, sizeof(value), NULL), 0);
    }
    for (uint64_t i = 0; how == READ_SCAN && i < FILLERS;
         i++) { /* gone, but for the last: the one that a scan finds first */
        assert_int_equal(tide_put(d, NULL, key, key_name(key, "beside", i), value, sizeof(value), NULL), 0);
    }
    assert_int_equal(tide_put(d, NULL, IMITATED, 16, value, sizeof(value), NULL), 0);
    if (how == READ_SCAN) {
        delete_all(d, "beside", FILLERS);
        for (int i = 0; i < 20; i++) { /* until their slots are cleared */
            assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
            assert_int_equal(tide_delete(d, NULL, "k", 1, NULL), 0);
            table_drain(&atomic_load(&d->running[0])->writer);
        }
    }
    const struct table *t = &atomic_load(&d->running[0])->writer.t;
    const struct table_node *n = table_find(t, table_hash(t, IMITATED, 16), IMITATED, 16, UINT64_MAX);
    assert_non_null(n);
    uint64_t index = atomic_load(&n->index);
    tell(&reader_talk);
    await(&reader_talk); /* it has the slot, or the header as well */
    assert_int_equal(tide_delete(d, NULL, IMITATED, 16, NULL), 0);
    if (how != READ_SCAN) {
        delete_all(d, "beside", FILLERS);
    }
    uint64_t inside = 0;
    do {
        delete_all(d, "in", inside);
        inside = help_info(d, 0).keys;
        use_all_memory(d, &r, index);
        inside = help_info(d, 0).keys;
    } while (memcmp(table_node_key(n), IMITATED, 16) != 0 || *((const char *)table_node_key(n) + 16) != 'F');
    tell(&reader_talk);
    int status;
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
    assert_int_equal(tide_close(d), 0);
    talk_close(&reader_talk);
}

static void get__memory_imitates_the_node_by_then__not_believed(void **state) {
    (void)state;
    read_while_memory_is_used_anew(READ_GET);
}

static void section_get__memory_imitates_the_node_by_then__not_believed(void **state) {
    (void)state;
    read_while_memory_is_used_anew(READ_SECTION);
}

static void section_scan__memory_imitates_the_node_by_then__not_believed(void **state) {
    (void)state;
    read_while_memory_is_used_anew(READ_SCAN);
}

/* ---- eviction ---------------------------------------------------------------------------------------------------- */

static void evict_put(struct tide *d, uint64_t i) {
    char key[24], value[1000] = { 0 };
    CHILD(tide_put(d, NULL, key, key_name(key, "evict", i), value, sizeof(value), NULL) == 0);
}

/* The leader dies with keys chosen that have to go and no entry of the log that says so. The next one has them, and evicts. */
static void leader_dies_before_it_logs_what_it_evicts__the_next_one_goes_on(void **state) {
    (void)state;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = 256 << 10;
    o.table_bytes = 1 << 20;
    o.evict = TIDE_EVICT_S3FIFO;
    o.write_timeout_ns = UINT64_C(20000000000);
    struct talk t;
    talk_open(&t);
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        CHILD(tide_open(&d, name, &o) == 0);
        child_replica(d, TIDE_LEADER);
        uint64_t i = 0;
        while (atomic_load(&d->log->leader.evicted) == 0) {
            evict_put(d, i++);
        }
        child_say(t.told[1]);
        child_hear(t.go[0]);
        CHILD(setenv("TIDE_KILL", "seq.removing", 1) == 0);
        for (;;) {
            evict_put(d, i++);
        }
    }
    talk_leave_to_child(&t);
    await(&t);
    struct tide *d;
    assert_int_equal(tide_open(&d, name, &o), 0);
    struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
    r.candidate = 1;
    assert_int_equal(tide_replica_start(d, &r, NULL), 0);
    tell(&t);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    uint64_t before = atomic_load(&d->log->leader.evicted), keys = help_info(d, 1).keys;
    for (uint64_t i = 0; i < 2 * keys; i++) {
        evict_put(d, 1000000 + i);
    }
    assert_true(atomic_load(&d->log->leader.evicted) > before);
    child_replica(d, TIDE_FOLLOWER);
    assert_two_equal(d);
    assert_int_equal(tide_close(d), 0);
    talk_close(&t);
}

int main(void) {
    help_start(30);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(leader_dies_between_mark_and_wake__the_next_one_wakes_the_sleepers),
        NAMED_CASE(join__donor_doubles_before_its_slots_are_copied__nothing_is_missing),
        NAMED_CASE(get__memory_imitates_the_node_by_then__not_believed),
        NAMED_CASE(section_get__memory_imitates_the_node_by_then__not_believed),
        NAMED_CASE(section_scan__memory_imitates_the_node_by_then__not_believed),
        NAMED_CASE(leader_dies_before_it_logs_what_it_evicts__the_next_one_goes_on),
        NAMED_CASE(put__another_has_queued_meanwhile_and_sleeps__is_served),
        NAMED_CASE(join__donor_doubles_after_its_slots_are_copied__nothing_is_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
