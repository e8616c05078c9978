/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The contract of reads: bounds, fallbacks, reasons, what the answer claims, sections. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/lib/help.h"

#define MS UINT64_C(1000000)
#define HOUR (UINT64_C(3600) * 1000 * MS)

/* A leader and a follower that shows the past. r may use the follower alone (and the leader by fallback). */
struct pair {
    struct tide *d;
    uint32_t leader, slow;
    struct tide_reader *r;
};

static struct pair open_pair(uint64_t delay_ns) {
    struct pair p = {.d = help_open(0, 0, 0)};
    p.leader = help_leader(p.d);
    p.slow = help_follower(p.d, delay_ns);
    p.r = help_reader(p.d, TIDE_STICKY, (int32_t)p.slow, UINT64_C(1) << p.slow);
    return p;
}

static void close_pair(struct pair *p) {
    assert_int_equal(tide_reader_close(p->r), 0);
    assert_int_equal(tide_close(p->d), 0);
}

static uint64_t put_number(struct tide *d, const char *key, uint64_t value) {
    struct tide_token token;
    assert_int_equal(tide_put(d, NULL, key, strlen(key), &value, sizeof(value), &token), 0);
    return token.index;
}

static void catch_up(struct pair *p) {
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(p->d, &info);
    struct tide_token token = {info.incarnation, info.commit_index};
    assert_int_equal(tide_replica_set_delay(p->d, p->slow, 0), 0);
    assert_int_equal(tide_wait_applied(p->d, &token, 2, UINT64_MAX), 0);
    assert_int_equal(tide_replica_set_delay(p->d, p->slow, HOUR), 0);
}

static struct tide_bound bound_of(enum tide_fallback fallback, uint64_t max_staleness_ns) {
    struct tide_bound b = TIDE_BOUND_INIT;
    b.fallback = fallback;
    b.max_staleness_ns = max_staleness_ns;
    return b;
}

struct got {
    int error;
    uint64_t value;
    struct tide_answer a;
};

static struct got get(struct tide_reader *r, const char *key, const struct tide_bound *bound) {
    struct got g = {.value = 4242, .a = TIDE_ANSWER_INIT};
    g.error = tide_get(r, key, strlen(key), bound, &g.value, sizeof(g.value), &g.a);
    return g;
}

/* ---- each fallback with each reason ----------------------------------------------------------------------------------- */

static void get__replica_that_has_everything__fresh_whatever_the_fallback(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    for (int f = TIDE_FALLBACK_LEADER; f <= TIDE_FALLBACK_STALE; f++) {
        struct tide_bound b = bound_of((enum tide_fallback)f, 0);
        struct got g = get(p.r, "k", &b);
        assert_int_equal(g.error, 0);
        assert_int_equal(g.value, 1);
        assert_int_equal(g.a.reason, TIDE_REASON_FRESH);
        assert_int_equal(g.a.served_by, p.slow);
        assert_int_equal(g.a.linearizable, 1);
        assert_int_equal(g.a.stale, 0);
        assert_int_equal(g.a.from_leader, 0);
        assert_int_equal(g.a.index, 1);
        assert_int_equal(g.a.commit_index, 1);
        assert_int_equal(g.a.staleness_ns, 0);
        assert_int_equal(g.a.waited_ns, 0);
        assert_int_equal(g.a.value_size, sizeof(g.value));
        assert_int_equal(g.a.version, 1);
    }
    close_pair(&p);
}

static void get__behind_but_within_the_bound__served_whatever_the_fallback(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    uint64_t before = tide_now(p.d);
    put_number(p.d, "k", 2);
    uint64_t acknowledged = tide_now(p.d);
    for (int f = TIDE_FALLBACK_LEADER; f <= TIDE_FALLBACK_STALE; f++) {
        struct tide_bound b = bound_of((enum tide_fallback)f, HOUR);
        uint64_t called = tide_now(p.d);
        struct got g = get(p.r, "k", &b);
        uint64_t returned = tide_now(p.d);
        assert_int_equal(g.error, 0);
        assert_int_equal(g.value, 1);
        assert_int_equal(g.a.reason, TIDE_REASON_WITHIN_BOUND);
        assert_int_equal(g.a.served_by, p.slow);
        assert_int_equal(g.a.linearizable, 0);
        assert_int_equal(g.a.stale, 0);
        assert_int_equal(g.a.index, 1);
        assert_int_equal(g.a.commit_index, 2);
        assert_true(g.a.staleness_ns >= called - acknowledged);
        /* Exact: not older than since just before the write that it lacks, but for rounding (1/4096). */
        assert_true(g.a.staleness_ns <= (returned - before) + (returned - before) / 4096 + 100);
    }
    close_pair(&p);
}

