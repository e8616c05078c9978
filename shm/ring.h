/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log ring: one producer, the leader; any number of consumers.
 *
 * Positions are 64-bit byte counts that only grow; the byte at position p lies at p modulo the ring's size. The ring is mapped
 * twice in a row, so a frame is always one piece of memory. Frames are 8-byte aligned and follow one another without gaps.
 *
 * What exists: entries up to `commit`. What lies beyond is garbage by definition, so a leader that dies halfway through a
 * frame leaves nothing to repair.
 *
 * What may be overwritten: bytes before `reclaimed`. The leader raises it before it writes there, and a consumer that copied
 * bytes out looks at it afterwards: if its position is still at or beyond `reclaimed`, the copy is whole (a seqlock whose
 * sequence is a position). The leader raises `reclaimed` no further than the least pinned position, but past a follower that
 * held it up for longer than slow_follower_ns (board_patience() where it joins): that one is LAPPED.
 *
 * Source: docs/design.md, *The log ring*. The idea of cached limits on both sides is Rigtorp's and Aeron's.
 */
#ifndef TIDE_SHM_RING_H
#define TIDE_SHM_RING_H

#include <stdbool.h>
#include <string.h>

#include "shm/bytes.h"
#include "shm/crc.h"
#include "shm/layout.h"

struct ring {
    struct log_segment *log;
    uint8_t *base; /* ring_bytes, mapped twice */
    uint64_t bytes;
    uint64_t
        slow_follower_ns; /* how long a reservation waits for pinned followers; a checked copy of the segment's word */
};

static inline uint8_t *ring_at(const struct ring *ring, uint64_t pos) {
    return ring->base + (pos & (ring->bytes - 1));
}

/* The bytes of a frame with these lengths. */
static inline uint64_t ring_frame_bytes(uint64_t key_len, uint64_t value_len) {
    return (FRAME_HEADER_BYTES + key_len + value_len + FRAME_ALIGN - 1) & ~(uint64_t)(FRAME_ALIGN - 1);
}

/* Bytes behind the value. */
static inline uint32_t ring_extra_bytes(uint32_t flags) {
    return ((flags & FRAME_EXPIRES) != 0 ? EXPIRY_BYTES : 0) + ((flags & FRAME_SOURCED) != 0 ? SOURCED_BYTES : 0);
}

/* Bytes between the header and the padding. */
static inline uint64_t ring_payload_bytes(const struct frame *f) {
    return (uint64_t)f->key_len + f->value_len + ring_extra_bytes(f->flags);
}

/* The largest frame, and the largest group committed at once: a quarter of the ring, so that uncommitted frames and
 * frames that followers still read always fit beside each other. */
static inline uint64_t ring_group_max(const struct ring *ring) {
    return ring->bytes / 4;
}

/* ---- the leader's side: one thread at a time ---------------------------------------------------------------------- */

struct ring_writer {
    struct ring ring;
    uint64_t tail;       /* position of the next frame */
    uint64_t limit;      /* frames up to here need no look at the pins: reclaimed + bytes */
    uint64_t next_index; /* of the next frame */
    uint64_t committed;
    uint64_t next_mark; /* a mark is due from this position on */
    uint32_t mark;
    uint32_t term;
    uint64_t last_ts;
    /* This writer's copy of the segment's marks. It decides up to where space may be given up. index 0: none. */
    struct ring_place {
        uint64_t index, pos;
    } marks[LAYOUT_MARKS];
    /* Called from time to time while followers are in the way: the dead among them are not waited for. May be NULL. */
    void (*waits)(void *ctx);
    void *waits_ctx;
};

/* Become the writer at a position: index of the next frame, and the last timestamp used. Marks and `reclaimed` that the
 * last leader left in the segment are taken over as far as they make sense. */
void ring_writer_init(struct ring_writer *w, const struct ring *ring, uint64_t pos, uint64_t next_index,
                      uint64_t last_ts, uint32_t term);

