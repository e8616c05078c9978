/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table: one writer, readers at an index, growth by splits, tombstones, admission. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/grace.h"
#include "engine/rcu.h"
#include "engine/table.h"
#include "shm/crc.h"
#include "tests/lib/help.h"

#define MIB (UINT64_C(1) << 20)

struct fixture {
    struct table_writer w;
    uint8_t *base;
    uint64_t index;
    bool in_batch; /* what was written last is not published yet, so that memory must not be freed in its name */
};

static struct fixture open_table(uint64_t table_bytes, uint64_t expected_keys, uint64_t slack) {
    struct fixture f = {0};
    uint64_t size = table_segment_bytes(table_bytes);
    f.base = aligned_alloc(4096, (size + 4095) / 4096 * 4096);
    assert_non_null(f.base);
    memset(f.base, 0, size);
    table_create(&f.w, f.base, size, 42, expected_keys, slack);
    return f;
}

static void close_table(struct fixture *f) {
    table_drain(&f->w);
    table_drain(&f->w);
    table_destroy(&f->w);
    free(f->base);
}

/* ---- writing and reading as a replica does --------------------------------------------------------------------------- */

static int put_at(struct fixture *f, const void *key, size_t key_len, const void *value, size_t value_len, uint64_t index) {
    uint32_t node;
    enum arena_status status;
    while ((status = table_node_new(&f->w, key_len, value_len, &node)) == ARENA_WAIT) {
        if (!f->in_batch) {
            table_published(&f->w);
        }
        if (!table_drain(&f->w)) {
            return -2;
        }
    }
    if (status != ARENA_OK) {
        return -2;
    }
    uint8_t *to = table_node_key(table_node_at(&f->w.t, node));
    memcpy(to, key, key_len);
    if (value_len != 0) {
        memcpy(to + key_len, value, value_len);
    }
    return table_publish(&f->w, node, table_hash(&f->w.t, key, key_len), index, crc32c(0, to, key_len + value_len));
}

/* Keys and values of the numbered kind: a value says which entry made it. */
static size_t key_of(uint64_t k, uint8_t out[32]) {
    size_t len = 8 + k % 17;
    memset(out, (int)('a' + k % 26), len);
    memcpy(out, &k, sizeof(k));
    return len;
}

static int put(struct fixture *f, uint64_t k) {
    uint8_t key[32], value[24];
    size_t len = key_of(k, key);
    f->index++;
    memset(value, (int)(f->index & 0xff), sizeof(value));
    memcpy(value, &f->index, sizeof(f->index));
    return put_at(f, key, len, value, 8 + k % 17, f->index);
}

static void del(struct fixture *f, uint64_t k) {
    uint8_t key[32];
    size_t len = key_of(k, key);
    table_delete(&f->w, table_hash(&f->w.t, key, len), key, len, ++f->index);
}

static uint64_t find_at(const struct fixture *f, uint64_t k, uint64_t at) {
    uint8_t key[32];
    size_t len = key_of(k, key);
    const struct table_node *n = table_find(&f->w.t, table_hash(&f->w.t, key, len), key, len, at);
    if (n == NULL) {
        return 0;
    }
    uint64_t says;
    memcpy(&says, table_node_key(n) + len, sizeof(says));
    uint64_t index = atomic_load(&n->index);
    return says == index ? index : UINT64_MAX; /* a value that its node's index did not make */
}

static void assert_verifies(const struct fixture *f, uint64_t keys) {
    uint64_t k, digest, bad;
    assert_int_equal(table_verify(&f->w, &k, &digest, &bad), 0);
    assert_int_equal(bad, 0);
    assert_int_equal(k, keys);
    assert_int_equal(digest, f->w.digest);
}

/* A thread that opens a section when asked and keeps it open: so grace periods do not end. */
struct holder {
    pthread_t thread;
    _Atomic int want, have;
};

static void *hold(void *arg) {
    struct holder *h = arg;
    help_check(rcu_register_self() == 0);
    for (;;) {
        int want = atomic_load(&h->want);
        int have = atomic_load(&h->have);
        if (want == have) {
            sched_yield();
            continue;
        }
        if (have == 1) {
            rcu_exit();
        }
        if (want == 1) {
            rcu_enter();
        }
        atomic_store(&h->have, want);
        if (want < 0) {
            return NULL;
        }
    }
}

