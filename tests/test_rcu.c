/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether all sections have ended, told without waiting. */
#include <pthread.h>
#include <stdatomic.h>

#include "engine/table/rcu.h"
#include "tests/lib/help.h"

/* A thread that opens a section when `want` is 1, and ends when it is 2. */
struct other {
    pthread_t thread;
    bool registers_itself; /* with liburcu, as an application may that uses it, too */
    _Atomic int want, have;
};

static void other_be(struct other *o, int what) {
    atomic_store(&o->want, what);
    while (atomic_load(&o->have) != what) {
        sched_yield();
    }
}

static void *other_run(void *arg) {
    struct other *o = arg;
    if (o->registers_itself) {
        urcu_memb_register_thread();
    }
    help_check(rcu_register_self() == 0);
    for (int is = 0; is != 2;) {
        int want = atomic_load(&o->want);
        if (want == 1 && is == 0) {
            rcu_enter();
        } else if (want != 1 && is == 1) {
            rcu_exit();
        }
        is = want;
        atomic_store(&o->have, is);
        sched_yield();
    }
    if (o->registers_itself) {
        urcu_memb_unregister_thread();
    }
    return NULL;
}

static void other_open(struct other *o, bool registers_itself) {
    o->registers_itself = registers_itself;
    o->want = o->have = 0;
    help_check(pthread_create(&o->thread, NULL, other_run, o) == 0);
    other_be(o, 1);
    other_be(o, 0);
}

static void other_close(struct other *o) {
    other_be(o, 2);
    help_check(pthread_join(o->thread, NULL) == 0);
}

static void rcu_quiet__sections_of_another_thread__true_as_long_as_none_is_open(void **state) {
    (void)state;
    struct other o;
    other_open(&o, false);
    bool can_tell = rcu_quiet(); /* not in a sanitized build, nor where there is no membarrier */
    for (int i = 0; i < 10; i++) {
        other_be(&o, 1);
        assert_false(rcu_quiet());
        other_be(&o, 0);
        assert_int_equal(rcu_quiet(), can_tell);
    }
    other_close(&o);
    assert_int_equal(rcu_quiet(), can_tell); /* nor is the ended one looked at */
#if defined(__x86_64__) && !defined(ENGINE_TSAN)
    assert_int_equal(can_tell, rcu_is_plain());
#endif
}

/* Its words are not known here; so from then on it cannot be told. The last test: that cannot be taken back. */
static void rcu_quiet__a_thread_that_registered_itself__never_true(void **state) {
    (void)state;
    struct other o;
    other_open(&o, true);
    other_be(&o, 1);
    assert_false(rcu_quiet());
    other_be(&o, 0);
    other_close(&o);
    assert_false(rcu_quiet());
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rcu_quiet__sections_of_another_thread__true_as_long_as_none_is_open),
        cmocka_unit_test(rcu_quiet__a_thread_that_registered_itself__never_true),
    };
    return cmocka_run_group_tests_name("rcu", tests, NULL, NULL);
}
