/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watches tell everything once and in order, first what is there, and say what they have lost, whatever the log's bytes are. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/replica/domain.h"
#include "engine/watch/walk.h"
#include "shm/board.h"
#include "tests/crash_world.h"
#include "tests/lib/forked.h"
#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)
#define FOREVER UINT64_MAX

static struct tide_watch *watch(struct tide *d, uint32_t flags, struct tide_token from, const char *prefix) {
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_watch *w = NULL;
    o.flags = flags;
    o.from = from;
    o.prefix = prefix;
    o.prefix_len = prefix != NULL ? strlen(prefix) : 0;
    assert_int_equal(tide_watch_open(d, &o, &w), 0);
    return w;
}

static struct tide_token token_at(struct tide *d, uint64_t index) {
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &info), 0);
    return (struct tide_token){ info.incarnation, index };
}

static struct tide_watch *watch_all(struct tide *d) {
    return watch(d, 0, token_at(d, 0), NULL);
}

static void expect(struct tide_watch *w, uint32_t kind, uint64_t index, const char *key, const char *value,
                   uint32_t more) {
    struct tide_event e = TIDE_EVENT_INIT;
    assert_int_equal(tide_watch_next(w, &e, 0), 0);
    assert_int_equal(e.kind, kind);
    assert_int_equal(e.index, index);
    assert_int_equal(e.key_len, strlen(key));
    assert_memory_equal(e.key, key, e.key_len);
    assert_int_equal(e.value_size, strlen(value));
    assert_memory_equal(e.value, value, e.value_size);
    assert_int_equal(e.more, more);
    assert_true(e.time_ns != 0 && e.ttl_ns == UINT64_MAX);
}

static void expect_nothing(struct tide_watch *w) {
    struct tide_event e = TIDE_EVENT_INIT;
    assert_int_equal(tide_watch_next(w, &e, 0), TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_watch_next(w, &e, MS), TIDE_ERR_TIMEOUT);
}

static void put(struct tide *d, const char *key, const char *value) {
    assert_int_equal(tide_put(d, NULL, key, strlen(key), value, strlen(value), NULL), 0);
}

/* ---- what is told ---------------------------------------------------------------------------------------------------- */

static void batch(struct tide *d) {
    const struct tide_op ops[] = {
        { TIDE_OP_PUT, 0, "a/1", 3, "x", 1, 0 },
        { TIDE_OP_PUT, 0, "b/1", 3, "y", 1, 0 },
        { TIDE_OP_DELETE, 0, "a/0", 3, NULL, 0, 0 },
        { TIDE_OP_PUT, 0, "b/2", 3, "", 0, 0 },
    };
    assert_int_equal(tide_batch(d, NULL, ops, 4, NULL, NULL), 0);
}

static void watch__puts_deletes_batches__told_once_and_in_order(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 0, 0);
    help_leader(d);
    struct tide_watch *early = watch_all(d), *now;
    put(d, "a/0", "v");
    assert_int_equal(tide_delete(d, NULL, "none", 4, NULL), 0);
    now = watch(d, 0, (struct tide_token){ 0, 0 }, NULL);
    batch(d);
    expect(early, TIDE_EVENT_PUT, 1, "a/0", "v", 0);
    expect(early, TIDE_EVENT_DELETE, 2, "none", "", 0);
    for (int i = 0; i < 2; i++) {
        struct tide_watch *w = i == 0 ? early : now;
        expect(w, TIDE_EVENT_PUT, 3, "a/1", "x", 1);
        expect(w, TIDE_EVENT_PUT, 4, "b/1", "y", 1);
        struct tide_token middle;
        assert_int_equal(tide_watch_token(w, &middle), 0);
        assert_int_equal(middle.index, 4);
        expect(w, TIDE_EVENT_DELETE, 5, "a/0", "", 1);
        expect(w, TIDE_EVENT_PUT, 6, "b/2", "", 0);
        expect_nothing(w);
        struct tide_watch *rest = watch(d, 0, middle, NULL);
        expect(rest, TIDE_EVENT_DELETE, 5, "a/0", "", 1);
        assert_int_equal(tide_watch_close(rest), 0);
    }
    assert_int_equal(tide_watch_close(early), 0);
    assert_int_equal(tide_watch_close(now), 0);
    tide_close(d);
}

