/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sizes of values change over a cache's life: memory of deleted values serves any size, in the leader's table and in a follower's, also
 * after a change of leader, and while newcomers join. In engine/table's terms: tests/test_table_full.c; random histories: tests/test_memory_model.c. */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define TABLE (4096 * KIB)
#define SHIFT_KEYS 23
#define SHIFT_LARGEST 15000

static uint8_t value[64 * KIB];
static unsigned complaints;

static void complain(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level == TIDE_LOG_ERROR || strstr(text, "joins anew") != NULL) {
        print_message("%s\n", text);
        complaints++;
    }
}

static struct tide *open_table_that(enum tide_evict evicts, uint64_t ring_bytes, uint64_t table_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.evict = evicts;
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    o.ring_bytes = ring_bytes;
    o.table_bytes = table_bytes;
    o.slow_follower_ns = UINT64_C(3600000000000); /* nobody is lapped */
    o.write_timeout_ns = UINT64_C(60000000000);
    o.log = complain;
    struct tide *d = NULL;
    complaints = 0;
    assert_int_equal(tide_open(&d, help_name(), &o), 0);
    help_leader(d);
    return d;
}

static struct tide *open_table(uint64_t ring_bytes, uint64_t table_bytes) {
    return open_table_that(TIDE_EVICT_NONE, ring_bytes, table_bytes);
}

static int put(struct tide *d, uint64_t key, size_t bytes) {
    return tide_put(d, NULL, &key, sizeof(key), value, bytes, NULL);
}

static void drop(struct tide *d, uint64_t key) {
    assert_int_equal(tide_delete(d, NULL, &key, sizeof(key), NULL), 0);
}

/* Keys from `first` on until one is refused: how many. */
static uint64_t fill(struct tide *d, uint64_t first, size_t bytes) {
    uint64_t n = 0;
    int error;
    while ((error = put(d, first + n, bytes)) == 0) {
        n++;
    }
    assert_int_equal(error, TIDE_ERR_FULL);
    return n;
}

static void close_whole(struct tide *d) {
    help_assert_equal_digests(d);
    assert_int_equal(complaints, 0);
    tide_close(d);
}

static void domains__emptied_and_filled_with_other_sizes__take_what_fresh_ones_take(void **state) {
    (void)state;
    const size_t sizes[] = { 64, 4096, 1000, 60000, 64 };
    struct tide *d = open_table(512 * KIB, TABLE);
    help_follower(d, 0);
    uint64_t first = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct tide *fresh = open_table(512 * KIB, TABLE);
        uint64_t most = fill(fresh, 0, sizes[i]);
        close_whole(fresh);
        uint64_t n = fill(d, first, sizes[i]);
        print_message("values of %zu: a fresh domain takes %llu, this one %llu\n", sizes[i], (unsigned long long)most,
                      (unsigned long long)n);
        assert_int_equal(n, most);
        for (uint64_t k = 0; k < n; k++) {
            drop(d, first + k);
        }
        first += n;
    }
    close_whole(d);
}

static void domains__whose_sizes_shift_while_the_oldest_are_deleted__refuse_nothing_for_good(void **state) {
    (void)state;
    struct help_rng rng = { help_seed() };
    struct tide *d = open_table(512 * KIB, TABLE);
    help_follower(d, 0);
    uint64_t puts = help_scaled(60000), oldest = 0, most = 0;
    for (uint64_t i = 0; i < puts; i++) {
        size_t bytes = (size_t)(100 + help_below(&rng, i < puts / 2 ? 400 : 2000));
        uint64_t deleted = 0;
        int error;
        while ((error = put(d, i, bytes)) == TIDE_ERR_FULL) {
            assert_true(oldest < i); /* else nothing is left, and still it does not fit */
            drop(d, oldest++);
            deleted++;
        }
        assert_int_equal(error, 0);
        most = deleted > most ? deleted : most;
    }
    struct tide_replica_info info = help_info(d, 0);
    print_message("%llu keys, %.1f %% of the budget is payload; most deletes for one put %llu\n",
                  (unsigned long long)info.keys, 100.0 * (double)info.table_live_bytes / (double)info.table_bytes,
                  (unsigned long long)most);
    /* What a fresh table holds of such sizes. */
    struct tide *fresh = open_table(512 * KIB, TABLE);
    for (uint64_t i = 0; put(fresh, i, (size_t)(100 + help_below(&rng, 2000))) == 0; i++) {
    }
    assert_true(info.table_live_bytes >= help_info(fresh, 0).table_live_bytes * 85 / 100);
    close_whole(fresh);
    close_whole(d);
}

