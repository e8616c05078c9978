/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/park.h"

#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define WATCHDOG_NS UINT64_C(60000000000) /* a wake-up that is lost shows as a failure and not as a hang */

struct room {
    _Atomic uint32_t word;
    _Atomic uint32_t waiters;
    _Atomic uint32_t work;
    _Atomic uint32_t done;
    _Atomic uint32_t timeouts;
};

static struct room *room_new(void) {
    struct room *r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(r, MAP_FAILED);
    return r;
}

static void park__word_differs__returns_at_once(void **state) {
    (void)state;
    _Atomic uint32_t word = 5;
    assert_int_equal(park_wait(&word, 4, UINT64_MAX), 0);
    assert_int_equal(park_wait(&word, 6, 0), 0);
}

static void park__nobody_wakes__times_out(void **state) {
    (void)state;
    _Atomic uint32_t word = 5;
    assert_int_equal(park_wait(&word, 5, 0), -1);
    assert_int_equal(park_wait(&word, 5, 2000000), -1);
}

static void park__wake_without_sleepers__does_nothing(void **state) {
    (void)state;
    _Atomic uint32_t word = 5;
    park_wake(&word, 1);
    park_wake(&word, 0);
    park_wake(&word, -1);
    assert_int_equal(word, 5);
}

/* The pattern of shm/park.h, as the waiter and as the waker. */
static void room_await(struct room *r, uint32_t until) {
    while (atomic_load(&r->work) < until) {
        uint32_t seen = atomic_load(&r->word);
        atomic_fetch_add(&r->waiters, 1);
        int got = atomic_load(&r->work) < until ? park_wait(&r->word, seen, WATCHDOG_NS) : 0;
        atomic_fetch_sub(&r->waiters, 1);
        if (got != 0) {
            atomic_fetch_add(&r->timeouts, 1);
            return;
        }
    }
}

static void room_work(struct room *r, uint32_t until) {
    atomic_store(&r->work, until); /* seq_cst: the full barrier of the pattern */
    if (atomic_load(&r->waiters) != 0) {
        atomic_fetch_add(&r->word, 1);
        park_wake(&r->word, INT_MAX);
    }
}

#define ROUNDS 20000u

static void *ponger(void *arg) {
    struct room *r = arg;
    for (uint32_t i = 1; i <= ROUNDS; i++) {
        room_await(&r[0], i);
        room_work(&r[1], i);
        if (atomic_load(&r[0].timeouts) != 0) {
            break;
        }
    }
    return NULL;
}

static void park__two_threads_take_turns__no_wake_up_is_lost(void **state) {
    (void)state;
    struct room *r = room_new();
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, ponger, r), 0);
    for (uint32_t i = 1; i <= ROUNDS && atomic_load(&r[1].timeouts) == 0; i++) {
        room_work(&r[0], i);
        room_await(&r[1], i);
    }
    pthread_join(thread, NULL);
    assert_int_equal(r[0].timeouts, 0);
    assert_int_equal(r[1].timeouts, 0);
    assert_int_equal(r[0].work, ROUNDS);
    assert_int_equal(r[1].work, ROUNDS);
    munmap(r, sizeof(*r));
}

static void *sleeper(void *arg) {
    struct room *r = arg;
    room_await(r, 1);
    atomic_fetch_add(&r->done, 1);
    return NULL;
}

static void park__many_sleepers__all_wake(void **state) {
    (void)state;
    struct room *r = room_new();
    pthread_t threads[8];
    for (int i = 0; i < 8; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, sleeper, r), 0);
    }
    while (atomic_load(&r->waiters) < 8) {
        park_relax();
    }
    room_work(r, 1);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(r->done, 8);
    assert_int_equal(r->timeouts, 0);
    munmap(r, sizeof(*r));
}

struct bits_sleeper {
    struct room *room;
    uint32_t bits;
    _Atomic bool woken;
};

