/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a domain tells of itself: to callers compiled with this header, an older and a newer one; and what memory is used for. */
#include "tests/lib/help.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/read/fill.h"

#define KIB UINT64_C(1024)

/* ---- sizes of structs ------------------------------------------------------------------------------------------------ */

/* One call that fills a struct. */
struct filled {
    const char *what;
    size_t least, whole; /* bytes: of version 0.1.0, and now */
    int (*call)(struct tide *d, struct tide_reader *r, void *out);
};

static int call_info(struct tide *d, struct tide_reader *r, void *out) {
    (void)r;
    return tide_info(d, out);
}
static int call_replica_info(struct tide *d, struct tide_reader *r, void *out) {
    (void)r;
    return tide_replica_info(d, 0, out);
}
static int call_verify(struct tide *d, struct tide_reader *r, void *out) {
    (void)r;
    return tide_verify(d, out);
}
static int call_reader_counts(struct tide *d, struct tide_reader *r, void *out) {
    (void)d;
    return tide_reader_counts(r, out);
}
static int call_read_counts(struct tide *d, struct tide_reader *r, void *out) {
    (void)r;
    return tide_read_counts(d, out);
}

static const struct filled CALLS[] = {
    { "tide_info", FILL_INFO_LEAST, sizeof(struct tide_info), call_info },
    { "tide_replica_info", FILL_REPLICA_INFO_LEAST, sizeof(struct tide_replica_info), call_replica_info },
    { "tide_verify", FILL_VERIFY_LEAST, sizeof(struct tide_verify), call_verify },
    { "tide_reader_counts", FILL_READ_COUNTS_LEAST, sizeof(struct tide_read_counts), call_reader_counts },
    { "tide_read_counts", FILL_READ_COUNTS_LEAST, sizeof(struct tide_read_counts), call_read_counts },
};
#define CALLS_COUNT (sizeof(CALLS) / sizeof(CALLS[0]))

/* A caller's struct of so many bytes, in memory that ends with it, so that a sanitizer sees a byte too many. */
static uint8_t *caller(size_t bytes) {
    uint8_t *out = malloc(bytes);
    assert_non_null(out);
    memset(out, 0xa5, bytes);
    memcpy(out, &bytes, sizeof(bytes));
    return out;
}

