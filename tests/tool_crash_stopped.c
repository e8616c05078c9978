/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A leader whose process is stopped between the commit and what follows it, in a build with kill points: what reads answer then. */
#include "engine/replica/domain.h"
#include "engine/table/kill.h"
#include "shm/clock.h"
#include "tests/lib/forked.h"

#define SECOND_NS UINT64_C(1000000000)

static void stop_there(const char *point) {
    if (strcmp(point, "seq.published") == 0) {
        raise(SIGSTOP);
    }
}

/* Leads, has put "v" under "k", and is stopped once "w" is committed and not applied. */
static pid_t leader_that_stops(void) {
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        o.role = TIDE_LEADER;
        CHILD(tide_open(&d, name, NULL) == 0 && tide_replica_start(d, &o, NULL) == 0);
        CHILD(tide_put(d, NULL, "k", 1, "v", 1, NULL) == 0);
        kill_point_seen = stop_there;
        CHILD(tide_put(d, NULL, "k", 1, "w", 1, NULL) == 0);
        kill_point_seen = NULL;
        for (;;) {
            pause();
        }
    }
    int status;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

struct told {
    int error;
    char value;
    struct tide_answer a;
    uint64_t took_ns; /* between an instant before the call and one after it */
};

static struct told ask(struct tide_reader *r, uint32_t fallback, uint64_t wait_ns) {
    struct tide_bound b = TIDE_BOUND_INIT;
    struct told t = { .value = '?', .a = TIDE_ANSWER_INIT };
    b.fallback = fallback;
    b.wait_ns = wait_ns;
    t.a.index = t.a.staleness_ns = t.a.waited_ns = 4242;
    uint64_t before = clock_monotonic_ns();
    t.error = tide_get(r, "k", 1, &b, &t.value, 1, &t.a);
    t.took_ns = clock_monotonic_ns() - before;
    return t;
}

/* What the header promises of the answer: what could be had, how old that is, how long was waited. */
static void assert_told(const struct told *t, int error, uint64_t waited_ns) {
    assert_int_equal(t->error, error);
    assert_int_equal(t->a.reason, TIDE_REASON_REFUSED);
    assert_int_equal(t->a.index, 1);
    assert_int_equal(t->a.commit_index, 2);
    assert_int_equal(t->a.linearizable, 0);
    assert_true(t->a.waited_ns >= waited_ns && t->a.waited_ns <= t->took_ns);
    assert_true(t->a.staleness_ns >= t->a.waited_ns); /* nothing was applied while it waited */
}

static void get__leader_stopped_between_commit_and_apply__answer_says_what_could_be_had(void **state) {
    (void)state;
    struct tide *d;
    struct tide_reader *r;
    assert_int_equal(tide_open(&d, name, NULL), 0);
    pid_t pid = leader_that_stops();
    assert_int_equal(tide_reader_open(d, NULL, &r), 0);
    struct told t = ask(r, TIDE_FALLBACK_LEADER, 0);
    assert_told(&t, TIDE_ERR_TIMEOUT, SECOND_NS); /* so long the leader is waited for */
    t = ask(r, TIDE_FALLBACK_LEADER, SECOND_NS / 4);
    assert_told(&t, TIDE_ERR_TIMEOUT, SECOND_NS + SECOND_NS / 4);
    t = ask(r, TIDE_FALLBACK_WAIT, SECOND_NS / 4);
    assert_told(&t, TIDE_ERR_TIMEOUT, SECOND_NS / 4);
    t = ask(r, TIDE_FALLBACK_ERROR, SECOND_NS / 4);
    assert_told(&t, TIDE_ERR_REFUSED, 0);
    t = ask(r, TIDE_FALLBACK_STALE, 0);
    assert_int_equal(t.error, 0);
    assert_int_equal(t.value, 'v');
    assert_int_equal(t.a.stale, 1);
    assert_int_equal(t.a.index, 1);
    assert_true(t.a.staleness_ns > 0);
    kill(pid, SIGCONT);
    while ((t = ask(r, TIDE_FALLBACK_LEADER, 0)).error ==
           TIDE_ERR_TIMEOUT) { /* on a busy machine it may not have gone on yet */
    }
    assert_int_equal(t.error, 0);
    assert_int_equal(t.value, 'w');
    assert_int_equal(t.a.index, 2);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(tide_reader_close(r), 0);
    assert_int_equal(tide_close(d), 0);
}

int main(void) {
    help_start(60);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(get__leader_stopped_between_commit_and_apply__answer_says_what_could_be_had),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
