/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A key expires after the leader has decided that it is there, and before that is committed (docs/design.md, *Time to live*). The leader stands
 * still at that instant, or dies; what do readers say? In a build with kill points (engine/table/kill.h).
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "engine/table/kill.h"
#include "engine/replica/replica.h"
#include "shm/board.h"
#include "shm/nap.h"
#include "tests/lib/forked.h"

#define KEY "key-of-16-bytes!" /* the short way of a get */
#define LIFE_NS UINT64_C(30000000)
#define HOUR UINT64_C(3600000000000)

static struct tide_reader *reader(struct tide *d, int32_t home) {
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    struct tide_reader *r = NULL;
    o.home = home;
    CHILD(tide_reader_open(d, &o, &r) == 0);
    return r;
}

static void await_after(struct tide *d, uint64_t instant) {
    while (tide_now(d) <= instant) {
        park_nap(100000);
    }
}

static struct {
    struct tide *d, *handles[3];
    struct tide_reader *readers[3]; /* the leader's replica, a follower's, another process's */
    uint32_t replicas;
    uint64_t expires_from, expiry; /* between these two */
    bool stood;
    pthread_t writer;
    pthread_t waiting[3];
} still;

/* Returns an instant after its expiry. */
static uint64_t put_for_a_while(struct tide *d, const char *key) {
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = LIFE_NS;
    struct tide_token token;
    still.expires_from = tide_now(d) + LIFE_NS;
    CHILD(tide_put_with(d, NULL, key, strlen(key), "1", 1, &o, &token) == 0);
    uint64_t expiry = tide_now(d) + LIFE_NS;
    CHILD(tide_wait_applied(d, &token, still.replicas, HOUR) == 0);
    return expiry;
}

static struct tide_bound bound(enum tide_fallback fallback, uint64_t max_staleness_ns, uint64_t wait_ns) {
    struct tide_bound b = TIDE_BOUND_INIT;
    b.fallback = fallback;
    b.max_staleness_ns = max_staleness_ns;
    b.wait_ns = wait_ns;
    return b;
}

static int get(struct tide_reader *r, const char *key, struct tide_bound b, struct tide_answer *a) {
    char value[64];
    *a = (struct tide_answer)TIDE_ANSWER_INIT;
    return tide_get(r, key, strlen(key), &b, value, sizeof(value), a);
}

static int mget(struct tide_reader *r, struct tide_bound b, struct tide_mget_item items[2]) {
    static char values[2][64];
    static const char *const keys[2] = { "stays", KEY };
    for (int i = 0; i < 2; i++) {
        items[i] = (struct tide_mget_item){
            .key = keys[i], .key_len = strlen(keys[i]), .buf = values[i], .buf_size = sizeof(values[i])
        };
    }
    return tide_mget(r, items, 2, &b, NULL);
}

static int never_called(void *ctx, const struct tide_entry *e) {
    (void)ctx;
    return e->key_len == strlen(KEY);
}

/* ---- the leader stands still ------------------------------------------------------------------------------------------- */

enum way { WAY_CAS, WAY_TOUCH, WAY_ADD, WAY_CAS_IN_BATCH, WAYS };

static void *get_waiting(void *arg) {
    struct tide_reader *r = reader(arg, -1);
    struct tide_answer a;
    int error = get(r, KEY, bound(TIDE_FALLBACK_WAIT, 0, HOUR), &a);
    CHILD(tide_reader_close(r) == 0);
    return (void *)(intptr_t)error;
}

