/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A lane is lent for one write: a writer that has its answer, has died or has given up keeps none. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/log/lane_notes.h"
#include "engine/replica/domain.h"
#include "engine/replica/replica.h"
#include "shm/nap.h"
#include "tests/lib/forked.h"

#define PAIR_ROOM (UINT64_C(1) << 20)

struct two {
    struct tide *leads, *writes;
};

static struct two open_two(uint64_t write_timeout_ns) {
    struct two t = { .leads = help_open(PAIR_ROOM, 4 * PAIR_ROOM, 0) };
    help_leader(t.leads);
    help_again_timeout_ns = write_timeout_ns;
    t.writes = help_open_again(t.leads);
    assert_int_equal(tide_ping(t.writes, UINT64_MAX), 0); /* the leader has looked at all lanes once */
    return t;
}

static void close_two(struct two *t) {
    assert_int_equal(tide_close(t->writes), 0);
    assert_int_equal(tide_close(t->leads), 0);
}

/* A write that has to be done, by a handle that waits as long as it takes: t->writes may be one that soon gives up. */
static int put_patiently(const struct two *t, uint64_t value) {
    help_again_timeout_ns = UINT64_MAX;
    struct tide *d = help_open_again(t->leads);
    int error = help_put(d, "key", value, NULL);
    assert_int_equal(tide_close(d), 0);
    return error;
}

static uint32_t lanes_lent(const struct log_segment *log) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        n += atomic_load(&log->lanes[i].owner) != 0;
    }
    return n;
}

static void lend_all(struct log_segment *log, uint32_t member) {
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        atomic_store(&log->lanes[i].owner, member + 1);
    }
}

static void put_times(struct tide *d, int times) {
    for (int i = 0; i < times; i++) {
        int error = help_put(d, "key", (uint64_t)i, NULL);
        if (!help_check(error == 0)) {
            print_message("put: %s\n", tide_strerror(error));
        }
    }
}

static void *put_some(void *d) {
    put_times(d, 50);
    return NULL;
}

static void lanes__more_writers_than_lanes__all_write_and_none_is_kept(void **state) {
    (void)state;
    struct two t = open_two(UINT64_C(60000000000));
    pthread_t threads[LAYOUT_LANES + 30];
    for (size_t i = 0; i < LAYOUT_LANES + 30; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, put_some, t.writes), 0);
    }
    for (size_t i = 0; i < LAYOUT_LANES + 30; i++) {
        pthread_join(threads[i], NULL);
    }
    help_assert_threads();
    assert_int_equal(lanes_lent(t.leads->log), 0);
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(t.leads, &info), 0);
    assert_int_equal(info.commit_index, 50 * (LAYOUT_LANES + 30));
    close_two(&t);
}

/* Each handle is a member, as a process is; each writes once and stays. */
static void lanes__150_members_that_wrote_once_and_stay__others_write(void **state) {
    (void)state;
    struct tide *d = help_open(PAIR_ROOM, 4 * PAIR_ROOM, 0), *others[150];
    help_leader(d);
    help_again_timeout_ns = UINT64_C(60000000000); /* 150 handles on two busy cores */
    for (size_t i = 0; i < 150; i++) {
        others[i] = help_open_again(d);
        assert_int_equal(help_put(others[i], "key", i, NULL), 0);
    }
    assert_int_equal(help_put(others[0], "key", 1, NULL), 0);
    for (size_t i = 0; i < 150; i++) {
        tide_close(others[i]);
    }
    tide_close(d);
}

static void lanes__all_lent__timeout_and_ping_is_answered(void **state) {
    (void)state;
    struct two t = open_two(20000000);
    lend_all(t.leads->log, t.leads->member);
    assert_int_equal(help_put(t.writes, "key", 1, NULL), TIDE_ERR_TIMEOUT);
    assert_int_equal(tide_ping(t.writes, UINT64_MAX), 0); /* the leader answers although all its lanes are lent */
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(t.leads, &info), 0);
    assert_int_equal(info.commit_index, 0);
    atomic_store(&t.leads->log->lanes[7].owner, 0);
    assert_int_equal(put_patiently(&t, 2), 0);
    close_two(&t);
}

static _Atomic uint32_t waits_told;

static void hear_of_waiting(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level == TIDE_LOG_WARN && strstr(text, "writes have waited") != NULL) {
        atomic_store(&waits_told, 1);
    }
}

