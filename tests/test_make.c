/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Get or make: one of all callers makes the value; makers fail, hang and die; a lease is void when its holder is gone. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "engine/make/hold.h"
#include "engine/replica/domain.h"
#include "shm/lease.h"
#include "tests/crash_world.h"
#include "tests/lib/forked.h"
#include "tests/lib/help.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)

/* Shared by all processes of a case. */
struct shared {
    _Atomic uint32_t made, got, waiting, go, entered, leave;
};

static struct shared *shared_new(void) {
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(s != MAP_FAILED);
    return s;
}

static int make_it(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    struct shared *s = ctx;
    (void)key, (void)key_len, (void)buf_size;
    uint32_t n = atomic_fetch_add(&s->made, 1) + 1;
    crash_nap_us(3000);
    memcpy(buf, &n, sizeof(n));
    *value_size = sizeof(n);
    return 0;
}

/* The first caller makes it; the bytes say which one that was. */
static bool get_or_make(struct tide_reader *r, const char *key, struct shared *s) {
    struct tide_make_opts o = TIDE_MAKE_OPTS_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint32_t n = 0;
    o.wait_ns = 60000 * MS;
    int error = tide_get_or_make(r, key, strlen(key), NULL, &o, make_it, s, &n, sizeof(n), &a);
    return error == 0 && n == 1 && a.value_size == sizeof(n) && a.version != 0;
}

struct caller {
    struct tide *d;
    struct shared *s;
    const char *key;
};

static void *call(void *caller) {
    struct caller *c = caller;
    struct tide_reader *r;
    if (!help_check(tide_reader_open(c->d, NULL, &r) == 0)) {
        return NULL;
    }
    atomic_fetch_add(&c->s->waiting, 1);
    while (atomic_load(&c->s->go) == 0) {
        crash_nap_us(200);
    }
    if (help_check(get_or_make(r, c->key, c->s))) {
        atomic_fetch_add(&c->s->got, 1);
    }
    tide_reader_close(r);
    return NULL;
}

static void call_by(uint32_t threads, struct caller *c) {
    pthread_t t[64];
    for (uint32_t i = 0; i < threads; i++) {
        CHILD(pthread_create(&t[i], NULL, call, c) == 0);
    }
    for (uint32_t i = 0; i < threads; i++) {
        pthread_join(t[i], NULL);
    }
}

