/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Newcomers that cannot join: the error and the log name the cause. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "engine/life/join.h"
#include "shm/nap.h"
#include "shm/segment.h"
#include "tests/lib/forked.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * 1024)
#define HOUR_NS UINT64_C(3600000000000)

static _Atomic uint32_t told_lapped, told_fell, told_cause;

static void hear(void *ctx, enum tide_log_level level, const char *text) {
    (void)ctx;
    if (level == TIDE_LOG_ERROR && strstr(text, "while it joined") != NULL && strstr(text, "--ring") != NULL) {
        atomic_fetch_add(&told_lapped, 1);
    }
    if (strstr(text, "the commit index fell") != NULL) {
        atomic_fetch_add(&told_fell, 1);
    }
    if (strstr(text, "cannot be copied from") != NULL || strstr(text, "Too many open files") != NULL) {
        atomic_fetch_add(&told_cause, 1);
    }
}

static struct tide *open_sized(uint64_t slow_follower_ns, uint32_t flags, uint64_t table_bytes) {
    struct tide *d;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.flags |= flags;
    o.ring_bytes = 64 * KIB;
    o.table_bytes = table_bytes;
    o.slow_follower_ns = slow_follower_ns;
    o.log = hear;
    assert_int_equal(tide_open(&d, name, &o), 0);
    return d;
}

static struct tide *open_heard(uint64_t slow_follower_ns, uint32_t flags) {
    return open_sized(slow_follower_ns, flags, MIB);
}

static void fill_ring(struct tide *d, int times) {
    static const uint8_t value[8 * KIB];
    for (int i = 0; i < 16 * times; i++) {
        assert_int_equal(tide_put(d, NULL, "key", 3, value, sizeof(value), NULL), 0);
    }
}

#define STARTS 5u

static _Atomic uint32_t enough;

/* The slot of a replica that joins, or 0. The leader's is 0. */
static uint32_t who_joins(struct tide *d) {
    uint32_t id = TIDE_REPLICAS - 1;
    while (id > 0 && help_state(d, id) != TIDE_STATE_JOINING) {
        id--;
    }
    return id;
}

/* Writes while a newcomer holds the log, and only then. So the newcomer pins the log while nothing is written, at the mark before an
 * entry that is committed and not due; it has to wait for that entry, and this thread goes on until the log has gone on without it. Whoever wrote all
 * the time would lap it only where the pin and the look at the commit index come between the same two writes. */
static void *write_while_it_joins(void *d) {
    static const uint8_t value[8 * KIB];
    while (atomic_load(&enough) == 0) {
        if (who_joins(d) != 0) {
            help_check(tide_put(d, NULL, "key", 3, value, sizeof(value), NULL) == 0);
        } else {
            park_nap(20000);
        }
    }
    return NULL;
}

/* Its delay is longer than what the ring holds. */
static void newcomer__lapped_each_time__timeout_and_the_log_says_what_helps(void **state) {
    (void)state;
    join_patience_ns = 0;
    struct tide *d = open_heard(1, TIDE_EPHEMERAL);
    help_leader(d);
    fill_ring(d, 2);
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, write_while_it_joins, d), 0);
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.apply_delay_ns = HOUR_NS;
    int error;
    uint32_t id;
    /* It serves where it rested from a lap, and pinned the log anew, before the writer was through with the write that lapped it. */
    while ((error = tide_replica_start(d, &o, &id)) == 0) {
        assert_int_equal(tide_replica_stop(d, id), 0);
    }
    assert_int_equal(error, TIDE_ERR_TIMEOUT);
    assert_int_equal(atomic_load(&told_lapped), 1);
    o.apply_delay_ns = 0;
    atomic_store(&enough, 1);
    pthread_join(writer, NULL);
    help_assert_threads();
    assert_int_equal(tide_replica_start(d, &o, NULL), 0);
    tide_close(d);
}

#define DELAY_NS UINT64_C(16000000)

/* A newcomer that was lapped is told to wait no longer than DELAY_NS. */
static void *write_always(void *d) {
    static const uint8_t value[8 * KIB];
    while (atomic_load(&enough) == 0) {
        for (int i = 0; i < 16; i++) {
            help_check(tide_put(d, NULL, "key", 3, value, sizeof(value), NULL) == 0);
        }
        for (uint32_t id = 1; id < TIDE_REPLICAS; id++) {
            struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
            if (tide_replica_info(d, id, &info) == 0 && info.lapped != 0 && info.apply_delay_ns == HOUR_NS) {
                help_check(tide_replica_set_delay(d, id, DELAY_NS) == 0);
            }
        }
    }
    return NULL;
}

/* A writer goes round the ring a thousand times within the newcomer's delay, and the leader waits for slow followers for a nanosecond. Until its first
 * lap the delay is an hour: so a writer that seldom gets the processor laps it as well. */
