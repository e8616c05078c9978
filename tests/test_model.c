/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Long random sequences of everything that a domain can do, against a plain reference. Repeat one with TIDE_SEED=. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "tests/lib/model.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define MS UINT64_C(1000000)
#define HOUR (UINT64_C(3600) * 1000 * MS)
#define READERS 6

/* Another thread that writes, so that sections of this one can be open meanwhile. The thread that has the turn owns the model. */
struct hand {
    pthread_t thread;
    _Atomic uint64_t asked, done; /* bursts */
    sem_t more;                   /* posted after each `asked`, and after `stop` */
    _Atomic bool stop;
    struct world *world;
};

struct world {
    struct model m;
    struct tide *d;
    struct tide_reader *readers[READERS];
    int32_t leader;  /* -1: none */
    uint32_t keeper; /* a follower that always runs, so that newcomers have a donor */
    bool running[TIDE_REPLICAS];
    uint32_t count;
    struct hand hand;
    uint64_t reads, sections, laps, restarts;
};

static void *hand_write(void *arg) {
    struct hand *h = arg;
    for (uint64_t served = 1;; served++) {
        while (sem_wait(&h->more) != 0) { /* a signal */
        }
        if (atomic_load(&h->stop)) {
            return NULL;
        }
        struct world *w = h->world;
        for (uint64_t n = 1 + help_below(&w->m.rng, 20); n > 0; n--) {
            model_write(&w->m, w->d, NULL, w->leader >= 0);
        }
        atomic_store(&h->done, served);
    }
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static struct tide_bound random_bound(struct world *w) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct help_rng *r = &w->m.rng;
    b.fallback = (uint32_t)help_below(r, 4);
    const uint64_t staleness[] = { 0, 0, 1 * MS, 100 * MS, TIDE_UNBOUNDED };
    b.max_staleness_ns = staleness[help_below(r, 5)];
    b.max_lag = help_below(r, 3) == 0 ? help_below(r, 50) : TIDE_UNBOUNDED;
    b.wait_ns = help_below(r, 2) == 0 ? help_below(r, MS / 2) : 0;
    if (help_below(r, 6) == 0) {
        struct tide_info info = TIDE_INFO_INIT;
        tide_info(w->d, &info);
        b.min = (struct tide_token){ info.incarnation, info.commit_index - help_below(r, info.commit_index + 1) };
        b.min.incarnation = b.min.index == 0 ? 0 : b.min.incarnation;
    }
    return b;
}

static bool fair_failure(int error, const struct tide_bound *b) {
    return (error == TIDE_ERR_REFUSED && b->fallback == TIDE_FALLBACK_ERROR) ||
           (error == TIDE_ERR_TIMEOUT && b->fallback <= TIDE_FALLBACK_WAIT) ||
           (error == TIDE_ERR_NO_LEADER && b->fallback == TIDE_FALLBACK_LEADER) ||
           (error == TIDE_ERR_NO_REPLICA && b->fallback != TIDE_FALLBACK_LEADER);
}

/* What the answer says of itself. before: the session's fence. known: the commit index before the call. Takes in what the leader did
 * by itself meanwhile, up to the answer's index at least. */
static void check_answer(struct world *w, const struct tide_answer *a, const struct tide_bound *b, uint64_t before,
                         uint64_t known) {
    model_sync(&w->m, w->d);
    assert_true(a->index <= w->m.commit && a->commit_index <= w->m.commit);
    assert_true(!a->linearizable || a->index >= known);
    if (a->reason == TIDE_REASON_STALE_BY_CHOICE) {
        assert_true(a->stale == 1 && b->fallback == TIDE_FALLBACK_STALE);
    } else {
        assert_true(a->stale == 0 && a->index >= before && a->index >= b->min.index);
        assert_true(a->staleness_ns <= b->max_staleness_ns);
        assert_true(a->index >= a->commit_index || a->commit_index - a->index <= b->max_lag);
    }
    assert_int_equal(a->from_leader, (int32_t)a->served_by == w->leader);
    assert_true(w->running[a->served_by]);
}

static uint64_t fence_of(struct tide_reader *r) {
    struct tide_token t;
    assert_int_equal(tide_reader_token(r, &t), 0);
    return t.index;
}

