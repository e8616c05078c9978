/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signals of the application: the library's threads never run its handlers. */
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "tests/lib/help.h"

#define MIB UINT64_C(1048576)

static _Atomic int handled;

static void handler(int number) {
    (void)number;
    atomic_fetch_add(&handled, 1);
}

/* One of each kind of thread: grace periods, a follower, lanes, a steward. The case blocks the signals, so that they come to
 * a thread that does not. */
static void signals__sent_to_the_process__wait_for_a_thread_of_the_application(void **state) {
    (void)state;
    static const int numbers[] = { SIGUSR1, SIGTERM, SIGINT, SIGHUP };
    struct tide *d = help_open(MIB, MIB, 0);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.candidate = 1;
    help_leader(d);
    assert_int_equal(tide_replica_start(d, &o, NULL), 0);
    sigset_t wanted, before;
    sigemptyset(&wanted);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct sigaction action = { .sa_handler = handler };
        assert_int_equal(sigaction(numbers[i], &action, NULL), 0);
        sigaddset(&wanted, numbers[i]);
    }
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &wanted, &before), 0);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int got = 0;
        assert_int_equal(kill(getpid(), numbers[i]), 0);
        assert_int_equal(sigwait(&wanted, &got), 0); /* one that another thread took never comes: the watchdog */
        assert_int_equal(got, numbers[i]);
    }
    assert_int_equal(atomic_load(&handled), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(kill(getpid(), SIGUSR1), 0); /* this thread's mask is what it was */
    while (atomic_load(&handled) == 0) {
    }
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(30);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signals__sent_to_the_process__wait_for_a_thread_of_the_application),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