static struct tide *open_here(void) {
    struct tide_opts o = TIDE_OPTS_INIT;
    struct tide *d = NULL;
    o.ring_bytes = 256 * KIB;
    o.table_bytes = 2 * MIB;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

/* ---- once ---------------------------------------------------------------------------------------------------------- */

#define PROCESSES 40u
#define THREADS 25u

static void make__a_thousand_callers_in_forty_processes__made_once(void **state) {
    (void)state;
    child_threads_needed();
    struct shared *s = shared_new();
    pid_t pids[PROCESSES];
    uint32_t processes = (uint32_t)help_scaled(PROCESSES), expected = processes * THREADS;
    int go[2];
    assert_int_equal(pipe(go), 0);
    for (uint32_t i = 0; i < processes; i++) { /* before this process has threads */
        pids[i] = child_begin();
        if (pids[i] == 0) {
            struct tide *d;
            close(go[1]);
            char byte;
            CHILD(read(go[0], &byte, 1) == 0); /* the domain is there */
            CHILD(tide_open(&d, name, NULL) == 0);
            struct caller c = { d, s, "page" };
            call_by(THREADS, &c);
            CHILD(tide_close(d) == 0 && help_failures() == 0);
            _exit(0);
        }
    }
    close(go[0]);
    struct tide *d = open_here();
    help_leader(d);
    close(go[1]);
    while (atomic_load(&s->waiting) < expected) {
        crash_nap_us(1000);
    }
    atomic_store(&s->go, 1);
    for (uint32_t i = 0; i < processes; i++) {
        child_end(pids[i]);
    }
    assert_int_equal(atomic_load(&s->got), expected);
    assert_int_equal(atomic_load(&s->made), 1);
    assert_int_equal(lease_count(d->log), 0);
    tide_close(d);
    munmap(s, sizeof(*s));
}

static void make__threads_of_two_handles__made_once_for_each_key(void **state) {
    (void)state;
    static const char *const keys[] = { "a", "b", "a page with a long name, so that it is found another way" };
    struct tide *d = open_here();
    help_leader(d);
    help_follower(d, 20 * MS); /* what it has is always old */
    struct tide *other = help_open_again(d);
    for (uint32_t k = 0; k < 3; k++) {
        struct shared *s = shared_new();
        struct caller c[2] = { { d, s, keys[k] }, { other, s, keys[k] } };
        pthread_t t[16];
        atomic_store(&s->go, k != 1); /* at once, or all together */
        for (uint32_t i = 0; i < 16; i++) {
            assert_int_equal(pthread_create(&t[i], NULL, call, &c[i % 2]), 0);
        }
        atomic_store(&s->go, 1);
        for (uint32_t i = 0; i < 16; i++) {
            pthread_join(t[i], NULL);
        }
        help_assert_threads();
        assert_int_equal(atomic_load(&s->made), 1);
        assert_int_equal(atomic_load(&s->got), 16);
        munmap(s, sizeof(*s));
    }
    assert_int_equal(lease_count(d->log), 0);
    tide_close(other);
    tide_close(d);
}

/* ---- makers that do not ---------------------------------------------------------------------------------------------- */

/* Fails, or hangs until it is told to leave; `entered` says that it has begun. */
static int make_fails(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    struct shared *s = ctx;
    (void)key, (void)key_len, (void)buf, (void)buf_size, (void)value_size;
    atomic_fetch_add(&s->entered, 1);
    while (atomic_load(&s->leave) == 0) {
        crash_nap_us(500);
    }
    return 77;
}

static void *call_failing(void *caller) {
    struct caller *c = caller;
    struct tide_reader *r = NULL;
    char buf[8];
    help_check(tide_reader_open(c->d, NULL, &r) == 0);
    help_check(tide_get_or_make(r, c->key, strlen(c->key), NULL, NULL, make_fails, c->s, buf, sizeof(buf), NULL) == 77);
    tide_reader_close(r);
    return NULL;
}

static void make__maker_fails__one_of_those_that_wait_makes_it(void **state) {
    (void)state;
    struct tide *d = open_here();
    struct shared *s = shared_new();
    help_leader(d);
    struct caller c = { d, s, "k" };
    pthread_t fails, t[4];
    assert_int_equal(pthread_create(&fails, NULL, call_failing, &c), 0);
    while (atomic_load(&s->entered) == 0) {
        crash_nap_us(500);
    }
    atomic_store(&s->go, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, call, &c), 0);
    }
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_make_opts o = TIDE_MAKE_OPTS_INIT;
    char buf[8];
    o.wait_ns = 0; /* and a caller that does not wait, or not for long */
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, make_it, s, buf, sizeof(buf), NULL), TIDE_ERR_TIMEOUT);
    o.wait_ns = 5 * MS;
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, make_it, s, buf, sizeof(buf), NULL), TIDE_ERR_TIMEOUT);
    assert_int_equal(atomic_load(&s->made), 0);
    atomic_store(&s->leave, 1);
    pthread_join(fails, NULL);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
    }
    help_assert_threads();
    assert_int_equal(atomic_load(&s->made), 1);
    assert_int_equal(lease_count(d->log), 0);
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(d);
    munmap(s, sizeof(*s));
}

