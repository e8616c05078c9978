/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory for nodes: size classes, the promise carved <= peak + slack, type stability. */
#include <stdlib.h>

#include "engine/table/arena.h"
#include "tests/lib/help.h"

#define SEGMENT (UINT64_C(4) << 20)
#define FIRST_NODE_BYTE (sizeof(struct table_segment) + 4096)

static void arena_class__of_every_size__fits_and_wastes_little(void **state) {
    (void)state;
    uint32_t last = 0;
    for (uint64_t payload = 0; payload < (UINT64_C(5) << 30); payload += 1 + payload / 300) {
        uint32_t class = arena_class(payload);
        uint64_t bytes = arena_class_bytes(class), need = payload + NODE_HEADER_BYTES;
        assert_true(class < ARENA_CLASSES);
        assert_true(bytes >= need);
        assert_int_equal(bytes % TABLE_UNIT, 0);
        assert_true(bytes <= 1024 ? bytes < need + TABLE_UNIT : bytes - need <= need / 8 + TABLE_UNIT);
        assert_true(class == 0 || arena_class_bytes(class - 1) < need); /* the smallest that fits */
        assert_true(class >= last);
        last = class;
    }
}

static void arena_class_bytes__of_each_class__a_node_that_fills_it_is_of_it(void **state) {
    (void)state;
    for (uint32_t class = 1; class < 232; class ++) {
        uint64_t bytes = arena_class_bytes(class);
        assert_true(bytes > arena_class_bytes(class - 1));
        assert_int_equal(arena_class(bytes - NODE_HEADER_BYTES), class);
        assert_int_equal(arena_class(bytes - NODE_HEADER_BYTES + 1), class + 1);
    }
}

/* ---- allocation -------------------------------------------------------------------------------------------------- */

struct area {
    uint8_t *base;
    struct arena a;
};

static struct area open_area(uint64_t slack) {
    struct area area = { .base = aligned_alloc(4096, SEGMENT) };
    assert_non_null(area.base);
    memset(area.base, 0, SEGMENT);
    arena_init(&area.a, area.base, SEGMENT, slack);
    return area;
}

static void close_area(struct area *area) {
    arena_destroy(&area->a);
    free(area->base);
}

static void give_back(struct arena *a, uint32_t node) {
    arena_free(a, arena_node(a, node)->size_class, node);
}

static void arena_alloc__random_sequences__carved_never_over_peak_and_slack(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    for (int round = 0; round < 20; round++) {
        struct area area = open_area(help_below(&r, 3) * 16384);
        struct arena *a = &area.a;
        enum { MOST = 2000 };
        static uint32_t live[MOST], limbo[MOST * 4];
        static uint16_t class_of[SEGMENT / TABLE_UNIT]; /* class + 1; 0: never a node */
        memset(class_of, 0, sizeof(class_of));
        uint32_t lives = 0, limbos = 0;
        for (uint64_t step = 0; step < help_scaled(20000); step++) {
            uint64_t what = help_below(&r, 10);
            if (what < 5 && lives < MOST) {
                uint32_t class = arena_class(help_below(&r, 4) == 0 ? help_below(&r, 3000) : help_below(&r, 100)), node;
                enum arena_status status = arena_alloc(a, class, FIRST_NODE_BYTE, &node);
                if (status == ARENA_WAIT) {
                    /* The promise of the header: after what waits was freed there is one, or it may be carved. */
                    while (limbos > 0) {
                        give_back(a, limbo[--limbos]);
                    }
                    status = arena_alloc(a, class, FIRST_NODE_BYTE, &node);
                    assert_int_not_equal(status, ARENA_WAIT);
                }
                if (status == ARENA_OK) {
                    assert_int_equal(arena_node(a, node)->size_class, class);
                    assert_true(class_of[node] == 0 || class_of[node] == class + 1);
                    class_of[node] = (uint16_t)(class + 1);
                    assert_true((uint64_t)node * TABLE_UNIT >= FIRST_NODE_BYTE);
                    assert_true((uint64_t)node * TABLE_UNIT + arena_class_bytes(class) <= SEGMENT);
                    memset((uint8_t *)arena_node(a, node) + NODE_HEADER_BYTES, 0xee,
                           arena_class_bytes(class) - NODE_HEADER_BYTES);
                    live[lives++] = node;
                }
            } else if (what < 8 && lives > 0 && limbos < MOST * 4) {
                uint32_t i = (uint32_t)help_below(&r, lives), node = live[i];
                live[i] = live[--lives];
                arena_forget(a, arena_node(a, node)->size_class);
                limbo[limbos++] = node;
            } else if (what == 8 && lives > 0) {
                arena_undo(a, live[--lives]);
            } else if (what == 9) {
                while (limbos > 0) {
                    give_back(a, limbo[--limbos]);
                }
            }
            assert_true(a->carved <= a->peak + a->slack);
            assert_int_equal(a->low, SEGMENT - a->carved);
        }
        close_area(&area);
    }
}

