/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What answers claim, against the truth: staleness, linearizable reads, sessions, policies. */
#include <pthread.h>
#include <stdatomic.h>

#include "tests/lib/pair.h"

/* ---- policies ---------------------------------------------------------------------------------------------------- */

static void get__policies__use_the_replicas_as_named(void **state) {
    (void)state;
    struct tide *d = help_open(0, 0, 0);
    help_leader(d);
    uint32_t slow = help_follower(d, HOUR), other = help_follower(d, 0);
    struct tide_token token = { 0, put_number(d, "k", 1) };
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
    uint32_t served[3] = { 0 };
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
    struct tide_reader *all[] = { sticky, past, turns, freshest, masked, nobody };
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
    uint32_t served[3] = { 0 };
    for (int i = 0; i < 30; i++) {
        struct tide_reader *r = help_reader(d, TIDE_STICKY, -1, 0);
        struct got g = get(r, "k", NULL);
        served[g.a.served_by]++;
        tide_reader_close(r);
    }
    assert_true(served[0] == 10 && served[1] == 10 && served[2] == 10);
    tide_close(d);
}

/* ---- the staleness that is claimed ------------------------------------------------------------------------------- */

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
        const uint64_t delays[] = { 0, 1 * MS, 3 * MS };
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

/* ---- linearizable reads ------------------------------------------------------------------------------------------ */

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
    struct pingpong c = { .d = d };
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

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

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

int main(void) {
    help_start(55);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__policies__use_the_replicas_as_named),
        cmocka_unit_test(readers__sticky_without_a_home__are_spread),
        cmocka_unit_test(get__beside_a_writer__staleness_is_never_less_than_the_truth),
        cmocka_unit_test(get__bound_zero_beside_a_writer__sees_every_acknowledged_write),
        cmocka_unit_test(sessions__over_replicas_of_different_age__read_their_writes_and_never_go_back),
    };
    return cmocka_run_group_tests_name("read_claims", tests, NULL, NULL);
}
