/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/clock.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint64_t gap_ns(uint64_t a, uint64_t b) {
    return a > b ? a - b : b - a;
}

/* Without a TSC, a case about it is skipped and says so. */
static void need_tsc(const struct clock_line *c) {
    if (!atomic_load(&c->use_tsc)) {
        print_message("no usable TSC here: clock_gettime is used\n");
        skip();
    }
}

static void clock_init__on_this_machine__passes_its_own_check(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    assert_int_equal(clock_check(&c), 0);
    assert_int_equal(atomic_load(&c.seq) & 1, 0);
}

/* Both clocks are read in turn, so an interruption widens the bracket and is no failure. */
static void clock_now__just_started__lies_between_two_readings_of_monotonic(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    for (int i = 0; i < 1000; i++) {
        uint64_t before = clock_monotonic_ns();
        uint64_t now = clock_now(&c);
        uint64_t after = clock_monotonic_ns();
        /* 100 us: what the first calibration may be off, ten times over. */
        assert_true(now + 100000 >= before && now <= after + 100000);
    }
}

static void clock_now__without_tsc__is_monotonic_itself(void **state) {
    (void)state;
    struct clock_line c;
    memset((void *)&c, 0, sizeof(c));
    assert_int_equal(clock_check(&c), 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t before = clock_monotonic_ns();
        uint64_t now = clock_now(&c);
        uint64_t stamp = clock_stamp(&c);
        assert_true(now >= before && stamp >= now && clock_monotonic_ns() >= stamp);
    }
    clock_refine(&c);
    clock_refine_now(&c);
    assert_int_equal(atomic_load(&c.use_tsc), 0);
}

/* ---- threads: an instant that is handed on never falls, while the leader corrects the rate all the time ------ */

struct relay {
    struct clock_line clock;
    _Atomic uint64_t latest;
    _Atomic uint64_t falls;
    _Atomic uint32_t stop;
};

/* A reading of the line. Where its writer sleeps in the middle of a correction, clock_now() answers by CLOCK_MONOTONIC, which may be some ns off: that
 * is no reading of the line, and while the line stands as it is, it does not happen. */
static bool relay_now(struct relay *r, bool quick, uint64_t *now) {
    if (quick) {
        return clock_now_quick(&r->clock, now);
    }
    uint32_t before = atomic_load(&r->clock.seq);
    *now = clock_now(&r->clock);
    return (before & 1) == 0 && atomic_load(&r->clock.seq) == before;
}

static void *relay_reader(void *arg) {
    struct relay *r = arg;
    bool quick = false;
    while (atomic_load(&r->stop) == 0) {
        uint64_t seen = atomic_load(&r->latest), now;
        quick = !quick;
        if (!relay_now(r, quick, &now)) { /* after that load: see clock_now() */
            continue;
        }
        if (now < seen) {
            atomic_fetch_add(&r->falls, 1);
        }
        while (seen < now && !atomic_compare_exchange_weak(&r->latest, &seen, now)) {
        }
    }
    return NULL;
}

static void clock_now__threads_and_corrections__never_falls(void **state) {
    (void)state;
    static struct relay r;
    memset((void *)&r, 0, sizeof(r));
    clock_init(&r.clock);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, relay_reader, &r), 0);
    }
    for (int i = 0; i < 3000; i++) {
        uint64_t seen = atomic_load(&r.latest);
        assert_true(clock_now(&r.clock) >= seen);
        clock_refine_now(&r.clock);
    }
    atomic_store(&r.stop, 1);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(r.falls, 0);
    assert_int_equal(atomic_load(&r.clock.seq) & 1, 0);
}

/* ---- corrections ------------------------------------------------------------------------------------------------- */

