/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Time to live: until when each reader sees a value, and which replica removes it. */
#include <pthread.h>
#include <stdatomic.h>

#include "engine/log/derive.h"
#include "engine/log/sequencer.h"
#include "engine/table/rcu.h"
#include "shm/clock.h"
#include "shm/nap.h"
#include "tests/lib/forked.h"
#include "tests/lib/pair.h"

#define LONG (100 * HOUR)
#define ROOM (UINT64_C(1) << 20)

static struct tide *open_ttl(uint64_t default_ttl_ns) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags |= TIDE_EPHEMERAL;
    opts.ring_bytes = ROOM;
    opts.table_bytes = 8 * ROOM;
    opts.default_ttl_ns = default_ttl_ns;
    struct tide *d;
    assert_int_equal(tide_open(&d, help_name(), &opts), 0);
    return d;
}

static int put_ttl(struct tide *d, const char *key, const char *value, uint64_t ttl_ns, struct tide_token *token) {
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = ttl_ns;
    return tide_put_with(d, NULL, key, strlen(key), value, strlen(value), &o, token);
}

struct seen {
    int error;
    char value[128];
    struct tide_answer a;
};

static struct seen see(struct tide_reader *r, const char *key, const struct tide_bound *bound) {
    struct seen s = { .a = TIDE_ANSWER_INIT };
    s.error = tide_get(r, key, strlen(key), bound, s.value, sizeof(s.value), &s.a);
    return s;
}

/* Until the domain's clock has passed an instant. */
static void await(struct tide *d, uint64_t instant) {
    while (tide_now(d) <= instant) {
        park_nap(100000);
    }
}

static uint64_t count_expired(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    return info.expired_total;
}

static uint64_t count_evicted(struct tide *d) {
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    return info.evicted_total;
}

static uint64_t keys_of(struct tide *d, uint32_t id) {
    return help_info(d, id).keys;
}

/* ---- what is left ------------------------------------------------------------------------------------------------- */

static void get__value_that_expires__says_what_is_left(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    uint64_t before = tide_now(d);
    assert_int_equal(put_ttl(d, "a", "one", LONG, NULL), 0);
    struct seen s = see(r, "a", NULL);
    uint64_t read = tide_now(d);
    assert_int_equal(s.error, 0);
    assert_string_equal(s.value, "one");
    assert_true(s.a.ttl_ns <= LONG && s.a.ttl_ns >= LONG - (read - before));
    assert_int_equal(put_ttl(d, "a", "two", TIDE_TTL_NONE, NULL), 0);
    assert_true(see(r, "a", NULL).a.ttl_ns == TIDE_TTL_NONE);
    assert_int_equal(tide_put(d, NULL, "a", 1, "three", 5, NULL), 0);
    assert_true(see(r, "a", NULL).a.ttl_ns == TIDE_TTL_NONE);
    s = see(r, "none", NULL);
    assert_int_equal(s.error, TIDE_ERR_NOT_FOUND);
    assert_true(s.a.ttl_ns == 0);
    tide_reader_close(r);
    tide_close(d);
}

static void get__answer_of_the_first_release__filled_as_far_as_it_goes(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(put_ttl(d, "a", "one", LONG, NULL), 0);
    struct tide_answer a = TIDE_ANSWER_INIT;
    a.size = offsetof(struct tide_answer, ttl_ns);
    a.ttl_ns = 4711;
    char buf[8];
    assert_int_equal(tide_get(r, "a", 1, NULL, buf, sizeof(buf), &a), 0);
    assert_int_equal(a.value_size, 3);
    assert_int_equal(a.ttl_ns, 4711);
    tide_reader_close(r);
    tide_close(d);
}

/* ---- how long it is seen ------------------------------------------------------------------------------------------- */

/* Look at a key until it is gone: it is seen before its expiry and not after. */
static void watch_expire(struct tide *d, struct tide_reader *r, const char *key, const struct tide_bound *bound,
                         uint64_t earliest, uint64_t latest) {
    for (;;) {
        uint64_t before = tide_now(d);
        struct seen s = see(r, key, bound);
        uint64_t after = tide_now(d);
        if (s.error == 0) {
            assert_true(before < latest);
            assert_true(s.a.ttl_ns != 0 && s.a.ttl_ns <= latest - before);
        } else {
            assert_int_equal(s.error, TIDE_ERR_NOT_FOUND);
            assert_true(after >= earliest);
            return;
        }
    }
}

static void get__at_every_bound_on_leader_and_follower__seen_until_it_expires_and_not_after(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    uint32_t ids[2] = { help_leader(d), help_follower(d, 0) };
    for (int where = 0; where < 4; where++) {
        struct tide_reader *r =
            help_reader(where < 2 ? d : other, TIDE_STICKY, (int32_t)ids[where % 2], UINT64_C(1) << ids[where % 2]);
        for (int b = 0; b < 3; b++) {
            struct tide_bound bound = bound_of(b == 0   ? TIDE_FALLBACK_LEADER
                                               : b == 1 ? TIDE_FALLBACK_WAIT
                                                        : TIDE_FALLBACK_STALE,
                                               b == 0 ? 0 : HOUR);
            bound.wait_ns = HOUR;
            struct tide_token token;
            uint64_t before = tide_now(d);
            assert_int_equal(put_ttl(d, "key-of-16-bytes!", "value", 20 * MS, &token), 0);
            uint64_t after = tide_now(d);
            assert_int_equal(tide_wait_applied(d, &token, 2, HOUR), 0);
            watch_expire(d, r, "key-of-16-bytes!", &bound, before + 20 * MS, after + 20 * MS);
        }
        tide_reader_close(r);
    }
    tide_close(other);
    tide_close(d);
}

static void get__follower_that_shows_the_past__expires_by_the_clock_all_the_same(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    assert_int_equal(put_ttl(p.d, "k", "value", 50 * MS, NULL), 0);
    catch_up(&p); /* and applies no removal for an hour */
    uint64_t expiry = tide_now(p.d) + 50 * MS;
    struct tide_bound bound = bound_of(TIDE_FALLBACK_STALE, TIDE_UNBOUNDED);
    await(p.d, expiry);
    assert_int_equal(see(p.r, "k", &bound).error, TIDE_ERR_NOT_FOUND);
    close_pair(&p);
}

