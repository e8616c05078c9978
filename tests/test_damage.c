/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Another process changed one word of shared memory: what the library has to do then. tests/test_scribble.c changes all of them at random. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/replica/domain.h"
#include "engine/replica/replica.h"
#include "tests/lib/help.h"

/* The last log line of the library that has the text which the test looks for. */
static const char *wanted;
static _Atomic uint32_t said;

static void listen_log(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx, (void)level;
    if (wanted != NULL && strstr(text, wanted) != NULL) {
        atomic_fetch_add(&said, 1);
    }
}

static struct tide *open_listening(const char *name, const char *text) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d;
    o.ring_bytes = 64 << 10;
    o.table_bytes = 1 << 20;
    o.log = listen_log;
    wanted = text;
    atomic_store(&said, 0);
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

static void close_all(struct tide *a, struct tide *b, const char *name) {
    if (b != NULL) {
        assert_int_equal(tide_close(b), 0);
    }
    assert_int_equal(tide_close(a), 0);
    tide_unlink(name);
}

static void fill(struct tide *d, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%llu", (unsigned long long)i % 500);
        assert_int_equal(help_put(d, key, i, NULL), 0);
    }
}

/* The table of the replica that this handle runs in slot 0, as another process may write into it. */
static struct table_segment *table_of(struct tide *d) {
    return atomic_load(&d->running[0])->view.table.seg;
}

/* The first slot in use of a table, and its node. */
static _Atomic uint32_t *find_slot(struct table_segment *seg, struct table_node **node) {
    struct table_bucket *b = (struct table_bucket *)((uint8_t *)seg + seg->buckets_off);
    for (uint64_t i = 0; i < seg->buckets; i++) {
        for (uint32_t k = 0; k < TABLE_SLOTS; k++) {
            uint32_t slot = b[i].slots[k];
            if (slot != 0) {
                *node = (struct table_node *)((uint8_t *)seg + (uint64_t)slot * TABLE_UNIT);
                return &b[i].slots[k];
            }
        }
    }
    fail();
    return NULL;
}

static void donor__one_value_byte_damaged__newcomer_is_told_so(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, "every copy that it could join from is damaged");
    help_leader(d);
    fill(d, 3000); /* more than the ring holds: a newcomer has to copy */
    struct tide *other = open_listening(name, wanted);
    struct table_node *n;
    find_slot(table_of(d), &n);
    ((uint8_t *)n)[NODE_HEADER_BYTES] ^= 1;
    assert_int_equal(tide_replica_start(other, NULL, NULL), TIDE_ERR_CORRUPT);
    assert_int_equal(atomic_load(&said), 1);
    close_all(d, other, name);
}

#define DELAY_NS UINT64_C(3600000000000)

/* Whoever applies an entry checks what it copied. A follower that finds a changed byte looks again, joins anew, and stops in the end. */
static void log__a_byte_of_a_value_damaged__never_applied(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, "the log is damaged");
    struct tide_token token;
    const uint64_t value = UINT64_C(0x5ca1ab1e0ddba115);
    help_leader(d);
    uint32_t id = help_follower(d, 0);
    assert_int_equal(tide_replica_set_delay(d, id, DELAY_NS), 0);
    assert_int_equal(help_put(d, "key", value, &token), 0);
    uint8_t *at = memmem(ring_at(&d->ring, 0), d->ring.bytes, &value, sizeof(value));
    assert_non_null(at);
    at[3] ^= 1;
    assert_int_equal(tide_replica_set_delay(d, id, 0), 0);
    uint32_t is = TIDE_STATE_SERVING;
    while ((is == TIDE_STATE_SERVING || is == TIDE_STATE_JOINING || is == TIDE_STATE_CLAIMED) &&
           atomic_load(&d->log->replicas[id].applied) < token.index) {
        usleep(10000);
        is = help_state(d, id);
    }
    assert_int_equal(is, TIDE_STATE_FAILED);
    assert_true(atomic_load(&said) != 0);
    close_all(d, NULL, name);
}

static void leader__slot_damaged__serves_nothing_more_and_says_so(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, "it serves nothing more");
    uint32_t id = help_leader(d); /* no candidate: nobody to hand over */
    fill(d, 3000);
    struct table_node *n;
    atomic_store(find_slot(table_of(d), &n), UINT32_MAX);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    for (uint64_t i = 0; i < 500; i++) { /* one of them is in that slot */
        char key[16], value[8];
        snprintf(key, sizeof(key), "k%llu", (unsigned long long)i);
        int error = tide_get(r, key, strlen(key), NULL, value, sizeof(value), NULL);
        assert_true(error == 0 || error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_TIMEOUT);
        if (error != 0) {
            break;
        }
    }
    assert_int_equal(atomic_load(&said), 1);
    assert_int_equal(help_state(d, id), TIDE_STATE_FAILED);
    assert_int_equal(help_put(d, "k1", 1, NULL), TIDE_ERR_CORRUPT);
    tide_reader_close(r);
    close_all(d, NULL, name);
}

