/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/watch/walk.h"

#include <stdlib.h>

#include "shm/board.h"

#define WALK_RUN_BYTES (UINT64_C(32) << 10) /* copied at once: fits a core's first cache */
#define WALK_FEW_BYTES UINT64_C(4096)       /* where `tail` does not tell how much there is */
#define WALK_SKIPS 64u                      /* frames passed over between two looks at `reclaimed` */
#define WALK_TRIES 16                       /* searches that a fast leader may spoil */

void walk_init(struct walk *w, const struct ring *ring, const void *prefix, size_t prefix_len, uint64_t next) {
    *w = (struct walk){
        .ring = ring,
        .prefix = prefix_len != 0 ? prefix : NULL,
        .prefix_len = prefix_len,
        .next = next,
        .stop = UINT64_MAX,
    };
}

void walk_free(struct walk *w) {
    free(w->run);
    w->run = NULL;
    w->run_room = w->run_bytes = 0;
}

static uint64_t walk_tail(const struct ring *ring) {
    /* MO(log.tail): acquire; pairs with ring_commit(): frames before it are written. */
    return atomic_load_explicit(&ring->log->leader.tail, memory_order_acquire);
}

static bool walk_is_keyed(const struct frame *f) {
    return f->key_len != 0;
}

/* Copy the header of entry `index` out of the ring. OK: it can be that; the caller asks ring_intact() later. */
static enum walk_status walk_header(const struct ring *ring, uint64_t pos, uint64_t index, struct frame *f) {
    enum ring_status status = ring_header(ring, pos, index, f);
    return status == RING_OK ? WALK_OK : status == RING_LAPPED ? WALK_LOST : WALK_DAMAGED;
}

/* ---- where an entry lies ----------------------------------------------------------------------------------------- */

struct walk_start {
    uint64_t pos, index;
};

/* The frame at `reclaimed`. NOTHING: there is no committed frame there. LOST: the leader was faster, look again. */
static enum walk_status walk_first(const struct ring *ring, struct walk_start *start) {
    /* `tail` before `reclaimed`: a position below `tail` has a committed frame, and not what the ring held a round before. */
    uint64_t tail = walk_tail(ring), pos = atomic_load(&ring->log->leader.reclaimed);
    if (pos >= tail || pos % FRAME_ALIGN != 0) {
        return pos >= tail ? WALK_NOTHING : WALK_DAMAGED;
    }
    struct frame f;
    bytes_copy_racy(&f, ring_at(ring, pos), sizeof(f));
    *start = (struct walk_start){ pos, f.index };
    return !ring_intact(ring, pos) ? WALK_LOST : f.index == 0 ? WALK_DAMAGED : WALK_OK;
}

uint64_t walk_oldest(const struct ring *ring) {
    uint64_t commit = board_commit(ring->log);
    for (int i = 0; i < WALK_TRIES; i++) {
        struct walk_start start;
        enum walk_status status = walk_first(ring, &start);
        commit = board_commit(ring->log);
        if (status == WALK_OK && start.index <= commit) {
            return start.index;
        }
        if (status == WALK_NOTHING) {
            break;
        }
    }
    return commit + 1;
}

/* The newest mark at or before entry `next`. False: there is none. */
static bool walk_mark(const struct walk *w, struct walk_start *best) {
    const struct log_segment *log = w->ring->log;
    uint64_t reclaimed = atomic_load(&log->leader.reclaimed);
    best->index = 0;
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        /* MO(log.mark): acquire; pairs with ring_leave_mark(). The same index before and after is a pair. */
        uint64_t index = atomic_load_explicit(&log->marks[i].index, memory_order_acquire);
        uint64_t pos = atomic_load_explicit(&log->marks[i].pos, memory_order_acquire); /* MO(log.mark) */
        if (index > best->index && index <= w->next && index <= w->until && pos >= reclaimed &&
            pos - reclaimed < w->ring->bytes && pos % FRAME_ALIGN == 0 &&
            atomic_load_explicit(&log->marks[i].index, memory_order_relaxed) == index) { /* MO(log.mark) */
            *best = (struct walk_start){ pos, index };
        }
    }
    return best->index != 0;
}

