/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contract of reads: bounds, fallbacks, reasons. */
#include "tests/lib/pair.h"

/* A macro, so that the line that is told is the test's. */
#define assert_served(got, number, why, by)                                                                            \
    do {                                                                                                               \
        assert_int_equal((got).error, 0);                                                                              \
        assert_int_equal((got).value, (number));                                                                       \
        assert_int_equal((got).a.reason, (why));                                                                       \
        assert_int_equal((got).a.served_by, (by));                                                                     \
    } while (0)

/* The follower has k = 1, and lacks k = 2; *acknowledged: since when at the latest. */
static struct pair open_behind(uint64_t *acknowledged) {
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    put_number(p.d, "k", 2);
    *acknowledged = tide_now(p.d);
    return p;
}

/* ---- each fallback with each reason ------------------------------------------------------------------------------ */

static void get__replica_that_has_everything__fresh_whatever_the_fallback(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    for (int f = TIDE_FALLBACK_LEADER; f <= TIDE_FALLBACK_STALE; f++) {
        struct tide_bound b = bound_of((enum tide_fallback)f, 0);
        struct got g = get(p.r, "k", &b);
        assert_served(g, 1, TIDE_REASON_FRESH, p.slow);
        assert_int_equal(g.a.linearizable, 1);
        assert_int_equal(g.a.stale, 0);
        assert_int_equal(g.a.from_leader, 0);
        assert_int_equal(g.a.index, 1);
        assert_int_equal(g.a.commit_index, 1);
        assert_int_equal(g.a.staleness_ns, 0);
        assert_int_equal(g.a.waited_ns, 0);
        assert_int_equal(g.a.value_size, sizeof(g.value));
        assert_int_equal(g.a.version, 1);
    }
    close_pair(&p);
}

static void get__behind_but_within_the_bound__served_whatever_the_fallback(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    uint64_t before = tide_now(p.d);
    put_number(p.d, "k", 2);
    uint64_t acknowledged = tide_now(p.d);
    for (int f = TIDE_FALLBACK_LEADER; f <= TIDE_FALLBACK_STALE; f++) {
        struct tide_bound b = bound_of((enum tide_fallback)f, HOUR);
        uint64_t called = tide_now(p.d);
        struct got g = get(p.r, "k", &b);
        uint64_t returned = tide_now(p.d);
        assert_served(g, 1, TIDE_REASON_WITHIN_BOUND, p.slow);
        assert_int_equal(g.a.linearizable, 0);
        assert_int_equal(g.a.stale, 0);
        assert_int_equal(g.a.index, 1);
        assert_int_equal(g.a.commit_index, 2);
        assert_true(g.a.staleness_ns >= called - acknowledged);
        /* Exact: not older than since just before the write that it lacks, but for rounding (1/4096). */
        assert_true(g.a.staleness_ns <= (returned - before) + (returned - before) / 4096 + 100);
    }
    close_pair(&p);
}

static void get__behind_fallback_leader__redirected(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    struct tide_bound b = bound_of(TIDE_FALLBACK_LEADER, 0);
    struct got g = get(p.r, "k", &b);
    assert_served(g, 1, TIDE_REASON_REDIRECTED, p.leader);
    assert_true(g.a.from_leader == 1 && g.a.linearizable == 1 && g.a.stale == 0);
    assert_int_equal(g.a.staleness_ns, 0);
    catch_up(&p);       /* else the session's fence is what the follower misses */
    b.wait_ns = 2 * MS; /* first it waits for the follower */
    put_number(p.d, "k", 2);
    g = get(p.r, "k", &b);
    assert_int_equal(g.a.reason, TIDE_REASON_REDIRECTED);
    assert_true(g.a.waited_ns >= 2 * MS);
    assert_int_equal(g.value, 2);
    close_pair(&p);
}

static void get__fence_not_reached_fallback_leader__behind_redirected(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    struct tide_token token;
    assert_int_equal(tide_put(p.d, p.r, "k", 1, "12345678", 8, &token), 0); /* the session's own write */
    struct tide_bound b = bound_of(TIDE_FALLBACK_LEADER, TIDE_UNBOUNDED);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.a.reason, TIDE_REASON_BEHIND_REDIRECTED);
    assert_int_equal(g.a.served_by, p.leader);
    /* The same by a fence in the call, from another session. */
    struct tide_reader *other = help_reader(p.d, TIDE_STICKY, (int32_t)p.slow, UINT64_C(1) << p.slow);
    g = get(other, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_NOT_FOUND); /* without the fence the past is within the bound */
    assert_int_equal(g.a.reason, TIDE_REASON_WITHIN_BOUND);
    b.min = token;
    g = get(other, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.a.reason, TIDE_REASON_BEHIND_REDIRECTED);
    tide_reader_close(other);
    close_pair(&p);
}