static void holder_set(struct holder *h, int want) {
    atomic_store(&h->want, want);
    while (atomic_load(&h->have) != want) {
        sched_yield();
    }
}

static void holder_open(struct holder *h) {
    assert_int_equal(pthread_create(&h->thread, NULL, hold, h), 0);
    holder_set(h, 1);
}

static void holder_close(struct holder *h) {
    holder_set(h, -1);
    pthread_join(h->thread, NULL);
    help_assert_threads();
}

/* ---- single keys -------------------------------------------------------------------------------------------------------- */

static void table_put__many_versions__each_is_found_at_its_index(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0, MIB / 8);
    rcu_enter();
    for (int i = 0; i < 50; i++) {
        assert_int_equal(put(&f, 7), 0);
        assert_int_equal(put(&f, 8), 0);
    }
    for (uint64_t at = 0; at <= 100; at++) {
        assert_int_equal(find_at(&f, 7, at), at == 0 ? 0 : at - (at % 2 == 0));
        assert_int_equal(find_at(&f, 8, at), at - at % 2);
        assert_int_equal(find_at(&f, 9, at), 0);
    }
    rcu_exit();
    assert_verifies(&f, 2);
    close_table(&f);
}

static void table_delete__then_put_again__each_state_is_found_at_its_index(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0, MIB / 8);
    rcu_enter();
    put(&f, 1); /* 1 */
    del(&f, 1); /* 2 */
    put(&f, 1); /* 3 */
    put(&f, 1); /* 4 */
    del(&f, 1); /* 5 */
    del(&f, 1); /* 6: nothing there */
    del(&f, 2); /* 7: never was */
    put(&f, 1); /* 8 */
    const uint64_t want[] = {0, 1, 0, 3, 4, 0, 0, 0, 8, 8};
    for (uint64_t at = 0; at < 10; at++) {
        assert_int_equal(find_at(&f, 1, at), want[at]);
    }
    rcu_exit();
    assert_verifies(&f, 1);
    uint8_t key[32];
    size_t len = key_of(1, key);
    assert_int_equal(table_current(&f.w, table_hash(&f.w.t, key, len), key, len), 8);
    del(&f, 1);
    assert_int_equal(table_current(&f.w, table_hash(&f.w.t, key, len), key, len), 0);
    assert_verifies(&f, 0);
    assert_int_equal(f.w.digest, 0);
    close_table(&f);
}

static void table_publish__older_index__never_replaces_newer(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0, MIB / 8);
    uint64_t v10 = 10, v5 = 5, v20 = 20;
    uint8_t key[32];
    size_t len = key_of(3, key);
    uint64_t hash = table_hash(&f.w.t, key, len);
    assert_int_equal(put_at(&f, key, len, &v10, 8, 10), 0);
    uint64_t digest = f.w.digest;
    assert_int_equal(put_at(&f, key, len, &v5, 8, 5), 0);
    assert_int_equal(put_at(&f, key, len, &v10, 8, 10), 0); /* the same again */
    assert_int_equal(find_at(&f, 3, UINT64_MAX), 10);
    assert_int_equal(f.w.digest, digest);
    table_delete(&f.w, hash, key, len, 9);
    table_delete(&f.w, hash, key, len, 10);
    assert_int_equal(find_at(&f, 3, UINT64_MAX), 10);
    table_delete(&f.w, hash, key, len, 12);
    assert_int_equal(find_at(&f, 3, UINT64_MAX), 0);
    assert_int_equal(put_at(&f, key, len, &v5, 8, 11), 0); /* older than the delete */
    assert_int_equal(table_current(&f.w, hash, key, len), 0);
    assert_int_equal(put_at(&f, key, len, &v20, 8, 20), 0);
    assert_int_equal(find_at(&f, 3, UINT64_MAX), 20);
    assert_verifies(&f, 1);
    close_table(&f);
}

