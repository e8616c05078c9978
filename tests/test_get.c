/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every length of key and value around those that engine/read/get.c serves itself, from a replica of this handle and from another
 * one's, beside what tide_mget says, which goes another way.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/pair.h"

#define KEYS_MOST 24u
#define VALUES_MOST 80u

struct sized {
    uint8_t key[KEYS_MOST];
    size_t key_len;
    uint8_t value[VALUES_MOST];
    size_t value_len;
};

/* Keys that differ in their first or their last byte alone have to be told apart. */
static struct sized sized_of(size_t key_len, size_t value_len, unsigned kind) {
    struct sized s = { .key_len = key_len, .value_len = value_len };
    memset(s.key, 'k', sizeof(s.key));
    s.key[key_len - 1] = (uint8_t)value_len;
    s.key[0] = (uint8_t)(key_len == 1 ? s.key[0] : kind == 0 ? 'a' : 'b');
    for (size_t i = 0; i < sizeof(s.value); i++) {
        s.value[i] = (uint8_t)(i * 7 + value_len + kind);
    }
    return s;
}

/* The version, or 0: not there. */
static uint64_t look(struct tide_reader *r, const struct sized *s) {
    uint8_t buf[VALUES_MOST + 8], other[VALUES_MOST + 8];
    struct tide_answer a = TIDE_ANSWER_INIT, all = TIDE_ANSWER_INIT;
    struct tide_mget_item item = { .key = s->key, .key_len = s->key_len, .buf = other, .buf_size = s->value_len };
    memset(buf, 0xee, sizeof(buf));
    int error = tide_get(r, s->key, s->key_len, NULL, buf, s->value_len, &a);
    assert_int_equal(tide_mget(r, &item, 1, NULL, &all), 0);
    assert_int_equal(error, item.result);
    assert_int_equal(a.version, item.version);
    assert_int_equal(a.value_size, item.value_size);
    assert_int_equal(a.index, all.index);
    assert_int_equal(a.commit_index, all.commit_index);
    assert_int_equal(a.served_by, all.served_by);
    assert_int_equal(a.from_leader, all.from_leader);
    assert_int_equal(a.reason, TIDE_REASON_FRESH);
    assert_int_equal(a.linearizable, 1);
    assert_int_equal(a.stale, 0);
    assert_int_equal(a.reserved, 0);
    assert_int_equal(a.staleness_ns, 0);
    assert_int_equal(a.waited_ns, 0);
    if (error == 0) {
        assert_memory_equal(buf, s->value, s->value_len);
        for (size_t i = s->value_len; i < sizeof(buf); i++) {
            assert_int_equal(buf[i], 0xee); /* nothing beyond the value */
        }
    }
    return a.version;
}

static void look_at_all(struct tide *d, struct tide_reader *r) {
    for (unsigned kind = 0; kind < 2; kind++) {
        for (size_t k = 1; k <= KEYS_MOST; k++) {
            for (size_t v = 0; v <= VALUES_MOST; v++) {
                struct sized s = sized_of(k, v, kind);
                struct tide_token token;
                if (kind == 1 && k > 1) { /* the other kind is there, this one is not */
                    assert_int_equal(look(r, &s), 0);
                }
                assert_int_equal(tide_put(d, NULL, s.key, s.key_len, s.value, s.value_len, &token), 0);
                assert_int_equal(tide_wait_applied(d, &token, 1, UINT64_MAX), 0);
                assert_int_equal(look(r, &s), token.index);
            }
        }
    }
}

static void delete_some(struct tide *d, struct tide_reader *r) {
    for (size_t v = 0; v <= VALUES_MOST; v += 5) {
        struct sized s = sized_of(16, v, 0), other = sized_of(16, v, 1);
        assert_int_equal(tide_delete(d, NULL, s.key, s.key_len, NULL), 0);
        assert_int_equal(look(r, &s), 0);
        assert_int_not_equal(look(r, &other), 0);
        assert_int_equal(tide_put(d, NULL, s.key, s.key_len, s.value, s.value_len, NULL), 0);
        assert_int_not_equal(look(r, &s), 0);
    }
}

static void small_buffers(struct tide_reader *r) {
    uint8_t buf[VALUES_MOST];
    for (size_t v = 1; v <= VALUES_MOST; v++) {
        struct sized s = sized_of(16, v, 1);
        struct tide_answer a = TIDE_ANSWER_INIT;
        assert_int_equal(tide_get(r, s.key, s.key_len, NULL, buf, v - 1, &a), TIDE_ERR_BUFFER);
        assert_int_equal(a.value_size, v);
        assert_int_equal(tide_get(r, s.key, s.key_len, NULL, buf, v, NULL), 0);
        assert_memory_equal(buf, s.value, v);
    }
}