static void get__behind_fallback_leader__redirected(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    struct tide_bound b = bound_of(TIDE_FALLBACK_LEADER, 0);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.value, 1);
    assert_int_equal(g.a.reason, TIDE_REASON_REDIRECTED);
    assert_int_equal(g.a.served_by, p.leader);
    assert_true(g.a.from_leader == 1 && g.a.linearizable == 1 && g.a.stale == 0);
    assert_int_equal(g.a.staleness_ns, 0);
    catch_up(&p); /* else the session's fence is what the follower misses */
    b.wait_ns = 2 * MS; /* first it waits for the follower */
    put_number(p.d, "k", 2);
    g = get(p.r, "k", &b);
    assert_int_equal(g.a.reason, TIDE_REASON_REDIRECTED);
    assert_true(g.a.waited_ns >= 2 * MS);
    assert_int_equal(g.value, 2);
    close_pair(&p);
}

static void get__fence_not_reached_fallback_leader__behind_redirected(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    struct tide_token token;
    assert_int_equal(tide_put(p.d, p.r, "k", 1, "12345678", 8, &token), 0); /* the session's own write */
    struct tide_bound b = bound_of(TIDE_FALLBACK_LEADER, TIDE_UNBOUNDED);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.a.reason, TIDE_REASON_BEHIND_REDIRECTED);
    assert_int_equal(g.a.served_by, p.leader);
    /* The same by a fence in the call, from another session. */
    struct tide_reader *other = help_reader(p.d, TIDE_STICKY, (int32_t)p.slow, UINT64_C(1) << p.slow);
    g = get(other, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_NOT_FOUND); /* without the fence the past is within the bound */
    assert_int_equal(g.a.reason, TIDE_REASON_WITHIN_BOUND);
    b.min = token;
    g = get(other, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.a.reason, TIDE_REASON_BEHIND_REDIRECTED);
    tide_reader_close(other);
    close_pair(&p);
}

static void get__behind_fallback_error__refused_with_what_could_be_had(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    put_number(p.d, "k", 2);
    uint64_t acknowledged = tide_now(p.d);
    struct tide_bound b = bound_of(TIDE_FALLBACK_ERROR, 0);
    b.wait_ns = TIDE_UNBOUNDED; /* of no meaning here */
    uint64_t called = tide_now(p.d);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_REFUSED);
    assert_int_equal(g.value, 4242);
    assert_int_equal(g.a.reason, TIDE_REASON_REFUSED);
    assert_int_equal(g.a.linearizable, 0);
    assert_int_equal(g.a.served_by, p.slow);
    assert_int_equal(g.a.index, 1);
    assert_true(g.a.staleness_ns >= called - acknowledged);
    /* With that staleness and some time more it is served. */
    b.max_staleness_ns = g.a.staleness_ns + HOUR;
    assert_int_equal(get(p.r, "k", &b).error, 0);
    close_pair(&p);
}

static void get__behind_fallback_wait__times_out_or_is_served_when_the_replica_gets_there(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    struct tide_bound b = bound_of(TIDE_FALLBACK_WAIT, 0);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_TIMEOUT); /* wait_ns is 0 */
    assert_int_equal(g.a.reason, TIDE_REASON_REFUSED);
    b.wait_ns = 3 * MS;
    g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_TIMEOUT);
    assert_true(g.a.waited_ns >= 3 * MS);
    assert_int_equal(g.value, 4242);
    /* The replica gets there while the read waits. */
    assert_int_equal(tide_replica_set_delay(p.d, p.slow, 20 * MS), 0);
    put_number(p.d, "k", 2);
    b.wait_ns = TIDE_UNBOUNDED;
    g = get(p.r, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.value, 2);
    assert_true(g.a.reason == TIDE_REASON_WAITED || g.a.reason == TIDE_REASON_FRESH); /* this thread may have slept */
    assert_int_equal(g.a.served_by, p.slow);
    assert_int_equal(g.a.linearizable, 1);
    b.fallback = TIDE_FALLBACK_LEADER;
    put_number(p.d, "k", 3);
    g = get(p.r, "k", &b);
    assert_int_equal(g.value, 3);
    assert_int_equal(g.a.served_by, p.slow);
    close_pair(&p);
}

static void get__behind_fallback_stale__served_and_flagged(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    put_number(p.d, "k", 2);
    uint64_t acknowledged = tide_now(p.d);
    struct tide_bound b = bound_of(TIDE_FALLBACK_STALE, 0);
    uint64_t called = tide_now(p.d);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, 0);
    assert_int_equal(g.value, 1);
    assert_int_equal(g.a.reason, TIDE_REASON_STALE_BY_CHOICE);
    assert_true(g.a.stale == 1 && g.a.linearizable == 0 && g.a.from_leader == 0);
    assert_true(g.a.staleness_ns >= called - acknowledged);
    close_pair(&p);
}