static void newcomers__that_the_leader_outruns__are_waited_for_longer_each_time_and_serve(void **state) {
    (void)state;
    join_patience_ns =
        UINT64_C(100000000000); /* one that serves never ends by it; a busy machine may take longer than usual */
    struct tide *d = open_sized(1, TIDE_EPHEMERAL, 16 * MIB);
    help_leader(d);
    for (uint64_t key = 0; key < help_scaled(50000);
         key++) { /* else it may be done before the writer gets the processor again */
        assert_int_equal(tide_put(d, NULL, &key, sizeof(key), &key, sizeof(key), NULL), 0);
    }
    pthread_t writer;
    atomic_store(&enough, 0);
    assert_int_equal(pthread_create(&writer, NULL, write_always, d), 0);
    uint64_t laps = 0, starts = 0;
    /* One that pinned the log and looked at the commit index between the same two writes serves at once. */
    for (; starts < STARTS || laps == 0; starts++) {
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        uint32_t id;
        o.apply_delay_ns = HOUR_NS;
        assert_int_equal(tide_replica_start(d, &o, &id), 0);
        laps += help_info(d, id).lapped; /* and perhaps once more since it serves */
        assert_int_equal(tide_replica_stop(d, id), 0);
    }
    atomic_store(&enough, 1);
    pthread_join(writer, NULL);
    help_assert_threads();
    print_message("%llu starts, lapped %llu times before they served\n", (unsigned long long)starts,
                  (unsigned long long)laps);
    tide_close(d);
}

/* In a follower that was lapped, between two looks at the commit index, nothing has fallen. It is lapped while it waits for an entry that is not due. */
static void follower__lapped_and_joined_anew__is_not_told_that_the_commit_index_fell(void **state) {
    (void)state;
    struct tide *d = open_heard(1, TIDE_EPHEMERAL);
    help_leader(d);
    uint32_t id = help_follower(d, 0);
    atomic_store(&told_fell, 0);
    for (uint64_t round = help_scaled(100); round > 0; round--) {
        uint64_t before = help_info(d, id).lapped;
        assert_int_equal(tide_replica_set_delay(d, id, HOUR_NS), 0);
        while (help_info(d, id).lapped == before) {
            fill_ring(d, 1);
        }
        assert_int_equal(tide_replica_set_delay(d, id, 0), 0);
        while (help_state(d, id) != TIDE_STATE_SERVING) {
            park_nap(20000);
        }
    }
    help_assert_equal_digests(d);
    assert_int_equal(atomic_load(&told_fell), 0);
    tide_close(d);
}

/* There is a descriptor for its own table and none for the donor's. */
static void join_without_descriptors(void) {
    struct tide *d;
    struct tide_opts o = TIDE_OPTS_INIT;
    o.log = hear;
    CHILD(tide_open(&d, name, &o) == 0);
    int next = fcntl(0, F_DUPFD_CLOEXEC, 3);
    CHILD(next >= 3 && close(next) == 0);
    const struct rlimit few = { (rlim_t)next + 1, (rlim_t)next + 1 };
    CHILD(setrlimit(RLIMIT_NOFILE, &few) == 0);
    CHILD(tide_replica_start(d, NULL, NULL) == TIDE_ERR_SYSTEM); /* and not: nobody is there to copy from */
    CHILD(atomic_load(&told_cause) == 2);
    _exit(0);
}

static void newcomer__no_descriptor_for_the_donor__error_and_log_say_so(void **state) {
    (void)state;
    child_threads_needed();
    struct tide *d = open_heard(0, 0);
    help_leader(d);
    fill_ring(d, 2);
    pid_t pid = child_begin();
    if (pid == 0) {
        join_without_descriptors();
    }
    child_end(pid);
    tide_close(d);
}

/* Whoever reaps a dead replica removes its table before its slot is free. In between there is nothing to complain of. */
static void newcomer__table_of_a_dead_replica_was_just_removed__joins_from_another_and_says_nothing(void **state) {
    (void)state;
    child_threads_needed();
    struct tide *d = open_heard(HOUR_NS, 0);
    int said[2];
    char byte, path[SEGMENT_PATH_BYTES];
    help_leader(d);
    fill_ring(d, 2); /* a newcomer has to copy */
    assert_int_equal(pipe(said), 0);
    pid_t pid = child_that_serves(TIDE_FOLLOWER, -1, said[1]);
    close(said[1]);
    assert_int_equal(read(said[0], &byte, 1), 1);
    close(said[0]);
    struct tide *other = open_heard(HOUR_NS, 0); /* later it would take the dead member's place, and reap it */
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_int_equal(segment_path(path, NULL, name, SEGMENT_TABLE, 1), 0);
    assert_int_equal(unlink(path), 0);
    atomic_store(&told_cause, 0);
    assert_int_equal(help_state(d, 1), TIDE_STATE_SERVING);
    assert_int_equal(tide_replica_start(other, NULL, NULL), 0);
    assert_int_equal(atomic_load(&told_cause), 0);
    tide_close(other);
    tide_close(d);
}

int main(void) {
    help_start(120);
    const struct CMUnitTest tests[] = {
        NAMED_CASE(newcomer__lapped_each_time__timeout_and_the_log_says_what_helps),
        NAMED_CASE(newcomers__that_the_leader_outruns__are_waited_for_longer_each_time_and_serve),
        NAMED_CASE(follower__lapped_and_joined_anew__is_not_told_that_the_commit_index_fell),
        NAMED_CASE(newcomer__no_descriptor_for_the_donor__error_and_log_say_so),
        NAMED_CASE(newcomer__table_of_a_dead_replica_was_just_removed__joins_from_another_and_says_nothing),
    };
    return cmocka_run_group_tests_name("newcomer", tests, NULL, NULL);
}
