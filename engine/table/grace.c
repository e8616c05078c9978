/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/table/grace.h"

#include <pthread.h>
#include <stdatomic.h>

#include "engine/table/rcu.h"
#include "engine/table/thread.h"
#include "shm/clock.h"
#include "shm/park.h"

#define GRACE_LOOK_NS UINT64_C(1000000000)

static struct {
    pthread_mutex_t lock; /* taken by grace_hold() and grace_drop() alone: rarely */
    uint32_t holders;
    pthread_t thread;
    void (*look)(void);
    _Atomic uint64_t wanted; /* the last ticket given out */
    _Atomic uint32_t wake;   /* futex word of the thread */
    _Atomic bool asleep;
    _Atomic uint32_t finished; /* futex word of waiters: counts grace periods */
    _Atomic bool stop;
} grace = { .lock = PTHREAD_MUTEX_INITIALIZER };

_Atomic uint64_t grace_done_ticket;

/* Calls look() when that is due. Returns the time until it is due again. */
static uint64_t grace_look(uint64_t *look_ns) {
    uint64_t now = clock_monotonic_ns();
    if (now >= *look_ns) {
        grace.look();
        *look_ns = now + GRACE_LOOK_NS;
    }
    return *look_ns - now;
}

static void *grace_run(void *unused) {
    uint64_t look_ns = clock_monotonic_ns() + GRACE_LOOK_NS;
    bool looks = rcu_register_self() == 0 && grace.look != NULL;
    (void)unused;
    for (;;) {
        uint64_t idle_ns = looks ? grace_look(&look_ns) : UINT64_MAX;
        uint32_t seen = atomic_load(&grace.wake);
        uint64_t wanted = atomic_load(&grace.wanted);
        if (wanted != atomic_load(&grace_done_ticket)) {
            rcu_wait();
            atomic_store(&grace_done_ticket, wanted);
            park_rouse(&grace.finished, INT32_MAX);
            continue;
        }
        if (atomic_load(&grace.stop)) {
            return NULL;
        }
        /* Announce, look again, sleep; grace_start() raises `wanted` and then looks for a sleeper. */
        atomic_store(&grace.asleep, true);
        if (atomic_load(&grace.wanted) == wanted && !atomic_load(&grace.stop)) {
            park_wait(&grace.wake, seen, idle_ns);
        }
        atomic_store(&grace.asleep, false);
    }
}

static void grace_kick(void) {
    if (atomic_load(&grace.asleep)) {
        park_rouse(&grace.wake, 1);
    }
}

int grace_hold(void (*look)(void)) {
    int result = 0;
    pthread_mutex_lock(&grace.lock);
    if (grace.holders == 0) {
        atomic_store(&grace.stop, false);
        grace.look = look;
        result = thread_start(&grace.thread, grace_run, NULL);
    }
    grace.holders += result == 0;
    pthread_mutex_unlock(&grace.lock);
    return result;
}

void grace_drop(void) {
    pthread_mutex_lock(&grace.lock);
    if (--grace.holders == 0) {
        atomic_store(&grace.stop, true);
        grace_kick();
        pthread_join(grace.thread, NULL);
    }
    pthread_mutex_unlock(&grace.lock);
}

uint64_t grace_start(void) {
    uint64_t ticket = atomic_fetch_add(&grace.wanted, 1) + 1;
    grace_kick();
    return ticket;
}

bool grace_wait(uint64_t ticket, uint64_t ns) {
    uint64_t until = clock_after(clock_monotonic_ns(), ns);
    for (;;) {
        uint32_t seen = atomic_load(&grace.finished);
        if (grace_done(ticket)) {
            return true;
        }
        uint64_t now = clock_monotonic_ns();
        if (now >= until) {
            return false;
        }
        park_wait(&grace.finished, seen, until - now);
    }
}

void grace_before_fork(void) {
    pthread_mutex_lock(&grace.lock);
}

void grace_after_fork(bool child) {
    if (child) {
        grace.holders = 0;
        atomic_store(&grace.asleep, false);
        atomic_store(&grace_done_ticket, atomic_load(&grace.wanted));
    }
    pthread_mutex_unlock(&grace.lock);
}
