/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads of a table by a process that does not write it, at moments that its writer is stopped at, and of words that cannot be. */
#include <sys/mman.h>

#include "engine/replica/foreign.h"
#include "tests/lib/tables.h"

/* What a reader has mapped: nothing lies behind it for as far as a slot can lead, so a read beyond its end is a fault. */
#define BEYOND (UINT64_C(1) << 37)

struct mapped {
    struct fixture f;
    struct view v;
    uint8_t *at;
};

static void open_mapped(struct mapped *m) {
    m->f = open_table(MIB, 0);
    m->v = (struct view){ .table = m->f.w.t, .foreign = true };
    m->v.segment.size_bytes = table_segment_bytes(MIB);
    m->v.segment.base = m->f.base;
    m->v.table.buckets = &m->f.w.t.seg->buckets;
    m->v.buckets_most = view_buckets_most(&m->v);
    m->at = NULL;
}

/* From here on the reader has a copy of its own, with nothing behind it. */
static void copy_mapped(struct mapped *m) {
    size_t size = m->v.segment.size_bytes, pages = (size + 4095) / 4096 * 4096;
    m->at = mmap(NULL, pages + BEYOND, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(m->at != MAP_FAILED);
    assert_int_equal(mprotect(m->at, pages, PROT_READ | PROT_WRITE), 0);
    uint8_t *base = m->at + pages - size;
    memcpy(base, m->f.base, size);
    struct table *t = &m->v.table;
    t->uses = (const _Atomic uint32_t *)(base + ((const uint8_t *)t->uses - t->base));
    t->seg = (struct table_segment *)base;
    t->base = base;
    t->buckets = &t->seg->buckets;
    m->v.segment.base = base;
}

static void close_mapped(struct mapped *m) {
    if (m->at != NULL) {
        munmap(m->at, (m->v.segment.size_bytes + 4095) / 4096 * 4096 + BEYOND);
    }
    close_table(&m->f);
}

static enum foreign_status find(const struct mapped *m, uint64_t epoch, uint64_t k) {
    uint8_t key[32], value[64];
    size_t len = key_of(k, key);
    struct instant when = { .clock = NULL };
    struct found found;
    return foreign_find(&m->v, epoch, m->f.index, &when, table_hash(&m->v.table, key, len), key, len, value,
                        sizeof(value), &found);
}

/* The writer is between the two stores that enclose each change of slots. A key may just be in neither of two buckets. */
static void foreign_find__while_slots_are_moved__no_miss_is_believed(void **state) {
    (void)state;
    struct mapped m;
    open_mapped(&m);
    for (uint64_t k = 0; k < 100; k++) {
        assert_int_equal(put(&m.f, k), 0);
    }
    table_published(&m.f.w);
    uint64_t before = foreign_epoch(&m.v.table);
    assert_int_equal(find(&m, before, 7), FOREIGN_OK);
    assert_int_equal(find(&m, before, 1000), FOREIGN_NONE);
    table_reorganise(&m.f.w);
    uint64_t meanwhile = foreign_epoch(&m.v.table);
    assert_int_equal(find(&m, before, 7), FOREIGN_OK); /* what is found was there */
    assert_int_equal(find(&m, before, 1000), FOREIGN_LOST);
    assert_int_equal(find(&m, meanwhile, 7), FOREIGN_OK);
    assert_int_equal(find(&m, meanwhile, 1000), FOREIGN_LOST);
    table_reorganise(&m.f.w);
    assert_int_equal(find(&m, before, 1000), FOREIGN_LOST);
    assert_int_equal(find(&m, meanwhile, 1000), FOREIGN_LOST);
    assert_int_equal(find(&m, foreign_epoch(&m.v.table), 1000), FOREIGN_NONE);
    close_mapped(&m);
}

/* Beyond the end, in its last header, at its last byte, before the pages. */
static void foreign_find__slot_that_leads_out_of_the_table__lost_and_nothing_is_read(void **state) {
    (void)state;
    struct mapped m;
    open_mapped(&m);
    for (uint64_t k = 0; k < 100; k++) {
        assert_int_equal(put(&m.f, k), 0);
    }
    table_published(&m.f.w);
    copy_mapped(&m);
    uint64_t size = m.v.segment.size_bytes;
    const uint64_t leads[] = { UINT32_MAX,
                               UINT32_MAX / 2,
                               size / TABLE_UNIT + 1000000,
                               size / TABLE_UNIT,
                               (size - 1) / TABLE_UNIT,
                               (size - NODE_HEADER_BYTES) / TABLE_UNIT + 1,
                               (m.v.table.pages_off - 1) / TABLE_UNIT,
                               1 };
    for (size_t i = 0; i < sizeof(leads) / sizeof(leads[0]); i++) {
        for (uint64_t k = 0; k < 100; k++) {
            uint8_t key[32];
            size_t len = key_of(k, key);
            uint64_t hash = table_hash(&m.v.table, key, len), buckets = foreign_buckets(&m.v);
            struct table_bucket *b =
                (struct table_bucket *)(uintptr_t)table_bucket_at(&m.v.table, table_bucket_of(hash, buckets));
            uint32_t was[TABLE_SLOTS];
            for (uint32_t s = 0; s < TABLE_SLOTS; s++) {
                was[s] = atomic_load(&b->slots[s]);
                atomic_store(&b->slots[s], (uint32_t)leads[i]);
            }
            uint64_t epoch = foreign_epoch(&m.v.table);
            enum foreign_status status = find(&m, epoch, k);
            /* One whose slot lies in an overflow bucket, behind other tags, is found as before. */
            assert_true(status == FOREIGN_LOST || status == FOREIGN_OK);
            struct foreign_scratch scratch = { .epoch = epoch };
            assert_int_equal(
                foreign_visit_bucket(&m.v, table_bucket_of(hash, buckets), UINT64_MAX, &scratch, NULL, NULL),
                TIDE_ERR_CORRUPT);
            free(scratch.bytes);
            for (uint32_t s = 0; s < TABLE_SLOTS; s++) {
                atomic_store(&b->slots[s], was[s]);
            }
        }
    }
    close_mapped(&m);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_find__while_slots_are_moved__no_miss_is_believed),
        cmocka_unit_test(foreign_find__slot_that_leads_out_of_the_table__lost_and_nothing_is_read),
    };
    return cmocka_run_group_tests_name("foreign", tests, hold_grace, drop_grace);
}
