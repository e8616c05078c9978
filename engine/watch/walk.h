/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Walking the log without a pin: the leader does not know of the walker, never waits for it, and may overwrite what it has not
 * read. So the walker copies first and then asks ring_intact(): bytes at or beyond `reclaimed` after the copy are whole.
 *
 * Where an entry lies is found by the leader's marks (struct ring_mark) or from `reclaimed`, which is always a frame's start: the
 * walker starts at one that is at or before the entry and steps from header to header. Only frames that are committed are stepped
 * over; what lies beyond `commit` may be the rest of a dead leader's group.
 *
 * A walker that wants all keys copies many frames at once, so that one check serves them all. A walker that wants the keys of one
 * prefix copies headers and first bytes of keys in place, and whole frames only where the prefix matches.
 */
#ifndef TIDE_WATCH_WALK_H
#define TIDE_WATCH_WALK_H

#include "engine/table/visible.h"
#include "shm/ring.h"

enum walk_status {
    WALK_OK = 0,
    WALK_NOTHING = 1, /* nothing more is committed, or it cannot be reached yet */
    WALK_LOST = 2,    /* the next entry was overwritten */
    WALK_DAMAGED =
        3, /* what lies where the next entry should be cannot be it; a leader may mend its words within a second */
    WALK_NOMEM = 4,
};

struct walk {
    const struct ring *ring;
    const uint8_t *prefix; /* the caller's; NULL: all keys */
    size_t prefix_len;
    uint64_t next;  /* index of the next entry to look at */
    uint64_t pos;   /* its position, once `placed` */
    uint64_t until; /* entries up to here were committed when the walker looked */
    uint64_t stop;  /* do not look beyond this index; UINT64_MAX: no end */
    bool placed;
    /* Bytes of the log from run_pos on, copied after `until` was loaded, and whole. */
    uint8_t *run;
    size_t run_room, run_bytes;
    uint64_t run_pos;
};

/* An entry that changes a key. Pointers are valid until the next call with this walk. */
struct walk_entry {
    struct frame f;
    const uint8_t *key, *value;
    uint64_t expiry;  /* on the domain's clock; NEVER_EXPIRES: it does not expire */
    uint64_t version; /* at the source; 0: there is none */
};

/* Start before entry `next`. Copies nothing yet. */
void walk_init(struct walk *w, const struct ring *ring, const void *prefix, size_t prefix_len, uint64_t next);
void walk_free(struct walk *w);

/* Find the next entry's position, unless that is known. NOTHING: it cannot be known yet, since the log holds nothing before it. */
enum walk_status walk_place(struct walk *w);

/* The next entry that puts or removes a key with the prefix. Wait-free but for a search in the ring after walk_init(). */
enum walk_status walk_next(struct walk *w, struct walk_entry *e);

/* After walk_next() gave an entry with FRAME_MORE: has the rest of its batch another entry with the prefix? The entry stays valid. */
bool walk_batch_goes_on(struct walk *w);

/* A fed domain: stand behind the entry with which the log came to hold this revision. LOST: that is not in the ring any more. */
enum walk_status walk_after_revision(struct walk *w, uint64_t revision);

/* The index of the oldest entry that the ring still holds; commit + 1 where it holds none. Wait-free. */
uint64_t walk_oldest(const struct ring *ring);

#endif
