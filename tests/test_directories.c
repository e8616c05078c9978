/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One process, one name, domains in two directories: $TIDE_SHM_DIR counts when a handle is opened, and the handle keeps it. Everything that
 * looks for a file afterwards looks there: readers that map a replica, joins, large requests through lanes, reaping, removal.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/replica/domain.h"
#include "tests/lib/forked.h"

#define MIB (UINT64_C(1) << 20)
#define LARGE (2 * LAYOUT_LANE_BYTES) /* a value that goes through a file of its own */
#define PLACES 2

struct place {
    char dir[64];
    struct tide *d, *other; /* two handles: to each the other's replicas are another process's */
    uint32_t leader, follower;
};

static struct place places[PLACES];

static void directory_use(const struct place *p) {
    setenv("TIDE_SHM_DIR", p != NULL ? p->dir : "/nowhere/at/all", 1);
}

static struct tide *directory_open(uint32_t flags) {
    struct tide *d = NULL;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags = flags;
    o.ring_bytes = MIB;
    o.table_bytes = MIB;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

static bool directory_has(const struct place *p, const char *kind) {
    char path[200];
    struct stat st;
    snprintf(path, sizeof(path), "%s/tidemark.%s.%s", p->dir, name, kind);
    bool there = stat(path, &st) == 0;
    assert_true(there || errno == ENOENT);
    return there;
}

static uint32_t directory_follower(struct tide *d, uint32_t candidate) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint32_t id = UINT32_MAX;
    o.candidate = candidate;
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    return id;
}

static void directory_put(struct tide *d, uint8_t byte, size_t size) {
    static uint8_t value[LARGE];
    memset(value, byte, sizeof(value));
    assert_int_equal(tide_put(d, NULL, "k", 1, value, size, NULL), 0);
}

static void directory_expect(struct tide *d, uint8_t byte, size_t size) {
    static uint8_t value[LARGE];
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_get(r, "k", 1, NULL, value, sizeof(value), &a), 0);
    assert_int_equal(a.value_size, size);
    assert_int_equal(value[0], byte);
    assert_int_equal(value[size - 1], byte);
    tide_reader_close(r);
}

static void directory_open_all(uint32_t flags) {
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        directory_use(p);
        p->d = directory_open(flags | TIDE_CREATE);
        p->other = directory_open(0);
    }
    directory_use(NULL); /* from here on nothing may ask the environment */
    for (int i = 0; i < PLACES; i++) {
        places[i].leader = help_leader(places[i].d);
        directory_put(places[i].d, (uint8_t)('a' + i), 8);
    }
}

static int directory_setup(void **state) {
    name_setup(state);
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    for (int i = 0; i < PLACES; i++) {
        snprintf(places[i].dir, sizeof(places[i].dir), "%s/tidemark-test-XXXXXX", base);
        assert_non_null(mkdtemp(places[i].dir));
    }
    return 0;
}

static int directory_teardown(void **state) {
    for (int i = 0; i < PLACES; i++) {
        directory_use(&places[i]);
        name_teardown(state);
        assert_int_equal(rmdir(places[i].dir), 0); /* nothing is left there */
    }
    return 0;
}

static void directories__one_name_in_two__readers_joins_and_lanes_keep_apart(void **state) {
    (void)state;
    directory_open_all(TIDE_EPHEMERAL);
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        directory_expect(p->other, (uint8_t)('a' + i), 8); /* maps the other handle's table */
        p->follower = directory_follower(p->other, 0);     /* which copies it */
        directory_put(p->other, (uint8_t)('A' + i), LARGE);
        assert_true(directory_has(p, "r0") && directory_has(p, "r1"));
    }
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        directory_expect(p->d, (uint8_t)('A' + i), LARGE);
        directory_expect(p->other, (uint8_t)('A' + i), LARGE);
        assert_int_equal(tide_replica_stop(p->other, p->follower), 0);
        assert_false(directory_has(p, "r1"));
        assert_true(directory_has(p, "r0"));
    }
    struct place *first = &places[0], *second = &places[1];
    assert_int_equal(tide_close(first->other), 0);
    assert_int_equal(tide_close(first->d), 0);
    assert_false(directory_has(first, "log") || directory_has(first, "r0"));
    directory_expect(second->d, 'B', LARGE);
    assert_int_equal(tide_close(second->other), 0);
    assert_int_equal(tide_close(second->d), 0);
    assert_false(directory_has(second, "log") || directory_has(second, "r0"));
}

static void directories__leader_stops__a_candidate_of_the_same_one_leads(void **state) {
    (void)state;
    directory_open_all(0);
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        p->follower = directory_follower(p->other, 1);
        assert_int_equal(tide_replica_stop(p->d, p->leader), 0);
        directory_put(p->d, (uint8_t)('p' + i), LARGE); /* waits for the new leader, and goes to it through a lane */
        directory_expect(p->d, (uint8_t)('p' + i), LARGE);
    }
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        directory_expect(p->other, (uint8_t)('p' + i), LARGE);
        assert_int_equal(tide_close(p->d), 0);
        assert_int_equal(tide_close(p->other), 0);
        assert_true(directory_has(p, "log"));
    }
    /* All have ended. Whoever comes back goes on from what lies in the directory that it opens. */
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        directory_use(p);
        p->d = directory_open(0);
        directory_use(NULL);
        p->leader = help_leader(p->d);
        directory_expect(p->d, (uint8_t)('p' + i), LARGE);
        assert_int_equal(tide_close(p->d), 0);
    }
}

static void directories__member_dies__its_table_is_removed_where_it_lay(void **state) {
    (void)state;
    child_threads_needed();
    directory_open_all(TIDE_EPHEMERAL);
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        pid_t pid = child_begin();
        if (pid == 0) {
            struct tide *d;
            struct tide_opts o = TIDE_OPTS_INIT;
            uint32_t id;
            o.flags = 0;
            directory_use(p);
            CHILD(tide_open(&d, name, &o) == 0);
            directory_use(NULL);
            CHILD(tide_replica_start(d, NULL, &id) == 0 && id == 1);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_true(directory_has(p, "r1"));
    }
    for (int i = 0; i < PLACES; i++) {
        struct place *p = &places[i];
        /* A newcomer reaps the dead, and takes the slot: stopped again, it leaves no file. */
        uint32_t id = directory_follower(p->other, 0);
        assert_int_equal(tide_replica_stop(p->other, id), 0);
        p->d->reap(p->d);
        assert_false(directory_has(p, "r1") || directory_has(p, "r2"));
        directory_expect(p->other, (uint8_t)('a' + i), 8);
        assert_int_equal(tide_close(p->other), 0);
        assert_int_equal(tide_close(p->d), 0);
    }
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(directories__one_name_in_two__readers_joins_and_lanes_keep_apart,
                                        directory_setup, directory_teardown),
        cmocka_unit_test_setup_teardown(directories__leader_stops__a_candidate_of_the_same_one_leads, directory_setup,
                                        directory_teardown),
        cmocka_unit_test_setup_teardown(directories__member_dies__its_table_is_removed_where_it_lay, directory_setup,
                                        directory_teardown),
    };
    return cmocka_run_group_tests_name("directories", tests, NULL, NULL);
}