static void make__maker_is_killed__another_makes_it(void **state) {
    (void)state;
    struct shared *s = shared_new();
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_reader *r;
        char buf[8];
        child_hear(ready[0]);
        CHILD(tide_open(&d, name, NULL) == 0 && tide_reader_open(d, NULL, &r) == 0);
        tide_get_or_make(r, "k", 1, NULL, NULL, make_fails, s, buf, sizeof(buf), NULL);
        _exit(1);
    }
    struct tide *d = open_here();
    help_leader(d);
    assert_int_equal(write(ready[1], "!", 1), 1);
    while (atomic_load(&s->entered) == 0) {
        crash_nap_us(500);
    }
    struct caller c = { d, s, "k" };
    pthread_t t[4];
    atomic_store(&s->go, 1);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, call, &c), 0);
    }
    crash_nap_us(20000);
    assert_int_equal(atomic_load(&s->made), 0);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
    }
    help_assert_threads();
    assert_int_equal(atomic_load(&s->made), 1);
    tide_close(d);
    munmap(s, sizeof(*s));
}

static int make_large(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    (void)ctx, (void)key, (void)key_len, (void)buf, (void)buf_size;
    *value_size = 1000;
    return 0;
}

static int make_asks_again(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    (void)value_size;
    return tide_get_or_make(ctx, key, key_len, NULL, NULL, make_asks_again, ctx, buf, buf_size, NULL);
}

static void make__errors__as_documented(void **state) {
    (void)state;
    struct shared *s = shared_new();
    struct tide *d = open_here();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_make_opts o = TIDE_MAKE_OPTS_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    char buf[8];
    assert_int_equal(tide_get_or_make(NULL, "k", 1, NULL, NULL, make_it, s, buf, 8, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_get_or_make(r, NULL, 1, NULL, NULL, make_it, s, buf, 8, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_get_or_make(r, "k", 0, NULL, NULL, make_it, s, buf, 8, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, NULL, NULL, s, buf, 8, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, NULL, make_it, s, NULL, 8, NULL), TIDE_ERR_INVALID);
    o.flags = 1;
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, make_it, s, buf, 8, NULL), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, NULL, make_it, s, buf, 8, NULL), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_end(r), 0);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, NULL, make_large, s, buf, 8, &a), TIDE_ERR_BUFFER);
    assert_int_equal(a.value_size, 1000);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, NULL, make_asks_again, r, buf, 8, NULL), TIDE_ERR_BUSY);
    assert_int_equal(lease_count(d->log), 0);
    assert_int_equal(atomic_load(&s->made), 0);
    /* Made, and cannot be put: nobody leads. */
    assert_int_equal(tide_replica_stop(d, 0), 0);
    help_write_timeout_ns = MS;
    struct tide *other = help_open_again(d);
    struct tide_reader *r2 = help_reader(other, TIDE_STICKY, -1, 0);
    uint32_t n = 0;
    int error = tide_get_or_make(r2, "k", 1, NULL, NULL, make_it, s, &n, sizeof(n), &a);
    assert_true(error == TIDE_ERR_NO_LEADER || error == TIDE_ERR_NO_REPLICA);
    assert_int_equal(lease_count(d->log), 0);
    assert_int_equal(tide_reader_close(r2), 0);
    tide_close(other);
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(d);
    assert_int_equal(tide_get_or_make(NULL, "k", 1, NULL, NULL, make_it, s, buf, 8, NULL), TIDE_ERR_INVALID);
    munmap(s, sizeof(*s));
}

static int never_made(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    (void)ctx, (void)key, (void)key_len, (void)buf, (void)buf_size, (void)value_size;
    return 78;
}

static void make__it_is_there__an_ordinary_get(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_answer a = TIDE_ANSWER_INIT;
    char buf[8];
    assert_int_equal(tide_put(d, NULL, "k", 1, "value", 5, NULL), 0);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, NULL, never_made, NULL, buf, 8, &a), 0);
    assert_memory_equal(buf, "value", 5);
    assert_true(a.value_size == 5 && a.version == 1 && a.linearizable);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, NULL, never_made, NULL, buf, 2, &a), TIDE_ERR_BUFFER);
    assert_int_equal(a.value_size, 5);
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(d);
}

/* ---- for how long ---------------------------------------------------------------------------------------------------------- */

static int make_counted(void *ctx, const void *key, size_t key_len, void *buf, size_t buf_size, size_t *value_size) {
    uint32_t *made = ctx;
    (void)key, (void)key_len;
    ++*made;
    assert_true(buf_size >= sizeof(*made));
    memcpy(buf, made, sizeof(*made));
    *value_size = sizeof(*made);
    return 0;
}

