/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Replicas that join while others write, and that are lapped. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/life/follower.h"
#include "engine/life/join.h"
#include "engine/replica/domain.h"
#include "shm/nap.h"
#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)

/* ---- joining ----------------------------------------------------------------------------------------------------- */

struct churn {
    struct tide *d;
    _Atomic bool stop;
    _Atomic uint64_t written;
    uint64_t keys;
};

static void *churn_write(void *arg) {
    struct churn *c = arg;
    struct help_rng r = { 42 };
    uint8_t value[200];
    for (uint64_t n = 0; !atomic_load(&c->stop); n++) {
        uint64_t key = help_below(&r, c->keys);
        memset(value, (int)n, sizeof(value));
        int error = help_below(&r, 4) == 0
                        ? tide_delete(c->d, NULL, &key, sizeof(key), NULL)
                        : tide_put(c->d, NULL, &key, sizeof(key), value, help_below(&r, sizeof(value)), NULL);
        if (!help_check(error == 0)) {
            break;
        }
        atomic_fetch_add(&c->written, 1);
    }
    return NULL;
}

static void tide_replica_start__while_somebody_writes__joins_and_has_the_same_digest(void **state) {
    (void)state;
    struct tide *d = help_open(256 * KIB, 4 * MIB, 1000 * MS);
    help_leader(d);
    struct churn c = { .d = d, .keys = 5000 };
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, churn_write, &c), 0);
    while (atomic_load(&c.written) < 20000) {
        sched_yield(); /* several laps of the ring: a newcomer must copy */
    }
    for (uint64_t round = 0; round < help_scaled(10); round++) {
        uint32_t id = help_follower(d, 0);
        assert_int_equal(help_state(d, id), TIDE_STATE_SERVING);
        assert_true(help_info(d, id).joins > 0);
        if (round % 2 == 0) {
            assert_int_equal(tide_replica_stop(d, id), 0);
        }
    }
    atomic_store(&c.stop, true);
    pthread_join(writer, NULL);
    help_assert_threads();
    help_assert_equal_digests(d);
    tide_close(d);
}

static void follower__lapped__joins_anew_and_is_equal_again(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 1 * MS);
    uint32_t leader = help_leader(d), slow = help_follower(d, UINT64_C(3600) * 1000 * MS), fast = help_follower(d, 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)slow, UINT64_C(1) << slow);
    uint64_t n = 0;
    struct tide_token token;
    while (help_info(d, slow).lapped == 0) {
        assert_int_equal(help_put(d, n % 2 == 0 ? "even" : "odd", n, &token), 0);
        n++;
    }
    assert_int_equal(help_info(d, leader).lapped, 0);
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(d, &info);
    assert_true(info.lapped_total >= 1);
    tide_replica_set_delay(d, slow, 0);
    help_assert_equal_digests(d);
    assert_int_equal(help_state(d, slow), TIDE_STATE_SERVING);
    assert_true(help_info(d, slow).joins >= 1);
    uint64_t value = 0;
    struct tide_answer a = TIDE_ANSWER_INIT;
    assert_int_equal(tide_get(r, "even", 4, NULL, &value, sizeof(value), &a), 0);
    assert_int_equal(value, (n - 1) / 2 * 2);
    assert_int_equal(a.served_by, slow);
    assert_int_equal(help_state(d, fast), TIDE_STATE_SERVING);
    tide_reader_close(r);
    tide_close(d);
}

/* FAILED is an alarm: a replica that is ended while it joins never shows it. */
static void replica__ended_while_it_joins__is_not_called_failed(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 1000 * MS);
    help_leader(d);
    uint32_t id = help_follower(d, 0);
    struct replica *r = d->running[id];
    follower_end(r);
    assert_true(atomic_load(&r->stop));
    assert_int_equal(join_replica(r), TIDE_ERR_CLOSED);
    assert_int_equal(help_state(d, id), TIDE_STATE_CLAIMED);
    assert_int_equal(tide_replica_stop(d, id), 0);
    tide_close(d);
}

static void followers__with_a_ring_too_small_for_the_writes__lose_nothing(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 4 * MIB, 1); /* the leader waits for no follower */
    help_leader(d);
    for (int i = 0; i < 3; i++) {
        help_follower(d, 0);
    }
    static uint8_t value[8000];
    for (uint64_t i = 0; i < help_scaled(20000); i++) {
        uint64_t key = i % 100;
        assert_int_equal(tide_put(d, NULL, &key, sizeof(key), value, key * 80 % sizeof(value), NULL), 0);
    }
    help_assert_equal_digests(d);
    tide_close(d);
}

/* ---- where a newcomer begins, and what it copies ----------------------------------------------------------------- */