/* Nobody leads, so nobody removes it. */
static void get__nobody_leads__expires_all_the_same(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    struct tide_reader *readers[2] = { help_reader(d, TIDE_STICKY, (int32_t)follower, UINT64_C(1) << follower),
                                       help_reader(other, TIDE_STICKY, (int32_t)follower, UINT64_C(1) << follower) };
    struct tide_token token;
    uint64_t before = tide_now(d);
    assert_int_equal(put_ttl(d, "key-of-16-bytes!", "value", 100 * MS, &token), 0);
    uint64_t after = tide_now(d);
    assert_int_equal(tide_wait_applied(d, &token, 2, HOUR), 0);
    assert_int_equal(tide_replica_stop(d, leader), 0);
    for (int b = 0; b < 2; b++) { /* linearizable, and at any staleness */
        struct tide_bound bound = bound_of(TIDE_FALLBACK_WAIT, b == 0 ? 0 : TIDE_UNBOUNDED);
        bound.wait_ns = HOUR;
        for (int where = 0; where < 2; where++) {
            watch_expire(d, readers[where], "key-of-16-bytes!", &bound, before + 100 * MS, after + 100 * MS);
        }
    }
    assert_int_equal(keys_of(d, follower), 1);
    tide_reader_close(readers[0]);
    tide_reader_close(readers[1]);
    tide_close(other);
    tide_close(d);
}

/* A writer that gives a key another life before the last one ends, or says that it was too late. */
struct cover {
    struct tide *d;
    _Atomic uint64_t until; /* the key is there until then */
    _Atomic uint64_t gaps;  /* times that it may not have been */
    _Atomic uint32_t stop;
};

#define COVER_NS UINT64_C(400000)

static void *cover_run(void *arg) {
    struct cover *c = arg;
    while (atomic_load(&c->stop) == 0) {
        uint64_t start = tide_now(c->d);
        help_check(put_ttl(c->d, "key-of-16-bytes!", "value", COVER_NS, NULL) == 0);
        if (tide_now(c->d) >= atomic_load(&c->until)) {
            atomic_fetch_add(&c->gaps, 1);
        }
        atomic_store(&c->until, start + COVER_NS);
    }
    return NULL;
}

static void get__given_another_life_in_time__never_absent(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    struct tide_reader *readers[3] = { help_reader(d, TIDE_STICKY, (int32_t)leader, 0),
                                       help_reader(d, TIDE_STICKY, (int32_t)follower, 0),
                                       help_reader(other, TIDE_STICKY, (int32_t)leader, 0) };
    struct cover c = { .d = d };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cover_run, &c), 0);
    uint64_t covered = 0, most = help_scaled(300000);
    for (uint64_t i = 0; i < 20 * most && covered < most; i++) {
        struct tide_reader *r = readers[i % 3];
        uint64_t gaps = atomic_load(&c.gaps), until = atomic_load(&c.until), before = tide_now(d);
        char buf[16];
        size_t size;
        int error;
        if (i % 7 == 0) {
            struct tide_mget_item item = { .key = "key-of-16-bytes!", .key_len = 16, .buf = buf, .buf_size = 16 };
            error = tide_mget(r, &item, 1, NULL, NULL);
            error = error == 0 ? item.result : error;
        } else if (i % 7 == 1 && i % 3 != 2) {
            error = tide_section_begin(r, NULL, NULL);
            error = error == 0 ? tide_section_get(r, "key-of-16-bytes!", 16, buf, 16, &size, NULL) : error;
            tide_section_end(r);
        } else {
            error = tide_get(r, "key-of-16-bytes!", 16, NULL, buf, 16, NULL);
        }
        uint64_t after = tide_now(d);
        if (before < until && after < atomic_load(&c.until) && gaps == atomic_load(&c.gaps)) {
            covered++;
            help_check(error == 0);
        } else {
            /* This thread slept for longer than a life: perhaps for the second that the leader's replica has, or until the section's was lapped. */
            help_check(error == 0 || error == TIDE_ERR_NOT_FOUND || error == TIDE_ERR_TIMEOUT ||
                       error == TIDE_ERR_LOST);
        }
    }
    atomic_store(&c.stop, 1);
    pthread_join(thread, NULL);
    help_assert_threads();
    for (int i = 0; i < 3; i++) {
        tide_reader_close(readers[i]);
    }
    tide_close(other);
    tide_close(d);
}

static void section__open_across_an_expiry__looks_at_one_instant(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    help_leader(d);
    for (int where = 0; where < 2; where++) {
        struct tide_reader *r = help_reader(where == 0 ? d : other, TIDE_STICKY, -1, 0);
        assert_int_equal(put_ttl(d, "k", "value", 40 * MS, NULL), 0);
        uint64_t expiry = tide_now(d) + 40 * MS;
        assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
        char buf[16];
        size_t size;
        int first = tide_section_get(r, "k", 1, buf, sizeof(buf), &size, NULL);
        await(d, expiry);
        int second = tide_section_get(r, "k", 1, buf, sizeof(buf), &size, NULL);
        uint64_t left = 0;
        int third = tide_section_ttl(r, "k", 1, &left);
        assert_true(third == first || (where == 1 && third == TIDE_ERR_LOST));
        assert_true(third != 0 || (left != 0 && left <= 40 * MS));
        /* Another process's replica may remove it meanwhile. */
        assert_true(second == first || (where == 1 && second == TIDE_ERR_LOST));
        assert_int_equal(tide_section_end(r), 0);
        assert_int_equal(see(r, "k", NULL).error, TIDE_ERR_NOT_FOUND);
        tide_reader_close(r);
    }
    tide_close(other);
    tide_close(d);
}

static void section_ttl__keys_of_all_kinds__what_is_left_at_its_instant(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    help_leader(d);
    uint64_t left = 4711;
    uint64_t before = tide_now(d);
    assert_int_equal(put_ttl(d, "long", "value", LONG, NULL), 0);
    assert_int_equal(put_ttl(d, "empty", "", LONG, NULL), 0);
    assert_int_equal(put_ttl(d, "never", "value", TIDE_TTL_NONE, NULL), 0);
    assert_int_equal(put_ttl(d, "over", "value", 1, NULL), 0);
    await(d, tide_now(d) + 1000);
    for (int where = 0; where < 2; where++) {
        struct tide_reader *r = help_reader(where == 0 ? d : other, TIDE_STICKY, -1, 0);
        assert_int_equal(tide_section_ttl(r, "long", 4, &left), TIDE_ERR_THREAD);
        int error = TIDE_ERR_LOST;
        while (error == TIDE_ERR_LOST) { /* the one that is over is removed just now */
            assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
            error = tide_section_ttl(r, "long", 4, &left);
            if (error == 0) {
                assert_true(left <= LONG && left >= LONG - (tide_now(d) - before));
                error = tide_section_ttl(r, "empty", 5, &left);
            }
            if (error == 0) {
                assert_true(left <= LONG && left >= LONG - (tide_now(d) - before));
                error = tide_section_ttl(r, "never", 5, &left);
            }
            if (error == 0) {
                assert_true(left == TIDE_TTL_NONE);
                left = 4711;
                error = tide_section_ttl(r, "over", 4, &left);
            }
            if (error != TIDE_ERR_LOST) {
                assert_int_equal(error, TIDE_ERR_NOT_FOUND);
                assert_true(left == 4711);
                error = tide_section_ttl(r, "none", 4, &left);
            }
            assert_int_equal(tide_section_ttl(r, "long", 4, NULL), TIDE_ERR_INVALID);
            assert_int_equal(tide_section_ttl(r, "long", 0, &left), TIDE_ERR_INVALID);
            assert_int_equal(tide_section_end(r), 0);
        }
        assert_int_equal(error, TIDE_ERR_NOT_FOUND);
        struct tide_read_counts c = TIDE_READ_COUNTS_INIT;
        assert_int_equal(tide_reader_counts(r, &c), 0);
        assert_int_equal(c.hits + c.misses, 0);
        tide_reader_close(r);
    }
    tide_close(other);
    tide_close(d);
}