static void look_at(struct tide_reader *r) {
    struct tide_answer a;
    struct tide_mget_item items[2];
    char value[64];
    const void *at;
    size_t size;
    assert_int_equal(get(r, KEY, bound(TIDE_FALLBACK_ERROR, 0, 0), &a), TIDE_ERR_REFUSED);
    assert_true(a.reason == TIDE_REASON_REFUSED && !a.linearizable && a.staleness_ns != 0);
    assert_int_equal(get(r, KEY, bound(TIDE_FALLBACK_WAIT, 0, 1000000), &a), TIDE_ERR_TIMEOUT);
    assert_int_equal(mget(r, bound(TIDE_FALLBACK_ERROR, 0, 0), items), TIDE_ERR_REFUSED);
    /* A read that takes older data gets it, and the answer says so. */
    assert_int_equal(get(r, KEY, bound(TIDE_FALLBACK_ERROR, HOUR, 0), &a), TIDE_ERR_NOT_FOUND);
    assert_true(a.reason == TIDE_REASON_WITHIN_BOUND && !a.linearizable && !a.stale && a.staleness_ns != 0);
    assert_int_equal(get(r, KEY, bound(TIDE_FALLBACK_STALE, 0, 0), &a), TIDE_ERR_NOT_FOUND);
    assert_true(a.reason == TIDE_REASON_STALE_BY_CHOICE && !a.linearizable && a.stale);
    assert_int_equal(mget(r, bound(TIDE_FALLBACK_STALE, 0, 0), items), 0);
    assert_int_equal(items[1].result, TIDE_ERR_NOT_FOUND);
    /* A key that expired before the leader began, one that is there, and one that never was. */
    assert_int_equal(get(r, "gone-before", bound(TIDE_FALLBACK_ERROR, 0, 0), &a), TIDE_ERR_NOT_FOUND);
    assert_true(a.linearizable);
    assert_int_equal(get(r, "stays", bound(TIDE_FALLBACK_ERROR, 0, 0), &a), 0);
    assert_int_equal(get(r, "never", bound(TIDE_FALLBACK_ERROR, 0, 0), &a), TIDE_ERR_NOT_FOUND);
    /* A section has one instant, at which this key cannot be told. */
    struct tide_bound b = bound(TIDE_FALLBACK_ERROR, 0, 0);
    assert_int_equal(tide_section_begin(r, &b, NULL), 0);
    assert_int_equal(tide_section_get(r, "stays", 5, value, sizeof(value), &size, NULL), 0);
    assert_int_equal(tide_section_get(r, KEY, strlen(KEY), value, sizeof(value), &size, NULL), TIDE_ERR_LOST);
    assert_int_equal(tide_section_end(r), 0);
    assert_int_equal(tide_section_begin(r, &b, NULL), 0);
    int peeked = tide_section_peek(r, KEY, strlen(KEY), &at, &size, NULL);
    assert_true(peeked == TIDE_ERR_LOST || (peeked == TIDE_ERR_NOT_LOCAL && r == still.readers[2]));
    assert_int_equal(tide_section_end(r), 0);
    assert_int_equal(tide_section_begin(r, &b, NULL), 0);
    assert_int_equal(tide_section_visit(r, never_called, NULL), TIDE_ERR_LOST);
    assert_int_equal(tide_section_end(r), 0);
}

/* In the writer's thread, which has the turn: all but the commit is done. */
static void let_the_key_expire(const char *point) {
    if (still.stood || strcmp(point, "seq.copied") != 0 || !pthread_equal(pthread_self(), still.writer) ||
        tide_now(still.d) >= still.expires_from) {
        return;
    }
    still.stood = true;
    await_after(still.d, still.expiry);
    for (int i = 0; i < 3; i++) {
        look_at(still.readers[i]);
        assert_int_equal(pthread_create(&still.waiting[i], NULL, get_waiting, still.handles[i]), 0);
    }
    park_nap(1000000); /* so that they wait in earnest; they are right without as well */
}

