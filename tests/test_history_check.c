/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The checkers, with histories made by hand: what must fail does, and for the right reason; what may happen passes. */
#include "tests/lib/help.h"
#include "tests/lib/history_op.h"

#define US 1000u
#define A 1u /* sessions */
#define B 2u
#define C 3u

/* Times are in us. */
#define TIMES(s, k, from, to) .session = (s), .key = (k), .call_ns = (from)*US, .ret_ns = (to)*US
#define PUT(s, k, v, i, from, to)                                                                                      \
    { TIMES(s, k, from, to), .kind = HISTORY_PUT, .value = (v), .index = (i) }
#define DEL(s, k, i, from, to)                                                                                         \
    { TIMES(s, k, from, to), .kind = HISTORY_DELETE, .index = (i) }
#define CAS(s, k, exp, expv, v, i, from, to)                                                                           \
    {                                                                                                                  \
        TIMES(s, k, from, to), .kind = HISTORY_CAS, .value = (v), .index = (i), .expected = (exp),                     \
                               .expected_value = (expv)                                                                \
    }
#define NOT_CAS(s, k, exp, expv, v, was, from, to)                                                                     \
    {                                                                                                                  \
        TIMES(s, k, from, to), .kind = HISTORY_CAS, .outcome = HISTORY_MISMATCH, .value = (v), .expected = (exp),      \
                               .expected_value = (expv), .found = (was)                                                \
    }
#define LOSE(s, k, what, v, from)                                                                                      \
    {                                                                                                                  \
        .session = (s), .key = (k), .call_ns = (from)*US, .ret_ns = HISTORY_NEVER, .kind = (what), .value = (v),       \
        .outcome = HISTORY_PENDING                                                                                     \
    }
/* A read at index i of value v of version ver. */
#define GET(s, k, v, ver, i, from, to)                                                                                 \
    {                                                                                                                  \
        TIMES(s, k, from, to), .value = (v), .version = (ver), .index = (i), .commit = (i), .linearizable = true,      \
                               .max_lag = UINT64_MAX                                                                   \
    }
#define OLD(s, k, v, ver, i, stale_us, from, to)                                                                       \
    {                                                                                                                  \
        TIMES(s, k, from, to), .value = (v), .version = (ver), .index = (i), .commit = (i) + 1,                        \
                               .staleness_ns = (stale_us)*US, .max_staleness_ns = 1000 * US, .max_lag = UINT64_MAX     \
    }

/* With a life of so many us. */
#define LIVES(s, k, v, i, ttl_us, from, to)                                                                            \
    { TIMES(s, k, from, to), .kind = HISTORY_PUT, .value = (v), .index = (i), .ttl_ns = (ttl_us)*US }
#define TOUCH(s, k, i, ttl_us, from, to)                                                                               \
    { TIMES(s, k, from, to), .kind = HISTORY_TOUCH, .index = (i), .ttl_ns = (ttl_us)*US }
#define ADD(s, k, d, sum, i, ttl_us, from, to)                                                                         \
    { TIMES(s, k, from, to), .kind = HISTORY_ADD, .delta = (d), .value = (sum), .index = (i), .ttl_ns = (ttl_us)*US }

#define HISTORY(...)                                                                                                   \
    struct history_op ops[] = { __VA_ARGS__ };                                                                         \
    struct history h = { .ops = ops, .n = sizeof(ops) / sizeof(ops[0]) }

static void expect(struct history *h, enum history_fault_kind kind) {
    struct history_fault f;
    bool fine = history_check(h, &f);
    if (f.kind != kind) {
        history_print(stdout, h, &f);
    }
    assert_int_equal(f.kind, kind);
    assert_int_equal(fine, kind == HISTORY_FINE);
}

/* The search knows nothing of indexes: it must find by values and times alone what is wrong. */
static void expect_search(struct history *h, bool fine) {
    struct history_fault f;
    assert_int_equal(history_check_search(h, &f), fine);
    assert_int_equal(f.kind, fine ? HISTORY_FINE : HISTORY_NOT_LINEARIZABLE);
}

/* ---- what may happen -------------------------------------------------------------------------------------------------- */

static void history_check__nothing__passes(void **state) {
    (void)state;
    struct history h = { .ops = NULL, .n = 0 };
    expect(&h, HISTORY_FINE);
}

static void history_check__one_after_another__passes(void **state) {
    (void)state;
    HISTORY(GET(A, 0, 0, 0, 0, 1, 2), PUT(A, 0, 7, 1, 3, 4), GET(B, 0, 7, 1, 1, 5, 6), CAS(B, 0, 1, 7, 8, 2, 7, 8),
            NOT_CAS(A, 0, 1, 7, 9, 2, 9, 10), DEL(A, 0, 3, 11, 12), GET(B, 0, 0, 0, 3, 13, 14),
            CAS(B, 0, 0, 0, 10, 4, 15, 16), PUT(A, 1, 11, 5, 17, 18), GET(B, 0, 10, 4, 5, 19, 20));
    expect(&h, HISTORY_FINE);
    expect_search(&h, true);
}