static int count_entry(void *ctx, const struct tide_entry *e) {
    uint64_t *counts = ctx;
    counts[e->ttl_ns == TIDE_TTL_NONE ? 0 : 1]++;
    return 0;
}

static void scan__some_expired__only_the_others_are_visited(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    help_leader(d);
    for (uint32_t i = 0; i < 300; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%u", i);
        assert_int_equal(put_ttl(d, key, "v", i % 3 == 0 ? 1 : i % 3 == 1 ? LONG : TIDE_TTL_NONE, NULL), 0);
    }
    await(d, tide_now(d) + MS);
    for (int where = 0; where < 2; where++) {
        struct tide_reader *r = help_reader(where == 0 ? d : other, TIDE_STICKY, -1, 0);
        int error = TIDE_ERR_LOST;
        uint64_t counts[2];
        while (error == TIDE_ERR_LOST) {
            counts[0] = counts[1] = 0;
            assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
            error = tide_section_visit(r, count_entry, counts);
            assert_int_equal(tide_section_end(r), 0);
        }
        assert_int_equal(error, 0);
        assert_int_equal(counts[0], 100);
        assert_int_equal(counts[1], 100);
        struct tide_mget_item items[3];
        char buf[3][4];
        static const char *const keys[] = { "key0", "key1", "key2" };
        for (int i = 0; i < 3; i++) {
            items[i] = (struct tide_mget_item){ .key = keys[i], .key_len = 4, .buf = buf[i], .buf_size = 4 };
        }
        assert_int_equal(tide_mget(r, items, 3, NULL, NULL), 0);
        assert_int_equal(items[0].result, TIDE_ERR_NOT_FOUND);
        assert_int_equal(items[0].value_size, 0);
        assert_int_equal(items[1].result, 0);
        assert_int_equal(items[2].result, 0);
        tide_reader_close(r);
    }
    tide_close(other);
    tide_close(d);
}

/* ---- writes ----------------------------------------------------------------------------------------------------------- */

/* What an item had before the call does not show through, whichever way the replica is read. */
static void mget__of_nothing_and_of_what_expired__items_have_no_size(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    struct tide *other = help_open_again(d);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = UINT64_C(1000000);
    assert_int_equal(tide_put_with(d, NULL, "over", 4, "12345", 5, &o, NULL), 0);
    await(d, tide_now(d) + o.ttl_ns);
    for (int i = 0; i < 2; i++) {
        struct tide_reader *r = help_reader(i == 0 ? d : other, TIDE_STICKY, -1, 0);
        uint8_t buf[2][16];
        struct tide_mget_item items[] = {
            { .key = "none", .key_len = 4, .buf = buf[0], .buf_size = 16, .value_size = 99, .version = 99 },
            { .key = "over", .key_len = 4, .buf = buf[1], .buf_size = 16, .value_size = 99, .version = 99 },
        };
        assert_int_equal(tide_mget(r, items, 2, NULL, NULL), 0);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(items[k].result, TIDE_ERR_NOT_FOUND);
            assert_int_equal(items[k].value_size, 0);
            assert_int_equal(items[k].version, 0);
        }
        tide_reader_close(r);
    }
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(d), 0);
}

