/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/clock.h"
#include "shm/fd.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CLOCK_CALIBRATION_NS UINT64_C(2000000)
#define CLOCK_SLEW_MAX_PPM 1000u /* twice what NTP may do; more than that was no drift */
#define CLOCK_LOST_NS UINT64_C(10000000)

uint64_t clock_monotonic_ns(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        return 0; /* cannot fail on Linux: the clock exists and the pointer is good */
    }
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

#if CLOCK_HAS_TSC

#include <cpuid.h>

/* rdtscp, and a TSC that neither stops in sleep states nor changes its rate. */
static bool clock_ask_cpu(void) {
    unsigned int a, b, c, d;
    if (!__get_cpuid(0x80000001u, &a, &b, &c, &d) || !(d & (1u << 27))) {
        return false;
    }
    return __get_cpuid(0x80000007u, &a, &b, &c, &d) && (d & (1u << 8));
}

/* The CPU is asked once. A hypervisor may answer each cpuid itself, which takes tens of microseconds, and the dump tool
 * checks the clock for every age that it prints. */
static bool clock_cpu_has_tsc(void) {
    enum { UNKNOWN, NO, YES };
    static _Atomic int known = UNKNOWN;
    int answer = atomic_load(&known);
    if (answer == UNKNOWN) {
        answer = clock_ask_cpu() ? YES : NO;
        atomic_store(&known, answer);
    }
    return answer == YES;
}

/*
 * Only the kernel has compared the TSCs of all cores. Where it settled for another clock source (several sockets out
 * of step, a hypervisor without a stable TSC) a stamp of one core and a `now` of another could not be subtracted.
 */
static bool clock_kernel_trusts_tsc(void) {
    char text[32];
    int fd = fd_open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY, 0);
    if (fd < 0) {
        return false;
    }
    ssize_t got = read(fd, text, sizeof(text));
    (void)close(fd);
    return got == 4 && memcmp(text, "tsc\n", 4) == 0;
}

struct clock_pair {
    uint64_t tsc;
    uint64_t ns;
};

/*
 * One instant on both clocks. The narrowest of several brackets: whatever interrupted a reading makes its bracket
 * wide. rdtscp waits for what precedes it; the fence after it keeps clock_gettime from starting before.
 */
static struct clock_pair clock_sample(void) {
    struct clock_pair best = { 0, 0 };
    uint64_t best_width = UINT64_MAX;
    for (int i = 0; i < 24; i++) {
        uint32_t cpu;
        uint64_t before = __rdtscp(&cpu);
        _mm_lfence();
        uint64_t ns = clock_monotonic_ns();
        uint64_t after = __rdtscp(&cpu);
        if (after - before < best_width) {
            best_width = after - before;
            best.tsc = before + (after - before) / 2;
            best.ns = ns;
        }
    }
    return best;
}

/* ns * 2^CLOCK_SHIFT / ticks; 0 where that makes no sense. */
static uint64_t clock_rate(uint64_t ticks, uint64_t ns) {
    if (ticks == 0) {
        return 0;
    }
    unsigned __int128 rate = ((unsigned __int128)ns << CLOCK_SHIFT) / ticks;
    return rate > UINT64_MAX ? 0 : (uint64_t)rate;
}

void clock_init(struct clock_line *c) {
    memset((void *)c, 0, sizeof(*c));
    if (!clock_cpu_has_tsc() || !clock_kernel_trusts_tsc()) {
        return;
    }
    struct clock_pair first = clock_sample();
    while (clock_monotonic_ns() - first.ns < CLOCK_CALIBRATION_NS) {
        __builtin_ia32_pause();
    }
    struct clock_pair last = clock_sample();
    uint64_t mult = clock_rate(last.tsc - first.tsc, last.ns - first.ns);
    if (last.tsc <= first.tsc || !clock_mult_is_sane(mult)) {
        return;
    }
    c->anchor_tsc = first.tsc;
    c->anchor_ns = first.ns;
    /* No other process has the segment yet. */
    atomic_store(&c->base_tsc, last.tsc);
    atomic_store(&c->base_ns, last.ns);
    atomic_store(&c->mult, mult);
    atomic_store(&c->shift, CLOCK_SHIFT);
    atomic_store(&c->use_tsc, 1);
}

int clock_check(const struct clock_line *c) {
    uint32_t use_tsc = atomic_load(&c->use_tsc);
    if (use_tsc == 0) {
        return 0;
    }
    if (use_tsc != 1 || atomic_load(&c->shift) != CLOCK_SHIFT || !clock_mult_is_sane(atomic_load(&c->mult)) ||
        !clock_cpu_has_tsc()) {
        return -1;
    }
    return 0;
}

/*
 * The rate to use from now on: the one measured since the anchor, and on top what makes up for the offset until the
 * next correction. With the average since the anchor alone, a change of CLOCK_MONOTONIC's rate would be followed ever
 * more slowly; the offset's share makes the sum follow it within one step. 0: the measurement is not to be believed.
 */