static uint64_t newest_mark(const struct tide *d) {
    uint64_t newest = 0;
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        uint64_t index = atomic_load(&d->log->marks[i].index);
        newest = index > newest ? index : newest;
    }
    return newest;
}

/* Write until the log has been around once, so that a newcomer has to copy, and then up to the next mark, where it will begin. */
static void go_around(struct tide *d) {
    static const uint8_t value[16 * KIB];
    uint64_t mark = 0;
    while (atomic_load(&d->log->leader.reclaimed) == 0 || newest_mark(d) == mark) {
        mark = atomic_load(&d->log->leader.reclaimed) == 0 ? newest_mark(d) : mark;
        assert_int_equal(tide_put(d, NULL, "round", 5, value, sizeof(value), NULL), 0);
    }
    assert_int_equal(tide_delete(d, NULL, "round", 5, NULL), 0);
}

static void *start_an_hour_late(void *d) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.apply_delay_ns = UINT64_C(3600) * 1000 * MS;
    help_check(tide_replica_start(d, &o, NULL) == 0);
    return NULL;
}

/* Those of a replica that is still joining: nobody is told of them. Its thread says so in its segment. */
static uint64_t keys_so_far(struct tide *d, uint32_t id) {
    const struct replica *r = atomic_load(&d->running[id]);
    return r != NULL && r->view.table.seg != NULL ? atomic_load(&r->view.table.seg->live_keys) : 0;
}

/* It has copied all that it copies, and applies nothing yet. If it held newer keys as well, it would need memory for those and for what the log puts
 * and deletes before them. */
static void newcomer__keys_are_newer_than_what_it_has_applied__does_not_hold_them(void **state) {
    (void)state;
    enum { OLD = 500, NEW = 400 };
    struct tide *d = help_open(4 * MIB, 4 * MIB, 1000 * MS), *other = help_open_again(d);
    uint32_t leader = help_leader(d);
    for (uint64_t i = 0; i < OLD; i++) {
        assert_int_equal(tide_put(d, NULL, &i, sizeof(i), &i, sizeof(i), NULL), 0);
    }
    go_around(d);
    uint64_t mark = newest_mark(d);
    for (uint64_t i = OLD; i < OLD + NEW; i++) {
        assert_int_equal(tide_put(d, NULL, &i, sizeof(i), &i, sizeof(i), NULL), 0);
    }
    assert_int_equal(newest_mark(d), mark);
    pthread_t thread;
    const uint32_t id = leader + 1;
    assert_int_equal(pthread_create(&thread, NULL, start_an_hour_late, other), 0);
    while (help_state(d, id) != TIDE_STATE_JOINING || keys_so_far(other, id) < OLD) {
        park_nap(1000000);
    }
    park_nap(20000000); /* perhaps it copies more */
    assert_true(help_info(d, id).applied_index < mark + 2);
    assert_in_range(keys_so_far(other, id), OLD, OLD + 1); /* "round" was there then */
    assert_int_equal(tide_replica_set_delay(other, id, 0), 0);
    pthread_join(thread, NULL);
    help_assert_threads();
    assert_int_equal(help_info(d, id).joins, 1);
    help_assert_equal_digests(d);
    assert_int_equal(help_info(d, id).keys, OLD + NEW);
    tide_close(other);
    tide_close(d);
}

/* Its donor, which is in its own process, is a follower that lags: the newest marks lie beyond what that has applied. */
static void newcomer__donor_lags__begins_where_the_donor_was(void **state) {
    (void)state;
    struct tide *d = help_open(16 * MIB, 32 * MIB, 1000 * MS), *other = help_open_again(d);
    help_leader(d);
    uint32_t slow = help_follower(other, 0);
    go_around(d);
    struct tide_token token;
    assert_int_equal(help_put(d, "before", 1, &token), 0);
    assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_C(60000) * MS), 0);
    assert_int_equal(tide_replica_set_delay(other, slow, UINT64_C(3600) * 1000 * MS), 0);
    static uint8_t value[8 * KIB];
    char key[16];
    uint64_t mark = newest_mark(d), n = 0;
    for (; n < 256; n++) { /* some marks: 2 MiB of 16 */
        snprintf(key, sizeof(key), "key%05u", (unsigned)n);
        assert_int_equal(tide_put(d, NULL, key, 8, value, sizeof(value), NULL), 0);
    }
    assert_true(newest_mark(d) > mark);
    assert_true(help_info(d, slow).applied_index < newest_mark(d));
    uint32_t id = help_follower(other, 0);
    assert_true(help_info(d, id).joins > 0);
    struct tide_reader *r = help_reader(other, TIDE_STICKY, (int32_t)id, UINT64_C(1) << id);
    for (uint64_t i = 0; i < n; i++) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        snprintf(key, sizeof(key), "key%05u", (unsigned)i);
        assert_int_equal(tide_get(r, key, 8, NULL, value, sizeof(value), &a), 0);
        assert_int_equal(a.served_by, id);
    }
    assert_int_equal(help_get(r, "before"), 1);
    tide_reader_close(r);
    tide_close(other);
    tide_close(d);
}

