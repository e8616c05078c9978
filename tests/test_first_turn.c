/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The first leader: a candidate leaves the lead of a domain without one to the member that made it, until that member has decided or
 * has ended. Patience lasts for ever here, but where a case is about its end; so no case depends on a time.
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/life/takeover.h"
#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define LOOKS 150 /* of a millisecond each: a candidate that took the lead would have it long ago */

static uint64_t patience_ns;

static int setup(void **state) {
    (void)state;
    patience_ns = atomic_load(&takeover_patience_ns);
    atomic_store(&takeover_patience_ns, UINT64_MAX);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    atomic_store(&takeover_patience_ns, patience_ns);
    return 0;
}

static struct tide *open_to_stay(const char *name) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d;
    o.ring_bytes = 64 * KIB;
    o.table_bytes = 256 * KIB;
    o.write_timeout_ns = UINT64_MAX;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

static uint32_t start_candidate(struct tide *d) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint32_t id;
    o.candidate = 1;
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    return id;
}

static int32_t leader_of(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    return info.leader;
}

static void assert_nobody_leads(struct tide *d) {
    for (int i = 0; i < LOOKS; i++) {
        assert_int_equal(leader_of(d), -1);
        usleep(1000);
    }
}

static void await_leader(struct tide *d, uint32_t id) {
    while (leader_of(d) != (int32_t)id) {
        usleep(1000);
    }
}

/* A domain, made by `maker`, and a candidate in another handle, which leaves the maker the first turn. */
struct pair {
    const char *name;
    struct tide *maker, *other;
    uint32_t candidate;
};

static struct pair pair_open(void) {
    struct pair p = { .name = help_name() };
    p.maker = open_to_stay(p.name);
    p.other = open_to_stay(p.name);
    p.candidate = start_candidate(p.other);
    assert_nobody_leads(p.other);
    return p;
}

static void pair_close(struct pair *p) {
    if (p->maker != NULL) {
        assert_int_equal(tide_close(p->maker), 0);
    }
    assert_int_equal(tide_close(p->other), 0);
    assert_int_equal(tide_unlink(p->name), 0);
}

static void candidate__maker_is_about_to_lead__leaves_it_the_lead(void **state) {
    (void)state;
    struct pair p = pair_open();
    uint32_t leader = help_leader(p.maker);
    assert_int_equal(leader_of(p.other), leader);
    assert_int_equal(help_put(p.other, "k", 1, NULL), 0);
    assert_int_equal(tide_replica_stop(p.maker, leader), 0); /* led once: no turn is left to anybody */
    await_leader(p.other, p.candidate);
    pair_close(&p);
}

static void candidate__maker_runs_a_follower__leads(void **state) {
    (void)state;
    struct pair p = pair_open();
    help_follower(p.maker, 0);
    await_leader(p.other, p.candidate);
    pair_close(&p);
}

static void candidate__maker_writes__leads_and_does_the_write(void **state) {
    (void)state;
    struct pair p = pair_open();
    assert_int_equal(help_put(p.maker, "k", 1, NULL), 0);
    assert_int_equal(leader_of(p.other), p.candidate);
    pair_close(&p);
}

static void candidate__maker_closes__leads(void **state) {
    (void)state;
    struct pair p = pair_open();
    assert_int_equal(tide_close(p.maker), 0);
    p.maker = NULL;
    await_leader(p.other, p.candidate);
    pair_close(&p);
}

static void candidate__makers_slot_is_another_members__leads(void **state) {
    (void)state;
    struct pair p = { .name = help_name() };
    p.maker = open_to_stay(p.name);
    p.other = open_to_stay(p.name);
    assert_int_equal(tide_close(p.maker), 0);
    p.maker = open_to_stay(p.name); /* in the slot that is free again; it has made nothing */
    p.candidate = start_candidate(p.other);
    await_leader(p.other, p.candidate);
    pair_close(&p);
}

static void candidate__maker_dies__leads(void **state) {
    (void)state;
    struct pair p = { .name = help_name() };
    int told[2];
    char byte = 0;
    assert_int_equal(pipe(told), 0);
    pid_t pid = fork();
    if (pid == 0) {
        open_to_stay(p.name);
        (void)!write(told[1], &byte, 1);
        for (;;) {
            pause();
        }
    }
    assert_int_equal(read(told[0], &byte, 1), 1);
    p.other = open_to_stay(p.name);
    p.candidate = start_candidate(p.other);
    assert_nobody_leads(p.other);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    await_leader(p.other, p.candidate);
    close(told[0]);
    close(told[1]);
    pair_close(&p);
}

static void candidate__maker_never_decides__leads_when_its_patience_ends(void **state) {
    (void)state;
    atomic_store(&takeover_patience_ns, 1);
    struct pair p = { .name = help_name() };
    p.maker = open_to_stay(p.name);
    p.other = open_to_stay(p.name);
    p.candidate = start_candidate(p.other);
    await_leader(p.other, p.candidate);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    assert_int_equal(tide_replica_start(p.maker, &o, NULL), TIDE_ERR_BUSY);
    pair_close(&p);
}

static void candidate__of_the_maker_itself__leads(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 256 * KIB, 0);
    await_leader(d, start_candidate(d));
    tide_close(d);
}

static void candidate__the_makers_word_is_no_members__leads(void **state) {
    (void)state;
    struct pair p = pair_open();
    atomic_store(&p.other->log->leader.founder, UINT32_MAX);
    await_leader(p.other, p.candidate);
    pair_close(&p);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        CASE(candidate__maker_is_about_to_lead__leaves_it_the_lead),
        CASE(candidate__maker_runs_a_follower__leads),
        CASE(candidate__maker_writes__leads_and_does_the_write),
        CASE(candidate__maker_closes__leads),
        CASE(candidate__makers_slot_is_another_members__leads),
        CASE(candidate__maker_dies__leads),
        CASE(candidate__maker_never_decides__leads_when_its_patience_ends),
        CASE(candidate__of_the_maker_itself__leads),
        CASE(candidate__the_makers_word_is_no_members__leads),
    };
    return cmocka_run_group_tests_name("first turn", tests, NULL, NULL);
}
