/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains that evict: puts always find room, keys that are read stay, in whichever process, replicas stay alike, and the next leader knows what to do. */
#include <stdio.h>

#include "engine/replica/domain.h"
#include "engine/table/evict.h"
#include "shm/nap.h"
#include "tests/lib/help.h"

#define ROOM (UINT64_C(1) << 20)
#define VALUE 400u
#define HOT 50u

static char value[8192];

static struct tide *open_evicting_with(uint64_t ring_bytes, uint64_t table_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = ring_bytes;
    o.table_bytes = table_bytes;
    o.evict = TIDE_EVICT_S3FIFO;
    o.write_timeout_ns = UINT64_C(10000000000);
    struct tide *d;
    assert_int_equal(tide_open(&d, help_name(), &o), 0);
    return d;
}

static struct tide *open_evicting(void) {
    return open_evicting_with(ROOM / 4, ROOM);
}

static size_t key_of(char *key, size_t room, const char *kind, uint64_t n) {
    return (size_t)snprintf(key, room, "%s:%010llu", kind, (unsigned long long)n);
}

static int put(struct tide *d, const char *kind, uint64_t n, size_t size) {
    char key[64];
    return tide_put(d, NULL, key, key_of(key, sizeof(key), kind, n), value, size, NULL);
}

static int get(struct tide_reader *r, const char *kind, uint64_t n) {
    char key[64], buf[sizeof(value)];
    return tide_get(r, key, key_of(key, sizeof(key), kind, n), NULL, buf, sizeof(buf), NULL);
}

static uint64_t evicted(struct tide *d) {
    return atomic_load(&d->log->leader.evicted);
}

static uint64_t fill(struct tide *d) {
    uint64_t n = 0;
    while (evicted(d) == 0) {
        assert_int_equal(put(d, "fill", n++, VALUE), 0);
    }
    return n;
}

static void put__full_domain_that_evicts__every_put_is_done_and_replicas_stay_alike(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    help_follower(d, 0);
    uint64_t n = fill(d);
    for (uint64_t i = 0; i < 20 * n; i++) {
        assert_int_equal(put(d, "more", i, i % 7 == 0 ? 3000 : 10 + i % 500), 0);
    }
    help_assert_equal_digests(d);
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.replicas, 2);
    assert_int_equal(v.damaged, 0);
    struct tide_replica_info leader = TIDE_REPLICA_INFO_INIT;
    assert_int_equal(tide_replica_info(d, 0, &leader), 0);
    assert_int_equal(leader.keys + evicted(d), n + 20 * n);
    assert_true(leader.keys > n / 4); /* it is as full as it can be */
    assert_int_equal(atomic_load(&d->log->leader.refused_full), 0);
    assert_int_equal(tide_close(d), 0);
}

/* Keys that were evicted a moment ago, whose nodes are still in their buckets, are put again, and others go for them. */
static void put__keys_that_were_just_evicted__replicas_stay_alike(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    help_follower(d, 0);
    struct help_rng r = { help_seed() };
    uint64_t n = 0;
    while (evicted(d) == 0) {
        assert_int_equal(put(d, "small", n++, 30), 0);
    }
    uint64_t before = evicted(d);
    for (uint64_t i = 0; i < 150 * n; i++) {
        assert_int_equal(put(d, "small", help_below(&r, n + n / 4), 30), 0);
    }
    assert_true(evicted(d) > before + n / 16);
    help_assert_equal_digests(d);
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.replicas, 2);
    assert_int_equal(v.damaged, 0);
    assert_int_equal(tide_close(d), 0);
}

static uint8_t heat_of(struct tide *d, const char *kind, uint64_t n) {
    char key[64];
    size_t len = key_of(key, sizeof(key), kind, n);
    const struct table *t = &atomic_load(&d->running[0])->writer.t;
    const struct table_node *node = table_find(t, table_hash(t, key, len), key, len, UINT64_MAX);
    assert_non_null(node);
    return atomic_load(&node->heat);
}