/* Step from a frame's start to entry w->next. */
static enum walk_status walk_to(struct walk *w, struct walk_start at) {
    uint64_t first = at.pos;
    for (uint32_t n = 0; at.index < w->next; n++) {
        struct frame f;
        enum walk_status status = walk_header(w->ring, at.pos, at.index, &f);
        if (status != WALK_OK || (n % WALK_SKIPS == 0 && !ring_intact(w->ring, first))) {
            return ring_intact(w->ring, first) ? status : WALK_LOST;
        }
        at.pos += f.length;
        at.index++;
    }
    if (!ring_intact(w->ring, first)) {
        return WALK_LOST;
    }
    w->pos = at.pos;
    w->placed = true;
    w->run_bytes = 0;
    return WALK_OK;
}

enum walk_status walk_place(struct walk *w) {
    enum walk_status status = WALK_OK;
    for (int i = 0; i < WALK_TRIES && !w->placed; i++) {
        struct walk_start start;
        w->until = board_commit(w->ring->log);
        if (w->next > w->until + 1) {
            return WALK_DAMAGED; /* commit fell */
        }
        status = walk_mark(w, &start) ? walk_to(w, start) : WALK_LOST;
        if (status == WALK_OK || (status = walk_first(w->ring, &start)) == WALK_NOTHING) {
            break;
        }
        if (status == WALK_OK && start.index > w->next) {
            return WALK_LOST; /* what is oldest is newer */
        }
        status = status == WALK_OK ? walk_to(w, start) : status;
    }
    return status;
}

/* ---- revisions ------------------------------------------------------------------------------------------------------ */

/* Go through the ring from its oldest entry. *to: behind the last entry that reaches a revision up to this one; index 0: there is none. */
static enum walk_status walk_seek_revision(const struct walk *w, uint64_t revision, struct walk_start *to) {
    struct walk_start at;
    uint64_t commit = board_commit(w->ring->log);
    enum walk_status status = walk_first(w->ring, &at);
    to->index = 0;
    if (status == WALK_NOTHING || (status == WALK_OK && at.index == 1)) {
        *to = (struct walk_start){ 0, 1 }; /* the whole log is there */
    }
    uint64_t first = at.pos;
    while (status == WALK_OK && at.index <= commit) {
        struct frame f = { 0 };
        uint64_t version = 0;
        status = walk_header(w->ring, at.pos, at.index, &f);
        if (status == WALK_OK && (f.flags & FRAME_REACHED) != 0) {
            const uint8_t *payload = ring_payload(w->ring, at.pos);
            bytes_copy_racy(&version, payload + ring_payload_bytes(&f) - SOURCED_BYTES, SOURCED_BYTES);
        }
        at.pos += f.length;
        at.index++;
        if (status == WALK_OK && version != 0 && version <= revision) {
            *to = at;
        } else if (version > revision) {
            break;
        }
    }
    return ring_intact(w->ring, first) ? status : WALK_LOST;
}

enum walk_status walk_after_revision(struct walk *w, uint64_t revision) {
    enum walk_status status = WALK_LOST;
    for (int i = 0; i < WALK_TRIES && status == WALK_LOST; i++) {
        struct walk_start to = { 0, 0 };
        status = walk_seek_revision(w, revision, &to);
        if (status == WALK_OK || status == WALK_NOTHING) {
            w->next = to.index;
            return to.index != 0 ? WALK_OK : WALK_LOST;
        }
    }
    return status;
}

/* ---- all keys: runs of frames ------------------------------------------------------------------------------------ */

