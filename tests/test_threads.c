/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads of the application end or are cancelled: the library frees what they leave, and no other thread gets it. */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "engine/replica/domain.h"
#include "tests/lib/forked.h"

#define ROOM (UINT64_C(1) << 20)
#define MS UINT64_C(1000000)

struct leaver {
    struct tide *d;
    struct tide_reader *left;
    bool section;
};

static void *leave(void *arg) {
    struct leaver *l = arg;
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    help_check(tide_reader_open(l->d, &o, &l->left) == 0);
    uint64_t value;
    help_check(tide_get(l->left, "key-0123456", 11, NULL, &value, 8, NULL) == 0);
    help_check(!l->section || tide_section_begin(l->left, NULL, NULL) == 0);
    return NULL;
}

static struct tide_reader *left_by_a_thread(struct tide *d, bool section) {
    struct leaver l = { .d = d, .section = section };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, leave, &l), 0);
    pthread_join(thread, NULL);
    help_assert_threads();
    return l.left;
}

static struct tide *open_with_key(void) {
    struct tide *d = help_open(ROOM, 4 * ROOM, 0);
    help_leader(d);
    assert_int_equal(help_put(d, "key-0123456", 1, NULL), 0);
    return d;
}

static void expect_refused(struct tide_reader *r) {
    uint64_t value;
    struct tide_token token;
    struct tide_mget_item item = { .key = "key-0123456", .key_len = 11, .buf = &value, .buf_size = 8 };
    help_check(tide_get(r, "key-0123456", 11, NULL, &value, 8, NULL) == TIDE_ERR_THREAD);
    help_check(tide_mget(r, &item, 1, NULL, NULL) == TIDE_ERR_THREAD);
    help_check(tide_section_begin(r, NULL, NULL) == TIDE_ERR_THREAD);
    help_check(tide_section_end(r) == TIDE_ERR_THREAD);
    help_check(tide_reader_token(r, &token) == TIDE_ERR_THREAD);
    help_check(tide_reader_close(r) == TIDE_ERR_THREAD);
}

static void *use_left(void *arg) {
    struct leaver *l = arg;
    expect_refused(l->left);
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    struct tide_reader *own;
    help_check(tide_reader_open(l->d, &o, &own) == 0);
    expect_refused(l->left);
    help_check(tide_put(l->d, l->left, "key-0123456", 11, "v", 1, NULL) == TIDE_ERR_THREAD);
    help_check(tide_reader_close(own) == 0);
    return NULL;
}

/* The next thread has the ended one's stack: what lies at one address belongs to one thread after the other. */
static void reader_of_an_ended_thread__refused_in_every_other(void **state) {
    (void)state;
    for (int section = 0; section <= 1; section++) {
        struct leaver l = { .d = open_with_key() };
        l.left = left_by_a_thread(l.d, section != 0);
        expect_refused(l.left);
        for (int i = 0; i < 5; i++) {
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, use_left, &l), 0);
            pthread_join(thread, NULL);
        }
        help_assert_threads();
        assert_int_equal(tide_close(l.d), 0);
    }
}

static void reader_of_an_ended_thread__its_section_has_ended(void **state) {
    (void)state;
    struct tide *d = open_with_key();
    left_by_a_thread(d, true);
    static char big[20000];
    for (int i = 0; i < 1000; i++) { /* some times what the table has to spare */
        assert_int_equal(tide_put(d, NULL, "big", 3, big, sizeof(big), NULL), 0);
    }
    assert_int_equal(tide_close(d), 0);
}

static uint32_t slots_in_use(const struct log_segment *log) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < LAYOUT_READERS; i++) {
        n += atomic_load(&log->readers[i].owner_pid) != 0;
    }
    return n;
}

