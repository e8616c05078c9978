/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/vigil.h"

#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shm/nap.h"
#include "shm/park.h"

#define VIGIL_LOOK_NS UINT64_C(500000000)
#define VIGIL_NAP_LEAST_NS UINT64_C(20000)

void vigil_begin(struct vigil_hold *h, struct log_segment *log) {
    _Atomic uint32_t *word = &log->leader.vigil;
    /* FUTEX_WAITERS makes the kernel always wake a sleeper, since sleepers do not mark that they wait. */
    atomic_store(word, ((uint32_t)gettid() & FUTEX_TID_MASK) | FUTEX_WAITERS);
    h->head = (struct robust_list_head){ .list = { &h->entry },
                                         .futex_offset = (long)((intptr_t)word - (intptr_t)&h->entry) };
    h->entry.next = &h->head.list;
    (void)syscall(SYS_set_robust_list, &h->head,
                  sizeof(h->head)); /* if it is refused, candidates look from time to time */
}

void vigil_leave(struct log_segment *log) {
    atomic_store(&log->leader.vigil, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    vigil_wake(log);
}

uint32_t vigil_look(const struct log_segment *log) {
    return atomic_load(&log->leader.vigil);
}

void vigil_sleep(struct log_segment *log, struct vigil_wait *w, uint32_t seen) {
    if ((seen & FUTEX_TID_MASK) != 0) {
        w->nap_ns = 0;
        park_wait(&log->leader.vigil, seen, VIGIL_LOOK_NS);
        if ((atomic_load(&log->leader.vigil) & FUTEX_TID_MASK) == 0) {
            vigil_wake(log); /* the kernel wakes one sleeper only: wake the others */
        }
        return;
    }
    /* Naps grow by an eighth, so a candidate oversleeps by at most about an eighth of the time for which the byte was
     * not free. */
    w->nap_ns = w->nap_ns == 0 ? VIGIL_NAP_LEAST_NS : w->nap_ns < VIGIL_LOOK_NS / 2 ? w->nap_ns * 9 / 8 : VIGIL_LOOK_NS;
    park_wait(&log->leader.vigil, seen, w->nap_ns);
}

void vigil_wake(struct log_segment *log) {
    park_wake(&log->leader.vigil, INT32_MAX);
}