static void cas__expired_key__is_absent(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    help_leader(d);
    struct tide_token t;
    uint64_t found = 99;
    assert_int_equal(put_ttl(d, "k", "old", 1, &t), 0);
    await(d, tide_now(d) + 1000);
    assert_int_equal(tide_cas(d, NULL, "k", 1, t.index, "new", 3, NULL, &found), TIDE_ERR_MISMATCH);
    assert_int_equal(found, 0);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = LONG;
    assert_int_equal(tide_cas_with(d, NULL, "k", 1, 0, "new", 3, &o, &t, &found), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct seen s = see(r, "k", NULL);
    assert_string_equal(s.value, "new");
    assert_true(s.a.ttl_ns <= LONG);
    tide_reader_close(r);
    tide_close(d);
}

static void touch__key__same_value_and_another_life(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    help_leader(d);
    tide_ping(other, HOUR);
    for (int where = 0; where < 2; where++) {
        struct tide *w = where == 0 ? d : other;
        struct tide_reader *r = help_reader(w, TIDE_STICKY, -1, 0);
        struct tide_token first, second;
        assert_int_equal(tide_touch(w, NULL, "none", 4, LONG, NULL), TIDE_ERR_NOT_FOUND);
        assert_int_equal(tide_put(w, NULL, "k", 1, "value", 5, &first), 0);
        assert_int_equal(tide_touch(w, NULL, "k", 1, LONG, &second), 0);
        assert_int_equal(second.index, first.index + 1);
        struct seen s = see(r, "k", NULL);
        assert_string_equal(s.value, "value");
        assert_int_equal(s.a.version, second.index);
        assert_true(s.a.ttl_ns <= LONG && s.a.ttl_ns > LONG - HOUR);
        assert_int_equal(tide_touch(w, NULL, "k", 1, TIDE_TTL_NONE, NULL), 0);
        assert_true(see(r, "k", NULL).a.ttl_ns == TIDE_TTL_NONE);
        assert_int_equal(tide_touch(w, NULL, "k", 1, 1, NULL), 0);
        await(d, tide_now(d) + 1000);
        assert_int_equal(see(r, "k", NULL).error, TIDE_ERR_NOT_FOUND);
        assert_int_equal(tide_touch(w, NULL, "k", 1, LONG, NULL), TIDE_ERR_NOT_FOUND);
        tide_reader_close(r);
    }
    tide_close(other);
    tide_close(d);
}

static void ttl__absurd__is_for_ever(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    static const uint64_t absurd[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_MAX / 2, UINT64_C(1) << 63, (uint64_t)-5 };
    for (size_t i = 0; i < sizeof(absurd) / sizeof(absurd[0]); i++) {
        assert_int_equal(put_ttl(d, "k", "v", absurd[i], NULL), 0);
        assert_true(see(r, "k", NULL).a.ttl_ns == TIDE_TTL_NONE);
    }
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.flags = 2;
    assert_int_equal(tide_put_with(d, NULL, "k", 1, "v", 1, &o, NULL), TIDE_ERR_INVALID);
    o.flags = 0;
    o.reserved = 1;
    assert_int_equal(tide_put_with(d, NULL, "k", 1, "v", 1, &o, NULL), TIDE_ERR_INVALID);
    tide_reader_close(r);
    tide_close(d);
}

static void default_ttl__domain_that_has_one__every_write_takes_it_unless_it_names_another(void **state) {
    (void)state;
    struct tide *d = open_ttl(LONG), *other = help_open_again(d);
    help_leader(d);
    tide_ping(other, HOUR);
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(other, &info), 0);
    assert_int_equal(info.default_ttl_ns, LONG);
    for (int where = 0; where < 2; where++) {
        struct tide *w = where == 0 ? d : other;
        struct tide_reader *r = help_reader(w, TIDE_STICKY, -1, 0);
        for (int again = 0; again < 2; again++) { /* the second replaces a value */
            assert_int_equal(tide_put(w, NULL, "put", 3, "v", 1, NULL), 0);
            assert_int_equal(tide_put(w, NULL, "empty", 5, "", 0, NULL), 0);
        }
        assert_int_equal(tide_delete(w, NULL, "cas", 3, NULL), 0);
        assert_int_equal(tide_cas(w, NULL, "cas", 3, 0, "v", 1, NULL, NULL), 0);
        struct tide_op op = { .kind = TIDE_OP_PUT, .key = "batch", .key_len = 5, .value = "v", .value_size = 1 };
        assert_int_equal(tide_batch(w, NULL, &op, 1, NULL, NULL), 0);
        assert_int_equal(tide_add(w, NULL, "add", 3, 1, NULL, NULL, NULL), 0);
        static const char *const keys[] = { "put", "empty", "cas", "batch", "add" };
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
            struct seen s = see(r, keys[i], NULL);
            assert_int_equal(s.error, 0);
            assert_true(s.a.ttl_ns <= LONG && s.a.ttl_ns > LONG - HOUR);
        }
        assert_int_equal(put_ttl(w, "put", "v", TIDE_TTL_NONE, NULL), 0);
        assert_true(see(r, "put", NULL).a.ttl_ns == TIDE_TTL_NONE);
        tide_reader_close(r);
    }
    tide_close(other);
    tide_close(d);
}

/* ---- adding ------------------------------------------------------------------------------------------------------------- */

static int add(struct tide *d, const char *key, int64_t delta, int64_t *result) {
    return tide_add(d, NULL, key, strlen(key), delta, NULL, NULL, result);
}

static void add__numbers__sum_comes_back_and_is_the_value(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    help_leader(d);
    help_follower(d, 0);
    tide_ping(other, HOUR);
    for (int where = 0; where < 2; where++) {
        struct tide *w = where == 0 ? d : other;
        struct tide_reader *r = help_reader(w, TIDE_STICKY, -1, 0);
        int64_t sum = 77;
        assert_int_equal(tide_delete(w, NULL, "n", 1, NULL), 0);
        assert_int_equal(add(w, "n", 5, &sum), 0);
        assert_int_equal(sum, 5);
        assert_int_equal(add(w, "n", -12, &sum), 0);
        assert_int_equal(sum, -7);
        assert_string_equal(see(r, "n", NULL).value, "-7");
        assert_int_equal(tide_put(w, NULL, "n", 1, "9223372036854775806", 19, NULL), 0);
        assert_int_equal(add(w, "n", 1, &sum), 0);
        assert_true(sum == INT64_MAX);
        assert_int_equal(add(w, "n", 1, &sum), TIDE_ERR_OVERFLOW);
        assert_true(sum == INT64_MAX);
        assert_int_equal(tide_put(w, NULL, "n", 1, "-9223372036854775807", 20, NULL), 0);
        assert_int_equal(add(w, "n", -1, &sum), 0);
        assert_true(sum == INT64_MIN);
        assert_string_equal(see(r, "n", NULL).value, "-9223372036854775808");
        assert_int_equal(add(w, "n", -1, &sum), TIDE_ERR_OVERFLOW);
        assert_int_equal(add(w, "n", INT64_MAX, &sum), 0);
        assert_int_equal(sum, -1);
        static const char *const none[] = { "",
                                            "-",
                                            "+1",
                                            " 1",
                                            "1 ",
                                            "1.0",
                                            "0x1",
                                            "--1",
                                            "1-",
                                            "ab",
                                            "1\n",
                                            "1e3",
                                            "9223372036854775808",
                                            "-9223372036854775809",
                                            "000000000000000000001" };
        for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
            assert_int_equal(tide_put(w, NULL, "n", 1, none[i], strlen(none[i]), NULL), 0);
            assert_int_equal(add(w, "n", 1, &sum), TIDE_ERR_NUMBER);
            assert_string_equal(see(r, "n", NULL).value, none[i]);
        }
        tide_reader_close(r);
    }
    help_assert_equal_digests(d);
    tide_close(other);
    tide_close(d);
}

static void add__key_with_an_expiry__keeps_it_unless_told(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(put_ttl(d, "n", "1", LONG, NULL), 0);
    assert_int_equal(add(d, "n", 1, NULL), 0);
    struct seen s = see(r, "n", NULL);
    assert_string_equal(s.value, "2");
    assert_true(s.a.ttl_ns <= LONG && s.a.ttl_ns > LONG - HOUR);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = TIDE_TTL_NONE;
    assert_int_equal(tide_add(d, NULL, "n", 1, 1, &o, NULL, NULL), 0);
    assert_true(see(r, "n", NULL).a.ttl_ns == TIDE_TTL_NONE);
    o.ttl_ns = 1;
    int64_t sum;
    assert_int_equal(tide_add(d, NULL, "n", 1, 1, &o, NULL, &sum), 0);
    assert_int_equal(sum, 4);
    await(d, tide_now(d) + 1000);
    assert_int_equal(add(d, "n", 10, &sum), 0); /* an expired number is absent */
    assert_int_equal(sum, 10);
    assert_true(see(r, "n", NULL).a.ttl_ns == TIDE_TTL_NONE);
    tide_reader_close(r);
    tide_close(d);
}