static void get__fence_not_reached_fallback_stale__served_and_flagged(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    assert_int_equal(tide_put(p.d, p.r, "k", 1, "x", 1, NULL), 0);
    struct tide_bound b = bound_of(TIDE_FALLBACK_STALE, TIDE_UNBOUNDED);
    struct got g = get(p.r, "k", &b);
    assert_int_equal(g.error, TIDE_ERR_NOT_FOUND);
    assert_int_equal(g.a.reason, TIDE_REASON_STALE_BY_CHOICE);
    assert_int_equal(g.a.stale, 1);
    assert_int_equal(g.a.index, 0);
    /* The session's fence stands all the same. */
    struct tide_token token;
    tide_reader_token(p.r, &token);
    assert_int_equal(token.index, 1);
    close_pair(&p);
}

static void get__without_a_leader__no_leader_where_it_is_needed(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    assert_int_equal(tide_replica_stop(p.d, p.leader), 0);
    struct tide_bound b = bound_of(TIDE_FALLBACK_LEADER, 0);
    assert_int_equal(get(p.r, "k", &b).error, TIDE_ERR_NO_LEADER);
    b.fallback = TIDE_FALLBACK_ERROR;
    assert_int_equal(get(p.r, "k", &b).error, TIDE_ERR_REFUSED);
    b.max_staleness_ns = TIDE_UNBOUNDED;
    assert_int_equal(get(p.r, "k", &b).error, TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_replica_stop(p.d, p.slow), 0);
    for (int f = TIDE_FALLBACK_LEADER; f <= TIDE_FALLBACK_STALE; f++) {
        b = bound_of((enum tide_fallback)f, TIDE_UNBOUNDED);
        assert_int_equal(get(p.r, "k", &b).error, f == TIDE_FALLBACK_LEADER ? TIDE_ERR_NO_LEADER : TIDE_ERR_NO_REPLICA);
    }
    close_pair(&p);
}

/* ---- bounds ------------------------------------------------------------------------------------------------------------ */

static void get__max_lag__counts_entries(void **state) {
    (void)state;
    struct pair p = open_pair(HOUR);
    put_number(p.d, "k", 1);
    catch_up(&p);
    for (uint64_t behind = 0; behind < 10; behind++) {
        for (uint64_t max = 0; max < 12; max++) {
            struct tide_bound b = bound_of(TIDE_FALLBACK_ERROR, TIDE_UNBOUNDED);
            b.max_lag = max;
            struct got g = get(p.r, "k", &b);
            assert_int_equal(g.error, behind <= max ? 0 : TIDE_ERR_REFUSED);
            assert_int_equal(g.a.commit_index - g.a.index, behind);
        }
        put_number(p.d, "other", behind);
    }
    close_pair(&p);
}

