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
 * held it up for longer than slow_follower_ns: that one is LAPPED.
 *
 * Source: docs/design.md, section 4. The idea of cached limits on both sides is Rigtorp's and Aeron's.
 */
#ifndef SHM_RING_H
#define SHM_RING_H

#include <stdbool.h>
#include <string.h>

#include "shm/bytes.h"
#include "shm/crc.h"
#include "shm/layout.h"

struct ring {
    struct log_segment *log;
    uint8_t *base; /* ring_bytes, mapped twice */
    uint64_t bytes;
};

static inline uint8_t *ring_at(const struct ring *ring, uint64_t pos) {
    return ring->base + (pos & (ring->bytes - 1));
}

/* Bytes that a frame of these lengths takes. */
static inline uint64_t ring_frame_bytes(uint64_t key_len, uint64_t value_len) {
    return (FRAME_HEADER_BYTES + key_len + value_len + FRAME_ALIGN - 1) & ~(uint64_t)(FRAME_ALIGN - 1);
}

/* The largest frame, and the largest group that is committed at once: a quarter, so that what is not committed yet and
 * what a follower still reads always fit beside each other. */
static inline uint64_t ring_group_max(const struct ring *ring) {
    return ring->bytes / 4;
}

/* ---- the leader's side: one thread at a time ---------------------------------------------------------------------- */

struct ring_writer {
    struct ring ring;
    uint64_t tail;       /* where the next frame goes */
    uint64_t limit;      /* frames may end here without looking at anybody's position: reclaimed + bytes */
    uint64_t next_index; /* of the next frame */
    uint64_t committed;
    uint64_t next_mark;  /* position from which on a mark is due */
    uint32_t mark;
    uint32_t term;
    uint64_t last_ts;
};

/* Take the writing side up at a position: index of the next frame, and the last timestamp that was used. */
void ring_writer_init(struct ring_writer *w, const struct ring *ring, uint64_t pos, uint64_t next_index, uint64_t last_ts,
                      uint32_t term);

/* What goes into a frame's header besides what the ring knows itself. payload_crc: crc32c(0, key and value). */
struct ring_entry {
    const void *key;
    const void *value;
    uint64_t lane_seq;
    uint32_t value_len;
    uint32_t payload_crc;
    uint16_t key_len;
    uint16_t lane;
    uint8_t type;
    uint8_t flags;
};

/*
 * Make room for `bytes` more (at most ring_group_max, what was appended and not committed included). Waits while pinned
 * followers are in the way, at most slow_follower_ns, and then laps them.
 * Returns how many replicas were lapped.
 */
uint32_t ring_reserve_slow(struct ring_writer *w, uint64_t bytes);
static inline uint32_t ring_reserve(struct ring_writer *w, uint64_t bytes) {
    return w->tail + bytes <= w->limit ? 0 : ring_reserve_slow(w, bytes);
}

/* Leave a trace of the next frame's start, for tools, and so that space can be given up in steps that end at a frame. */
void ring_leave_mark(struct ring_writer *w);

/* The leader asks for the lines that it will write twice: far ahead, since they were others' and have to come from their caches or
 * from memory; and nearer, since a follower's core that reads close behind takes some away again, by its own looking ahead. */
#define RING_AHEAD_BYTES 1536u
#define RING_NEAR_BYTES 384u

/* A frame's header as the words that it is made of. */
#define RING_HEADER_WORDS (FRAME_HEADER_BYTES / 8)
#define RING_CRC_WORDS (RING_HEADER_WORDS - 1) /* that the CRC covers: from `index` on */

/* Two fields that follow one another, of `bits` each, as one number. */
static inline uint64_t ring_pair(uint64_t first, uint64_t second, unsigned bits) {
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return first << bits | second;
#else
    return first | second << bits;
#endif
}

/* All but the first word, which takes the CRC of the others in. Packed in registers: a struct's fields would be stored one by one, and
 * the loads of whole words, for the CRC and for the copy, would have to wait for all of them. */
static inline void ring_pack_header(const struct ring_writer *w, const struct ring_entry *e, uint64_t words[RING_HEADER_WORDS]) {
    uint64_t lane_type_flags = ring_pair(e->lane, ring_pair(e->type, e->flags, 8), 16);
    words[offsetof(struct frame, index) / 8] = w->next_index;
    words[offsetof(struct frame, commit_ts) / 8] = w->last_ts;
    words[offsetof(struct frame, lane_seq) / 8] = e->lane_seq;
    words[offsetof(struct frame, term) / 8] = ring_pair(w->term, lane_type_flags, 32);
    words[offsetof(struct frame, value_len) / 8] = ring_pair(e->value_len, ring_pair(e->key_len, 0, 16), 32);
}

