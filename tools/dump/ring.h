/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Walks the frames of a log ring by pread, beside a leader that goes on writing, or in what it left behind.
 *
 * Which bytes can be believed: `commit` is read first, and entries up to it are whole. `reclaimed` is read after the
 * bytes: what lies at or beyond it was not overwritten before they were read. Bytes are read in windows, so that there
 * is one such check for many frames; a walker slower than the leader loses entries, says which, and goes on where the
 * ring begins now. Where something does not check out, the window is read again: only what is wrong each time is wrong.
 *
 * A walk can start at `reclaimed`, which is always a frame's start, and at each of the leader's marks. One that meets a
 * bad length goes on at the next mark.
 *
 * It ends, whatever the bytes: within one update `commit` stands still, each step moves at least a header's length, and
 * nothing is followed beyond `reclaimed` plus the ring's size.
 */
#ifndef TIDE_DUMP_RING_H
#define TIDE_DUMP_RING_H

#include "tools/dump/dump.h"

struct dump_frame {
    struct frame f;
    uint64_t pos;
    const uint8_t *key, *value; /* until the next step */
    uint64_t expiry;            /* where its flags say that there is one */
    uint64_t version;           /* at the source, where its flags say that it has one */
    bool crc_good;
    const char *problem; /* something else that cannot be; or NULL */
};

/* Does its version end by itself? What a source supplies has an instant of expiry in any case, mostly that of never. */
static inline bool dump_frame_expires(const struct dump_frame *frame) {
    return (frame->f.flags & FRAME_EXPIRES) != 0 && frame->expiry != UINT64_MAX;
}

struct dump_gap {
    uint64_t first, last; /* indexes */
    const char *why;      /* "reclaimed", "overwritten", "damaged" */
};

struct dump_ring {
    struct dump_file *file;
    struct dump_problems *problems;
    uint64_t off, bytes; /* of the ring, in the file */

    /* Of the last update. */
    uint64_t commit, tail, reclaimed;
    struct ring_mark marks[LAYOUT_MARKS];

    /* Ring positions lo to hi are in buf; those from `intact_from` on were intact when they were read. */
    uint8_t *buf;
    size_t room;
    uint64_t lo, hi, intact_from;
    uint64_t window_bytes; /* to read at once next time */

    uint64_t next; /* index to show next; 0: the oldest one */
    bool started;  /* the two below are known */
    bool beyond;   /* the oldest frame in the ring is newer than commit was at the update */
    uint32_t losses;
    uint64_t at; /* index of the frame at pos */
    uint64_t pos;
    uint64_t min_pos; /* do not start before it */
    uint64_t last_ts;
    uint32_t last_term;
    const char *lost; /* why entries before the next start are not shown */
    const char *why;  /* what look_at() did not like */
};

enum dump_step { STEP_FRAME, STEP_GAP, STEP_END, STEP_FAILED };

/* `from`: first index to show; 0: the oldest that is there. seg: its ring was found believable. */
void dump_ring_init(struct dump_ring *r, struct dump_file *f, const struct log_segment *seg, uint64_t from,
                    struct dump_problems *problems);
void dump_ring_free(struct dump_ring *r);

/* Look how far the log goes now. False: see the file's fault. */
bool dump_ring_update(struct dump_ring *r);

/* The next frame or gap up to the commit of the last update. */
enum dump_step dump_ring_next(struct dump_ring *r, struct dump_frame *frame, struct dump_gap *gap);

#endif
