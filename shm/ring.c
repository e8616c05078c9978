/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/ring.h"

#include "shm/board.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/nap.h"
#include "shm/park.h"

/* Continue the marks that the last leader left. */
static void ring_take_marks(struct ring_writer *w, uint64_t pos) {
    struct ring_mark *marks = w->ring.log->marks;
    uint64_t newest = 0;
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        /* MO(log.mark): relaxed; the leader alone writes marks. */
        uint64_t index = atomic_load_explicit(&marks[i].index, memory_order_relaxed);
        uint64_t at = atomic_load_explicit(&marks[i].pos, memory_order_relaxed); /* MO(log.mark) */
        if (index >= w->next_index || at >= pos || pos - at > w->ring.bytes || at % FRAME_ALIGN != 0) {
            /* The mark's frame was never committed (the next frames start elsewhere), or was overwritten long ago, or
             * the mark is damaged. */
            atomic_store_explicit(&marks[i].index, 0, memory_order_relaxed); /* MO(log.mark) */
            continue;
        }
        w->marks[i] = (struct ring_place){ index, at };
        if (index > newest) {
            newest = index;
            w->mark = i;
        }
    }
    if (newest == 0) {
        w->mark = 0;
        return;
    }
    /* Leave the next mark where the old leader would have. A mark at each leader's start would push out older marks, by
     * which newcomers find their place. */
    w->next_mark = w->marks[w->mark].pos + w->ring.bytes / LAYOUT_MARKS;
    w->next_mark = w->next_mark < pos ? pos : w->next_mark;
    w->mark = (w->mark + 1) % LAYOUT_MARKS;
}

void ring_writer_init(struct ring_writer *w, const struct ring *ring, uint64_t pos, uint64_t next_index,
                      uint64_t last_ts, uint32_t term) {
    *w = (struct ring_writer){
        .ring = *ring,
        .tail = pos,
        .next_index = next_index,
        .committed = next_index - 1,
        .last_ts = last_ts,
        .term = term,
        .next_mark = pos,
    };
    /* MO(log.reclaimed): relaxed; the leader alone writes it. */
    uint64_t reclaimed = atomic_load_explicit(&ring->log->leader.reclaimed, memory_order_relaxed);
    if (reclaimed > pos || pos - reclaimed > ring->bytes) {
        /* No leader stored that value. Nobody knows what can be read in the ring, so give all of it up. */
        reclaimed = pos;
        atomic_store(&ring->log->leader.reclaimed, reclaimed);
    }
    w->limit = reclaimed + ring->bytes;
    ring_take_marks(w, pos);
}

bool ring_mend(struct ring_writer *w) {
    struct leader_board *lead = &w->ring.log->leader;
    uint64_t reclaimed = w->limit - w->ring.bytes;
    if (atomic_load(&lead->commit) == w->committed && atomic_load(&lead->reclaimed) == reclaimed) {
        return false;
    }
    atomic_store(&lead->reclaimed, reclaimed);
    atomic_store(&lead->commit, w->committed);
    return true;
}

void ring_leave_mark(struct ring_writer *w) {
    struct ring_mark *m = &w->ring.log->marks[w->mark];
    /* MO(log.mark): index 0, position, index, in this order (release): a reader that loads the same index before and
     * after the position has a pair. */
    atomic_store_explicit(&m->index, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);                     /* MO(log.mark): the zero before the position */
    atomic_store_explicit(&m->pos, w->tail, memory_order_release); /* MO(log.mark) */
    atomic_store_explicit(&m->index, w->next_index, memory_order_release); /* MO(log.mark) */
    w->marks[w->mark] = (struct ring_place){ w->next_index, w->tail };
    w->mark = (w->mark + 1) % LAYOUT_MARKS;
    w->next_mark = w->tail + w->ring.bytes / LAYOUT_MARKS;
}

/* The least place up to which space may be given up: the first mark at or after `from`, or `otherwise`, which is a
 * frame's start too. */
