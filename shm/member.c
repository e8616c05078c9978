/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/member.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static int member_lock(int fd, uint32_t byte, short type, int command) {
    struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    return fcntl(fd, command, &lock);
}

/* True also if the system does not tell: then nothing is taken from a member that may hold the lock. */
static bool member_locked_by_other(int fd, uint32_t byte) {
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1 };
    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

int member_join(int fd) {
    return member_lock(fd, MEMBER_ALIVE, F_RDLCK, F_OFD_SETLK);
}

bool member_any_lives(int fd) {
    return member_locked_by_other(fd, MEMBER_ALIVE);
}

bool member_claim_dead(int fd) {
    return member_lock(fd, MEMBER_ALIVE, F_WRLCK, F_OFD_SETLK) == 0;
}

/* Reap a slot's dead member. The caller holds the slot's byte. */
static void member_bury(struct log_segment *log, uint32_t member, member_reap_fn *reap, void *ctx) {
    struct member_slot *slot = &log->members[member];
    if (atomic_load(&slot->used) != MEMBER_FREE) {
        /* While a reaper holds a dead member's byte, that member seems to live. Two reapers hold two dead members'
         * bytes; neither may mistake the other's member for alive, or each would give its dead member's copy of the
         * data up because another copy seems to be left. So each stores BURIED before it looks at the others, and at
         * least one of the two sees the other's. */
        atomic_store(&slot->used, MEMBER_BURIED);
        atomic_thread_fence(memory_order_seq_cst);
        reap(ctx, member);
        atomic_store(&slot->used, MEMBER_FREE);
    }
}

int member_claim(int fd, struct log_segment *log, member_reap_fn *reap, void *ctx) {
    for (uint32_t k = 0; k < LAYOUT_MEMBERS; k++) {
        if (member_lock(fd, MEMBER_FIRST + k, F_WRLCK, F_OFD_SETLK) != 0) {
            if (errno != EAGAIN && errno != EACCES) {
                return -1; /* the system refuses locks, which says nothing about the slots */
            }
            continue;
        }
        member_bury(log, k, reap, ctx);
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        struct member_slot *slot = &log->members[k];
        atomic_store(&slot->pid, (uint32_t)getpid());
        atomic_store(&slot->started_unix_ns, (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec);
        atomic_store(&slot->used, MEMBER_TAKEN);
        return (int)k;
    }
    errno = EAGAIN;
    return -1;
}

void member_release(int fd, struct log_segment *log, uint32_t member) {
    atomic_store(&log->members[member].used, 0);
    member_lock(fd, MEMBER_FIRST + member, F_UNLCK, F_OFD_SETLK);
}

uint32_t member_reap_all(int fd, struct log_segment *log, uint32_t self, member_reap_fn *reap, void *ctx) {
    uint32_t reaped = 0;
    for (uint32_t k = 0; k < LAYOUT_MEMBERS; k++) {
        /* A description can always lock its own byte again. Skip that byte, or the caller would bury itself. */
        if (atomic_load(&log->members[k].used) == 0 || k == self ||
            member_lock(fd, MEMBER_FIRST + k, F_WRLCK, F_OFD_SETLK) != 0) {
            continue;
        }
        if (atomic_load(&log->members[k].used) != 0) {
            member_bury(log, k, reap, ctx);
            reaped++;
        }
        member_lock(fd, MEMBER_FIRST + k, F_UNLCK, F_OFD_SETLK);
    }
    return reaped;
}

bool member_lives(int fd, const struct log_segment *log, uint32_t member, uint32_t self) {
    return member < LAYOUT_MEMBERS && atomic_load(&log->members[member].used) == MEMBER_TAKEN &&
           (member == self || member_locked_by_other(fd, MEMBER_FIRST + member));
}

bool member_lead(int fd) {
    return member_lock(fd, MEMBER_LEADER, F_WRLCK, F_OFD_SETLK) == 0;
}

void member_unlead(int fd) {
    member_lock(fd, MEMBER_LEADER, F_UNLCK, F_OFD_SETLK);
}

bool member_led_elsewhere(int fd) {
    return member_locked_by_other(fd, MEMBER_LEADER);
}