static void *bits_sleep(void *arg) {
    struct bits_sleeper *s = arg;
    atomic_fetch_add(&s->room->waiters, 1);
    int got = park_wait_bits(&s->room->word, 0, s->bits, clock_monotonic_ns() + WATCHDOG_NS);
    atomic_fetch_add(&s->room->timeouts, got != 0);
    atomic_store(&s->woken, true);
    return NULL;
}

/* The word stays as it is, so whoever comes later sleeps, too: wake-ups are repeated until the thread has one. */
static void bits_wake(struct bits_sleeper *s) {
    while (!atomic_load(&s->woken)) {
        park_wake_bits(&s->room->word, s->bits);
        usleep(100);
    }
}

static void park__bits__wake_only_who_has_one_of_them(void **state) {
    (void)state;
    struct room *r = room_new();
    struct bits_sleeper sleepers[] = { { r, 1, false }, { r, 2, false }, { r, 2u | 1u << 31, false } };
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, bits_sleep, &sleepers[i]), 0);
    }
    bits_wake(&sleepers[1]);
    bits_wake(&sleepers[2]);
    assert_int_equal(pthread_join(threads[1], NULL), 0);
    assert_int_equal(pthread_join(threads[2], NULL), 0);
    usleep(20000); /* a wake-up that was not meant for it would show now */
    assert_false(atomic_load(&sleepers[0].woken));
    park_wake_bits(&r->word, 0); /* nobody */
    bits_wake(&sleepers[0]);
    assert_int_equal(pthread_join(threads[0], NULL), 0);
    assert_int_equal(r->timeouts, 0);
    assert_int_equal(park_wait_bits(&r->word, 1, 1, UINT64_MAX), 0);
    assert_int_equal(park_wait_bits(&r->word, 0, 1, clock_monotonic_ns() + 2000000), -1);
    munmap(r, sizeof(*r));
}

static void park__sleeper_in_another_process__wakes(void **state) {
    (void)state;
    struct room *r = room_new();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        room_await(r, 1);
        _exit(atomic_load(&r->timeouts) == 0 ? 0 : 1);
    }
    while (atomic_load(&r->waiters) == 0) {
        park_relax();
    }
    room_work(r, 1);
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    munmap(r, sizeof(*r));
}

static void on_signal(int number) {
    (void)number;
}

static void *interrupted(void *arg) {
    struct room *r = arg;
    atomic_store(&r->work, 1);
    int got = park_wait(&r->word, 0, UINT64_MAX);
    atomic_store(&r->timeouts, got == 0 ? 0 : 1);
    atomic_store(&r->done, 1);
    return NULL;
}

static void park__signal__counts_as_woken(void **state) {
    (void)state;
    struct room *r = room_new();
    struct sigaction action;
    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal; /* without SA_RESTART */
    assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, interrupted, r), 0);
    while (atomic_load(&r->work) == 0) {
        park_relax();
    }
    while (atomic_load(&r->done) == 0) {
        pthread_kill(thread, SIGUSR1);
        sched_yield();
    }
    pthread_join(thread, NULL);
    assert_int_equal(r->timeouts, 0);
    munmap(r, sizeof(*r));
}

/* ---- racy copies: a seqlock whose bytes are all alike, so that a torn copy that passes the check is seen --------- */

struct seqlock {
    _Atomic uint32_t seq;
    _Atomic uint32_t stop;
    size_t skew; /* 0: both aligned, word-wise under ThreadSanitizer */
    uint8_t bytes[256 + 8];
};

static void *seqlock_writer(void *arg) {
    struct seqlock *s = arg;
    uint8_t fresh[256];
    for (uint32_t i = 1; atomic_load(&s->stop) == 0; i++) {
        memset(fresh, (int)(i & 0xff), sizeof(fresh));
        atomic_store_explicit(&s->seq, 2 * i - 1, memory_order_relaxed); /* MO(bytes.copy): ordered by the racy store */
        bytes_store_racy(s->bytes + s->skew, fresh, sizeof(fresh));
        atomic_store(&s->seq, 2 * i);
    }
    return NULL;
}