/* What goes into a frame besides what the ring knows itself. payload_crc: crc32c(0, key, value, the expiry with
 * FRAME_EXPIRES, the version with FRAME_SOURCED). */
struct ring_entry {
    const void *key;
    const void *value;
    uint64_t expiry;  /* with FRAME_EXPIRES */
    uint64_t version; /* with FRAME_SOURCED */
    uint64_t lane_seq;
    uint32_t value_len;
    uint32_t payload_crc;
    uint16_t key_len;
    uint16_t lane;
    uint8_t type;
    uint8_t flags;
};

/*
 * Make room for `bytes` more (at most ring_group_max, including appended frames that are not committed). Waits while
 * pinned followers are in the way, at most slow_follower_ns or board_patience(), and then laps them. Returns how many replicas were lapped.
 */
uint32_t ring_reserve_slow(struct ring_writer *w, uint64_t bytes);
static inline uint32_t ring_reserve(struct ring_writer *w, uint64_t bytes) {
    return w->tail + bytes <= w->limit ? 0 : ring_reserve_slow(w, bytes);
}

/* True: another process had overwritten the segment's `commit` or `reclaimed`, and this writer's values are stored
 * again. False: nothing to mend. The caller has the turn, and nothing is appended and uncommitted. */
bool ring_mend(struct ring_writer *w);

/* Mark a frame's start: for tools, and so that space can be given up in steps that end at a frame. */
void ring_leave_mark(struct ring_writer *w);

/* A header as its words in memory; the first is `length` with `crc` above it, and the CRC covers the others. They stay
 * in registers: if they were written as fields and copied as words, each copy would wait for all stores before it. */
#define FRAME_WORDS (FRAME_HEADER_BYTES / 8)
struct frame_words {
    uint64_t w[FRAME_WORDS];
};
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are put together from fields, the first the lowest");

/* The CRC of a frame with these words (without the first), continued from its payload's CRC. */
static inline uint32_t ring_words_crc(const struct frame_words *f, uint32_t payload_crc) {
#if defined(__x86_64__)
    if (__builtin_expect(crc_hardware, 1)) {
        uint64_t crc = (uint32_t)~payload_crc;
        for (uint32_t i = 1; i < FRAME_WORDS; i++) {
            crc = crc32c_word(crc, f->w[i]);
        }
        return ~(uint32_t)crc;
    }
#endif
    struct frame_words copy = *f; /* a copy: otherwise the caller's words would always have to be in memory */
    return crc32c(payload_crc, &copy.w[1], FRAME_HEADER_BYTES - 8);
}

/* The frame's CRC, continued from its payload's CRC. */
static inline uint32_t ring_frame_crc(const struct frame *f, uint32_t payload_crc) {
    struct frame_words words;
    memcpy(&words, f, sizeof(words));
    return ring_words_crc(&words, payload_crc);
}

/* The leader prefetches the lines that it will write twice. Far ahead, since they were others' and come from other
 * caches or from memory. And nearer, since the core of a follower that reads close behind takes some away again by its
 * own prefetching. */
#define RING_AHEAD_BYTES 1536u
#define RING_NEAR_BYTES 384u

/* Write the next frame's header where it will stand. Room was reserved. It is no part of the log before ring_advance(), and may be written
 * anew until then. length: the frame's, by ring_frame_bytes(). ts: ns of the domain clock, raised to the last frame's if it fell. Returns
 * where key, value and expiry belong (bytes_store_racy()). */
