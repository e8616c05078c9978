/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide dump --summary` counts, of frames that a test makes up. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/help.h"
#include "tools/dump/summary.h"

#define RING (UINT64_C(1) << 20)

struct feed {
    struct summary *s;
    uint64_t index, pos, ts;
};

static void feed(struct feed *f, uint8_t type, uint8_t flags, const char *key, uint32_t value_len, uint64_t after_ns) {
    f->ts += after_ns;
    struct dump_frame frame = {
        .f = { .length = 64,
               .index = ++f->index,
               .commit_ts = f->ts,
               .term = 1,
               .type = type,
               .flags = flags,
               .value_len = value_len,
               .key_len = (uint16_t)strlen(key) },
        .pos = f->pos,
        .key = (const uint8_t *)key,
        .crc_good = true,
    };
    f->pos += 64;
    summary_add(f->s, &frame);
}

static void summary__some_entries__counted(void **state) {
    (void)state;
    struct feed f = { summary_new(RING), 99, 0, 1000 };
    assert_non_null(f.s);
    feed(&f, FRAME_PUT, 0, "a", 3, 10);
    feed(&f, FRAME_PUT, FRAME_MORE, "b", 0, 5000); /* a batch of three, in one instant */
    feed(&f, FRAME_PUT, FRAME_MORE | FRAME_EXPIRES, "a", 1, 0);
    feed(&f, FRAME_DELETE, 0, "b", 0, 0);
    feed(&f, FRAME_PUT, FRAME_KEEP, "a", 5, 70);
    summary_end(f.s);
    const struct summary *s = f.s;
    assert_int_equal(s->entries, 5);
    assert_int_equal(s->first, 100);
    assert_int_equal(s->last, 104);
    assert_int_equal(s->last_ts - s->first_ts, 5070);
    assert_int_equal(s->types[FRAME_PUT].entries, 4);
    assert_int_equal(s->types[FRAME_PUT].value_bytes, 9);
    assert_int_equal(s->types[FRAME_DELETE].key_bytes, 1);
    assert_int_equal(s->sizes[1], 2); /* 1 byte: b and the delete of b */
    assert_int_equal(s->sizes[2], 1); /* 2 to 3 */
    assert_int_equal(s->sizes[3], 2); /* 4 to 7 */
    assert_int_equal(s->batches.runs, 1);
    assert_int_equal(s->batches.entries, 3);
    assert_int_equal(s->groups.runs, 3);
    assert_int_equal(s->groups.most, 3);
    assert_int_equal(s->expiring, 1);
    assert_int_equal(s->kept, 1);
    assert_int_equal(s->keys, 2);
    assert_int_equal(s->n_most, 2);
    assert_int_equal(s->most[0].entries, 3);
    assert_memory_equal(s->most[0].bytes, "a", 1);
    assert_int_equal(s->n_pauses, 2);
    assert_int_equal(s->pauses[0].ns, 5000);
    assert_int_equal(s->pauses[0].before, 100);
    assert_int_equal(s->pauses[0].after, 101);
    assert_int_equal(s->cells[0].first, 100);
    assert_int_equal(s->cells[0].bytes[FRAME_PUT], 4 * 64);
    summary_free(f.s);
}

/* What is damaged or missing ends what runs, and counts nowhere else. */
static void summary__damage_and_gaps__are_their_own(void **state) {
    (void)state;
    struct feed f = { summary_new(RING), 0, 0, 1000 };
    struct dump_frame bad = { .f = { .index = 2, .type = FRAME_PUT }, .crc_good = false };
    struct dump_gap gap = { 10, 19, "overwritten" };
    feed(&f, FRAME_PUT, FRAME_MORE, "a", 3, 10);
    summary_add(f.s, &bad);
    f.index = 9;
    summary_add_gap(f.s, &gap);
    f.index = 19;
    feed(&f, FRAME_PUT, 0, "a", 3, 5000);
    summary_end(f.s);
    assert_int_equal(f.s->entries, 2);
    assert_int_equal(f.s->bad, 1);
    assert_int_equal(f.s->missing, 10);
    assert_int_equal(f.s->batches.runs, 0);
    assert_int_equal(f.s->n_pauses, 0);
    summary_free(f.s);
}

static void summary__more_keys_than_are_counted__the_most_are_right(void **state) {
    (void)state;
    struct feed f = { summary_new(RING), 0, 0, 1000 };
    char key[32];
    const uint32_t others = 300000, often = 5000;
    for (uint32_t i = 0; i < others; i++) {
        snprintf(key, sizeof(key), "once-%u", i);
        feed(&f, FRAME_PUT, 0, key, 3, 1);
        if (i % (others / often) == 0) {
            feed(&f, FRAME_PUT, 0, "often", 3, 1);
        }
    }
    summary_end(f.s);
    assert_int_equal(f.s->most[0].len, 5);
    assert_memory_equal(f.s->most[0].bytes, "often", 5);
    assert_true(f.s->short_by > 0 && f.s->short_by < often / 2);
    assert_true(f.s->most[0].entries <= often && f.s->most[0].entries + f.s->short_by >= often);
    assert_true(f.s->keys >= 65536 && f.s->keys <= others + 1);
    summary_free(f.s);
}

static void summary__nothing__prints(void **state) {
    (void)state;
    struct summary *s = summary_new(RING);
    struct log_segment *seg = NULL;
    struct dump_log log = { 0 };
    struct buf page = { 0 };
    assert_int_equal(posix_memalign((void **)&seg, LAYOUT_PAIR, sizeof(*seg)), 0);
    memset((void *)seg, 0, sizeof(*seg));
    seg->ring_bytes = RING;
    seg->leader.leader = -1;
    seg->leader.tail = UINT64_MAX - 7; /* bytes of others may be anything */
    seg->leader.reclaimed = 8;
    log.seg = seg;
    summary_end(s);
    summary_html(s, &log, &page);
    assert_true(page.size > 1000);
    buf_add_char(&page, '\0');
    assert_null(strstr(page.data, "nan"));
    assert_non_null(strstr(page.data, "No entry can be read"));
    buf_free(&page);
    summary_free(s);
    free(seg);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary__some_entries__counted),
        cmocka_unit_test(summary__damage_and_gaps__are_their_own),
        cmocka_unit_test(summary__more_keys_than_are_counted__the_most_are_right),
        cmocka_unit_test(summary__nothing__prints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