static void history_check__read_during_a_write__sees_either(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 10, 20), GET(B, 0, 7, 1, 1, 11, 12), GET(C, 0, 8, 2, 2, 13, 14),
            GET(B, 0, 8, 2, 2, 15, 16));
    expect(&h, HISTORY_FINE);
}

static void history_check__writes_at_once__any_order(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 2, 1, 10), PUT(B, 0, 8, 1, 2, 9), GET(C, 0, 7, 2, 2, 11, 12));
    expect(&h, HISTORY_FINE);
}

static void history_check__pending_write__seen_or_not(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), LOSE(B, 0, HISTORY_PUT, 8, 3), LOSE(C, 0, HISTORY_PUT, 9, 3),
            GET(A, 0, 7, 1, 1, 4, 5), GET(A, 0, 8, 2, 2, 100, 101));
    expect(&h, HISTORY_FINE);
}

static void history_check__pending_delete__explains_an_absence(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), LOSE(B, 0, HISTORY_DELETE, 0, 3), GET(A, 0, 7, 1, 1, 4, 5), GET(A, 0, 0, 0, 2, 6, 7),
            CAS(A, 0, 0, 0, 8, 3, 8, 9));
    expect(&h, HISTORY_FINE);
}

static void history_check__bounded_read__as_old_as_it_says(void **state) {
    (void)state;
    /* 8 was known at 20; the read of 1 at 120 .. 121 says up to 100 old. */
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 10, 20), OLD(B, 0, 7, 1, 1, 100, 120, 121));
    expect(&h, HISTORY_FINE);
}

static void history_check__snapshot_of_an_index__is_that_index(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 1, 8, 2, 3, 4), PUT(A, 0, 9, 3, 5, 6), OLD(B, 0, 7, 1, 2, 10, 7, 8),
            OLD(B, 1, 8, 2, 2, 10, 7, 8));
    expect(&h, HISTORY_FINE);
}

/* ---- what must not ----------------------------------------------------------------------------------------------------- */

static void history_check__stale_read_with_bound_0__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 3, 4), GET(B, 0, 7, 1, 1, 5, 6));
    expect(&h, HISTORY_STALE);
    expect_search(&h, false);
}

static void history_check__stale_read_of_a_key_that_did_not_change__fails(void **state) {
    (void)state;
    /* Key 0 is what it was; but the state of index 1 was not the newest, and the answer said so. */
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 1, 8, 2, 3, 4), GET(B, 0, 7, 1, 1, 5, 6));
    expect(&h, HISTORY_STALE);
}

static void history_check__new_then_old__fails(void **state) {
    (void)state;
    /* The write is under way all the time; B has seen it, so C must. */
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 3, 100), GET(B, 0, 8, 2, 2, 5, 6), GET(C, 0, 7, 1, 1, 7, 8));
    expect(&h, HISTORY_STALE);
    expect_search(&h, false);
}

static void history_check__lost_write__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 3, 4), GET(B, 0, 7, 1, 2, 5, 6));
    expect(&h, HISTORY_LOST);
    expect_search(&h, false);
}

static void history_check__lost_first_write__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), GET(B, 0, 0, 0, 1, 5, 6));
    expect(&h, HISTORY_LOST);
    expect_search(&h, false);
}

static void history_check__two_absences_one_pending_delete__fail(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), LOSE(C, 0, HISTORY_DELETE, 0, 3), GET(B, 0, 0, 0, 2, 5, 6), PUT(A, 0, 8, 3, 7, 8),
            GET(B, 0, 0, 0, 4, 9, 10));
    expect(&h, HISTORY_LOST);
    expect_search(&h, false);
}

static void history_check__cas_succeeded_twice__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), CAS(A, 0, 1, 7, 8, 2, 3, 10), CAS(B, 0, 1, 7, 9, 3, 3, 10));
    expect(&h, HISTORY_WRONG_CAS);
    expect_search(&h, false);
}

static void history_check__cas_of_nothing_over_something__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), CAS(B, 0, 0, 0, 9, 2, 3, 4));
    expect(&h, HISTORY_LOST);
    expect_search(&h, false);
}

static void history_check__cas_mismatch_without_cause__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), NOT_CAS(B, 0, 1, 7, 9, 1, 3, 4));
    expect(&h, HISTORY_WRONG_CAS);
    expect_search(&h, false);
}

static void history_check__cas_found_what_nobody_read__is_a_pending_write(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), LOSE(B, 0, HISTORY_PUT, 8, 3), NOT_CAS(C, 0, 1, 7, 9, 2, 4, 5), DEL(C, 0, 3, 6, 7));
    expect(&h, HISTORY_FINE);
    ops[1].call_ns = 6 * US; /* too late to be found */
    expect(&h, HISTORY_UNWRITTEN);
    expect_search(&h, false);
}