/* What is left of a value's life, as the answer tells it. */
static void check_left(const struct model_version *v, int error, uint64_t ttl_ns, const struct model_span *span) {
    if (error != 0) {
        assert_int_equal(ttl_ns, 0);
    } else if (v->expiry == MODEL_FOREVER) {
        assert_true(ttl_ns == TIDE_TTL_NONE);
    } else {
        assert_true(ttl_ns > v->expiry - span->high && ttl_ns <= v->expiry - span->low);
    }
}

static void step_get(struct world *w) {
    struct tide_reader *r = w->readers[help_below(&w->m.rng, READERS)];
    struct tide_bound b = random_bound(w);
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint32_t k = (uint32_t)help_below(&w->m.rng, MODEL_KEYS);
    uint8_t key[MODEL_KEY_MOST], value[MODEL_VALUE_MOST];
    uint64_t before = fence_of(r), known = w->m.commit;
    struct model_span span = { tide_now(w->d), 0 };
    int error = tide_get(r, key, model_key(k, key), &b, value, sizeof(value), &a);
    span.high = tide_now(w->d) + 1;
    if (error != 0 && error != TIDE_ERR_NOT_FOUND) {
        assert_true(fair_failure(error, &b));
        return;
    }
    check_answer(w, &a, &b, before, known);
    const struct model_version *want = model_at(&w->m, k, a.index);
    assert_true(model_saw(&span, want, error == 0));
    assert_true(error != 0 || model_is(want, value, a.value_size, a.version));
    check_left(want, error, a.ttl_ns, &span);
    w->reads++;
}

static void step_mget(struct world *w) {
    enum { N = 40 };
    struct tide_reader *r = w->readers[help_below(&w->m.rng, READERS)];
    struct tide_bound b = random_bound(w);
    struct tide_answer a = TIDE_ANSWER_INIT;
    static uint8_t keys[N][MODEL_KEY_MOST], values[N][MODEL_VALUE_MOST];
    struct tide_mget_item items[N];
    uint32_t k[N];
    for (int i = 0; i < N; i++) {
        k[i] = (uint32_t)help_below(&w->m.rng, MODEL_KEYS);
        items[i] = (struct tide_mget_item){ .key = keys[i], .buf = values[i], .buf_size = MODEL_VALUE_MOST };
        items[i].key_len = model_key(k[i], keys[i]);
    }
    uint64_t before = fence_of(r), known = w->m.commit;
    struct model_span span = { tide_now(w->d), 0 };
    int error = tide_mget(r, items, N, &b, &a);
    span.high = tide_now(w->d) + 1;
    if (error != 0) {
        assert_true(fair_failure(error, &b));
        return;
    }
    check_answer(w, &a, &b, before, known);
    for (int i = 0; i < N; i++) { /* one instant for all of them */
        const struct model_version *want = model_at(&w->m, k[i], a.index);
        bool found = items[i].result == 0;
        assert_true(found || items[i].result == TIDE_ERR_NOT_FOUND);
        assert_true(model_saw(&span, want, found));
        assert_true(!found || model_is(want, values[i], items[i].value_size, items[i].version));
    }
    w->reads++;
}

static void step_section(struct world *w) {
    struct tide_reader *r = w->readers[help_below(&w->m.rng, READERS)];
    struct tide_bound b = random_bound(w);
    struct tide_answer a = TIDE_ANSWER_INIT;
    uint64_t before = fence_of(r), known = w->m.commit;
    struct model_span span = { tide_now(w->d), 0 };
    int error = tide_section_begin(r, &b, &a);
    span.high = tide_now(w->d) + 1;
    if (error != 0) {
        assert_true(fair_failure(error, &b));
        return;
    }
    check_answer(w, &a, &b, before, known);
    model_check_section(&w->m, r, a.index, &span);
    /* Twice a burst from another thread, and the same state each time. A writer that has run out of spare memory waits
     * for this section: then it ends unchecked. */
    for (int i = 0; i < 2; i++) {
        uint64_t asked = atomic_fetch_add(&w->hand.asked, 1) + 1;
        assert_int_equal(sem_post(&w->hand.more), 0);
        uint64_t until = tide_now(w->d) + (w->m.large ? 10 : 500) * MS; /* in a small table most bursts wait */
        while (atomic_load(&w->hand.done) != asked && tide_now(w->d) < until) {
            sched_yield();
        }
        if (atomic_load(&w->hand.done) != asked) {
            break;
        }
        model_check_section(&w->m, r, a.index, &span);
    }
    assert_int_equal(tide_section_end(r), 0);
    while (atomic_load(&w->hand.done) != atomic_load(&w->hand.asked)) {
        sched_yield();
    }
    w->sections++;
    help_assert_threads();
}

