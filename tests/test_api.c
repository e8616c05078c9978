/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening, closing, threads: what functions answer to good and bad arguments. */
#include <pthread.h>
#include <stdio.h>

#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void tide_open__bad_options__invalid(void **state) {
    (void)state;
    struct tide *d = (struct tide *)&d;
    const struct tide_opts good = { .size = sizeof(good), .flags = TIDE_CREATE | TIDE_EPHEMERAL };
    struct tide_opts bad[16];
    size_t n = 0;
    bad[n] = good, bad[n++].size = 0;
    bad[n] = good, bad[n++].size = 71; /* less than ever */
    bad[n] = good, bad[n++].flags = 1u << 30;
    bad[n] = good, bad[n++].flags = UINT32_MAX;
    bad[n] = good, bad[n++].reserved = 1;
    bad[n] = good, bad[n++].ring_bytes = 32 * KIB;
    bad[n] = good, bad[n++].ring_bytes = 100000;
    bad[n] = good, bad[n++].ring_bytes = UINT64_C(8) << 30;
    bad[n] = good, bad[n++].ring_bytes = UINT64_MAX;
    bad[n] = good, bad[n++].table_bytes = 1;
    bad[n] = good, bad[n++].table_bytes = 200 * KIB;
    bad[n] = good, bad[n++].table_bytes = UINT64_C(61) << 30;
    bad[n] = good, bad[n++].table_bytes = UINT64_MAX;
    bad[n] = good, bad[n].ring_bytes = MIB, bad[n++].table_bytes = 512 * KIB;
    for (size_t i = 0; i < n; i++) {
        const char *name = help_name();
        assert_int_equal(tide_open(&d, name, &bad[i]), TIDE_ERR_INVALID);
        assert_ptr_equal(d, (struct tide *)&d);
        assert_int_equal(tide_unlink(name), TIDE_ERR_NO_DOMAIN);
    }
    assert_int_equal(tide_open(NULL, help_name(), &good), TIDE_ERR_INVALID);
    assert_int_equal(tide_open(&d, NULL, &good), TIDE_ERR_INVALID);
}

static void tide_open__bad_names__invalid(void **state) {
    (void)state;
    const char *bad[] = { "",     ".",   "..",   ".hidden",  "a/b",
                          "../x", "a b", "a\nb", "\xc3\xa4", "0123456789012345678901234567890123456789012345678" };
    struct tide *d = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(tide_open(&d, bad[i], NULL), TIDE_ERR_INVALID);
        assert_int_equal(tide_unlink(bad[i]), TIDE_ERR_INVALID);
    }
    assert_null(d);
}

static void tide_open__create_exclusive_attach_unlink__as_asked(void **state) {
    (void)state;
    char name[TIDE_NAME_MAX + 1];
    snprintf(name, sizeof(name), "%s", help_name());
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = 64 * KIB;
    o.table_bytes = 256 * KIB;
    struct tide *a = NULL, *b = NULL, *c = NULL;
    o.flags = 0;
    assert_int_equal(tide_open(&a, name, &o), TIDE_ERR_NO_DOMAIN);
    assert_int_equal(tide_unlink(name), TIDE_ERR_NO_DOMAIN);
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE;
    assert_int_equal(tide_open(&a, name, &o), 0);
    assert_int_equal(tide_open(&b, name, &o), TIDE_ERR_EXISTS);
    o.flags = 0;
    assert_int_equal(tide_open(&b, name, &o), 0);
    struct tide_info ia = TIDE_INFO_INIT, ib = TIDE_INFO_INIT, ic = TIDE_INFO_INIT;
    assert_int_equal(tide_info(a, &ia), 0);
    assert_int_equal(tide_info(b, &ib), 0);
    assert_true(ia.incarnation == ib.incarnation && ia.incarnation != 0);
    assert_int_equal(ia.ring_bytes, 64 * KIB);
    assert_int_equal(ia.table_bytes, 256 * KIB);
    assert_string_equal(ia.name, name);
    assert_int_equal(ia.leader, -1);
    assert_int_equal(ia.replicas, 0);

    /* Members keep what they have mapped; the name is free for another. */
    assert_int_equal(tide_unlink(name), 0);
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE;
    assert_int_equal(tide_open(&c, name, &o), 0);
    assert_int_equal(tide_info(c, &ic), 0);
    assert_int_not_equal(ic.incarnation, ia.incarnation);
    /* A table made now would get the name that belongs to the new domain. */
    assert_int_equal(tide_replica_start(a, NULL, NULL), TIDE_ERR_GONE);
    help_leader(c);
    assert_int_equal(help_put(c, "k", 1, NULL), 0);
    assert_int_equal(tide_info(a, &ia), 0);
    assert_int_equal(ia.commit_index, 0);
    assert_int_equal(tide_close(a), 0);
    assert_int_equal(tide_close(b), 0);
    assert_int_equal(tide_close(c), 0);
    assert_int_equal(tide_unlink(name), 0);
}

