/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/source.h"

#include "engine/replica/replica.h"
#include "shm/clock.h"
#include "shm/nap.h"
#include "shm/park.h"

#define SOURCE_LOOKUP_STEPS 128u        /* as bound.c */
#define SOURCE_WAIT_SHIFT 26u           /* 2^26 ns: source_look_again() */
#define SOURCE_LOOK_NS UINT64_C(100000) /* between looks of a handle that nobody can wake */
#define SOURCE_SECOND_SHIFT 30u         /* 2^30 ns: the seconds of the hint */

/* ---- the applying thread ------------------------------------------------------------------------------------------- */

static void source_set(struct replica *r, uint64_t revision, uint64_t part) {
    struct source_done *done = &r->writer.t.seg->source;
    r->source.revision = revision;
    r->source.part = part;
    atomic_store_explicit(&done->part, part, memory_order_relaxed);         /* MO(source.done) */
    atomic_store_explicit(&done->revision, revision, memory_order_release); /* MO(source.done) */
}

void source_note(struct replica *r, uint32_t flags, uint64_t version, uint64_t ts) {
    r->source.ts = ts;
    if ((flags & FRAME_REACHED) != 0) {
        source_set(r, version, 0);
    } else if ((flags & FRAME_MORE) == 0) {
        source_set(r, r->source.revision, 1);
    }
}

void source_publish(const struct replica *r) {
    struct replica_board *b = r->view.board;
    /* MO(source.held): release, after `applied`: a reader that loads these first, and `applied` then, has a state that holds them. */
    atomic_store_explicit(&b->source_revision, r->source.revision, memory_order_release);
    atomic_store_explicit(&b->source_ts, r->source.ts, memory_order_release); /* MO(source.held) */
}

void source_copy_notes(struct replica *to, const struct view *from) {
    /* Where the donor goes on meanwhile, the log that the newcomer applies brings what it did. */
    const struct source_done *done = &from->table.seg->source;
    uint64_t revision = atomic_load_explicit(&done->revision, memory_order_acquire);        /* MO(source.done) */
    source_set(to, revision, atomic_load_explicit(&done->part, memory_order_relaxed) != 0); /* MO(source.done) */
}

/* ---- readers ------------------------------------------------------------------------------------------------------- */

static uint64_t source_board_ts(const struct replica_board *b) {
    return atomic_load_explicit(&b->source_ts, memory_order_acquire); /* MO(source.held): before `applied` */
}

/* The instant as of which the board says that the log up to *index is complete. */
static uint64_t source_complete(const struct tide *d, uint64_t *index) {
    const struct feed_board *f = &d->log->feed;
    /* MO(feed.complete): acquire; the instant before the index, which the leader stores in the other order: the index is this instant's, or
     * a later one's. */
    uint64_t ts = atomic_load_explicit(&f->complete_ts, memory_order_acquire);
    *index = atomic_load_explicit(&f->complete_index, memory_order_acquire); /* MO(feed.complete) */
    return ts;
}

uint64_t source_staleness(const struct tide *d, const struct replica_board *b, uint64_t *index) {
    uint64_t complete = source_board_ts(b), from;
    uint64_t ts = source_complete(d, &from);
    uint64_t at = board_applied(b);
    if (at < from) {
        ts = ring_complete_ts(&d->ring, board_pos(b), at + 1, SOURCE_LOOKUP_STEPS);
        if (ts == 0) { /* the replica has applied more meanwhile, or the frame is out of reach */
            complete = source_board_ts(b);
            ts = source_complete(d, &from);
            at = board_applied(b);
            ts = at >= from ? ts : ring_complete_ts(&d->ring, board_pos(b), at + 1, SOURCE_LOOKUP_STEPS);
        }
    }
    complete = ts > complete ? ts : complete;
    *index = at;
    if (complete == 0) {
        return UINT64_MAX;
    }
    return source_age(complete, clock_now(&d->log->clock));
}

bool source_holds(const struct tide *d, const struct replica_board *b, uint64_t revision) {
    const struct feed_board *f = &d->log->feed;
    if (atomic_load_explicit(&b->source_revision, memory_order_acquire) >= revision) { /* MO(source.held) */
        return true;
    }
    /* MO(feed.complete): acquire; the revision before its index, as above. */
    return atomic_load_explicit(&f->complete_revision, memory_order_acquire) >= revision &&
           board_applied(b) >= atomic_load_explicit(&f->complete_index, memory_order_acquire); /* MO(feed.complete) */
}

struct bound_look source_check(const struct tide *d, const struct replica_board *b, const struct tide_bound *bound,
                               uint64_t fence, const struct source_need *need) {
    struct bound_look look = { .commit = board_commit(d->log) };
    bool answered = need->question != 0 && source_answered(d, need->question);
    bool holds = need->revision == 0 || source_holds(d, b, need->revision);
    /* MO(feed.complete): acquire; after `done`. */
    uint64_t from = atomic_load_explicit(&d->log->feed.complete_index, memory_order_acquire);
    look.index = board_applied(b);
    if (board_state(b) != REPLICA_SERVING) {
        look.miss = BOUND_NOT_SERVING;
        return look;
    }
    if (!answered || look.index < from) {
        look.staleness_ns = source_staleness(d, b, &look.index);
        if (look.staleness_ns == UINT64_MAX) {
            look.miss = BOUND_NOT_SERVING;
            return look;
        }
        look.staleness_ns = answered && look.index >= from ? 0 : look.staleness_ns;
    }
    uint64_t lag = look.commit > look.index ? look.commit - look.index : 0;
    if (look.index < fence || !holds) {
        look.miss = BOUND_FENCE;
    } else if (look.staleness_ns > bound->max_staleness_ns || lag > bound->max_lag) {
        look.miss = BOUND_STALE;
    }
    return look;
}

