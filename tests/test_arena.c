/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory for nodes: size classes, pages that change their use, the zone of large nodes. */
#include <stdlib.h>

#include "engine/table/arena.h"
#include "tests/lib/help.h"

#define SEGMENT (UINT64_C(4) << 20)
#define FIRST_NODE_BYTE (sizeof(struct table_segment) + 4096)

struct area {
    uint8_t *base;
    _Atomic uint32_t *uses;
    struct arena a;
};

static struct area open_area(uint32_t page_bytes) {
    struct area area = { .base = aligned_alloc(4096, SEGMENT) };
    assert_non_null(area.base);
    memset(area.base, 0, SEGMENT);
    area.uses = calloc(SEGMENT / page_bytes, sizeof(*area.uses));
    assert_non_null(area.uses);
    assert_int_equal(arena_init(&area.a, area.base, FIRST_NODE_BYTE, SEGMENT, page_bytes, area.uses), 0);
    return area;
}

static void close_area(struct area *area) {
    arena_destroy(&area->a);
    free((void *)area->uses);
    free(area->base);
}

static void arena_class__of_every_size__fits_and_wastes_little(void **state) {
    (void)state;
    for (uint32_t page = ARENA_PAGE_MIN; page <= ARENA_PAGE_MAX; page *= 2) {
        struct area area = open_area(page);
        const struct arena *a = &area.a;
        assert_true(a->classes <= ARENA_CLASSES);
        uint32_t last = 0;
        for (uint64_t payload = 0; payload < page; payload++) {
            uint32_t class = arena_class(a, payload);
            uint64_t need = payload + NODE_HEADER_BYTES;
            assert_int_equal(class == ARENA_LARGE, need > page / 8);
            if (class == ARENA_LARGE) {
                assert_int_equal(arena_cost(a, payload), (need + 63) / 64 * 64);
                continue;
            }
            const struct arena_class *c = &a->class[class];
            assert_true(c->bytes >= need && c->bytes % TABLE_UNIT == 0);
            assert_true(c->bytes <= need + need / 8 + TABLE_UNIT + TABLE_UNIT);
            assert_true((uint64_t)c->bytes * c->each <= page && (uint64_t)c->cost * c->each >= page);
            assert_true(class == 0 || a->class[class - 1].bytes < need); /* the smallest that fits */
            assert_true(class >= last);
            last = class;
        }
        assert_int_equal(last, a->classes - 1);
        close_area(&area);
    }
}

static void arena_page_bytes__of_every_budget__some_thousand_pages(void **state) {
    (void)state;
    for (uint64_t bytes = UINT64_C(256) << 10; bytes <= TABLE_BYTES_MAX; bytes += bytes / 7) {
        uint64_t page = arena_page_bytes(bytes);
        assert_true(page >= ARENA_PAGE_MIN && page <= ARENA_PAGE_MAX && (page & (page - 1)) == 0);
        assert_true(page == ARENA_PAGE_MIN || bytes / page >= 4096);
    }
}

