/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Grace periods under the scheduler, in place of engine/table/grace.c: no thread, and a period ends when no thread is in a section. */
#include "engine/table/grace.h"

#include "engine/table/rcu.h"

extern _Atomic uint64_t grace_wanted;
bool sched_await_quiet(uint64_t until);
bool sched_is_on(void);
uint64_t sched_now(void);

_Atomic uint64_t grace_done_ticket;
_Atomic uint64_t grace_wanted;

int grace_hold(void (*look)(void)) {
    (void)look;
    return 0;
}

void grace_drop(void) {}

/* The scheduler looks at each point whether it has ended. */
uint64_t grace_start(void) {
    return atomic_fetch_add(&grace_wanted, 1) + 1;
}

bool grace_wait(uint64_t ticket, uint64_t ns) {
    uint64_t until = ns < UINT64_MAX - sched_now() ? sched_now() + ns : UINT64_MAX;
    if (grace_done(ticket)) {
        return true;
    }
    if (sched_is_on() ? !sched_await_quiet(until) : !rcu_quiet()) {
        return false;
    }
    atomic_store(&grace_done_ticket, atomic_load(&grace_wanted));
    return true;
}

void grace_before_fork(void) {}

void grace_after_fork(bool child) {
    (void)child;
}