static void get__every_length__of_an_own_replica(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    uint32_t leader = help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)leader, UINT64_C(1) << leader);
    look_at_all(d, r);
    delete_some(d, r);
    small_buffers(r);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

static void get__every_length__of_another_handles_replica(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0), *other = help_open_again(d);
    uint32_t leader = help_leader(d);
    struct tide_reader *r = help_reader(other, TIDE_STICKY, (int32_t)leader, UINT64_C(1) << leader);
    look_at_all(d, r);
    delete_some(d, r);
    small_buffers(r);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(d), 0);
}

/* The reader's home is another handle's replica, then one of its own, then another's again. */
static void get__home_moves_between_handles__answers_go_on(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0), *other = help_open_again(d);
    uint32_t leader = help_leader(d), id = UINT32_MAX;
    struct sized s = sized_of(16, 64, 0);
    for (int round = 0; round < 3; round++) {
        struct tide *host = round == 1 ? other : d;
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        o.role = TIDE_FOLLOWER;
        assert_int_equal(tide_replica_start(host, &o, &id), 0);
        assert_int_not_equal(id, leader);
        struct tide_reader *r = help_reader(other, TIDE_STICKY, (int32_t)id, UINT64_C(1) << id);
        for (int i = 0; i < 3; i++) {
            struct tide_token token;
            assert_int_equal(tide_put(d, NULL, s.key, s.key_len, s.value, s.value_len, &token), 0);
            assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_MAX), 0);
            assert_int_equal(look(r, &s), token.index);
            assert_int_equal(look(r, &s), token.index);
        }
        assert_int_equal(tide_replica_stop(host, id), 0);
        assert_int_equal(tide_reader_close(r), 0);
    }
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(d), 0);
}

struct misser {
    struct tide *d;
    uint32_t home;
    _Atomic bool stop;
};

static void *miss_all_the_time(void *arg) {
    struct misser *m = arg;
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    struct tide_reader *r = NULL;
    o.policy = TIDE_STICKY;
    o.home = (int32_t)m->home;
    help_check(tide_reader_open(m->d, &o, &r) == 0);
    for (uint64_t n = 0; !atomic_load(&m->stop) || n == 0; n++) {
        uint8_t buf[64];
        help_check(tide_get(r, "there is nothing", 16, NULL, buf, sizeof(buf), NULL) == TIDE_ERR_NOT_FOUND);
    }
    help_check(tide_reader_close(r) == 0);
    return NULL;
}

/* A thread that hides a replica empties its slot first, and then waits for the readers in a section there: they have to do without it. */
static void get__home_goes_during_a_miss__answered_all_the_same(void **state) {
    (void)state;
    static struct misser m;
    memset(&m, 0, sizeof(m));
    m.d = help_open(256 << 10, 1 << 20, 0);
    help_leader(m.d);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.id = (int32_t)(m.home = 5);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, miss_all_the_time, &m), 0);
    for (uint64_t i = 0; i < help_scaled(200); i++) {
        assert_int_equal(tide_replica_start(m.d, &o, NULL), 0);
        struct timespec while_it_is_read = { 0, 200000 };
        nanosleep(&while_it_is_read, NULL);
        assert_int_equal(tide_replica_stop(m.d, 5), 0);
    }
    atomic_store(&m.stop, true);
    pthread_join(thread, NULL);
    help_assert_threads();
    assert_int_equal(tide_close(m.d), 0);
}

/* A reader never uses a home that it may not use, not on the short way either. */
static void get__home_outside_of_the_readers_replicas__is_not_used(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    struct tide_token token;
    struct sized s = sized_of(16, 64, 0);
    assert_int_equal(tide_put(d, NULL, s.key, s.key_len, s.value, s.value_len, &token), 0);
    assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_MAX), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)leader, UINT64_C(1) << follower);
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint8_t buf[VALUES_MOST];
    assert_int_equal(tide_get(r, s.key, s.key_len, NULL, buf, sizeof(buf), &a), 0);
    assert_int_equal(a.served_by, follower);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

#define MANY 77u /* two full strides of tide_mget and a part of one */

