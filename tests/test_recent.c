/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log's last entries, as `tide web` shows them: looked at again and again, beside writers, after a burst, of a domain that is another. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/help.h"
#include "tools/dump/recent.h"

static char value[64 << 10];

static struct tide *open_with_ring(const char *name, uint64_t ring_bytes) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d;
    o.flags |= TIDE_EPHEMERAL;
    o.ring_bytes = ring_bytes;
    o.table_bytes = UINT64_C(16) << 20;
    assert_int_equal(tide_open(&d, name, &o), 0);
    help_leader(d);
    return d;
}

static void put(struct tide *d, uint64_t number, size_t size) {
    char key[32];
    int n = snprintf(key, sizeof(key), "k%llu", (unsigned long long)number);
    assert_int_equal(tide_put(d, NULL, key, (size_t)n, value, size, NULL), 0);
}

static uint64_t commit_of(struct tide *d) {
    struct tide_info i = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &i), 0);
    return i.commit_index;
}

/* The newest first, without gaps, up to the log's end. */
static void assert_end(const struct recent *r, struct tide *d, uint32_t n) {
    assert_int_equal(r->n, n);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(r->entries[i].index, commit_of(d) - i);
        assert_true(r->entries[i].age_ns < UINT64_C(3600000000000));
        assert_true(i == 0 || r->entries[i].age_ns >= r->entries[i - 1].age_ns);
    }
}

static void recent__beside_writes__is_the_end_of_the_log(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_with_ring(name, UINT64_C(1) << 20);
    struct recent r = { 0 };
    recent_read(&r, name);
    assert_int_equal(r.n, 0); /* an empty log */
    for (uint64_t i = 1; i <= 5; i++) {
        put(d, i, 100);
    }
    recent_read(&r, name);
    assert_end(&r, d, 5);
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = UINT64_C(60000000000);
    assert_int_equal(tide_put_with(d, NULL, "lives", 5, value, 7, &o, NULL), 0);
    assert_int_equal(tide_delete(d, NULL, "k1", 2, NULL), 0);
    recent_read(&r, name);
    assert_end(&r, d, 7);
    assert_string_equal(r.entries[0].type, "delete");
    assert_int_equal(r.entries[0].key_bytes, 2);
    assert_string_equal(r.entries[1].type, "put");
    assert_memory_equal(r.entries[1].key, "lives", 5);
    assert_int_equal(r.entries[1].value_bytes, 7);
    assert_true(r.entries[1].ttl_ns > UINT64_C(59000000000) && r.entries[1].ttl_ns <= UINT64_C(60000000000));
    assert_int_equal(r.entries[2].ttl_ns, 0);
    for (uint64_t i = 0; i < 100; i++) {
        put(d, i, 50);
        recent_read(&r, name);
        assert_end(&r, d, i < RECENT_ENTRIES - 7 ? (uint32_t)i + 8 : RECENT_ENTRIES);
    }
    recent_read(&r, name); /* nothing is new, and nothing goes */
    assert_end(&r, d, RECENT_ENTRIES);
    assert_int_equal(tide_close(d), 0);
}

static void recent__long_key__is_cut_and_says_so(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_with_ring(name, UINT64_C(1) << 20);
    struct recent r = { 0 };
    memset(value, 'x', 300);
    assert_int_equal(tide_put(d, NULL, value, 300, "v", 1, NULL), 0);
    recent_read(&r, name);
    assert_end(&r, d, 1);
    assert_int_equal(r.entries[0].key_bytes, 300);
    assert_int_equal(r.entries[0].kept_bytes, RECENT_KEY_BYTES);
    assert_int_equal(tide_close(d), 0);
}

/* More than the ring holds, and more than one look reads, between two looks; also where the first look comes late. */
static void recent__burst_between_two_looks__is_at_the_end_again(void **state) {
    (void)state;
    const char *name = help_name();
    struct tide *d = open_with_ring(name, UINT64_C(8) << 20);
    struct recent r = { 0 }, late = { 0 };
    put(d, 1, 10);
    recent_read(&r, name);
    for (int burst = 0; burst < 3; burst++) {
        for (uint64_t i = 0; i < 400; i++) {
            put(d, i % 50, 30000);
        }
        recent_read(&r, name);
        assert_end(&r, d, RECENT_ENTRIES);
    }
    recent_read(&late, name);
    assert_true(late.n > 0);
    assert_end(&late, d, late.n);
    assert_int_equal(tide_close(d), 0);
}

static void recent__of_another_domain_of_the_name__begins_anew(void **state) {
    (void)state;
    char name[64];
    snprintf(name, sizeof(name), "%s", help_name());
    struct recent r = { 0 };
    recent_read(&r, name);
    assert_int_equal(r.n, 0);
    struct tide *d = open_with_ring(name, UINT64_C(1) << 20);
    for (uint64_t i = 0; i < 20; i++) {
        put(d, i, 10);
    }
    recent_read(&r, name);
    assert_end(&r, d, RECENT_ENTRIES);
    assert_int_equal(tide_close(d), 0);
    recent_read(&r, name);
    assert_int_equal(r.n, 0);
    d = open_with_ring(name, UINT64_C(1) << 20);
    put(d, 1, 10);
    recent_read(&r, name);
    assert_end(&r, d, 1);
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recent__beside_writes__is_the_end_of_the_log),
        cmocka_unit_test(recent__long_key__is_cut_and_says_so),
        cmocka_unit_test(recent__burst_between_two_looks__is_at_the_end_again),
        cmocka_unit_test(recent__of_another_domain_of_the_name__begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