static void take_turn(struct tide *d) {
    while (!seq_try(&d->seq)) {
        park_nap(1000);
    }
}

static int64_t look_at_add(struct tide *d, struct seq_request *q) {
    struct instant when = { .clock = &d->log->clock };
    assert_int_equal(derive_all(d, d->seq.leader, q, &when), 0);
    derive_release(q);
    seq_decided(d);
    return q->more->result;
}

/* A write looks again where it had to wait for room. What the first look found is over by then. */
static void add__kept_key_that_expires_between_two_looks__is_not_kept(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    help_leader(d);
    struct tide_op op = { .kind = TIDE_OP_ADD, .key = "n", .key_len = 1 };
    struct seq_op prepared = { .hash = table_hash(&d->seq.leader->writer.t, "n", 1) };
    struct seq_more more = { .delta = 5 };
    struct seq_request q = { .ops = &op, .prepared = &prepared, .more = &more, .count = 1 };
    int64_t sum = 0;
    for (uint64_t ns = 20 * MS; sum != 12; ns *= 2) { /* again where this machine was too slow */
        struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
        o.ttl_ns = ns;
        o.flags = TIDE_KEEP;
        assert_int_equal(tide_put_with(d, NULL, "n", 1, "7", 1, &o, NULL), 0);
        take_turn(d);
        sum = look_at_add(d, &q);
        assert_true(more.keep == (sum == 12));
        await(d, tide_now(d) + ns);
        assert_int_equal(look_at_add(d, &q), 5);
        assert_false(more.keep);
        atomic_store(&d->seq.taken, false);
    }
    more.flags = TIDE_KEEP; /* the writer's own is, each time */
    take_turn(d);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(look_at_add(d, &q), 5);
        assert_true(more.keep);
    }
    atomic_store(&d->seq.taken, false);
    tide_close(d);
}

static struct tide_write_op write_op(uint32_t kind, const char *key, const char *value, int64_t delta) {
    struct tide_write_op op = TIDE_WRITE_OP_INIT;
    op.kind = kind;
    op.key = key;
    op.key_len = strlen(key);
    op.value = value;
    op.value_size = value != NULL ? strlen(value) : 0;
    op.delta = delta;
    return op;
}

static void write__operations_of_one_key__each_sees_those_before_it(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    help_leader(d);
    help_follower(d, 0);
    tide_ping(other, HOUR);
    for (int where = 0; where < 2; where++) {
        struct tide *w = where == 0 ? d : other;
        struct tide_reader *r = help_reader(w, TIDE_STICKY, -1, 0);
        assert_int_equal(tide_put(w, NULL, "n", 1, "100", 3, NULL), 0);
        struct tide_write_op ops[] = {
            write_op(TIDE_OP_ADD, "n", NULL, 1),    write_op(TIDE_OP_ADD, "n", NULL, 2),
            write_op(TIDE_OP_PUT, "m", "7", 0),     write_op(TIDE_OP_ADD, "m", NULL, 3),
            write_op(TIDE_OP_DELETE, "n", NULL, 0), write_op(TIDE_OP_ADD, "n", NULL, 4),
            write_op(TIDE_OP_TOUCH, "m", NULL, 0),
        };
        ops[6].ttl_ns = LONG;
        struct tide_token t;
        assert_int_equal(tide_write(w, NULL, ops, 7, &t, NULL), 0);
        static const int64_t results[] = { 101, 103, 0, 10, 0, 4, 0 };
        for (size_t i = 0; i < 7; i++) {
            assert_int_equal(ops[i].result, results[i]);
            assert_int_equal(ops[i].index, t.index - 6 + i);
        }
        assert_string_equal(see(r, "n", NULL).value, "4");
        struct seen s = see(r, "m", NULL);
        assert_string_equal(s.value, "10");
        assert_true(s.a.ttl_ns <= LONG);
        assert_int_equal(s.a.version, t.index);
        size_t failed = 99;
        struct tide_write_op bad[] = { write_op(TIDE_OP_ADD, "n", NULL, 1), write_op(TIDE_OP_PUT, "m", "x", 0),
                                       write_op(TIDE_OP_ADD, "m", NULL, 1) };
        assert_int_equal(tide_write(w, NULL, bad, 3, NULL, &failed), TIDE_ERR_NUMBER);
        assert_int_equal(failed, 2);
        bad[2] = write_op(TIDE_OP_TOUCH, "none", NULL, 0);
        assert_int_equal(tide_write(w, NULL, bad, 3, NULL, &failed), TIDE_ERR_NOT_FOUND);
        assert_string_equal(see(r, "n", NULL).value, "4");
        bad[2].ttl_ns = 5;
        bad[2].kind = TIDE_OP_DELETE;
        assert_int_equal(tide_write(w, NULL, bad, 3, NULL, &failed), TIDE_ERR_INVALID);
        tide_reader_close(r);
    }
    help_assert_equal_digests(d);
    tide_close(other);
    tide_close(d);
}

#define MANY 3000u

static void write__many_adds_of_few_keys__all_count(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    help_leader(d);
    tide_ping(other, HOUR);
    struct tide_write_op *ops = calloc(MANY, sizeof(*ops));
    static const char *const keys[] = { "a", "bb", "ccc" };
    for (int where = 0; where < 2; where++) {
        struct tide *w = where == 0 ? d : other;
        for (uint32_t i = 0; i < MANY; i++) {
            ops[i] = write_op(TIDE_OP_ADD, keys[i % 3], NULL, 1);
        }
        assert_int_equal(tide_write(w, NULL, ops, MANY, NULL, NULL), 0);
        for (uint32_t i = 0; i < MANY; i++) {
            assert_int_equal(ops[i].result, (int64_t)(where * (MANY / 3) + i / 3 + 1));
        }
    }
    free(ops);
    tide_close(other);
    tide_close(d);
}

/* ---- removal ------------------------------------------------------------------------------------------------------------ */

static void removal__keys_that_expired__leave_every_table_by_entries_of_the_log(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    for (uint32_t i = 0; i < 5000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%u", i);
        /* Beside those that are over stand some that end in an hour: they are looked at, too, and stay. */
        assert_int_equal(put_ttl(d, key, "v", i % 2 == 0 ? 20 * MS : i % 4 == 1 ? HOUR : LONG, NULL), 0);
    }
    while (keys_of(d, leader) != 2500 || keys_of(d, follower) != 2500 || count_expired(d) != 2500) {
        park_nap(1000000);
    }
    help_assert_equal_digests(d);
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.damaged, 0);
    assert_int_equal(v.differing, 0);
    assert_int_equal(count_expired(d), 2500);
    tide_close(d);
}

