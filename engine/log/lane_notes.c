/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/log/lane_notes.h"

#include "engine/replica/replica.h"

static void lane_set(struct lane_done *done, uint64_t seq, uint64_t index) {
    atomic_store_explicit(&done->seq, seq, memory_order_relaxed);     /* MO(lane.done) */
    atomic_store_explicit(&done->index, index, memory_order_release); /* MO(lane.done) */
}

void lane_note(struct replica *r, uint16_t lane, uint64_t seq, uint64_t index) {
    uint32_t i = (lane - 1u) % LAYOUT_LANES;
    /* MO(lane.done): relaxed; read back by the same thread, by newcomers that copy it while the log goes on, and by a
     * new leader after it has applied everything itself. A batch has several frames: the last one's index stays. */
    if (seq >= atomic_load_explicit(&r->done[i].seq, memory_order_relaxed)) {
        lane_set(&r->done[i], seq, index);
        lane_set(&r->writer.t.seg->lanes[i], seq, index);
    }
}

void lane_copy_notes(struct replica *to, const struct view *from) {
    const struct lane_done *notes = from->foreign ? from->table.seg->lanes : replica_of(from)->done;
    for (uint16_t i = 0; i < LAYOUT_LANES; i++) {
        /* MO(lane.done): acquire; an index that goes with an older number is mended when the log is applied. */
        uint64_t index = atomic_load_explicit(&notes[i].index, memory_order_acquire);
        uint64_t seq = atomic_load_explicit(&notes[i].seq, memory_order_relaxed); /* MO(lane.done) */
        /* A number that was never given out would make a write to come count as done. The lane's own is loaded later, and grows. */
        if (seq > atomic_load(&to->domain->log->lanes[i].turn) >> 3) {
            tide_logf(to->domain, TIDE_LOG_WARN, "replica %u: what replica %u says of lane %u cannot be: left out",
                      to->view.id, from->id, i);
        } else if (seq != 0) {
            lane_note(to, (uint16_t)(i + 1), seq, index);
        }
    }
}

void lane_note_fall(struct replica *r, uint32_t number, uint64_t seq) {
    tide_logf(r->domain, TIDE_LOG_WARN,
              "lane %u: after request %llu came request %llu: another process changed its number", number,
              (unsigned long long)atomic_load(&r->done[number].seq), (unsigned long long)seq);
    /* At no index that is: whoever is asked for this number again does not know either. */
    lane_set(&r->done[number], seq, UINT64_MAX);
    lane_set(&r->writer.t.seg->lanes[number], seq, UINT64_MAX);
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
    segment_unlink_of(d->dir, d->name, SEGMENT_SPILL, number, d->words.header.incarnation);
    atomic_store(&lane->owner, 0);
}

void lane_reap(struct tide *d, uint32_t member) {
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (atomic_load(&d->log->lanes[i].owner) == member + 1) {
            lane_leave(d, i);
        }
    }
}