static void make__life_and_stale__kept_with_the_value(void **state) {
    (void)state;
    static const uint64_t HOUR = 3600 * 1000 * MS;
    struct tide *d = open_here();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_make_opts o = TIDE_MAKE_OPTS_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint32_t made = 0, n = 0;
    o.ttl_ns = HOUR;
    o.stale_ns = HOUR;
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, make_counted, &made, &n, 4, &a), 0);
    assert_true(n == 1 && a.ttl_ns == 2 * HOUR);
    assert_int_equal(tide_get(r, "k", 1, NULL, &n, 4, &a), 0);
    assert_true(a.ttl_ns > HOUR && a.ttl_ns <= 2 * HOUR);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, make_counted, &made, &n, 4, &a), 0);
    assert_int_equal(made, 1);
    /* Old for callers that call more of its life stale: one of them makes it anew, while the others get the old one. */
    o.stale_ns = 3 * HOUR;
    struct tide_reader *other = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_lease lease = TIDE_LEASE_INIT;
    assert_int_equal(tide_lease_take(other, "k", 1, 0, &lease), 0);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, make_counted, &made, &n, 4, &a), 0);
    assert_true(n == 1 && made == 1);
    assert_int_equal(tide_lease_release(other, &lease, 0), 0);
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, make_counted, &made, &n, 4, &a), 0);
    assert_true(n == 2 && made == 2 && a.ttl_ns == 4 * HOUR);
    /* A maker that fails: the old one. */
    o.stale_ns = UINT64_MAX;
    n = 0;
    assert_int_equal(tide_get_or_make(r, "k", 1, NULL, &o, never_made, NULL, &n, 4, &a), 0);
    assert_int_equal(n, 2);
    assert_int_equal(lease_count(d->log), 0);
    /* Over: made again. */
    o.ttl_ns = MS;
    o.stale_ns = 0;
    assert_int_equal(tide_get_or_make(r, "short", 5, NULL, &o, make_counted, &made, &n, 4, &a), 0);
    crash_nap_us(3000);
    assert_int_equal(tide_get_or_make(r, "short", 5, NULL, &o, make_counted, &made, &n, 4, &a), 0);
    assert_int_equal(made, 4);
    /* More than 100 years are for ever, as the reads that follow say. */
    o.ttl_ns = 200 * 365 * 24 * HOUR;
    assert_int_equal(tide_get_or_make(r, "long", 4, NULL, &o, make_counted, &made, &n, 4, &a), 0);
    assert_true(a.ttl_ns == TIDE_TTL_NONE);
    assert_int_equal(tide_get(r, "long", 4, NULL, &n, 4, &a), 0);
    assert_true(a.ttl_ns == TIDE_TTL_NONE);
    assert_int_equal(tide_reader_close(other), 0);
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(d);
}

/* ---- what is counted ------------------------------------------------------------------------------------------------------ */

static void expect_counts(struct tide *d, struct tide_reader *r, uint64_t hits, uint64_t misses, uint64_t made) {
    struct tide_read_counts own = TIDE_READ_COUNTS_INIT, all = TIDE_READ_COUNTS_INIT;
    assert_int_equal(tide_reader_counts(r, &own), 0);
    assert_int_equal(own.hits, hits);
    assert_int_equal(own.misses, misses);
    assert_int_equal(own.made, made);
    assert_int_equal(tide_read_counts(d, &all), 0);
    assert_true(all.hits >= hits && all.misses >= misses && all.made >= made);
}