static void history_check__cas_found_the_unread_half_of_a_pending_batch__passes(void **state) {
    (void)state;
    HISTORY(LOSE(A, 0, HISTORY_PUT, 7, 1), LOSE(A, 1, HISTORY_PUT, 8, 1), GET(B, 0, 7, 1, 2, 2, 3),
            NOT_CAS(C, 1, 0, 0, 9, 2, 4, 5), DEL(C, 1, 3, 6, 7));
    ops[0].batch_n = ops[1].batch_n = 2;
    ops[1].batch_at = 1;
    expect(&h, HISTORY_FINE);
    ops[3].found = 3; /* not its index */
    ops[4].index = 4;
    expect(&h, HISTORY_UNWRITTEN);
}

static void history_check__cas_found_what_was_replaced__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 3, 4), NOT_CAS(B, 0, 0, 0, 9, 1, 5, 6));
    expect(&h, HISTORY_NOT_LINEARIZABLE);
}

static void history_check__write_done_twice__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(B, 0, 8, 2, 3, 4), GET(C, 0, 7, 3, 3, 5, 6));
    expect(&h, HISTORY_TWO_VERSIONS);
    expect_search(&h, false);
}

static void history_check__two_writes_one_index__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 5), PUT(B, 1, 8, 1, 2, 5));
    expect(&h, HISTORY_SAME_INDEX);
}

static void history_check__failed_write_was_seen__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), NOT_CAS(A, 0, 3, 9, 8, 1, 3, 4), GET(B, 0, 8, 2, 2, 5, 6));
    expect(&h, HISTORY_UNWRITTEN);
}

static void history_check__torn_value__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), GET(B, 0, HISTORY_TORN, 1, 1, 5, 6));
    expect(&h, HISTORY_UNWRITTEN);
}

static void history_check__value_of_another_key__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), GET(B, 1, 7, 1, 1, 5, 6));
    expect(&h, HISTORY_UNWRITTEN);
}

static void history_check__resurrected_delete__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), DEL(A, 0, 2, 3, 4), GET(B, 0, 7, 1, 2, 5, 6));
    expect(&h, HISTORY_RESURRECTED);
    expect_search(&h, false);
}

static void history_check__resurrected_pending_delete__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), LOSE(A, 0, HISTORY_DELETE, 0, 3), GET(B, 0, 0, 0, 2, 5, 6),
            GET(C, 0, 7, 1, 3, 7, 8));
    expect(&h, HISTORY_RESURRECTED);
    expect_search(&h, false);
}

static void history_check__write_seen_before_its_call__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), GET(B, 0, 8, 2, 2, 3, 4), PUT(A, 0, 8, 2, 5, 6));
    expect(&h, HISTORY_FROM_FUTURE);
    expect_search(&h, false);
}

static void history_check__version_above_the_index__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 2, 1, 10), GET(B, 0, 7, 2, 1, 3, 4));
    expect(&h, HISTORY_FROM_FUTURE);
}

static void history_check__later_write_with_an_earlier_index__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 2, 1, 2), PUT(B, 1, 8, 1, 3, 4));
    expect(&h, HISTORY_ORDER);
}

static void history_check__session_goes_back__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 3, 4), OLD(B, 0, 8, 2, 2, 100, 5, 6), OLD(B, 0, 7, 1, 1, 100, 7, 8));
    expect(&h, HISTORY_SESSION);
    ops[3].session = C; /* another one may */
    expect(&h, HISTORY_FINE);
}

static void history_check__own_write_not_read__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 3, 4), OLD(A, 0, 7, 1, 1, 100, 5, 6));
    expect(&h, HISTORY_SESSION);
}

static void history_check__write_below_what_was_read__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 2, 1, 10), GET(B, 0, 7, 2, 2, 3, 4), PUT(B, 1, 8, 1, 4, 6));
    expect(&h, HISTORY_SESSION);
}

static void history_check__fence_not_kept__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 3, 4), OLD(B, 0, 7, 1, 1, 100, 5, 6));
    ops[2].min_index = 2;
    expect(&h, HISTORY_SESSION);
}

static void history_check__staleness_claimed_1_us_too_small__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 0, 8, 2, 10, 20), OLD(B, 0, 7, 1, 1, 99, 120, 121));
    expect(&h, HISTORY_CLAIM);
}

static void history_check__staleness_too_small_by_what_another_saw__fails(void **state) {
    (void)state;
    /* The write itself was never answered; C proves that it was there at 20. */
    HISTORY(PUT(A, 0, 7, 1, 1, 2), LOSE(A, 0, HISTORY_PUT, 8, 3), GET(C, 0, 8, 2, 2, 10, 20),
            OLD(B, 0, 7, 1, 1, 99, 120, 121));
    expect(&h, HISTORY_CLAIM);
}

