/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table while sections are open: splits, deletes and readers beside the writer. */
#include <pthread.h>
#include <stdatomic.h>

#include "engine/table/grace.h"
#include "engine/table/rcu.h"
#include "tests/lib/tables.h"

/* ---- splits and deletes whose clearing an open section holds back ------------------------------------------------ */

struct model {
    uint64_t now[4096];  /* index of each key's version, 0: none */
    uint64_t then[4096]; /* the same as of `at` */
    uint64_t at;
    uint64_t keys;
};

static void model_step(struct fixture *f, struct model *m, struct help_rng *r, uint64_t range) {
    uint64_t k = help_below(r, range);
    if (help_below(r, 3) == 0) {
        del(f, k);
        m->keys -= m->now[k] != 0;
        m->now[k] = 0;
    } else {
        m->keys += m->now[k] == 0;
        assert_int_equal(put(f, k), 0);
        m->now[k] = f->index;
    }
}

static void model_check(const struct fixture *f, const struct model *m, uint64_t range, bool then) {
    rcu_enter();
    for (uint64_t k = 0; k < range; k++) {
        assert_int_equal(find_at(f, k, f->index), m->now[k]);
        if (then) {
            assert_int_equal(find_at(f, k, m->at), m->then[k]);
        }
    }
    rcu_exit();
    assert_verifies(f, m->keys);
}

struct scan {
    const struct model *m;
    uint64_t seen;
    bool bad;
};

static int scan_node(void *ctx, const struct table_node *n, const struct table_lengths *len, uint64_t hash) {
    (void)len;
    (void)hash;
    struct scan *s = ctx;
    uint64_t k;
    memcpy(&k, table_node_key(n), sizeof(k));
    s->bad |= k >= 4096 || s->m->then[k] != atomic_load(&n->index);
    s->seen++;
    return 0;
}

static void scan_check(const struct fixture *f, const struct model *m, uint64_t buckets) {
    struct scan s = { .m = m };
    uint64_t want = 0;
    for (uint64_t k = 0; k < 4096; k++) {
        want += m->then[k] != 0;
    }
    for (uint64_t b = 0; b < buckets; b++) {
        table_visit_bucket(&f->w.t, b, buckets, m->at, scan_node, &s);
    }
    assert_false(s.bad);
    assert_int_equal(s.seen, want);
}

static void table_writes__while_a_section_holds_clearing_back__old_and_new_state_right(void **state) {
    (void)state;
    struct help_rng r = { help_seed() };
    for (uint64_t round = 0; round < help_scaled(30); round++) {
        struct fixture f = open_table(16 * MIB, 0);
        static struct model m;
        memset(&m, 0, sizeof(m));
        struct holder h = { 0 };
        f.w.batch = 1 + help_below(&r, 100); /* grace periods often */
        uint64_t range = 300 + help_below(&r, 3700);
        for (uint64_t i = help_below(&r, 2000); i > 0; i--) {
            model_step(&f, &m, &r, range);
            table_published(&f.w);
        }
        holder_open(&h);
        for (int sections = 0; sections < 4; sections++) {
            memcpy(m.then, m.now, sizeof(m.now));
            m.at = f.index;
            uint64_t buckets = f.w.buckets;
            for (uint64_t i = 0; i < 1500; i++) {
                model_step(&f, &m, &r, range);
                if (help_below(&r, 4) == 0) {
                    table_published(&f.w);
                }
                if (i % 500 == 499) {
                    model_check(&f, &m, range, true);
                    scan_check(&f, &m, buckets);
                    scan_check(&f, &m, f.w.buckets);
                }
            }
            holder_set(&h, 0);
            table_published(&f.w);
            if (sections % 2 == 0) {
                table_drain(&f.w);
                model_check(&f, &m, range, false);
            }
            for (uint64_t i = help_below(&r, 1000); i > 0; i--) {
                model_step(&f, &m, &r, range);
                table_published(&f.w);
            }
            holder_set(&h, 1);
        }
        holder_close(&h);
        table_published(&f.w);
        for (int i = 0; i < 3; i++) {
            table_published(&f.w);
            table_drain(&f.w);
        }
        model_check(&f, &m, range, false);
        assert_int_equal(f.w.cleared, f.w.buckets);
        assert_int_equal(f.w.open.count + f.w.waiting.count, 0);
        close_table(&f);
    }
}