static void table_digest__same_state_by_other_ways__same(void **state) {
    (void)state;
    struct fixture a = open_table(MIB, 0, MIB / 8), b = open_table(MIB, 5000, MIB / 4);
    struct help_rng r = {help_seed()};
    /* a sees all entries in order; b sees only the last of each key, in another order. */
    static uint64_t last[200];
    memset(last, 0, sizeof(last));
    uint8_t key[32], value[24];
    for (int i = 0; i < 5000; i++) {
        uint64_t k = help_below(&r, 200);
        if (help_below(&r, 4) == 0) {
            del(&a, k);
            last[k] = 0;
        } else {
            put(&a, k);
            last[k] = a.index;
        }
        table_published(&a.w);
    }
    uint64_t keys = 0;
    for (uint64_t i = 0; i < 200; i++) {
        uint64_t k = i * 77 % 200, index = last[k];
        if (index != 0) {
            size_t len = key_of(k, key);
            memset(value, (int)(index & 0xff), sizeof(value));
            memcpy(value, &index, sizeof(index));
            assert_int_equal(put_at(&b, key, len, value, 8 + k % 17, index), 0);
            keys++;
        }
    }
    assert_int_equal(a.w.digest, b.w.digest);
    assert_verifies(&a, keys);
    assert_verifies(&b, keys);
    put(&a, 3);
    assert_int_not_equal(a.w.digest, b.w.digest);
    close_table(&a);
    close_table(&b);
}

static void table_put__keys_and_values_of_every_length__come_back_whole(void **state) {
    (void)state;
    struct fixture f = open_table(64 * MIB, 0, 16 * MIB);
    static const size_t key_lens[] = {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 255, 256, 1000, 4096, 65534, 65535};
    static const size_t value_lens[] = {0, 1, 7, 8, 63, 64, 65, 1000, 65536, 1 << 20};
    static uint8_t key[65536], value[1 << 20];
    struct help_rng r = {1};
    for (size_t i = 0; i < sizeof(value); i++) {
        value[i] = (uint8_t)help_random(&r);
    }
    for (size_t i = 0; i < sizeof(key); i++) {
        key[i] = (uint8_t)(i * 7);
    }
    for (size_t v = 0; v < sizeof(value_lens) / sizeof(value_lens[0]); v++) {
        for (size_t k = 0; k < sizeof(key_lens) / sizeof(key_lens[0]); k++) {
            size_t len = value_lens[v] - value_lens[v] / 16 * (k & 1);
            f.index++;
            assert_int_equal(put_at(&f, key, key_lens[k], value, len, f.index), 0);
            const struct table_node *n =
                table_find(&f.w.t, table_hash(&f.w.t, key, key_lens[k]), key, key_lens[k], f.index);
            assert_non_null(n);
            assert_int_equal(atomic_load(&n->value_len), len);
            assert_int_equal(memcmp(table_node_key(n), key, key_lens[k]), 0);
            assert_int_equal(memcmp(table_node_key(n) + key_lens[k], value, len), 0);
            table_published(&f.w);
        }
    }
    assert_verifies(&f, sizeof(key_lens) / sizeof(key_lens[0]));
    for (size_t k = 0; k < sizeof(key_lens) / sizeof(key_lens[0]); k++) {
        table_delete(&f.w, table_hash(&f.w.t, key, key_lens[k]), key, key_lens[k], ++f.index);
    }
    assert_verifies(&f, 0);
    close_table(&f);
}

static void table_verify__a_byte_of_a_value_changed__tells(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0, MIB / 8);
    for (uint64_t k = 0; k < 100; k++) {
        put(&f, k);
    }
    assert_verifies(&f, 100);
    uint8_t key[32];
    size_t len = key_of(50, key);
    const struct table_node *n = table_find(&f.w.t, table_hash(&f.w.t, key, len), key, len, UINT64_MAX);
    table_node_key(n)[len] ^= 1;
    uint64_t keys, digest, bad;
    assert_int_equal(table_verify(&f.w, &keys, &digest, &bad), -1);
    assert_int_equal(bad, 1);
    close_table(&f);
}

/* ---- growth -------------------------------------------------------------------------------------------------------------- */