/* Each way to look a key up, in an own replica and in another handle's. */
static void counts__every_way_of_reading__hits_and_misses(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    struct tide *other = help_open_again(d);
    char value[64];
    memset(value, 'v', sizeof(value));
    assert_int_equal(tide_put(d, NULL, "k", 1, "v", 1, NULL), 0);
    assert_int_equal(tide_put(d, NULL, "twelve bytes", 12, value, sizeof(value), NULL), 0);
    for (int i = 0; i < 2; i++) {
        struct tide *own = i == 0 ? d : other;
        struct tide_reader *r = help_reader(own, TIDE_STICKY, -1, 0);
        uint64_t hits = 0, misses = 0;
        for (int n = 0; n < 3; n++) { /* the long way, and the short one */
            assert_int_equal(tide_get(r, "k", 1, NULL, value, 64, NULL), 0);
            assert_int_equal(tide_get(r, "twelve bytes", 12, NULL, value, 64, NULL), 0);
            assert_int_equal(tide_get(r, "twelve bytes", 12, NULL, value, 3, NULL), TIDE_ERR_BUFFER);
            assert_int_equal(tide_get(r, "twelve xxxxx", 12, NULL, value, 64, NULL), TIDE_ERR_NOT_FOUND);
            assert_int_equal(tide_get(r, "x", 1, NULL, value, 64, NULL), TIDE_ERR_NOT_FOUND);
            hits += 3;
            misses += 2;
            expect_counts(own, r, hits, misses, 0);
        }
        struct tide_mget_item items[] = {
            { .key = "k", .key_len = 1, .buf = value, .buf_size = 64 },
            { .key = "x", .key_len = 1, .buf = value, .buf_size = 64 },
            { .key = "twelve bytes", .key_len = 12 },
            { .key = NULL, .key_len = 5 },
        };
        assert_int_equal(tide_mget(r, items, 4, NULL, NULL), 0);
        expect_counts(own, r, hits += 2, misses += 1, 0);
        assert_int_equal(tide_section_begin(r, NULL, NULL), 0);
        expect_counts(own, r, hits, misses, 0);
        assert_int_equal(tide_section_get(r, "k", 1, value, 64, NULL, NULL), 0);
        assert_int_equal(tide_section_get(r, "x", 1, value, 64, NULL, NULL), TIDE_ERR_NOT_FOUND);
        hits++, misses++;
        const void *at;
        size_t size;
        if (i == 0) {
            assert_int_equal(tide_section_peek(r, "k", 1, &at, &size, NULL), 0);
            assert_int_equal(tide_section_peek(r, "x", 1, &at, &size, NULL), TIDE_ERR_NOT_FOUND);
            hits++, misses++;
        }
        assert_int_equal(tide_section_end(r), 0);
        expect_counts(own, r, hits, misses, 0);
        uint32_t made = 0, n = 0;
        char key[24];
        snprintf(key, sizeof(key), "made %d", i);
        assert_int_equal(tide_get_or_make(r, key, strlen(key), NULL, NULL, make_counted, &made, &n, 4, NULL), 0);
        expect_counts(own, r, hits, misses + 2, 1); /* it looks once more when it has the lease */
        assert_int_equal(tide_reader_close(r), 0);
    }
    tide_close(other);
    tide_close(d);
}

/* ---- leases -------------------------------------------------------------------------------------------------------------- */

static int take(struct tide_reader *r, const char *key, uint64_t wait_ns, struct tide_lease *lease) {
    *lease = (struct tide_lease)TIDE_LEASE_INIT;
    return tide_lease_take(r, key, strlen(key), wait_ns, lease);
}