/* A watch tells a value with its life, and tells when the leader has removed it; a value whose life is over is not among those told first. */
static void watch__lives_of_values__told(void **state) {
    (void)state;
    static const uint64_t HOUR = 3600 * 1000 * MS;
    struct tide *d = help_open(64 * KIB, 0, 0);
    help_leader(d);
    struct tide_watch *w = watch_all(d);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    struct tide_event e = TIDE_EVENT_INIT;
    o.ttl_ns = HOUR;
    assert_int_equal(tide_put_with(d, NULL, "long", 4, "v", 1, &o, NULL), 0);
    assert_int_equal(tide_watch_next(w, &e, 0), 0);
    assert_true(e.kind == TIDE_EVENT_PUT && e.value_size == 1 && e.ttl_ns <= HOUR && e.ttl_ns > HOUR - 60000 * MS);
    o.ttl_ns = MS;
    assert_int_equal(tide_put_with(d, NULL, "short", 5, "v", 1, &o, NULL), 0);
    assert_int_equal(tide_watch_next(w, &e, 0), 0);
    assert_int_equal(e.index, 2);
    crash_nap_us(3000);
    struct tide_watch *late = watch(d, TIDE_WATCH_INITIAL, (struct tide_token){ 0, 0 }, NULL);
    assert_int_equal(tide_watch_next(w, &e, FOREVER), 0);
    assert_true(e.kind == TIDE_EVENT_EXPIRE && e.key_len == 5 && e.value_size == 0);
    assert_int_equal(tide_watch_next(late, &e, 0), 0);
    assert_true(e.kind == TIDE_EVENT_PUT && e.key_len == 4 && e.ttl_ns <= HOUR && e.ttl_ns > HOUR - 60000 * MS);
    assert_int_equal(tide_watch_next(late, &e, 0), 0);
    assert_int_equal(e.kind, TIDE_EVENT_SYNCED);
    assert_int_equal(tide_watch_close(w), 0);
    assert_int_equal(tide_watch_close(late), 0);
    tide_close(d);
}

/* A program with a newer header gets what there is. */
static void watch_next__larger_event__filled_as_far_as_known(void **state) {
    (void)state;
    struct {
        struct tide_event e;
        uint64_t later;
    } own = { .e = TIDE_EVENT_INIT, .later = 17 };
    struct tide *d = help_open(64 * KIB, 0, 0);
    help_leader(d);
    struct tide_watch *w = watch_all(d);
    put(d, "k", "v");
    own.e.size = sizeof(own);
    assert_int_equal(tide_watch_next(w, &own.e, 0), 0);
    assert_int_equal(own.e.size, sizeof(own.e));
    assert_true(own.e.index == 1 && own.later == 17);
    assert_int_equal(tide_watch_close(w), 0);
    tide_close(d);
}

/* `more` says whether another event comes, not whether another entry does. */
static void watch__prefix__told_alone_and_more_counts_them_alone(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 0, 0);
    help_leader(d);
    struct tide_watch *a = watch(d, 0, token_at(d, 0), "a/"), *b = watch(d, 0, token_at(d, 0), "b/");
    struct tide_watch *long_one =
        watch(d, 0, token_at(d, 0), "a prefix of more than sixty-four bytes, so that the comparison takes two steps:");
    for (int i = 0; i < 200; i++) {
        put(d, "c", "nobody asks for it");
    }
    batch(d);
    put(d, "b/3", "z");
    put(d, "a prefix of more than sixty-four bytes, so that the comparison takes two steps: 1", "1");
    put(d, "a prefix of more than sixty-four bytes, so that the comparison takes two stepX: 1", "1");
    expect(a, TIDE_EVENT_PUT, 201, "a/1", "x", 1);
    expect(a, TIDE_EVENT_DELETE, 203, "a/0", "", 0);
    expect_nothing(a);
    expect(b, TIDE_EVENT_PUT, 202, "b/1", "y", 1);
    expect(b, TIDE_EVENT_PUT, 204, "b/2", "", 0);
    expect(b, TIDE_EVENT_PUT, 205, "b/3", "z", 0);
    expect_nothing(b);
    expect(long_one, TIDE_EVENT_PUT, 206,
           "a prefix of more than sixty-four bytes, so that the comparison takes two steps: 1", "1", 0);
    expect_nothing(long_one);
    assert_int_equal(tide_watch_close(a), 0);
    assert_int_equal(tide_watch_close(b), 0);
    assert_int_equal(tide_watch_close(long_one), 0);
    tide_close(d);
}