static void table_put__a_hundred_thousand_keys__all_found_at_every_step(void **state) {
    (void)state;
    struct fixture f = open_table(32 * MIB, 0, 4 * MIB);
    const uint64_t most = help_scaled(120000);
    assert_int_equal(f.w.buckets, 64);
    for (uint64_t k = 0; k < most; k++) {
        assert_int_equal(put(&f, k), 0);
        table_published(&f.w);
        if (k % 1000 == 0) {
            table_drain(&f.w);
        }
        /* All of them at sizes that differ by an eighth, some of them always. */
        uint64_t step = (k & (k - 1)) == 0 || k % (most / 8) == 0 || k < 700 ? 1 : k / 3 + 1;
        for (uint64_t j = k % step; j <= k; j += step) {
            assert_int_equal(find_at(&f, j, UINT64_MAX), j + 1);
        }
        assert_int_equal(find_at(&f, k + 1, UINT64_MAX), 0);
    }
    assert_verifies(&f, most);
    assert_true(f.w.buckets * 12 >= most);
    for (uint64_t k = 0; k < most; k++) {
        del(&f, k);
        table_published(&f.w);
        assert_int_equal(find_at(&f, k, UINT64_MAX), 0);
    }
    assert_verifies(&f, 0);
    close_table(&f);
}

static void table_create__odd_numbers_of_expected_keys__grows_on_from_there(void **state) {
    (void)state;
    const uint64_t expected[] = {1, 400, 600, 777, 1000, 6 * 127, 6 * 128, 6 * 129, UINT64_MAX};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct fixture f = open_table(4 * MIB, expected[i], MIB);
        uint64_t most = help_scaled(6000);
        for (uint64_t k = 0; k < most; k++) {
            assert_int_equal(put(&f, k), 0);
            table_published(&f.w);
        }
        for (uint64_t k = 0; k < most; k++) {
            assert_int_equal(find_at(&f, k, UINT64_MAX), k + 1);
        }
        assert_verifies(&f, most);
        close_table(&f);
    }
}

/* Keys that share their bucket, and with `tag` also the tag, so that only the comparison of keys tells them apart. */
static uint64_t next_colliding(const struct fixture *f, uint64_t from, uint64_t mask, bool tag) {
    uint8_t key[32];
    for (uint64_t k = from;; k++) {
        size_t len = key_of(k, key);
        uint64_t hash = table_hash(&f->w.t, key, len);
        if ((hash & mask) == 5 && (!tag || table_tag(hash) == 77)) {
            return k;
        }
    }
}

static void table_put__colliding_keys__chains_of_overflow_buckets(void **state) {
    (void)state;
    for (int tag = 0; tag < 2; tag++) {
        struct fixture f = open_table(MIB, 0, MIB / 8);
        enum { N = 60 };
        uint64_t keys[N], k = 0;
        for (int i = 0; i < N; i++, k++) {
            k = keys[i] = next_colliding(&f, k, 63, tag != 0);
            assert_int_equal(put(&f, keys[i]), 0);
            for (int j = 0; j <= i; j++) {
                assert_int_equal(find_at(&f, keys[j], UINT64_MAX), j + 1);
            }
        }
        assert_int_equal(find_at(&f, next_colliding(&f, k, 63, tag != 0), UINT64_MAX), 0);
        assert_verifies(&f, N);
        uint64_t chain_low = f.w.arena.low;
        /* Slots that deletes left are used again, in the whole chain. */
        for (int round = 0; round < 20; round++) {
            for (int i = round % 3; i < N; i += 3) {
                del(&f, keys[i]);
            }
            table_published(&f.w);
            table_drain(&f.w);
            for (int i = round % 3; i < N; i += 3) {
                assert_int_equal(find_at(&f, keys[i], UINT64_MAX), 0);
                assert_int_equal(put(&f, keys[i]), 0);
            }
            table_published(&f.w);
            table_drain(&f.w);
            assert_verifies(&f, N);
        }
        assert_int_equal(f.w.arena.low, chain_low);
        close_table(&f);
    }
}

static void table_split__of_an_overflowing_bucket__all_found(void **state) {
    (void)state;
    struct fixture f = open_table(4 * MIB, 0, MIB);
    enum { N = 50 };
    uint64_t keys[N], k = UINT64_C(1) << 40;
    for (int i = 0; i < N; i++, k++) {
        k = keys[i] = next_colliding(&f, k, 63, false);
        assert_int_equal(put(&f, keys[i]), 0);
    }
    for (uint64_t other = 0; other < 4000; other++) {
        assert_int_equal(put(&f, other), 0);
        table_published(&f.w);
        if (other % 200 == 0) {
            table_drain(&f.w); /* a machine that is busy ends no grace period in time */
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(find_at(&f, keys[i], UINT64_MAX), i + 1);
        }
    }
    assert_true(f.w.buckets > 256);
    assert_verifies(&f, 4000 + N);
    close_table(&f);
}