/* Its table is damaged for the n-th time: it joins anew, or is given up. */
static void damage_again(struct tide *d, uint32_t id, bool leads) {
    const struct replica *r = atomic_load(&d->running[id]);
    struct tide_info info = TIDE_INFO_INIT;
    do {
        usleep(1000);
        assert_int_equal(tide_info(d, &info), 0);
    } while (help_state(d, id) != TIDE_STATE_SERVING || (leads && (info.led == 0 || info.leader != (int32_t)id)));
    uint64_t table = atomic_load(&r->view.board->segment_id);
    struct table_node *n;
    atomic_store(find_slot(r->view.table.seg, &n), UINT32_MAX);
    table_note_damage(&r->view.table, r->view.table.seg, "a slot");
    replica_stop_serving(atomic_load(&d->running[id]));
    while (atomic_load(&r->view.board->segment_id) == table && atomic_load(&said) == 0) {
        usleep(1000);
    }
}

static void damaged_for_ever(bool leads) {
    const char *name = help_name();
    struct tide *d = open_listening(name, "times within an hour: given up"), *other = open_listening(name, wanted);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    uint32_t id = 99;
    if (!leads) {
        help_leader(other);
    }
    o.role = leads ? TIDE_LEADER : TIDE_FOLLOWER;
    o.candidate = leads;
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    if (leads) {
        help_follower(other, 0); /* no candidate: what is damaged leads again */
    }
    fill(leads ? d : other, 3000);
    for (int times = 0; atomic_load(&said) == 0; times++) {
        assert_in_range(times, 0, 9);
        damage_again(d, id, leads);
    }
    while (help_state(d, id) != TIDE_STATE_FAILED) {
        usleep(1000);
    }
    close_all(d, other, name);
}

static void follower__damaged_again_and_again__is_given_up(void **state) {
    (void)state;
    damaged_for_ever(false);
}

static void leader__damaged_again_and_again__is_given_up(void **state) {
    (void)state;
    damaged_for_ever(true);
}

static void lane__last_number_at_its_most__write_is_done(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, NULL);
    help_leader(d);
    fill(d, 100);
    struct tide *other = open_listening(name, NULL);
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        atomic_store(&table_of(d)->lanes[i].seq, UINT64_MAX);
    }
    assert_int_equal(help_put(other, "new", 4711, NULL), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(help_get(r, "new"), 4711);
    /* A number that cannot grow: at most one write is answered UNKNOWN, and no write is answered as done that is not. */
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        atomic_store(&d->log->lanes[i].turn, UINT64_MAX << 3 | LANE_ANSWERED);
    }
    for (uint64_t i = 0; i < 3; i++) {
        int error = help_put(other, "newer", 100 + i, NULL);
        assert_true(error == TIDE_ERR_UNKNOWN || (error == 0 && help_get(r, "newer") == 100 + i));
        assert_true(i < 2 || error == 0);
    }
    /* A number that was used already. */
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        atomic_fetch_sub(&d->log->lanes[i].turn, 1 << 3);
    }
    for (uint64_t i = 0; i < 3; i++) {
        int error = help_put(other, "newest", 200 + i, NULL);
        assert_true(error == TIDE_ERR_UNKNOWN || (error == 0 && help_get(r, "newest") == 200 + i));
        assert_true(i < 2 || error == 0);
    }
    tide_reader_close(r);
    close_all(d, other, name);
}

/* The new leader applied the last request, and did not answer it: that is no proof that this writer's request was done. */
static void lane__number_set_back_after_a_change_of_leader__nothing_is_said_to_be_done_that_is_not(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, NULL);
    uint32_t first = help_leader(d);
    help_follower(d, 0);
    fill(d, 10);
    struct tide *other = open_listening(name, "another process changed its number");
    assert_int_equal(help_put(other, "x", 1, NULL), 0);
    assert_int_equal(tide_replica_stop(d, first), 0);
    help_leader(d);
    atomic_store(&said, 0);
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        uint64_t turn = atomic_load(&d->log->lanes[i].turn);
        if (turn >> 3 != 0) {
            atomic_store(&d->log->lanes[i].turn, turn - (1 << 3));
        }
    }
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(help_put(other, "x", 2, NULL), TIDE_ERR_UNKNOWN);
    assert_int_equal(help_get(r, "x"), 1);
    assert_int_equal(help_put(other, "x", 3, NULL), 0);
    assert_int_equal(help_get(r, "x"), 3);
    tide_reader_close(r);
    close_all(d, other, name);
}