static void history_check__claim_beyond_the_bound__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), OLD(B, 0, 7, 1, 1, 100, 120, 121));
    ops[1].max_staleness_ns = 100 * US;
    expect(&h, HISTORY_FINE);
    ops[1].max_staleness_ns = 100 * US - 1;
    expect(&h, HISTORY_BOUND);
    ops[1].stale = ops[1].may_be_stale = true;
    expect(&h, HISTORY_FINE);
    ops[1].may_be_stale = false;
    expect(&h, HISTORY_BOUND);
    ops[1].stale = false;
    ops[1].max_staleness_ns = 1000 * US;
    ops[1].max_lag = 0;
    expect(&h, HISTORY_BOUND);
    ops[1].max_lag = 1;
    ops[1].linearizable = true;
    expect(&h, HISTORY_BOUND);
}

static void history_check__half_a_batch__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 9), PUT(A, 1, 8, 2, 1, 9), GET(B, 0, 7, 1, 1, 2, 3));
    ops[0].batch_n = ops[1].batch_n = 2;
    ops[1].batch_at = 1;
    expect(&h, HISTORY_TORN_BATCH);
    /* Pending: where one of it is, is the other. */
    ops[0].outcome = ops[1].outcome = HISTORY_PENDING;
    ops[0].index = ops[1].index = 0;
    ops[0].ret_ns = ops[1].ret_ns = HISTORY_NEVER;
    expect(&h, HISTORY_TORN_BATCH);
    ops[2].index = ops[2].commit = 2;
    expect(&h, HISTORY_FINE);
}

static void history_check__snapshot_of_two_states__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), PUT(A, 1, 8, 2, 3, 4), PUT(A, 0, 9, 3, 5, 6), OLD(B, 0, 7, 1, 3, 10, 7, 8),
            OLD(B, 1, 8, 2, 3, 10, 7, 8));
    expect(&h, HISTORY_LOST);
}

static void history_check__error_that_must_not_occur__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 0, 1, 2));
    ops[0].outcome = HISTORY_FAILED;
    ops[0].error = TIDE_ERR_NO_LEADER;
    expect(&h, HISTORY_FINE);
    ops[0].error = TIDE_ERR_CORRUPT;
    expect(&h, HISTORY_ERROR);
}

/* ---- lives and evictions ---------------------------------------------------------------------------------------------- */

static void history_check__absent_before_its_life_is_over__fails(void **state) {
    (void)state;
    /* Put at 1 .. 2 for 100: over at 101 .. 102. */
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), GET(B, 0, 0, 0, 1, 99, 100));
    expect(&h, HISTORY_EARLY);
    expect_search(&h, false);
    ops[1].ret_ns = 101 * US; /* it may just be over */
    expect(&h, HISTORY_FINE);
    ops[1].index = ops[1].commit = 2; /* and the leader may have removed it */
    expect(&h, HISTORY_FINE);
}

static void history_check__absent_late_though_it_has_no_life__fails(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 0, 1, 2), GET(B, 0, 0, 0, 2, 200, 201));
    expect(&h, HISTORY_LOST);
}

static void history_check__read_after_its_life__fails(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), GET(B, 0, 7, 1, 1, 102, 110));
    expect(&h, HISTORY_FINE); /* it began at the last instant */
    ops[1].call_ns = 103 * US;
    expect(&h, HISTORY_LATE);
    ops[1] = (struct history_op)OLD(B, 0, 7, 1, 1, 100, 120, 121); /* a bound does not help */
    expect(&h, HISTORY_LATE);
}

static void history_check__read_again_after_it_was_over__fails(void **state) {
    (void)state;
    /* Over at 101 .. 120; C saw at 102 .. 103 that it was. */
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 20), GET(C, 0, 0, 0, 1, 102, 103), GET(B, 0, 7, 1, 1, 104, 105));
    expect(&h, HISTORY_RESURRECTED);
    ops[2].call_ns = 103 * US; /* at once */
    expect(&h, HISTORY_FINE);
    ops[2] = (struct history_op)GET(B, 0, 7, 1, 1, 104, 105);
    ops[1].index = ops[1].commit = 2; /* of an older state; but both have one clock */
    ops[2].commit = 2;
    ops[2].staleness_ns = 500 * US;
    ops[2].max_staleness_ns = 1000 * US;
    ops[2].linearizable = false;
    expect(&h, HISTORY_RESURRECTED);
}

static void history_check__touched__lives_from_then_on(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), TOUCH(A, 0, 2, 100, 50, 51), GET(B, 0, 7, 2, 2, 140, 141));
    expect(&h, HISTORY_FINE);
    ops[2].version = 1; /* the touch made a version */
    expect(&h, HISTORY_LOST);
    ops[2] = (struct history_op)GET(B, 0, 0, 0, 2, 140, 141);
    expect(&h, HISTORY_EARLY);
    ops[2] = (struct history_op)GET(B, 0, 7, 2, 2, 152, 153);
    expect(&h, HISTORY_LATE);
    ops[1].ttl_ns = 10 * US; /* it may also be made shorter */
    ops[2] = (struct history_op)GET(B, 0, 0, 0, 2, 70, 71);
    expect(&h, HISTORY_FINE);
}