/* Keys that come and go, at the domain's most. An overflow bucket lasts as long as its last key, so ever more of them are in use. */
static uint64_t churn(struct tide *d, uint64_t *first, size_t bytes, uint64_t times) {
    uint64_t n = fill(d, *first, bytes), oldest = *first, next = *first + n;
    for (uint64_t i = 0; i < n * times; i++) {
        drop(d, oldest++);
        assert_int_equal(put(d, next++, bytes), 0);
    }
    *first = oldest;
    return n;
}

static void domains__full_of_small_values_that_came_and_went__take_large_ones_when_emptied(void **state) {
    (void)state;
    const size_t sizes[] = { 0, 24, 56 };
    const uint64_t budgets[] = { TABLE, 5000000, 7200000 };
    for (size_t i = 0; i < 3; i++) {
        struct tide *fresh = open_table(512 * KIB, budgets[i]);
        uint64_t most = fill(fresh, 0, 60000), most_small;
        close_whole(fresh);
        fresh = open_table(512 * KIB, budgets[i]);
        most_small = fill(fresh, 0, sizes[i]);
        close_whole(fresh);
        struct tide *d = open_table(512 * KIB, budgets[i]);
        help_follower(d, 0);
        uint64_t first = 0, n = churn(d, &first, sizes[i], 3);
        assert_int_equal(n, most_small);
        for (uint64_t k = 0; k < n; k++) {
            drop(d, first + k);
        }
        assert_int_equal(fill(d, 0, 60000), most);
        for (uint64_t k = 0; k < most; k++) {
            drop(d, k);
        }
        assert_int_equal(fill(d, 0, sizes[i]), most_small);
        close_whole(d);
    }
}

static _Atomic uint32_t reading;

struct stays {
    struct tide *d; /* a handle to which the replicas are another process's */
    uint64_t step;  /* every such key stays */
    _Atomic uint64_t first, end;
    uint64_t reads;
};

/* Every key that stays is found, whatever moves meanwhile. */
static void *read_what_stays(void *ctx) {
    struct stays *s = ctx;
    struct tide_reader *r = help_reader(s->d, TIDE_ROUND_ROBIN, -1, 0);
    struct help_rng rng = { 7 };
    uint8_t got[64];
    while (atomic_load(&reading) != 0) {
        uint64_t first = atomic_load(&s->first), n = (atomic_load(&s->end) - first) / s->step;
        uint64_t key = first + help_below(&rng, n) * s->step;
        help_check(tide_get(r, &key, sizeof(key), NULL, got, sizeof(got), NULL) == 0);
        s->reads++;
    }
    tide_reader_close(r);
    return NULL;
}

static void domains__full_of_small_values_of_which_some_stay__take_large_ones_as_a_fresh_one_with_those(void **state) {
    (void)state;
    struct tide *d = open_table(512 * KIB, TABLE), *fresh = open_table(512 * KIB, TABLE);
    help_follower(d, 0);
    uint64_t first = 0, n = churn(d, &first, 8, 3), large = UINT64_C(1) << 40;
    struct stays stays = { .d = help_open_again(d), .step = 8 };
    atomic_store(&stays.first, first);
    atomic_store(&stays.end, first + n);
    pthread_t thread;
    atomic_store(&reading, 1);
    assert_int_equal(pthread_create(&thread, NULL, read_what_stays, &stays), 0);
    for (uint64_t k = 0; k < n; k++) {
        if (k % stays.step != 0) {
            drop(d, first + k);
        } else {
            assert_int_equal(put(fresh, first + k, 8), 0);
        }
    }
    uint64_t most = fill(fresh, large, 60000), took = fill(d, large, 60000);
    print_message("values of 60000 beside %llu small ones: a fresh domain takes %llu, this one %llu\n",
                  (unsigned long long)(n / stays.step), (unsigned long long)most, (unsigned long long)took);
    assert_int_equal(took, most);
    for (uint64_t k = 0; k < took; k++) {
        drop(d, large + k);
    }
    for (uint64_t k = 0; k < most; k++) {
        drop(fresh, large + k);
    }
    assert_int_equal(fill(d, large, 4096), fill(fresh, large, 4096));
    atomic_store(&reading, 0);
    pthread_join(thread, NULL);
    help_assert_threads();
    assert_true(stays.reads != 0);
    tide_close(stays.d);
    close_whole(fresh);
    close_whole(d);
}