/* ---- replicas come and go ---------------------------------------------------------------------------------------- */

static void start(struct world *w, enum tide_role role) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = role;
    uint32_t id;
    assert_int_equal(tide_replica_start(w->d, &o, &id), 0);
    w->running[id] = true;
    w->count++;
    if (role == TIDE_LEADER) {
        w->leader = (int32_t)id;
        struct tide_info info = TIDE_INFO_INIT;
        tide_info(w->d, &info);
        w->m.commit += info.term > 1; /* its entry that says so */
        assert_true(info.commit_index == w->m.commit || w->m.watch != NULL);
        model_sync(&w->m, w->d);
    }
}

static void stop(struct world *w, uint32_t id) {
    w->laps += help_info(w->d, id).lapped;
    assert_int_equal(tide_replica_stop(w->d, id), 0);
    w->running[id] = false;
    w->count--;
    w->leader = (int32_t)id == w->leader ? -1 : w->leader;
}

static void wait_for_keeper(struct world *w) {
    while (help_state(w->d, w->keeper) != TIDE_STATE_SERVING || help_info(w->d, w->keeper).lag != 0) {
        assert_int_not_equal(help_state(w->d, w->keeper), TIDE_STATE_FAILED);
        sched_yield();
    }
}

static uint32_t random_replica(struct world *w) {
    for (;;) {
        uint32_t id = (uint32_t)help_below(&w->m.rng, TIDE_REPLICAS);
        if (w->running[id] && id != w->keeper) {
            return id;
        }
    }
}

static void step_replicas(struct world *w) {
    struct help_rng *r = &w->m.rng;
    if (w->leader < 0) {
        wait_for_keeper(w);
        start(w, TIDE_LEADER);
        w->restarts++;
    } else if (w->count < 4 || (w->count < 6 && help_below(r, 2) == 0)) {
        start(w, TIDE_FOLLOWER);
    } else {
        uint32_t id = random_replica(w);
        if ((int32_t)id == w->leader) {
            wait_for_keeper(w); /* else no replica would have all that was committed */
        }
        stop(w, id);
    }
}

static void step_delay(struct world *w) {
    if (w->count < 3) {
        return;
    }
    const uint64_t delays[] = { 0, 0, 100000, 1 * MS, HOUR };
    uint32_t id = random_replica(w);
    if ((int32_t)id != w->leader) {
        assert_int_equal(tide_replica_set_delay(w->d, id, delays[help_below(&w->m.rng, 5)]), 0);
    }
}

/* The leader removes what has expired whenever it likes: until no entry of its own comes between, all replicas are compared again. */
static void await_equal_replicas(struct world *w) {
    struct tide_verify v = TIDE_VERIFY_INIT;
    do {
        sched_yield();
        assert_int_equal(tide_verify(w->d, &v), 0);
        assert_true(v.differing == 0 && v.damaged == 0);
    } while (v.replicas != w->count || v.compared != v.replicas || v.index != model_commit(w->d));
}

/* All replicas catch up, and each has what the model has. */
static void step_settle(struct world *w) {
    if (w->leader < 0) {
        wait_for_keeper(w);
        start(w, TIDE_LEADER);
    }
    for (uint32_t id = 0; id < TIDE_REPLICAS; id++) {
        if (w->running[id] && (int32_t)id != w->leader) {
            assert_int_equal(tide_replica_set_delay(w->d, id, 0), 0);
        }
    }
    model_sync(&w->m, w->d);
    uint64_t known = w->m.commit; /* every replica has so much below; what the leader removes meanwhile, not yet each */
    if (w->m.watch == NULL) {
        help_assert_equal_digests(w->d);
    } else {
        await_equal_replicas(w);
    }
    model_sync(&w->m, w->d);
    assert_true(w->m.watch != NULL ? model_commit(w->d) >= w->m.commit : model_commit(w->d) == w->m.commit);
    for (uint32_t id = 0; id < TIDE_REPLICAS; id++) {
        if (!w->running[id]) {
            continue;
        }
        struct tide_reader *r = help_reader(w->d, TIDE_STICKY, (int32_t)id, UINT64_C(1) << id);
        struct tide_answer a = TIDE_ANSWER_INIT;
        struct model_span span = { tide_now(w->d), 0 };
        /* A follower that a removal by the leader has just overtaken would send the reader to the leader. */
        struct tide_bound b = TIDE_BOUND_INIT;
        b.max_staleness_ns = w->m.watch != NULL ? TIDE_UNBOUNDED : 0;
        assert_int_equal(tide_section_begin(r, &b, &a), 0);
        span.high = tide_now(w->d) + 1;
        model_sync(&w->m, w->d);
        assert_true(a.served_by == id && a.index >= known);
        assert_true(a.linearizable == 1 || w->m.watch != NULL);
        model_check_section(&w->m, r, a.index, &span);
        assert_int_equal(tide_section_end(r), 0);
        tide_reader_close(r);
    }
    help_assert_threads();
}

