/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * liburcu's memb flavour, with its read side inlined: entering and leaving a section is a few plain instructions (0.6 ns);
 * the barrier that they lack is passed for all threads by membarrier() when a grace period starts.
 *
 * liburcu orders by membarrier and by assembly, neither of which ThreadSanitizer sees. The annotations below tell it exactly the
 * one edge that liburcu promises: what a section did happens before what comes after a grace period that waited for it.
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

/* The inlined read side touches liburcu's own words by volatile accesses, which ThreadSanitizer takes for races; inside the
 * library it does not look. */
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
 * The same for a caller that has asked before where its thread's word is and whether membarrier works; liburcu's own functions
 * ask both each time, which is half of their instructions.
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
/* MO(rcu.section): the word is stored before the section's loads, for the compiler; the processor is made to when a grace period
 * asks by membarrier(), in rcu_wait(). */
static inline void rcu_enter_at(unsigned long *word) {
    unsigned long depth = *word;
    bool outermost = (depth & URCU_GP_CTR_NEST_MASK) == 0;
    CMM_STORE_SHARED(*word, __builtin_expect(outermost, 1) ? CMM_LOAD_SHARED(urcu_memb_gp.ctr) : depth + URCU_GP_COUNT);
    cmm_barrier();
}
/* False: rcu_wake() has to be called yet. */
static inline bool rcu_left_at(unsigned long *word) {
    /* MO(rcu.section): and after them. */
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

/* Register the calling thread, if neither we nor the application did. It is unregistered when it ends. 0 or -1. */
int rcu_register_self(void);

/* Around fork(): in the child, sections that were open in other threads have no one to close them, and are forgotten. */
void rcu_before_fork(void);
void rcu_after_fork(bool child);

/* Wait until every section that was open at the call has ended. Never call it inside one. */
void rcu_wait(void);

/*
 * Has every section that was open at the call ended? Looks for a moment and waits for nobody: false also where it cannot be told. In place
 * of a grace period, which another thread would have to be woken for. Costs a membarrier(): below a microsecond while no
 * other thread of the process runs, some microseconds else. Never call it inside a section.
 */
bool rcu_quiet(void);

#endif
