/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tokens, waiting for them, and the numbers that are told. */
#include <sched.h>
#include <stdio.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)

/* ---- tokens, waiting, numbers ------------------------------------------------------------------------------------ */

static void tide_wait_applied__with_a_delayed_follower__waits_for_as_many_as_asked(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    uint32_t slow = help_follower(d, UINT64_C(3600) * 1000 * MS);
    struct tide_token token;
    assert_int_equal(help_put(d, "k", 1, &token), 0);
    assert_int_equal(tide_wait_applied(d, &token, 0, 0), 0);
    assert_int_equal(tide_wait_applied(d, &token, 1, 0), 0);
    assert_int_equal(tide_wait_applied(d, &token, 2, 0), TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_wait_applied(d, &token, 2, 3 * MS), TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_wait_applied(d, &token, 65, 0), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_set_delay(d, slow, UINT64_C(3600) * 1000 * MS + 1), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_set_delay(d, 0, 1), TIDE_ERR_INVALID); /* the leader's */
    assert_int_equal(help_info(d, slow).applied_index, 0);
    assert_int_equal(help_info(d, slow).lag, 1);
    assert_true(help_info(d, slow).staleness_ns > 0);
    assert_int_equal(tide_replica_set_delay(d, slow, 0), 0);
    assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_MAX), 0);
    assert_int_equal(help_info(d, slow).applied_index, 1);
    assert_int_equal(help_info(d, slow).staleness_ns, 0);
    struct tide_token ahead = { token.incarnation, 1000 };
    assert_int_equal(tide_wait_applied(d, &ahead, 1, 0), TIDE_ERR_TIMEOUT);
    tide_close(d);
}

static void tide_tokens__foreign_ahead_and_passed_on__as_documented(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    struct tide_token token, seen;
    help_put(d, "k", 1, &token);
    assert_int_equal(token.index, 1);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_reader_token(r, &seen), 0);
    assert_true(seen.incarnation == token.incarnation && seen.index == 0);
    struct tide_token foreign = { token.incarnation + 1, 1 }, none = { 0, 0 }, ahead = { token.incarnation, 3 };
    assert_int_equal(tide_reader_observe(r, &foreign), TIDE_ERR_INCARNATION);
    assert_int_equal(tide_reader_observe(r, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_reader_observe(r, &none), 0);
    struct tide_bound bound = TIDE_BOUND_INIT;
    bound.min = foreign;
    uint64_t value = 9;
    assert_int_equal(tide_get(r, "k", 1, &bound, &value, sizeof(value), NULL), TIDE_ERR_INCARNATION);
    for (uint32_t fallback = 0; fallback <= TIDE_FALLBACK_STALE; fallback++) {
        bound.min = ahead;
        bound.fallback = fallback;
        bound.wait_ns = TIDE_UNBOUNDED;
        struct tide_answer a = TIDE_ANSWER_INIT;
        a.reason = 99;
        assert_int_equal(tide_get(r, "k", 1, &bound, &value, sizeof(value), &a), TIDE_ERR_FENCE_AHEAD);
        assert_int_equal(a.reason, 99);
    }
    assert_int_equal(value, 9);
    assert_int_equal(help_get(r, "k"), 1); /* a call's fence is not the session's */
    assert_int_equal(tide_reader_observe(r, &ahead), 0);
    assert_int_equal(tide_get(r, "k", 1, NULL, &value, sizeof(value), NULL), TIDE_ERR_FENCE_AHEAD);
    help_put(d, "k", 2, NULL);
    help_put(d, "k", 3, NULL);
    assert_int_equal(help_get(r, "k"), 3);
    assert_int_equal(tide_reader_token(r, &seen), 0);
    assert_int_equal(seen.index, 3);
    tide_reader_close(r);
    tide_close(d);
}

