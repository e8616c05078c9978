/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table when its memory is used up: every admitted write fits, and deletes make room. */
#include <stdlib.h>

#include "shm/crc.h"
#include "tests/lib/tables.h"

/* ---- admission --------------------------------------------------------------------------------------------------- */

static uint64_t fill(struct fixture *f, uint64_t value_len, uint64_t first, uint64_t *index) {
    static const uint8_t value[70000];
    uint64_t n = 0;
    uint8_t key[32];
    for (;; n++) {
        size_t len = key_of(first + n, key);
        if (table_admits(&f->w, hash_of(f, key, len), key, len, value_len, 0) != TABLE_YES) {
            return n;
        }
        assert_int_equal(put_at(f, key, len, value, value_len, ++*index), 0);
        table_published(&f->w);
    }
}

static void table_admits__emptied_and_filled_anew__takes_as_much_as_a_fresh_one(void **state) {
    (void)state;
    const uint64_t sizes[] = { 64, 0, 1000, 10, 20000, 1, 100, 60000, 300, 5000, 64 };
    struct fixture f = open_table(MIB, 0);
    uint8_t key[32];
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fixture fresh = open_table(MIB, 0);
        uint64_t none = 0, most = fill(&fresh, sizes[i], 0, &none);
        close_table(&fresh);
        uint64_t n = fill(&f, sizes[i], 0, &f.index);
        assert_int_equal(n, most);
        /* What tools are told is up to date also where nothing was replaced. */
        assert_true(atomic_load(&f.w.t.seg->used_bytes) >= n * (sizes[i] + NODE_HEADER_BYTES));
        assert_true(n * (sizes[i] + NODE_HEADER_BYTES) > MIB / 4);
        assert_verifies(&f, n);
        for (uint64_t k = 0; k < n; k++) {
            size_t len = key_of(k, key);
            table_delete(&f.w, hash_of(&f, key, len), key, len, ++f.index);
            table_published(&f.w);
        }
        assert_verifies(&f, 0);
        assert_int_equal(f.w.arena.live, 0);
    }
    for (int i = 0; i < 3; i++) {
        table_published(&f.w);
        table_drain(&f.w);
    }
    for (uint32_t class = 0; class < f.w.arena.classes; class ++) {
        arena_put_back(&f.w.arena, class); /* nodes at hand keep their span */
    }
    assert_int_equal(f.w.arena.free_pages, f.w.arena.pages);
    close_table(&f);
}

static void table_admits__full_table__overwriting_goes_on_for_ever(void **state) {
    (void)state;
    static const uint8_t value[20000];
    const uint64_t sizes[] = { 200, 20000 };
    for (size_t s = 0; s < 2; s++) {
        struct fixture f = open_table(MIB, 0);
        uint64_t n = fill(&f, sizes[s], 0, &f.index);
        uint8_t key[32];
        for (uint64_t i = 0; i < 20 * n; i++) {
            uint64_t k = i * 7 % n;
            size_t len = key_of(k, key), size = sizes[s] - sizes[s] / 40 * (i / n);
            assert_int_equal(table_admits(&f.w, hash_of(&f, key, len), key, len, size, 0), TABLE_YES);
            assert_int_equal(put_at(&f, key, len, value, size, ++f.index), 0);
            table_published(&f.w);
        }
        assert_verifies(&f, n);
        close_table(&f);
    }
}

/* What a table went through: few keys and large values, many and small ones, both. Whatever is admitted fits. */
static size_t size_of(struct help_rng *r, uint64_t kind, uint64_t most) {
    switch ((kind + help_below(r, 8) / 7) % 4) {
    case 0:
        return help_below(r, 120);
    case 1:
        return help_below(r, most);
    case 2:
        return help_below(r, 3000);
    default:
        return most - help_below(r, 64);
    }
}

static void table_admits__random_sizes__what_was_admitted_fits(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    static uint8_t value[70000];
    for (uint64_t round = 0; round < help_scaled(40); round++) {
        struct fixture f = open_table(MIB / 4 + help_below(&r, MIB), help_below(&r, 2) * 3000);
        uint64_t most = 64 + help_below(&r, 2) * help_below(&r, sizeof(value) - 64), keys = 3000;
        uint64_t kind = 0, range = keys;
        uint8_t key[32];
        for (uint64_t i = 0; i < 6000; i++) {
            if (help_below(&r, 800) == 0) {
                kind = help_below(&r, 4);
                range = help_below(&r, 2) == 0 ? 30 : keys;
            }
            uint64_t k = help_below(&r, range);
            size_t len = key_of(k, key), size = size_of(&r, kind, most);
            f.index++;
            if (help_below(&r, 4) == 0) {
                table_delete(&f.w, hash_of(&f, key, len), key, len, f.index);
            } else if (table_admits(&f.w, hash_of(&f, key, len), key, len, size, 0) == TABLE_YES) {
                memset(value, (int)k, 64);
                int result = put_at(&f, key, len, value, size, f.index);
                if (result != 0) {
                    fail_msg("round %llu, entry %llu: %zu bytes: %d", (unsigned long long)round, (unsigned long long)i,
                             size, result);
                }
            }
            if (help_below(&r, 8) == 0) {
                table_published(&f.w);
            }
        }
        uint64_t n, digest, bad;
        assert_int_equal(table_verify(&f.w, &n, &digest, &bad), 0);
        close_table(&f);
    }
}