static void tide_open__ephemeral__gone_after_its_creator_closed(void **state) {
    (void)state;
    char name[TIDE_NAME_MAX + 1];
    snprintf(name, sizeof(name), "%s", help_name());
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags |= TIDE_EPHEMERAL;
    struct tide *a, *b;
    assert_int_equal(tide_open(&a, name, &o), 0);
    assert_int_equal(tide_open(&b, name, &o), 0); /* attaches: it is not the creator */
    assert_int_equal(tide_close(b), 0);
    o.flags = 0;
    assert_int_equal(tide_open(&b, name, &o), 0);
    help_leader(b);
    assert_int_equal(tide_close(a), 0);
    struct tide *late = NULL;
    assert_int_equal(tide_open(&late, name, &o), TIDE_ERR_NO_DOMAIN);
    int error = help_put(b, "still", 1, NULL); /* it finds out within a second, perhaps already */
    assert_true(error == 0 || error == TIDE_ERR_GONE);
    assert_int_equal(tide_close(b), 0);
    assert_int_equal(tide_unlink(name), TIDE_ERR_NO_DOMAIN);
}

static void tide_open__domain_whose_members_all_ended__goes_on_from_what_they_left(void **state) {
    (void)state;
    char name[TIDE_NAME_MAX + 1];
    snprintf(name, sizeof(name), "%s", help_name());
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d;
    struct tide_info first = TIDE_INFO_INIT, second = TIDE_INFO_INIT;
    assert_int_equal(tide_open(&d, name, &o), 0);
    help_leader(d);
    assert_int_equal(help_put(d, "k", 1, NULL), 0);
    assert_int_equal(tide_info(d, &first), 0);
    assert_int_equal(tide_close(d), 0);
    assert_int_equal(tide_open(&d, name, &o), 0);
    assert_int_equal(tide_info(d, &second), 0);
    assert_int_equal(first.incarnation, second.incarnation);
    assert_int_equal(second.commit_index, 1);
    assert_int_equal(second.leader, -1);
    help_leader(d);
    assert_int_equal(tide_info(d, &second), 0);
    assert_int_equal(second.term, 2);
    assert_int_equal(help_put(d, "k", 2, NULL), 0);
    assert_int_equal(tide_close(d), 0);
    assert_int_equal(tide_unlink(name), 0);
}

static void tide_functions__null_or_unknown_sizes__invalid(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    struct tide_info info = { 0 };
    struct tide_replica_info replica = { 0 };
    struct tide_read_counts counts = { 0 };
    struct tide_reader_opts ro = { 0 };
    struct tide_replica_opts po = { 0 };
    struct tide_reader *r = NULL;
    uint64_t x = 5, y = 6;
    assert_int_equal(tide_info(NULL, &info), TIDE_ERR_INVALID);
    assert_int_equal(tide_info(d, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_info(d, &info), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_info(d, 0, &replica), TIDE_ERR_INVALID);
    replica.size = sizeof(replica);
    assert_int_equal(tide_replica_info(d, 64, &replica), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_info(d, 5, &replica), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_replica_digest(d, 64, &x, &y), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_digest(d, 5, &x, &y), TIDE_ERR_NOT_FOUND);
    assert_true(x == 5 && y == 6);
    assert_int_equal(tide_read_counts(d, &counts), TIDE_ERR_INVALID);
    assert_int_equal(tide_reader_open(d, &ro, &r), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_start(d, &po, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_stop(d, 0), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_stop(d, 64), TIDE_ERR_INVALID);
    assert_int_equal(tide_replica_set_delay(d, 0, 1), TIDE_ERR_INVALID);
    assert_int_equal(tide_wait_applied(d, NULL, 1, 0), TIDE_ERR_INVALID);
    struct tide_token foreign = { 1, 1 }, none = { 0, 0 };
    assert_int_equal(tide_wait_applied(d, &foreign, 1, 0), TIDE_ERR_INCARNATION);
    assert_int_equal(tide_wait_applied(d, &none, 1, 0), TIDE_ERR_TIMEOUT); /* nothing serves here */
    assert_int_equal(tide_wait_applied(d, &none, 0, 0), 0);
    assert_int_equal(tide_close(d), 0);
    assert_int_equal(tide_close(NULL), TIDE_ERR_INVALID);
}

/* ---- threads ----------------------------------------------------------------------------------------------------- */

static void *use_foreign_reader(void *arg) {
    struct tide_reader *r = arg;
    uint64_t value = 1;
    struct tide_token token = { 0, 0 };
    struct tide_read_counts counts = TIDE_READ_COUNTS_INIT;
    struct tide_mget_item item = { .key = "k", .key_len = 1 };
    help_check(tide_get(r, "k", 1, NULL, &value, sizeof(value), NULL) == TIDE_ERR_THREAD);
    help_check(tide_mget(r, &item, 1, NULL, NULL) == TIDE_ERR_THREAD);
    help_check(tide_section_begin(r, NULL, NULL) == TIDE_ERR_THREAD);
    help_check(tide_section_end(r) == TIDE_ERR_THREAD);
    help_check(tide_reader_token(r, &token) == TIDE_ERR_THREAD);
    help_check(tide_reader_observe(r, &token) == TIDE_ERR_THREAD);
    help_check(tide_reader_counts(r, &counts) == TIDE_ERR_THREAD);
    help_check(tide_reader_close(r) == TIDE_ERR_THREAD);
    help_check(value == 1);
    return NULL;
}

struct foreign_write {
    struct tide *d;
    struct tide_reader *r;
};

static void *write_with_foreign_session(void *arg) {
    struct foreign_write *w = arg;
    help_check(tide_put(w->d, w->r, "k", 1, "x", 1, NULL) == TIDE_ERR_THREAD);
    return NULL;
}

static void readers__of_another_thread__refused(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    help_leader(d);
    help_put(d, "k", 5, NULL);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    pthread_t thread;
    pthread_create(&thread, NULL, use_foreign_reader, r);
    pthread_join(thread, NULL);
    struct foreign_write w = { d, r };
    pthread_create(&thread, NULL, write_with_foreign_session, &w);
    pthread_join(thread, NULL);
    help_assert_threads();
    assert_int_equal(help_get(r, "k"), 5);
    tide_reader_close(r);
    tide_close(d);
}

static void writes__inside_a_section__refused_and_nothing_written(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0);
    help_leader(d);
    help_put(d, "k", 5, NULL);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0), *other = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    struct tide_op op = { .kind = TIDE_OP_PUT, .key = "k", .key_len = 1 };
    assert_int_equal(help_put(d, "k", 6, NULL), TIDE_ERR_THREAD);
    assert_int_equal(tide_put(d, r, "k", 1, "x", 1, NULL), TIDE_ERR_THREAD);
    assert_int_equal(tide_put(d, other, "k", 1, "x", 1, NULL), TIDE_ERR_THREAD);
    assert_int_equal(tide_delete(d, NULL, "k", 1, NULL), TIDE_ERR_THREAD);
    assert_int_equal(tide_cas(d, NULL, "k", 1, 1, "x", 1, NULL, NULL), TIDE_ERR_THREAD);
    assert_int_equal(tide_batch(d, NULL, &op, 1, NULL, NULL), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_begin(r, NULL, NULL), TIDE_ERR_THREAD);
    uint64_t value = 0;
    assert_int_equal(tide_get(r, "k", 1, NULL, &value, sizeof(value), NULL), TIDE_ERR_THREAD);
    assert_int_equal(help_get(other, "k"), 5); /* another reader of the same thread may read */
    assert_int_equal(tide_section_end(r), 0);
    assert_int_equal(tide_section_end(r), TIDE_ERR_THREAD);
    assert_int_equal(help_get(r, "k"), 5);
    assert_int_equal(help_put(d, "k", 6, NULL), 0);
    tide_reader_close(r);
    tide_reader_close(other);
    tide_close(d);
}