static void removal__new_leader__removes_what_the_old_one_left(void **state) {
    (void)state;
    struct tide *d = open_ttl(0), *other = help_open_again(d);
    uint32_t leader = help_leader(d), heir = help_follower(other, 0);
    for (uint32_t i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%u", i);
        assert_int_equal(put_ttl(d, key, "v", 100 * MS, NULL), 0);
    }
    assert_int_equal(tide_replica_stop(d, leader), 0);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    o.id = (int32_t)leader;
    uint32_t id;
    assert_int_equal(tide_replica_start(d, &o, &id), 0);
    while (keys_of(d, id) != 0 || keys_of(other, heir) != 0) {
        park_nap(1000000);
    }
    tide_close(other);
    tide_close(d);
}

static void removal__put_again_before_it_was_removed__stays(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    uint32_t leader = help_leader(d);
    for (uint32_t i = 0; i < 1000; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key%u", i % 100);
        assert_int_equal(put_ttl(d, key, "v", i < 900 ? 1 + i * 1000 : LONG, NULL), 0);
    }
    await(d, tide_now(d) + 600 * MS); /* two looks */
    assert_int_equal(keys_of(d, leader), 100);
    tide_close(d);
}

/* The thread that removes what has expired sleeps for up to a second where nothing does. Whatever expires before it is to wake rouses it. */
static void put__expires_before_the_next_look__rouses_the_thread_that_removes(void **state) {
    (void)state;
    struct tide *d = open_ttl(0);
    help_leader(d);
    bool roused = false;
    for (int i = 0; i < 20 && !roused; i++) { /* again where that thread was late, and was about to look by itself */
        while (atomic_load(&d->seq.alarm) == 0) {
            park_nap(1000000);
        }
        uint32_t before = atomic_load(&d->log->lanes_board.wake);
        assert_int_equal(put_ttl(d, "key", "value", 1000000, NULL), 0);
        roused = atomic_load(&d->log->lanes_board.wake) != before;
    }
    assert_true(roused);
    uint32_t before = atomic_load(&d->log->lanes_board.wake);
    assert_int_equal(put_ttl(d, "long", "value", LONG, NULL), 0);
    assert_int_equal(atomic_load(&d->log->lanes_board.wake), before);
    tide_close(d);
}

/* Several keys whose names alone fill a request of the thread that removes, and more: all of them go. */
static void removal__keys_of_the_greatest_length__all_leave(void **state) {
    (void)state;
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags |= TIDE_EPHEMERAL;
    opts.ring_bytes = 4 * ROOM;
    opts.table_bytes = 16 * ROOM;
    struct tide *d;
    assert_int_equal(tide_open(&d, help_name(), &opts), 0);
    uint32_t leader = help_leader(d), follower = help_follower(d, 0);
    static char key[TIDE_KEY_MAX];
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = 50 * MS;
    for (uint32_t i = 0; i < 100; i++) {
        memcpy(key, &i, sizeof(i));
        assert_int_equal(tide_put_with(d, NULL, key, i % 2 == 0 ? TIDE_KEY_MAX : 40000, "v", 1, &o, NULL), 0);
    }
    while (keys_of(d, leader) != 0 || keys_of(d, follower) != 0) {
        park_nap(1000000);
    }
    help_assert_equal_digests(d);
    tide_close(d);
}

/* ---- a full domain ------------------------------------------------------------------------------------------------------- */

#define FULL_KEYS 4000u
static char large[400];

static struct tide *open_full(uint64_t default_ttl_ns, uint32_t evict) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    opts.flags |= TIDE_EPHEMERAL;
    opts.ring_bytes = ROOM;
    opts.table_bytes = ROOM;
    opts.default_ttl_ns = default_ttl_ns;
    opts.evict = evict;
    opts.write_timeout_ns = HOUR;
    struct tide *d;
    assert_int_equal(tide_open(&d, help_name(), &opts), 0);
    help_leader(d);
    return d;
}

static size_t full_key(char key[32], const char *kind, uint64_t n) {
    return (size_t)snprintf(key, 32, "%s:%llu", kind, (unsigned long long)n);
}

static int put_until(struct tide *d, const char *kind, uint64_t n, uint64_t instant, uint32_t flags) {
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    char key[32];
    uint64_t now = tide_now(d);
    o.ttl_ns = instant > now ? instant - now : 1;
    o.flags = flags;
    return tide_put_with(d, NULL, key, full_key(key, kind, n), large, sizeof(large), &o, NULL);
}

/* Fill a domain that does not evict with values that expire at one instant, which is returned; *n: how many. The thread that removes them
 * looks a quarter of a second after the first of them came. */
static uint64_t fill_until(struct tide *d, uint64_t *n) {
    for (uint64_t ns = 50 * MS;; ns *= 2) { /* again where this machine was too slow for that */
        uint64_t instant = tide_now(d) + ns;
        int error = 0;
        for (*n = 0; error == 0 && tide_now(d) < instant; *n += error == 0) {
            error = put_until(d, "old", *n, instant, 0);
        }
        if (error != 0) {
            assert_int_equal(error, TIDE_ERR_FULL);
            return instant;
        }
    }
}

static int make_large(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    (void)ctx;
    (void)key;
    (void)key_len;
    *value_size = sizeof(large);
    memset(buf, 'm', buf_size < sizeof(large) ? buf_size : sizeof(large));
    return 0;
}

enum full_way { WAY_PUT, WAY_CAS, WAY_ADD, WAY_BATCH, WAY_WRITE, WAY_MAKE, WAY_LARGE, WAYS };