/* What was overwritten waits for a grace period, and is told: a period is asked for as soon as enough of it waits. */
static void table_put__overwritten__its_bytes_wait(void **state) {
    (void)state;
    static const uint8_t value[20000];
    const size_t sizes[] = { 0, 50, 1000, 20000 };
    struct fixture f = open_table(MIB, 0);
    uint64_t waiting = 0;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t key[32];
        size_t len = key_of(i, key);
        assert_int_equal(put_at(&f, key, len, value, sizes[i], ++f.index), 0);
        assert_int_equal(f.w.open.bytes, waiting);
        assert_int_equal(put_at(&f, key, len, value, 1, ++f.index), 0);
        assert_true(f.w.open.bytes >= waiting + NODE_HEADER_BYTES + len + sizes[i]);
        waiting = f.w.open.bytes;
    }
    table_published(&f.w);
    close_table(&f);
}

/* Where nothing is left to move, the write that waits may use what is kept for moves. An entry behind it may not. */
static void table_node_ahead__compaction_is_exhausted__waits(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
    uint32_t node;
    assert_true(table_node_ahead(&f.w, 8, 64, &node));
    table_node_drop_ahead(&f.w, node);
    f.w.arena.exhausted = true;
    assert_false(table_node_ahead(&f.w, 8, 64, &node));
    assert_int_equal(table_node_new(&f.w, 8, 64, &node), ARENA_OK);
    table_node_drop(&f.w, node);
    compact_placed(&f.w);
    assert_true(table_node_ahead(&f.w, 8, 64, &node));
    table_node_drop_ahead(&f.w, node);
    close_table(&f);
}

/* ---- nodes that do not move ------------------------------------------------------------------------------------------ */

#define STUCK 5u
#define MOVABLE 3u

static uint32_t node_of(const struct fixture *f, uint64_t k) {
    uint8_t key[32];
    size_t len = key_of(k, key);
    const struct table_node *n = table_newest(&f->w, hash_of(f, key, len), key, len);
    return n == NULL ? 0 : (uint32_t)((uint64_t)((const uint8_t *)n - f->w.t.base) / TABLE_UNIT);
}

/*
 * Another process has changed words of some nodes, so that they do not move. They lie in the page that a large node needs, beside others that do
 * move: out of that page, to make it free, and back into it, since together they need one page and not two.
 */
static void table_drain__nodes_that_cannot_move__ends(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
    uint64_t n = 0;
    uint32_t highest = 0, node;
    uint8_t key[32], value[64] = { 0 };
    for (;; n++) { /* of one size, whatever the key's length is: pages of one class alone */
        size_t len = key_of(n * 17, key);
        if (table_admits(&f.w, hash_of(&f, key, len), key, len, sizeof(value), 0) != TABLE_YES) {
            break;
        }
        assert_int_equal(put_at(&f, key, len, value, sizeof(value), ++f.index), 0);
        table_published(&f.w);
        uint32_t page = arena_page_of(&f.w.arena, node_of(&f, n * 17));
        highest = page > highest ? page : highest;
    }
    uint32_t kept = 0;
    highest--; /* which is full */
    for (uint64_t k = 0; k < n; k++) {
        if (arena_page_of(&f.w.arena, node_of(&f, k * 17)) == highest && kept < STUCK + MOVABLE) {
            kept++;
        } else {
            del(&f, k * 17);
        }
        table_published(&f.w);
    }
    assert_int_equal(kept, STUCK + MOVABLE);
    (void)table_drain(&f.w);
    kept = 0;
    for (uint64_t k = 0; k < n && kept < STUCK; k++) {
        uint32_t at = node_of(&f, k * 17);
        if (at != 0) {
            atomic_store(&table_node_at(&f.w.t, at)->deleted, 1);
            kept++;
        }
    }
    /* All but that page is free, and the zone needs it. */
    uint64_t large = (uint64_t)(f.w.arena.pages - highest + 1) << f.w.arena.shift;
    uint32_t tries = 0;
    while (table_node_new(&f.w, 8, (uint32_t)large, &node) == ARENA_WAIT && table_drain(&f.w)) {
        assert_true(++tries < 1000);
    }
    table_destroy(&f.w);
    free(f.base);
}