/* Overwrites of more bytes than the table has: they wait while a section keeps the old values. */
static void *put_too_much(void *d) {
    static const uint8_t value[4096];
    for (uint64_t i = 0; i < 2 * 4 * PAIR_ROOM / sizeof(value); i++) {
        help_check(tide_put(d, NULL, "key", 3, value, sizeof(value), NULL) == 0);
    }
    return NULL;
}

static void *put_one(void *d) {
    help_check(help_put(d, "other", 1, NULL) == 0);
    return NULL;
}

static void ping__leader_waits_for_an_open_section__answered(void **state) {
    (void)state;
    struct two t = open_two(UINT64_MAX);
    t.leads->log_fn = hear_of_waiting;
    struct tide_reader *r = help_reader(t.leads, TIDE_STICKY, -1, 0);
    struct tide_bound any = TIDE_BOUND_INIT;
    assert_int_equal(tide_section_begin(r, &any, NULL), 0);
    pthread_t here, elsewhere;
    assert_int_equal(pthread_create(&here, NULL, put_too_much, t.leads), 0);
    while (atomic_load(&waits_told) == 0) {
        park_nap(1000000);
    }
    /* The thread that serves lanes waits now as well. */
    assert_int_equal(pthread_create(&elsewhere, NULL, put_one, t.writes), 0);
    while (lanes_lent(t.leads->log) == 0 || atomic_load(&t.leads->log->lanes_board.ready) != 0) {
        park_nap(1000000);
    }
    for (int i = 0; i < 20; i++) {
        assert_int_equal(tide_ping(t.writes, UINT64_MAX), 0);
    }
    assert_int_equal(lanes_lent(t.leads->log), 1);
    assert_int_equal(tide_section_end(r), 0);
    pthread_join(here, NULL);
    pthread_join(elsewhere, NULL);
    help_assert_threads();
    tide_reader_close(r);
    close_two(&t);
}

static void lanes__lent_to_the_dead__a_writer_takes_them_back(void **state) {
    (void)state;
    child_threads_needed();
    struct two t = open_two(UINT64_C(60000000000));
    const char *shared = t.leads->name;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = child_begin();
    if (pid == 0) {
        struct tide *d;
        struct tide_opts o = TIDE_OPTS_INIT;
        o.flags = 0;
        CHILD(tide_open(&d, shared, &o) == 0);
        lend_all(d->log, d->member);
        atomic_store(&d->log->lanes[3].turn, UINT64_C(9) << 3 | LANE_SUBMITTED); /* and its request was never taken */
        child_say(pipe_fds[1]);
        pause();
    }
    close(pipe_fds[1]); /* or a child that dies early would leave us waiting */
    char byte;
    assert_int_equal(read(pipe_fds[0], &byte, 1), 1);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(pipe_fds[0]);
    assert_int_equal(help_put(t.writes, "key", 1, NULL), 0);
    assert_int_equal(atomic_load(&t.leads->log->lanes[3].turn), UINT64_C(9) << 3 | LANE_CANCELLED);
    assert_int_equal(lanes_lent(t.leads->log), 0);
    close_two(&t);
}

/* The borrower gave up while the leader had its request. */
static void lanes__orphan_whose_request_is_under_way__not_lent_before_the_answer(void **state) {
    (void)state;
    struct two t = open_two(20000000);
    struct log_segment *log = t.leads->log;
    lend_all(log, t.leads->member);
    struct lane *lane = &log->lanes[5];
    atomic_store(&lane->turn, UINT64_C(41) << 3 | LANE_TAKEN);
    atomic_store(&lane->owner, LANE_ORPHAN);
    assert_int_equal(help_put(t.writes, "key", 1, NULL), TIDE_ERR_TIMEOUT);
    assert_int_equal(atomic_load(&lane->turn), UINT64_C(41) << 3 | LANE_TAKEN);
    atomic_store(&lane->turn, UINT64_C(41) << 3 | LANE_ANSWERED);
    assert_int_equal(put_patiently(&t, 2), 0);
    assert_int_equal(atomic_load(&lane->turn), UINT64_C(42) << 3 | LANE_ANSWERED);
    assert_int_equal(atomic_load(&lane->owner), 0);
    /* Its leader stepped down and put it back: it is not done for the next borrower. */
    atomic_store(&lane->turn, UINT64_C(43) << 3 | LANE_SUBMITTED);
    atomic_store(&lane->owner, LANE_ORPHAN);
    assert_int_equal(put_patiently(&t, 3), 0);
    assert_int_equal(atomic_load(&lane->turn), UINT64_C(44) << 3 | LANE_ANSWERED);
    struct tide_info info = TIDE_INFO_INIT;
    assert_int_equal(tide_info(t.leads, &info), 0);
    assert_int_equal(info.commit_index, 2);
    close_two(&t);
}

