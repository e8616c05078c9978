/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replicas that are kept behind, and callers that wait for them or for a leader. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)
#define HOUR_NS (UINT64_C(3600) * 1000 * MS)

/* ---- a newcomer with a delay -------------------------------------------------------------------------------------------- */

struct delayed {
    struct tide *domain;
    uint32_t id;
    int result;
    pthread_t thread;
};

static void *start_delayed(void *arg) {
    struct delayed *s = arg;
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.id = (int32_t)s->id;
    o.apply_delay_ns = HOUR_NS;
    s->result = tide_replica_start(s->domain, &o, NULL);
    return NULL;
}

/* It joins for an hour, unless somebody does something about it. */
static void delayed_begin(struct delayed *s, struct tide *d) {
    *s = (struct delayed){ .domain = d, .id = 7, .result = 1 };
    assert_int_equal(help_put(d, "k", 1, NULL), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, start_delayed, s), 0);
    while (help_state(d, s->id) != TIDE_STATE_JOINING) {
        sched_yield();
    }
}

static void tide_replica_start__of_one_with_a_delay__holds_nobody_up(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    struct delayed s;
    uint32_t leader = help_leader(d);
    delayed_begin(&s, d);
    uint32_t other = help_follower(d, 0);
    assert_int_equal(tide_replica_stop(d, s.id), TIDE_ERR_BUSY);
    assert_int_equal(tide_replica_stop(d, leader), 0);
    leader = help_leader(d);
    assert_int_equal(tide_replica_stop(d, other), 0);
    assert_int_equal(help_state(d, s.id), TIDE_STATE_JOINING);
    assert_int_equal(tide_replica_set_delay(d, s.id, 0), 0);
    pthread_join(s.thread, NULL);
    assert_int_equal(s.result, 0);
    assert_int_equal(help_state(d, s.id), TIDE_STATE_SERVING);
    help_assert_equal_digests(d);
    assert_int_equal(tide_replica_stop(d, s.id), 0);
    tide_close(d);
}

static void tide_close__while_one_with_a_delay_joins__the_start_answers_closed(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    struct delayed s;
    help_leader(d);
    delayed_begin(&s, d);
    assert_int_equal(tide_close(d), 0);
    pthread_join(s.thread, NULL);
    assert_int_equal(s.result, TIDE_ERR_CLOSED);
}

/* ---- nobody leads --------------------------------------------------------------------------------------------------------- */

struct patient {
    struct tide *domain;
    _Atomic int waits;
    int result;
    uint64_t value;
    struct tide_answer answer;
    pthread_t thread;
};

static void *read_patiently(void *arg) {
    struct patient *p = arg;
    struct tide_bound bound = TIDE_BOUND_INIT; /* falls back to the leader */
    struct tide_reader *r = NULL;
    help_check(tide_reader_open(p->domain, NULL, &r) == 0);
    help_check(tide_get(r, "k", 1, &bound, &p->value, sizeof(p->value), NULL) == TIDE_ERR_NO_LEADER);
    bound.wait_ns = 1;
    help_check(tide_get(r, "k", 1, &bound, &p->value, sizeof(p->value), NULL) == TIDE_ERR_NO_LEADER);
    bound.wait_ns = TIDE_UNBOUNDED;
    atomic_store(&p->waits, 1);
    p->result = tide_get(r, "k", 1, &bound, &p->value, sizeof(p->value), &p->answer);
    tide_reader_close(r);
    return NULL;
}

/* The one replica that serves is an hour behind, so the read waits for a leader, for as long as it may. */
static void fallback_leader__nobody_leads__waits_for_one_up_to_wait_ns(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    struct patient p = { .domain = d, .result = 1, .answer = TIDE_ANSWER_INIT };
    uint32_t leader = help_leader(d);
    help_follower(d, HOUR_NS);
    assert_int_equal(help_put(d, "k", 17, NULL), 0);
    assert_int_equal(tide_replica_stop(d, leader), 0);
    assert_int_equal(pthread_create(&p.thread, NULL, read_patiently, &p), 0);
    while (atomic_load(&p.waits) == 0) {
        sched_yield();
    }
    leader = help_leader(d);
    pthread_join(p.thread, NULL);
    help_assert_threads();
    assert_int_equal(p.result, 0);
    assert_int_equal(p.value, 17);
    assert_int_equal(p.answer.served_by, leader);
    assert_true(p.answer.linearizable);
    tide_close(d);
}

int main(void) {
    help_start(30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_replica_start__of_one_with_a_delay__holds_nobody_up),
        cmocka_unit_test(tide_close__while_one_with_a_delay_joins__the_start_answers_closed),
        cmocka_unit_test(fallback_leader__nobody_leads__waits_for_one_up_to_wait_ns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
