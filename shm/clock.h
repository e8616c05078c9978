/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The domain's clock: nanoseconds that all members agree on, without a system call, in less time than clock_gettime.
 *
 * It is one linear function of the invariant TSC, whose parameters lie in the log segment (struct clock_line), and
 * which starts at CLOCK_MONOTONIC's value so that the numbers look familiar. All members use the same function, so
 * that a stamp of one and a `now` of another can be subtracted: calibrating in each process would put two
 * calibrations' errors, which grow with uptime, into every staleness. Where the kernel does not itself trust the TSC
 * (its clock source is another), and on CPUs other than x86-64, use_tsc is 0 and everybody calls
 * clock_gettime(CLOCK_MONOTONIC).
 *
 * Error. A staleness is a difference, so the rate is what matters. Calibration takes 2 ms and ends each side by the
 * best of several bracketed readings, good to some tens of ns: the rate is off by up to about 50 ppm for the first 10
 * ms of a domain's life, 10 ppm until 100 ms, 1 ppm until 1 s, 0.1 ppm until 10 s. From then on the leader corrects
 * it every 10 s so that the clock would meet CLOCK_MONOTONIC 10 s later. So it follows NTP's slewing (at most 500
 * ppm) 10 s behind, and stays within 5 ms of CLOCK_MONOTONIC in that case and about a microsecond without. A
 * staleness of 50 ms is thus wrong by at most 2.5 us in the first 10 ms, by less than 50 ns after the first second,
 * by 25 us while NTP slews at its limit; that is the error of any clock that NTP may slew. A leader that calls
 * clock_refine() more rarely corrects more rarely. Where the clock has lost more than 10 ms against CLOCK_MONOTONIC
 * (a suspend, a migration of the virtual machine) it jumps forward at the next correction: for a moment data then
 * look older than they are, which is the safe direction. It never goes back; where it is ahead by as much it stays
 * ahead.
 *
 * A correction takes some hundred ns. If the leader sleeps or dies within it, who reads longer than CLOCK_TRIES takes CLOCK_MONOTONIC until it goes
 * on, or the next leader corrects: a staleness may be too small, or too great, by as much as the two differ (above).
 *
 * Hostile bytes: clock_check() at attach. Whatever the line says later, the readers end and answer some number, which never stands
 * still: a rate that no processor has is not believed. How long somebody waits is measured by CLOCK_MONOTONIC, never by this clock.
 */
#ifndef TIDE_SHM_CLOCK_H
#define TIDE_SHM_CLOCK_H

#include "shm/layout.h"

#include <stdbool.h>
#include <stdint.h>

#if defined(__x86_64__)
#include <x86intrin.h>
#define CLOCK_HAS_TSC 1
#else
#define CLOCK_HAS_TSC 0
#endif

#define CLOCK_SHIFT 32u /* a step of mult is then 0.0005 ppm of a 2 GHz TSC's rate */
/* 10 ps to 100 ns a tick: a TSC of 10 MHz to 100 GHz. No member writes a rate outside this range. */
#define CLOCK_MULT_LEAST ((UINT64_C(1) << CLOCK_SHIFT) / 100)
#define CLOCK_MULT_MOST ((UINT64_C(1) << CLOCK_SHIFT) * 100)
#define CLOCK_TRIES 64 /* a change takes some hundred ns, every 10 s; this many failures mean that the line is broken */
#define CLOCK_RESET_TICKS (UINT64_C(1) << 32) /* seconds: no two cores are that far apart */

/* CLOCK_MONOTONIC, ns. Any thread, wait-free (vDSO). */
uint64_t clock_monotonic_ns(void);

/* The instant `ns` after `instant_ns`. A sum that overflows is UINT64_MAX, an instant that never comes. */
static inline uint64_t clock_after(uint64_t instant_ns, uint64_t ns) {
    return ns < UINT64_MAX - instant_ns ? instant_ns + ns : UINT64_MAX;
}

/* Calibrate a new line; takes 2 ms. The creator calls it before any other process can see the segment. */
void clock_init(struct clock_line *c);

/*
 * Can this process use this line of shared memory? 0, or -1: impossible values, or it needs a TSC that this CPU does
 * not have. Call it at attach, before the first clock_now().
 */
int clock_check(const struct clock_line *c);