/* A node and its key, without table_published() between two tries, which says that the last one was placed. */
static bool put_any(struct fixture *f, uint64_t k, const void *value, size_t size) {
    uint8_t key[32];
    size_t len = key_of(k, key);
    uint32_t node, tries = 0;
    enum arena_status status;
    while ((status = table_node_new(&f->w, len, (uint32_t)size, &node)) == ARENA_WAIT && table_drain(&f->w)) {
        assert_true(++tries < 1000);
    }
    if (status != ARENA_OK) {
        return false;
    }
    uint8_t *to = table_node_key(table_node_at(&f->w.t, node));
    memcpy(to, key, len);
    memcpy(to + len, value, size);
    assert_int_equal(table_publish(&f->w, node, hash_of(f, key, len), ++f->index, crc32c(0, to, len + size)), 0);
    table_published(&f->w);
    return true;
}

/* All nodes of a batch, as apply and the sequencer make them: where one waits for memory, all are dropped, and made anew. False: there is none. */
static bool make_batch(struct fixture *f, const size_t *sizes, size_t n) {
    uint32_t nodes[8], tries = 0;
    for (;;) {
        enum arena_status status = ARENA_OK;
        size_t made = 0;
        while (made < n && (status = table_node_new(&f->w, 8, sizes[made], &nodes[made])) == ARENA_OK) {
            made++;
        }
        for (size_t i = 0; i < made; i++) {
            table_node_drop(&f->w, nodes[i]);
        }
        if (status != ARENA_WAIT || !table_drain(&f->w)) {
            return status == ARENA_OK;
        }
        assert_true(++tries < 1000);
    }
}

/* For a node of the zone, each try asks for twice as many bytes until that is all memory; only then are the tries counted. The smallest of
 * these nodes is a part of a page, so as many of them as there are pages are not all memory yet. */
static void compact_hopes__large_node__goes_on_until_all_memory_was_asked_for(void **state) {
    (void)state;
    struct fixture f = open_table(MIB, 0);
    struct arena *a = &f.w.arena;
    uint64_t payload = 1, whole = a->end - a->pages_off;
    while (arena_class(a, payload) != ARENA_LARGE) {
        payload++;
    }
    a->wanted = NODE_HEADER_BYTES + payload;
    uint64_t bytes = zone_round(a->wanted);
    assert_true(bytes * a->pages < whole);
    for (a->demand = 1; bytes * a->demand < whole; a->demand *= 2) {
        for (uint32_t i = 0; i < 2 * COMPACT_ALL_TRIES; i++) {
            assert_true(compact_hopes(a));
        }
    }
    for (uint32_t i = 0; i < COMPACT_ALL_TRIES; i++) {
        assert_true(compact_hopes(a));
    }
    assert_false(compact_hopes(a));
    close_table(&f);
}

/* More than a leader would let in, as a log can say whose words another process has changed. The reserve for moves may go to one node of a batch, and
 * then the next one waits: without an end, if each try that only frees the reserve again counted as a reason for another. */
static void table_drain__batches_that_no_leader_admitted__ends(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    static const uint8_t value[4096];
    uint64_t fitted = 0;
    for (uint64_t round = 0; round < help_scaled(40); round++) {
        struct fixture f = open_table(MIB, 0);
        uint64_t k = 0, most = 50 + help_below(&r, 4000);
        uint8_t key[32];
        for (uint64_t failed = 0; failed < 3;) {
            failed += !put_any(&f, k++, value, help_below(&r, most));
        }
        for (uint64_t i = 0; i < 30; i++) {
            size_t sizes[8], n = 2 + help_below(&r, 6);
            for (size_t j = 0; j < n; j++) {
                sizes[j] = help_below(&r, 2) == 0 ? help_below(&r, 100) : help_below(&r, 3000);
            }
            fitted += make_batch(&f, sizes, n);
            size_t len = key_of(help_below(&r, k), key);
            table_delete(&f.w, hash_of(&f, key, len), key, len, ++f.index);
            table_published(&f.w);
        }
        close_table(&f);
    }
    assert_true(fitted > 0);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_put__overwritten__its_bytes_wait),
        cmocka_unit_test(table_drain__nodes_that_cannot_move__ends),
        cmocka_unit_test(table_node_ahead__compaction_is_exhausted__waits),
        cmocka_unit_test(compact_hopes__large_node__goes_on_until_all_memory_was_asked_for),
        cmocka_unit_test(table_drain__batches_that_no_leader_admitted__ends),
        cmocka_unit_test(table_admits__emptied_and_filled_anew__takes_as_much_as_a_fresh_one),
        cmocka_unit_test(table_admits__full_table__overwriting_goes_on_for_ever),
        cmocka_unit_test(table_admits__random_sizes__what_was_admitted_fits),
    };
    return cmocka_run_group_tests_name("table_full", tests, hold_grace, drop_grace);
}