/* Whatever is given out lies in the pages, overlaps nothing else, and is told by its extent. */
static void arena_take__random_sequences__nothing_overlaps(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    enum { MOST = 3000 };
    static uint32_t node[MOST];
    static uint64_t length[MOST];
    static uint8_t taken[SEGMENT / TABLE_UNIT];
    for (int round = 0; round < 6; round++) {
        struct area area = open_area(ARENA_PAGE_MIN << help_below(&r, 7));
        struct arena *a = &area.a;
        memset(taken, 0, sizeof(taken));
        uint32_t nodes = 0;
        uint64_t most = 100, live = 0;
        for (uint64_t step = 0; step < help_scaled(60000); step++) {
            most = help_below(&r, 5000) == 0 ? 1 + help_below(&r, 60000) : most;
            if (help_below(&r, 100) < 55 && nodes < MOST) {
                uint64_t payload = help_below(&r, most);
                if (arena_alloc(a, payload, &node[nodes]) != ARENA_OK) {
                    continue;
                }
                struct arena_extent e = arena_extent(a, node[nodes]);
                assert_true(e.bytes >= payload + NODE_HEADER_BYTES);
                assert_int_equal(e.cost, arena_cost(a, payload));
                assert_true((uint64_t)node[nodes] * TABLE_UNIT >= a->pages_off);
                assert_true((uint64_t)node[nodes] * TABLE_UNIT + e.bytes <= SEGMENT);
                for (uint64_t u = 0; u < e.bytes / TABLE_UNIT; u++) {
                    assert_int_equal(taken[node[nodes] + u], 0);
                    taken[node[nodes] + u] = 1;
                }
                live += e.cost;
                length[nodes++] = e.bytes / TABLE_UNIT;
            } else if (nodes > 0) {
                uint32_t i = (uint32_t)help_below(&r, nodes);
                struct arena_extent e = arena_extent(a, node[i]);
                arena_forget(a, &e);
                live -= e.cost;
                arena_free(a, node[i]);
                arena_free(a, node[i] + 1); /* no node begins there */
                memset(&taken[node[i]], 0, length[i]);
                node[i] = node[--nodes];
                length[i] = length[nodes];
            }
            assert_int_equal(a->live, live);
        }
        while (nodes > 0) {
            struct arena_extent e = arena_extent(a, node[--nodes]);
            arena_forget(a, &e);
            arena_free(a, node[nodes]);
        }
        for (uint32_t class = 0; class < a->classes; class ++) {
            arena_put_back(a, class);
        }
        assert_int_equal(a->live, 0);
        assert_int_equal(arena_transit(a, 0), 0);
        assert_int_equal(a->free_pages, a->pages); /* of any use again */
        close_area(&area);
    }
}

static void arena_free__what_is_free_or_was_never_given_out__nothing_happens(void **state) {
    (void)state;
    struct area area = open_area(4096);
    struct arena *a = &area.a;
    uint32_t small, large;
    assert_int_equal(arena_alloc(a, 64, &small), ARENA_OK);
    assert_int_equal(arena_alloc(a, 5000, &large), ARENA_OK);
    uint32_t pages = a->free_pages;
    const uint32_t wrong[] = { 0, 1, UINT32_MAX, small + 1, large + 4, large - 4, (uint32_t)(SEGMENT / TABLE_UNIT) };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        arena_free(a, wrong[i]);
        assert_int_equal(a->free_pages, pages);
    }
    arena_free(a, small);
    arena_free(a, small);
    arena_free(a, large);
    arena_free(a, large);
    assert_int_equal(arena_extent(a, large).bytes, 0);
    uint32_t first, second;
    assert_int_equal(arena_alloc(a, 64, &first), ARENA_OK);
    assert_int_equal(arena_alloc(a, 64, &second), ARENA_OK);
    assert_int_not_equal(first, second);
    close_area(&area);
}

/* What readers of other processes look at. */
static void arena_recycle__nodes_given_out__are_taken_next(void **state) {
    (void)state;
    struct area area = open_area(4096);
    struct arena *a = &area.a;
    uint32_t node, class = arena_class(a, 80), at_hand;
    uint64_t nodes[ARENA_AT_HAND + 8];
    for (uint32_t i = 0; i < ARENA_AT_HAND + 8; i++) {
        assert_int_equal(arena_alloc(a, 80, &node), ARENA_OK);
        nodes[i] = node;
    }
    at_hand = a->hand[class].count;
    assert_int_equal(arena_recycle(a, nodes, 3), 3);
    for (uint32_t i = 3; i-- > 0;) { /* the last first */
        assert_int_equal(arena_take_small(a, class), nodes[i]);
    }
    assert_int_equal(a->hand[class].count, at_hand);
    /* No more than there is room for: the others are for arena_free(). */
    assert_int_equal(arena_recycle(a, nodes, ARENA_AT_HAND + 8), ARENA_AT_HAND - at_hand);
    assert_int_equal(a->hand[class].count, ARENA_AT_HAND);
    arena_put_back(a, class);
    uint32_t page = arena_page_of(a, (uint32_t)nodes[0]), before = a->page[page].free;
    arena_free(a, (uint32_t)nodes[0]); /* it is free since arena_put_back() */
    assert_int_equal(a->page[page].free, before);
    close_area(&area);
}

