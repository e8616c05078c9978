/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sizes of values change over a cache's life: what was deleted serves any size, in the leader's table and in a follower's, whoever
 * leads. In engine/table's terms: tests/test_table_full.c; random histories: tests/test_memory_model.c. */
#include <sched.h>
#include <stdio.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define TABLE (4096 * KIB)

static uint8_t value[64 * KIB];
static unsigned complaints;

static void complain(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level == TIDE_LOG_ERROR || strstr(text, "joins anew") != NULL) {
        print_message("%s\n", text);
        complaints++;
    }
}

static struct tide *open_table(uint64_t ring_bytes, uint64_t table_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
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

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(domains__emptied_and_filled_with_other_sizes__take_what_fresh_ones_take),
        cmocka_unit_test(domains__whose_sizes_shift_while_the_oldest_are_deleted__refuse_nothing_for_good),
        cmocka_unit_test(domains__that_are_full__take_every_overwrite_that_is_no_larger),
        cmocka_unit_test(followers__older_than_the_leader__hold_what_it_admits),
    };
    return cmocka_run_group_tests_name("sizes_shift", tests, NULL, NULL);
}