static void get__behind_fallback_error__refused_with_what_could_be_had(void **state) {
    (void)state;
    uint64_t acknowledged;
    struct pair p = open_behind(&acknowledged);
    struct tide_bound b = bound_of(TIDE_FALLBACK_ERROR, 0);
    b.wait_ns = TIDE_UNBOUNDED; /* of no meaning here */
    uint64_t called = tide_now(p.d);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_REFUSED);
    assert_int_equal(g.value, 4242);
    assert_int_equal(g.a.reason, TIDE_REASON_REFUSED);
    assert_int_equal(g.a.linearizable, 0);
    assert_int_equal(g.a.served_by, p.slow);
    assert_int_equal(g.a.index, 1);
    assert_true(g.a.staleness_ns >= called - acknowledged);
    /* With that staleness and some time more it is served. */
    b.max_staleness_ns = g.a.staleness_ns + HOUR;
    assert_int_equal(get(p.r, "k", &b).error, 0);
    close_pair(&p);
}

static void get__behind_fallback_wait__times_out_or_is_served_when_the_replica_gets_there(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    struct tide_bound b = bound_of(TIDE_FALLBACK_WAIT, 0);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_TIMEOUT); /* wait_ns is 0 */
    assert_int_equal(g.a.reason, TIDE_REASON_REFUSED);
    b.wait_ns = 3 * MS;
    g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_TIMEOUT);
    assert_true(g.a.waited_ns >= 3 * MS);
    assert_int_equal(g.value, 4242);
    /* The replica gets there while the read waits. */
    assert_int_equal(tide_replica_set_delay(p.d, p.slow, 20 * MS), 0);
    put_number(p.d, "k", 2);
    b.wait_ns = TIDE_UNBOUNDED;
    g = get(p.r, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.value, 2);
    assert_true(g.a.reason == TIDE_REASON_WAITED || g.a.reason == TIDE_REASON_FRESH); /* this thread may have slept */
    assert_int_equal(g.a.served_by, p.slow);
    assert_int_equal(g.a.linearizable, 1);
    b.fallback = TIDE_FALLBACK_LEADER;
    put_number(p.d, "k", 3);
    g = get(p.r, "k", &b);
    assert_int_equal(g.value, 3);
    assert_int_equal(g.a.served_by, p.slow);
    close_pair(&p);
}

static void get__behind_fallback_stale__served_and_flagged(void **state) {
    (void)state;
    uint64_t acknowledged;
    struct pair p = open_behind(&acknowledged);
    struct tide_bound b = bound_of(TIDE_FALLBACK_STALE, 0);
    uint64_t called = tide_now(p.d);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.value, 1);
    assert_int_equal(g.a.reason, TIDE_REASON_STALE_BY_CHOICE);
    assert_true(g.a.stale == 1 && g.a.linearizable == 0 && g.a.from_leader == 0);
    assert_true(g.a.staleness_ns >= called - acknowledged);
    close_pair(&p);
}

static void get__fence_not_reached_fallback_stale__served_and_flagged(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    assert_int_equal(tide_put(p.d, p.r, "k", 1, "x", 1, NULL), 0);
    struct tide_bound b = bound_of(TIDE_FALLBACK_STALE, TIDE_UNBOUNDED);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_NOT_FOUND);
    assert_int_equal(g.a.reason, TIDE_REASON_STALE_BY_CHOICE);
    assert_int_equal(g.a.stale, 1);
    assert_int_equal(g.a.index, 0);
    /* The session keeps its fence nevertheless. */
    struct tide_token token;
    tide_reader_token(p.r, &token);
    assert_int_equal(token.index, 1);
    close_pair(&p);
}