static inline uint8_t *ring_prepare(struct ring_writer *w, const struct ring_entry *e, uint64_t length, uint64_t ts) {
    if (__builtin_expect(w->tail >= w->next_mark, 0)) {
        ring_leave_mark(w);
    }
    if (ts > w->last_ts) {
        w->last_ts = ts;
    }
    struct frame_words f = { {
        0,
        w->next_index,
        w->last_ts,
        e->lane_seq,
        w->term | (uint64_t)e->lane << 32 | (uint64_t)e->type << 48 | (uint64_t)e->flags << 56,
        e->value_len | (uint64_t)e->key_len << 32,
    } };
    f.w[0] = length | (uint64_t)ring_words_crc(&f, e->payload_crc) << 32;
    uint8_t *at = ring_at(&w->ring, w->tail);
    bytes_prefetch_own(at + RING_NEAR_BYTES);
    bytes_prefetch_own(at + RING_NEAR_BYTES + LAYOUT_LINE);
    bytes_prefetch_own(at + RING_AHEAD_BYTES);
    bytes_prefetch_own(at + RING_AHEAD_BYTES + LAYOUT_LINE);
    bytes_store_word(at, f.w[0]); /* not a loop, which compilers leave one, with the words in memory */
    bytes_store_word(at + 8, f.w[1]);
    bytes_store_word(at + 16, f.w[2]);
    bytes_store_word(at + 24, f.w[3]);
    bytes_store_word(at + 32, f.w[4]);
    bytes_store_word(at + 40, f.w[5]);
    return at + FRAME_HEADER_BYTES;
}
_Static_assert(FRAME_WORDS == 6, "ring_prepare() stores each of them");

/* The prepared frame is appended, invisible until ring_commit(). Its index is w->next_index - 1 afterwards. */
static inline void ring_advance(struct ring_writer *w, uint64_t length) {
    w->tail += length;
    w->next_index++;
}

/* Write a whole frame. Returns its index. */
static inline uint64_t ring_append(struct ring_writer *w, const struct ring_entry *e, uint64_t ts) {
    uint64_t length = ring_frame_bytes(e->key_len, (uint64_t)e->value_len + ring_extra_bytes(e->flags));
    uint8_t *payload = ring_prepare(w, e, length, ts);
    bytes_store_racy(payload, e->key, e->key_len);
    bytes_store_racy(payload + e->key_len, e->value, e->value_len);
    if ((e->flags & FRAME_EXPIRES) != 0) {
        bytes_store_racy(payload + e->key_len + e->value_len, &e->expiry, EXPIRY_BYTES);
    }
    if ((e->flags & FRAME_SOURCED) != 0) {
        uint32_t behind = ring_extra_bytes(e->flags) - SOURCED_BYTES;
        bytes_store_racy(payload + e->key_len + e->value_len + behind, &e->version, SOURCED_BYTES);
    }
    ring_advance(w, length);
    return w->next_index - 1;
}

/* Make everything appended exist: one release store. The caller passes a full barrier before it tells anyone. */
static inline void ring_commit(struct ring_writer *w) {
    w->committed = w->next_index - 1;
    /* MO(log.commit): release; pairs with the acquire in followers and readers. Without it a follower could see the index
     * before the frame's bytes. */
    atomic_store_explicit(&w->ring.log->leader.commit, w->committed, memory_order_release);
    /* MO(log.tail): release; for tools, which then find every frame before it written. */
    atomic_store_explicit(&w->ring.log->leader.tail, w->tail, memory_order_release);
}

/* ---- the consumer's side ------------------------------------------------------------------------------------------ */

enum ring_status { RING_OK = 0, RING_LAPPED = 1, RING_CORRUPT = 2 };

/* Were all bytes from `pos` on that were loaded before this call still intact? */
static inline bool ring_intact(const struct ring *ring, uint64_t pos) {
    /* MO(log.reclaimed): acquire fence, then the load: the bytes were loaded before it. Pairs with the sequentially
     * consistent store in ring_reclaim(), which precedes every overwriting store of the leader. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&ring->log->leader.reclaimed, memory_order_relaxed) <= pos; /* MO(log.reclaimed) */
}

#define RING_SOURCE ((uint32_t)(FRAME_SOURCED | FRAME_REACHED))

/* An entry of a source went through no lane, and none but such an entry reaches a revision. */
static inline bool ring_source_fits(const struct frame *f) {
    return (f->flags & RING_SOURCE) == 0 || ((f->flags & FRAME_SOURCED) != 0 && f->lane == 0);
}