static void bytes__copied_while_written__whole_or_thrown_away(void **state) {
    (void)state;
    for (size_t skew = 0; skew < 2; skew++) {
        static struct seqlock lock;
        memset((void *)&lock, 0, sizeof(lock));
        lock.skew = skew;
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, seqlock_writer, &lock), 0);
        uint64_t copy[32];
        int whole = 0;
        for (int tries = 0; whole < 2000 && tries < 50000000; tries++) {
            uint32_t before = atomic_load(&lock.seq);
            bytes_copy_racy(copy, lock.bytes + lock.skew, sizeof(copy));
            /* MO(bytes.copy): relaxed; the copy is ordered before it by bytes_copy_racy(). */
            uint32_t after = atomic_load_explicit(&lock.seq, memory_order_relaxed);
            if ((before & 1) == 0 && before == after) {
                whole++;
                for (size_t i = 1; i < 32; i++) {
                    assert_true(copy[i] == copy[0]);
                }
            }
        }
        atomic_store(&lock.stop, 1);
        pthread_join(thread, NULL);
        assert_true(whole > 0);
    }
}

static void pace__little_at_each_look__longer_until_enough(void **state) {
    (void)state;
    struct park_pace pace = { 0, 0 };
    for (uint32_t i = 1; i <= 2 * PARK_PACE_MAX; i++) {
        park_pace_found(&pace, 1);
        assert_int_equal(pace.steps, i < PARK_PACE_MAX ? i : PARK_PACE_MAX);
    }
    park_pace_found(&pace, PARK_PACE_ENOUGH);
    assert_int_equal(pace.steps, PARK_PACE_MAX);
    park_pace_found(&pace, 2 * PARK_PACE_ENOUGH + 1);
    assert_int_equal(pace.steps, PARK_PACE_MAX / 2);
}

static void pace__nothing_found__no_wait_before_and_after_the_next_find(void **state) {
    (void)state;
    struct park_pace pace = { 0, 0 };
    park_pace_found(&pace, 1);
    park_pace_found(&pace, 1);
    park_pace_nothing(&pace);
    assert_int_equal(pace.steps, 0);
    park_pace_found(&pace, 1);
    assert_int_equal(pace.steps, 0);
    park_pace_found(&pace, 1);
    assert_int_equal(pace.steps, 1);
}

static void bytes__any_alignment_and_length__copied_exactly(void **state) {
    (void)state;
    uint8_t from[64], to[64];
    for (size_t i = 0; i < sizeof(from); i++) {
        from[i] = (uint8_t)(i + 1);
    }
    for (size_t a = 0; a < 8; a++) {
        for (size_t b = 0; b < 8; b++) {
            for (size_t bytes = 0; bytes <= 40; bytes++) {
                memset(to, 0, sizeof(to));
                bytes_copy_racy(to + b, from + a, bytes);
                assert_memory_equal(to + b, from + a, bytes);
                assert_int_equal(to[b + bytes], 0);
                memset(to, 0, sizeof(to));
                bytes_store_racy(to + b, from + a, bytes);
                assert_memory_equal(to + b, from + a, bytes);
                assert_int_equal(to[b + bytes], 0);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(park__word_differs__returns_at_once),
        cmocka_unit_test(park__nobody_wakes__times_out),
        cmocka_unit_test(park__wake_without_sleepers__does_nothing),
        cmocka_unit_test(park__two_threads_take_turns__no_wake_up_is_lost),
        cmocka_unit_test(park__many_sleepers__all_wake),
        cmocka_unit_test(park__bits__wake_only_who_has_one_of_them),
        cmocka_unit_test(park__sleeper_in_another_process__wakes),
        cmocka_unit_test(park__signal__counts_as_woken),
        cmocka_unit_test(bytes__copied_while_written__whole_or_thrown_away),
        cmocka_unit_test(bytes__any_alignment_and_length__copied_exactly),
        cmocka_unit_test(pace__little_at_each_look__longer_until_enough),
        cmocka_unit_test(pace__nothing_found__no_wait_before_and_after_the_next_find),
    };
    return cmocka_run_group_tests_name("park", tests, NULL, NULL);
}