static void get__without_a_leader__no_leader_where_it_is_needed(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    assert_int_equal(tide_replica_stop(p.d, p.leader), 0);
    struct tide_bound b = bound_of(TIDE_FALLBACK_LEADER, 0);
    assert_int_equal(get(p.r, "k", &b).error, TIDE_ERR_NO_LEADER);
    b.fallback = TIDE_FALLBACK_ERROR;
    assert_int_equal(get(p.r, "k", &b).error, TIDE_ERR_REFUSED);
    b.max_staleness_ns = TIDE_UNBOUNDED;
    assert_int_equal(get(p.r, "k", &b).error, TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_replica_stop(p.d, p.slow), 0);
    for (int f = TIDE_FALLBACK_LEADER; f <= TIDE_FALLBACK_STALE; f++) {
        b = bound_of((enum tide_fallback)f, TIDE_UNBOUNDED);
        assert_int_equal(get(p.r, "k", &b).error, f == TIDE_FALLBACK_LEADER ? TIDE_ERR_NO_LEADER : TIDE_ERR_NO_REPLICA);
    }
    close_pair(&p);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------ */

static void get__max_lag__counts_entries(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    for (uint64_t behind = 0; behind < 10; behind++) {
        for (uint64_t max = 0; max < 12; max++) {
            struct tide_bound b = bound_of(TIDE_FALLBACK_ERROR, TIDE_UNBOUNDED);
            b.max_lag = max;
            struct got g = get(p.r, "k", &b);
            assert_int_equal(g.error, behind <= max ? 0 : TIDE_ERR_REFUSED);
            assert_int_equal(g.a.commit_index - g.a.index, behind);
        }
        put_number(p.d, "other", behind);
    }
    close_pair(&p);
}

static void get__bad_bounds_and_arguments__invalid_and_nothing_touched(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    put_number(p.d, "k", 1);
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT, small = { .size = 63 };
    uint64_t value = 4242;
    static char key[65536];
    b.size = 47;
    assert_int_equal(tide_get(p.r, "k", 1, &b, &value, sizeof(value), NULL), TIDE_ERR_INVALID);
    b.size = sizeof(b);
    b.fallback = 4;
    assert_int_equal(tide_get(p.r, "k", 1, &b, &value, sizeof(value), NULL), TIDE_ERR_INVALID);
    b.fallback = 0;
    assert_int_equal(tide_get(p.r, "k", 1, &b, &value, sizeof(value), &small), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, NULL, 1, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, "k", 0, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, key, 65536, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, key, SIZE_MAX, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, "k", 1, &b, NULL, 1, &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(NULL, "k", 1, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(value, 4242);
    assert_true(a.index == 0 && a.commit_index == 0 && a.value_size == 0);
    assert_int_equal(tide_get(p.r, key, 65535, &b, &value, sizeof(value), &a), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_mget(p.r, NULL, 1, &b, &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_scan(p.r, NULL, NULL), TIDE_ERR_INVALID);
    close_pair(&p);
}

static void get__buffers_too_small__tell_the_size_and_stay_untouched(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    static uint8_t value[1000], buf[1001];
    memset(value, 7, sizeof(value));
    assert_int_equal(tide_put(p.d, p.r, "k", 1, value, sizeof(value), NULL), 0);
    assert_int_equal(tide_put(p.d, p.r, "empty", 5, NULL, 0, NULL), 0);
    struct tide_answer a = TIDE_ANSWER_INIT;
    memset(buf, 1, sizeof(buf));
    assert_int_equal(tide_get(p.r, "k", 1, NULL, buf, 999, &a), TIDE_ERR_BUFFER);
    assert_true(a.value_size == 1000 && a.version == 1 && buf[0] == 1);
    assert_int_equal(tide_get(p.r, "k", 1, NULL, NULL, 0, &a), TIDE_ERR_BUFFER);
    assert_int_equal(tide_get(p.r, "k", 1, NULL, buf, 1000, &a), 0);
    assert_memory_equal(buf, value, 1000);
    assert_int_equal(buf[1000], 1);
    assert_int_equal(tide_get(p.r, "empty", 5, NULL, NULL, 0, &a), 0);
    assert_true(a.value_size == 0 && a.version == 2);
    assert_int_equal(tide_get(p.r, "none", 4, NULL, buf, 1000, &a), TIDE_ERR_NOT_FOUND);
    assert_true(a.value_size == 0 && a.version == 0 && a.index == 2);
    close_pair(&p);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__replica_that_has_everything__fresh_whatever_the_fallback),
        cmocka_unit_test(get__behind_but_within_the_bound__served_whatever_the_fallback),
        cmocka_unit_test(get__behind_fallback_leader__redirected),
        cmocka_unit_test(get__fence_not_reached_fallback_leader__behind_redirected),
        cmocka_unit_test(get__behind_fallback_error__refused_with_what_could_be_had),
        cmocka_unit_test(get__behind_fallback_wait__times_out_or_is_served_when_the_replica_gets_there),
        cmocka_unit_test(get__behind_fallback_stale__served_and_flagged),
        cmocka_unit_test(get__fence_not_reached_fallback_stale__served_and_flagged),
        cmocka_unit_test(get__without_a_leader__no_leader_where_it_is_needed),
        cmocka_unit_test(get__max_lag__counts_entries),
        cmocka_unit_test(get__bad_bounds_and_arguments__invalid_and_nothing_touched),
        cmocka_unit_test(get__buffers_too_small__tell_the_size_and_stay_untouched),
    };
    return cmocka_run_group_tests_name("reads", tests, NULL, NULL);
}