static void clock_refine_due__steps__are_powers_of_ten_then_every_ten_seconds(void **state) {
    (void)state;
    struct clock_line c;
    memset((void *)&c, 0, sizeof(c));
    const uint64_t ms = 1000000;
    c.anchor_ns = 5000 * ms;
    const struct {
        uint64_t done_ms;
        uint64_t due_ms;
    } steps[] = { { 2, 10 },        { 10, 100 },      { 100, 1000 },     { 1000, 10000 },
                  { 10000, 20000 }, { 20000, 30000 }, { 987654, 997654 } };
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        atomic_store(&c.base_ns, c.anchor_ns + steps[i].done_ms * ms);
        assert_false(clock_refine_due(&c, c.anchor_ns + steps[i].due_ms * ms - 1));
        assert_true(clock_refine_due(&c, c.anchor_ns + steps[i].due_ms * ms));
        assert_false(clock_refine_due(&c, c.anchor_ns + steps[i].done_ms * ms));
        assert_false(clock_refine_due(&c, c.anchor_ns)); /* before the last change: another core's stamp */
    }
}

static void clock_refine__rate_is_wrong__comes_right_without_a_jump(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    need_tsc(&c);
    uint64_t right, anchor, now;
    do { /* again where this thread slept: a clock that went too fast for long has much to lose */
        clock_init(&c);
        right = atomic_load(&c.mult);
        anchor = c.anchor_ns;
        atomic_store(&c.mult, right + right / 5000); /* 200 ppm too fast */
        /* Until 20 ms after the anchor, so that the measurement itself is good. */
        while ((now = clock_monotonic_ns()) - anchor < 20000000) {
        }
    } while (now - anchor > 30000000);
    uint64_t before = clock_now(&c);
    clock_refine_now(&c);
    uint64_t base = atomic_load(&c.base_ns);
    uint64_t after = clock_now(&c);
    assert_true(base >= before && after >= base);
    uint64_t rate = atomic_load(&c.mult);
    /* The clock is some us ahead and has the next 180 ms to lose them: slower than right, by less than it was wrong. */
    assert_true(rate < right + right / 20000);
    assert_true(rate > right - right / 2000);
}

static void clock_refine__monotonic_is_far_ahead__jumps_forward_once(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    need_tsc(&c);
    /* As if the TSC had stood still for a second. */
    atomic_store(&c.base_ns, atomic_load(&c.base_ns) - 1000000000u);
    c.anchor_ns -= 1000000000u;
    clock_refine_now(&c);
    uint64_t before = clock_monotonic_ns();
    uint64_t now = clock_now(&c);
    uint64_t after = clock_monotonic_ns();
    assert_true(now + 1000000 >= before && now <= after + 1000000);
    assert_int_equal(clock_check(&c), 0);
}

static void clock_refine__clock_is_far_ahead__never_goes_back(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    need_tsc(&c);
    atomic_store(&c.base_ns, atomic_load(&c.base_ns) + 5000000000u);
    uint64_t seen = clock_now(&c);
    for (int i = 0; i < 100; i++) {
        clock_refine_now(&c);
        uint64_t now = clock_now(&c);
        assert_true(now >= seen);
        seen = now;
    }
    assert_int_equal(clock_check(&c), 0);
}

/* Both clocks at one instant: looked at again where this thread slept in between. */
static uint64_t both_now(const struct clock_line *c, uint64_t *monotonic) {
    uint64_t now, before;
    do {
        before = clock_monotonic_ns();
        now = clock_now(c);
        *monotonic = clock_monotonic_ns();
    } while (*monotonic - before > 20000);
    return now;
}

/* A figure for the record: the same interval on both clocks. The assertion is wide; the printed number is the result. */
static void clock_now__after_corrections__rate_is_that_of_monotonic(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    need_tsc(&c);
    uint64_t start = clock_monotonic_ns();
    while (clock_monotonic_ns() - start < 120000000) {
        clock_refine(&c);
    }
    uint64_t first, last, clock_first = both_now(&c, &first);
    while (clock_monotonic_ns() - first < 200000000) {
        clock_refine(&c);
    }
    uint64_t clock_last = both_now(&c, &last);
    double ppm = ((double)(clock_last - clock_first) / (double)(last - first) - 1) * 1e6;
    print_message("rate against CLOCK_MONOTONIC over 200 ms: %+.3f ppm, offset %lld ns\n", ppm,
                  (long long)(clock_last - last));
    assert_true(ppm > -1000 && ppm < 1000);
    assert_true(gap_ns(clock_last, last) < 10000000);
}