static void history_check__touch_of_nothing__fails(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), TOUCH(A, 0, 2, 100, 103, 104));
    expect(&h, HISTORY_LATE);
    ops[0] = (struct history_op)DEL(A, 0, 1, 1, 2);
    expect(&h, HISTORY_WRONG_CAS);
}

static void history_check__touch_that_found_nothing__needs_a_cause(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), TOUCH(A, 0, 0, 100, 50, 51));
    ops[1].outcome = HISTORY_MISMATCH;
    expect(&h, HISTORY_NOT_LINEARIZABLE);
    ops[1].ret_ns = 101 * US;
    expect(&h, HISTORY_FINE);
}

static void history_check__touch_that_was_not_answered__is_found_by_its_version(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), LOSE(A, 0, HISTORY_TOUCH, 0, 50), GET(B, 0, 7, 2, 2, 140, 141));
    ops[1].ttl_ns = 100 * US;
    expect(&h, HISTORY_FINE);
    ops[1].call_ns = 142 * US;
    expect(&h, HISTORY_TWO_VERSIONS);
}

static void history_check__touch_and_batch_that_were_not_answered__whose_version_is_known_by_the_batch(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 5, 1, 1, 2), LOSE(C, 1, HISTORY_TOUCH, 0, 3), LOSE(A, 0, HISTORY_PUT, 7, 4),
            LOSE(A, 1, HISTORY_PUT, 8, 4), GET(B, 1, 8, 4, 4, 20, 21), GET(B, 0, 7, 2, 4, 22, 23));
    ops[2].batch_n = ops[3].batch_n = 2;
    ops[3].batch_at = 1;
    expect(&h, HISTORY_FINE);
    for (size_t i = 1; i < 4; i++) {
        ops[i].index = 0; /* as it was before the check found it */
    }
    ops[1].call_ns = 24 * US;
    expect(&h, HISTORY_TWO_VERSIONS);
}

static void history_check__touch_and_put_that_were_not_answered__the_older_version_is_the_put(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 5, 1, 1, 2), LOSE(C, 1, HISTORY_TOUCH, 0, 3), LOSE(A, 1, HISTORY_PUT, 8, 4),
            GET(B, 1, 8, 3, 3, 20, 21), OLD(4, 1, 8, 2, 2, 50, 22, 23));
    expect(&h, HISTORY_FINE);
    ops[1].index = ops[2].index = 0;
    ops[1].call_ns = 24 * US;
    expect(&h, HISTORY_TWO_VERSIONS);
}

static void history_check__touch_that_was_not_answered__a_cas_misses_the_version_alone(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), LOSE(C, 0, HISTORY_TOUCH, 0, 3), NOT_CAS(B, 0, 1, 7, 9, 2, 10, 11),
            ADD(B, 0, 1, 8, 3, 0, 12, 13));
    ops[1].ttl_ns = 50 * US;
    expect(&h, HISTORY_FINE);
    ops[1].call_ns = 14 * US;
    expect(&h, HISTORY_UNWRITTEN);
}

static void history_check__touch_that_nobody_saw__may_have_changed_the_life(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 0, 1, 2), LOSE(A, 0, HISTORY_TOUCH, 0, 3), GET(B, 0, 0, 0, 2, 60, 61));
    ops[1].ttl_ns = 50 * US; /* shorter */
    expect(&h, HISTORY_FINE);
    ops[1].ttl_ns = 90 * US;
    expect(&h, HISTORY_LOST);
    ops[0].ttl_ns = 20 * US; /* longer: the next touch finds it */
    ops[2] = (struct history_op)TOUCH(B, 0, 3, 10, 60, 61);
    expect(&h, HISTORY_FINE);
    ops[1].call_ns = 62 * US;
    expect(&h, HISTORY_LATE);
}

static void history_check__touch_found_what_nobody_read__is_a_pending_write(void **state) {
    (void)state;
    HISTORY(ADD(A, 0, 5, 5, 1, 20, 1, 2), GET(B, 0, 0, 0, 1, 30, 31), LOSE(C, 0, HISTORY_ADD, 0, 29),
            TOUCH(B, 0, 3, 10, 40, 41), GET(B, 0, 0, 0, 4, 60, 61));
    ops[2].delta = 7;
    expect(&h, HISTORY_FINE);
    h.evicts = true;
    expect(&h, HISTORY_FINE);
    ops[2] = (struct history_op)LOSE(C, 0, HISTORY_PUT, 8, 29);
    expect(&h, HISTORY_FINE);
    h.evicts = false;
    expect(&h, HISTORY_FINE);
    ops[0] = (struct history_op)DEL(A, 0, 1, 1, 2);
    expect(&h, HISTORY_FINE);
    ops[2].call_ns = 42 * US; /* it came too late for the touch */
    expect(&h, HISTORY_WRONG_CAS);
    ops[0] = (struct history_op)ADD(A, 0, 5, 5, 1, 20, 1, 2);
    expect(&h, HISTORY_LATE);
    ops[2] = (struct history_op)LOSE(C, 1, HISTORY_PUT, 8, 29); /* another key's */
    expect(&h, HISTORY_LATE);
    ops[2] = (struct history_op)LOSE(C, 0, HISTORY_DELETE, 0, 29);
    expect(&h, HISTORY_LATE);
}

