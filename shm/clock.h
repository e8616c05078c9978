/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain's clock: nanoseconds that all members agree on, without a system call, in less time than clock_gettime.
 *
 * It is one linear function of the invariant TSC, whose parameters lie in the log segment (struct clock_line), and which
 * starts at CLOCK_MONOTONIC's value so that the numbers look familiar. All members use the same function, so that a stamp
 * of one and a `now` of another can be subtracted: calibrating in each process would put two calibrations' errors, which
 * grow with uptime, into every staleness. Where the kernel does not itself trust the TSC (its clock source is another),
 * and on CPUs other than x86-64, use_tsc is 0 and everybody calls clock_gettime(CLOCK_MONOTONIC).
 *
 * Error. Rates, not offsets, matter: a staleness is a difference. Calibration takes 2 ms and ends each side by the best of
 * several bracketed readings, good to some tens of ns; that is a rate error of up to about 50 ppm for the first 10 ms,
 * 10 ppm until 100 ms, 1 ppm until 1 s, 0.1 ppm until 10 s, then what CLOCK_MONOTONIC itself is off by. (NTP slews that one
 * by up to 500 ppm; the clock follows its average since the start.) A staleness of 50 ms is thus wrong by at most 2.5 us in
 * the first 10 ms of a domain's life and by less than 50 ns after the first second. The offset from CLOCK_MONOTONIC that
 * the early error left behind stays; it is below a microsecond and the same for everyone.
 * After a suspend that stops the TSC the clock has lost that time, for all members alike.
 *
 * Hostile bytes: clock_check() at attach; whatever the line says later, the readers end and answer some number.
 */
#ifndef SHM_CLOCK_H
#define SHM_CLOCK_H

#include "shm/layout.h"

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#define CLOCK_HAS_TSC 1
#else
#define CLOCK_HAS_TSC 0
#endif

#define CLOCK_TRIES 64 /* a change takes some hundred ns and comes every 10 s: 64 failures mean that the line is broken */

/* CLOCK_MONOTONIC, ns. Any thread, wait-free (vDSO). */
uint64_t clock_monotonic_ns(void);

/* Calibrate a new line; takes 2 ms. By the creator, before anybody else can see the segment. */
void clock_init(struct clock_line *c);

/*
 * Is this line, read from shared memory, one that this process can use? 0, or -1: impossible values, or it needs a TSC
 * that this CPU does not have. At attach, before the first clock_now().
 */
int clock_check(const struct clock_line *c);

/* Improve the rate from the whole time since calibration. By the leader alone: see clock_refine(). */
void clock_refine_now(struct clock_line *c);

/* The function of the line at a TSC value. A TSC before the base (a core that is some cycles behind) counts as the base. */
static inline uint64_t clock_line_ns(uint64_t tsc, uint64_t base_tsc, uint64_t base_ns, uint64_t mult, uint32_t shift) {
    uint64_t ticks = tsc > base_tsc ? tsc - base_tsc : 0;
    /* 64 bits would be full after seconds: ticks * mult has 32 bits of fraction. */
    return base_ns + (uint64_t)(((unsigned __int128)ticks * mult) >> (shift & 63));
}

/*
 * One reading. ordered: the TSC is read after all earlier loads (and after the parameters); otherwise at any time.
 * The parameters are taken as one set by a seqlock. The TSC is read inside it, so that a reader with the old set has a TSC
 * from before the change and one with the new set a TSC from after it; hence the value does not fall at a change.
 */