static void get__bad_bounds_and_arguments__invalid_and_nothing_touched(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    put_number(p.d, "k", 1);
    struct tide_bound b = TIDE_BOUND_INIT;
    struct tide_answer a = TIDE_ANSWER_INIT, small = {.size = sizeof(a) - 1};
    uint64_t value = 4242;
    static char key[65536];
    b.size--;
    assert_int_equal(tide_get(p.r, "k", 1, &b, &value, sizeof(value), NULL), TIDE_ERR_INVALID);
    b.size++;
    b.fallback = 4;
    assert_int_equal(tide_get(p.r, "k", 1, &b, &value, sizeof(value), NULL), TIDE_ERR_INVALID);
    b.fallback = 0;
    assert_int_equal(tide_get(p.r, "k", 1, &b, &value, sizeof(value), &small), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, NULL, 1, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, "k", 0, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, key, 65536, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, key, SIZE_MAX, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(p.r, "k", 1, &b, NULL, 1, &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_get(NULL, "k", 1, &b, &value, sizeof(value), &a), TIDE_ERR_INVALID);
    assert_int_equal(value, 4242);
    assert_true(a.index == 0 && a.commit_index == 0 && a.value_size == 0);
    assert_int_equal(tide_get(p.r, key, 65535, &b, &value, sizeof(value), &a), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_mget(p.r, NULL, 1, &b, &a), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_scan(p.r, NULL, NULL), TIDE_ERR_INVALID);
    close_pair(&p);
}

static void get__buffers_too_small__tell_the_size_and_stay_untouched(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    static uint8_t value[1000], buf[1001];
    memset(value, 7, sizeof(value));
    assert_int_equal(tide_put(p.d, p.r, "k", 1, value, sizeof(value), NULL), 0);
    assert_int_equal(tide_put(p.d, p.r, "empty", 5, NULL, 0, NULL), 0);
    struct tide_answer a = TIDE_ANSWER_INIT;
    memset(buf, 1, sizeof(buf));
    assert_int_equal(tide_get(p.r, "k", 1, NULL, buf, 999, &a), TIDE_ERR_BUFFER);
    assert_true(a.value_size == 1000 && a.version == 1 && buf[0] == 1);
    assert_int_equal(tide_get(p.r, "k", 1, NULL, NULL, 0, &a), TIDE_ERR_BUFFER);
    assert_int_equal(tide_get(p.r, "k", 1, NULL, buf, 1000, &a), 0);
    assert_memory_equal(buf, value, 1000);
    assert_int_equal(buf[1000], 1);
    assert_int_equal(tide_get(p.r, "empty", 5, NULL, NULL, 0, &a), 0);
    assert_true(a.value_size == 0 && a.version == 2);
    assert_int_equal(tide_get(p.r, "none", 4, NULL, buf, 1000, &a), TIDE_ERR_NOT_FOUND);
    assert_true(a.value_size == 0 && a.version == 0 && a.index == 2);
    close_pair(&p);
}

/* ---- policies ---------------------------------------------------------------------------------------------------------- */

static void get__policies__use_the_replicas_as_named(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    uint32_t slow = help_follower(d, HOUR), other = help_follower(d, 0);
    struct tide_token token = {0, put_number(d, "k", 1)};
    struct tide_info info = TIDE_INFO_INIT;
    tide_info(d, &info);
    token.incarnation = info.incarnation;
    assert_int_equal(tide_wait_applied(d, &token, 2, UINT64_MAX), 0);
    struct tide_bound any = bound_of(TIDE_FALLBACK_ERROR, TIDE_UNBOUNDED), fresh = bound_of(TIDE_FALLBACK_ERROR, 0);

    struct tide_reader *sticky = help_reader(d, TIDE_STICKY, (int32_t)other, 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(get(sticky, "k", &fresh).a.served_by, other);
    }
    /* A home that misses the bound: another serves, and home again when it can. */
    struct tide_reader *past = help_reader(d, TIDE_STICKY, (int32_t)slow, 0);
    assert_int_equal(get(past, "k", &any).a.served_by, slow);
    struct got g = get(past, "k", &fresh);
    assert_int_equal(g.a.reason, TIDE_REASON_FRESH);
    assert_int_not_equal(g.a.served_by, slow);

    struct tide_reader *turns = help_reader(d, TIDE_ROUND_ROBIN, -1, 0);
    uint32_t served[3] = {0};
    for (int i = 0; i < 30; i++) {
        g = get(turns, "k", &fresh); /* 0 would be the past: it misses this bound */
        assert_int_equal(g.error, 0);
        served[g.a.served_by]++;
    }
    assert_int_equal(served[0], 15);
    assert_int_equal(served[slow], 0);
    assert_int_equal(served[other], 15);

    struct tide_reader *freshest = help_reader(d, TIDE_FRESHEST, -1, 0);
    for (int i = 0; i < 10; i++) {
        g = get(freshest, "k", &any);
        assert_int_equal(g.a.served_by, 0); /* of equals the lowest number */
        assert_int_equal(g.a.index, 1);
    }
    struct tide_reader *masked = help_reader(d, TIDE_FRESHEST, -1, UINT64_C(1) << slow | UINT64_C(1) << other);
    assert_int_equal(get(masked, "k", &any).a.served_by, other);
    struct tide_reader *nobody = help_reader(d, TIDE_ROUND_ROBIN, -1, UINT64_C(1) << 63);
    assert_int_equal(get(nobody, "k", &any).error, TIDE_ERR_NO_REPLICA);
    any.fallback = TIDE_FALLBACK_LEADER;
    assert_int_equal(get(nobody, "k", &any).a.served_by, 0);
    struct tide_reader *all[] = {sticky, past, turns, freshest, masked, nobody};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        tide_reader_close(all[i]);
    }
    tide_close(d);
}

static void readers__sticky_without_a_home__are_spread(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    help_follower(d, 0);
    help_follower(d, 0);
    uint32_t served[3] = {0};
    for (int i = 0; i < 30; i++) {
        struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
        struct got g = get(r, "k", NULL);
        served[g.a.served_by]++;
        tide_reader_close(r);
    }
    assert_true(served[0] == 10 && served[1] == 10 && served[2] == 10);
    tide_close(d);
}

/* ---- the staleness that is claimed ------------------------------------------------------------------------------------ */

#define CLAIM_WRITES 20000u

struct claims {
    struct tide *d;
    _Atomic uint64_t acknowledged[CLAIM_WRITES + 2]; /* when the put of value k returned; 0: it has not yet */
    uint64_t before[CLAIM_WRITES + 2];
    _Atomic uint64_t begun; /* puts up to this have been called */
    _Atomic bool stop;
    uint32_t replica;
    uint64_t max_staleness_ns;
    uint64_t behind; /* reads that were */
};