static void leader__budget_of_newcomers_changed__none_reserves_more_than_a_table_has(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, NULL);
    help_leader(d);
    fill(d, 10);
    struct tide *other = open_listening(name, NULL);
    atomic_store(&d->log->leader.table_bytes, UINT64_C(1) << 30);
    uint32_t id;
    assert_int_equal(tide_replica_start(other, NULL, &id), 0);
    assert_true(other->running[id]->table_bytes < UINT64_C(1) << 30);
    close_all(d, other, name);
}

static void clock__rate_of_zero__waits_end(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, NULL);
    help_leader(d);
    fill(d, 10);
    atomic_store(&d->log->clock.mult, 0);
    uint64_t before = tide_now(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_bound bound = TIDE_BOUND_INIT;
    struct tide_token ahead = { 0 };
    char value[8];
    assert_int_equal(help_put(d, "k", 1, &ahead), 0);
    bound.fallback = TIDE_FALLBACK_WAIT;
    bound.wait_ns = 2000000;
    atomic_store(&d->log->replicas[0].state, REPLICA_CLAIMED); /* nobody serves: the read waits, and ends */
    assert_int_not_equal(tide_get(r, "k", 1, &bound, value, sizeof(value), NULL), 0);
    atomic_store(&d->log->replicas[0].state, REPLICA_SERVING);
    assert_true(tide_now(d) > before);
    tide_reader_close(r);
    close_all(d, NULL, name);
}

static void buckets__of_another_processs_table_beyond_it__verify_ends_and_tells(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, NULL);
    help_leader(d);
    fill(d, 1000);
    struct tide *other = open_listening(name, NULL);
    struct tide_verify v = TIDE_VERIFY_INIT;
    atomic_store(&table_of(d)->buckets, UINT64_C(1) << 62);
    assert_int_equal(tide_verify(other, &v), 0);
    assert_int_equal(v.damaged, 1);
    /* Its own process does not ask the segment. */
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(help_get(r, "k7"), 507);
    tide_reader_close(r);
    close_all(d, other, name);
}

/* Offsets are checked before an address is made of them. */
static void offsets__of_another_processs_table_beyond_any_address__not_mapped(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, NULL);
    help_leader(d);
    fill(d, 100);
    struct table_segment *seg = table_of(d);
    uint64_t *const words[] = { &seg->buckets_off, &seg->lag_all_off, &seg->lag_windows_off,
                                &seg->pages_off,   &seg->uses_off,    &seg->page_bytes };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct tide *other = open_listening(name, NULL);
        uint64_t was = *words[i];
        char value[8];
        *words[i] = UINT64_C(0xcd42290a33333330);
        struct tide_reader *r = help_reader(other, TIDE_STICKY, -1, 0);
        assert_int_not_equal(tide_get(r, "k7", 2, NULL, value, sizeof(value), NULL), 0);
        *words[i] = 0;
        assert_int_not_equal(tide_get(r, "k7", 2, NULL, value, sizeof(value), NULL), 0);
        *words[i] = was;
        assert_int_equal(help_get(r, "k7"), 7);
        tide_reader_close(r);
        assert_int_equal(tide_close(other), 0);
    }
    close_all(d, NULL, name);
}

static void words_of_creation__changed_later__are_not_looked_at(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_listening(name, NULL);
    help_leader(d);
    d->log->table_bytes = UINT64_C(1) << 40;
    d->log->slow_follower_ns = UINT64_MAX;
    d->log->ring_bytes = UINT64_MAX;
    d->log->hash_seed ^= 1;
    fill(d, 3000);
    uint32_t id = help_follower(d, 0);
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    assert_int_equal(info.table_bytes, 1 << 20);
    assert_int_equal(help_state(d, id), TIDE_STATE_SERVING);
    /* And at attach they are checked. */
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *other;
    assert_int_equal(tide_open(&other, name, &o), TIDE_ERR_CORRUPT);
    close_all(d, NULL, name);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(donor__one_value_byte_damaged__newcomer_is_told_so),
        cmocka_unit_test(log__a_byte_of_a_value_damaged__never_applied),
        cmocka_unit_test(leader__slot_damaged__serves_nothing_more_and_says_so),
        cmocka_unit_test(follower__damaged_again_and_again__is_given_up),
        cmocka_unit_test(leader__damaged_again_and_again__is_given_up),
        cmocka_unit_test(lane__last_number_at_its_most__write_is_done),
        cmocka_unit_test(lane__number_set_back_after_a_change_of_leader__nothing_is_said_to_be_done_that_is_not),
        cmocka_unit_test(leader__budget_of_newcomers_changed__none_reserves_more_than_a_table_has),
        cmocka_unit_test(clock__rate_of_zero__waits_end),
        cmocka_unit_test(buckets__of_another_processs_table_beyond_it__verify_ends_and_tells),
        cmocka_unit_test(offsets__of_another_processs_table_beyond_any_address__not_mapped),
        cmocka_unit_test(words_of_creation__changed_later__are_not_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