static inline bool clock_mult_is_sane(uint64_t mult) {
    return mult - CLOCK_MULT_LEAST <= CLOCK_MULT_MOST - CLOCK_MULT_LEAST;
}

/* Correct the rate now, due or not. The leader alone calls it: see clock_refine(). Does nothing without use_tsc. */
void clock_refine_now(struct clock_line *c);

/*
 * The function of the line at a TSC value. A TSC below the base by little (a core that is some cycles behind) counts
 * as the base; one that is below by seconds was reset, and then only the kernel knows the time.
 */
static inline uint64_t clock_line_ns(uint64_t tsc, uint64_t base_tsc, uint64_t base_ns, uint64_t mult) {
    if (__builtin_expect(tsc < base_tsc, 0)) {
        return base_tsc - tsc < CLOCK_RESET_TICKS ? base_ns : clock_monotonic_ns();
    }
    /* 64 bits would be full after seconds: the product has 32 bits of fraction. */
    return base_ns + (uint64_t)(((unsigned __int128)(tsc - base_tsc) * mult) >> CLOCK_SHIFT);
}

/*
 * One reading. ordered: the TSC is read after all earlier loads (and after the parameters); otherwise at any time.
 * The parameters are taken as one set by a seqlock. The TSC is read inside it, so that a reader with the old set has
 * a TSC from before the change and one with the new set a TSC from after it; hence the value does not fall at a
 * change.
 */
static inline uint64_t clock_read(const struct clock_line *c, bool ordered) {
#if CLOCK_HAS_TSC
    for (int i = 0; i < CLOCK_TRIES; i++) {
        /* MO(clock.seq): acquire, pairs with the release of the even value in clock_refine_now(). Without it the
         * parameters below could be older than the sequence number says. */
        uint32_t seq = atomic_load_explicit(&c->seq, memory_order_acquire);
        if (seq & 1) {
            __builtin_ia32_pause();
            continue;
        }
        /* MO(clock.params): acquire, pairs with the release stores in clock_refine_now(): whoever sees one new
         * parameter sees the odd sequence number as well, and tries again. Acquire also keeps the second look at seq
         * behind them. */
        uint32_t use_tsc = atomic_load_explicit(&c->use_tsc, memory_order_acquire);
        if (!use_tsc) {
            break;
        }
        uint64_t base_tsc = atomic_load_explicit(&c->base_tsc, memory_order_acquire); /* MO(clock.params) */
        uint64_t base_ns = atomic_load_explicit(&c->base_ns, memory_order_acquire);   /* MO(clock.params) */
        uint64_t mult = atomic_load_explicit(&c->mult, memory_order_acquire);         /* MO(clock.params) */
        uint32_t cpu;
        uint64_t tsc = ordered ? __rdtscp(&cpu) : __rdtsc();
        /* MO(clock.seq): relaxed; the acquire loads above keep it behind them. */
        if (atomic_load_explicit(&c->seq, memory_order_relaxed) == seq) {
            if (__builtin_expect(!clock_mult_is_sane(mult), 0)) {
                break; /* a rate of 0 would stop the clock, and every wait that uses it */
            }
            return clock_line_ns(tsc, base_tsc, base_ns, mult);
        }
    }
#else
    (void)c;
    (void)ordered;
#endif
    return clock_monotonic_ns();
}

/* clock_now() in a few instructions and without a call, where the TSC can be read and the line is not being changed. False: call
 * clock_now(). */
static inline bool clock_now_quick(const struct clock_line *c, uint64_t *now) {
#if CLOCK_HAS_TSC
    /* MO(clock.seq), MO(clock.params): as in clock_read(). The parameters are loaded after the TSC, which saves registers; the second look
     * at seq is behind both. */
    uint32_t seq = atomic_load_explicit(&c->seq, memory_order_acquire);
    uint32_t cpu;
    uint64_t tsc = __rdtscp(&cpu);
    uint32_t use_tsc = atomic_load_explicit(&c->use_tsc, memory_order_acquire);   /* MO(clock.params) */
    uint64_t base_tsc = atomic_load_explicit(&c->base_tsc, memory_order_acquire); /* MO(clock.params) */
    uint64_t base_ns = atomic_load_explicit(&c->base_ns, memory_order_acquire);   /* MO(clock.params) */
    uint64_t mult = atomic_load_explicit(&c->mult, memory_order_acquire);         /* MO(clock.params) */
    if (__builtin_expect((seq & 1) == 0 && use_tsc != 0 && clock_mult_is_sane(mult) && tsc >= base_tsc &&
                             atomic_load_explicit(&c->seq, memory_order_relaxed) == seq, /* MO(clock.seq) */
                         1)) {
        *now = clock_line_ns(tsc, base_tsc, base_ns, mult);
        return true;
    }
#else
    (void)c;
    (void)now;
#endif
    return false;
}