/* ---- splits and deletes whose clearing an open section holds back -------------------------------------------------- */

struct model {
    uint64_t now[4096];  /* index of each key's version, 0: none */
    uint64_t then[4096]; /* the same as of `at` */
    uint64_t at;
    uint64_t keys;
};

static void model_step(struct fixture *f, struct model *m, struct help_rng *r, uint64_t range) {
    uint64_t k = help_below(r, range);
    if (help_below(r, 3) == 0) {
        del(f, k);
        m->keys -= m->now[k] != 0;
        m->now[k] = 0;
    } else {
        m->keys += m->now[k] == 0;
        assert_int_equal(put(f, k), 0);
        m->now[k] = f->index;
    }
}

static void model_check(const struct fixture *f, const struct model *m, uint64_t range, bool then) {
    rcu_enter();
    for (uint64_t k = 0; k < range; k++) {
        assert_int_equal(find_at(f, k, f->index), m->now[k]);
        if (then) {
            assert_int_equal(find_at(f, k, m->at), m->then[k]);
        }
    }
    rcu_exit();
    assert_verifies(f, m->keys);
}

struct scan {
    const struct model *m;
    uint64_t seen;
    bool bad;
};

static int scan_node(void *ctx, const struct table_node *n) {
    struct scan *s = ctx;
    uint64_t k;
    memcpy(&k, table_node_key(n), sizeof(k));
    s->bad |= k >= 4096 || s->m->then[k] != atomic_load(&n->index);
    s->seen++;
    return 0;
}

static void scan_check(const struct fixture *f, const struct model *m, uint64_t buckets) {
    struct scan s = {.m = m};
    uint64_t want = 0;
    for (uint64_t k = 0; k < 4096; k++) {
        want += m->then[k] != 0;
    }
    for (uint64_t b = 0; b < buckets; b++) {
        table_visit_bucket(&f->w.t, b, buckets, m->at, scan_node, &s);
    }
    assert_false(s.bad);
    assert_int_equal(s.seen, want);
}

static void table_writes__while_a_section_holds_clearing_back__old_and_new_state_right(void **state) {
    (void)state;
    struct help_rng r = {help_seed()};
    for (uint64_t round = 0; round < help_scaled(30); round++) {
        struct fixture f = open_table(16 * MIB, 0, 15 * MIB);
        static struct model m;
        memset(&m, 0, sizeof(m));
        struct holder h = {0};
        f.w.batch = 1 + help_below(&r, 100); /* grace periods often */
        uint64_t range = 300 + help_below(&r, 3700);
        for (uint64_t i = help_below(&r, 2000); i > 0; i--) {
            model_step(&f, &m, &r, range);
            table_published(&f.w);
        }
        holder_open(&h);
        for (int sections = 0; sections < 4; sections++) {
            memcpy(m.then, m.now, sizeof(m.now));
            m.at = f.index;
            uint64_t buckets = f.w.buckets;
            for (uint64_t i = 0; i < 1500; i++) {
                model_step(&f, &m, &r, range);
                if (help_below(&r, 4) == 0) {
                    table_published(&f.w);
                }
                if (i % 500 == 499) {
                    model_check(&f, &m, range, true);
                    scan_check(&f, &m, buckets);
                    scan_check(&f, &m, f.w.buckets);
                }
            }
            holder_set(&h, 0);
            table_published(&f.w);
            if (sections % 2 == 0) {
                table_drain(&f.w);
                model_check(&f, &m, range, false);
            }
            for (uint64_t i = help_below(&r, 1000); i > 0; i--) {
                model_step(&f, &m, &r, range);
                table_published(&f.w);
            }
            holder_set(&h, 1);
        }
        holder_close(&h);
        table_published(&f.w);
        for (int i = 0; i < 3; i++) {
            table_published(&f.w);
            table_drain(&f.w);
        }
        model_check(&f, &m, range, false);
        assert_int_equal(f.w.cleared, f.w.buckets);
        assert_int_equal(f.w.open.count + f.w.waiting.count, 0);
        close_table(&f);
    }
}

/* ---- readers in other threads --------------------------------------------------------------------------------------- */

#define PAIRS 64u

struct storm {
    struct fixture f;
    _Atomic uint64_t applied;
    _Atomic bool stop;
};