/* Its borrower died, or gave up. The leader still works on what it has taken, and answers into that lane. */
static void lane_reap__request_is_taken__stays_until_it_is_answered(void **state) {
    (void)state;
    struct two t = open_two(20000000);
    struct log_segment *log = t.leads->log;
    const uint32_t dead = LAYOUT_MEMBERS - 1;
    struct lane *taken = &log->lanes[3], *waits = &log->lanes[4], *answered = &log->lanes[5];
    atomic_store(&taken->turn, UINT64_C(9) << 3 | LANE_TAKEN);
    atomic_store(&waits->turn, UINT64_C(9) << 3 | LANE_SUBMITTED); /* nobody tells the leader of it */
    atomic_store(&answered->turn, UINT64_C(9) << 3 | LANE_ANSWERED);
    atomic_store(&taken->owner, dead + 1);
    atomic_store(&waits->owner, dead + 1);
    atomic_store(&answered->owner, dead + 1);
    lane_reap(t.leads, dead);
    assert_int_equal(atomic_load(&taken->turn), UINT64_C(9) << 3 | LANE_TAKEN);
    assert_int_equal(atomic_load(&taken->owner), LANE_ORPHAN);
    assert_int_equal(atomic_load(&waits->turn), UINT64_C(9) << 3 | LANE_CANCELLED);
    assert_int_equal(atomic_load(&waits->owner), 0);
    assert_int_equal(atomic_load(&answered->turn), UINT64_C(9) << 3 | LANE_ANSWERED);
    assert_int_equal(atomic_load(&answered->owner), 0);
    atomic_store(&taken->turn, UINT64_C(9) << 3 | LANE_ANSWERED);
    close_two(&t);
}

/* A newcomer copies its donor's notes, and then applies entries that are older than they are. */
static void lane_note__older_than_what_is_noted__left_out(void **state) {
    (void)state;
    struct replica *r = aligned_alloc(LAYOUT_PAIR, (sizeof(*r) + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR);
    struct table_segment *seg =
        aligned_alloc(LAYOUT_PAIR, (sizeof(*seg) + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR);
    assert_true(r != NULL && seg != NULL);
    memset((void *)r, 0, sizeof(*r));
    memset((void *)seg, 0, sizeof(*seg));
    r->writer.t.seg = seg;
    const struct {
        uint64_t seq, index, has_seq, has_index;
    } notes[] = { { 7, 100, 7, 100 },
                  { 6, 90, 7, 100 },
                  { 1, 101, 7, 100 },
                  { 7, 102, 7, 102 }, /* of a batch the last entry's index stays */
                  { 8, 103, 8, 103 } };
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
        lane_note(r, 12, notes[i].seq, notes[i].index);
        assert_int_equal(atomic_load(&r->done[11].seq), notes[i].has_seq);
        assert_int_equal(atomic_load(&r->done[11].index), notes[i].has_index);
        assert_int_equal(atomic_load(&seg->lanes[11].seq), notes[i].has_seq);
        assert_int_equal(atomic_load(&seg->lanes[11].index), notes[i].has_index);
    }
    free(r);
    free(seg);
}

static void times__the_greatest_numbers__wait_and_do_not_wrap(void **state) {
    (void)state;
    static const uint64_t times[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - UINT64_C(1000000000), UINT64_MAX / 2 };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct two t = open_two(times[i]);
        struct tide_token token;
        assert_int_equal(help_put(t.writes, "key", i, &token), 0);
        assert_int_equal(tide_ping(t.writes, times[i]), 0);
        assert_int_equal(tide_wait_applied(t.writes, &token, 1, times[i]), 0);
        struct tide_reader *r = help_reader(t.writes, TIDE_STICKY, -1, 0);
        for (uint32_t fallback = TIDE_FALLBACK_LEADER; fallback <= TIDE_FALLBACK_STALE; fallback++) {
            struct tide_bound b = TIDE_BOUND_INIT;
            b.fallback = fallback;
            b.wait_ns = times[i];
            b.max_staleness_ns = times[i];
            uint64_t value;
            assert_int_equal(tide_get(r, "key", 3, &b, &value, sizeof(value), NULL), 0);
            assert_int_equal(value, i);
        }
        tide_reader_close(r);
        close_two(&t);
    }
}

#define LATE_NS UINT64_C(20000000)