static void tide_read_counts__of_sessions_and_domain__add_up(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    uint32_t leader = help_leader(d), slow = help_follower(d, UINT64_C(3600) * 1000 * MS);
    struct tide_reader *a = help_reader(d, TIDE_STICKY, (int32_t)leader, 0);
    help_put(d, "k", 1, NULL);
    for (int i = 0; i < 10; i++) {
        help_get(a, "k");
    }
    assert_int_equal(tide_reader_close(a), 0);
    /* A slot of counts outlives its reader: the counts of the next reader start at 0 nevertheless. */
    struct tide_reader *b = help_reader(d, TIDE_STICKY, (int32_t)slow, UINT64_C(1) << slow);
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    assert_int_equal(tide_reader_counts(b, &counts), 0);
    assert_int_equal(counts.by_reason[TIDE_REASON_FRESH], 0);
    struct tide_bound bound = TIDE_BOUND_INIT;
    uint64_t value;
    assert_int_equal(tide_get(b, "k", 1, &bound, &value, sizeof(value), NULL), 0);
    bound.fallback = TIDE_FALLBACK_ERROR;
    assert_int_equal(tide_get(b, "k", 1, &bound, &value, sizeof(value), NULL), TIDE_ERR_REFUSED);
    assert_int_equal(tide_reader_counts(b, &counts), 0);
    assert_int_equal(counts.by_reason[TIDE_REASON_REDIRECTED], 1);
    assert_int_equal(counts.by_reason[TIDE_REASON_REFUSED], 1);
    assert_int_equal(counts.by_replica[leader], 1);
    assert_int_equal(counts.by_replica[slow], 0);
    assert_int_equal(tide_read_counts(d, &counts), 0);
    assert_int_equal(counts.by_reason[TIDE_REASON_FRESH], 10);
    assert_int_equal(counts.by_reason[TIDE_REASON_REDIRECTED], 1);
    assert_int_equal(counts.by_replica[leader], 11);
    tide_reader_close(b);
    tide_close(d);
}

static void tide_reader_open__more_than_there_are_count_slots__all_read(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    help_leader(d);
    help_put(d, "k", 1, NULL);
    static struct tide_reader *readers[300];
    for (int i = 0; i < 300; i++) {
        readers[i] = help_reader(d, TIDE_STICKY, -1, 0);
        assert_int_equal(help_get(readers[i], "k"), 1);
        struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
        assert_int_equal(tide_reader_counts(readers[i], &counts), 0);
        assert_int_equal(counts.by_reason[TIDE_REASON_FRESH], 1);
    }
    for (int i = 0; i < 300; i++) {
        assert_int_equal(tide_reader_close(readers[i]), 0);
    }
    tide_close(d);
}

static void tide_replica_info__after_writes__the_numbers_fit_together(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    uint32_t leader = help_leader(d), follower = help_follower(d, 2 * MS);
    struct tide_token token;
    for (uint64_t i = 0; i < 500; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%llu", (unsigned long long)(i % 100));
        assert_int_equal(help_put(d, key, i, &token), 0);
    }
    assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_MAX), 0);
    for (uint32_t id = 0; id < 2; id++) {
        struct tide_replica_info i = help_info(d, id);
        assert_int_equal(i.id, id);
        assert_int_equal(i.role, id == leader ? TIDE_LEADER : TIDE_FOLLOWER);
        assert_int_equal(i.state, TIDE_STATE_SERVING);
        assert_int_equal(i.applied_index, 500);
        assert_int_equal(i.keys, 100);
        assert_int_equal(i.lag, 0);
        assert_true(i.table_used_bytes > 0 && i.table_used_bytes < i.table_bytes);
        assert_int_equal(i.lapped, 0);
    }
    struct tide_replica_info i;
    do {
        i = help_info(d, follower); /* an entry's lag is recorded just after the entry was published */
        sched_yield();
    } while (i.lag_count < 500);
    assert_int_equal(i.apply_delay_ns, 2 * MS);
    assert_int_equal(i.lag_count, 500);
    assert_true(i.lag_all_p50_ns >= 2 * MS - 2 * MS / 100); /* histograms round by less than a hundredth */
    assert_true(i.lag_all_p50_ns <= i.lag_all_p99_ns && i.lag_all_p99_ns <= i.lag_all_p999_ns);
    tide_close(d);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_wait_applied__with_a_delayed_follower__waits_for_as_many_as_asked),
        cmocka_unit_test(tide_tokens__foreign_ahead_and_passed_on__as_documented),
        cmocka_unit_test(tide_read_counts__of_sessions_and_domain__add_up),
        cmocka_unit_test(tide_reader_open__more_than_there_are_count_slots__all_read),
        cmocka_unit_test(tide_replica_info__after_writes__the_numbers_fit_together),
    };
    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