static void domains__that_are_full__take_every_overwrite_that_is_no_larger(void **state) {
    (void)state;
    struct tide *d = open_table(512 * KIB, TABLE);
    help_follower(d, 0);
    uint64_t n = fill(d, 0, 200);
    for (uint64_t k = 0; k < n; k++) {
        assert_int_equal(put(d, k, 200), 0);
    }
    for (uint64_t k = 0; k < n; k++) {
        assert_int_equal(put(d, k, k % 200), 0);
    }
    close_whole(d);
}

/* Two keys whose values shrink fill an old table with nodes of many sizes. A younger replica has seen none of them, and leads. */
/* New keys alone, so that nothing is kept for a batch: whatever the ring takes is done, and a follower, whose memory lies in other pieces, has room. */
static void batches__that_take_most_of_what_is_free__are_done_and_held(void **state) {
    (void)state;
    enum { OPS = 300 };
    static uint64_t keys[OPS];
    static struct tide_op ops[OPS];
    struct help_rng rng = { help_seed() };
    struct tide *d = open_table_that(TIDE_EVICT_S3FIFO, 1024 * KIB, 1024 * KIB);
    help_follower(d, 0);
    uint64_t key = 0;
    for (uint64_t i = 0; i < help_scaled(1500); i++) {
        uint64_t n = 0, most = 1 + help_below(&rng, OPS), bytes = 0, larger = help_below(&rng, 3) == 0 ? 2000 : 100;
        for (; n < most && bytes < 250 * KIB; n++) {
            keys[n] = key++;
            ops[n] =
                (struct tide_op){ .kind = TIDE_OP_PUT, .key = &keys[n], .key_len = sizeof(keys[n]), .value = value };
            ops[n].value_size = help_below(&rng, larger);
            bytes += ops[n].value_size + 72; /* with its frame */
        }
        assert_int_equal(tide_batch(d, NULL, ops, n, NULL, NULL), 0);
    }
    close_whole(d);
}

static void followers__older_than_the_leader__hold_what_it_admits(void **state) {
    (void)state;
    struct tide *d = open_table(64 * KIB, 256 * KIB);
    help_follower(d, 0);
    for (size_t bytes = 16000; bytes > 2000; bytes -= 2 * bytes / 17) {
        assert_int_equal(put(d, 1, bytes), 0);
        assert_int_equal(put(d, 2, bytes), 0);
    }
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.candidate = 1;
    uint32_t younger;
    assert_int_equal(tide_replica_start(d, &o, &younger), 0);
    assert_int_equal(tide_replica_stop(d, 0), 0);
    while (help_info(d, younger).role != TIDE_LEADER) {
        sched_yield();
    }
    for (size_t bytes = 15000; bytes > 2000; bytes -= bytes / 17) {
        assert_int_equal(put(d, 1, bytes), 0);
        assert_int_equal(put(d, 2, bytes), 0);
    }
    close_whole(d);
}

static uint32_t start_candidate(struct tide *d, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint32_t id;
    o.role = role;
    o.candidate = 1;
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    return id;
}

/* An old leader and its follower were full of one size and emptied. One that joins then, in a process of its own, has seen none of that; it
 * leads, and fills its table with another size. */
static void followers__full_once_and_emptied__hold_what_a_late_leader_admits(void **state) {
    (void)state;
    struct tide *d = open_table(512 * KIB, TABLE);
    assert_int_equal(tide_replica_stop(d, 0), 0);
    uint32_t old_leader = start_candidate(d, TIDE_LEADER), old_follower = help_follower(d, 0);
    uint64_t n = fill(d, 0, 60000);
    for (uint64_t k = 0; k < n; k++) {
        drop(d, k);
    }
    struct tide *other = help_open_again(d);
    uint32_t late = start_candidate(other, TIDE_FOLLOWER);
    assert_int_equal(tide_step_down(d), 0);
    while (help_info(d, late).role != TIDE_LEADER) {
        sched_yield();
    }
    assert_true(fill(other, 1000, 47000) > 0);
    assert_int_equal(help_info(d, late).role, TIDE_LEADER);
    help_assert_equal_digests(d);
    assert_int_equal(help_state(d, old_leader), TIDE_STATE_SERVING);
    assert_int_equal(help_state(d, old_follower), TIDE_STATE_SERVING);
    close_whole(d);
    tide_close(other);
}

static _Atomic uint32_t enough;