/* ---- hostile bytes ----------------------------------------------------------------------------------------------- */

static void clock_check__impossible_values__refused(void **state) {
    (void)state;
    struct clock_line good, c;
    clock_init(&good);
    need_tsc(&good);
    assert_int_equal(clock_check(&good), 0);
    const struct {
        uint32_t use_tsc;
        uint64_t mult;
        uint32_t shift;
    } bad[] = {
        { 2, good.mult, good.shift },  { 1, 0, good.shift },         { 1, good.mult, 64 },
        { 1, good.mult, 0 },           { 1, UINT64_MAX, 32 },        { 1, good.mult, 63 },
        { UINT32_MAX, good.mult, 32 }, { 1, good.mult, UINT32_MAX }, { 1, 1, 32 },
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memcpy((void *)&c, (void *)&good, sizeof(c));
        atomic_store(&c.use_tsc, bad[i].use_tsc);
        atomic_store(&c.mult, bad[i].mult);
        atomic_store(&c.shift, bad[i].shift);
        assert_int_equal(clock_check(&c), -1);
    }
}

static void clock_now__sequence_stuck_odd__ends_with_monotonic(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    atomic_store(&c.seq, 7);
    atomic_store(&c.base_ns, 0);
    uint64_t before = clock_monotonic_ns();
    uint64_t now = clock_now(&c);
    assert_true(now >= before && now <= clock_monotonic_ns());
}

static void clock_refine__predecessor_died_halfway__mends_the_line(void **state) {
    (void)state;
    struct clock_line c;
    clock_init(&c);
    need_tsc(&c);
    atomic_store(&c.seq, 41);
    atomic_store(&c.base_tsc, atomic_load(&c.base_tsc) + 1000000000u); /* new tsc, old ns */
    uint64_t before = clock_now(&c);
    clock_refine(&c);
    assert_int_equal(atomic_load(&c.seq) & 1, 0);
    uint64_t now = clock_now(&c);
    assert_true(now >= before && now <= clock_monotonic_ns() + 1000000);
    assert_int_equal(clock_check(&c), 0);
}

static void clock__random_bytes__every_call_ends(void **state) {
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 20000; i++) {
        struct clock_line c;
        uint64_t words[sizeof(c) / 8];
        for (size_t w = 0; w < sizeof(words) / 8; w++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            words[w] = x;
        }
        memcpy((void *)&c, words, sizeof(c));
        if (i & 1) {
            atomic_store(&c.use_tsc, 1);
            atomic_store(&c.seq, (uint32_t)x & ~1u);
        }
        (void)clock_check(&c);
        (void)clock_now(&c);
        (void)clock_stamp(&c);
        if (i % 16 == 0) {
            clock_refine(&c);
            clock_refine_now(&c);
            /* Without a TSC nothing is ever corrected, and the line is not looked at. */
            assert_true(!CLOCK_HAS_TSC || !(atomic_load(&c.seq) & 1) || !atomic_load(&c.use_tsc));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_init__on_this_machine__passes_its_own_check),
        cmocka_unit_test(clock_now__just_started__lies_between_two_readings_of_monotonic),
        cmocka_unit_test(clock_now__without_tsc__is_monotonic_itself),
        cmocka_unit_test(clock_now__threads_and_corrections__never_falls),
        cmocka_unit_test(clock_refine_due__steps__are_powers_of_ten_then_every_ten_seconds),
        cmocka_unit_test(clock_refine__rate_is_wrong__comes_right_without_a_jump),
        cmocka_unit_test(clock_refine__monotonic_is_far_ahead__jumps_forward_once),
        cmocka_unit_test(clock_refine__clock_is_far_ahead__never_goes_back),
        cmocka_unit_test(clock_now__after_corrections__rate_is_that_of_monotonic),
        cmocka_unit_test(clock_check__impossible_values__refused),
        cmocka_unit_test(clock_now__sequence_stuck_odd__ends_with_monotonic),
        cmocka_unit_test(clock_refine__predecessor_died_halfway__mends_the_line),
        cmocka_unit_test(clock__random_bytes__every_call_ends),
    };
    return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