/* Keys 2p and 2p+1 are always written together, and applied is published after both: at any published index both or none
 * are there, and the second is one newer than the first. */
static void *storm_read(void *arg) {
    struct storm *s = arg;
    help_check(rcu_register_self() == 0);
    uint64_t n = 0, last = 0;
    while (!atomic_load(&s->stop) || n == 0) {
        rcu_enter();
        uint64_t at = atomic_load_explicit(&s->applied, memory_order_acquire); /* MO(replica.applied): as a reader */
        help_check(at >= last);
        last = at;
        for (uint64_t p = n % 8; p < PAIRS; p += 8) {
            uint64_t a = find_at(&s->f, 2 * p, at), b = find_at(&s->f, 2 * p + 1, at);
            help_check(a <= at && b <= at && (a == 0 ? b == 0 : b == a + 1));
        }
        if (n % 64 == 0) {
            /* Twice the same within a section. */
            uint64_t first[PAIRS];
            for (uint64_t p = 0; p < PAIRS; p++) {
                first[p] = find_at(&s->f, 2 * p, at);
            }
            for (uint64_t p = 0; p < PAIRS; p++) {
                help_check(find_at(&s->f, 2 * p, at) == first[p]);
            }
        }
        rcu_exit();
        n++;
    }
    return NULL;
}

static void table_find__beside_the_writer__pairs_are_never_torn(void **state) {
    (void)state;
    static struct storm s;
    memset(&s, 0, sizeof(s));
    s.f = open_table(8 * MIB, 0, MIB);
    s.f.w.batch = 50;
    struct help_rng r = {help_seed()};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, storm_read, &s), 0);
    }
    for (uint64_t i = 0; i < help_scaled(150000); i++) {
        uint64_t p = help_below(&r, PAIRS);
        s.f.in_batch = true;
        if (help_below(&r, 3) == 0) {
            del(&s.f, 2 * p);
            del(&s.f, 2 * p + 1);
        } else {
            assert_int_equal(put(&s.f, 2 * p), 0);
            assert_int_equal(put(&s.f, 2 * p + 1), 0);
        }
        /* Others, so that the table grows meanwhile. */
        if (i % 8 == 0) {
            assert_int_equal(put(&s.f, 1000 + help_below(&r, 20000)), 0);
        }
        atomic_store_explicit(&s.applied, s.f.index, memory_order_release); /* MO(replica.applied): as a replica */
        table_published(&s.f.w);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    close_table(&s.f);
}

/* ---- admission -------------------------------------------------------------------------------------------------------- */

static uint64_t fill(struct fixture *f, uint64_t value_len, uint64_t first, uint64_t *index) {
    static const uint8_t value[70000];
    uint64_t n = 0;
    uint8_t key[32];
    for (;; n++) {
        size_t len = key_of(first + n, key);
        if (!table_admits(&f->w, len + value_len)) {
            return n;
        }
        assert_int_equal(put_at(f, key, len, value, value_len, ++*index), 0);
        table_published(&f->w);
    }
}

static void table_admits__until_full__what_was_admitted_fits_and_deletes_make_room(void **state) {
    (void)state;
    const uint64_t sizes[] = {0, 1, 10, 64, 100, 1000, 20000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture f = open_table(MIB, 0, MIB / 8);
        uint64_t index = 0, n = fill(&f, sizes[i], 0, &index);
        assert_true(n * (sizes[i] + NODE_HEADER_BYTES) > MIB / 4);
        assert_verifies(&f, n);
        uint8_t key[32];
        for (uint64_t k = 0; k < n / 2; k++) {
            size_t len = key_of(k, key);
            table_delete(&f.w, table_hash(&f.w.t, key, len), key, len, ++index);
        }
        table_published(&f.w);
        table_drain(&f.w);
        assert_verifies(&f, n - n / 2);
        /* Of the classes that were freed most fit again; the longer chains of a table that had to wait with its splits take
         * their part. */
        uint64_t refused = 0;
        for (uint64_t k = 0; k < n / 2; k++) {
            static const uint8_t value[70000];
            size_t len = key_of(k, key);
            if (!table_admits(&f.w, len + sizes[i])) {
                refused++;
                continue;
            }
            assert_int_equal(put_at(&f, key, len, value, sizes[i], ++index), 0);
            table_published(&f.w);
        }
        assert_true(refused <= n / 4);
        n -= refused;
        assert_verifies(&f, n);
        close_table(&f);
    }
}

