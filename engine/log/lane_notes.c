/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/log/lane_notes.h"

void lane_note(struct table_segment *seg, uint16_t lane, uint64_t seq, uint64_t index) {
    struct lane_done *done = &seg->lanes[(lane - 1u) % LAYOUT_LANES];
    /* MO(lane.done): relaxed; read back by the same thread, by newcomers that copy it while the log goes on, and by a
     * new leader after it has applied everything itself. A batch has several frames: the last one's index stays. */
    if (seq >= atomic_load_explicit(&done->seq, memory_order_relaxed)) {
        atomic_store_explicit(&done->seq, seq, memory_order_relaxed);     /* MO(lane.done) */
        atomic_store_explicit(&done->index, index, memory_order_release); /* MO(lane.done) */
    }
}

void lane_copy_notes(struct table_segment *to, const struct table_segment *from) {
    for (uint16_t i = 0; i < LAYOUT_LANES; i++) {
        /* MO(lane.done): acquire; an index that goes with an older number is mended when the log is applied. */
        uint64_t index = atomic_load_explicit(&from->lanes[i].index, memory_order_acquire);
        uint64_t seq = atomic_load_explicit(&from->lanes[i].seq, memory_order_relaxed); /* MO(lane.done) */
        if (seq != 0) {
            lane_note(to, (uint16_t)(i + 1), seq, index);
        }
    }
}

void lane_leave(struct tide *d, uint32_t number) {
    struct lane *lane = &d->log->lanes[number];
    uint64_t turn = atomic_load(&lane->turn);
    if ((turn & 7) == LANE_SUBMITTED) {
        atomic_compare_exchange_strong(&lane->turn, &turn, (turn & ~UINT64_C(7)) | LANE_CANCELLED);
    }
    if ((atomic_load(&lane->turn) & 7) == LANE_TAKEN) {
        atomic_store(&lane->owner, LANE_ORPHAN); /* the next to want a lane takes it, once it is answered */
        return;
    }
    segment_unlink_of(d->name, SEGMENT_SPILL, number, d->words.header.incarnation);
    atomic_store(&lane->owner, 0);
}

void lane_reap(struct tide *d, uint32_t member) {
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (atomic_load(&d->log->lanes[i].owner) == member + 1) {
            lane_leave(d, i);
        }
    }
}
