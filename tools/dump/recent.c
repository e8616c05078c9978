/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/recent.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "shm/segment.h"
#include "shm/segment_name.h"
#include "tools/dump/print.h"
#include "tools/dump/ring.h"

#define WALK_BYTES (UINT64_C(2) << 20) /* of the ring, in one look */

/* Where a frame starts. index 0: nowhere. */
struct place {
    uint64_t index, pos;
};

static bool recent_is_in_ring(const struct log_segment *seg, uint64_t index, uint64_t pos) {
    return index != 0 && index <= seg->leader.commit + 1 && pos >= seg->leader.reclaimed && pos <= seg->leader.tail;
}

/* Begin behind the last entry that was seen. Where that is too far back, or not known: at the oldest mark from which one look reaches the log's end, or
 * else at the newest mark. */
static struct place recent_find_start(const struct recent *r, const struct log_segment *seg) {
    uint64_t tail = seg->leader.tail;
    struct place best = { 0, 0 };
    if (recent_is_in_ring(seg, r->index, r->pos) && tail - r->pos <= WALK_BYTES) {
        return (struct place){ r->index, r->pos };
    }
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        uint64_t index = seg->marks[i].index, pos = seg->marks[i].pos;
        bool near = tail - pos <= WALK_BYTES, best_near = best.index != 0 && tail - best.pos <= WALK_BYTES;
        if (recent_is_in_ring(seg, index, pos) &&
            (best.index == 0 || near > best_near || (near == best_near && (pos < best.pos) == near))) {
            best = (struct place){ index, pos };
        }
    }
    return best;
}

static void recent_keep_entry(struct recent *r, const struct dump_frame *frame) {
    const struct frame *f = &frame->f;
    memmove(&r->entries[1], &r->entries[0], (RECENT_ENTRIES - 1) * sizeof(r->entries[0]));
    r->n += r->n < RECENT_ENTRIES;
    struct recent_entry *e = &r->entries[0];
    *e = (struct recent_entry){
        .index = f->index,
        .commit_ts = f->commit_ts,
        .type = dump_type_name(f->type),
        .batch = f->flags & FRAME_MORE,
        .keep = f->flags & FRAME_KEEP,
        .key_bytes = f->key_len,
        .kept_bytes = f->key_len < RECENT_KEY_BYTES ? f->key_len : RECENT_KEY_BYTES,
        .value_bytes = f->value_len,
    };
    memcpy(e->key, frame->key, e->kept_bytes);
    if (dump_frame_expires(frame) && frame->expiry > f->commit_ts) {
        e->ttl_ns = frame->expiry - f->commit_ts;
    }
}

static void recent_walk(struct recent *r, struct dump_file *f, const struct log_segment *seg, struct place start) {
    struct dump_problems problems = { 0 };
    struct dump_ring ring;
    struct dump_frame frame;
    struct dump_gap gap;
    dump_ring_init(&ring, f, seg, start.index, &problems);
    /* Where nothing good is there, it looks for another place by itself. */
    ring.started = true;
    ring.at = start.index;
    ring.pos = start.pos;
    enum dump_step step = dump_ring_update(&ring) ? STEP_GAP : STEP_END;
    while ((step == STEP_FRAME || step == STEP_GAP) && ring.pos - start.pos <= WALK_BYTES) {
        step = dump_ring_next(&ring, &frame, &gap);
        if (step == STEP_FRAME && frame.crc_good && !frame.problem) {
            recent_keep_entry(r, &frame);
        }
    }
    if (ring.started) {
        r->index = ring.at;
        r->pos = ring.pos;
    }
    dump_ring_free(&ring);
}

static void recent_look(struct recent *r, struct dump_file *f, const struct log_segment *seg) {
    if (seg->header.incarnation != r->incarnation) {
        *r = (struct recent){ .incarnation = seg->header.incarnation };
    }
    struct place start = recent_find_start(r, seg);
    if (start.index != 0) {
        r->n = start.index == r->index ? r->n : 0; /* a gap is not shown, so drop what stands before it */
        recent_walk(r, f, seg, start);
    }
    bool known = dump_clock_known(&seg->header);
    for (uint32_t i = 0; i < r->n; i++) {
        r->entries[i].age_ns = known ? dump_age_ns(&seg->clock, r->entries[i].commit_ts) : DUMP_AGE_UNKNOWN;
    }
}

/* Only what stands before the replicas' words: a hundredth of the segment. */
static bool recent_read_head(struct dump_file *f, struct log_segment *seg) {
    struct dump_problems problems = { 0 };
    return dump_file_read(f, 0, seg, offsetof(struct log_segment, replicas)) &&
           dump_header_check(&seg->header, f, &problems) && problems.count == 0 && seg->header.kind == SEGMENT_LOG &&
           dump_ring_check(seg, f, &problems);
}

static bool recent_open_log(struct dump_file *f, const char *name) {
    char path[SEGMENT_PATH_BYTES];
    struct stat st;
    return segment_path(path, NULL, name, SEGMENT_LOG, 0) == 0 && lstat(path, &st) == 0 && S_ISREG(st.st_mode) &&
           dump_file_open(f, path);
}

void recent_read(struct recent *r, const char *name) {
    struct log_segment *seg = NULL;
    struct dump_file f;
    bool opened = recent_open_log(&f, name), good = false;
    if (opened && posix_memalign((void **)&seg, LAYOUT_PAIR, sizeof(*seg)) == 0) {
        good = recent_read_head(&f, seg);
    }
    if (good) {
        recent_look(r, &f, seg);
    } else {
        *r = (struct recent){ 0 };
    }
    free(seg);
    if (opened) {
        dump_file_close(&f);
    }
}