static void *put_late(void *d) {
    park_nap(LATE_NS);
    help_check(tide_put(d, NULL, "late", 4, "v", 1, NULL) == 0);
    return NULL;
}

static _Atomic int lease_taken;
static _Atomic int lease_given_back; /* or is about to be */

static void *lease_for_a_while(void *d) {
    struct tide_lease lease = TIDE_LEASE_INIT;
    struct tide_reader *r = NULL;
    help_check(tide_reader_open(d, NULL, &r) == 0 && tide_lease_take(r, "lease", 5, 0, &lease) == 0 &&
               lease.state == TIDE_LEASE_TAKEN);
    atomic_store(&lease_taken, 1);
    park_nap(LATE_NS);
    atomic_store(&lease_given_back, 1);
    help_check(tide_lease_release(r, &lease, 1) == 0 && tide_reader_close(r) == 0);
    return NULL;
}

/* What is waited for comes a while after the call, and an instant that wrapped would have passed by then. */
static void waits__the_greatest_numbers__end_with_what_is_waited_for(void **state) {
    (void)state;
    static const uint64_t times[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_MAX - UINT64_C(1000000000), UINT64_MAX / 2 };
    struct two t = open_two(UINT64_MAX);
    uint32_t slow = help_follower(t.writes, LATE_NS);
    struct tide_reader *any = help_reader(t.writes, TIDE_STICKY, -1, 0);
    struct tide_reader *late = help_reader(t.writes, TIDE_STICKY, (int32_t)slow, UINT64_C(1) << slow);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct tide_token token;
        struct tide_watch *w;
        struct tide_event event = TIDE_EVENT_INIT;
        struct tide_lease lease = TIDE_LEASE_INIT;
        struct tide_bound b = TIDE_BOUND_INIT;
        uint64_t value = 0;
        pthread_t thread;
        assert_int_equal(tide_watch_open(t.writes, NULL, &w), 0);
        assert_int_equal(pthread_create(&thread, NULL, put_late, t.writes), 0);
        assert_int_equal(tide_watch_next(w, &event, times[i]), 0);
        pthread_join(thread, NULL);
        assert_int_equal(tide_watch_close(w), 0);

        assert_int_equal(help_put(t.writes, "key", i, &token), 0);
        b.fallback = TIDE_FALLBACK_WAIT;
        b.wait_ns = times[i];
        assert_int_equal(tide_get(late, "key", 3, &b, &value, sizeof(value), NULL), 0);
        assert_int_equal(value, i);

        token.index++; /* the next write */
        assert_int_equal(pthread_create(&thread, NULL, put_late, t.writes), 0);
        assert_int_equal(tide_wait_applied(t.writes, &token, 2, times[i]), 0);
        pthread_join(thread, NULL);

        /* A call that comes too late, on a busy machine, finds the lease free and waits for nothing: it is made again. */
        for (;;) {
            atomic_store(&lease_taken, 0);
            atomic_store(&lease_given_back, 0);
            assert_int_equal(pthread_create(&thread, NULL, lease_for_a_while, t.writes), 0);
            while (atomic_load(&lease_taken) == 0) {
                park_nap(1000000);
            }
            assert_int_equal(tide_lease_take(any, "lease", 5, times[i], &lease), 0);
            pthread_join(thread, NULL);
            if (lease.state == TIDE_LEASE_DONE) {
                break;
            }
            assert_int_equal(lease.state, TIDE_LEASE_TAKEN);
            assert_int_equal(atomic_load(&lease_given_back), 1);
            assert_int_equal(tide_lease_release(any, &lease, 0), 0);
        }
    }
    help_assert_threads();
    tide_reader_close(any);
    tide_reader_close(late);
    close_two(&t);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lanes__more_writers_than_lanes__all_write_and_none_is_kept),
        cmocka_unit_test(lanes__150_members_that_wrote_once_and_stay__others_write),
        cmocka_unit_test(lanes__all_lent__timeout_and_ping_is_answered),
        cmocka_unit_test(ping__leader_waits_for_an_open_section__answered),
        cmocka_unit_test(lanes__lent_to_the_dead__a_writer_takes_them_back),
        cmocka_unit_test(lanes__orphan_whose_request_is_under_way__not_lent_before_the_answer),
        cmocka_unit_test(lane_reap__request_is_taken__stays_until_it_is_answered),
        cmocka_unit_test(lane_note__older_than_what_is_noted__left_out),
        cmocka_unit_test(times__the_greatest_numbers__wait_and_do_not_wrap),
        cmocka_unit_test(waits__the_greatest_numbers__end_with_what_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