static int write_one(struct tide *d, enum way way, uint64_t version) {
    struct tide_put_opts o = TIDE_PUT_OPTS_INIT;
    o.ttl_ns = HOUR;
    if (way == WAY_CAS) {
        return tide_cas_with(d, NULL, KEY, strlen(KEY), version, "2", 1, &o, NULL, NULL);
    }
    if (way == WAY_TOUCH) {
        return tide_touch(d, NULL, KEY, strlen(KEY), HOUR, NULL);
    }
    if (way == WAY_ADD) {
        int64_t result;
        return tide_add(d, NULL, KEY, strlen(KEY), 1, &o, NULL, &result);
    }
    const struct tide_op ops[2] = { { TIDE_OP_PUT, 0, "other", 5, "v", 1, 0 },
                                    { TIDE_OP_CAS, 0, KEY, strlen(KEY), "2", 1, version } };
    return tide_batch(d, NULL, ops, 2, NULL, NULL);
}

static void write__key_expires_before_the_commit__nobody_says_that_it_was_absent(void **state) {
    (void)state;
    struct tide *d = still.d = child_open(), *other = help_open_again(d);
    child_replica(d, TIDE_LEADER);
    child_replica(d, TIDE_FOLLOWER);
    CHILD(tide_put(d, NULL, "stays", 5, "v", 1, NULL) == 0);
    still.replicas = 2;
    still.writer = pthread_self();
    still.handles[0] = still.handles[1] = d;
    still.handles[2] = other;
    for (enum way way = 0; way < WAYS; way++) {
        int error;
        still.readers[0] = reader(d, 0);
        still.readers[1] = reader(d, 1);
        still.readers[2] = reader(other, 0);
        do { /* a busy machine may let it expire before the leader decides */
            await_after(d, put_for_a_while(d, "gone-before"));
            still.expiry = put_for_a_while(d, KEY);
            struct tide_answer a;
            uint64_t version = get(still.readers[0], KEY, bound(TIDE_FALLBACK_LEADER, 0, 0), &a) == 0 ? a.version : 1;
            still.stood = false;
            kill_point_seen = let_the_key_expire;
            error = write_one(d, way, version);
            kill_point_seen = NULL;
        } while (!still.stood);
        assert_int_equal(error, 0);
        assert_true(board_deciding(d->log) == 0);
        for (int i = 0; i < 3; i++) {
            void *got;
            assert_int_equal(pthread_join(still.waiting[i], &got), 0);
            assert_int_equal((int)(intptr_t)got, 0);
            struct tide_answer a;
            assert_int_equal(get(still.readers[i], KEY, bound(TIDE_FALLBACK_LEADER, 0, 0), &a), 0);
            assert_int_equal(tide_reader_close(still.readers[i]), 0);
        }
        CHILD(tide_delete(d, NULL, KEY, strlen(KEY), NULL) == 0);
    }
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(d), 0);
}

/* ---- a second key expires while a read of many looks again ----------------------------------------------------------------- */

static int count_looks;

static void *put_from_elsewhere(void *unused) {
    (void)unused;
    CHILD(tide_put(still.d, NULL, "stays", 5, "w", 1, NULL) == 0);
    return NULL;
}