static uint64_t ring_boundary(const struct ring_writer *w, uint64_t from, uint64_t otherwise) {
    uint64_t best = otherwise;
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        if (w->marks[i].index != 0 && w->marks[i].pos >= from && w->marks[i].pos < best) {
            best = w->marks[i].pos;
        }
    }
    return best;
}

/* Raise `reclaimed`. False: a newcomer pinned an older position meanwhile, and it stays. */
static bool ring_reclaim(struct ring_writer *w, uint64_t to) {
    struct leader_board *lead = &w->ring.log->leader;
    uint64_t before = w->limit - w->ring.bytes;
    if (to <= before) {
        return true;
    }
    /* Sequentially consistent on both sides (here and in board_pin()): either the newcomer sees the raised mark and
     * picks another position, or this thread sees the newcomer's pin. */
    atomic_store(&lead->reclaimed, to);
    atomic_thread_fence(memory_order_seq_cst);
    if (board_least_pin(w->ring.log, UINT64_MAX) < to) {
        atomic_store(&lead->reclaimed, before);
        return false;
    }
    w->limit = to + w->ring.bytes;
    return true;
}

/* So long followers are waited for before the first look at the dead among them, and between two looks. */
#define RING_LOOK_NS UINT64_C(5000000)
#define RING_LOOKS_NS UINT64_C(100000000)

uint32_t ring_reserve_slow(struct ring_writer *w, uint64_t bytes) {
    struct log_segment *log = w->ring.log;
    uint64_t need = w->tail + bytes - w->ring.bytes; /* positions below must be given up */
    uint64_t since = 0, look_at = 0;
    uint32_t rounds = 0;
    for (;;) {
        uint64_t least = board_least_pin(log, w->tail);
        if (least >= need && ring_reclaim(w, ring_boundary(w, need, least))) {
            return 0;
        }
        uint64_t now = clock_monotonic_ns();
        if (since == 0) {
            since = now;
            look_at = now + RING_LOOK_NS;
            atomic_fetch_add_explicit(&log->leader.waits, 1, memory_order_relaxed); /* MO(stats) */
        } else if (now - since >= w->ring.slow_follower_ns &&
                   now - since >= board_patience(log, need, w->ring.slow_follower_ns)) {
            break;
        } else if (now >= look_at && w->waits != NULL) {
            w->waits(w->waits_ctx);
            look_at = now + RING_LOOKS_NS;
            continue;
        }
        if (rounds++ < 64) {
            park_relax();
        } else {
            board_answer_pings(log);
            park_nap(20000);
        }
    }
    /* The wait was too long: go on without the replicas in the way. `reclaimed` is raised before a byte of theirs is
     * overwritten, so they notice by themselves, whatever they were doing. */
    uint64_t to = ring_boundary(w, need, w->tail);
    atomic_store(&log->leader.reclaimed, to);
    atomic_thread_fence(memory_order_seq_cst);
    w->limit = to + w->ring.bytes;
    return board_lap(log, to);
}

/* Find the header of entry `index`. False: see ring_timestamp(). */
static bool ring_find(const struct ring *ring, uint64_t pos, uint64_t index, uint32_t steps, struct frame *out) {
    struct frame f;
    for (uint32_t i = 0; i < steps; i++) {
        bytes_copy_racy(&f, ring_at(ring, pos), sizeof(f));
        if (f.index == 0 || f.index > index || f.length < FRAME_HEADER_BYTES || f.length > ring_group_max(ring) ||
            f.length % FRAME_ALIGN != 0) {
            return false;
        }
        bool intact = ring_intact(ring, pos);
        if (f.index == index) {
            *out = f;
            return intact;
        }
        if (!intact) {
            return false;
        }
        pos += f.length;
    }
    return false;
}

uint64_t ring_timestamp(const struct ring *ring, uint64_t pos, uint64_t index, uint32_t steps) {
    struct frame f;
    return ring_find(ring, pos, index, steps, &f) ? f.commit_ts : 0;
}

uint64_t ring_complete_ts(const struct ring *ring, uint64_t pos, uint64_t index, uint32_t steps) {
    struct frame f;
    return ring_find(ring, pos, index, steps, &f) ? f.lane_seq : 0;
}
