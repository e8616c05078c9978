/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A put has a short way and a long one: both leave the same state behind. */
#include <stdio.h>
#include <unistd.h>

#include "engine/replica/replica.h"
#include "tests/lib/help.h"

#define MIB (UINT64_C(1) << 20)
#define KEYS 300u
#define PUTS 6000u

static int put(struct tide *d, uint64_t k, size_t value_size, struct tide_token *token) {
    static const uint8_t value[2000] = { 7 };
    char key[24];
    size_t len = (size_t)snprintf(key, sizeof(key), "%0*llu", (int)(3 + k % 17), (unsigned long long)k);
    return tide_put(d, NULL, key, len, value, value_size, token);
}

/* A leader and a follower of this process, written by puts of existing keys mostly, in sizes around those that take the short way. */
static struct tide *open_written(uint32_t *follower, struct tide_token *last) {
    struct tide *d = help_open(MIB, 8 * MIB, UINT64_C(60) * 1000000000);
    struct help_rng r = { help_seed() };
    help_leader(d);
    *follower = help_follower(d, 0);
    for (uint32_t i = 0; i < PUTS; i++) {
        uint64_t k = help_below(&r, KEYS);
        size_t size = help_below(&r, 10) == 0 ? help_below(&r, 2000) : help_below(&r, 100);
        assert_int_equal(put(d, k, size, last), 0);
    }
    assert_int_equal(tide_wait_applied(d, last, 2, UINT64_MAX), 0);
    return d;
}

/* By this sum the leader decides which writes there is room for, on behalf of followers. */
static void put__existing_keys__leader_and_follower_have_the_same_sum(void **state) {
    (void)state;
    uint32_t follower;
    struct tide_token last;
    struct tide *d = open_written(&follower, &last);
    const struct arena *ours = &atomic_load(&d->running[0])->writer.arena;
    const struct arena *theirs = &atomic_load(&d->running[follower])->writer.arena;
    uint64_t cost = 0;
    for (uint64_t k = 0; k < KEYS; k++) {
        assert_int_equal(put(d, k, 64, &last), 0);
        cost += arena_cost(ours, 3 + k % 17 + 64);
    }
    assert_int_equal(tide_wait_applied(d, &last, 2, UINT64_MAX), 0);
    assert_int_equal(ours->live, cost);
    assert_int_equal(theirs->live, cost);
    help_assert_equal_digests(d);
    assert_int_equal(tide_close(d), 0);
}

/* Divergence is found by comparing these. */
static void put__a_thousand_entries__digest_is_marked_by_leader_and_follower(void **state) {
    (void)state;
    uint32_t follower;
    struct tide_token last;
    struct tide *d = open_written(&follower, &last);
    uint32_t seen = 0;
    for (uint64_t index = LAYOUT_DIGEST_EVERY; index <= last.index; index += LAYOUT_DIGEST_EVERY, seen++) {
        uint64_t ours, theirs;
        assert_true(board_digest_at(&d->log->replicas[0], index, &ours));
        assert_true(board_digest_at(&d->log->replicas[follower], index, &theirs));
        assert_int_equal(ours, theirs);
    }
    assert_int_equal(seen, PUTS / LAYOUT_DIGEST_EVERY);
    assert_int_equal(tide_close(d), 0);
}

/* The leader counts groups, entries and what its keys take, whichever way a put went. */
static void put__both_ways__counted(void **state) {
    (void)state;
    uint32_t follower;
    struct tide_token last;
    struct tide *d = open_written(&follower, &last);
    assert_int_equal(atomic_load(&d->log->leader.groups), PUTS);
    assert_int_equal(atomic_load(&d->log->replicas[0].entries), last.index);
    const struct table_segment *ours = atomic_load(&d->running[0])->writer.t.seg;
    const struct table_segment *theirs = atomic_load(&d->running[follower])->writer.t.seg;
    assert_int_equal(atomic_load(&ours->live_keys), KEYS);
    assert_int_equal(atomic_load(&ours->live_bytes), atomic_load(&theirs->live_bytes));
    assert_int_equal(tide_close(d), 0);
}

/* A key that is not there, or was deleted, is put on the short way, too. */
static void put__keys_that_come_and_go__leader_and_follower_stay_alike(void **state) {
    (void)state;
    uint32_t follower;
    struct tide_token last;
    struct tide *d = open_written(&follower, &last);
    struct help_rng r = { help_seed() };
    bool there[KEYS];
    memset(there, 1, sizeof(there));
    for (uint32_t i = 0; i < PUTS; i++) {
        uint64_t k = help_below(&r, KEYS);
        if (there[k] && help_below(&r, 2) == 0) {
            char key[24];
            size_t len = (size_t)snprintf(key, sizeof(key), "%0*llu", (int)(3 + k % 17), (unsigned long long)k);
            assert_int_equal(tide_delete(d, NULL, key, len, &last), 0);
            there[k] = false;
        } else {
            assert_int_equal(put(d, k, 64, &last), 0);
            there[k] = true;
        }
    }
    const struct table_writer *ours = &atomic_load(&d->running[0])->writer;
    uint64_t before = atomic_load(&d->log->leader.groups), keys = 0, cost = 0;
    for (uint64_t k = 0; k < KEYS; k++) {
        keys += !there[k];
        assert_int_equal(put(d, k, 64, &last), 0);
        cost += arena_cost(&ours->arena, 3 + k % 17 + 64);
    }
    assert_true(keys > 0);
    assert_int_equal(tide_wait_applied(d, &last, 2, UINT64_MAX), 0);
    assert_int_equal(atomic_load(&d->log->leader.groups), before + KEYS);
    assert_int_equal(ours->keys, KEYS);
    assert_int_equal(ours->arena.live, cost);
    assert_int_equal(atomic_load(&d->running[follower])->writer.arena.live, cost);
    help_assert_equal_digests(d);
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.damaged, 0);
    assert_int_equal(tide_close(d), 0);
}

/* Corrections are due 10 ms after a domain began, and then ever more rarely: an application that does nothing but put existing keys
 * gets them as well. */
static void put__short_way_alone__the_clock_is_corrected(void **state) {
    (void)state;
    struct tide *d = help_open(MIB, 8 * MIB, UINT64_C(60) * 1000000000);
    help_leader(d);
    assert_int_equal(put(d, 1, 64, NULL), 0);
    assert_int_equal(put(d, 1, 64, NULL), 0);
    uint64_t before = atomic_load(&d->log->clock.base_ns);
    /* Not so many that the ring is full and a put takes the long way, which does it, too. */
    bool due = atomic_load(&d->log->clock.use_tsc) != 0;
    for (uint32_t i = 0; i < 4000 && due && atomic_load(&d->log->clock.base_ns) == before; i++) {
        assert_int_equal(put(d, 1, 64, NULL), 0);
        usleep(1000);
    }
    assert_true(!due || atomic_load(&d->log->clock.base_ns) != before);
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put__existing_keys__leader_and_follower_have_the_same_sum),
        cmocka_unit_test(put__a_thousand_entries__digest_is_marked_by_leader_and_follower),
        cmocka_unit_test(put__both_ways__counted),
        cmocka_unit_test(put__keys_that_come_and_go__leader_and_follower_stay_alike),
        cmocka_unit_test(put__short_way_alone__the_clock_is_corrected),
    };
    return cmocka_run_group_tests_name("put", tests, NULL, NULL);
}