/* More handles than there are members, each with a reader that its thread left. */
static void threads_that_end_without_closing__handles_and_slots_come_back(void **state) {
    (void)state;
    struct tide *d = open_with_key();
    struct tide_info before = TIDE_INFO_INIT, after = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &before), 0);
    for (uint32_t i = 0; i < LAYOUT_MEMBERS + 50; i++) {
        struct tide *again = help_open_again(d);
        left_by_a_thread(again, i % 2 != 0);
        assert_int_equal(tide_close(again), 0);
    }
    assert_int_equal(tide_info(d, &after), 0);
    assert_int_equal(after.members, before.members);
    assert_int_equal(slots_in_use(d->log), 0);
    assert_int_equal(tide_close(d), 0);
}

/* The handle is closed first, the reader keeps it until its thread ends. */
static void *leave_after_close(void *arg) {
    struct leaver *l = arg;
    leave(l);
    help_check(tide_close(l->d) == 0);
    return NULL;
}

static void thread_that_ends_after_the_close__frees_the_handle(void **state) {
    (void)state;
    struct tide *d = open_with_key();
    struct tide_info before = TIDE_INFO_INIT, after = TIDE_INFO_INIT;
    assert_int_equal(tide_info(d, &before), 0);
    struct leaver l = { .d = help_open_again(d) };
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, leave_after_close, &l), 0);
    pthread_join(thread, NULL);
    help_assert_threads();
    assert_int_equal(tide_info(d, &after), 0);
    assert_int_equal(after.members, before.members);
    assert_int_equal(tide_close(d), 0);
}

/* A key of the application whose destructor closes its reader, as the header asks for. */
static pthread_key_t closing_key;

static void close_in_destructor(void *reader) {
    uint64_t value;
    help_check(tide_get(reader, "key-0123456", 11, NULL, &value, 8, NULL) == 0);
    help_check(tide_reader_close(reader) == 0);
}

static void *leave_to_destructor(void *arg) {
    leave(arg);
    help_check(pthread_setspecific(closing_key, ((struct leaver *)arg)->left) == 0);
    return NULL;
}

static void destructor_of_the_application__may_still_use_its_reader(void **state) {
    (void)state;
    struct leaver l = { .d = open_with_key() };
    assert_int_equal(pthread_key_create(&closing_key, close_in_destructor), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, leave_to_destructor, &l), 0);
    pthread_join(thread, NULL);
    pthread_key_delete(closing_key);
    help_assert_threads();
    assert_int_equal(tide_close(l.d), 0);
}

/* ---- cancellation ----------------------------------------------------------------------------------------------------- */

struct cancelled {
    struct tide *d;
    int what;
};

static void check_that_cancellation_is_off(void) {
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    help_check(before == PTHREAD_CANCEL_DISABLE);
    pthread_setcancelstate(before, NULL);
}

static int make_slowly(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    (void)ctx, (void)key, (void)key_len, (void)buf_size;
    check_that_cancellation_is_off();
    usleep(200);
    memcpy(buf, "made", 4);
    *value_size = 4;
    return 0;
}

static int look_slowly(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                       uint64_t version) {
    (void)ctx, (void)key, (void)key_len, (void)value, (void)value_size, (void)version;
    check_that_cancellation_is_off();
    usleep(50); /* a cancellation point, within a section */
    return 0;
}

static void call_with_reader(struct tide *d, struct tide_reader *r, int what, uint32_t i) {
    static const char big[100000];
    struct tide_answer a = TIDE_ANSWER_INIT;
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_lease lease = TIDE_LEASE_INIT;
    struct tide_write_op op = TIDE_WRITE_OP_INIT;
    char buf[8];
    switch (what) {
    case 3:
        b.fallback = i % 4;
        b.wait_ns = MS;
        b.min.index = 0;
        tide_get(r, "key", 3, &b, buf, sizeof(buf), &a);
        break;
    case 4:
        if (tide_section_begin(r, NULL, &a) == 0) {
            tide_section_scan(r, look_slowly, NULL);
            tide_section_end(r);
        }
        break;
    case 5:
        tide_get_or_make(r, "made", 4, NULL, NULL, make_slowly, NULL, buf, sizeof(buf), &a);
        tide_delete(d, r, "made", 4, NULL);
        break;
    case 6:
        if (tide_lease_take(r, "lease", 5, MS, &lease) == 0 && i % 2 == 0) {
            tide_lease_release(r, &lease, 0);
        }
        break;
    default:
        op.kind = TIDE_OP_PUT;
        op.key = "key";
        op.key_len = 3;
        op.value = big;
        op.value_size = i % 2 != 0 ? sizeof(big) : 5;
        tide_write(d, r, &op, 1, NULL, NULL);
    }
}