/* Write a frame behind the last one, invisible until ring_commit(). Room was reserved. ts: ns of the domain clock, raised to
 * the last one's if it fell. Returns its index. */
static inline uint64_t ring_append(struct ring_writer *w, const struct ring_entry *e, uint64_t ts) {
    uint64_t length = ring_frame_bytes(e->key_len, e->value_len), header[RING_HEADER_WORDS];
    if (__builtin_expect(w->tail >= w->next_mark, 0)) {
        ring_leave_mark(w);
    }
    w->last_ts = ts > w->last_ts ? ts : w->last_ts;
    uint8_t *at = ring_at(&w->ring, w->tail);
    bytes_prefetch_own(at + RING_NEAR_BYTES);
    bytes_prefetch_own(at + RING_NEAR_BYTES + LAYOUT_LINE);
    bytes_prefetch_own(at + RING_AHEAD_BYTES);
    bytes_prefetch_own(at + RING_AHEAD_BYTES + LAYOUT_LINE);
    ring_pack_header(w, e, header);
    header[0] = ring_pair(length, crc32c_words(e->payload_crc, header + 1, RING_CRC_WORDS), 32);
    bytes_store_words_racy(at, header, RING_HEADER_WORDS);
    bytes_store_racy(at + FRAME_HEADER_BYTES, e->key, e->key_len);
    bytes_store_racy(at + FRAME_HEADER_BYTES + e->key_len, e->value, e->value_len);
    w->tail += length;
    return w->next_index++;
}

/* Make everything appended exist: one release store. The caller passes a full barrier before it tells anyone. */
void ring_commit(struct ring_writer *w);

/* ---- the consumer's side ------------------------------------------------------------------------------------------ */

enum ring_status { RING_OK = 0, RING_LAPPED = 1, RING_CORRUPT = 2 };

/* Was everything that was read from `pos` on before this call still intact? */
static inline bool ring_intact(const struct ring *ring, uint64_t pos) {
    /* MO(log.reclaimed): acquire fence, then the load: the bytes were read before. Pairs with the sequentially consistent
     * store in ring_reclaim(), which comes before the leader overwrites anything. */
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&ring->log->leader.reclaimed, memory_order_relaxed) <= pos; /* MO(log.reclaimed) */
}

/* What ring_header() answers about a copy that is no plain put, or is damaged. */
enum ring_status ring_header_rare(const struct ring *ring, uint64_t pos, uint64_t index, const struct frame *f);

/*
 * Copy the header of the frame at `pos` out, which must be entry `index`, and check it: lengths within the frame and the
 * ring, index, type. The payload is at ring_payload(); it is to be copied, and ring_intact() asked, before it is used.
 * *out is good for nothing unless the answer is RING_OK.
 */
static inline enum ring_status ring_header(const struct ring *ring, uint64_t pos, uint64_t index, struct frame *out) {
    bytes_copy_racy(out, ring_at(ring, pos), sizeof(*out));
    uint64_t length = ring_frame_bytes(out->key_len, out->value_len);
    bool put = (out->index == index) & (out->length == length) & (length <= ring_group_max(ring)) &
               (out->type == FRAME_PUT) & (out->key_len != 0);
    /* A torn header that looks right is caught with its payload: CRC and ring_intact() come after the copy. */
    return __builtin_expect(put, 1) ? RING_OK : ring_header_rare(ring, pos, index, out);
}

static inline const uint8_t *ring_payload(const struct ring *ring, uint64_t pos) {
    return ring_at(ring, pos + FRAME_HEADER_BYTES);
}

/* Ask for lines behind the frame at `pos`. left: frames that are committed from there on; where they are few, those lines are the
 * leader's, who is about to write them. */
static inline void ring_prefetch(const struct ring *ring, uint64_t pos, uint64_t left) {
    if (left > 2 * RING_AHEAD_BYTES / LAYOUT_LINE) {
        __builtin_prefetch(ring_at(ring, pos + RING_AHEAD_BYTES));
        __builtin_prefetch(ring_at(ring, pos + RING_AHEAD_BYTES + LAYOUT_LINE));
    }
}

/* The frame's CRC, from that of its payload. */
static inline uint32_t ring_frame_crc(const struct frame *f, uint32_t payload_crc) {
    uint64_t words[RING_CRC_WORDS];
    memcpy(words, &f->index, sizeof(words));
    return crc32c_words(payload_crc, words, RING_CRC_WORDS);
}

/*
 * The commit timestamp of entry `index`, looked up from a position at or before it. For readers that have to know how long
 * ago the first entry that a replica lacks was committed. 0 when it cannot be had (overwritten, not committed, or more
 * than `steps` frames away): the caller then uses an older instant. Any thread, wait-free.
 */
uint64_t ring_timestamp(const struct ring *ring, uint64_t pos, uint64_t index, uint32_t steps);

#endif
