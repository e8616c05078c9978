/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Reading the table of a replica that another process runs: mapped read-only, nothing registered, nothing written. The other
 * process does not know of us, so it may reuse a node while we read it. What makes a copy good:
 *
 *   - A node's index is the index of its write, and a node is reused only for a later one. So bytes that were copied while the
 *     index did not change are that write's, whole: a seqlock whose sequence is the index.
 *   - The slot that led there was loaded after `applied` = S, so its node is the newest at some moment after S. If its index is at or
 *     below S, it is the version of S. If it is above, the version before is followed, checked the same way; a version that
 *     is gone is an index above S or 0, and then a newer S is taken.
 *   - Nothing found, or nothing old enough, is believed only if no slot was cleared meanwhile (`reorganised`, loaded before S); of
 *     nothing found also only if no bucket was split.
 *
 * Every offset and length is checked against the segment before it is used. A process may die at any instant on either side.
 * Source: docs/design.md, section 5; the reader's side of H.-J. Boehm's seqlocks.
 */
#ifndef ENGINE_FOREIGN_H
#define ENGINE_FOREIGN_H

#include "engine/replica.h"

/* The mapping of another process's replica in slot `id`, made where there is none yet or another one; NULL where the slot serves
 * nothing. Not inside a section: it may open and map. The result is reached by d->replicas[id] inside one. */
int foreign_attach(struct tide *d, uint32_t id);

/* Let all go, or the one in slot `id`. */
void foreign_release(struct tide *d, uint32_t id);

/* The mapping is still the table of that slot. */
static inline bool foreign_is_current(const struct replica *r) {
    /* MO(replica.segment): acquire; pairs with the store in replica_make_table(). */
    return atomic_load_explicit(&r->board->segment_id, memory_order_acquire) == r->segment_id;
}

enum foreign_status {
    FOREIGN_OK = 0,
    FOREIGN_NONE = 1,  /* no such key at this index */
    FOREIGN_SMALL = 2, /* the buffer is too small; *size says what is needed */
    FOREIGN_LOST = 3,  /* the version of this index is gone: take a newer index */
    FOREIGN_STUCK = 4, /* the writer stopped in the middle, or the bytes cannot be: use another replica */
    FOREIGN_LATER = 5, /* inside: the oldest version that is left was written after this index */
};

struct foreign_value {
    uint64_t size;
    uint64_t version;
};

/* `reorganised` of the table, to be loaded before the index that is read at; odd while slots are being cleared. */
uint64_t foreign_epoch(const struct table *t);

/* Look a key up as of index `at`; `epoch` was loaded before `at` was. One try: RETRY is FOREIGN_LOST. */
enum foreign_status foreign_find(const struct replica *r, uint64_t epoch, uint64_t at, uint64_t hash, const void *key,
                                 size_t key_len, void *buf, size_t buf_size, struct foreign_value *out);

/* Copy every node of bucket `b` that is not deleted, newest version, and hand it over. False when something cannot be. */
typedef int foreign_visit_fn(void *ctx, const uint8_t *key, size_t key_len, const uint8_t *value, size_t value_len,
                             uint64_t index, uint32_t payload_crc);
struct foreign_scratch {
    uint8_t *bytes;
    size_t room;
};
/* 0, fn's result, or TIDE_ERR_CORRUPT / TIDE_ERR_NOMEM. at: UINT64_MAX for the newest; versions above it are followed back. */
int foreign_visit_bucket(const struct replica *r, uint64_t b, uint64_t at, struct foreign_scratch *scratch,
                         foreign_visit_fn *fn, void *ctx);

/* Recompute the digest of a table that nobody writes (its process is dead) and compare: 0, CORRUPT, DIVERGED. */
int foreign_verify(const struct replica *r);

#endif
