/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fed domain: its entries come from a source elsewhere, by revisions. What a replica holds of it, how stale that is, and
 * how readers ask the source for more.
 *
 * How stale a state is, is known from instants T: "the log up to here holds all that the source had at T". The board has the newest
 * such instant, with the index that a replica must have applied. Every frame has the one that was newest when it was written: the state
 * before that frame is complete as of it. So a replica that lags, or was given a delay, finds its instant in the frame that it
 * lacks, as other domains find the stamp there. T was taken on this host, before the source was asked: no other clock is compared.
 *
 * Bound 0. A reader loads `begun`, the number of the newest question to the source, and waits until a question with a higher number is
 * answered (`done`). That one was begun after the read, so its answer covers all that was acknowledged before. All who wait for one number
 * share it. Source: docs/design.md, *Fed domains*; the read index is Raft's (Ongaro, 2014).
 */
#ifndef TIDE_REPLICA_SOURCE_H
#define TIDE_REPLICA_SOURCE_H

#include "engine/replica/bound.h"
#include "engine/replica/domain.h"

/* ---- the applying thread's side ------------------------------------------------------------------------------------ */

/* An entry of the source became part of the table. flags: the frame's. version: what follows its value. ts: its lane_seq. */
void source_note(struct replica *r, uint32_t flags, uint64_t version, uint64_t ts);

/* Between board_publish() and the waiters' wake-up: what the published state holds. */
void source_publish(const struct replica *r);

/* A newcomer knows what its donor knows. */
void source_copy_notes(struct replica *to, const struct view *from);

/* ---- the reader's side ---------------------------------------------------------------------------------------------- */

/* What one read needs, beside its bound and the index of its fence. */
struct source_need {
    uint64_t revision; /* 0: none */
    uint64_t
        question; /* the answer of this question, or of a later one, satisfies any staleness; 0: nothing was asked */
};

/* bound_check() of a fed domain. staleness_ns is 0 only where need->question is answered. NOT_SERVING: also a state that was never complete;
 * then staleness_ns is UINT64_MAX. */
struct bound_look source_check(const struct tide *d, const struct replica_board *b, const struct tide_bound *bound,
                               uint64_t fence, const struct source_need *need);

/* How old a state is that is complete as of `ts`. */
static inline uint64_t source_age(uint64_t ts, uint64_t now) {
    uint64_t ns = now > ts ? now - ts : 1;
    return ns + (ns >> 12) + 1; /* the domain's clock may run slow: as bound_staleness() */
}

/* bound_staleness() of a fed domain. UINT64_MAX: the state was never complete. */
uint64_t source_staleness(const struct tide *d, const struct replica_board *b, uint64_t *index);

/* Does the replica hold this revision? Its state at the `applied` that is loaded afterwards does. */
bool source_holds(const struct tide *d, const struct replica_board *b, uint64_t revision);

/* Want an answer of the source to a question that is begun from now on. Returns its number. */
uint64_t source_ask(struct tide *d);

static inline bool source_answered(const struct tide *d, uint64_t question) {
    /* MO(feed.done): acquire; pairs with the release in tide_feed_complete(): complete_index is at least that answer's. */
    return atomic_load_explicit(&d->log->feed.done, memory_order_acquire) >= question;
}

/* Sleep until the question may be answered. now, until: of CLOCK_MONOTONIC. */
void source_await(struct tide *d, uint64_t question, uint64_t now, uint64_t until);

/* Who waits for one question is woken by its answer, and sleeps on through those of the questions before. In feed_board.waiters and as bits of
 * the futex (park_wait_bits()), a question is one of 32 bits; two that share a bit are 32 questions apart. */
#define SOURCE_BITS 32u

static inline uint32_t source_bit(uint64_t question) {
    return UINT32_C(1) << question % SOURCE_BITS;
}

/* The bits of the questions after `from`, up to `to`. */
uint32_t source_bits(uint64_t from, uint64_t to);

/* Somebody reads by this bound, above 0: the feed asks the source often enough. now: of the domain's clock. */
void source_hint(struct tide *d, uint64_t bound_ns, uint64_t now);

/* A hint that was given at `now` is good until then. */
uint64_t source_hint_until(uint64_t now);

/* The tightest bound of the last second or two. */
uint64_t source_bound_wanted(const struct tide *d, uint64_t now);

#endif