static void *read_claims(void *arg) {
    struct claims *c = arg;
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.home = (int32_t)c->replica;
    o.replicas = UINT64_C(1) << c->replica;
    struct tide_reader *r;
    if (!help_check(tide_reader_open(c->d, &o, &r) == 0)) {
        return NULL;
    }
    struct tide_bound b = bound_of(TIDE_FALLBACK_ERROR, c->max_staleness_ns);
    while (!atomic_load(&c->stop)) {
        uint64_t called = tide_now(c->d);
        struct got g = get(r, "k", &b);
        uint64_t returned = tide_now(c->d);
        if (g.error == TIDE_ERR_REFUSED) {
            help_check(g.a.staleness_ns > c->max_staleness_ns);
            continue;
        }
        if (!help_check(g.error == 0 || g.error == TIDE_ERR_NOT_FOUND)) {
            break;
        }
        uint64_t value = g.error == 0 ? g.value : 0;
        help_check(value <= atomic_load(&c->begun)); /* nothing from the future */
        help_check(value == g.a.index);              /* each write is one entry */
        help_check(g.a.staleness_ns <= c->max_staleness_ns);
        help_check((g.a.staleness_ns == 0) == (g.a.reason == TIDE_REASON_FRESH));
        /* What it lacks was acknowledged no longer ago than it says. */
        uint64_t lacks = value + 1 <= CLAIM_WRITES ? atomic_load(&c->acknowledged[value + 1]) : 0;
        if (lacks != 0 && lacks < called) {
            help_check(g.a.staleness_ns >= called - lacks);
            help_check(!g.a.linearizable);
            c->behind++;
        }
        /* And it is exact: no older than since before that write was even begun. */
        if (g.a.staleness_ns > 0 && value + 1 <= atomic_load(&c->begun)) {
            uint64_t age = returned - c->before[value + 1];
            help_check(g.a.staleness_ns <= age + age / 1000 + 1000);
        }
    }
    tide_reader_close(r);
    return NULL;
}

static void get__beside_a_writer__staleness_is_never_less_than_the_truth(void **state) {
    (void)state;
    static struct claims c[3];
    for (int round = 0; round < 3; round++) {
        struct tide *d = help_open(0, 0, 0);
        help_leader(d);
        pthread_t threads[2];
        const uint64_t delays[] = {0, 1 * MS, 3 * MS};
        for (int i = 0; i < 2; i++) {
            memset(&c[i], 0, sizeof(c[i]));
            c[i].d = d;
            c[i].max_staleness_ns = round == 2 ? 2 * MS : HOUR;
            c[i].replica = help_follower(d, delays[(round + i) % 3]);
            assert_int_equal(pthread_create(&threads[i], NULL, read_claims, &c[i]), 0);
        }
        uint64_t writes = help_scaled(CLAIM_WRITES / 2);
        for (uint64_t k = 1; k <= writes; k++) {
            uint64_t now = tide_now(d);
            for (int i = 0; i < 2; i++) {
                c[i].before[k] = now;
                atomic_store(&c[i].begun, k);
            }
            assert_int_equal(put_number(d, "k", k), k);
            now = tide_now(d);
            for (int i = 0; i < 2; i++) {
                atomic_store(&c[i].acknowledged[k], now);
            }
            for (volatile int spin = 0; spin < 200; spin++) {
            }
        }
        uint64_t behind = 0;
        for (int i = 0; i < 2; i++) {
            atomic_store(&c[i].stop, true);
            pthread_join(threads[i], NULL);
            behind += c[i].behind;
        }
        help_assert_threads();
        (void)behind;
        tide_close(d);
    }
}

/* ---- linearizable reads ------------------------------------------------------------------------------------------------ */

struct pingpong {
    struct tide *d;
    _Atomic uint64_t acknowledged;
    _Atomic bool stop;
};

static void *read_latest(void *arg) {
    struct pingpong *c = arg;
    struct tide_reader *r;
    if (!help_check(tide_reader_open(c->d, NULL, &r) == 0)) {
        return NULL;
    }
    while (!atomic_load(&c->stop)) {
        uint64_t least = atomic_load(&c->acknowledged);
        struct got g = get(r, "k", NULL);
        help_check(g.error == 0 || (g.error == TIDE_ERR_NOT_FOUND && least == 0));
        help_check(g.error != 0 || g.value >= least);
        help_check(g.a.linearizable == 1);
    }
    tide_reader_close(r);
    return NULL;
}

static void get__bound_zero_beside_a_writer__sees_every_acknowledged_write(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    for (int i = 0; i < 3; i++) {
        help_follower(d, 0);
    }
    struct pingpong c = {.d = d};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, read_latest, &c), 0);
    }
    for (uint64_t k = 1; k <= help_scaled(100000); k++) {
        put_number(d, "k", k);
        atomic_store(&c.acknowledged, k);
    }
    atomic_store(&c.stop, true);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    tide_close(d);
}

/* ---- sessions ------------------------------------------------------------------------------------------------------------ */

