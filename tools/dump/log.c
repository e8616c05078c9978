/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdlib.h>
#include <string.h>

#include "shm/board.h"
#include "shm/crc.h"
#include "shm/member.h"
#include "shm/segment.h"
#include "tools/dump/dump.h"

#define LOOKS 4 /* a live domain changes between two reads: only a fault that each look finds counts */
#define PAGE_BYTES 4096u

bool dump_is_other_version(const struct segment_header *h) {
    return h->magic == TIDE_LAYOUT_MAGIC &&
           (h->version != TIDE_LAYOUT_VERSION || h->fingerprint != layout_fingerprint());
}

bool dump_header_check(const struct segment_header *h, const struct dump_file *f, struct dump_problems *p) {
    if (h->magic != TIDE_LAYOUT_MAGIC) {
        dump_problem(p, "no Tidemark segment: magic is 0x%016llx", (unsigned long long)h->magic);
        return false;
    }
    if (h->version != TIDE_LAYOUT_VERSION) {
        dump_problem(p, "another version of Tidemark made it, with layout version %u; this one knows %u", h->version,
                     TIDE_LAYOUT_VERSION);
        return false;
    }
    if (crc32c(0, h, offsetof(struct segment_header, crc)) != h->crc) {
        dump_problem(p, "the header's CRC is wrong");
    }
    if (h->fingerprint != layout_fingerprint()) {
        dump_problem(p, "another build made it: layout fingerprint 0x%016llx; this one has 0x%016llx",
                     (unsigned long long)h->fingerprint, (unsigned long long)layout_fingerprint());
        return false;
    }
    if (h->kind != SEGMENT_LOG && h->kind != SEGMENT_TABLE && h->kind != SEGMENT_SPILL) {
        dump_problem(p, "kind %u is neither log (1) nor table (2) nor spill (3)", h->kind);
        return false;
    }
    if (h->size_bytes != f->size_bytes) {
        dump_problem(p, "the file has %llu bytes; its header says %llu", (unsigned long long)f->size_bytes,
                     (unsigned long long)h->size_bytes);
    }
    if (memchr(h->name, 0, sizeof(h->name)) == NULL) {
        dump_problem(p, "the domain's name has no end");
    }
    if (h->incarnation == 0) {
        dump_problem(p, "the incarnation is 0");
    }
    if (p->count == 0 && segment_check_header(h, f->size_bytes, h->kind) != 0) {
        dump_problem(p, "the header does not pass the checks of attaching");
    }
    return true;
}

bool dump_ring_check(const struct log_segment *seg, const struct dump_file *f, struct dump_problems *p) {
    uint64_t off = seg->ring_off, bytes = seg->ring_bytes;
    if (off < sizeof(*seg) || off % PAGE_BYTES != 0 || off > f->size_bytes) {
        dump_problem(p, "the ring cannot be at byte %llu", (unsigned long long)off);
        return false;
    }
    if (bytes < LAYOUT_RING_MIN || bytes > LAYOUT_RING_MAX || (bytes & (bytes - 1)) != 0) {
        dump_problem(p, "the ring cannot have %llu bytes", (unsigned long long)bytes);
        return false;
    }
    /* Shorter than that: the frames that are there can still be shown. */
    if (bytes > f->size_bytes - off) {
        dump_problem(p, "the file ends inside the ring");
    }
    return true;
}

static void log_check_leader(const struct log_segment *seg, struct dump_problems *p) {
    const struct leader_board *l = &seg->leader;
    if (l->leader < -1 || l->leader >= (int32_t)LAYOUT_REPLICAS) {
        dump_problem(p, "leader: there is no replica %d", l->leader);
    }
    if (l->tail % FRAME_ALIGN != 0 || l->reclaimed % FRAME_ALIGN != 0) {
        dump_problem(p, "leader: tail %llu or reclaimed %llu is not where a frame starts", (unsigned long long)l->tail,
                     (unsigned long long)l->reclaimed);
    }
    if (l->commit != 0 && l->tail == 0 && l->reclaimed != 0) {
        dump_problem(p, "leader: the tail is 0 although ring space was given up");
    }
}

static void log_check_replica(const struct log_segment *seg, uint32_t id, struct dump_problems *p) {
    const struct replica_board *b = &seg->replicas[id];
    uint32_t word = b->state, state = word & BOARD_STATE_MASK;
    if (state > REPLICA_ORPHAN || (state != REPLICA_CLAIMED && state != word)) {
        dump_problem(p, "replica %u: there is no state %u", id, word);
    }
    if (state == REPLICA_FREE || state == REPLICA_CLAIMED || state > REPLICA_ORPHAN) {
        return;
    }
    if (b->member >= LAYOUT_MEMBERS) {
        dump_problem(p, "replica %u: there is no member %u", id, b->member);
    }
    if (b->role > 1) {
        dump_problem(p, "replica %u: there is no role %u", id, b->role);
    }
    if (b->applied > seg->leader.commit) {
        dump_problem(p, "replica %u: applied %llu is beyond commit %llu", id, (unsigned long long)b->applied,
                     (unsigned long long)seg->leader.commit);
    }
    if (memchr(b->label, 0, sizeof(b->label)) == NULL) {
        dump_problem(p, "replica %u: its label has no end", id);
    }
}