static uint64_t clock_next_rate(uint64_t mult, const struct clock_line *c, struct clock_pair now, uint64_t clock_ns) {
    uint64_t measured = clock_rate(now.tsc - c->anchor_tsc, now.ns - c->anchor_ns);
    uint64_t slew_max = mult / 1000000u * CLOCK_SLEW_MAX_PPM;
    if (now.tsc <= c->anchor_tsc || measured > mult + slew_max || measured < mult - slew_max) {
        return 0;
    }
    int64_t behind_ns = (int64_t)(now.ns - clock_ns);
    uint64_t elapsed_ns = now.ns - c->anchor_ns;
    int64_t next_ns = INT64_C(10000000000); /* the steps of clock_refine_due() */
    if (elapsed_ns < (uint64_t)next_ns / 10) {
        next_ns = (int64_t)elapsed_ns * 9 + 1;
    }
    if (behind_ns > (int64_t)CLOCK_LOST_NS || behind_ns < -(int64_t)CLOCK_LOST_NS) {
        return measured; /* an offset this large is jumped over, or kept for good: see clock.h */
    }
    int64_t share = (int64_t)((__int128)behind_ns * (int64_t)measured / next_ns);
    if (share > (int64_t)slew_max) {
        share = (int64_t)slew_max;
    }
    if (share < -(int64_t)slew_max) {
        share = -(int64_t)slew_max;
    }
    return (uint64_t)((int64_t)measured + share);
}

void clock_refine_now(struct clock_line *c) {
    /* MO(clock.seq), MO(clock.params): relaxed; one writer loads its own stores. */
    uint32_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);
    if (!atomic_load_explicit(&c->use_tsc, memory_order_relaxed)) {
        return;
    }
    uint64_t base_tsc = atomic_load_explicit(&c->base_tsc, memory_order_relaxed); /* MO(clock.params) */
    uint64_t base_ns = atomic_load_explicit(&c->base_ns, memory_order_relaxed);   /* MO(clock.params) */
    uint64_t mult = atomic_load_explicit(&c->mult, memory_order_relaxed);         /* MO(clock.params) */
    uint32_t shift = atomic_load_explicit(&c->shift, memory_order_relaxed);       /* MO(clock.params) */
    struct clock_pair now = clock_sample();
    bool broken = (seq & 1) || now.tsc < base_tsc || shift != CLOCK_SHIFT || !clock_mult_is_sane(mult);
    uint64_t rate = broken ? 0 : clock_next_rate(mult, c, now, clock_line_ns(now.tsc, base_tsc, base_ns, mult));

    /* MO(clock.seq): relaxed; the release stores below and the barrier put it before everything that follows. Readers
     * that load an odd number, or another one than before, try again. */
    atomic_store_explicit(&c->seq, seq | 1, memory_order_relaxed);
    /* The TSC of the change is read when everybody can see the odd number: whoever still finishes with the old
     * parameters has an earlier TSC. A C11 fence does not order rdtsc, hence the instructions. */
    __asm__ volatile("mfence; lfence" ::: "memory");
    uint64_t tsc = __rdtsc();
    uint64_t ns = broken ? clock_monotonic_ns() : clock_line_ns(tsc, base_tsc, base_ns, mult) + 1;
    /* The 1: both functions round down, and a reader may be a pipeline's depth off the rule above. */
    if (!broken && now.ns > ns && now.ns - ns > CLOCK_LOST_NS) {
        ns = now.ns;
    }
    if (rate == 0) {
        /* The clock jumped since the anchor (a suspend, a migration): measure anew from here, and keep the rate. */
        c->anchor_tsc = now.tsc;
        c->anchor_ns = now.ns;
        rate = clock_mult_is_sane(mult) ? mult : UINT64_C(1) << CLOCK_SHIFT;
    }
    /* MO(clock.params): release; pairs with the acquire loads in clock_read(): a reader that sees one of these values
     * sees the odd number, too. */
    atomic_store_explicit(&c->base_tsc, tsc, memory_order_release);
    atomic_store_explicit(&c->base_ns, ns, memory_order_release);        /* MO(clock.params) */
    atomic_store_explicit(&c->mult, rate, memory_order_release);         /* MO(clock.params) */
    atomic_store_explicit(&c->shift, CLOCK_SHIFT, memory_order_release); /* MO(clock.params) */
    /* MO(clock.seq): release, pairs with the acquire in clock_read(): the even number comes with all parameters. */
    atomic_store_explicit(&c->seq, (seq | 1) + 1, memory_order_release);
}

void clock_learn(struct clock_own *own, const struct clock_line *c) {
    /* MO(clock.seq), MO(clock.params): relaxed, the leader's own stores, or those of the leader before it, as in clock_refine_due(). */
    uint32_t seq = atomic_load_explicit(&c->seq, memory_order_relaxed);
    uint32_t use_tsc = atomic_load_explicit(&c->use_tsc, memory_order_relaxed); /* MO(clock.params) */
    own->base_tsc = atomic_load_explicit(&c->base_tsc, memory_order_relaxed);   /* MO(clock.params) */
    own->base_ns = atomic_load_explicit(&c->base_ns, memory_order_relaxed);     /* MO(clock.params) */
    uint64_t mult = atomic_load_explicit(&c->mult, memory_order_relaxed);       /* MO(clock.params) */
    own->mult =
        (seq & 1) == 0 && use_tsc != 0 && clock_mult_is_sane(mult) ? mult : 0; /* else stamps are clock_read()'s */
}

#else

void clock_learn(struct clock_own *own, const struct clock_line *c) {
    (void)c;
    own->mult = 0;
}

void clock_init(struct clock_line *c) {
    memset((void *)c, 0, sizeof(*c));
}

int clock_check(const struct clock_line *c) {
    return atomic_load(&c->use_tsc) == 0 ? 0 : -1;
}

void clock_refine_now(struct clock_line *c) {
    (void)c;
}

#endif