static void sessions__over_replicas_of_different_age__read_their_writes_and_never_go_back(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    help_follower(d, 0);
    help_follower(d, 1 * MS);
    help_follower(d, 3 * MS);
    struct tide_reader *a = help_reader(d, TIDE_ROUND_ROBIN, -1, 0), *b = help_reader(d, TIDE_ROUND_ROBIN, -1, 0);
    uint64_t last_a = 0, last_b = 0;
    for (uint64_t k = 1; k <= help_scaled(3000); k++) {
        struct tide_token token;
        assert_int_equal(tide_put(d, a, "k", 1, &k, sizeof(k), &token), 0);
        struct tide_bound bound = bound_of((enum tide_fallback)(k % 2), TIDE_UNBOUNDED);
        bound.wait_ns = TIDE_UNBOUNDED;
        for (int i = 0; i < 3; i++) {
            struct got g = get(a, "k", &bound);
            assert_int_equal(g.error, 0);
            assert_int_equal(g.value, k);
            assert_true(g.a.index >= last_a);
            last_a = g.a.index;
        }
        /* Another session sees the past, and never an older one than before; with the token handed on, this write. */
        struct got g = get(b, "k", &bound);
        assert_true(g.error == 0 || (g.error == TIDE_ERR_NOT_FOUND && last_b == 0));
        assert_true(g.a.index >= last_b && (g.error != 0 || g.value == g.a.index));
        last_b = g.a.index;
        if (k % 8 == 0) {
            assert_int_equal(tide_reader_token(a, &token), 0);
            assert_int_equal(tide_reader_observe(b, &token), 0);
            g = get(b, "k", &bound);
            assert_int_equal(g.value, k);
            last_b = g.a.index;
        }
    }
    tide_reader_close(a);
    tide_reader_close(b);
    tide_close(d);
}

/* ---- many keys at one index ------------------------------------------------------------------------------------------- */

static void tide_mget__any_mixture__equals_single_gets(void **state) {
    (void)state;
    struct help_rng r = {help_seed()};
    struct pair p = open_pair(0);
    enum { KEYS = 500, ITEMS = 300 };
    for (uint64_t k = 0; k < KEYS; k += 1 + k % 2) {
        uint8_t value[300];
        memset(value, (int)k, sizeof(value));
        assert_int_equal(tide_put(p.d, NULL, &k, sizeof(k), value, k % sizeof(value), NULL), 0);
    }
    static uint64_t keys[ITEMS];
    static uint8_t bufs[ITEMS][300], one[300];
    static struct tide_mget_item items[ITEMS];
    for (uint64_t round = 0; round < help_scaled(200); round++) {
        size_t n = 1 + help_below(&r, ITEMS);
        memset(bufs, 0x5a, sizeof(bufs));
        for (size_t i = 0; i < n; i++) {
            keys[i] = help_below(&r, KEYS);
            items[i] = (struct tide_mget_item){.key = &keys[i], .key_len = 8, .buf = bufs[i],
                                               .buf_size = help_below(&r, sizeof(one)), .result = 77};
            if (help_below(&r, 20) == 0) {
                items[i].key_len = help_below(&r, 2) == 0 ? 0 : 65536;
            } else if (help_below(&r, 20) == 0) {
                items[i].buf = NULL;
            }
        }
        struct tide_answer a = TIDE_ANSWER_INIT, b = TIDE_ANSWER_INIT;
        assert_int_equal(tide_mget(p.r, items, n, NULL, &a), 0);
        assert_true(a.value_size == 0 && a.version == 0 && a.index >= 250);
        for (size_t i = 0; i < n; i++) {
            memset(one, 0x5a, sizeof(one));
            b = (struct tide_answer)TIDE_ANSWER_INIT;
            int want = tide_get(p.r, items[i].key, items[i].key_len, NULL, items[i].buf == NULL ? NULL : one,
                                items[i].buf_size, &b);
            assert_int_equal(items[i].result, want);
            assert_int_equal(items[i].value_size, b.value_size);
            assert_int_equal(items[i].version, b.version);
            assert_memory_equal(bufs[i], one, sizeof(one));
        }
    }
    close_pair(&p);
}

#define BALANCES 64u

struct storm {
    struct tide *d;
    _Atomic bool stop;
    uint32_t home;
    uint64_t sections;
};

struct sum {
    uint64_t keys, total, newest;
    bool bad;
};

static int add_up(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size, uint64_t version) {
    struct sum *s = ctx;
    uint64_t balance;
    if (key_len != 8 || value_size != 8) {
        return 0; /* others' */
    }
    (void)key;
    memcpy(&balance, value, sizeof(balance));
    s->keys++;
    s->total += balance;
    s->newest = version > s->newest ? version : s->newest;
    return 0;
}