/* Later reads overwrite the notes of earlier ones: the leader has to count the notes while nobody writes. */
static void get__nothing_is_evicted_for_long__counted_all_the_same(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    for (uint64_t i = 0; i < HOT; i++) {
        assert_int_equal(put(d, "hot", i, VALUE), 0);
    }
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    for (int round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < HOT; i++) {
            assert_int_equal(get(r, "hot", i), 0);
        }
    }
    for (uint64_t i = 0; i < HOT; i++) {
        while (heat_of(d, "hot", i) < 2) {
            park_nap(1000000);
        }
    }
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* A write for which keys were evicted reads the clock again, and computes anew what depends on it. */
static void put__with_a_ttl_in_a_full_domain__is_whole_in_log_and_tables(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    help_follower(d, 0);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = UINT64_C(3600000000000);
    uint64_t n = fill(d);
    for (uint64_t i = 0; i < 4 * n; i++) {
        char key[64];
        size_t size = key_of(key, sizeof(key), "ttl", i % (2 * n));
        if (i % 5 == 0) {
            assert_int_equal(tide_add(d, NULL, "sum", 3, 1, &o, NULL, NULL), 0);
        }
        assert_int_equal(tide_put_with(d, NULL, key, size, value, VALUE, &o, NULL), 0);
    }
    help_assert_equal_digests(d);
    assert_true(evicted(d) > n);
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.replicas, 2);
    assert_int_equal(v.damaged, 0);
    assert_int_equal(tide_close(d), 0);
}

/* A watch tells each eviction before the write that needed the room, and none of a key that is kept. */
static void watch__of_a_domain_that_evicts__tells_what_is_gone(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    fill(d);
    struct tide_watch *w;
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_watch_open(d, NULL, &w), 0);
    uint64_t before = evicted(d), told = 0, puts = 0;
    for (uint64_t i = 0; i < 500; i++) {
        assert_int_equal(put(d, "more", i, VALUE), 0);
        struct tide_event e = TIDE_EVENT_INIT;
        do {
            assert_int_equal(tide_watch_next(w, &e, 0), 0);
            assert_int_equal(e.more, 0);
            assert_true(e.kind == TIDE_EVENT_EVICT || e.kind == TIDE_EVENT_PUT);
            told += e.kind == TIDE_EVENT_EVICT;
            if (e.kind == TIDE_EVENT_EVICT) {
                assert_int_equal(e.value_size, 0);
                assert_int_equal(tide_get(r, e.key, e.key_len, NULL, NULL, 0, NULL), TIDE_ERR_NOT_FOUND);
            }
        } while (e.kind != TIDE_EVENT_PUT);
        puts++;
        assert_int_equal(tide_watch_next(w, &e, 0), TIDE_ERR_TIMEOUT);
    }
    assert_int_equal(puts, 500);
    assert_true(told > 400);
    assert_int_equal(told, evicted(d) - before);
    assert_int_equal(tide_watch_close(w), 0);
    tide_reader_close(r);
    assert_int_equal(tide_close(d), 0);
}

static uint32_t flags_of_one;

static int note_flags(void *ctx, const struct tide_entry *e) {
    const char *key = ctx;
    if (e->key_len == strlen(key) && memcmp(e->key, key, e->key_len) == 0) {
        flags_of_one = e->flags;
    }
    return 0;
}