static void lease__taken_waited_for_given_up(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    struct tide *other = help_open_again(d);
    struct tide_reader *a = help_reader(d, TIDE_STICKY, -1, 0), *b = help_reader(other, TIDE_STICKY, -1, 0);
    struct tide_lease mine, theirs;
    assert_int_equal(tide_lease_take(a, NULL, 1, 0, &mine), TIDE_ERR_INVALID);
    assert_int_equal(tide_lease_take(a, "k", 0, 0, &mine), TIDE_ERR_INVALID);
    assert_int_equal(tide_lease_take(a, "k", 1, 0, NULL), TIDE_ERR_INVALID);
    assert_int_equal(take(a, "k", 0, &mine), 0);
    assert_int_equal(mine.state, TIDE_LEASE_TAKEN);
    assert_int_equal(take(a, "k", 0, &theirs), TIDE_ERR_BUSY);
    assert_int_equal(take(b, "k", 0, &theirs), TIDE_ERR_TIMEOUT);
    assert_int_equal(take(b, "k", 2 * MS, &theirs), TIDE_ERR_TIMEOUT);
    theirs = mine;
    assert_int_equal(tide_lease_release(b, &theirs, 1), TIDE_ERR_INVALID); /* another's */
    assert_int_equal(take(b, "another", 0, &theirs), 0);
    assert_int_equal(theirs.state, TIDE_LEASE_TAKEN);
    assert_int_equal(tide_lease_release(a, &mine, 1), 0);
    assert_int_equal(tide_lease_release(a, &mine, 1), TIDE_ERR_INVALID);
    assert_int_equal(take(b, "k", 0, &mine), 0);
    assert_int_equal(lease_count(d->log), 2);
    assert_int_equal(tide_reader_close(b), 0); /* gives up both */
    assert_int_equal(lease_count(d->log), 0);
    assert_int_equal(tide_reader_close(a), 0);
    tide_close(other);
    tide_close(d);
}

static void *take_and_end(void *d) {
    struct tide_reader *r = NULL;
    struct tide_lease lease;
    help_check(tide_reader_open(d, NULL, &r) == 0);
    help_check(take(r, "k", 0, &lease) == 0 && lease.state == TIDE_LEASE_TAKEN);
    return NULL;
}

static void lease__its_thread_ends__free(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, take_and_end, d), 0);
    pthread_join(t, NULL);
    help_assert_threads();
    assert_int_equal(lease_count(d->log), 0);
    tide_close(d);
}

static void lease__in_a_forked_child__the_parents(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_lease lease;
    assert_int_equal(take(r, "k", 0, &lease), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        char buf[8];
        CHILD(tide_lease_release(r, &lease, 1) == TIDE_ERR_FORKED);
        CHILD(tide_lease_take(r, "x", 1, 0, &lease) == TIDE_ERR_FORKED);
        CHILD(tide_get_or_make(r, "k", 1, NULL, NULL, never_made, NULL, buf, 8, NULL) == TIDE_ERR_FORKED);
        CHILD(tide_reader_close(r) == 0);
        _exit(0);
    }
    child_end(pid);
    assert_int_equal(lease_count(d->log), 1);
    assert_int_equal(tide_lease_release(r, &lease, 0), 0);
    assert_int_equal(lease_count(d->log), 0);
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(d);
}

/* Every way of every set is taken: callers make values without a lease. */
static void lease__all_taken__made_without(void **state) {
    (void)state;
    struct tide *d = open_here();
    struct shared *s = shared_new();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_lease lease;
    char key[32];
    uint32_t full = 0;
    for (int i = 0; i < 20000 && lease_count(d->log) < LAYOUT_LEASE_SETS * LAYOUT_LEASE_WAYS; i++) {
        snprintf(key, sizeof(key), "key %d", i);
        assert_int_equal(take(r, key, 0, &lease), 0);
        full += lease.state == TIDE_LEASE_FULL;
        assert_int_equal(
            tide_lease_release(r, lease.state == TIDE_LEASE_FULL ? &lease : &(struct tide_lease)TIDE_LEASE_INIT, 1), 0);
    }
    assert_int_equal(lease_count(d->log), LAYOUT_LEASE_SETS * LAYOUT_LEASE_WAYS);
    assert_true(full != 0);
    assert_true(get_or_make(r, "page", s));
    assert_int_equal(atomic_load(&s->made), 1);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(lease_count(d->log), 0);
    tide_close(d);
    munmap(s, sizeof(*s));
}