static void arena_alloc__no_slack_and_one_waiting__waits_until_it_is_freed(void **state) {
    (void)state;
    struct area area = open_area(0);
    uint32_t first, second, class = arena_class(64);
    assert_int_equal(arena_alloc(&area.a, class, FIRST_NODE_BYTE, &first), ARENA_OK);
    arena_forget(&area.a, class); /* replaced, still read */
    assert_int_equal(arena_alloc(&area.a, class, FIRST_NODE_BYTE, &second), ARENA_WAIT);
    give_back(&area.a, first);
    assert_int_equal(arena_alloc(&area.a, class, FIRST_NODE_BYTE, &second), ARENA_OK);
    assert_int_equal(second, first);
    close_area(&area);
}

static void arena_alloc__down_to_the_buckets__full_and_nothing_overlaps(void **state) {
    (void)state;
    struct area area = open_area(SEGMENT);
    uint32_t node, class = arena_class(1000);
    uint64_t n = 0, buckets_end = SEGMENT / 2;
    while (arena_alloc(&area.a, class, buckets_end, &node) == ARENA_OK) {
        assert_true((uint64_t)node * TABLE_UNIT >= buckets_end);
        n++;
    }
    assert_int_equal(n, SEGMENT / 2 / arena_class_bytes(class));
    assert_int_equal(arena_alloc(&area.a, class, buckets_end, &node), ARENA_FULL);
    /* A class of nodes that were given back does not help another. */
    arena_undo(&area.a, (uint32_t)(area.a.low / TABLE_UNIT));
    assert_int_equal(arena_alloc(&area.a, arena_class(2000), buckets_end, &node), ARENA_FULL);
    assert_int_equal(arena_alloc(&area.a, class, buckets_end, &node), ARENA_OK);
    close_area(&area);
}

static void arena_carve_bucket__between_nodes__aligned_and_zero(void **state) {
    (void)state;
    struct area area = open_area(SEGMENT);
    memset(area.base + sizeof(struct table_segment), 0xaa, SEGMENT - sizeof(struct table_segment));
    uint32_t node;
    uint64_t off = 0, last = SEGMENT;
    for (int i = 0; i < 100; i++) {
        assert_int_equal(arena_alloc(&area.a, 1 + (uint32_t)i % 7, FIRST_NODE_BYTE, &node), ARENA_OK);
        off = arena_carve_bucket(&area.a, FIRST_NODE_BYTE);
        assert_true(off != 0 && off % sizeof(struct table_bucket) == 0 && off + sizeof(struct table_bucket) <= last);
        for (size_t k = 0; k < sizeof(struct table_bucket); k++) {
            assert_int_equal(area.base[off + k], 0);
        }
        last = off;
    }
    assert_int_equal(area.a.carved + area.a.overflow, SEGMENT - area.a.low);
    assert_int_equal(arena_carve_bucket(&area.a, off), 0);
    close_area(&area);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena_class__of_every_size__fits_and_wastes_little),
        cmocka_unit_test(arena_class_bytes__of_each_class__a_node_that_fills_it_is_of_it),
        cmocka_unit_test(arena_alloc__random_sequences__carved_never_over_peak_and_slack),
        cmocka_unit_test(arena_alloc__no_slack_and_one_waiting__waits_until_it_is_freed),
        cmocka_unit_test(arena_alloc__down_to_the_buckets__full_and_nothing_overlaps),
        cmocka_unit_test(arena_carve_bucket__between_nodes__aligned_and_zero),
    };
    return cmocka_run_group_tests_name("arena", tests, NULL, NULL);
}
