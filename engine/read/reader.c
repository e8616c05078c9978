/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening and closing readers, session tokens, counts. */
#include "engine/read/reader.h"

#include "engine/read/reader_left.h"
#include "engine/replica/sized.h"
#include "engine/table/cancel.h"
#include "engine/table/kill.h"
#include "shm/lease.h"

#include <stdlib.h>
#include <unistd.h>

/* The calling thread's open readers. */
static _Thread_local struct tide_reader *reader_mine;

void reader_settle(struct tide_reader *r) {
    bool fed = r->policy == READER_FED, may = (r->policy == TIDE_STICKY || fed) && r->section == NULL && rcu_is_plain();
    r->quick = !may ? READER_NOT_QUICK : fed ? reader_fed() : reader_here();
    r->rcu_word = rcu_word();
    r->home_slot = &r->domain->views[r->home];
    r->log = r->domain->log;
    r->hash_seed = r->domain->hash_seed;
    r->home_count = &r->counts->counts[r->home][fed ? TIDE_REASON_WITHIN_BOUND : TIDE_REASON_FRESH];
}

/* Claim a slot of counts in the segment, where tools see them. NULL: none is free, and the reader counts in private
 * memory. */
static struct reader_slot *reader_claim_slot(struct tide *d) {
    for (uint32_t i = 0; i < LAYOUT_READERS && !d->read_only; i++) {
        uint32_t free = 0;
        struct reader_slot *slot = &d->log->readers[i];
        if (atomic_load(&slot->owner_pid) == 0 &&
            atomic_compare_exchange_strong(&slot->owner_pid, &free, (uint32_t)getpid())) {
            KILL_POINT("reader.claimed");
            atomic_store(&slot->member, d->member);
            return slot;
        }
    }
    return NULL;
}

/* Choose a home: spread sticky readers over the replicas that this handle serves. */
static uint32_t reader_home(struct tide *d, const struct tide_reader_opts *o, uint64_t mask) {
    if (o->home >= 0) { /* reads try the home first, so it must be one that may be used */
        return (mask >> o->home & 1) != 0 ? (uint32_t)o->home : (uint32_t)__builtin_ctzll(mask);
    }
    uint32_t serving[LAYOUT_REPLICAS], n = 0;
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        if ((mask >> i & 1) != 0 && atomic_load(&d->views[i]) != NULL) {
            serving[n++] = i;
        }
    }
    return n == 0 ? (uint32_t)__builtin_ctzll(mask) : serving[atomic_fetch_add(&d->next_home, 1) % n];
}

/* Values that this reader was to make, and will not. */
static void reader_release_leases(struct tide_reader *r) {
    for (uint32_t i = 0; i < READER_LEASE_WORDS; i++) {
        for (; r->leases[i] != 0; r->leases[i] &= r->leases[i] - 1) {
            lease_release(r->domain->log, r->domain->member, 64 * i + (uint32_t)__builtin_ctzll(r->leases[i]), false);
        }
    }
}

/* Release what a reader holds. Its thread is alive, or is ending. */
static void reader_release(struct tide_reader *r) {
    *r->at = r->next;
    if (r->next != NULL) {
        r->next->at = r->at;
    }
    if (!tide_forked(r->domain)) { /* in a forked child they are the parent's */
        if (r->section != NULL) {
            rcu_exit();
        }
        reader_release_leases(r);
        if (r->counts != r->own) {
            atomic_store(&r->counts->owner_pid, 0);
        }
        tide_drop(r->domain);
    }
    free(r->own);
}

/* The thread ends: close the readers that it left open. */
static void reader_end_all(void) {
    while (reader_mine != NULL) {
        struct tide_reader *r = reader_mine;
        reader_release(r);
        reader_left_add(r);
    }
}

static struct tide_reader *reader_alloc(void) {
    struct tide_reader *r = reader_left_take();
    r = r != NULL ? r : malloc(sizeof(*r));
    struct reader_slot *own = aligned_alloc(LAYOUT_PAIR, sizeof(*own));
    if (r == NULL || own == NULL) {
        free(r);
        free(own);
        return NULL;
    }
    memset(r, 0, sizeof(*r));
    memset(own, 0, sizeof(*own));
    r->own = own;
    return r;
}

/* A slot outlives its readers, so a session's counts are the slot's less those that it found there. */
static void reader_begin_counts(struct tide_reader *r) {
    r->counts = reader_claim_slot(r->domain);
    if (r->counts == NULL) {
        r->counts = r->own;
        return;
    }
    if (r->domain->words.evict != EVICT_NONE) {
        r->noted = r->counts;
    }
    for (uint32_t i = 0; i < LAYOUT_REPLICAS * LAYOUT_REASONS; i++) {
        /* MO(stats): relaxed; the slot is ours now. */
        uint64_t was = atomic_load_explicit(&r->counts->counts[0][0] + i, memory_order_relaxed);
        atomic_store_explicit(&r->own->counts[0][0] + i, was, memory_order_relaxed); /* MO(stats) */
    }
    atomic_store(&r->own->misses, atomic_load(&r->counts->misses));
    atomic_store(&r->own->extra, atomic_load(&r->counts->extra));
    atomic_store(&r->own->made, atomic_load(&r->counts->made));
    atomic_store(&r->own->waited, atomic_load(&r->counts->waited));
}

static void reader_list(struct tide_reader *r) {
    r->next = reader_mine;
    r->at = &reader_mine;
    if (r->next != NULL) {
        r->next->at = &r->next;
    }
    reader_mine = r;
}