/* One write that needs room. */
static int write_way(struct tide *d, enum full_way way, uint64_t n) {
    char key[32], keys[40][32], buf[sizeof(large)];
    size_t len = full_key(key, "new", 100 * (uint64_t)way + n);
    struct tide_op ops[40];
    static char huge[20000];
    switch (way) {
    case WAY_PUT:
        return tide_put(d, NULL, key, len, large, sizeof(large), NULL);
    case WAY_CAS:
        return tide_cas(d, NULL, key, len, 0, large, sizeof(large), NULL, NULL);
    case WAY_ADD: { /* some make the room of the first of the others */
        int error = 0;
        for (uint64_t i = 0; i < 40 && error == 0; i++) {
            len = full_key(key, "sum", 40 * n + i);
            error = tide_add(d, NULL, key, len, 1, NULL, NULL, NULL);
        }
        return error;
    }
    case WAY_BATCH:
        for (size_t i = 0; i < 40; i++) {
            ops[i] = (struct tide_op){ TIDE_OP_PUT,   0, keys[i], full_key(keys[i], "batch", 40 * n + i), large,
                                       sizeof(large), 0 };
        }
        return tide_batch(d, NULL, ops, 40, NULL, NULL);
    case WAY_WRITE: {
        struct tide_write_op two[2] = { write_op(TIDE_OP_PUT, key, NULL, 0), write_op(TIDE_OP_ADD, "sums", NULL, 1) };
        two[0].value = large;
        two[0].value_size = sizeof(large);
        two[0].ttl_ns = LONG;
        return tide_write(d, NULL, two, 2, NULL, NULL);
    }
    case WAY_MAKE: {
        struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
        int error = tide_get_or_make(r, key, len, NULL, NULL, make_large, NULL, buf, sizeof(buf), NULL);
        tide_reader_close(r);
        return error;
    }
    default: /* one that needs the room of many */
        return tide_put(d, NULL, key, len, huge, sizeof(huge), NULL);
    }
}

/* A value that has expired takes no room from one that comes, whichever way it comes, also before the removal had its turn. */
static void write__full_of_what_has_expired__finds_room(void **state) {
    (void)state;
    struct tide *d = open_full(0, TIDE_EVICT_NONE), *other = help_open_again(d);
    help_follower(d, 0);
    tide_ping(other, HOUR);
    for (enum full_way way = 0; way < WAYS; way++) {
        for (uint64_t i = 0; i < 4; i++) { /* by the leader's process, and by another through its lane */
            uint64_t n;
            await(d, fill_until(d, &n));
            assert_int_equal(write_way(i % 2 == 0 ? d : other, way, i), 0);
            assert_int_equal(tide_put(d, NULL, "large", 5, large, sizeof(large), NULL), 0);
        }
    }
    help_assert_equal_digests(d);
    struct tide_verify v = TIDE_VERIFY_INIT;
    assert_int_equal(tide_verify(d, &v), 0);
    assert_int_equal(v.replicas, 2);
    assert_int_equal(v.damaged, 0);
    tide_close(other);
    tide_close(d);
}

/* Keys with the domain's life, until it is full. False: this machine is slow, and they expire as fast as they come. */
static bool fill_by_default(struct tide *d) {
    char key[32];
    int error = 0;
    for (uint64_t n = 0; n < 4 * FULL_KEYS && error == 0; n++) {
        error = tide_put(d, NULL, key, full_key(key, "k", n), large, sizeof(large), NULL);
    }
    assert_true(error == 0 || error == TIDE_ERR_FULL);
    return error != 0;
}

static void put__full_domain_with_a_default_ttl__finds_room_when_all_is_over(void **state) {
    (void)state;
    uint64_t ns = 60 * MS;
    struct tide *d = open_full(ns, TIDE_EVICT_NONE);
    for (uint64_t round = 0; round < 3; round++) {
        char key[32];
        while (!fill_by_default(d)) {
            tide_close(d);
            ns *= 2;
            d = open_full(ns, TIDE_EVICT_NONE);
        }
        await(d, tide_now(d) + ns);
        for (uint64_t i = 0; i < 20; i++) {
            assert_int_equal(tide_put(d, NULL, key, full_key(key, "then", i), large, sizeof(large), NULL), 0);
        }
    }
    tide_close(d);
}

/* Where keys were given another life, many places have to be looked at that hold nothing which is over. */
static void put__few_of_a_full_domain_have_expired__they_are_found(void **state) {
    (void)state;
    struct tide *d = open_full(0, TIDE_EVICT_NONE);
    uint64_t n, instant = fill_until(d, &n);
    char key[32];
    for (uint64_t i = 10; i < n; i++) {
        int error = tide_touch(d, NULL, key, full_key(key, "old", i), LONG, NULL);
        assert_true(error == 0 || error == TIDE_ERR_NOT_FOUND); /* on a slow machine the instant comes first */
    }
    await(d, instant);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(tide_put(d, NULL, key, full_key(key, "new", i), large, sizeof(large), NULL), 0);
    }
    tide_close(d);
}

/* Until something is evicted: every third key lives on, one is kept until the instant. False: the machine was too slow for that. */
static bool fill_thirds(struct tide *d, uint64_t instant, uint64_t *n) {
    for (*n = 0; count_evicted(d) == 0; ++*n) {
        uint64_t until = *n % 3 == 0 ? instant + LONG : instant;
        assert_int_equal(put_until(d, "old", *n, until, *n % 3 == 1 ? TIDE_KEEP : 0), 0);
        if (tide_now(d) >= instant) {
            return false;
        }
    }
    return true;
}

/* What is over goes first, and keys that are kept go when they are over. */
static void put__full_domain_that_evicts__what_has_expired_goes_before_what_lives(void **state) {
    (void)state;
    struct tide *d = open_full(0, TIDE_EVICT_S3FIFO);
    help_follower(d, 0);
    uint64_t ns = 60 * MS, instant = tide_now(d) + ns, n = 0;
    while (!fill_thirds(d, instant, &n)) {
        tide_close(d);
        d = open_full(0, TIDE_EVICT_S3FIFO);
        help_follower(d, 0);
        ns *= 2;
        instant = tide_now(d) + ns;
    }
    await(d, instant);
    uint64_t before = count_evicted(d);
    for (uint64_t i = 0; i < n / 2; i++) {
        char key[32];
        assert_int_equal(tide_put(d, NULL, key, full_key(key, "new", i), large, sizeof(large), NULL), 0);
    }
    assert_int_equal(count_evicted(d), before);
    assert_true(count_expired(d) >= n / 3);
    help_assert_equal_digests(d);
    tide_close(d);
}

/* ---- what is over goes before what lives, whatever the leader's own thread does ------------------------------------------------ */

#define OVER 200u
#define SMALL                                                                                                          \
    40u /* such a value lies in a page with others, and its put takes the short way; a large one does neither */

/* Is there room for one more such value? With the turn. */
static bool has_room(struct tide *d, size_t size) {
    const struct table_writer *w = &d->seq.leader->writer;
    struct table_batch one = { 0 };
    table_batch_add(w, &one, sizeof("old:1234") - 1 + size);
    return table_admits_batch(w, &one, 0);
}