/* Rouse the leader's lane thread, which tells the feed. */
static void source_rouse(struct tide *d) {
    struct lanes_board *board = &d->log->lanes_board;
    if (atomic_load(&board->asleep) != 0) {
        park_rouse_announced(&board->asleep, &board->wake, 1);
    }
}

uint64_t source_ask(struct tide *d) {
    struct feed_board *f = &d->log->feed;
    /* Sequentially consistent, as the exchange in tide_feed_probe(), which precedes the question: a question with a higher number was not sent yet when
     * this load was made. */
    uint64_t question = atomic_load(&f->begun) + 1;
    if (d->read_only) {
        return question; /* others may ask */
    }
    uint64_t wanted = atomic_load(&f->wanted);
    while (wanted < question && !atomic_compare_exchange_weak(&f->wanted, &wanted, question)) {
    }
    source_rouse(d); /* also where another reader wanted it first: that one may have died before it came so far */
    return question;
}

/*
 * When to look again, since the leader may have died between its answer and the wake-up, and none follow it: in 67 to 134 ms. All who begin to
 * sleep within 67 ms have the same instant. If each had its own, the kernel would set the timer of its processor anew for each of a
 * thousand that are woken in the order in which they began: a fifth of what such a read cost on a virtual machine.
 */
static uint64_t source_look_again(uint64_t now) {
    return ((now >> SOURCE_WAIT_SHIFT) + 2) << SOURCE_WAIT_SHIFT;
}

void source_await(struct tide *d, uint64_t question, uint64_t now, uint64_t until) {
    struct feed_board *f = &d->log->feed;
    if (d->read_only) {
        park_nap(until - now < SOURCE_LOOK_NS ? until - now : SOURCE_LOOK_NS);
        return;
    }
    uint32_t seen = atomic_load(&f->wake), bit = source_bit(question);
    if ((atomic_load(&f->waiters) & bit) ==
        0) { /* of a thousand who wait for one answer, one takes the line to write */
        atomic_fetch_or(&f->waiters, bit);
    }
    if (atomic_load(&f->done) < question) {
        uint64_t again = source_look_again(now);
        park_wait_bits(&f->wake, seen, bit, until < again ? until : again);
    }
}

uint32_t source_bits(uint64_t from, uint64_t to) {
    uint64_t n = to > from ? to - from : 0;
    uint64_t run = n < SOURCE_BITS ? (UINT64_C(1) << n) - 1 : UINT32_MAX;
    run <<= (from + 1) % SOURCE_BITS;
    return (uint32_t)(run | run >> SOURCE_BITS);
}

/* The hint's word: a second, the tightest bound of the second before it, and the tightest so far, in microseconds. */
#define SOURCE_US_BITS 24u
#define SOURCE_US_MOST ((UINT64_C(1) << SOURCE_US_BITS) - 1) /* none, or one that is as good as none */

static uint64_t source_second(uint64_t now) {
    return (now >> SOURCE_SECOND_SHIFT) & UINT16_MAX;
}

static uint64_t source_hint_now(uint64_t word) {
    return word & SOURCE_US_MOST;
}

/* The word as it counts in this second: 0 where it is of longer ago. */
static uint64_t source_hint_at(uint64_t word, uint64_t second) {
    uint64_t of = word >> 2 * SOURCE_US_BITS, none = SOURCE_US_MOST << SOURCE_US_BITS | SOURCE_US_MOST;
    uint64_t next = second << 2 * SOURCE_US_BITS;
    if (word != 0 && of == second) {
        return word;
    }
    bool just = word != 0 && ((of + 1) & UINT16_MAX) == second;
    return next | (just ? source_hint_now(word) << SOURCE_US_BITS | SOURCE_US_MOST : none);
}

static uint64_t source_hint_tightest(uint64_t word) {
    uint64_t before = (word >> SOURCE_US_BITS) & SOURCE_US_MOST, now = source_hint_now(word);
    return before < now ? before : now;
}

void source_hint(struct tide *d, uint64_t bound_ns, uint64_t now) {
    uint64_t us = bound_ns / 1000 + 1;
    us = us < SOURCE_US_MOST ? us : SOURCE_US_MOST - 1;
    /* MO(feed.bound): relaxed; a hint, it orders nothing. One word, so that second and bounds belong together. */
    uint64_t had = atomic_load_explicit(&d->log->feed.bound, memory_order_relaxed);
    uint64_t word = source_hint_at(had, source_second(now));
    if (__builtin_expect(source_hint_now(word) <= us, 1) || d->read_only) {
        return;
    }
    bool tighter = us < source_hint_tightest(word);
    word = (word & ~SOURCE_US_MOST) | us;
    /* MO(feed.bound): relaxed. One try: where another reader changed it meanwhile, the next read looks again. */
    atomic_compare_exchange_strong_explicit(&d->log->feed.bound, &had, word, memory_order_relaxed,
                                            memory_order_relaxed);
    if (tighter) {
        source_rouse(d);
    }
}

uint64_t source_hint_until(uint64_t now) {
    return ((now >> SOURCE_SECOND_SHIFT) + 1) << SOURCE_SECOND_SHIFT;
}

uint64_t source_bound_wanted(const struct tide *d, uint64_t now) {
    uint64_t had = atomic_load_explicit(&d->log->feed.bound, memory_order_relaxed); /* MO(feed.bound) */
    uint64_t us = source_hint_tightest(source_hint_at(had, source_second(now)));
    return us == SOURCE_US_MOST ? TIDE_UNBOUNDED : us * 1000;
}
