/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sleeping until a word in shared memory changes, across processes. Futex words are not private to the process.
 *
 * Losing no wake-up is the caller's part, and it is Dekker's pattern: each side writes, passes a full barrier, then
 * reads what the other side wrote. `work` is what the waiter waits for, `waiters` its announcement, `word` the futex
 * word:
 *
 *     waiter                                            waker
 *     seen = load(word)                                 store(work)
 *     fetch_add(waiters, 1)                             full barrier
 *     full barrier                                      if (load(waiters) != 0) {
 *     if (!load(work))                                      fetch_add(word, 1)
 *         park_wait(word, seen, timeout)                    park_wake(word, INT_MAX)
 *     fetch_sub(waiters, 1)                             }
 *
 * Without either barrier both reads may see the old value: the waker finds nobody, the waiter finds no work, and it
 * sleeps on work that is there. `seen` is loaded before the announcement, so that a wake-up which comes between the
 * look at `work` and the system call changes the word and the kernel does not put the waiter to sleep.
 * The waker makes no system call while `waiters` is 0. A waiter that dies between the two additions leaves `waiters`
 * too high: that costs system calls, never a wake-up.
 */
#ifndef TIDE_SHM_PARK_H
#define TIDE_SHM_PARK_H

#include <stdatomic.h>
#include <stdint.h>

/* Tell the CPU that this is a spin loop: it saves power, and leaves the core to the other hyperthread. Wait-free. */
static inline void park_relax(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

/* A counter that grows by some units each nanosecond, or stands still on CPUs without a cheap one. */
static inline uint64_t park_ticks(void) {
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

/*
 * When to look again at a word that another thread writes all the time. Each look takes the word's line away from its
 * writer, who must get it back for the next write. Polling after every write slows the writer more than it helps the
 * reader. So a reader whose looks find little, but something each time, leaves the word alone in between: longer and
 * longer, until a look finds PARK_PACE_ENOUGH. A look that finds nothing ends that: the writer is slow, and its next
 * write should be seen at once. Start with zeroes. At most 0.7 us, at 3 ticks in a nanosecond.
 */
#define PARK_PACE_ENOUGH 32u
#define PARK_PACE_MAX 64u
#define PARK_PACE_TICKS 32u /* ticks of one step; a pause instruction takes as long or longer */
struct park_pace {
    uint32_t steps;
    uint32_t empty; /* 1: the last look found nothing */
};

static inline void park_pace_nothing(struct park_pace *p) {
    p->steps = 0;
    p->empty = 1;
}

/* The last look found `found` entries, and they are done: wait until the next look is due. */
static inline void park_pace_found(struct park_pace *p, uint64_t found) {
    if (p->empty != 0) {
        p->empty = 0;
        return;
    }
    if (found < PARK_PACE_ENOUGH) {
        p->steps += p->steps < PARK_PACE_MAX;
    } else if (found > 2 * PARK_PACE_ENOUGH) {
        p->steps /= 2;
    }
    uint64_t start = park_ticks();
    for (uint32_t i = 0; i < p->steps && park_ticks() - start < p->steps * PARK_PACE_TICKS; i++) {
        park_relax();
    }
}

/*
 * Sleep while *word == seen, at most timeout_ns (CLOCK_MONOTONIC; UINT64_MAX: no limit; 0: only compare).
 * 0: woken, or the word differs, or a signal came: look again at what you wait for. -1: timed out.
 * Wake-ups may be spurious. Any thread of any process that has the word mapped; the mapping may be read-only.
 */
int park_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns);

/* Wake up to `count` sleepers of the word. Change the word first. Any thread; one system call, does not wait. */
void park_wake(_Atomic uint32_t *word, int count);

/*
 * The same for sleepers who wait for different things on one word: each has bits, not 0, and a wake-up is for those that have one of its
 * own. A waiter whose bits are not meant sleeps on although the word has changed. until_ns: an instant of CLOCK_MONOTONIC.
 */
int park_wait_bits(_Atomic uint32_t *word, uint32_t seen, uint32_t bits, uint64_t until_ns);
void park_wake_bits(_Atomic uint32_t *word, uint32_t bits);

/* Change the word and wake up to `count` of its sleepers. */
static inline void park_rouse(_Atomic uint32_t *word, int count) {
    atomic_fetch_add(word, 1);
    park_wake(word, count);
}

/* The same if sleepers announce themselves by a flag, which the waker takes back. The caller has found the flag set. */
static inline void park_rouse_announced(_Atomic uint32_t *flag, _Atomic uint32_t *word, int count) {
    atomic_store(flag, 0);
    park_rouse(word, count);
}

#endif