static void *be_cancelled(void *arg) {
    const struct cancelled *c = arg;
    static const char big[100000];
    struct tide_reader *r = NULL;
    for (uint32_t i = 0;; i++) {
        struct tide *again;
        struct tide_opts o = TIDE_OPTS_INIT;
        struct tide_replica_opts ro = TIDE_REPLICA_OPTS_INIT;
        struct tide_watch_opts wo = TIDE_WATCH_OPTS_INIT;
        struct tide_watch *w;
        struct tide_event event = TIDE_EVENT_INIT;
        uint32_t id;
        switch (c->what) {
        case 0:
            if (tide_open(&again, c->d->name, &o) == 0) {
                tide_put(again, NULL, "k", 1, big, sizeof(big), NULL); /* spilled */
                tide_close(again);
            }
            break;
        case 1:
            tide_put(c->d, NULL, "k", 1, big, sizeof(big), NULL);
            break;
        case 2:
            if (tide_replica_start(c->d, &ro, &id) == 0) {
                tide_replica_stop(c->d, id);
            }
            break;
        case 8:
            wo.flags = i % 2 != 0 ? TIDE_WATCH_INITIAL : 0;
            if (tide_watch_open(c->d, &wo, &w) == 0) {
                tide_watch_next(w, &event, MS);
                tide_watch_close(w);
            }
            break;
        default:
            if (r != NULL || tide_reader_open(c->d, NULL, &r) == 0) {
                call_with_reader(c->d, r, c->what, i);
            }
        }
        pthread_testcancel();
    }
    return NULL;
}

static void calls_that_are_cancelled__end_first_and_leave_nothing_taken(void **state) {
    (void)state;
    for (int what = 0; what <= 8; what++) {
        struct cancelled c = { .d = help_open(ROOM, 4 * ROOM, 0), .what = what };
        help_leader(c.d);
        help_put(c.d, "key", 1, NULL);
        for (uint64_t i = 0; i < help_scaled(20); i++) {
            pthread_t thread;
            assert_int_equal(pthread_create(&thread, NULL, be_cancelled, &c), 0);
            struct timespec t = { 0, (long)(100000 + i * 7919 % 2000 * 1000) };
            nanosleep(&t, NULL);
            pthread_cancel(thread);
            void *result;
            pthread_join(thread, &result);
            assert_ptr_equal(result, PTHREAD_CANCELED);
        }
        help_assert_threads();
        struct tide *again = help_open_again(c.d);
        assert_int_equal(help_put(again, "key", 1, NULL), 0);
        struct tide_reader *r = help_reader(again, TIDE_STICKY, -1, 0);
        struct tide_lease lease = TIDE_LEASE_INIT;
        assert_int_equal(tide_lease_take(r, "lease", 5, 60000 * MS, &lease), 0);
        assert_int_equal(tide_reader_close(r), 0);
        struct tide_info info = TIDE_INFO_INIT;
        assert_int_equal(tide_info(again, &info), 0);
        assert_int_equal(info.members, 2);
        assert_int_equal(info.replicas, 1);
        assert_int_equal(tide_close(again), 0);
        for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
            assert_int_equal(atomic_load(&c.d->log->lanes[i].owner), 0);
        }
        assert_int_equal(tide_close(c.d), 0);
    }
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reader_of_an_ended_thread__refused_in_every_other),
        cmocka_unit_test(reader_of_an_ended_thread__its_section_has_ended),
        cmocka_unit_test(threads_that_end_without_closing__handles_and_slots_come_back),
        cmocka_unit_test(thread_that_ends_after_the_close__frees_the_handle),
        cmocka_unit_test(destructor_of_the_application__may_still_use_its_reader),
        cmocka_unit_test(calls_that_are_cancelled__end_first_and_leave_nothing_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