/* Frames of all sizes: longer than what is copied at once, and at every offset of it. */
static void watch__values_of_all_sizes__whole(void **state) {
    (void)state;
    struct tide *d = help_open(512 * KIB, 8 * MIB, 0);
    help_leader(d);
    struct tide_watch *all = watch_all(d), *some = watch(d, 0, token_at(d, 0), "k");
    static uint8_t value[100000];
    struct help_rng rng = { help_seed() };
    for (uint64_t i = 1; i <= help_scaled(3000); i++) {
        size_t size = (size_t)help_below(&rng, help_below(&rng, 20) == 0 ? sizeof(value) : 300);
        memset(value, (int)i, size);
        assert_int_equal(tide_put(d, NULL, "key", 3, value, size, NULL), 0);
        for (int k = 0; k < 2; k++) {
            struct tide_event e = TIDE_EVENT_INIT;
            assert_int_equal(tide_watch_next(k == 0 ? all : some, &e, FOREVER), 0);
            assert_int_equal(e.index, i);
            assert_int_equal(e.value_size, size);
            assert_memory_equal(e.value, value, size);
        }
    }
    assert_int_equal(tide_watch_close(all), 0);
    assert_int_equal(tide_watch_close(some), 0);
    tide_close(d);
}

/* ---- where it begins --------------------------------------------------------------------------------------------------- */

static void watch_open__bad_options_and_tokens__errors(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 0, 0);
    struct tide_watch *w = (struct tide_watch *)(uintptr_t)1;
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_event e = TIDE_EVENT_INIT;
    struct tide_token token;
    help_leader(d);
    put(d, "k", "v");
    assert_int_equal(tide_watch_open(NULL, &o, &w), TIDE_ERR_INVALID);
    assert_int_equal(tide_watch_open(d, &o, NULL), TIDE_ERR_INVALID);
    o.flags = 2;
    assert_int_equal(tide_watch_open(d, &o, &w), TIDE_ERR_INVALID);
    o.flags = 0;
    o.reserved = 1;
    assert_int_equal(tide_watch_open(d, &o, &w), TIDE_ERR_INVALID);
    o.reserved = 0;
    o.prefix_len = 1;
    assert_int_equal(tide_watch_open(d, &o, &w), TIDE_ERR_INVALID);
    o.prefix = "k";
    o.prefix_len = TIDE_KEY_MAX + 1;
    assert_int_equal(tide_watch_open(d, &o, &w), TIDE_ERR_INVALID);
    o.prefix_len = 1;
    o.from = token_at(d, 2);
    assert_int_equal(tide_watch_open(d, &o, &w), TIDE_ERR_FENCE_AHEAD);
    o.from = token_at(d, 1);
    o.from.incarnation++;
    assert_int_equal(tide_watch_open(d, &o, &w), TIDE_ERR_INCARNATION);
    o.from = token_at(d, 1);
    o.flags = TIDE_WATCH_INITIAL;
    assert_int_equal(tide_watch_open(d, &o, &w), TIDE_ERR_INVALID);
    assert_true(w == (struct tide_watch *)(uintptr_t)1);
    o.flags = 0;
    assert_int_equal(tide_watch_open(d, &o, &w), 0);
    assert_int_equal(tide_watch_next(NULL, &e, 0), TIDE_ERR_INVALID);
    assert_int_equal(tide_watch_next(w, NULL, 0), TIDE_ERR_INVALID);
    e.size = 8;
    assert_int_equal(tide_watch_next(w, &e, 0), TIDE_ERR_INVALID);
    assert_int_equal(tide_watch_token(w, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_watch_token(NULL, &token), TIDE_ERR_INVALID);
    assert_int_equal(tide_watch_oldest(w, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_watch_close(NULL), TIDE_ERR_INVALID);
    expect_nothing(w);
    tide_close(d);
    e.size = sizeof(e);
    assert_int_equal(tide_watch_next(w, &e, FOREVER), TIDE_ERR_CLOSED);
    assert_int_equal(tide_watch_close(w), 0);
}

/* A watch can begin at every index that the ring still holds; at an earlier one it says LOST and names the oldest. */
static void watch__from_each_index__found_or_lost(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 0, 0);
    help_leader(d);
    char value[200];
    memset(value, 'v', sizeof(value));
    uint64_t last = 2000;
    for (uint64_t i = 1; i <= last; i++) {
        assert_int_equal(tide_put(d, NULL, "key", 3, value, (size_t)(i % sizeof(value)), NULL), 0);
    }
    struct tide_watch *any = watch(d, 0, (struct tide_token){ 0, 0 }, NULL);
    struct tide_token oldest;
    assert_int_equal(tide_watch_oldest(any, &oldest), 0);
    assert_in_range(oldest.index, last - 1000, last - 100);
    for (uint64_t i = 0; i <= last; i++) {
        struct tide_watch *w = watch(d, 0, token_at(d, i), i % 2 == 0 ? NULL : "k");
        struct tide_event e = TIDE_EVENT_INIT;
        int error = tide_watch_next(w, &e, 0);
        assert_int_equal(error, i == last ? TIDE_ERR_TIMEOUT : i < oldest.index ? TIDE_ERR_LOST : 0);
        assert_true(error != 0 || (e.index == i + 1 && e.value_size == (i + 1) % sizeof(value)));
        if (error == TIDE_ERR_LOST) {
            assert_int_equal(tide_watch_next(w, &e, FOREVER), TIDE_ERR_LOST);
        }
        assert_int_equal(tide_watch_close(w), 0);
    }
    assert_int_equal(tide_watch_close(any), 0);
    tide_close(d);
}