static void history_check__add_onto_what_was_not_answered__goes_on_with_its_life(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 5, 1, 1, 2), LOSE(C, 0, HISTORY_PUT, 8, 3), ADD(B, 0, 2, 10, 3, 0, 10, 11),
            GET(B, 0, 10, 3, 3, 20, 21));
    ops[1].ttl_ns = 30 * US;
    ops[3].left_ns = 13 * US;
    expect(&h, HISTORY_FINE);
    ops[3].left_ns = UINT64_MAX; /* a touch that nobody saw may have made it live for ever: not known */
    expect(&h, HISTORY_FINE);
    ops[0] = (struct history_op)DEL(A, 0, 1, 1, 2);
    ops[1] = (struct history_op)LOSE(C, 0, HISTORY_ADD, 0, 3);
    ops[1].delta = 8;
    ops[1].ttl_ns = 30 * US;
    ops[3].left_ns = 13 * US;
    expect(&h, HISTORY_FINE);
    ops[0] = (struct history_op)PUT(A, 0, 8, 1, 1, 2); /* that one has no life */
    ops[1] = (struct history_op)LOSE(C, 1, HISTORY_PUT, 9, 3);
    expect(&h, HISTORY_LIFE);
}

static void history_check__cas_and_add_on_what_is_over__fail(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), CAS(A, 0, 1, 7, 8, 2, 103, 104));
    expect(&h, HISTORY_LATE);
    ops[1].call_ns = 102 * US;
    expect(&h, HISTORY_FINE);
    ops[1] = (struct history_op)ADD(A, 0, 5, 12, 2, 0, 103, 104);
    expect(&h, HISTORY_LATE);
    ops[1] = (struct history_op)ADD(A, 0, 5, 5, 2, 0, 103, 104); /* it begins anew */
    expect(&h, HISTORY_FINE);
    ops[1] = (struct history_op)ADD(A, 0, 5, 5, 2, 0, 99, 100);
    expect(&h, HISTORY_EARLY);
}

static void history_check__adds__each_once_and_the_life_stays(void **state) {
    (void)state;
    HISTORY(ADD(A, 0, 5, 5, 1, 100, 1, 2), ADD(A, 0, 70, 75, 2, 0, 50, 51), GET(B, 0, 75, 2, 2, 60, 61),
            GET(B, 0, 0, 0, 2, 101, 102));
    expect(&h, HISTORY_FINE);
    ops[3] = (struct history_op)GET(B, 0, 75, 2, 2, 110, 111);
    expect(&h, HISTORY_LATE);
    ops[3] = (struct history_op)ADD(B, 0, 70, 145, 3, 0, 70, 71); /* twice the same: seen by a third */
    ops[2].value = 145;
    expect(&h, HISTORY_TWO_VERSIONS);
    ops[2].value = 75;
    ops[3].value = 75 + 71; /* not its delta */
    expect(&h, HISTORY_WRONG_CAS);
}

static void history_check__add_that_was_not_answered__is_found_by_its_sum(void **state) {
    (void)state;
    HISTORY(ADD(A, 0, 5, 5, 1, 0, 1, 2), LOSE(B, 0, HISTORY_ADD, 0, 3), LOSE(C, 0, HISTORY_ADD, 0, 3),
            GET(A, 0, 7005, 2, 2, 6, 7), ADD(A, 0, 100, 7905, 4, 0, 8, 9));
    ops[1].delta = 7000;
    ops[2].delta = 800;
    expect(&h, HISTORY_FINE);
    ops[2].delta = 900;
    expect(&h, HISTORY_WRONG_CAS);
}

static void history_check__adds_that_were_not_answered__one_onto_the_other_are_found_by_their_sum(void **state) {
    (void)state;
    HISTORY(ADD(A, 0, 5, 5, 1, 0, 1, 2), LOSE(B, 0, HISTORY_ADD, 0, 3), LOSE(C, 0, HISTORY_ADD, 0, 4),
            GET(A, 0, 7805, 3, 3, 6, 7));
    ops[1].delta = 7000;
    ops[2].delta = 800;
    expect(&h, HISTORY_FINE);
    for (size_t i = 1; i < 3; i++) {
        ops[i].value = ops[i].expected_value = ops[i].index = 0; /* as it was before the check found it */
    }
    ops[2].call_ns = 8 * US;
    expect(&h, HISTORY_NOT_LINEARIZABLE);
}