static void step(struct world *w) {
    uint64_t what = help_below(&w->m.rng, 1000);
    if (what < 600) {
        struct tide_reader *session = help_below(&w->m.rng, 3) == 0 ? w->readers[help_below(&w->m.rng, READERS)] : NULL;
        model_write(&w->m, w->d, session, w->leader >= 0);
    } else if (what < 900) {
        step_get(w);
    } else if (what < 950) {
        step_mget(w);
    } else if (what < 970) {
        step_section(w);
    } else if (what < 985) {
        step_delay(w);
    } else if (what < 997) {
        step_replicas(w);
    } else if (what == 997) {
        step_settle(w);
    } else if (what == 998 && w->m.watch != NULL && w->leader >= 0) {
        model_clear(&w->m, w->d);
    }
    model_sync(&w->m, w->d);
    assert_int_equal(model_commit(w->d) < w->m.commit, 0);
    assert_true(w->m.watch != NULL || model_commit(w->d) == w->m.commit);
}

/* Keys still expire while the domain's counts are asked for: watch and counts are read until both are of one moment. Counts that never agree stay
 * different, and fail the test. */
static void settle_counts(struct world *w, struct tide_info *info) {
    bool same = false;
    for (int tries = 0; tries < 1000 && !same; tries++) {
        if (tries != 0) {
            usleep(1000);
        }
        model_sync(&w->m, w->d);
        tide_info(w->d, info);
        same = w->m.watch == NULL || (info->expired_total == w->m.expired && info->evicted_total == w->m.evicted);
    }
}

/* Returns the model, for what it counted. */
static const struct model *run_model(uint64_t seed, const struct tide_opts *opts, uint64_t steps) {
    static struct world w;
    memset(&w, 0, sizeof(w));
    model_open(&w.m, seed);
    struct tide_opts o = *opts;
    o.flags = TIDE_CREATE | TIDE_EXCLUSIVE | TIDE_EPHEMERAL;
    o.write_timeout_ns = help_write_timeout_ns;
    assert_int_equal(tide_open(&w.d, help_name(), &o), 0);
    w.leader = -1;
    w.m.default_ttl_ns = o.default_ttl_ns;
    w.m.large = o.table_bytes <= 256 * KIB;
    w.m.evicts = o.evict != TIDE_EVICT_NONE;
    if (w.m.evicts || o.default_ttl_ns != 0) {
        assert_int_equal(tide_watch_open(w.d, NULL, &w.m.watch), 0);
    }
    start(&w, TIDE_FOLLOWER);
    start(&w, TIDE_LEADER);
    for (int i = 0; i < READERS; i++) {
        w.readers[i] = help_reader(w.d, (enum tide_policy)(i % 3), -1, i == 3 ? UINT64_C(0xf0) : 0);
    }
    w.hand.world = &w;
    assert_int_equal(sem_init(&w.hand.more, 0, 0), 0);
    assert_int_equal(pthread_create(&w.hand.thread, NULL, hand_write, &w.hand), 0);
    for (uint64_t i = 0; i < steps; i++) {
        step(&w);
        help_assert_threads();
    }
    step_settle(&w);
    atomic_store(&w.hand.stop, true);
    sem_post(&w.hand.more);
    pthread_join(w.hand.thread, NULL);
    sem_destroy(&w.hand.more);
    for (int i = 0; i < READERS; i++) {
        assert_int_equal(tide_reader_close(w.readers[i]), 0);
    }
    struct tide_info info = TIDE_INFO_INIT;
    settle_counts(&w, &info);
    printf(
        "# %llu puts, %llu deletes, %llu batches, %llu mismatches, %llu full, %llu reads, %llu sections, %llu leaders, "
        "%llu laps\n",
        (unsigned long long)w.m.puts, (unsigned long long)w.m.deletes, (unsigned long long)w.m.batches,
        (unsigned long long)w.m.mismatches, (unsigned long long)w.m.full, (unsigned long long)w.reads,
        (unsigned long long)w.sections, (unsigned long long)w.restarts + 1, (unsigned long long)info.lapped_total);
    if (w.m.watch != NULL) {
        printf("# %llu touches, %llu adds, %llu expired, %llu evicted, %llu touches and adds refused\n",
               (unsigned long long)w.m.touches, (unsigned long long)w.m.adds, (unsigned long long)w.m.expired,
               (unsigned long long)w.m.evicted, (unsigned long long)w.m.refused);
        assert_int_equal(info.expired_total, w.m.expired);
        assert_int_equal(info.evicted_total, w.m.evicted);
        assert_int_equal(tide_watch_close(w.m.watch), 0);
    }
    fflush(stdout);
    tide_close(w.d);
    model_close(&w.m);
    return &w.m;
}