/* Transfers between accounts are batches: at each index the sum is the same, and any mix of two indexes is not. */
static void *sum_in_sections(void *arg) {
    struct storm *s = arg;
    struct tide_reader_opts o = TIDE_READER_OPTS_INIT;
    o.home = (int32_t)s->home;
    struct tide_reader *r;
    if (!help_check(tide_reader_open(s->d, &o, &r) == 0)) {
        return NULL;
    }
    struct tide_bound any = bound_of(TIDE_FALLBACK_LEADER, TIDE_UNBOUNDED);
    while (!atomic_load(&s->stop)) {
        struct tide_answer a = TIDE_ANSWER_INIT;
        if (!help_check(tide_section_begin(r, &any, &a) == 0)) {
            break;
        }
        struct sum first = {0}, second = {0};
        uint64_t total = 0, versions[BALANCES];
        const void *places[BALANCES];
        for (uint64_t k = 0; k < BALANCES; k++) {
            uint64_t balance = 0;
            size_t size = 0;
            help_check(tide_section_get(r, &k, 8, &balance, 8, &size, &versions[k]) == 0 && size == 8);
            help_check(versions[k] <= a.index);
            total += balance;
        }
        help_check(total == BALANCES * 1000);
        help_check(tide_section_scan(r, add_up, &first) == 0);
        help_check(first.keys == BALANCES && first.total == total && first.newest <= a.index);
        for (uint64_t k = 0; k < BALANCES; k++) {
            size_t size;
            uint64_t version;
            help_check(tide_section_peek(r, &k, 8, &places[k], &size, &version) == 0 && version == versions[k]);
        }
        help_check(tide_section_scan(r, add_up, &second) == 0);
        help_check(second.keys == BALANCES && second.total == total && second.newest == first.newest);
        total = 0;
        for (uint64_t k = 0; k < BALANCES; k++) {
            uint64_t balance;
            memcpy(&balance, places[k], 8); /* still there, and as it was */
            total += balance;
        }
        help_check(total == BALANCES * 1000);
        help_check(tide_section_end(r) == 0);
        /* The same by mget. */
        struct tide_mget_item items[BALANCES];
        uint64_t keys[BALANCES], values[BALANCES];
        for (uint64_t k = 0; k < BALANCES; k++) {
            keys[k] = k;
            items[k] = (struct tide_mget_item){.key = &keys[k], .key_len = 8, .buf = &values[k], .buf_size = 8};
        }
        help_check(tide_mget(r, items, BALANCES, &any, NULL) == 0);
        total = 0;
        for (uint64_t k = 0; k < BALANCES; k++) {
            help_check(items[k].result == 0);
            total += values[k];
        }
        help_check(total == BALANCES * 1000);
        s->sections++;
    }
    tide_reader_close(r);
    return NULL;
}