static void history_check__eviction__takes_a_key_that_is_not_kept_and_for_good(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), GET(B, 0, 0, 0, 2, 5, 6));
    expect(&h, HISTORY_LOST);
    h.evicts = true;
    expect(&h, HISTORY_FINE);
    ops[0].keep = true;
    expect(&h, HISTORY_LOST);
}

static void history_check__read_again_after_an_eviction__fails(void **state) {
    (void)state;
    HISTORY(PUT(A, 0, 7, 1, 1, 2), GET(B, 0, 0, 0, 2, 5, 6), GET(B, 0, 7, 1, 3, 7, 8));
    h.evicts = true;
    expect(&h, HISTORY_RESURRECTED);
    ops[2] = (struct history_op)OLD(C, 0, 7, 1, 1, 3, 7, 8); /* the state before it */
    expect(&h, HISTORY_FINE);
}

static void history_check__what_is_left__is_what_it_can_be(void **state) {
    (void)state;
    HISTORY(LIVES(A, 0, 7, 1, 100, 1, 2), GET(B, 0, 7, 1, 1, 50, 51));
    ops[1].left_ns = 52 * US; /* 101 .. 102 without 50 .. 51 */
    expect(&h, HISTORY_FINE);
    ops[1].left_ns = 50 * US;
    expect(&h, HISTORY_FINE);
    ops[1].left_ns = 49 * US;
    expect(&h, HISTORY_LIFE);
    ops[1].left_ns = 53 * US;
    expect(&h, HISTORY_LIFE);
    ops[1].left_ns = UINT64_MAX;
    expect(&h, HISTORY_LIFE);
    ops[0].ttl_ns = 0;
    expect(&h, HISTORY_FINE);
}

/* ---- the search alone --------------------------------------------------------------------------------------------------- */

static void history_search__order_needs_a_search__is_found(void **state) {
    (void)state;
    /* Five writes at once; the reads leave one order, and it is not that of the calls. */
    HISTORY(PUT(1, 0, 11, 0, 1, 100), PUT(2, 0, 12, 0, 2, 100), PUT(3, 0, 13, 0, 3, 100), PUT(4, 0, 14, 0, 4, 100),
            PUT(5, 0, 15, 0, 5, 100), GET(6, 0, 14, 0, 0, 10, 20), GET(6, 0, 12, 0, 0, 21, 30),
            GET(6, 0, 15, 0, 0, 31, 40), GET(6, 0, 11, 0, 0, 41, 50), GET(6, 0, 13, 0, 0, 51, 60));
    expect_search(&h, true);
    ops[9].value = 14; /* back again: a value is written once */
    expect_search(&h, false);
}

static void history_search__ten_at_once_without_an_order__ends(void **state) {
    (void)state;
    struct history_op ops[44];
    for (uint32_t i = 0; i < 40; i++) {
        ops[i] = (struct history_op)PUT(i % 10, 0, i + 1, 0, i / 10 * 100 + i % 10, i / 10 * 100 + 90);
    }
    for (uint32_t i = 0; i < 4; i++) { /* each after its ten: the first and the second of them in turn */
        ops[40 + i] = (struct history_op)GET(20, 0, i / 2 * 10 + i % 2 + 1, 0, 0, 91 + i / 2 * 100 + i % 2 * 2,
                                             92 + i / 2 * 100 + i % 2 * 2);
    }
    struct history h = { .ops = ops, .n = 44 };
    expect_search(&h, false);
}

/* ---- making a failure small ---------------------------------------------------------------------------------------------- */