static void watch__nobody_ever_led__waits_for_the_first_entry(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 0, 0);
    struct tide_watch *w = watch(d, 0, (struct tide_token){ 0, 0 }, NULL), *none;
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_token oldest;
    expect_nothing(w);
    assert_int_equal(tide_watch_oldest(w, &oldest), 0);
    assert_int_equal(oldest.index, 0);
    o.flags = TIDE_WATCH_INITIAL;
    assert_int_equal(tide_watch_open(d, &o, &none), TIDE_ERR_NO_REPLICA);
    help_leader(d);
    put(d, "k", "v");
    expect(w, TIDE_EVENT_PUT, 1, "k", "v", 0);
    assert_int_equal(tide_watch_close(w), 0);
    tide_close(d);
}

/* ---- a mirror ------------------------------------------------------------------------------------------------------------ */

/* What one writer writes at each index, so that the state of every index is known. */
#define MIRROR_KEYS 3000u

static uint64_t mixed(uint64_t index) {
    uint64_t x = index * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ x >> 29;
}

static uint32_t key_of(uint64_t index) {
    return (uint32_t)(mixed(index) % MIRROR_KEYS);
}

static bool deletes(uint64_t index) {
    return mixed(index) >> 32 & 1;
}

struct mirror {
    uint64_t at[MIRROR_KEYS]; /* version of each key; 0: not there */
};

static void mirror_write(struct tide *d, uint64_t index) {
    char key[16];
    uint8_t value[96];
    int len = snprintf(key, sizeof(key), "m/%u", key_of(index));
    memset(value, (int)(index & 255), sizeof(value));
    struct tide_token token = { 0, 0 };
    int error = deletes(index)
                    ? tide_delete(d, NULL, key, (size_t)len, &token)
                    : tide_put(d, NULL, key, (size_t)len, value, (size_t)(mixed(index) % sizeof(value)), &token);
    help_check(error == 0 && token.index == index);
}

static void mirror_go_on(struct mirror *m, uint64_t from, uint64_t to) {
    for (uint64_t i = from + 1; i <= to; i++) {
        m->at[key_of(i)] = deletes(i) ? 0 : i;
    }
}

static bool mirror_takes(struct mirror *m, const struct tide_event *e) {
    char key[16];
    unsigned number;
    if (e->key_len < 3 || e->key_len >= sizeof(key)) {
        return false;
    }
    memcpy(key, e->key, e->key_len);
    key[e->key_len] = '\0';
    if (sscanf(key, "m/%u", &number) != 1 || number != key_of(e->index) ||
        deletes(e->index) != (e->kind == TIDE_EVENT_DELETE)) {
        return false;
    }
    const uint8_t *value = e->value;
    for (size_t i = 0; i < e->value_size; i++) {
        if (value[i] != (e->index & 255)) {
            return false;
        }
    }
    m->at[number] = e->kind == TIDE_EVENT_PUT ? e->index : 0;
    return e->kind == TIDE_EVENT_DELETE || e->value_size == mixed(e->index) % 96;
}

