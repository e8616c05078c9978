/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table when its memory is used up: what is admitted fits, and deletes make room. */
#include "tests/lib/tables.h"

/* ---- admission --------------------------------------------------------------------------------------------------- */

static uint64_t fill(struct fixture *f, uint64_t value_len, uint64_t first, uint64_t *index) {
    static const uint8_t value[70000];
    uint64_t n = 0;
    uint8_t key[32];
    for (;; n++) {
        size_t len = key_of(first + n, key);
        if (!table_admits(&f->w, len + value_len, 0)) {
            return n;
        }
        assert_int_equal(put_at(f, key, len, value, value_len, ++*index), 0);
        table_published(&f->w);
    }
}

static void table_admits__until_full__what_was_admitted_fits_and_deletes_make_room(void **state) {
    (void)state;
    const uint64_t sizes[] = { 0, 1, 10, 64, 100, 1000, 20000 };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture f = open_table(MIB, 0, MIB / 8);
        uint64_t index = 0, n = fill(&f, sizes[i], 0, &index);
        assert_true(n * (sizes[i] + NODE_HEADER_BYTES) > MIB / 4);
        assert_verifies(&f, n);
        uint8_t key[32];
        for (uint64_t k = 0; k < n / 2; k++) {
            size_t len = key_of(k, key);
            table_delete(&f.w, hash_of(&f, key, len), key, len, ++index);
        }
        table_published(&f.w);
        table_drain(&f.w);
        assert_verifies(&f, n - n / 2);
        /* Of the classes that were freed most fit again; the longer chains of a table that had to wait with its splits
         * take their part. */
        uint64_t refused = 0;
        for (uint64_t k = 0; k < n / 2; k++) {
            static const uint8_t value[70000];
            size_t len = key_of(k, key);
            if (!table_admits(&f.w, len + sizes[i], 0)) {
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
        /* The new version stands beside the old for a moment, and late splits take memory, too: make some room. What was
         * deleted for it is put anew when its turn comes, and perhaps needs room again: all in all that can be many, and what
         * counts is that few are missing at a time. */
        while (!table_admits(&f.w, len + sizeof(value), 0)) {
            uint8_t victim[32];
            size_t victim_len = key_of(deleted++ % n, victim);
            assert_true(n - f.w.keys < n / 4);
            table_delete(&f.w, hash_of(&f, victim, victim_len), victim, victim_len, ++index);
            table_published(&f.w);
        }
        assert_int_equal(put_at(&f, key, len, value, sizeof(value), ++index), 0);
        table_published(&f.w);
    }
    uint64_t keys, digest, bad;
    assert_int_equal(table_verify(&f.w, &keys, &digest, &bad), 0);
    assert_true(keys <= n && keys > n - n / 4);
    close_table(&f);
}

static void table_admits__random_sizes_until_full__never_runs_out(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
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
                table_delete(&f.w, hash_of(&f, key, len), key, len, f.index);
            } else if (table_admits(&f.w, len + size, 0)) {
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

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_admits__until_full__what_was_admitted_fits_and_deletes_make_room),
        cmocka_unit_test(table_admits__full_table__overwriting_goes_on_for_ever),
        cmocka_unit_test(table_admits__random_sizes_until_full__never_runs_out),
    };
    return cmocka_run_group_tests_name("table_full", tests, hold_grace, drop_grace);
}