static void history_minimise__a_long_history__leaves_the_cause(void **state) {
    (void)state;
    struct history_op ops[203];
    for (uint32_t i = 0; i < 100; i++) {
        ops[2 * i] = (struct history_op)PUT(A, i % 4, i + 1, i + 1, 10 * i + 1, 10 * i + 2);
        ops[2 * i + 1] = (struct history_op)GET(B, i % 4, i + 1, i + 1, i + 1, 10 * i + 3, 10 * i + 4);
    }
    ops[200] = (struct history_op)PUT(A, 5, 900, 101, 2000, 2001);
    ops[201] = (struct history_op)PUT(A, 5, 901, 102, 2002, 2003);
    ops[202] = (struct history_op)GET(C, 5, 900, 101, 102, 2004, 2005);
    struct history h = { .ops = ops, .n = 203 };
    expect(&h, HISTORY_LOST);
    history_minimise(&h, HISTORY_LOST);
    assert_int_equal(h.n, 3);
    assert_int_equal(ops[0].value, 900);
    assert_int_equal(ops[2].session, C);
    expect(&h, HISTORY_LOST);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(history_check__nothing__passes),
        cmocka_unit_test(history_check__one_after_another__passes),
        cmocka_unit_test(history_check__read_during_a_write__sees_either),
        cmocka_unit_test(history_check__writes_at_once__any_order),
        cmocka_unit_test(history_check__pending_write__seen_or_not),
        cmocka_unit_test(history_check__pending_delete__explains_an_absence),
        cmocka_unit_test(history_check__bounded_read__as_old_as_it_says),
        cmocka_unit_test(history_check__snapshot_of_an_index__is_that_index),
        cmocka_unit_test(history_check__stale_read_with_bound_0__fails),
        cmocka_unit_test(history_check__stale_read_of_a_key_that_did_not_change__fails),
        cmocka_unit_test(history_check__new_then_old__fails),
        cmocka_unit_test(history_check__lost_write__fails),
        cmocka_unit_test(history_check__lost_first_write__fails),
        cmocka_unit_test(history_check__two_absences_one_pending_delete__fail),
        cmocka_unit_test(history_check__cas_succeeded_twice__fails),
        cmocka_unit_test(history_check__cas_of_nothing_over_something__fails),
        cmocka_unit_test(history_check__cas_mismatch_without_cause__fails),
        cmocka_unit_test(history_check__cas_found_what_nobody_read__is_a_pending_write),
        cmocka_unit_test(history_check__cas_found_the_unread_half_of_a_pending_batch__passes),
        cmocka_unit_test(history_check__cas_found_what_was_replaced__fails),
        cmocka_unit_test(history_check__write_done_twice__fails),
        cmocka_unit_test(history_check__two_writes_one_index__fails),
        cmocka_unit_test(history_check__failed_write_was_seen__fails),
        cmocka_unit_test(history_check__torn_value__fails),
        cmocka_unit_test(history_check__value_of_another_key__fails),
        cmocka_unit_test(history_check__resurrected_delete__fails),
        cmocka_unit_test(history_check__resurrected_pending_delete__fails),
        cmocka_unit_test(history_check__write_seen_before_its_call__fails),
        cmocka_unit_test(history_check__version_above_the_index__fails),
        cmocka_unit_test(history_check__later_write_with_an_earlier_index__fails),
        cmocka_unit_test(history_check__session_goes_back__fails),
        cmocka_unit_test(history_check__own_write_not_read__fails),
        cmocka_unit_test(history_check__write_below_what_was_read__fails),
        cmocka_unit_test(history_check__fence_not_kept__fails),
        cmocka_unit_test(history_check__staleness_claimed_1_us_too_small__fails),
        cmocka_unit_test(history_check__staleness_too_small_by_what_another_saw__fails),
        cmocka_unit_test(history_check__claim_beyond_the_bound__fails),
        cmocka_unit_test(history_check__half_a_batch__fails),
        cmocka_unit_test(history_check__snapshot_of_two_states__fails),
        cmocka_unit_test(history_check__error_that_must_not_occur__fails),
        cmocka_unit_test(history_check__absent_before_its_life_is_over__fails),
        cmocka_unit_test(history_check__absent_late_though_it_has_no_life__fails),
        cmocka_unit_test(history_check__read_after_its_life__fails),
        cmocka_unit_test(history_check__read_again_after_it_was_over__fails),
        cmocka_unit_test(history_check__touched__lives_from_then_on),
        cmocka_unit_test(history_check__touch_of_nothing__fails),
        cmocka_unit_test(history_check__touch_that_found_nothing__needs_a_cause),
        cmocka_unit_test(history_check__touch_that_was_not_answered__is_found_by_its_version),
        cmocka_unit_test(history_check__touch_and_batch_that_were_not_answered__whose_version_is_known_by_the_batch),
        cmocka_unit_test(history_check__touch_and_put_that_were_not_answered__the_older_version_is_the_put),
        cmocka_unit_test(history_check__touch_that_was_not_answered__a_cas_misses_the_version_alone),
        cmocka_unit_test(history_check__touch_that_nobody_saw__may_have_changed_the_life),
        cmocka_unit_test(history_check__touch_found_what_nobody_read__is_a_pending_write),
        cmocka_unit_test(history_check__add_onto_what_was_not_answered__goes_on_with_its_life),
        cmocka_unit_test(history_check__cas_and_add_on_what_is_over__fail),
        cmocka_unit_test(history_check__adds__each_once_and_the_life_stays),
        cmocka_unit_test(history_check__add_that_was_not_answered__is_found_by_its_sum),
        cmocka_unit_test(history_check__adds_that_were_not_answered__one_onto_the_other_are_found_by_their_sum),
        cmocka_unit_test(history_check__eviction__takes_a_key_that_is_not_kept_and_for_good),
        cmocka_unit_test(history_check__read_again_after_an_eviction__fails),
        cmocka_unit_test(history_check__what_is_left__is_what_it_can_be),
        cmocka_unit_test(history_search__order_needs_a_search__is_found),
        cmocka_unit_test(history_search__ten_at_once_without_an_order__ends),
        cmocka_unit_test(history_minimise__a_long_history__leaves_the_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