struct mirroring {
    struct tide *d;
    _Atomic uint32_t stop, lost, synced;
    bool slow;
};

/* Begin with everything, follow, compare at each token; begin anew when that is lost. */
static void mirror_once(struct mirroring *own) {
    static const uint64_t few = 64;
    struct tide_watch_opts o = TIDE_WATCH_OPTS_INIT;
    struct tide_watch *w;
    struct mirror *seen = calloc(1, sizeof(*seen)), *truth = calloc(1, sizeof(*truth));
    uint64_t known = 0, last = 0;
    o.flags = TIDE_WATCH_INITIAL;
    int error = tide_watch_open(own->d, &o, &w);
    help_check(error == 0 || error == TIDE_ERR_LOST);
    if (error != 0) {
        atomic_fetch_add(&own->lost, 1);
    }
    for (uint64_t n = 0; error == 0 && (atomic_load(&own->stop) == 0 || atomic_load(&own->synced) == 0); n++) {
        struct tide_event e = TIDE_EVENT_INIT;
        struct tide_token token;
        error = tide_watch_next(w, &e, 20 * MS);
        if (error == TIDE_ERR_TIMEOUT) {
            error = 0;
            continue;
        }
        if (error != 0) {
            help_check(error == TIDE_ERR_LOST);
            atomic_fetch_add(&own->lost, 1);
            break;
        }
        if (last == 0 && e.kind != TIDE_EVENT_SYNCED) {
            help_check(e.kind == TIDE_EVENT_PUT && e.more == 1 && mirror_takes(seen, &e));
            help_check(tide_watch_token(w, &token) == TIDE_ERR_BUSY);
            continue;
        }
        help_check(last == 0 ? e.kind == TIDE_EVENT_SYNCED : e.index == last + 1 && mirror_takes(seen, &e));
        last = e.index;
        help_check(tide_watch_token(w, &token) == 0 && token.index == last);
        if (e.kind == TIDE_EVENT_SYNCED || n % few == 0) {
            mirror_go_on(truth, known, last);
            known = last;
            help_check(memcmp(seen, truth, sizeof(*seen)) == 0);
            atomic_store(&own->synced, 1);
        }
        if (own->slow) {
            crash_nap_us(500);
        }
    }
    if (error == 0) {
        mirror_go_on(truth, known, last);
        help_check(memcmp(seen, truth, sizeof(*seen)) == 0);
    }
    if (w != NULL && (error == 0 || last != 0)) {
        help_check(tide_watch_close(w) == 0);
    }
    free(seen);
    free(truth);
}

static void *mirror_run(void *mirroring) {
    struct mirroring *own = mirroring;
    do {
        mirror_once(own);
    } while (atomic_load(&own->stop) == 0 || atomic_load(&own->synced) == 0);
    return NULL;
}

/* Mirrors of the leader's own handle and of one to which all replicas are another's. */
static void watch__initial_beside_a_writer__each_mirror_is_the_table(void **state) {
    (void)state;
    struct tide *d = help_open(MIB, 16 * MIB, 0);
    help_leader(d);
    struct tide *other = help_open_again(d);
    struct mirroring m[3] = { { .d = d }, { .d = other }, { .d = other, .slow = true } };
    pthread_t threads[3];
    uint64_t index = 0, most = help_scaled(200000);
    for (; index < MIRROR_KEYS; index++) {
        mirror_write(d, index + 1);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, mirror_run, &m[i]), 0);
    }
    for (; index < most; index++) {
        mirror_write(d, index + 1);
        if (index % 256 == 0) {
            crash_nap_us(300); /* two processors for all of them */
        }
    }
    for (int i = 0; i < 3; i++) {
        atomic_store(&m[i].stop, 1);
    }
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        print_message("mirror %d: began anew %u times\n", i, m[i].lost);
    }
    help_assert_threads();
    tide_close(other);
    tide_close(d);
}