/*
 * Now, for readers: the TSC is read after every load that precedes the call (rdtscp waits for them; rdtsc may run ahead
 * by the depth of the pipeline). A reader loads applied_ts, then calls this. With a `now` from before that load, a
 * commit in between would make the staleness too small, or negative. Later loads may still be done before it; that is
 * the safe direction. ns. Any thread, wait-free.
 */
static inline uint64_t clock_now(const struct clock_line *c) {
    return clock_read(c, true);
}

/* Loads that follow are done after the clock was read, and the clock is read after what precedes a fence before this. */
static inline void clock_barrier(void) {
#if CLOCK_HAS_TSC
    __builtin_ia32_lfence();
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/*
 * Now, for the leader's stamps: may be read early, never late. A stamp that is too small makes data look older than
 * it is, which is safe, and it is cheaper. It may be some ns below an earlier one: the leader keeps the greater.
 * Wait-free.
 */
static inline uint64_t clock_stamp(const struct clock_line *c) {
    return clock_read(c, false);
}

/* The leader's copy of the line's parameters, which it alone changes: its stamps need no second look. mult 0: there is none. */
struct clock_own {
    uint64_t base_tsc, base_ns, mult;
};

/* Copy them. The leader calls it when it begins to lead, and after clock_refine(). */
void clock_learn(struct clock_own *own, const struct clock_line *c);

/* clock_stamp() by the leader's copy. */
static inline uint64_t clock_stamp_own(const struct clock_own *own, const struct clock_line *c) {
#if CLOCK_HAS_TSC
    if (__builtin_expect(own->mult != 0, 1)) {
        return clock_line_ns(__rdtsc(), own->base_tsc, own->base_ns, own->mult);
    }
#else
    (void)own;
#endif
    return clock_stamp(c);
}

/*
 * Is a correction due at this instant? Due 10 ms, 100 ms, 1 s and 10 s after calibration began, then every 10 s.
 * base_ns is the time of the last change. The leader alone calls it, with a stamp that it has anyway: a few loads and
 * compares.
 */
static inline bool clock_refine_due(const struct clock_line *c, uint64_t stamp_ns) {
    /* MO(clock.params): relaxed; pairs with the stores in clock_refine_now(), which the same thread has done. A new
     * leader got its role through a lock, and with it the old leader's stores. */
    uint64_t base_ns = atomic_load_explicit(&c->base_ns, memory_order_relaxed);
    uint64_t done_ns = base_ns - c->anchor_ns;
    const uint64_t ms = UINT64_C(1000000);
    uint64_t wait_ns = done_ns < 10 * ms      ? 8 * ms
                       : done_ns < 100 * ms   ? 90 * ms
                       : done_ns < 1000 * ms  ? 900 * ms
                       : done_ns < 10000 * ms ? 9000 * ms
                                              : 10000 * ms;
    return stamp_ns - base_ns >= wait_ns && stamp_ns > base_ns;
}

/*
 * Correct the rate if that is due. The leader's thread that has the sequencer calls it, as often as it likes: if
 * nothing is due, it costs a reading of the clock and some compares. At a change the value neither jumps nor falls (but
 * for lost time, see above); only its rate changes. A change takes about 2 us. It also mends a line that a leader left
 * half-changed when it died; readers use CLOCK_MONOTONIC until then.
 */
static inline void clock_refine(struct clock_line *c) {
    /* MO(clock.seq), MO(clock.params): relaxed, own stores, as in clock_refine_due(). */
    bool half_changed = atomic_load_explicit(&c->seq, memory_order_relaxed) & 1;
    if (atomic_load_explicit(&c->use_tsc, memory_order_relaxed) &&
        (half_changed || clock_refine_due(c, clock_stamp(c)))) {
        clock_refine_now(c);
    }
}

#endif