int tide_reader_open(struct tide *d, const struct tide_reader_opts *opts, struct tide_reader **out) {
    static const struct tide_reader_opts defaults = TIDE_READER_OPTS_INIT;
    struct tide_reader_opts room;
    const struct tide_reader_opts *o = &room;
    if (d == NULL || out == NULL || !SIZED_TAKE(&room, opts != NULL ? opts : &defaults, SIZED_READER_OPTS) ||
        o->policy > TIDE_FRESHEST || o->home >= (int32_t)LAYOUT_REPLICAS) {
        return TIDE_ERR_INVALID;
    }
    if (atomic_load(&d->closed) != 0) {
        return -(int)atomic_load(&d->closed);
    }
    CANCEL_HOLD_OFF();
    if (rcu_register_self() != 0 || thread_at_end(THREAD_END_READERS, reader_end_all) != 0) {
        return TIDE_ERR_NOMEM;
    }
    struct tide_reader *r = reader_alloc();
    if (r == NULL) {
        return TIDE_ERR_NOMEM;
    }
    thread_identify();
    r->owner = reader_self();
    r->domain = d;
    r->policy = d->fed && o->policy == TIDE_STICKY ? READER_FED : o->policy;
    r->mask = o->replicas != 0 ? o->replicas : UINT64_MAX;
    r->home = reader_home(d, o, r->mask);
    reader_begin_counts(r);
    reader_settle(r);
    reader_list(r);
    tide_hold(d);
    *out = r;
    return 0;
}

int tide_reader_close(struct tide_reader *r) {
    int error = reader_check(r);
    if (error != 0 && error != TIDE_ERR_FORKED) {
        return error;
    }
    CANCEL_HOLD_OFF();
    reader_release(r);
    free(r);
    return 0;
}

/* The session's fence as a revision: what the log holds by now is no less than what the session has seen. */
static struct tide_token reader_revision(const struct tide_reader *r) {
    /* The leader stores `position` before it commits what has that revision. */
    uint64_t position = r->fence != 0 ? atomic_load(&r->domain->log->feed.position) : 0;
    position = position > r->revision ? position : r->revision;
    return (struct tide_token){ position != 0 ? TIDE_REVISION : 0, position };
}

int tide_reader_token(struct tide_reader *r, struct tide_token *out) {
    int error = reader_check(r);
    if (error == 0 && out != NULL) {
        *out =
            r->domain->fed ? reader_revision(r) : (struct tide_token){ r->domain->words.header.incarnation, r->fence };
    }
    return error != 0 ? error : out == NULL ? TIDE_ERR_INVALID : 0;
}

int tide_reader_observe(struct tide_reader *r, const struct tide_token *token) {
    int error = reader_check(r);
    if (error != 0) {
        return error;
    }
    if (token == NULL) {
        return TIDE_ERR_INVALID;
    }
    if (token->index == 0 && token->incarnation == 0) {
        return 0;
    }
    if (r->domain->fed && token->incarnation == TIDE_REVISION) {
        r->revision = token->index > r->revision ? token->index : r->revision;
        return 0;
    }
    if (token->incarnation != r->domain->words.header.incarnation) {
        return TIDE_ERR_INCARNATION;
    }
    r->fence = token->index > r->fence ? token->index : r->fence;
    return 0;
}

static uint64_t reader_count_of(const _Atomic uint64_t *word, const _Atomic uint64_t *less) {
    uint64_t n = atomic_load_explicit(word, memory_order_relaxed);                  /* MO(stats) */
    return less != NULL ? n - atomic_load_explicit(less, memory_order_relaxed) : n; /* MO(stats) */
}

static void reader_add_counts(struct tide_read_counts *out, const struct reader_slot *slot,
                              const struct reader_slot *less) {
    uint64_t served = 0;
    for (uint32_t k = 0; k < LAYOUT_REPLICAS; k++) {
        for (uint32_t reason = 0; reason < TIDE_REASONS; reason++) {
            uint64_t n = reader_count_of(&slot->counts[k][reason], less != NULL ? &less->counts[k][reason] : NULL);
            out->by_reason[reason] += n;
            out->by_replica[k] += reason == TIDE_REASON_REFUSED ? 0 : n;
            served += reason == TIDE_REASON_REFUSED ? 0 : n;
        }
    }
    uint64_t misses = reader_count_of(&slot->misses, less != NULL ? &less->misses : NULL);
    uint64_t keys = served + reader_count_of(&slot->extra, less != NULL ? &less->extra : NULL);
    out->misses += misses;
    out->hits += (int64_t)(keys - misses) > 0 ? keys - misses : 0; /* a read may be half counted just now */
    out->made += reader_count_of(&slot->made, less != NULL ? &less->made : NULL);
    out->waited += reader_count_of(&slot->waited, less != NULL ? &less->waited : NULL);
}

int tide_reader_counts(struct tide_reader *r, struct tide_read_counts *out) {
    int error = reader_check(r);
    if (error != 0) {
        return error;
    }
    if (out == NULL || out->size < SIZED_READ_COUNTS) {
        return TIDE_ERR_INVALID;
    }
    struct tide_read_counts found = { .size = sizeof(found) };
    reader_add_counts(&found, r->counts, r->counts != r->own ? r->own : NULL);
    SIZED_GIVE(out, &found);
    return 0;
}

int tide_read_counts(struct tide *d, struct tide_read_counts *out) {
    if (d == NULL || out == NULL || out->size < SIZED_READ_COUNTS) {
        return TIDE_ERR_INVALID;
    }
    if (tide_forked(d)) {
        return TIDE_ERR_FORKED;
    }
    struct tide_read_counts found = { .size = sizeof(found) };
    for (uint32_t i = 0; i < LAYOUT_READERS; i++) {
        reader_add_counts(&found, &d->log->readers[i], NULL);
    }
    SIZED_GIVE(out, &found);
    return 0;
}