/* Sizes from nothing to all that fits, in a table that is too small for all of them. */
static void *write_shifting(void *ctx) {
    struct tide *d = ctx;
    struct help_rng rng = { 51 };
    while (atomic_load(&enough) == 0) {
        const size_t sizes[] = {
            0, help_below(&rng, 9), help_below(&rng, SHIFT_LARGEST), SHIFT_LARGEST - help_below(&rng, 64), 64, 64
        };
        uint64_t key = help_below(&rng, SHIFT_KEYS);
        int error = put(d, key, sizes[help_below(&rng, 6)]);
        if (error == TIDE_ERR_FULL && help_below(&rng, 2) == 0) {
            error = tide_delete(d, NULL, &key, sizeof(key), NULL);
        }
        help_check(error == 0 || error == TIDE_ERR_FULL || error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_UNKNOWN);
    }
    return NULL;
}

/* Followers with a delay that come, are lapped again and again, and go; and the lead changes to and fro between two others of their own process.
 * A start may take its time. None is refused, and none fails for good. */
static void newcomers__lapped_under_load_while_the_lead_changes__none_fails(void **state) {
    (void)state;
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    o.ring_bytes = 64 * KIB;
    o.table_bytes = 256 * KIB;
    o.slow_follower_ns = 1000000;
    o.write_timeout_ns = UINT64_C(60000000000);
    assert_int_equal(tide_open(&d, help_name(), &o), 0);
    uint32_t two[2] = { start_candidate(d, TIDE_LEADER), start_candidate(d, TIDE_FOLLOWER) };
    pthread_t writer;
    atomic_store(&enough, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_shifting, d), 0);
    uint64_t lapped = 0, joins = 0, rounds = help_scaled(40);
    for (uint64_t i = 0; i < rounds; i++) {
        struct tide_replica_opts r = TIDE_REPLICA_OPTS_INIT;
        uint32_t id;
        r.apply_delay_ns = i % 2 == 0 ? 16000000 : 0;
        int error;
        while ((error = tide_replica_start(d, &r, &id)) ==
               TIDE_ERR_TIMEOUT) { /* lapped for ten seconds: may be tried again */
        }
        assert_int_equal(error, 0);
        for (int look = 0; look < 30; look++) {
            struct timespec ms = { .tv_nsec = 1000000 };
            nanosleep(&ms, NULL);
            enum tide_state seen = help_state(d, id);
            assert_true(seen != TIDE_STATE_FAILED && seen != TIDE_STATE_DIVERGED);
            if (look == 10) {
                int down = tide_step_down(d);
                assert_true(down == 0 || down == TIDE_ERR_TIMEOUT || down == TIDE_ERR_NO_LEADER);
            }
        }
        struct tide_replica_info info = help_info(d, id);
        lapped += info.lapped;
        joins += info.joins;
        assert_int_equal(tide_replica_stop(d, id), 0);
        for (int k = 0; k < 2; k++) {
            enum tide_state seen = help_state(d, two[k]);
            assert_true(seen != TIDE_STATE_FAILED && seen != TIDE_STATE_DIVERGED && seen != TIDE_STATE_STOPPED);
        }
    }
    atomic_store(&enough, 1);
    pthread_join(writer, NULL);
    help_assert_threads();
    print_message("%llu starts, %llu times lapped, %llu joins\n", (unsigned long long)rounds,
                  (unsigned long long)lapped, (unsigned long long)joins);
    help_assert_equal_digests(d);
    tide_close(d);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains__emptied_and_filled_with_other_sizes__take_what_fresh_ones_take),
        cmocka_unit_test(domains__whose_sizes_shift_while_the_oldest_are_deleted__refuse_nothing_for_good),
        cmocka_unit_test(domains__full_of_small_values_that_came_and_went__take_large_ones_when_emptied),
        cmocka_unit_test(domains__full_of_small_values_of_which_some_stay__take_large_ones_as_a_fresh_one_with_those),
        cmocka_unit_test(domains__that_are_full__take_every_overwrite_that_is_no_larger),
        cmocka_unit_test(batches__that_take_most_of_what_is_free__are_done_and_held),
        cmocka_unit_test(followers__older_than_the_leader__hold_what_it_admits),
        cmocka_unit_test(followers__full_once_and_emptied__hold_what_a_late_leader_admits),
        cmocka_unit_test(newcomers__lapped_under_load_while_the_lead_changes__none_fails),
    };
    return cmocka_run_group_tests_name("sizes_shift", tests, NULL, NULL);
}