static void table_admits__full_table__overwriting_goes_on_for_ever(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0, MIB / 8);
    static const uint8_t value[200];
    uint64_t index = 0, n = fill(&f, sizeof(value), 0, &index), deleted = 0;
    uint8_t key[32];
    for (uint64_t i = 0; i < 20 * n; i++) {
        size_t len = key_of(i * 7 % n, key);
        /* The new version stands beside the old for a moment, and splits that were late take memory, too: make some room. */
        while (!table_admits(&f.w, len + sizeof(value))) {
            uint8_t victim[32];
            size_t victim_len = key_of(deleted++, victim);
            assert_true(deleted < n / 4);
            table_delete(&f.w, table_hash(&f.w.t, victim, victim_len), victim, victim_len, ++index);
            table_published(&f.w);
        }
        assert_int_equal(put_at(&f, key, len, value, sizeof(value), ++index), 0);
        table_published(&f.w);
    }
    uint64_t keys, digest, bad;
    assert_int_equal(table_verify(&f.w, &keys, &digest, &bad), 0);
    assert_true(keys <= n && keys >= n - deleted);
    close_table(&f);
}

static void table_admits__random_sizes_until_full__never_runs_out(void **state) {
    (void)state;
    struct help_rng r = {help_seed()};
    for (uint64_t round = 0; round < help_scaled(20); round++) {
        struct fixture f = open_table(MIB / 2 + help_below(&r, MIB), help_below(&r, 2) * 3000, MIB / 16);
        static uint8_t value[6000];
        uint8_t key[32];
        for (uint64_t i = 0; i < 20000; i++) {
            uint64_t k = help_below(&r, 3000);
            size_t len = key_of(k, key);
            size_t size = help_below(&r, 10) == 0 ? help_below(&r, sizeof(value)) : help_below(&r, 120);
            f.index++;
            if (help_below(&r, 4) == 0) {
                table_delete(&f.w, table_hash(&f.w.t, key, len), key, len, f.index);
            } else if (table_admits(&f.w, len + size)) {
                assert_int_equal(put_at(&f, key, len, value, size, f.index), 0);
            }
            if (help_below(&r, 8) == 0) {
                table_published(&f.w);
            }
            assert_true(f.w.arena.carved <= f.w.arena.peak + f.w.arena.slack);
        }
        uint64_t keys, digest, bad;
        assert_int_equal(table_verify(&f.w, &keys, &digest, &bad), 0);
        close_table(&f);
    }
}

static int hold_grace(void **state) {
    (void)state;
    return rcu_register_self() != 0 || grace_hold() != 0 ? -1 : 0;
}

static int drop_grace(void **state) {
    (void)state;
    grace_drop();
    return 0;
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_put__many_versions__each_is_found_at_its_index),
        cmocka_unit_test(table_delete__then_put_again__each_state_is_found_at_its_index),
        cmocka_unit_test(table_publish__older_index__never_replaces_newer),
        cmocka_unit_test(table_digest__same_state_by_other_ways__same),
        cmocka_unit_test(table_put__keys_and_values_of_every_length__come_back_whole),
        cmocka_unit_test(table_verify__a_byte_of_a_value_changed__tells),
        cmocka_unit_test(table_put__a_hundred_thousand_keys__all_found_at_every_step),
        cmocka_unit_test(table_create__odd_numbers_of_expected_keys__grows_on_from_there),
        cmocka_unit_test(table_put__colliding_keys__chains_of_overflow_buckets),
        cmocka_unit_test(table_split__of_an_overflowing_bucket__all_found),
        cmocka_unit_test(table_writes__while_a_section_holds_clearing_back__old_and_new_state_right),
        cmocka_unit_test(table_find__beside_the_writer__pairs_are_never_torn),
        cmocka_unit_test(table_admits__until_full__what_was_admitted_fits_and_deletes_make_room),
        cmocka_unit_test(table_admits__full_table__overwriting_goes_on_for_ever),
        cmocka_unit_test(table_admits__random_sizes_until_full__never_runs_out),
    };
    return cmocka_run_group_tests_name("table", tests, hold_grace, drop_grace);
}