/* A newcomer copies that a key is kept, and its life: as the next leader it evicts others, and the key expires when it has to. */
static void join__keys_that_are_kept_and_that_expire__stay_so_under_the_newcomer(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    uint32_t leader = help_leader(d), newcomer;
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.flags = TIDE_KEEP;
    assert_int_equal(tide_put_with(d, NULL, "kept", 4, value, VALUE, &o, NULL), 0);
    o.ttl_ns = UINT64_C(3600000000000);
    assert_int_equal(tide_put_with(d, NULL, "kept for long", 13, value, VALUE, &o, NULL), 0);
    uint64_t n = fill(d);
    for (uint64_t i = 0; i < 2 * n; i++) { /* the ring has gone round: nothing but the copy tells it */
        assert_int_equal(put(d, "more", i, VALUE), 0);
    }
    struct tide_replica_opts candidate = TIDE_REPLICA_OPTS_INIT;
    candidate.candidate = 1;
    assert_int_equal(tide_replica_start(d, &candidate, &newcomer), 0);
    assert_true(help_info(d, newcomer).joins > 0);
    help_assert_equal_digests(d);
    assert_int_equal(tide_replica_stop(d, leader), 0);
    for (uint64_t i = 0; i < 4 * n; i++) {
        int error = put(d, "then", i, VALUE); /* the candidate takes over in a moment */
        assert_true(error == 0 || error == TIDE_ERR_NO_LEADER);
        i -= error != 0;
    }
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_answer a = TIDE_ANSWER_INIT;
    static char buf[sizeof(value)];
    assert_int_equal(tide_get(r, "kept", 4, NULL, buf, sizeof(buf), &a), 0);
    assert_true(a.served_by == newcomer && a.ttl_ns == TIDE_TTL_NONE);
    assert_int_equal(tide_get(r, "kept for long", 13, NULL, buf, sizeof(buf), &a), 0);
    assert_true(a.ttl_ns <= o.ttl_ns && a.ttl_ns > 0);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    flags_of_one = 0;
    assert_int_equal(tide_section_visit(r, note_flags, (void *)(uintptr_t) "kept for long"), 0);
    assert_int_equal(flags_of_one, TIDE_KEEP);
    assert_int_equal(tide_section_end(r), 0);
    tide_reader_close(r);
    assert_int_equal(tide_close(d), 0);
}

/* A follower learns from the log that a key is kept: it may be the next leader. */
static void follower__key_that_is_kept__kept_in_its_table_too(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    struct tide_token token;
    help_leader(d);
    uint32_t id = help_follower(d, 0);
    for (uint32_t i = 0; i < 2; i++) {
        o.flags = i == 0 ? TIDE_KEEP : 0;
        assert_int_equal(tide_put_with(d, NULL, "one", 3, value, VALUE, &o, &token), 0);
        assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_C(60000000000)), 0);
        struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)id, UINT64_C(1) << id);
        assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
        flags_of_one = UINT32_MAX;
        assert_int_equal(tide_section_visit(r, note_flags, (void *)(uintptr_t) "one"), 0);
        assert_int_equal(flags_of_one, o.flags);
        assert_int_equal(tide_section_end(r), 0);
        tide_reader_close(r);
    }
    assert_int_equal(tide_close(d), 0);
}

/* Reads through one reader keep HOT keys in, while others come and go. */
static void reads_keep(struct tide *writes, struct tide_reader *r) {
    uint64_t n = fill(writes);
    for (uint64_t k = 0; k < HOT; k++) {
        assert_int_equal(put(writes, "hot", k, VALUE), 0);
    }
    uint64_t lost = 0;
    for (uint64_t i = 0; i < 5 * n; i++) {
        assert_int_equal(put(writes, "cold", i, VALUE), 0);
        lost += get(r, "hot", i % HOT) != 0;
    }
    assert_int_equal(lost, 0);
    uint64_t cold = 0;
    for (uint64_t i = 0; i < n; i++) {
        cold += get(r, "cold", i) == 0;
    }
    assert_true(cold < n / 10); /* these were never read */
}

static void get__by_a_reader_of_the_leader__keeps_keys_in(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    uint32_t id = help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)id, 0);
    reads_keep(d, r);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

static void get__by_a_reader_of_a_follower__keeps_keys_in(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    uint32_t id = help_follower(d, 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, (int32_t)id, UINT64_C(1) << id);
    reads_keep(d, r);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

static void get__by_a_reader_without_a_replica__keeps_keys_in(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    struct tide *other = help_open_again(d);
    struct tide_reader *r = help_reader(other, TIDE_STICKY, -1, 0);
    reads_keep(d, r);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(d), 0);
}