/* It would wait for its own section, and so for ever. */
static void close_and_stop__inside_a_section_of_any_domain__refused_and_nothing_closed(void **state) {
    (void)state;
    struct tide *d = help_open(64 * KIB, MIB, 0), *other, *looks;
    struct tide_opts small = TIDE_OPTS_INIT;
    small.ring_bytes = 64 * KIB, small.table_bytes = MIB;
    struct tide_replica_opts lead = { .size = sizeof(lead), .role = TIDE_LEADER };
    uint32_t id = help_leader(d), other_id;
    assert_int_equal(tide_open(&other, "api-other", &small), 0);
    assert_int_equal(tide_replica_start(other, &lead, &other_id), 0);
    assert_int_equal(tide_open(&looks, "api-other", &small), 0);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    assert_int_equal(tide_close(d), TIDE_ERR_THREAD);
    assert_int_equal(tide_close(other), TIDE_ERR_THREAD);
    assert_int_equal(tide_replica_stop(d, id), TIDE_ERR_THREAD);
    assert_int_equal(tide_replica_stop(other, other_id), TIDE_ERR_THREAD);
    assert_int_equal(tide_close(looks), 0); /* which runs no replica */
    assert_int_equal(tide_section_end(r), 0);
    assert_int_equal(help_put(d, "k", 6, NULL), 0);
    assert_int_equal(help_get(r, "k"), 6);
    assert_int_equal(tide_replica_stop(other, other_id), 0);
    assert_int_equal(tide_close(other), 0);
    tide_reader_close(r);
    assert_int_equal(tide_close(d), 0);
    tide_unlink("api-other");
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tide_open__bad_options__invalid),
        cmocka_unit_test(tide_open__bad_names__invalid),
        cmocka_unit_test(close_and_stop__inside_a_section_of_any_domain__refused_and_nothing_closed),
        cmocka_unit_test(tide_open__create_exclusive_attach_unlink__as_asked),
        cmocka_unit_test(tide_open__ephemeral__gone_after_its_creator_closed),
        cmocka_unit_test(tide_open__domain_whose_members_all_ended__goes_on_from_what_they_left),
        cmocka_unit_test(tide_functions__null_or_unknown_sizes__invalid),
        cmocka_unit_test(readers__of_another_thread__refused),
        cmocka_unit_test(writes__inside_a_section__refused_and_nothing_written),
    };
    return cmocka_run_group_tests_name("api", tests, NULL, NULL);
}