static bool walk_room(struct walk *w, size_t bytes) {
    if (bytes <= w->run_room) {
        return true;
    }
    size_t room = bytes < WALK_RUN_BYTES ? WALK_RUN_BYTES : bytes;
    uint8_t *more = realloc(w->run, room);
    if (more != NULL) {
        w->run = more;
        w->run_room = room;
    }
    return more != NULL;
}

/* Copy from w->pos on: at least `least` bytes, and what else of the log is there, as far as `tail` tells. */
static enum walk_status walk_fill(struct walk *w, size_t least) {
    uint64_t tail = walk_tail(w->ring), bytes = WALK_FEW_BYTES;
    if (tail > w->pos && tail - w->pos <= w->ring->bytes) {
        bytes = tail - w->pos < WALK_RUN_BYTES ? tail - w->pos : WALK_RUN_BYTES;
    }
    bytes = bytes < least ? least : bytes;
    w->run_bytes = 0;
    if (!walk_room(w, (size_t)bytes)) {
        return WALK_NOMEM;
    }
    bytes_copy_racy(w->run, ring_at(w->ring, w->pos), (size_t)bytes);
    if (!ring_intact(w->ring, w->pos)) {
        return WALK_LOST;
    }
    w->run_pos = w->pos;
    w->run_bytes = (size_t)bytes;
    return WALK_OK;
}

/* The whole frame of entry w->next in the run. */
static inline enum walk_status walk_frame(struct walk *w, struct frame *f, const uint8_t **payload) {
    size_t off = (size_t)(w->pos - w->run_pos);
    if (w->run_bytes < off + sizeof(*f)) {
        enum walk_status status = walk_fill(w, sizeof(*f));
        if (status != WALK_OK) {
            return status;
        }
        off = 0;
    }
    memcpy(f, w->run + off, sizeof(*f));
    if (!ring_header_plausible(w->ring, f, w->next)) {
        w->run_bytes = 0;
        return WALK_DAMAGED;
    }
    if (w->run_bytes < off + f->length) {
        uint64_t length = f->length;
        enum walk_status status = walk_fill(w, (size_t)length);
        if (status != WALK_OK) {
            return status;
        }
        off = 0;
        memcpy(f, w->run, sizeof(*f));
        if (f->length != length || !ring_header_plausible(w->ring, f, w->next)) {
            w->run_bytes = 0;
            return WALK_DAMAGED;
        }
    }
    *payload = w->run + off + sizeof(*f);
    return WALK_OK;
}

/* ---- one prefix: frames in place --------------------------------------------------------------------------------- */

/* Does the key in the ring begin with the prefix? It may be torn. */
static bool walk_matches(const struct walk *w, const struct frame *f) {
    if (!walk_is_keyed(f) || f->key_len < w->prefix_len) {
        return false;
    }
    uint8_t chunk[64];
    const uint8_t *key = ring_payload(w->ring, w->pos);
    for (size_t done = 0; done < w->prefix_len; done += sizeof(chunk)) {
        size_t part = w->prefix_len - done < sizeof(chunk) ? w->prefix_len - done : sizeof(chunk);
        bytes_copy_racy(chunk, key + done, part);
        if (memcmp(chunk, w->prefix + done, part) != 0) {
            return false;
        }
    }
    return true;
}

/* Pass over frames to one that matches, which may be torn. NOTHING: there is none up to `until`. in_batch: and none in this batch. */
static enum walk_status walk_seek(struct walk *w, bool in_batch, struct frame *f) {
    uint64_t first = w->pos, until = w->until < w->stop ? w->until : w->stop;
    for (uint32_t n = 1; w->next <= until; n++) {
        ring_prefetch(w->ring, w->pos, until - w->next);
        enum walk_status status = walk_header(w->ring, w->pos, w->next, f);
        if (status != WALK_OK || n % WALK_SKIPS == 0) {
            if (!ring_intact(w->ring, first)) {
                return WALK_LOST;
            }
            if (status != WALK_OK) {
                return status;
            }
            first = w->pos;
        }
        if (walk_matches(w, f)) {
            return ring_intact(w->ring, first) ? WALK_OK : WALK_LOST;
        }
        w->pos += f->length;
        w->next++;
        if (in_batch && (f->flags & FRAME_MORE) == 0) {
            break;
        }
    }
    return ring_intact(w->ring, first) ? WALK_NOTHING : WALK_LOST;
}