/* Without a writer: exactly what a scan finds, and the prefix alone. */
struct counted {
    uint64_t keys, sum;
};

static int count_key(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                     uint64_t version) {
    struct counted *c = ctx;
    (void)value;
    if (key_len > 2 && memcmp(key, "m/", 2) == 0) {
        c->keys++;
        c->sum += version * (value_size + 1);
    }
    return 0;
}

static void watch__initial_of_a_quiet_domain__what_a_scan_finds(void **state) {
    (void)state;
    struct tide *d = help_open(MIB, 16 * MIB, 0);
    help_leader(d);
    struct tide *other = help_open_again(d);
    for (uint64_t i = 1; i <= 10000; i++) {
        mirror_write(d, i);
    }
    put(d, "n/1", "of another prefix");
    struct counted scan = { 0, 0 };
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    assert_int_equal(tide_section_scan(r, count_key, &scan), 0);
    struct tide_watch_opts in_section = TIDE_WATCH_OPTS_INIT;
    struct tide_watch *none;
    in_section.flags = TIDE_WATCH_INITIAL;
    assert_int_equal(tide_watch_open(d, &in_section, &none), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_end(r), 0);
    for (int i = 0; i < 2; i++) {
        struct tide_watch *w = watch(i == 0 ? d : other, TIDE_WATCH_INITIAL, (struct tide_token){ 0, 0 }, "m/");
        struct counted told = { 0, 0 };
        struct tide_event e = TIDE_EVENT_INIT;
        while (tide_watch_next(w, &e, 0) == 0 && e.kind == TIDE_EVENT_PUT) {
            count_key(&told, e.key, e.key_len, e.value, e.value_size, e.index);
        }
        assert_int_equal(e.kind, TIDE_EVENT_SYNCED);
        assert_int_equal(e.index, 10001);
        assert_true(e.key == NULL && e.more == 0);
        assert_int_equal(told.keys, scan.keys);
        assert_int_equal(told.sum, scan.sum);
        expect_nothing(w);
        assert_int_equal(tide_watch_close(w), 0);
    }
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(other);
    tide_close(d);
}

/* ---- parked ---------------------------------------------------------------------------------------------------------------- */

static void *wait_for_one(void *w) {
    struct tide_event e = TIDE_EVENT_INIT;
    for (uint64_t i = 1; i <= 50; i++) {
        help_check(tide_watch_next(w, &e, FOREVER) == 0 && e.index == i);
    }
    return NULL;
}

static void watch__sleeping__woken_by_each_commit(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 0, 0);
    help_leader(d);
    struct tide *other = help_open_again(d);
    struct tide_watch *w[2] = { watch_all(d), watch_all(other) };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_one, w[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        crash_nap_us(2000);
        put(d, "k", "v");
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(tide_watch_close(w[i]), 0);
    }
    help_assert_threads();
    tide_close(other);
    tide_close(d);
}

/* ---- processes ------------------------------------------------------------------------------------------------------------- */

static struct tide *open_here(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = MIB;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

/* A child that leads, or waits until it can, and writes the mirror's writes until it is killed. */
static pid_t child_that_writes(void) {
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_info info = TIDE_INFO_INIT;
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        o.role = TIDE_LEADER;
        CHILD(tide_open(&d, name, NULL) == 0 && tide_replica_start(d, &o, NULL) == 0);
        for (uint64_t n = 0;; n++) {
            CHILD(tide_info(d, &info) == 0);
            char key[16];
            uint64_t value[2] = { info.commit_index + 1, info.term };
            struct tide_op ops[2] = { { TIDE_OP_PUT, 0, key, 4, value, 16, 0 },
                                      { TIDE_OP_PUT, 0, "pair", 4, value, 16, 0 } };
            snprintf(key, sizeof(key), "k%03u", (unsigned)(n % 1000));
            CHILD(tide_batch(d, NULL, ops, n % 3 == 0 ? 2 : 1, NULL, NULL) == 0);
            if (n % 64 == 0) {
                crash_nap_us(200);
            }
        }
    }
    return pid;
}