static inline uint64_t clock_read(const struct clock_line *c, bool ordered) {
#if CLOCK_HAS_TSC
    for (int i = 0; i < CLOCK_TRIES; i++) {
        /* MO(clock.seq): acquire, pairs with the release of the even value in clock_switch(). Without it the parameters
         * below could be older than the sequence number says. */
        uint32_t seq = atomic_load_explicit(&c->seq, memory_order_acquire);
        if (seq & 1) {
            __builtin_ia32_pause();
            continue;
        }
        /* MO(clock.params): acquire, pairs with the release stores in clock_switch(): whoever sees one new parameter sees
         * the odd sequence number as well, and tries again. Acquire also keeps the second look at seq behind them. */
        uint32_t use_tsc = atomic_load_explicit(&c->use_tsc, memory_order_acquire);
        if (!use_tsc) {
            break;
        }
        uint64_t base_tsc = atomic_load_explicit(&c->base_tsc, memory_order_acquire); /* MO(clock.params) */
        uint64_t base_ns = atomic_load_explicit(&c->base_ns, memory_order_acquire);   /* MO(clock.params) */
        uint64_t mult = atomic_load_explicit(&c->mult, memory_order_acquire);         /* MO(clock.params) */
        uint32_t shift = atomic_load_explicit(&c->shift, memory_order_acquire);       /* MO(clock.params) */
        uint32_t cpu;
        uint64_t tsc = ordered ? __rdtscp(&cpu) : __rdtsc();
        /* MO(clock.seq): relaxed; the acquire loads above keep it behind them. */
        if (atomic_load_explicit(&c->seq, memory_order_relaxed) == seq) {
            return clock_line_ns(tsc, base_tsc, base_ns, mult, shift);
        }
    }
#else
    (void)c;
    (void)ordered;
#endif
    return clock_monotonic_ns();
}

/*
 * Now, for readers: not before any load that precedes it in the program (rdtscp waits for them; rdtsc may run ahead by
 * the depth of the pipeline). A reader loads applied_ts, then this: with a `now` from before that load, a commit in between
 * would make the staleness come out too small, or negative. Later loads may still be done before it; that is the safe
 * direction. ns. Any thread, wait-free.
 */
static inline uint64_t clock_now(const struct clock_line *c) {
    return clock_read(c, true);
}

/*
 * Now, for the leader's stamps: may be read early, never late. A stamp that is too small makes data look older than it
 * is, which is safe, and it is cheaper. It may be some ns below an earlier one: the leader keeps the greater. Wait-free.
 */
static inline uint64_t clock_stamp(const struct clock_line *c) {
    return clock_read(c, false);
}

/*
 * Is a refinement due at this instant? Steps: 10 ms, 100 ms, 1 s, 10 s after calibration began, then every 10 s. The time
 * of the last change is base_ns. By the leader alone, with a stamp that it has anyhow: two loads and some compares.
 */
static inline bool clock_refine_due(const struct clock_line *c, uint64_t stamp_ns) {
    /* MO(clock.params): relaxed: only the leader changes the line, so it reads its own writes; a new leader got the role
     * through the kernel's lock. */
    uint64_t window_ns = atomic_load_explicit(&c->base_ns, memory_order_relaxed) - c->anchor_ns;
    uint64_t age_ns = stamp_ns - c->anchor_ns;
    const uint64_t ms = UINT64_C(1000000);
    uint64_t step_ns = window_ns < 10 * ms     ? 10 * ms
                       : window_ns < 100 * ms  ? 100 * ms
                       : window_ns < 1000 * ms ? 1000 * ms
                                               : window_ns + 10000 * ms;
    if (window_ns >= 1000 * ms && window_ns < 10000 * ms) {
        step_ns = 10000 * ms;
    }
    return age_ns >= step_ns && age_ns < UINT64_C(1) << 63;
}

/*
 * Improve the rate if that is due. By the leader alone (the thread that holds the sequencer), as often as it likes: when
 * nothing is due this is a reading of the clock and a compare. The clock's value neither jumps nor falls at the change;
 * only its rate differs from then on. A change costs about 2 us.
 */
static inline void clock_refine(struct clock_line *c) {
    /* MO(clock.params): relaxed, as in clock_refine_due(). */
    if (atomic_load_explicit(&c->use_tsc, memory_order_relaxed) && clock_refine_due(c, clock_stamp(c))) {
        clock_refine_now(c);
    }
}

#endif
