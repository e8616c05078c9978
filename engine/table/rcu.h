/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * liburcu's memb flavour, with its read side inlined: entering and leaving a section takes a few plain instructions
 * (0.6 ns). They contain no barrier; when a grace period starts, membarrier() passes one for all threads.
 *
 * liburcu orders by membarrier and by assembly, neither of which ThreadSanitizer sees. The annotations below tell it
 * exactly the one edge that liburcu promises: what a section did happens before what follows a grace period that waited
 * for it.
 */
#ifndef TIDE_TABLE_RCU_H
#define TIDE_TABLE_RCU_H

#include <stdbool.h>
#include <stddef.h>

#if defined(__SANITIZE_THREAD__)
#define ENGINE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ENGINE_TSAN 1
#endif
#endif

/* The inlined read side touches liburcu's own words by volatile accesses, which ThreadSanitizer takes for races. It
 * does not look inside the library, so here the library's functions are called. */
#ifdef ENGINE_TSAN
#undef _LGPL_SOURCE
#elif !defined(_LGPL_SOURCE)
#define _LGPL_SOURCE
#endif
#include <urcu/urcu-memb.h>

#ifdef ENGINE_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char rcu_tsan_edge;
#define RCU_TSAN_RELEASE() __tsan_release(&rcu_tsan_edge)
#define RCU_TSAN_ACQUIRE() __tsan_acquire(&rcu_tsan_edge)
#else
#define RCU_TSAN_RELEASE() ((void)0)
#define RCU_TSAN_ACQUIRE() ((void)0)
#endif

static inline void rcu_enter(void) {
    urcu_memb_read_lock();
}

static inline void rcu_exit(void) {
    RCU_TSAN_RELEASE();
    urcu_memb_read_unlock();
}

/*
 * The same for a caller that knows its thread's word and that membarrier works. liburcu's own functions ask for both
 * each time, which is half of their instructions.
 */
#ifdef ENGINE_TSAN
static inline unsigned long *rcu_word(void) {
    return NULL;
}
static inline bool rcu_is_plain(void) {
    return true;
}
static inline void rcu_enter_at(unsigned long *word) {
    (void)word;
    rcu_enter();
}
static inline bool rcu_left_at(unsigned long *word) {
    (void)word;
    rcu_exit();
    return true;
}
static inline void rcu_wake(void) {}
#else
static inline unsigned long *rcu_word(void) {
    return &URCU_TLS(urcu_memb_reader).ctr;
}
static inline bool rcu_is_plain(void) {
    return urcu_memb_has_sys_membarrier != 0;
}
/* MO(rcu.section): the word is stored before the section's loads. This barrier binds the compiler; the processor is
 * bound by the membarrier() of rcu_wait(), when a grace period starts. */
static inline void rcu_enter_at(unsigned long *word) {
    unsigned long depth = *word;
    bool outermost = (depth & URCU_GP_CTR_NEST_MASK) == 0;
    CMM_STORE_SHARED(*word, __builtin_expect(outermost, 1) ? CMM_LOAD_SHARED(urcu_memb_gp.ctr) : depth + URCU_GP_COUNT);
    cmm_barrier();
}
/* Leave. False: the caller must call rcu_wake(). */
static inline bool rcu_left_at(unsigned long *word) {
    /* MO(rcu.section): the word is stored after the section's loads. */
    cmm_barrier();
    *word -= URCU_GP_COUNT; /* this thread's own */
    cmm_barrier();
    return __builtin_expect(uatomic_read(&urcu_memb_gp.futex) != -1, 1);
}
static inline void rcu_wake(void) {
    urcu_common_wake_up_gp(&urcu_memb_gp);
}
#endif

static inline void rcu_exit_at(unsigned long *word) {
    if (!rcu_left_at(word)) {
        rcu_wake();
    }
}

static inline bool rcu_inside(void) {
    return urcu_memb_read_ongoing();
}

/* Register the calling thread, unless we or the application did. It is unregistered when it ends. 0 or -1. */
int rcu_register_self(void);

/* Around fork(). In the child nobody will close the sections that other threads had open; they are forgotten. */
void rcu_before_fork(void);
void rcu_after_fork(bool child);

/* Wait until every section that was open at the call has ended. Never call it inside one. */
void rcu_wait(void);

/*
 * Has every section that was open at the call ended? Looks for a moment and waits for nobody; false also means "cannot
 * tell". Used in place of a grace period, for which another thread would have to be woken. Costs a membarrier(): below
 * a microsecond while no other thread of the process runs, some microseconds otherwise. Never call it inside a section.
 */
bool rcu_quiet(void);

#endif