/* Every index once: an entry without an event is a new leader's first. Each batch of two comes whole. */
static void watch__leaders_are_killed__no_gap(void **state) {
    (void)state;
    child_threads_needed();
    struct tide *d = open_here();
    help_follower(d, 0); /* what is committed outlives each leader */
    struct tide_watch *w = watch_all(d);
    uint64_t last = 0, events = 0, gaps = 0, halves = 0;
    bool in_batch = false;
    for (int round = 0; round < 6; round++) {
        pid_t pid = child_that_writes();
        for (uint64_t n = 0; n < help_scaled(3000); n++) {
            struct tide_event e = TIDE_EVENT_INIT;
            assert_int_equal(tide_watch_next(w, &e, 20000 * MS), 0);
            uint64_t value[2];
            assert_int_equal(e.value_size, sizeof(value));
            memcpy(value, e.value, sizeof(value));
            assert_true(e.index == last + 1 || (e.index == last + 2 && !in_batch));
            gaps += e.index == last + 2;
            assert_int_equal(e.index, value[0] + in_batch);
            halves += in_batch != (e.key_len == 4 && memcmp(e.key, "pair", 4) == 0);
            in_batch = e.more != 0;
            last = e.index;
            events++;
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    assert_true(gaps <= 6);
    assert_int_equal(halves, 0);
    print_message("%llu events, %llu entries without\n", (unsigned long long)events, (unsigned long long)gaps);
    assert_int_equal(tide_watch_close(w), 0);
    tide_close(d);
}

static void watch__in_a_forked_child__answers_forked(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    put(d, "k", "v");
    struct tide_watch *w = watch(d, TIDE_WATCH_INITIAL, (struct tide_token){ 0, 0 }, NULL);
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide_event e = TIDE_EVENT_INIT;
        struct tide_token token;
        struct tide_watch *own;
        CHILD(tide_watch_next(w, &e, FOREVER) == TIDE_ERR_FORKED);
        CHILD(tide_watch_token(w, &token) == TIDE_ERR_FORKED);
        CHILD(tide_watch_oldest(w, &token) == TIDE_ERR_FORKED);
        CHILD(tide_watch_open(d, NULL, &own) == TIDE_ERR_FORKED);
        CHILD(tide_watch_close(w) == 0);
        _exit(0);
    }
    child_end(pid);
    expect(w, TIDE_EVENT_PUT, 1, "k", "v", 1);
    assert_int_equal(tide_watch_close(w), 0);
    tide_close(d);
}

static void watch__domain_removed__gone(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    struct tide_watch *w = watch_all(d);
    struct tide_event e = TIDE_EVENT_INIT;
    assert_int_equal(tide_unlink(name), 0);
    assert_int_equal(tide_watch_next(w, &e, FOREVER), TIDE_ERR_GONE);
    assert_int_equal(tide_watch_close(w), 0);
    tide_close(d);
}

/* ---- bytes that cannot be ------------------------------------------------------------------------------------------------- */

/* Words of frames and of the board, each changed to the value that hurts most: the watch answers one of the allowed errors, and reads nothing outside. */
static void watch__any_word_changed__never_out_of_bounds(void **state) {
    (void)state;
    static const uint64_t bad[] = { 0,      1, 7, 48, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63, UINT64_C(0xffff) << 32,
                                    1 << 20 };
    struct help_rng rng = { help_seed() };
    for (uint64_t n = 0; n < help_scaled(100); n++) {
        struct tide *d = help_open(64 * KIB, 0, 0);
        help_leader(d);
        for (int i = 0; i < 100; i++) {
            put(d, i % 2 == 0 ? "key" : "another", "value");
        }
        struct tide_watch *w[3] = { watch_all(d), watch(d, 0, token_at(d, 0), "k"), watch(d, 0, token_at(d, 50), "a") };
        struct tide_event e = TIDE_EVENT_INIT;
        assert_int_equal(tide_watch_next(w[0], &e, 0), 0);
        uint64_t value =
            help_below(&rng, 2) == 0 ? help_random(&rng) : bad[help_below(&rng, sizeof(bad) / sizeof(bad[0]))];
        uint64_t *word;
        switch (help_below(&rng, 4)) {
        case 0:
            word = (uint64_t *)(void *)&d->log->leader.tail;
            break;
        case 1:
            word = (uint64_t *)(void *)&d->log->leader.reclaimed;
            break;
        case 2:
            word = (uint64_t *)(void *)&d->log->marks[help_below(&rng, 4)].pos;
            break;
        default:
            word = (uint64_t *)(void *)(d->ring.base + 8 * help_below(&rng, 100 * 64 / 8));
        }
        *word = value;
        for (int i = 0; i < 3; i++) {
            int error;
            struct tide_token oldest;
            while ((error = tide_watch_next(w[i], &e, 0)) == 0) {
                assert_true(e.key_len <= 7 && e.value_size == 5);
            }
            assert_true(error == TIDE_ERR_TIMEOUT || error == TIDE_ERR_LOST);
            assert_int_equal(tide_watch_oldest(w[i], &oldest), 0);
            assert_int_equal(tide_watch_close(w[i]), 0);
        }
        tide_close(d);
    }
}

/* A frame that stays damaged ends the watch, but not at once: a leader writes its words again within a second. */
static void watch__frame_stays_damaged__corrupt(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, 0, 0);
    help_leader(d);
    put(d, "k", "v");
    put(d, "k", "w");
    struct tide_watch *w = watch_all(d);
    struct tide_event e = TIDE_EVENT_INIT;
    struct frame *first = (struct frame *)(void *)d->ring.base;
    uint64_t was = first->commit_ts;
    first->commit_ts++;
    assert_int_equal(tide_watch_next(w, &e, 0), TIDE_ERR_TIMEOUT);
    first->commit_ts = was;
    expect(w, TIDE_EVENT_PUT, 1, "k", "v", 0);
    struct frame *second = (struct frame *)(void *)(d->ring.base + first->length);
    second->value_len = UINT32_MAX;
    struct tide_watch *other = watch(d, 0, token_at(d, 1), NULL);
    assert_int_equal(tide_watch_next(other, &e, FOREVER), TIDE_ERR_CORRUPT);
    assert_int_equal(tide_watch_next(other, &e, FOREVER), TIDE_ERR_CORRUPT);
    assert_int_equal(tide_watch_close(other), 0);
    assert_int_equal(tide_watch_close(w), 0);
    tide_close(d);
}

