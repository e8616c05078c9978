/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table: versions at an index, digests, growth by splits. */
#include "engine/table/rcu.h"
#include "tests/lib/tables.h"

/* ---- single keys ------------------------------------------------------------------------------------------------- */

static void table_put__many_versions__each_is_found_at_its_index(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
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

/* What validated reads of other processes lean on. */
static void table_node_new__a_node_used_again__its_index_is_0_before_anything_else_changes(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
    uint32_t node, again;
    assert_int_equal(table_node_new(&f.w, 16, 64, &node), ARENA_OK);
    struct table_node *n = table_node_at(&f.w.t, node);
    atomic_store(&n->index, 77);
    atomic_store(&n->deleted, 78);
    table_node_drop(&f.w, node);
    assert_int_equal(atomic_load(&n->index),
                     77); /* free, and as it was: a reader that still looks at it finds its key */
    do {                  /* those of its class go round */
        assert_int_equal(table_node_new(&f.w, 15, 65, &again), ARENA_OK);
    } while (again != node);
    assert_int_equal(atomic_load(&n->index), 0);
    assert_int_equal(atomic_load(&n->deleted), 0);
    assert_int_equal(atomic_load(&n->prev), 0);
    table_node_drop(&f.w, again);
    close_table(&f);
}

static void table_delete__then_put_again__each_state_is_found_at_its_index(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
    rcu_enter();
    put(&f, 1); /* 1 */
    del(&f, 1); /* 2 */
    put(&f, 1); /* 3 */
    put(&f, 1); /* 4 */
    del(&f, 1); /* 5 */
    del(&f, 1); /* 6: nothing there */
    del(&f, 2); /* 7: never was */
    put(&f, 1); /* 8 */
    const uint64_t want[] = { 0, 1, 0, 3, 4, 0, 0, 0, 8, 8 };
    for (uint64_t at = 0; at < 10; at++) {
        assert_int_equal(find_at(&f, 1, at), want[at]);
    }
    rcu_exit();
    assert_verifies(&f, 1);
    uint8_t key[32];
    size_t len = key_of(1, key);
    assert_int_equal(table_current(&f.w, hash_of(&f, key, len), key, len), 8);
    del(&f, 1);
    assert_int_equal(table_current(&f.w, hash_of(&f, key, len), key, len), 0);
    assert_verifies(&f, 0);
    assert_int_equal(f.w.digest, 0);
    close_table(&f);
}

static void table_publish__older_index__never_replaces_newer(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
    uint64_t v10 = 10, v5 = 5, v20 = 20;
    uint8_t key[32];
    size_t len = key_of(3, key);
    uint64_t hash = hash_of(&f, key, len);
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
    struct fixture a = open_table(MIB, 0), b = open_table(MIB, 5000);
    struct help_rng r = { help_seed() };
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
    struct fixture f = open_table(64 * MIB, 0);
    static const size_t key_lens[] = { 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 255, 256, 1000, 4096, 65534, 65535 };
    static const size_t value_lens[] = { 0, 1, 7, 8, 63, 64, 65, 1000, 65536, 1 << 20 };
    static uint8_t key[65536], value[1 << 20];
    struct help_rng r = { 1 };
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
            const struct table_node *n = table_find(&f.w.t, hash_of(&f, key, key_lens[k]), key, key_lens[k], f.index);
            assert_non_null(n);
            assert_int_equal(atomic_load(&n->value_len), len);
            assert_int_equal(memcmp(table_node_key(n), key, key_lens[k]), 0);
            assert_int_equal(memcmp(table_node_key(n) + key_lens[k], value, len), 0);
            table_published(&f.w);
        }
    }
    assert_verifies(&f, sizeof(key_lens) / sizeof(key_lens[0]));
    for (size_t k = 0; k < sizeof(key_lens) / sizeof(key_lens[0]); k++) {
        table_delete(&f.w, hash_of(&f, key, key_lens[k]), key, key_lens[k], ++f.index);
    }
    assert_verifies(&f, 0);
    close_table(&f);
}

static void table_verify__a_byte_of_a_value_changed__tells(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
    for (uint64_t k = 0; k < 100; k++) {
        put(&f, k);
    }
    assert_verifies(&f, 100);
    uint8_t key[32];
    size_t len = key_of(50, key);
    const struct table_node *n = table_find(&f.w.t, hash_of(&f, key, len), key, len, UINT64_MAX);
    table_node_key(n)[len] ^= 1;
    uint64_t keys, digest, bad;
    assert_int_equal(table_verify(&f.w, &keys, &digest, &bad), -1);
    assert_int_equal(bad, 1);
    close_table(&f);
}

/* ---- growth ------------------------------------------------------------------------------------------------------ */

static void table_put__a_hundred_thousand_keys__all_found_at_every_step(void **state) {
    (void)state;
    struct fixture f = open_table(32 * MIB, 0);
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
    const uint64_t expected[] = { 1, 400, 600, 777, 1000, 6 * 127, 6 * 128, 6 * 129, UINT64_MAX };
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct fixture f = open_table(4 * MIB, expected[i]);
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
        uint64_t hash = hash_of(f, key, len);
        if ((hash & mask) == 5 && (!tag || table_tag(hash) == 77)) {
            return k;
        }
    }
}

static void table_put__colliding_keys__chains_of_overflow_buckets(void **state) {
    (void)state;
    for (int tag = 0; tag < 2; tag++) {
        struct fixture f = open_table(MIB, 0);
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
        uint64_t chain = f.w.overflow;
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
        assert_true(f.w.overflow <= chain);
        close_table(&f);
    }
}

static void table_split__of_an_overflowing_bucket__all_found(void **state) {
    (void)state;
    struct fixture f = open_table(4 * MIB, 0);
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

/* ---- tags ---------------------------------------------------------------------------------------------------------- */

static uint32_t match_bytes(uint64_t lo, uint64_t hi, uint64_t tag) {
    uint32_t match = 0;
    for (uint32_t i = 0; i < TABLE_SLOTS; i++) {
        match |= (uint32_t)(((i < 8 ? lo >> i * 8 : hi >> (i - 8) * 8) & 0xff) == tag) << i;
    }
    return match;
}

/* Mostly what a trick with borrows and top bits could take for the tag. */
static uint64_t tags_near(struct help_rng *r, uint64_t tag) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++) {
        const uint64_t near[] = { tag, tag, tag ^ 0x80, tag ^ 1, tag - 1, tag + 1, 0, 0xff, 0x80, help_random(r) };
        word = word << 8 | (near[help_below(r, sizeof(near) / sizeof(near[0]))] & 0xff);
    }
    return word;
}

/* The upper half of `hi` is the link to an overflow bucket, and never a tag. 0 is an empty slot's. */
static void table_match__words_of_every_kind__as_byte_by_byte(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    for (uint64_t i = 0; i < help_scaled(1000000); i++) {
        uint64_t tag = i % 256, lo = tags_near(&r, tag), hi = tags_near(&r, tag);
        uint32_t match = match_bytes(lo, hi, tag);
        if (table_match(lo, hi, tag) != match || table_match_portable(lo, hi, tag) != match) {
            fail_msg("tag %llx in %llx %llx: %x and %x, not %x", (unsigned long long)tag, (unsigned long long)lo,
                     (unsigned long long)hi, table_match(lo, hi, tag), table_match_portable(lo, hi, tag), match);
        }
    }
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_node_new__a_node_used_again__its_index_is_0_before_anything_else_changes),
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
        cmocka_unit_test(table_match__words_of_every_kind__as_byte_by_byte),
    };
    return cmocka_run_group_tests_name("table", tests, hold_grace, drop_grace);
}
