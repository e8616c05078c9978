/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reads of another process's replica whose writer is stopped in the middle of a change: no miss can be believed. Each fallback
 * answers as the header says. And a damaged replica of this process: the caller's bound holds for what serves instead.
 */
#include <pthread.h>

#include "engine/replica/replica.h"
#include "engine/table/table_slots.h"
#include "shm/nap.h"
#include "tests/lib/pair.h"

static struct table_segment *table_of(struct tide *d, uint32_t id) {
    return atomic_load(&d->running[id])->writer.t.seg;
}

/* Odd, as while slots are cleared: see engine/replica/foreign.h. */
static void stick(struct tide *d, uint32_t id) {
    atomic_fetch_or(&table_of(d, id)->reorganised, 1);
}

static void release(struct tide *d, uint32_t id) {
    atomic_fetch_add(&table_of(d, id)->reorganised, 1);
}

struct two {
    struct tide *leads, *reads;
    struct tide_reader *r;
};

static struct two open_two(void) {
    struct two t = { .leads = help_open(0, 0, 0) };
    help_leader(t.leads);
    help_follower(t.leads, 0);
    put_number(t.leads, "k", 1);
    help_assert_equal_digests(t.leads);
    t.reads = help_open_again(t.leads);
    t.r = help_reader(t.reads, TIDE_STICKY, -1, 0);
    assert_int_equal(get(t.r, "none", NULL).error, TIDE_ERR_NOT_FOUND);
    return t;
}

static void close_two(struct two *t) {
    tide_reader_close(t->r);
    tide_close(t->reads);
    tide_close(t->leads);
}

static void assert_told(struct got g, int error, bool waited) {
    assert_int_equal(g.error, error);
    assert_int_equal(g.a.reason, TIDE_REASON_REFUSED);
    assert_int_equal(g.a.linearizable, 0);
    assert_int_equal(g.a.index, 1);
    assert_int_equal(g.a.commit_index, 1);
    assert_true(g.a.staleness_ns > 0);
    assert_true(!waited || g.a.waited_ns >= 1000000);
}

static void get__all_replicas_stuck__each_fallback_fills_the_answer(void **state) {
    (void)state;
    struct two t = open_two();
    stick(t.leads, 0);
    stick(t.leads, 1);
    struct tide_bound b = bound_of(TIDE_FALLBACK_ERROR, 0);
    assert_told(get(t.r, "none", &b), TIDE_ERR_REFUSED, false);
    b.fallback = TIDE_FALLBACK_STALE;
    assert_told(get(t.r, "none", &b), TIDE_ERR_REFUSED, false);
    b.fallback = TIDE_FALLBACK_WAIT;
    b.wait_ns = 1000000;
    assert_told(get(t.r, "none", &b), TIDE_ERR_TIMEOUT, true);
    b.fallback = TIDE_FALLBACK_LEADER;
    assert_told(get(t.r, "none", &b), TIDE_ERR_TIMEOUT, true);
    release(t.leads, 1); /* one is enough */
    assert_int_equal(get(t.r, "none", &b).error, TIDE_ERR_NOT_FOUND);
    close_two(&t);
}

static void *release_later(void *d) {
    park_nap(50000000);
    release(d, 1);
    return NULL;
}

static void get__stuck_for_a_while_and_fallback_wait__served_within_the_wait(void **state) {
    (void)state;
    struct two t = open_two();
    stick(t.leads, 0);
    stick(t.leads, 1);
    pthread_t later;
    assert_int_equal(pthread_create(&later, NULL, release_later, t.leads), 0);
    struct tide_bound b = bound_of(TIDE_FALLBACK_WAIT, 0);
    b.wait_ns = UINT64_MAX;
    assert_int_equal(get(t.r, "none", &b).error, TIDE_ERR_NOT_FOUND);
    pthread_join(later, NULL);
    close_two(&t);
}

/* A slot that leads nowhere, met by the short get: the bound is the caller's, not the default one. */
static void get__own_table_damaged__the_callers_fallback(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    uint32_t id = help_leader(d);
    static const uint8_t key[12] = "twelve bytes", value[40] = { 1 };
    uint8_t buf[64];
    assert_int_equal(tide_put(d, NULL, key, sizeof(key), value, sizeof(value), NULL), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_bound b = bound_of(TIDE_FALLBACK_WAIT, 0);
    assert_int_equal(tide_get(r, key, sizeof(key), &b, buf, sizeof(buf), NULL), 0);
    const struct table *t = &atomic_load(&d->running[id])->writer.t;
    struct table_bucket *bucket =
        table_bucket_at(t, table_bucket_of(table_hash(t, key, sizeof(key)), atomic_load(t->buckets)));
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
        if (atomic_load(&bucket->slots[i]) != 0) {
            atomic_store(&bucket->slots[i], UINT32_MAX);
        }
    }
    /* LEADER would answer that the leader's replica does not serve; WAIT that none does. */
    assert_int_equal(tide_get(r, key, sizeof(key), &b, buf, sizeof(buf), NULL), TIDE_ERR_NO_REPLICA);
    tide_reader_close(r);
    tide_close(d);
}

/* A length that is more than the whole table: no pointer to it is given out. */
static void peek__length_beyond_the_table__damage(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    uint32_t id = help_leader(d);
    put_number(d, "k", 1);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    const struct table *t = &atomic_load(&d->running[id])->writer.t;
    const void *value = NULL;
    size_t size = 0;
    struct table_node *n = (struct table_node *)table_find(t, table_hash(t, "k", 1), "k", 1, 1);
    atomic_store(&n->value_len, UINT32_MAX);
    assert_int_equal(tide_section_peek(r, "k", 1, &value, &size, NULL), TIDE_ERR_LOST);
    assert_null(value);
    tide_section_end(r);
    tide_reader_close(r);
    tide_close(d);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__all_replicas_stuck__each_fallback_fills_the_answer),
        cmocka_unit_test(get__stuck_for_a_while_and_fallback_wait__served_within_the_wait),
        cmocka_unit_test(get__own_table_damaged__the_callers_fallback),
        cmocka_unit_test(peek__length_beyond_the_table__damage),
    };
    return cmocka_run_group_tests_name("stuck", tests, NULL, NULL);
}