/* What another process wrote where the oldest entry lies is no entry, and nobody waits for it. */
static void walk_oldest__entry_that_is_not_committed__is_not_the_oldest(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 1000 * MS);
    help_leader(d);
    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(help_put(d, "key", i, NULL), 0);
    }
    uint64_t commit = board_commit(d->log);
    assert_int_equal(walk_oldest(&d->ring), 1);
    struct frame *first = (struct frame *)ring_at(&d->ring, atomic_load(&d->log->leader.reclaimed));
    const uint64_t wrong[] = { commit + 1, commit + 2, UINT64_MAX / 2, UINT64_MAX };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        first->index = wrong[i];
        assert_int_equal(walk_oldest(&d->ring), commit + 1);
    }
    first->index = 1;
    assert_int_equal(walk_oldest(&d->ring), 1);
    tide_close(d);
}

int main(void) {
    help_start(240);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(watch__puts_deletes_batches__told_once_and_in_order),
        cmocka_unit_test(watch__lives_of_values__told),
        cmocka_unit_test(watch_next__larger_event__filled_as_far_as_known),
        cmocka_unit_test(watch__prefix__told_alone_and_more_counts_them_alone),
        cmocka_unit_test(watch__values_of_all_sizes__whole),
        cmocka_unit_test(watch_open__bad_options_and_tokens__errors),
        cmocka_unit_test(watch__from_each_index__found_or_lost),
        cmocka_unit_test(watch__nobody_ever_led__waits_for_the_first_entry),
        cmocka_unit_test(watch__initial_beside_a_writer__each_mirror_is_the_table),
        cmocka_unit_test(watch__initial_of_a_quiet_domain__what_a_scan_finds),
        cmocka_unit_test(watch__sleeping__woken_by_each_commit),
        NAMED_CASE(watch__leaders_are_killed__no_gap),
        NAMED_CASE(watch__in_a_forked_child__answers_forked),
        NAMED_CASE(watch__domain_removed__gone),
        cmocka_unit_test(watch__any_word_changed__never_out_of_bounds),
        cmocka_unit_test(watch__frame_stays_damaged__corrupt),
        cmocka_unit_test(walk_oldest__entry_that_is_not_committed__is_not_the_oldest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