static void mget_and_sections__what_they_find__stays_too(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    uint64_t n = fill(d);
    for (uint64_t k = 0; k < 3; k++) {
        assert_int_equal(put(d, "hot", k, VALUE), 0);
    }
    char keys[3][64], buf[sizeof(value)];
    size_t len[3];
    for (uint64_t k = 0; k < 3; k++) {
        len[k] = key_of(keys[k], sizeof(keys[k]), "hot", k);
    }
    for (uint64_t i = 0; i < 3 * n; i++) {
        assert_int_equal(put(d, "cold", i, VALUE), 0);
        struct tide_mget_item item = { .key = keys[0], .key_len = len[0], .buf = buf, .buf_size = sizeof(buf) };
        assert_int_equal(tide_mget(r, &item, 1, NULL, NULL), 0);
        assert_int_equal(item.result, 0);
        assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
        const void *at;
        size_t size;
        assert_int_equal(tide_section_get(r, keys[1], len[1], buf, sizeof(buf), NULL, NULL), 0);
        assert_int_equal(tide_section_peek(r, keys[2], len[2], &at, &size, NULL), 0);
        assert_int_equal(tide_section_end(r), 0);
    }
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* A domain that evicts, with room for values of a megabyte and more. */
static struct tide *open_large(void) {
    struct tide *d = open_evicting_with(8 * ROOM, 8 * ROOM);
    help_leader(d);
    return d;
}

static void put__that_an_empty_table_could_not_hold__is_full_and_nothing_goes(void **state) {
    (void)state;
    struct tide *d = open_large();
    while (evicted(d) == 0) {
        assert_int_equal(put(d, "k", help_scaled(1) * tide_now(d), VALUE), 0);
    }
    uint64_t before = evicted(d);
    struct tide_op ops[1100];
    static char keys[1100][16];
    for (size_t i = 0; i < 1100; i++) { /* together more than a table */
        snprintf(keys[i], sizeof(keys[i]), "batch:%06zu", i);
        ops[i] = (struct tide_op){ TIDE_OP_PUT, 0, keys[i], 12, value, 1900, 0 };
    }
    assert_int_equal(tide_batch(d, NULL, ops, 1100, NULL, NULL), TIDE_ERR_TOO_BIG); /* for the ring: a quarter of it */
    assert_int_equal(tide_batch(d, NULL, ops, 1000, NULL, NULL), 0);
    assert_true(evicted(d) > before);
    assert_int_equal(tide_close(d), 0);
}

static void cas__full_domain__the_key_that_it_names_is_not_evicted_for_it(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    uint64_t n = fill(d);
    for (uint64_t i = 0; i < 2 * n; i++) {
        char key[64];
        size_t len = key_of(key, sizeof(key), "cas", i);
        struct tide_token t;
        assert_int_equal(tide_put(d, NULL, key, len, value, VALUE, &t), 0);
        for (uint64_t k = 0; k < 4; k++) {
            assert_int_equal(put(d, "other", 4 * i + k, VALUE), 0);
        }
        int error = tide_cas(d, NULL, key, len, t.index, value, 6000, NULL, NULL); /* needs the room of many */
        assert_true(error == 0 || error == TIDE_ERR_MISMATCH);                     /* evicted before, by another put */
        if (error == 0) {
            assert_int_equal(get(r, "cas", i), 0);
        }
    }
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* The oldest key that is left goes first, since nobody has read any: the very key that the cas names. */
static void cas__of_the_key_that_goes_next__is_done(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    const struct table *t = &atomic_load(&d->running[0])->writer.t;
    uint64_t n = fill(d), oldest = 0;
    for (int round = 0; round < 50; round++) {
        char key[64];
        size_t len = 0;
        const struct table_node *node = NULL;
        for (; node == NULL && oldest < n; oldest++) {
            len = key_of(key, sizeof(key), "fill", oldest);
            node = table_find(t, table_hash(t, key, len), key, len, UINT64_MAX);
        }
        assert_non_null(node);
        uint64_t version = atomic_load(&node->index), before = evicted(d);
        assert_int_equal(tide_cas(d, NULL, key, len, version, value, 6000, NULL, NULL), 0);
        assert_true(evicted(d) > before);
    }
    assert_int_equal(tide_close(d), 0);
}

/* Beside a key that is kept there is room for the new value, and not for both. */
static void put__that_does_not_fit_beside_what_it_replaces__is_done(void **state) {
    (void)state;
    static char large[258000];
    struct tide *d = open_evicting_with(ROOM, ROOM);
    help_leader(d);
    help_follower(d, 0);
    struct tide_put_opts keep = TIDE_PUT_OPTS_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    keep.flags = TIDE_KEEP;
    assert_int_equal(tide_put_with(d, NULL, "kept", 4, large, 250000, &keep, NULL), 0);
    assert_int_equal(put(d, "other", 1, VALUE), 0);
    struct tide_token own;
    assert_int_equal(tide_put(d, NULL, "own", 3, large, 250000, &own), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 1, 0);
    /* A cas was compared with the value, which stays. */
    assert_int_equal(tide_cas(d, NULL, "own", 3, own.index, large, 258000, NULL, NULL), TIDE_ERR_FULL);
    assert_int_equal(tide_get(r, "own", 3, NULL, large, sizeof(large), &a), 0);
    assert_int_equal(a.version, own.index);
    assert_int_equal(tide_put(d, NULL, "own", 3, large, 258000, NULL), 0);
    assert_int_equal(tide_get(r, "own", 3, NULL, large, sizeof(large), &a), 0);
    assert_int_equal(a.value_size, 258000);
    assert_int_equal(tide_get(r, "kept", 4, NULL, large, sizeof(large), &a), 0);
    help_assert_equal_digests(d);
    assert_int_equal(help_info(d, 1).joins, 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

#define OPS 1500u

/* One put of so many bytes for each of the first n keys of a kind, the first one's of `first` bytes. */
static int put_batch(struct tide *d, const char *kind, size_t n, size_t size, size_t first) {
    static char keys[OPS][64];
    static struct tide_op ops[OPS];
    for (size_t i = 0; i < n; i++) {
        ops[i] = (struct tide_op){ .kind = TIDE_OP_PUT,
                                   .key = keys[i],
                                   .key_len = key_of(keys[i], sizeof(keys[i]), kind, i),
                                   .value = value,
                                   .value_size = i == 0 ? first : size };
    }
    return tide_batch(d, NULL, ops, n, NULL, NULL);
}

/* The same, with an add before them: none of its keys goes. */
static int add_and_put_batch(struct tide *d, const char *kind, size_t n, size_t size, size_t first) {
    static char keys[OPS][64];
    static struct tide_write_op ops[OPS + 1];
    for (size_t i = 0; i <= n; i++) {
        ops[i] = (struct tide_write_op)TIDE_WRITE_OP_INIT;
        ops[i].kind = i == 0 ? TIDE_OP_ADD : TIDE_OP_PUT;
        ops[i].key = i == 0 ? "sum" : keys[i - 1];
        ops[i].key_len = i == 0 ? 3 : key_of(keys[i - 1], sizeof(keys[i - 1]), kind, i - 1);
        ops[i].value = value;
        ops[i].value_size = i == 0 ? 0 : i == 1 ? first : size;
    }
    return tide_write(d, NULL, ops, n + 1, NULL, NULL);
}

/* More keys than get another round, all of them the next to go. */
static void batch__over_many_keys_that_are_there__others_go_for_it(void **state) {
    (void)state;
    struct tide *d = open_evicting_with(ROOM, ROOM);
    help_leader(d);
    help_follower(d, 0);
    for (uint64_t i = 0; i < OPS; i++) {
        assert_int_equal(put(d, "own", i, 16), 0);
    }
    for (uint64_t n = 0; help_info(d, 0).table_free_bytes > 2 * VALUE; n++) {
        assert_int_equal(put(d, "fill", n, VALUE), 0);
    }
    uint64_t before = evicted(d);
    assert_int_equal(put_batch(d, "own", OPS, 64, 64), 0);
    assert_true(evicted(d) > before);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    for (uint64_t i = 0; i < OPS; i++) {
        assert_int_equal(get(r, "own", i), 0);
    }
    assert_int_equal(atomic_load(&d->log->leader.refused_full), 0);
    help_assert_equal_digests(d);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

static void batch__that_cannot_stand_beside_what_it_replaces__is_full_and_nothing_goes(void **state) {
    (void)state;
    struct tide *d = open_evicting_with(ROOM, ROOM);
    help_leader(d);
    for (uint64_t i = 0; i < 600; i++) {
        assert_int_equal(put(d, "own", i, 1200), 0);
    }
    for (uint64_t n = 0; help_info(d, 0).table_free_bytes > 2 * VALUE; n++) {
        assert_int_equal(put(d, "fill", n, VALUE), 0);
    }
    uint64_t before = evicted(d), keys = help_info(d, 0).keys;
    assert_int_equal(add_and_put_batch(d, "own", 600, 320, 1300), TIDE_ERR_FULL);
    assert_int_equal(evicted(d), before);
    assert_int_equal(help_info(d, 0).keys, keys);
    assert_int_equal(put_batch(d, "own", 600, 320, 1300), 0); /* of puts alone: what they replace goes */
    assert_true(evicted(d) > before);
    assert_int_equal(tide_close(d), 0);
}

static void step_down__the_next_leader__evicts_what_nobody_reads(void **state) {
    (void)state;
    struct tide *d = open_evicting(), *other = help_open_again(d);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    o.candidate = 1;
    assert_int_equal(tide_replica_start(d, &o, NULL), 0);
    o.role = TIDE_FOLLOWER;
    assert_int_equal(tide_replica_start(other, &o, NULL), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    uint64_t n = fill(d), lost = 0;
    for (uint64_t k = 0; k < HOT; k++) {
        assert_int_equal(put(d, "hot", k, VALUE), 0);
    }
    for (uint64_t i = 0; i < 4 * n; i++) {
        assert_int_equal(put(d, "cold", i, VALUE), 0);
        lost += get(r, "hot", i % HOT) != 0;
        if (i == 2 * n) {
            struct tide_token t;
            assert_int_equal(put(d, "cold", i, VALUE), 0);
            assert_int_equal(tide_reader_token(r, &t), 0);
            assert_int_equal(tide_wait_applied(d, &t, 2, UINT64_C(10000000000)), 0);
            assert_int_equal(tide_step_down(d), 0);
            struct tide_info info = TIDE_INFO_INIT;
            do {
                assert_int_equal(tide_info(d, &info), 0);
            } while (info.leader != 1);
        }
    }
    assert_true(lost <= 4);
    help_assert_equal_digests(d);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(d), 0);
}

/* Keys that come and are deleted again leave names in the queues. */
static void delete__again_and_again__queues_stay_short(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    const struct table_writer *w = &atomic_load(&d->running[0])->writer;
    const struct evict *e = (const struct evict *)w->evict;
    for (uint64_t i = 0; i < 60000; i++) {
        char key[64];
        size_t len = key_of(key, sizeof(key), "gone", i);
        assert_int_equal(tide_put(d, NULL, key, len, value, 10, NULL), 0);
        if (i % 10 != 0 || i > 1000) {
            assert_int_equal(tide_delete(d, NULL, key, len, NULL), 0);
        }
        assert_true(e->small.count + e->main.count <= 4 * (w->keys + 2 * EVICT_CHUNK));
    }
    assert_int_equal(w->keys, 101);
    fill(d); /* and it goes on as it should */
    assert_int_equal(tide_close(d), 0);
}

/* Put the key where nothing is evicted for it. By how much did the main queue grow? -1: something was evicted. */
static int64_t main_grows(struct tide *d, const char *kind, uint64_t n) {
    const struct evict *e = (const struct evict *)atomic_load(&d->running[0])->writer.evict;
    uint64_t before = e->main.count, gone = evicted(d);
    assert_int_equal(put(d, kind, n, VALUE), 0);
    return evicted(d) == gone ? (int64_t)(e->main.count - before) : -1;
}

/* A key that was evicted from the small queue and comes back soon is put into the main queue, once; one that was never there is not. */
static void put__key_that_was_evicted_lately__goes_to_the_main_queue(void **state) {
    (void)state;
    struct tide *d = open_evicting();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    uint64_t n = fill(d), back = 0, again = 0;
    for (uint64_t i = 0; i < 2 * n; i++) { /* all of the small queue's are gone that came before these */
        assert_int_equal(put(d, "more", i, VALUE), 0);
        assert_true(main_grows(d, "never", i) <= 0);
    }
    for (uint64_t i = 2 * n; i-- > n && back < 50;) {
        char key[64];
        size_t len = key_of(key, sizeof(key), "more", i);
        if (get(r, "more", i) == TIDE_ERR_NOT_FOUND && main_grows(d, "more", i) == 1) {
            back++;
            assert_int_equal(tide_delete(d, NULL, key, len, NULL), 0);
            again += main_grows(d, "more", i) == 1; /* it is no ghost any more */
        }
    }
    assert_int_equal(back, 50);
    assert_int_equal(again, 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

static void tide_open__a_policy_that_there_is_not__is_invalid(void **state) {
    (void)state;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.evict = TIDE_EVICT_S3FIFO + 1;
    struct tide *d;
    assert_int_equal(tide_open(&d, help_name(), &o), TIDE_ERR_INVALID);
}

/* The values that a batch replaces fill the whole table: they go for it, since nothing else is left. Those that a cas names do not. */
static void batch__that_replaces_all_there_is__is_done(void **state) {
    (void)state;
    struct tide *d = open_large();
    help_follower(d, 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    enum { MANY = 1000 };
    static struct tide_op ops[MANY];
    static char keys[MANY][16];
    for (int round = 0; round < 4; round++) {
        for (size_t i = 0; i < MANY; i++) {
            snprintf(keys[i], sizeof(keys[i]), "mine:%06zu", i);
            assert_int_equal(tide_put(d, NULL, keys[i], 11, value, sizeof(value) - 1000, NULL), 0);
            ops[i] = (struct tide_op){ TIDE_OP_PUT, 0, keys[i], 11, value, 1900, 0 };
        }
        if (round % 2 != 0) { /* all of the keys have to be there: then it may be refused */
            struct tide_answer a = TIDE_ANSWER_INIT;
            assert_int_equal(tide_get(r, keys[MANY - 1], 11, NULL, NULL, 0, &a), TIDE_ERR_BUFFER);
            ops[MANY - 1].kind = TIDE_OP_CAS;
            ops[MANY - 1].expected = a.version;
        }
        int error = tide_batch(d, NULL, ops, MANY, NULL, NULL);
        assert_true(error == 0 || (round % 2 != 0 && error == TIDE_ERR_FULL));
        for (size_t i = 0; i < MANY && error == 0; i++) {
            struct tide_answer a = TIDE_ANSWER_INIT;
            assert_int_equal(tide_get(r, keys[i], 11, NULL, NULL, 0, &a), TIDE_ERR_BUFFER);
            assert_int_equal(a.value_size, 1900);
        }
    }
    help_assert_equal_digests(d);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* Many keys that a batch names stand before the one that can go. */
static void batch__of_many_keys_that_are_held__the_others_go(void **state) {
    (void)state;
    struct tide *d = open_large();
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    enum { MANY = 1700 };
    static struct tide_op ops[MANY];
    static char keys[MANY][16], large[1900000];
    for (size_t i = 0; i < MANY; i++) {
        struct tide_token t;
        snprintf(keys[i], sizeof(keys[i]), "mine:%06zu", i);
        assert_int_equal(tide_put(d, NULL, keys[i], 11, value, 1000, &t), 0);
        ops[i] = (struct tide_op){ TIDE_OP_CAS, 0, keys[i], 11, value, 1001, t.index };
    }
    for (int i = 0; i < 2; i++) { /* the others: two large ones, which come last */
        assert_int_equal(tide_put(d, NULL, i == 0 ? "one" : "two", 3, large, sizeof(large), NULL), 0);
    }
    uint64_t before = evicted(d);
    assert_int_equal(before, 0);
    assert_int_equal(tide_batch(d, NULL, ops, MANY, NULL, NULL), 0);
    assert_true(evicted(d) > before && evicted(d) <= before + 2);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

/* What a batch deletes need not stand beside what it puts. What it names otherwise has to stay. */
static void batch__that_deletes_what_is_large__is_done(void **state) {
    (void)state;
    struct tide *d = open_large();
    help_follower(d, 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, 0, 0);
    static char large[1700000];
    static const char *const gone[] = { "gone0", "gone1", "gone2" };
    struct tide_op ops[] = { { TIDE_OP_CAS, 0, "cas", 3, "value", 5, 0 },
                             { TIDE_OP_DELETE, 0, gone[0], 5, NULL, 0, 0 },
                             { TIDE_OP_DELETE, 0, gone[1], 5, NULL, 0, 0 },
                             { TIDE_OP_DELETE, 0, gone[2], 5, NULL, 0, 0 },
                             { TIDE_OP_PUT, 0, "large", 5, large, sizeof(large), 0 } };
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tide_put(d, NULL, gone[i], 5, large, sizeof(large), NULL), 0);
    }
    assert_int_equal(evicted(d), 0);
    assert_int_equal(tide_batch(d, NULL, ops, 5, NULL, NULL), 0);
    assert_int_equal(tide_get(r, "large", 5, NULL, NULL, 0, NULL), TIDE_ERR_BUFFER);
    assert_int_equal(tide_get(r, "cas", 3, NULL, NULL, 0, NULL), TIDE_ERR_BUFFER);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tide_get(r, gone[i], 5, NULL, NULL, 0, NULL), TIDE_ERR_NOT_FOUND);
    }
    ops[4].key = "other";
    for (size_t i = 0; i < 3; i++) { /* a cas needs them */
        struct tide_token t;
        assert_int_equal(tide_put(d, NULL, gone[i], 5, large, sizeof(large), &t), 0);
        ops[i + 1] = (struct tide_op){ TIDE_OP_CAS, 0, gone[i], 5, "value", 5, t.index };
    }
    ops[0] = (struct tide_op){ TIDE_OP_DELETE, 0, "cas", 3, NULL, 0, 0 };
    assert_int_equal(tide_batch(d, NULL, ops, 5, NULL, NULL), TIDE_ERR_FULL);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(tide_get(r, gone[i], 5, NULL, NULL, 0, NULL), TIDE_ERR_BUFFER);
    }
    help_assert_equal_digests(d);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put__full_domain_that_evicts__every_put_is_done_and_replicas_stay_alike),
        cmocka_unit_test(put__keys_that_were_just_evicted__replicas_stay_alike),
        cmocka_unit_test(get__nothing_is_evicted_for_long__counted_all_the_same),
        cmocka_unit_test(put__with_a_ttl_in_a_full_domain__is_whole_in_log_and_tables),
        cmocka_unit_test(watch__of_a_domain_that_evicts__tells_what_is_gone),
        cmocka_unit_test(follower__key_that_is_kept__kept_in_its_table_too),
        cmocka_unit_test(join__keys_that_are_kept_and_that_expire__stay_so_under_the_newcomer),
        cmocka_unit_test(get__by_a_reader_of_the_leader__keeps_keys_in),
        cmocka_unit_test(get__by_a_reader_of_a_follower__keeps_keys_in),
        cmocka_unit_test(get__by_a_reader_without_a_replica__keeps_keys_in),
        cmocka_unit_test(mget_and_sections__what_they_find__stays_too),
        cmocka_unit_test(put__that_an_empty_table_could_not_hold__is_full_and_nothing_goes),
        cmocka_unit_test(cas__full_domain__the_key_that_it_names_is_not_evicted_for_it),
        cmocka_unit_test(cas__of_the_key_that_goes_next__is_done),
        cmocka_unit_test(put__that_does_not_fit_beside_what_it_replaces__is_done),
        cmocka_unit_test(batch__over_many_keys_that_are_there__others_go_for_it),
        cmocka_unit_test(batch__that_cannot_stand_beside_what_it_replaces__is_full_and_nothing_goes),
        cmocka_unit_test(batch__that_deletes_what_is_large__is_done),
        cmocka_unit_test(step_down__the_next_leader__evicts_what_nobody_reads),
        cmocka_unit_test(delete__again_and_again__queues_stay_short),
        cmocka_unit_test(batch__that_replaces_all_there_is__is_done),
        cmocka_unit_test(batch__of_many_keys_that_are_held__the_others_go),
        cmocka_unit_test(put__key_that_was_evicted_lately__goes_to_the_main_queue),
        cmocka_unit_test(tide_open__a_policy_that_there_is_not__is_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