/* Slots are shared memory: what a table gives back may be anything, and may come twice. */
static void arena_recycle__what_is_not_given_out__is_refused(void **state) {
    (void)state;
    struct area area = open_area(4096);
    struct arena *a = &area.a;
    uint32_t node, large, class = arena_class(a, 80);
    assert_int_equal(arena_alloc(a, 80, &node), ARENA_OK);
    assert_int_equal(arena_alloc(a, 40000, &large), ARENA_OK);
    uint32_t at_hand = a->hand[class].count;
    const uint64_t refused[] = {
        node + 1, large, 0, UINT32_MAX, UINT64_C(1) << 60 | node, a->hand[class].nodes[0].node
    };
    for (uint32_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        assert_int_equal(arena_recycle(a, &refused[i], 1), 0);
        assert_false(arena_is_given(a, refused[i], class));
    }
    assert_true(arena_is_given(a, node, class));
    assert_false(arena_is_given(a, node, class + 1));
    uint64_t twice[] = { node, node };
    arena_hold(a, arena_page_of(a, node)); /* its page is being emptied */
    assert_int_equal(arena_recycle(a, twice, 2), 0);
    assert_false(arena_is_given(a, node, class));
    arena_let_go(a, arena_page_of(a, node));
    assert_int_equal(arena_recycle(a, twice, 2), 1);
    arena_free(a, node); /* it is at hand */
    assert_false(arena_is_given(a, node, class));
    assert_int_equal(a->hand[class].count, at_hand + 1);
    assert_int_equal(arena_take_small(a, class), node);
    assert_int_not_equal(arena_take_small(a, class), node);
    close_area(&area);
}

static void arena_take__a_page_used_anew__its_word_changes_before(void **state) {
    (void)state;
    struct area area = open_area(4096);
    struct arena *a = &area.a;
    uint32_t node;
    assert_int_equal(arena_alloc(a, 64, &node), ARENA_OK);
    uint32_t page = arena_page_of(a, node), uses = atomic_load(&area.uses[page]), reused = atomic_load(&a->seg->reused);
    arena_free(a, node);
    assert_int_equal(arena_alloc(a, 64, &node), ARENA_OK); /* the same use */
    assert_int_equal(atomic_load(&area.uses[page]), uses);
    arena_free(a, node);
    arena_put_back(a, arena_class(a, 64));
    assert_int_equal(arena_alloc(a, 200, &node), ARENA_OK);
    assert_int_equal(arena_page_of(a, node), page);
    assert_int_not_equal(atomic_load(&area.uses[page]), uses);
    assert_int_not_equal(atomic_load(&a->seg->reused), reused);

    assert_int_equal(arena_alloc(a, 10000, &node), ARENA_OK);
    page = arena_page_of(a, node);
    uses = atomic_load(&area.uses[page]);
    atomic_store(&arena_node(a, node)->index, 7);
    arena_free(a, node);
    assert_int_equal(atomic_load(&arena_node(a, node)->index), 0); /* its tail may be used before its header is */
    assert_int_equal(arena_alloc(a, 10000, &node), ARENA_OK);
    assert_int_not_equal(atomic_load(&area.uses[page]), uses);
    close_area(&area);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_class__of_every_size__fits_and_wastes_little),
        cmocka_unit_test(arena_page_bytes__of_every_budget__some_thousand_pages),
        cmocka_unit_test(arena_take__random_sequences__nothing_overlaps),
        cmocka_unit_test(arena_free__what_is_free_or_was_never_given_out__nothing_happens),
        cmocka_unit_test(arena_recycle__nodes_given_out__are_taken_next),
        cmocka_unit_test(arena_recycle__what_is_not_given_out__is_refused),
        cmocka_unit_test(arena_take__a_page_used_anew__its_word_changes_before),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