bool walk_batch_goes_on(struct walk *w) {
    if (w->prefix == NULL) {
        return true;
    }
    uint64_t pos = w->pos, next = w->next;
    struct frame f;
    enum walk_status status = walk_seek(w, true, &f);
    if (status == WALK_OK || status == WALK_NOTHING) {
        return status == WALK_OK;
    }
    w->pos = pos; /* walk_next() will say what is wrong */
    w->next = next;
    return true;
}

static enum walk_status walk_filtered(struct walk *w, struct frame *f, const uint8_t **payload) {
    enum walk_status status = walk_seek(w, false, f);
    if (status != WALK_OK) {
        return status;
    }
    uint64_t length = f->length;
    w->run_bytes = 0;
    if (!walk_room(w, (size_t)length)) {
        return WALK_NOMEM;
    }
    bytes_copy_racy(w->run, ring_at(w->ring, w->pos), (size_t)length);
    if (!ring_intact(w->ring, w->pos)) {
        return WALK_LOST;
    }
    memcpy(f, w->run, sizeof(*f));
    bool same = f->length == length && ring_header_plausible(w->ring, f, w->next);
    *payload = w->run + sizeof(*f);
    return same ? WALK_OK : WALK_DAMAGED;
}

/* ---- both -------------------------------------------------------------------------------------------------------- */

static inline void walk_fill_entry(struct walk_entry *e, const struct frame *f, const uint8_t *payload) {
    e->f = *f;
    e->key = payload;
    e->value = payload + f->key_len;
    e->expiry = NEVER_EXPIRES;
    if (__builtin_expect((f->flags & FRAME_EXPIRES) != 0, 0)) {
        memcpy(&e->expiry, e->value + f->value_len, EXPIRY_BYTES);
    }
    e->version = 0;
    if (__builtin_expect((f->flags & FRAME_SOURCED) != 0, 0)) {
        memcpy(&e->version, e->value + f->value_len + ring_extra_bytes(f->flags) - SOURCED_BYTES, SOURCED_BYTES);
    }
}

enum walk_status walk_next(struct walk *w, struct walk_entry *e) {
    for (;;) {
        if (w->next > w->until || w->next > w->stop) {
            if (w->next > w->stop) {
                return WALK_NOTHING;
            }
            uint64_t commit = board_commit(w->ring->log);
            if (w->next > commit) {
                return w->next == commit + 1 ? WALK_NOTHING : WALK_DAMAGED;
            }
            w->until = commit;
            w->run_bytes = 0; /* what was copied before this commit was loaded may lack the end */
        }
        enum walk_status status = w->placed ? WALK_OK : walk_place(w);
        if (status != WALK_OK) {
            return status;
        }
        struct frame f;
        const uint8_t *payload = NULL;
        status = w->prefix == NULL ? walk_frame(w, &f, &payload) : walk_filtered(w, &f, &payload);
        if (status == WALK_NOTHING) {
            continue;
        }
        if (status != WALK_OK) {
            return status;
        }
        if (ring_frame_crc(&f, crc32c_short(0, payload, (size_t)ring_payload_bytes(&f))) != f.crc) {
            w->run_bytes = 0;
            return WALK_DAMAGED;
        }
        w->pos += f.length;
        w->next++;
        if (walk_is_keyed(&f)) {
            walk_fill_entry(e, &f, payload);
            return WALK_OK;
        }
    }
}