static void infos__of_older_and_newer_callers__are_filled_as_far_as_they_go(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    assert_int_equal(help_put(d, "k", 1, NULL), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(help_get(r, "k"), 1);
    for (size_t i = 0; i < CALLS_COUNT; i++) {
        const struct filled *c = &CALLS[i];
        print_message("%s: %zu bytes, %zu in version 0.1.0\n", c->what, c->whole, c->least);
        uint8_t *whole = caller(c->whole);
        assert_int_equal(c->call(d, r, whole), 0);
        for (size_t bytes = c->least; bytes < c->whole; bytes += sizeof(uint64_t)) {
            uint8_t *older = caller(bytes);
            assert_int_equal(c->call(d, r, older), 0);
            assert_memory_equal(older, &bytes, sizeof(bytes));
            assert_memory_equal(older + sizeof(bytes), whole + sizeof(bytes), bytes - sizeof(bytes));
            free(older);
        }
        size_t newer_bytes = c->whole + 64;
        uint8_t *newer = caller(newer_bytes);
        assert_int_equal(c->call(d, r, newer), 0);
        assert_memory_equal(newer, &c->whole, sizeof(c->whole)); /* it sees what was filled */
        assert_memory_equal(newer + sizeof(size_t), whole + sizeof(size_t), c->whole - sizeof(size_t));
        for (size_t k = c->whole; k < newer_bytes; k++) {
            assert_int_equal(newer[k], 0xa5);
        }
        size_t none = c->least - 1;
        memcpy(newer, &none, sizeof(none));
        uint8_t before[sizeof(struct tide_verify) + 64];
        memcpy(before, newer, newer_bytes);
        assert_int_equal(c->call(d, r, newer), TIDE_ERR_INVALID);
        assert_memory_equal(newer, before, newer_bytes);
        assert_int_equal(c->call(d, r, NULL), TIDE_ERR_INVALID);
        free(newer);
        free(whole);
    }
    tide_reader_close(r);
    tide_close(d);
}

/* ---- what memory is used for ------------------------------------------------------------------------------------------- */

static struct tide_replica_info memory_of(struct tide *d, uint32_t id) {
    struct tide_replica_info i = help_info(d, id);
    assert_int_equal(i.table_live_bytes + i.table_free_bytes + i.table_waiting_bytes + i.table_overhead_bytes,
                     i.table_bytes);
    return i;
}

/* A thread that keeps a section open. */
struct holder {
    struct tide *d;
    uint32_t id;
    pthread_t thread;
    _Atomic uint32_t open, end;
};

static void *hold_section(void *arg) {
    struct holder *h = arg;
    struct tide_reader *r = help_reader(h->d, TIDE_STICKY, (int32_t)h->id, UINT64_C(1) << h->id);
    help_check(tide_section_begin(r, NULL, NULL) == 0);
    atomic_store(&h->open, 1);
    while (atomic_load(&h->end) == 0) {
        sched_yield();
    }
    help_check(tide_section_end(r) == 0);
    tide_reader_close(r);
    return NULL;
}

static void tide_replica_info__of_a_table_that_is_filled_and_emptied__says_what_memory_is_used_for(void **state) {
    (void)state;
    static const uint8_t value[1000];
    struct tide *d = help_open(256 * KIB, 2048 * KIB, 0);
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    uint64_t keys = 0, empty = memory_of(d, leader).table_free_bytes;
    assert_int_equal(memory_of(d, leader).table_live_bytes, 0);
    assert_true(empty > 1024 * KIB);
    struct tide_token token;
    while (tide_put(d, NULL, &keys, sizeof(keys), value, sizeof(value), &token) == 0) {
        keys++;
        struct tide_replica_info i = memory_of(d, leader);
        assert_int_equal(i.table_live_bytes, keys * (sizeof(keys) + sizeof(value)));
        assert_true(i.table_waiting_bytes < 4 * KIB); /* buckets, perhaps */
    }
    assert_int_equal(tide_wait_applied(d, &token, 2, TIDE_UNBOUNDED), 0);
    for (uint32_t id = 0; id < 2; id++) {
        struct tide_replica_info full = memory_of(d, id);
        assert_int_equal(full.table_live_bytes, keys * (sizeof(keys) + sizeof(value)));
        assert_true(full.table_free_bytes < 2 * sizeof(value)); /* not one value more */
        assert_true(full.table_keys_most > full.keys);
    }
    /* What is deleted waits as long as a section is open that may read it. */
    struct holder h = { .d = d, .id = leader };
    assert_int_equal(pthread_create(&h.thread, NULL, hold_section, &h), 0);
    while (atomic_load(&h.open) == 0) {
        sched_yield();
    }
    for (uint64_t k = 0; k < keys; k++) {
        assert_int_equal(tide_delete(d, NULL, &k, sizeof(k), &token), 0);
    }
    struct tide_replica_info waits = memory_of(d, leader);
    assert_int_equal(waits.table_live_bytes, 0);
    assert_true(waits.table_waiting_bytes >= keys * (sizeof(keys) + sizeof(value)));
    assert_true(waits.table_free_bytes < empty);
    atomic_store(&h.end, 1);
    assert_int_equal(pthread_join(h.thread, NULL), 0);
    help_assert_threads();
    while (memory_of(d, leader).table_waiting_bytes > empty / 2) { /* by and by, with the writes that follow */
        assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, &token), 0);
    }
    assert_int_equal(tide_wait_applied(d, &token, 2, TIDE_UNBOUNDED), 0);
    assert_int_equal(help_info(d, follower).keys, 1);
    tide_close(d);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(infos__of_older_and_newer_callers__are_filled_as_far_as_they_go),
        cmocka_unit_test(tide_replica_info__of_a_table_that_is_filled_and_emptied__says_what_memory_is_used_for),
    };
    return cmocka_run_group_tests_name("info", tests, NULL, NULL);
}