/* Fill the domain with values of one size: OVER of them end at one instant, which comes with the turn taken and no room left. Then nobody but who
 * lets it go and writes next removes anything. False: the machine was too slow, and some may have been removed before. */
static bool fill_and_wait(struct tide *d, size_t size, uint64_t round, uint64_t ns) {
    uint64_t instant = tide_now(d) + ns;
    char key[32];
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    for (uint64_t i = 0; i < OVER; i++) {
        uint64_t now = tide_now(d);
        o.ttl_ns = instant > now ? instant - now : 1;
        size_t len = full_key(key, "over", OVER * round + i);
        assert_int_equal(tide_put_with(d, NULL, key, len, large, size, &o, NULL), 0);
    }
    take_turn(d);
    for (uint64_t i = 0; has_room(d, size); i++) {
        atomic_store(&d->seq.taken, false);
        assert_int_equal(tide_put(d, NULL, key, full_key(key, "old", i), large, size, NULL), 0);
        take_turn(d);
    }
    bool in_time = tide_now(d) < instant;
    await(d, instant);
    return in_time;
}

/* Each way to write into such a domain; the first one a put of a small value, on its short way. */
static void write__full_domain_that_evicts__nothing_that_lives_goes_while_something_is_over(void **state) {
    (void)state;
    struct tide *d = open_full(0, TIDE_EVICT_S3FIFO);
    help_follower(d, 0);
    uint64_t ns = 20 * MS;
    for (uint64_t round = 0, way = 0; way <= WAYS; round++) {
        size_t size = way == 0 ? SMALL : sizeof(large);
        bool in_time = fill_and_wait(d, size, round, ns);
        uint64_t expired = count_expired(d), gone = count_evicted(d);
        char key[32];
        atomic_store(&d->seq.taken, false);
        int error = way == 0 ? tide_put(d, NULL, key, full_key(key, "small", round), large, size, NULL)
                             : write_way(d, (enum full_way)(way - 1), round);
        assert_int_equal(error, 0);
        if (in_time) {
            assert_int_equal(count_evicted(d), gone);
            assert_true(count_expired(d) > expired);
            way++;
        } else {
            ns *= 2;
        }
    }
    help_assert_equal_digests(d);
    tide_close(d);
}

/* Fill a domain with values whose lives would end at one instant. All but one are given another life. The turn is taken when this returns, and the
 * instant is over. False: the machine was too slow. */
static bool fill_with_one_over(struct tide *d, uint64_t instant) {
    char key[32];
    assert_int_equal(put_until(d, "over", 0, instant, 0), 0);
    take_turn(d);
    for (uint64_t i = 0; has_room(d, sizeof(large)); i++) {
        atomic_store(&d->seq.taken, false);
        assert_int_equal(put_until(d, "old", i, instant, 0), 0);
        int error = tide_touch(d, NULL, key, full_key(key, "old", i), LONG, NULL);
        assert_true(error == 0 || error == TIDE_ERR_NOT_FOUND);
        take_turn(d);
    }
    bool in_time = tide_now(d) < instant;
    await(d, instant);
    return in_time;
}

/* The sweep passes over all that lives on, and no key is evicted before it has come to the one that does not. */
static void put__full_domain_that_evicts__one_that_is_over_is_found_among_all_that_live_on(void **state) {
    (void)state;
    uint64_t ns = 50 * MS;
    for (int round = 0; round < 8;) { /* where it lies differs from round to round */
        struct tide *d = open_full(0, TIDE_EVICT_S3FIFO);
        bool in_time = fill_with_one_over(d, tide_now(d) + ns);
        uint64_t expired = count_expired(d), gone = count_evicted(d);
        atomic_store(&d->seq.taken, false);
        assert_int_equal(tide_put(d, NULL, "new", 3, large, sizeof(large), NULL), 0);
        if (in_time) {
            assert_int_equal(count_evicted(d), gone);
            assert_int_equal(count_expired(d), expired + 1);
            round++;
        } else {
            ns *= 2;
        }
        tide_close(d);
    }
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__value_that_expires__says_what_is_left),
        cmocka_unit_test(get__answer_of_the_first_release__filled_as_far_as_it_goes),
        cmocka_unit_test(get__at_every_bound_on_leader_and_follower__seen_until_it_expires_and_not_after),
        cmocka_unit_test(get__follower_that_shows_the_past__expires_by_the_clock_all_the_same),
        cmocka_unit_test(get__nobody_leads__expires_all_the_same),
        cmocka_unit_test(get__given_another_life_in_time__never_absent),
        cmocka_unit_test(section__open_across_an_expiry__looks_at_one_instant),
        cmocka_unit_test(section_ttl__keys_of_all_kinds__what_is_left_at_its_instant),
        cmocka_unit_test(scan__some_expired__only_the_others_are_visited),
        cmocka_unit_test(mget__of_nothing_and_of_what_expired__items_have_no_size),
        cmocka_unit_test(cas__expired_key__is_absent),
        cmocka_unit_test(touch__key__same_value_and_another_life),
        cmocka_unit_test(ttl__absurd__is_for_ever),
        cmocka_unit_test(default_ttl__domain_that_has_one__every_write_takes_it_unless_it_names_another),
        cmocka_unit_test(add__numbers__sum_comes_back_and_is_the_value),
        cmocka_unit_test(add__key_with_an_expiry__keeps_it_unless_told),
        cmocka_unit_test(add__kept_key_that_expires_between_two_looks__is_not_kept),
        cmocka_unit_test(write__operations_of_one_key__each_sees_those_before_it),
        cmocka_unit_test(write__many_adds_of_few_keys__all_count),
        cmocka_unit_test(removal__keys_that_expired__leave_every_table_by_entries_of_the_log),
        cmocka_unit_test(removal__new_leader__removes_what_the_old_one_left),
        cmocka_unit_test(removal__put_again_before_it_was_removed__stays),
        cmocka_unit_test(put__expires_before_the_next_look__rouses_the_thread_that_removes),
        cmocka_unit_test(removal__keys_of_the_greatest_length__all_leave),
        cmocka_unit_test(write__full_of_what_has_expired__finds_room),
        cmocka_unit_test(put__full_domain_with_a_default_ttl__finds_room_when_all_is_over),
        cmocka_unit_test(put__few_of_a_full_domain_have_expired__they_are_found),
        cmocka_unit_test(put__full_domain_that_evicts__what_has_expired_goes_before_what_lives),
        cmocka_unit_test(write__full_domain_that_evicts__nothing_that_lives_goes_while_something_is_over),
        cmocka_unit_test(put__full_domain_that_evicts__one_that_is_over_is_found_among_all_that_live_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