static void let_another_expire(const char *point) {
    struct tide_answer a;
    if (strcmp(point, "read.looked") == 0 && count_looks++ == 0) {
        pthread_t thread; /* this one has a section open */
        assert_int_equal(pthread_create(&thread, NULL, put_from_elsewhere, NULL), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
    } else if (strcmp(point, "read.later") == 0 && count_looks == 1 && tide_now(still.d) < still.expires_from) {
        await_after(still.d, still.expiry);
        assert_int_equal(get(still.readers[1], KEY, bound(TIDE_FALLBACK_LEADER, 0, 0), &a), TIDE_ERR_NOT_FOUND);
        CHILD(tide_put(still.d, NULL, "after", 5, "v", 1, NULL) == 0);
        still.stood = true;
    }
}

/* It must not say that a key is there together with a write that was made after another reader had seen the key gone. */
static void mget__key_expires_before_it_looks_again__all_of_one_instant(void **state) {
    (void)state;
    struct tide *d = still.d = child_open(), *other = help_open_again(d);
    child_replica(d, TIDE_LEADER);
    still.replicas = 1;
    static const char *const keys[] = { "gone-before", KEY, "after" };
    for (int where = 0; where < 2; where++) {
        struct tide_mget_item items[3];
        char values[3][8];
        still.readers[0] = reader(where == 0 ? d : other, 0);
        still.readers[1] = reader(d, 0);
        for (int i = 0; i < 3; i++) {
            items[i] =
                (struct tide_mget_item){ .key = keys[i], .key_len = strlen(keys[i]), .buf = values[i], .buf_size = 8 };
        }
        still.stood = false;
        while (!still.stood) { /* a busy machine may let the second expire too early */
            await_after(d, put_for_a_while(d, "gone-before") - LIFE_NS / 2);
            still.expiry = put_for_a_while(d, KEY);
            await_after(d, still.expiry - LIFE_NS / 2);
            CHILD(tide_delete(d, NULL, "after", 5, NULL) == 0);
            count_looks = 0;
            kill_point_seen = let_another_expire;
            assert_int_equal(tide_mget(still.readers[0], items, 3, NULL, NULL), 0);
            kill_point_seen = NULL;
        }
        assert_int_equal(items[0].result, TIDE_ERR_NOT_FOUND);
        assert_int_equal(items[1].result, TIDE_ERR_NOT_FOUND);
        assert_int_equal(items[2].result, 0);
        assert_int_equal(tide_reader_close(still.readers[0]), 0);
        assert_int_equal(tide_reader_close(still.readers[1]), 0);
    }
    assert_int_equal(tide_close(other), 0);
    assert_int_equal(tide_close(d), 0);
}

/* ---- the leader dies ------------------------------------------------------------------------------------------------------ */

static void let_it_expire_and_die(const char *point) {
    if (strcmp(point, "seq.copied") == 0 && pthread_equal(pthread_self(), still.writer) &&
        tide_now(still.d) < still.expires_from) {
        await_after(still.d, still.expiry);
        raise(SIGKILL);
    }
}

static void leader_dies_over_a_decision__readers_and_the_next_leader_go_on(void **state) {
    (void)state;
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d = still.d = child_open();
        still.replicas = 1;
        still.writer = pthread_self();
        child_replica(d, TIDE_LEADER);
        for (;;) {
            still.expiry = put_for_a_while(d, KEY);
            kill_point_seen = let_it_expire_and_die;
            tide_touch(d, NULL, KEY, strlen(KEY), HOUR, NULL);
            kill_point_seen = NULL;
        }
    }
    struct tide *d = child_open();
    child_replica(d, TIDE_FOLLOWER);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_true(board_deciding(d->log) != 0);
    struct tide_reader *r = reader(d, -1);
    struct tide_answer a;
    assert_int_equal(get(r, KEY, bound(TIDE_FALLBACK_WAIT, 0, HOUR), &a), TIDE_ERR_NOT_FOUND);
    assert_true(a.linearizable);
    assert_int_equal(get(r, KEY, bound(TIDE_FALLBACK_ERROR, 0, 0), &a), TIDE_ERR_NOT_FOUND);
    struct tide *next = child_open();
    child_replica(next, TIDE_LEADER);
    assert_true(board_deciding(d->log) == 0);
    assert_int_equal(tide_touch(next, NULL, KEY, strlen(KEY), HOUR, NULL), TIDE_ERR_NOT_FOUND);
    assert_int_equal(get(r, KEY, bound(TIDE_FALLBACK_LEADER, 0, 0), &a), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(next), 0);
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(write__key_expires_before_the_commit__nobody_says_that_it_was_absent),
        NAMED_CASE(mget__key_expires_before_it_looks_again__all_of_one_instant),
        NAMED_CASE(leader_dies_over_a_decision__readers_and_the_next_leader_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