static void sections_and_mgets__beside_a_writer_of_batches__see_exactly_one_index(void **state) {
    (void)state;
    struct help_rng r = {help_seed()};
    struct tide *d = help_open(UINT64_C(1) << 20, UINT64_C(8) << 20, 0);
    uint32_t homes[3] = {help_leader(d), help_follower(d, 0), help_follower(d, 1 * MS)};
    uint64_t balance[BALANCES];
    struct tide_op ops[BALANCES];
    uint64_t keys[BALANCES];
    for (uint64_t k = 0; k < BALANCES; k++) {
        balance[k] = 1000;
        keys[k] = k;
        ops[k] = (struct tide_op){.kind = TIDE_OP_PUT, .key = &keys[k], .key_len = 8, .value = &balance[k], .value_size = 8};
    }
    struct tide_token token;
    assert_int_equal(tide_batch(d, NULL, ops, BALANCES, &token, NULL), 0);
    assert_int_equal(tide_wait_applied(d, &token, 3, UINT64_MAX), 0);
    struct storm s[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        s[i] = (struct storm){.d = d, .home = homes[i]};
        assert_int_equal(pthread_create(&threads[i], NULL, sum_in_sections, &s[i]), 0);
    }
    uint64_t extra = 1000;
    for (uint64_t n = 0; n < help_scaled(60000); n++) {
        uint64_t from = help_below(&r, BALANCES), to = help_below(&r, BALANCES), amount = help_below(&r, balance[from] + 1);
        balance[from] -= amount;
        balance[to] += amount;
        struct tide_op two[3];
        size_t count = 0;
        /* Now and then an account is deleted and put again in the same batch: no section misses it. */
        if (n % 5 == 0) {
            two[count++] = (struct tide_op){.kind = TIDE_OP_DELETE, .key = &from, .key_len = 8};
        }
        two[count++] =
            (struct tide_op){.kind = TIDE_OP_PUT, .key = &from, .key_len = 8, .value = &balance[from], .value_size = 8};
        two[count++] = (struct tide_op){.kind = TIDE_OP_PUT, .key = &to, .key_len = 8, .value = &balance[to], .value_size = 8};
        assert_int_equal(tide_batch(d, NULL, two, count, NULL, NULL), 0);
        /* Others come and go, so that tables grow and tombstones are cleared. */
        char other[32];
        int len = snprintf(other, sizeof(other), "other %llu", (unsigned long long)help_below(&r, 5000));
        extra++;
        int error = n % 3 == 0 ? tide_delete(d, NULL, other, (size_t)len, NULL)
                               : tide_put(d, NULL, other, (size_t)len, &extra, 4, NULL);
        assert_int_equal(error, 0);
    }
    for (int i = 0; i < 3; i++) {
        atomic_store(&s[i].stop, true);
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    help_assert_equal_digests(d);
    tide_close(d);
}

static int stop_at_third(void *ctx, const void *key, size_t key_len, const void *value, size_t value_size,
                         uint64_t version) {
    (void)key, (void)key_len, (void)value, (void)value_size, (void)version;
    return ++*(int *)ctx == 3 ? -33 : 0;
}

static void tide_section_scan__callback_that_has_enough__ends_it(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    for (uint64_t i = 0; i < 10; i++) {
        assert_int_equal(tide_put(p.d, p.r, &i, 8, &i, 8, NULL), 0);
    }
    int calls = 0;
    assert_int_equal(tide_section_scan(p.r, stop_at_third, &calls), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_begin(p.r, NULL, NULL), 0);
    assert_int_equal(tide_section_scan(p.r, stop_at_third, &calls), -33);
    assert_int_equal(calls, 3);
    assert_int_equal(tide_section_end(p.r), 0);
    close_pair(&p);
}

static void tide_section_get__errors__leave_everything_untouched(void **state) {
    (void)state;
    struct pair p = open_pair(0);
    put_number(p.d, "k", 9);
    uint64_t value = 1, version = 2;
    size_t size = 3;
    const void *at = &value;
    assert_int_equal(tide_section_get(p.r, "k", 1, &value, 8, &size, &version), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_peek(p.r, "k", 1, &at, &size, &version), TIDE_ERR_THREAD);
    assert_int_equal(tide_section_begin(p.r, NULL, NULL), 0);
    assert_int_equal(tide_section_get(p.r, "none", 4, &value, 8, &size, &version), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_section_peek(p.r, "none", 4, &at, &size, &version), TIDE_ERR_NOT_FOUND);
    assert_int_equal(tide_section_get(p.r, "k", 0, &value, 8, &size, &version), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_get(p.r, NULL, 1, &value, 8, &size, &version), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_get(p.r, "k", 1, NULL, 8, &size, &version), TIDE_ERR_INVALID);
    assert_int_equal(tide_section_peek(p.r, "k", 1, NULL, &size, &version), TIDE_ERR_INVALID);
    assert_true(value == 1 && size == 3 && version == 2 && at == &value);
    assert_int_equal(tide_section_get(p.r, "k", 1, &value, 4, &size, &version), TIDE_ERR_BUFFER);
    assert_true(value == 1 && size == 8 && version == 1); /* what is needed */
    assert_int_equal(tide_section_get(p.r, "k", 1, &value, 8, NULL, NULL), 0);
    assert_int_equal(value, 9);
    assert_int_equal(tide_section_end(p.r), 0);
    close_pair(&p);
}

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__replica_that_has_everything__fresh_whatever_the_fallback),
        cmocka_unit_test(get__behind_but_within_the_bound__served_whatever_the_fallback),
        cmocka_unit_test(get__behind_fallback_leader__redirected),
        cmocka_unit_test(get__fence_not_reached_fallback_leader__behind_redirected),
        cmocka_unit_test(get__behind_fallback_error__refused_with_what_could_be_had),
        cmocka_unit_test(get__behind_fallback_wait__times_out_or_is_served_when_the_replica_gets_there),
        cmocka_unit_test(get__behind_fallback_stale__served_and_flagged),
        cmocka_unit_test(get__fence_not_reached_fallback_stale__served_and_flagged),
        cmocka_unit_test(get__without_a_leader__no_leader_where_it_is_needed),
        cmocka_unit_test(get__max_lag__counts_entries),
        cmocka_unit_test(get__bad_bounds_and_arguments__invalid_and_nothing_touched),
        cmocka_unit_test(get__buffers_too_small__tell_the_size_and_stay_untouched),
        cmocka_unit_test(get__policies__use_the_replicas_as_named),
        cmocka_unit_test(readers__sticky_without_a_home__are_spread),
        cmocka_unit_test(get__beside_a_writer__staleness_is_never_less_than_the_truth),
        cmocka_unit_test(get__bound_zero_beside_a_writer__sees_every_acknowledged_write),
        cmocka_unit_test(sessions__over_replicas_of_different_age__read_their_writes_and_never_go_back),
        cmocka_unit_test(tide_mget__any_mixture__equals_single_gets),
        cmocka_unit_test(sections_and_mgets__beside_a_writer_of_batches__see_exactly_one_index),
        cmocka_unit_test(tide_section_scan__callback_that_has_enough__ends_it),
        cmocka_unit_test(tide_section_get__errors__leave_everything_untouched),
    };
    return cmocka_run_group_tests_name("reads", tests, NULL, NULL);
}