/* Members and lanes. A lane's request is not checked here: the leader checks it. */
static void log_check_members(const struct log_segment *seg, struct dump_problems *p) {
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        if (seg->members[i].used > MEMBER_BURIED) {
            dump_problem(p, "member %u: neither free nor used, but %u", i, seg->members[i].used);
        }
    }
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        const struct lane *lane = &seg->lanes[i];
        enum lane_phase phase = dump_lane_phase(lane);
        if (lane->owner > LAYOUT_MEMBERS && lane->owner != LANE_ORPHAN) {
            dump_problem(p, "lane %u: there is no owner %u", i, lane->owner);
        }
        if (phase > LANE_CANCELLED) {
            dump_problem(p, "lane %u: there is no phase %u", i, (unsigned)phase);
        }
        if ((phase == LANE_SUBMITTED || phase == LANE_TAKEN) && !(lane->flags & LANE_SPILLED) &&
            lane->request_bytes > LAYOUT_LANE_BYTES) {
            dump_problem(p, "lane %u: %llu bytes of request do not fit it", i, (unsigned long long)lane->request_bytes);
        }
    }
}

/* Leave out the requests, which are most of the segment, and the leases. */
static bool log_read_segment(struct dump_file *f, struct log_segment *seg) {
    if (!dump_file_read(f, 0, seg, offsetof(struct log_segment, lanes))) {
        return false;
    }
    for (uint32_t i = 0; i < LAYOUT_LANES; i++) {
        if (!dump_file_read(f, offsetof(struct log_segment, lanes) + i * sizeof(struct lane), &seg->lanes[i],
                            offsetof(struct lane, request))) {
            return false;
        }
    }
    return dump_file_read(f, offsetof(struct log_segment, feed), &seg->feed, sizeof(seg->feed));
}

/* A member may leave between the look at its slot and the question; it is not dead then: look again. */
static bool log_ask_member(struct dump_file *f, struct member_slot *slot, uint32_t number) {
    for (int look = 0; look < LOOKS && slot->used != 0; look++) {
        uint64_t started = slot->started_unix_ns;
        if (dump_file_held(f, MEMBER_FIRST + number)) {
            return true;
        }
        if (!dump_file_read(f, offsetof(struct log_segment, members) + number * sizeof(*slot), slot, sizeof(*slot)) ||
            (slot->used != 0 && slot->started_unix_ns == started)) {
            break;
        }
    }
    return false;
}

static void log_ask_who_lives(struct dump_log *log, struct dump_file *f) {
    log->led = dump_file_held(f, MEMBER_LEADER);
    for (uint32_t i = 0; i < LAYOUT_MEMBERS; i++) {
        log->lives[i] = log_ask_member(f, &log->seg->members[i], i);
    }
}

/* Read the leader's words again after the replicas': commit only grows, so no `applied` seems to be beyond it. */
static bool log_read_once(struct dump_log *log, struct dump_file *f) {
    struct log_segment *seg = log->seg;
    log->problems.count = 0;
    log->understood = log->ring_there = false;
    if (!dump_file_read(f, 0, &seg->header, sizeof(seg->header))) {
        return false;
    }
    log->understood = dump_header_check(&seg->header, f, &log->problems) && seg->header.kind == SEGMENT_LOG;
    if (!log->understood) {
        return true;
    }
    if (!log_read_segment(f, seg)) {
        return false;
    }
    atomic_thread_fence(memory_order_seq_cst);
    if (!dump_file_read(f, offsetof(struct log_segment, leader), &seg->leader, sizeof(seg->leader))) {
        return false;
    }
    log->ring_there = dump_ring_check(seg, f, &log->problems);
    log_check_leader(seg, &log->problems);
    for (uint32_t i = 0; i < LAYOUT_REPLICAS; i++) {
        log_check_replica(seg, i, &log->problems);
    }
    log_check_members(seg, &log->problems);
    log_ask_who_lives(log, f);
    return true;
}

bool dump_log_read(struct dump_log *log, struct dump_file *f) {
    memset(log, 0, sizeof(*log));
    if (posix_memalign((void **)&log->seg, LAYOUT_PAIR, sizeof(*log->seg)) != 0) {
        log->seg = NULL;
        snprintf(f->fault, sizeof(f->fault), "out of memory");
        f->code = TOOL_FAILED;
        return false;
    }
    memset((void *)log->seg, 0, sizeof(*log->seg));
    for (int look = 0; look < LOOKS; look++) {
        if (!log_read_once(log, f)) {
            return false;
        }
        if (log->problems.count == 0) {
            break;
        }
    }
    return true;
}

void dump_log_free(struct dump_log *log) {
    free(log->seg);
    log->seg = NULL;
}

static void log_add_reader(struct dump_reads *r, const struct reader_slot *reader) {
    r->readers += reader->owner_pid != 0;
    for (uint32_t id = 0; id < LAYOUT_REPLICAS; id++) {
        for (uint32_t reason = 0; reason < LAYOUT_REASONS; reason++) {
            uint64_t count = reader->counts[id][reason];
            r->by[id][reason] += count;
            r->all[reason] += count;
            r->served[id] |= count != 0;
        }
    }
}

void dump_reads_sum(struct dump_reads *r, const struct log_segment *seg) {
    memset(r, 0, sizeof(*r));
    for (uint32_t i = 0; i < LAYOUT_READERS; i++) {
        log_add_reader(r, &seg->readers[i]);
    }
}