static inline bool ring_header_plausible(const struct ring *ring, const struct frame *f, uint64_t index) {
    if (f->index != index || f->length > ring_group_max(ring) ||
        f->length != ring_frame_bytes(f->key_len, (uint64_t)f->value_len + ring_extra_bytes(f->flags))) {
        return false;
    }
    switch (f->type) {
    case FRAME_PUT:
        return f->key_len > 0 && (f->flags & ~(uint32_t)(FRAME_MORE | FRAME_EXPIRES | FRAME_KEEP | RING_SOURCE)) == 0 &&
               ring_source_fits(f) && (f->flags & (FRAME_SOURCED | FRAME_EXPIRES)) != FRAME_SOURCED;
    case FRAME_DELETE:
        return f->key_len > 0 && f->value_len == 0 && (f->flags & ~(uint32_t)(FRAME_MORE | RING_SOURCE)) == 0 &&
               ring_source_fits(f);
    case FRAME_EXPIRE:
        return f->key_len > 0 && f->value_len == 0 && (f->flags & ~(uint32_t)FRAME_MORE) == 0;
    case FRAME_EVICT:
        return f->key_len > 0 && f->value_len == 0 && (f->flags & ~(uint32_t)FRAME_SMALL) == 0;
    case FRAME_TERM:
        return f->key_len == 0 && f->value_len == 0 && (f->flags & ~(uint32_t)FRAME_MORE) == 0;
    case FRAME_NOOP:
        return f->key_len == 0 && f->value_len == 0 && (f->flags & ~(uint32_t)(FRAME_MORE | RING_SOURCE)) == 0 &&
               ring_source_fits(f);
    default:
        return false;
    }
}

/*
 * Copy out the header of the frame at `pos`, which must be entry `index`, and check it: lengths within the frame and
 * the ring, index, type. The payload is at ring_payload(). Copy it, and ask ring_intact(), before you use it.
 */
static inline enum ring_status ring_header(const struct ring *ring, uint64_t pos, uint64_t index, struct frame *out) {
    struct frame f;
    bytes_copy_racy(&f, ring_at(ring, pos), sizeof(f));
    if (__builtin_expect(!ring_header_plausible(ring, &f, index), 0)) {
        return ring_intact(ring, pos) ? RING_CORRUPT : RING_LAPPED;
    }
    /* A torn header may look right. CRC and ring_intact(), after the payload was copied, find it. */
    *out = f;
    return RING_OK;
}

/* Does the frame remove its key? */
static inline bool ring_removes(const struct frame *f) {
    return f->type == FRAME_DELETE || f->type == FRAME_EXPIRE || f->type == FRAME_EVICT;
}

static inline const uint8_t *ring_payload(const struct ring *ring, uint64_t pos) {
    return ring_at(ring, pos + FRAME_HEADER_BYTES);
}

/* Prefetch lines behind the frame at `pos`. left: committed frames from there on. If they are few, do not: the leader
 * is about to write those lines. */
static inline void ring_prefetch(const struct ring *ring, uint64_t pos, uint64_t left) {
    if (left > 2 * RING_AHEAD_BYTES / LAYOUT_LINE) {
        __builtin_prefetch(ring_at(ring, pos + RING_AHEAD_BYTES));
        __builtin_prefetch(ring_at(ring, pos + RING_AHEAD_BYTES + LAYOUT_LINE));
    }
}

/*
 * The commit timestamp of entry `index`, looked up from a position at or before it. A reader needs it to know how long
 * ago the first entry that a replica lacks was committed. 0: it cannot be had (overwritten, not committed, or more than
 * `steps` frames away), and the caller uses an older instant. Any thread, wait-free.
 */
uint64_t ring_timestamp(const struct ring *ring, uint64_t pos, uint64_t index, uint32_t steps);

/* As ring_timestamp(), of a fed domain: the instant as of which the log before entry `index` was complete. 0: also where it never was. */
uint64_t ring_complete_ts(const struct ring *ring, uint64_t pos, uint64_t index, uint32_t steps);

#endif