static struct tide_opts sizes(uint64_t ring_bytes, uint64_t table_bytes, uint64_t slow_follower_ns) {
    struct tide_opts o = TIDE_OPTS_INIT;
    o.ring_bytes = ring_bytes;
    o.table_bytes = table_bytes;
    o.slow_follower_ns = slow_follower_ns;
    return o;
}

static void model__roomy_domain__every_read_as_the_reference(void **state) {
    (void)state;
    struct tide_opts o = sizes(0, 16 * MIB, 0);
    run_model(help_seed(), &o, help_scaled(12000));
}

static void model__small_ring_with_laps__every_read_as_the_reference(void **state) {
    (void)state;
    struct tide_opts o = sizes(64 * KIB * 4, 4 * MIB, 1 * MS);
    run_model(help_seed(), &o, help_scaled(12000));
}

static void model__small_table_that_fills_up__every_read_as_the_reference(void **state) {
    (void)state;
    struct tide_opts o = sizes(256 * KIB, 256 * KIB, 20 * MS);
    uint64_t full = 0;
    for (int i = 0; i < 20 && full == 0; i++) { /* under a sanitizer one run is short, and need not fill it */
        full = run_model(help_seed(), &o, help_scaled(12000))->full;
    }
    assert_true(full > 0);
}

static void model__keys_that_expire__seen_until_then_and_never_after(void **state) {
    (void)state;
    struct tide_opts o = sizes(0, 16 * MIB, 0);
    o.default_ttl_ns = 30 * MS;
    const struct model *m = run_model(help_seed(), &o, help_scaled(12000));
    assert_true(m->expired > 0 && m->touches > 0 && m->adds > 0 && m->evicted == 0);
}

static void model__small_ring_and_keys_that_expire__seen_until_then_and_never_after(void **state) {
    (void)state;
    struct tide_opts o = sizes(64 * KIB * 4, 4 * MIB, 1 * MS);
    o.default_ttl_ns = 5 * MS;
    const struct model *m = run_model(help_seed(), &o, help_scaled(12000));
    assert_true(m->expired > 0);
}

static void model__small_table_that_evicts__every_put_is_done_and_kept_keys_stay(void **state) {
    (void)state;
    struct tide_opts o = sizes(256 * KIB, 256 * KIB, 20 * MS);
    o.evict = TIDE_EVICT_S3FIFO;
    const struct model *m = run_model(help_seed(), &o, help_scaled(12000));
    assert_true(m->expired > 0 && m->evicted > 0 && m->touches > 0 && m->adds > 0);
}

int main(void) {
    help_start(110);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model__roomy_domain__every_read_as_the_reference),
        cmocka_unit_test(model__small_ring_with_laps__every_read_as_the_reference),
        cmocka_unit_test(model__small_table_that_fills_up__every_read_as_the_reference),
        cmocka_unit_test(model__keys_that_expire__seen_until_then_and_never_after),
        cmocka_unit_test(model__small_ring_and_keys_that_expire__seen_until_then_and_never_after),
        cmocka_unit_test(model__small_table_that_evicts__every_put_is_done_and_kept_keys_stay),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