/* One item of each kind beside the others: what one lacks touches no other. */
static void mget_mixed(struct tide_reader *r) {
    static const char missing[] = "nobody has this";
    struct sized stored[MANY];
    uint8_t bufs[MANY][VALUES_MOST];
    struct tide_mget_item items[MANY];
    memset(bufs, 0xee, sizeof(bufs));
    for (unsigned i = 0; i < MANY; i++) {
        stored[i] = sized_of(1 + i % KEYS_MOST, i % VALUES_MOST, 0);
        items[i] = (struct tide_mget_item){ .key = stored[i].key,
                                            .key_len = stored[i].key_len,
                                            .buf = bufs[i],
                                            .buf_size = stored[i].value_len,
                                            .result = 1,
                                            .value_size = 99 };
        if (i % 7 == 1) {
            items[i].key = NULL;
        } else if (i % 7 == 2) {
            items[i].key_len = i % 2 == 0 ? 0 : TIDE_KEY_MAX + 1;
        } else if (i % 7 == 3) {
            items[i].buf = NULL;
        } else if (i % 7 == 4) {
            items[i].key = missing;
            items[i].key_len = sizeof(missing);
        } else if (i % 7 == 5 && items[i].buf_size != 0) {
            items[i].buf_size--;
        }
    }
    assert_int_equal(tide_mget(r, items, MANY, NULL, NULL), 0);
    for (unsigned i = 0; i < MANY; i++) {
        size_t size = stored[i].value_len;
        int want = i % 7 == 1 || i % 7 == 2 || (i % 7 == 3 && size != 0) ? TIDE_ERR_INVALID
                   : i % 7 == 4                                          ? TIDE_ERR_NOT_FOUND
                   : i % 7 == 5 && size != 0                             ? TIDE_ERR_BUFFER
                                                                         : 0;
        assert_int_equal(items[i].result, want);
        assert_true((items[i].version != 0) == (want == 0 || want == TIDE_ERR_BUFFER));
        assert_int_equal(items[i].value_size, want == 0 || want == TIDE_ERR_BUFFER ? size : 0);
        for (size_t k = 0; k < VALUES_MOST; k++) {
            assert_int_equal(bufs[i][k], want == 0 && k < size ? stored[i].value[k] : 0xee);
        }
    }
}

static void mget__items_of_every_kind__each_has_its_own_result(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    uint32_t leader = help_leader(d);
    for (unsigned i = 0; i < MANY; i++) {
        struct sized s = sized_of(1 + i % KEYS_MOST, i % VALUES_MOST, 0);
        assert_int_equal(tide_put(d, NULL, s.key, s.key_len, s.value, s.value_len, NULL), 0);
    }
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)leader, UINT64_C(1) << leader);
    mget_mixed(r);
    struct tide *other = help_open_again(d);
    struct tide_reader *far = help_reader(other, TIDE_STICKY, (int32_t)leader, UINT64_C(1) << leader);
    mget_mixed(far);
    assert_int_equal(tide_reader_close(far), 0);
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* A key that is longer than what lies between a node and the segment's end is not that node's; and nothing is wrong with the slot that leads
 * there: it had the long key's tag, as one in 255 has. */
static void get__long_keys_that_are_missing__nodes_at_the_tables_end_are_whole(void **state) {
    (void)state;
    static uint8_t key[60000], value[200];
    struct tide *d = help_open(UINT64_C(256) << 10, UINT64_C(256) << 10, UINT64_C(3600000000000));
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)follower, 0);
    uint64_t n = 0;
    while (tide_put(d, NULL, &n, sizeof(n), value, sizeof(value), NULL) == 0) {
        n++;
    }
    for (uint64_t i = 0; i < help_scaled(4000); i++) {
        struct tide_mget_item item = { .key = key, .key_len = sizeof(key) };
        memcpy(key, &i, sizeof(i));
        assert_int_equal(tide_get(r, key, sizeof(key), NULL, NULL, 0, NULL), TIDE_ERR_NOT_FOUND);
        assert_int_equal(tide_mget(r, &item, 1, NULL, NULL), 0);
        assert_int_equal(item.result, TIDE_ERR_NOT_FOUND);
        assert_int_equal(tide_delete(d, NULL, key, sizeof(key), NULL), 0);
    }
    help_assert_equal_digests(d);
    assert_int_equal(help_state(d, leader), TIDE_STATE_SERVING);
    assert_int_equal(help_info(d, follower).joins, 0);
    assert_int_equal(help_info(d, follower).keys, n);
    tide_reader_close(r);
    tide_close(d);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__every_length__of_an_own_replica),
        cmocka_unit_test(get__every_length__of_another_handles_replica),
        cmocka_unit_test(get__home_moves_between_handles__answers_go_on),
        cmocka_unit_test(get__home_outside_of_the_readers_replicas__is_not_used),
        cmocka_unit_test(mget__items_of_every_kind__each_has_its_own_result),
        cmocka_unit_test(get__home_goes_during_a_miss__answered_all_the_same),
        cmocka_unit_test(get__long_keys_that_are_missing__nodes_at_the_tables_end_are_whole),
    };
    return cmocka_run_group_tests_name("get", tests, NULL, NULL);
}