/* What a dead member left, and numbers that no member has: as if nobody held anything. */
static void lease__words_of_the_dead_and_of_nobody__void(void **state) {
    (void)state;
    static const uint32_t nobodies[] = { 300, LAYOUT_MEMBERS, LAYOUT_MEMBERS + 1, UINT32_MAX };
    struct tide *d = open_here();
    struct shared *s = shared_new();
    help_leader(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    for (uint32_t n = 0; n < 4; n++) {
        for (uint32_t i = 0; i < LAYOUT_LEASE_SETS; i++) {
            struct lease_set *set = &d->log->leases[i];
            atomic_store(&set->lock, nobodies[n]);
            for (uint32_t k = 0; k < LAYOUT_LEASE_WAYS; k++) {
                atomic_store(&set->ways[k].holder, nobodies[n]);
                atomic_store(&set->ways[k].key, i + k);
            }
        }
        struct tide_lease lease;
        char key[16];
        snprintf(key, sizeof(key), "key %u", n);
        assert_int_equal(take(r, key, 0, &lease), 0);
        assert_int_equal(lease.state, TIDE_LEASE_TAKEN);
        assert_int_equal(tide_lease_release(r, &lease, 0), 0);
    }
    lease_reap(d->log, UINT32_MAX - 1);
    assert_int_equal(lease_count(d->log), 0);
    /* A set whose lock a living member holds and does not give back: without a lease, after a moment. */
    for (uint32_t i = 0; i < LAYOUT_LEASE_SETS; i++) {
        atomic_store(&d->log->leases[i].lock, d->member + 1);
    }
    assert_true(get_or_make(r, "page", s));
    assert_int_equal(atomic_load(&s->made), 1);
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(d);
    munmap(s, sizeof(*s));
}

#define MISSES 2000 /* a fifth of a second each would be longer than the watchdog waits */

/* The lock of a set has a living member's number and keeps it, as after damage: one wait, not one for each miss. */
static void lease__lock_that_a_living_member_seems_to_hold__waited_for_once(void **state) {
    (void)state;
    struct tide *d = open_here();
    help_leader(d);
    struct tide *other = help_open_again(d);
    struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
    struct tide_lease lease;
    const uint32_t owners[] = { d->member + 1, other->member + 1 };
    _Atomic uint32_t *lock = &d->log->leases[0].lock;
    char key[32];
    uint32_t misses = 0;
    for (uint32_t i = 0; misses < MISSES; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        if (hold_hash(d, key, strlen(key)) % LAYOUT_LEASE_SETS == 0) {
            atomic_store(lock, owners[misses / (MISSES / 2)]); /* for half of them the one, then the other */
            assert_int_equal(take(r, key, 0, &lease), 0);
            assert_int_equal(lease.state, TIDE_LEASE_FULL);
            misses++;
        }
    }
    atomic_store(lock, 0); /* it is free after all */
    assert_int_equal(take(r, key, 0, &lease), 0);
    assert_int_equal(lease.state, TIDE_LEASE_TAKEN);
    assert_int_equal(atomic_load(&d->lease_stuck.owners[0]), 0);
    assert_int_equal(tide_lease_release(r, &lease, 0), 0);
    assert_int_equal(tide_reader_close(r), 0);
    tide_close(other);
    tide_close(d);
}

int main(void) {
    help_start(240);
    const struct CMUnitTest tests[] = {
        /* First: where the dead count as alive, other cases wait for ever. */
        NAMED_CASE(lease__words_of_the_dead_and_of_nobody__void),
        NAMED_CASE(make__a_thousand_callers_in_forty_processes__made_once),
        NAMED_CASE(make__threads_of_two_handles__made_once_for_each_key),
        NAMED_CASE(make__maker_fails__one_of_those_that_wait_makes_it),
        NAMED_CASE(make__maker_is_killed__another_makes_it),
        NAMED_CASE(make__errors__as_documented),
        NAMED_CASE(make__it_is_there__an_ordinary_get),
        NAMED_CASE(make__life_and_stale__kept_with_the_value),
        NAMED_CASE(counts__every_way_of_reading__hits_and_misses),
        NAMED_CASE(lease__taken_waited_for_given_up),
        NAMED_CASE(lease__its_thread_ends__free),
        NAMED_CASE(lease__in_a_forked_child__the_parents),
        NAMED_CASE(lease__all_taken__made_without),
        NAMED_CASE(lease__lock_that_a_living_member_seems_to_hold__waited_for_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