/* A follower publishes once for a run of batches, of thousands of new keys: what was split has to be cleared as fast as it is split, or
 * the overflow buckets of what stands twice take the memory of the nodes. */
static void table_published__after_thousands_of_keys__splits_are_cleared_as_fast_as_made(void **state) {
    (void)state;
    const uint64_t run = 6000;
    struct fixture f = open_table(64 * MIB, 0);
    uint64_t most = 0;
    for (uint64_t n = 0; n < 300000;) {
        f.in_batch = true;
        for (uint64_t i = 0; i < run; i++) {
            assert_int_equal(put(&f, n++), 0);
        }
        if (f.w.waiting.count != 0) {
            grace_wait(f.w.waiting.ticket, UINT64_MAX); /* whatever the machine does meanwhile */
        }
        table_published(&f.w);
        uint64_t left = f.w.open.count + f.w.waiting.count - f.w.released_to;
        most = left > most ? left : most;
    }
    assert_true(most <= 4 * run); /* two splits for each key, of this run and of the one before */
    assert_true(f.w.overflow <= f.w.buckets * sizeof(struct table_bucket) / 4);
    close_table(&f);
}

/* ---- readers in other threads ------------------------------------------------------------------------------------ */

#define PAIRS 64u

struct storm {
    struct fixture f;
    _Atomic uint64_t applied;
    _Atomic bool stop;
};

/* Keys 2p and 2p+1 are always written together, and applied is published after both: at a published index both or none
 * are there, and the second is one newer than the first. */
static void *storm_read(void *arg) {
    struct storm *s = arg;
    help_check(rcu_register_self() == 0);
    uint64_t n = 0, last = 0;
    while (!atomic_load(&s->stop) || n == 0) {
        rcu_enter();
        uint64_t at = atomic_load_explicit(&s->applied, memory_order_acquire); /* MO(replica.applied): as a reader */
        help_check(at >= last);
        last = at;
        for (uint64_t p = n % 8; p < PAIRS; p += 8) {
            uint64_t a = find_at(&s->f, 2 * p, at), b = find_at(&s->f, 2 * p + 1, at);
            help_check(a <= at && b <= at && (a == 0 ? b == 0 : b == a + 1));
        }
        if (n % 64 == 0) {
            /* Twice the same within a section. */
            uint64_t first[PAIRS];
            for (uint64_t p = 0; p < PAIRS; p++) {
                first[p] = find_at(&s->f, 2 * p, at);
            }
            for (uint64_t p = 0; p < PAIRS; p++) {
                help_check(find_at(&s->f, 2 * p, at) == first[p]);
            }
        }
        rcu_exit();
        n++;
    }
    return NULL;
}

static void table_find__beside_the_writer__pairs_are_never_torn(void **state) {
    (void)state;
    static struct storm s;
    memset(&s, 0, sizeof(s));
    s.f = open_table(8 * MIB, 0);
    s.f.w.batch = 50;
    struct help_rng r = { help_seed() };
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, storm_read, &s), 0);
    }
    for (uint64_t i = 0; i < help_scaled(150000); i++) {
        uint64_t p = help_below(&r, PAIRS);
        s.f.in_batch = true;
        if (help_below(&r, 3) == 0) {
            del(&s.f, 2 * p);
            del(&s.f, 2 * p + 1);
        } else {
            assert_int_equal(put(&s.f, 2 * p), 0);
            assert_int_equal(put(&s.f, 2 * p + 1), 0);
        }
        /* Others, so that the table grows meanwhile. */
        if (i % 8 == 0) {
            assert_int_equal(put(&s.f, 1000 + help_below(&r, 20000)), 0);
        }
        atomic_store_explicit(&s.applied, s.f.index, memory_order_release); /* MO(replica.applied): as a replica */
        table_published(&s.f.w);
    }
    atomic_store(&s.stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    close_table(&s.f);
}

int main(void) {
    help_start(50);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table_writes__while_a_section_holds_clearing_back__old_and_new_state_right),
        cmocka_unit_test(table_published__after_thousands_of_keys__splits_are_cleared_as_fast_as_made),
        cmocka_unit_test(table_find__beside_the_writer__pairs_are_never_torn),
    };
    return cmocka_run_group_tests_name("table_splits", tests, hold_grace, drop_grace);
}