/* A table that was made smaller than those of the domain. Another process's words may say of a table that it holds more than any does. The newcomer
 * tries the bucket that does not fit again and again: with large values that is soon more than a donor can have, and no damage. */
static void newcomer__donor_has_more_than_it_can_hold__full(void **state) {
    (void)state;
    static const uint8_t value[60000];
    static const struct { uint64_t keys, step; } VALUES[] = { { 1000, 3 }, { 60, 1000 } };
    for (size_t v = 0; v < 2; v++) {
        struct tide *d = help_open(MIB, 4 * MIB, 1000 * MS), *other = help_open_again(d);
        uint32_t leader = help_leader(d);
        go_around(d);
        for (uint64_t i = 0; i < VALUES[v].keys; i++) {
            assert_int_equal(tide_put(d, NULL, &i, sizeof(i), value, i * VALUES[v].step, NULL), 0);
        }
        other->words.table_bytes = MIB;
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        int error;
        do {
            atomic_store(&d->log->leader.table_bytes,
                         0); /* or it is refused by its size; the leader writes it again each second */
            error = tide_replica_start(other, &o, NULL);
        } while (error == TIDE_ERR_INVALID);
        assert_int_equal(error, TIDE_ERR_FULL);
        assert_int_equal(help_state(d, leader), TIDE_STATE_SERVING);
        tide_close(other);
        tide_close(d);
    }
}

/* ---- no newcomer ------------------------------------------------------------------------------------------------- */

struct hidden {
    struct tide *d;
    uint32_t donor, id;
};

/* Until the replica `id` has begun anew some times, with a new table each time, or has failed. */
static void *hide_donor(void *arg) {
    const struct hidden *h = arg;
    struct replica_board *b = &h->d->log->replicas[h->id];
    uint64_t last = atomic_load(&b->segment_id);
    for (unsigned tables = 0; tables < 5 && board_state(b) != REPLICA_FAILED;) {
        atomic_store(&h->d->log->replicas[h->donor].state, REPLICA_CLAIMED);
        uint64_t now = atomic_load(&b->segment_id);
        tables += now != last;
        last = now;
    }
    return NULL;
}

/* It was to take over, and its thread was ended while it joined anew. Nothing serves when the next thread begins. A newcomer would have failed
 * for good with that, and nobody would have started this one again. */
static void replica__interrupted_while_it_joins_anew__waits_for_a_donor_as_before(void **state) {
    (void)state;
    struct tide *d = help_open(256 * KIB, 4 * MIB, 1000 * MS), *other = help_open_again(d);
    struct hidden h = { .d = d, .donor = help_leader(d) };
    go_around(d);
    h.id = help_follower(other, 0);
    struct replica *r = atomic_load(&other->running[h.id]);
    pthread_mutex_lock(&other->control);
    follower_end(r);
    r->exact = false;
    board_set_state(r->view.board, REPLICA_CLAIMED);
    pthread_t hides;
    assert_int_equal(pthread_create(&hides, NULL, hide_donor, &h), 0);
    while (board_state(&d->log->replicas[h.donor]) != REPLICA_CLAIMED) {
        sched_yield();
    }
    assert_int_equal(follower_resume(r), 0);
    pthread_mutex_unlock(&other->control);
    pthread_join(hides, NULL);
    assert_int_not_equal(board_state(r->view.board), REPLICA_FAILED);
    atomic_store(&d->log->replicas[h.donor].state, REPLICA_SERVING);
    while (help_state(d, h.id) != TIDE_STATE_SERVING) {
        park_nap(1000000);
    }
    help_assert_equal_digests(d);
    tide_close(other);
    tide_close(d);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_replica_start__while_somebody_writes__joins_and_has_the_same_digest),
        cmocka_unit_test(follower__lapped__joins_anew_and_is_equal_again),
        cmocka_unit_test(newcomer__keys_are_newer_than_what_it_has_applied__does_not_hold_them),
        cmocka_unit_test(newcomer__donor_has_more_than_it_can_hold__full),
        cmocka_unit_test(replica__interrupted_while_it_joins_anew__waits_for_a_donor_as_before),
        cmocka_unit_test(replica__ended_while_it_joins__is_not_called_failed),
        cmocka_unit_test(newcomer__donor_lags__begins_where_the_donor_was),
        cmocka_unit_test(followers__with_a_ring_too_small_for_the_writes__lose_nothing),
    };
    return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
