/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/dump/ring.h"

#include <stdlib.h>
#include <string.h>

#include "shm/crc.h"
#include "shm/ring.h"

#define WINDOW_LEAST_BYTES (UINT64_C(4) << 10)
#define WINDOW_MOST_BYTES (UINT64_C(256) << 10)
#define LOOKS 4
#define SEEKS 64
#define LOSSES_MAX 10000u /* with no frame in between: no leader does that; another process changes `reclaimed` */
#define POS_MAX (UINT64_C(1) << 62) /* beyond it positions could overflow, and no ring has ever come so far */

enum look { LOOK_OK, LOOK_LOST, LOOK_BAD, LOOK_FAILED };

void dump_ring_init(struct dump_ring *r, struct dump_file *f, const struct log_segment *seg, uint64_t from,
                    struct dump_problems *problems) {
    memset((void *)r, 0, sizeof(*r));
    r->file = f;
    r->problems = problems;
    r->off = seg->ring_off;
    r->bytes = seg->ring_bytes;
    r->next = from;
    r->lost = "reclaimed";
    r->window_bytes = WINDOW_MOST_BYTES;
}

void dump_ring_free(struct dump_ring *r) {
    free(r->buf);
    r->buf = NULL;
}

static bool ring_read_words(struct dump_ring *r) {
    struct leader_board lead;
    if (!dump_file_read(r->file, offsetof(struct log_segment, marks), r->marks, sizeof(r->marks)) ||
        !dump_file_read(r->file, offsetof(struct log_segment, leader), &lead, sizeof(lead))) {
        return false;
    }
    r->tail = lead.tail;
    r->reclaimed = lead.reclaimed;
    return true;
}

bool dump_ring_update(struct dump_ring *r) {
    uint64_t commit = 0;
    for (int look = 0; look < LOOKS; look++) {
        if (!dump_file_read(r->file, offsetof(struct log_segment, leader.commit), &commit, sizeof(commit))) {
            return false;
        }
        if (commit >= r->commit) {
            break;
        }
    }
    if (commit < r->commit) {
        dump_problem(r->problems, "commit fell from %llu to %llu", (unsigned long long)r->commit,
                     (unsigned long long)commit);
    }
    /* Before any byte of a frame is read: the entries up to this commit are whole from here on. */
    atomic_thread_fence(memory_order_seq_cst);
    r->commit = commit;
    r->lo = r->hi = 0;
    return true;
}

/* ---- the window -------------------------------------------------------------------------------------------------- */

static bool ring_read_ring(struct dump_ring *r, uint64_t pos, size_t n) {
    uint64_t at = pos & (r->bytes - 1);
    size_t first = n < r->bytes - at ? n : (size_t)(r->bytes - at);
    return dump_file_read(r->file, r->off + at, r->buf, first) &&
           (first == n || dump_file_read(r->file, r->off, r->buf + first, n - first));
}

static bool ring_window_room(struct dump_ring *r, size_t n) {
    if (n <= r->room) {
        return true;
    }
    uint8_t *more = realloc(r->buf, n);
    if (!more) {
        snprintf(r->file->fault, sizeof(r->file->fault), "out of memory for a frame of %zu bytes", n);
        r->file->code = TOOL_FAILED;
        return false;
    }
    r->buf = more;
    r->room = n;
    return true;
}

/* Have n bytes from `pos` on (at most a ring) in the window. */
static bool ring_window_cover(struct dump_ring *r, uint64_t pos, size_t n) {
    if (r->lo <= pos && pos + n <= r->hi) {
        return true;
    }
    size_t want = n > r->window_bytes ? n : (size_t)r->window_bytes;
    if (want > r->bytes) {
        want = (size_t)r->bytes;
    }
    if (r->window_bytes < WINDOW_MOST_BYTES) {
        r->window_bytes *= 2;
    }
    r->lo = r->hi = 0;
    if (!ring_window_room(r, want)) {
        return false;
    }
    /* Of a file that was cut off, take what is there. */
    if (!ring_read_ring(r, pos, want) && (r->file->code != TOOL_NO || !ring_read_ring(r, pos, want = n))) {
        return false;
    }
    atomic_thread_fence(memory_order_seq_cst); /* `reclaimed` is read after the bytes that it vouches for */
    if (!dump_file_read(r->file, offsetof(struct log_segment, leader.reclaimed), &r->intact_from,
                        sizeof(r->intact_from))) {
        return false;
    }
    r->lo = pos;
    r->hi = pos + want;
    return true;
}

/* ---- one frame --------------------------------------------------------------------------------------------------- */

static const char *ring_implausible(const struct dump_ring *r, const struct frame *f, uint64_t index) {
    if (f->length < FRAME_HEADER_BYTES || f->length % FRAME_ALIGN != 0) {
        return "its length is too small or odd";
    }
    if (f->length > r->bytes / 4) {
        return "its length is more than a quarter of the ring";
    }
    if (f->index == 0 || (index != 0 && f->index != index)) {
        return "it has another index";
    }
    if (f->length != ring_frame_bytes(f->key_len, (uint64_t)f->value_len + ring_extra_bytes(f->flags))) {
        return "its lengths contradict each other";
    }
    return NULL;
}

static const char *ring_odd_content(const struct dump_ring *r, const struct frame *f) {
    bool keyed = f->type != FRAME_TERM && f->type != FRAME_NOOP;
    if (f->type < FRAME_PUT || f->type > FRAME_EVICT) {
        return "unknown type";
    }
    if (keyed != (f->key_len > 0) || (f->type != FRAME_PUT && f->value_len > 0)) {
        return "lengths do not suit the type";
    }
    if (!ring_source_fits(f)) {
        return "flags of a source do not suit it";
    }
    if (f->commit_ts < r->last_ts) {
        return "time falls";
    }
    if (f->term < r->last_term) {
        return "term falls";
    }
    return NULL;
}

/* The frame at `pos`, which must be entry `index` (0: any). */
static enum look ring_look_at(struct dump_ring *r, uint64_t pos, uint64_t index, struct dump_frame *out) {
    struct frame f;
    if (!ring_window_cover(r, pos, sizeof(f))) {
        return LOOK_FAILED;
    }
    if (pos < r->intact_from) {
        return LOOK_LOST;
    }
    memcpy(&f, r->buf + (pos - r->lo), sizeof(f));
    r->why = ring_implausible(r, &f, index);
    if (!r->why && pos + f.length > r->intact_from + r->bytes) {
        r->why = "it would reach into the ring's oldest part";
    }
    if (r->why) {
        return LOOK_BAD;
    }
    if (!ring_window_cover(r, pos, f.length)) {
        return LOOK_FAILED;
    }
    if (pos < r->intact_from) {
        return LOOK_LOST;
    }
    const uint8_t *at = r->buf + (pos - r->lo);
    if (memcmp(at, &f, sizeof(f)) != 0) {
        r->why = "it changes";
        return LOOK_BAD;
    }
    *out = (struct dump_frame){ .f = f, .pos = pos, .key = at + sizeof(f), .value = at + sizeof(f) + f.key_len };
    if (f.flags & FRAME_EXPIRES) {
        memcpy(&out->expiry, out->value + f.value_len, sizeof(out->expiry));
    }
    if (f.flags & FRAME_SOURCED) {
        memcpy(&out->version, out->value + f.value_len + ring_extra_bytes(f.flags) - SOURCED_BYTES,
               sizeof(out->version));
    }
    out->crc_good = ring_frame_crc(&f, crc32c(0, out->key, ring_payload_bytes(&f))) == f.crc;
    out->problem = ring_odd_content(r, &f);
    return LOOK_OK;
}

/* What is wrong at the first look may be a word caught halfway: it counts if it is wrong each time. */
static enum look ring_look_again(struct dump_ring *r, uint64_t pos, uint64_t index, struct dump_frame *out) {
    for (int i = 1;; i++) {
        enum look look = ring_look_at(r, pos, index, out);
        bool good = look == LOOK_OK && out->crc_good && !out->problem;
        if (good || look == LOOK_LOST || look == LOOK_FAILED || i == LOOKS) {
            return look;
        }
        /* Small, or a ring in which every frame is bad would take hours. */
        r->lo = r->hi = 0;
        r->window_bytes = WINDOW_LEAST_BYTES;
    }
}

/* ---- where to start ---------------------------------------------------------------------------------------------- */

struct start {
    uint64_t pos, index; /* index 0: not known */
};

static int ring_by_pos(const void *a, const void *b) {
    const struct start *x = a, *y = b;
    return x->pos != y->pos ? (x->pos > y->pos) - (x->pos < y->pos) : (x->index < y->index) - (x->index > y->index);
}

/* Positions where frames start, oldest first, none before `least`; returns how many. */
static size_t ring_find_starts(const struct dump_ring *r, uint64_t least, struct start starts[LAYOUT_MARKS + 1]) {
    size_t n = 0;
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        uint64_t index = r->marks[i].index, pos = r->marks[i].pos;
        if (index != 0 && index <= r->commit && pos >= least && pos - r->reclaimed < r->bytes &&
            pos % FRAME_ALIGN == 0) {
            starts[n++] = (struct start){ pos, index };
        }
    }
    if (least == r->reclaimed && least % FRAME_ALIGN == 0) {
        starts[n++] = (struct start){ least, 0 };
    }
    qsort(starts, n, sizeof(starts[0]), ring_by_pos);
    /* A mark at `reclaimed` knows more than `reclaimed` alone, and sorts before it. */
    if (n > 1 && starts[0].pos == starts[1].pos && starts[1].index == 0) {
        memmove(&starts[1], &starts[2], (n - 2) * sizeof(starts[0]));
        n--;
    }
    return n;
}

/* Has nobody rewritten the mark since it was read? */
static bool ring_mark_stands(struct dump_ring *r, const struct start *s) {
    if (s->index == 0) {
        return true;
    }
    struct ring_mark marks[LAYOUT_MARKS];
    if (!dump_file_read(r->file, offsetof(struct log_segment, marks), marks, sizeof(marks))) {
        return false;
    }
    for (uint32_t i = 0; i < LAYOUT_MARKS; i++) {
        if (marks[i].index == s->index && marks[i].pos == s->pos) {
            return true;
        }
    }
    return false;
}

/* Try one. LOOK_OK: it is taken, or r->beyond is set because what is there was not committed at the last update. */
static enum look ring_try_start(struct dump_ring *r, const struct start *s) {
    struct dump_frame frame;
    enum look look = ring_look_again(r, s->pos, s->index, &frame);
    if (look == LOOK_OK && s->index == 0 && !frame.crc_good) {
        r->why = "its CRC is wrong";
        look = LOOK_BAD;
    }
    if (look == LOOK_OK) {
        r->started = frame.f.index <= r->commit;
        r->beyond = !r->started;
        r->at = frame.f.index;
        r->pos = s->pos;
    } else if (look == LOOK_BAD && !ring_mark_stands(r, s)) {
        look = LOOK_LOST;
    } else if (look == LOOK_BAD && (s->index != 0 || s->pos < r->tail)) {
        char what[64] = "the ring's oldest part";
        if (s->index != 0) {
            snprintf(what, sizeof(what), "entry %llu", (unsigned long long)s->index);
        }
        dump_problem(r->problems, "no good frame at position %llu, where %s should start: %s",
                     (unsigned long long)s->pos, what, r->why);
    }
    return look;
}

/* One round over the starts that are there now, if possible those that are `ahead` bytes or more behind the oldest,
 * because a leader that is faster than this walker needs a head start. LOOK_LOST: the leader overtook it. */
static enum look ring_seek_round(struct dump_ring *r, uint64_t ahead) {
    struct start starts[LAYOUT_MARKS + 1];
    uint64_t least = r->reclaimed > r->min_pos ? r->reclaimed : r->min_pos;
    size_t n = ring_find_starts(r, least + ahead, starts), best = 0;
    if (n == 0) {
        n = ring_find_starts(r, least, starts);
    }
    for (size_t i = 0; i < n; i++) {
        if (starts[i].index != 0 && starts[i].index <= r->next) {
            best = i;
        }
    }
    /* From the best one down to older ones, then up. */
    for (size_t k = 0; k < n && !r->started; k++) {
        enum look look = ring_try_start(r, &starts[k <= best ? best - k : k]);
        if (look == LOOK_LOST || look == LOOK_FAILED) {
            return look;
        }
    }
    return LOOK_OK;
}

/* Find a frame to go on from. False: see the file's fault. r->started tells whether there was one. */
static bool ring_seek(struct dump_ring *r) {
    r->beyond = false;
    for (uint64_t i = 0; i < SEEKS && !r->started; i++) {
        if (!ring_read_words(r)) {
            return false;
        }
        /* It may be beyond `tail`, by what is appended and not committed, when followers were lapped; no group is
         * larger than a quarter. */
        if (r->reclaimed > POS_MAX || r->reclaimed > r->tail + r->bytes / 4) {
            dump_problem(r->problems, "reclaimed cannot be %llu", (unsigned long long)r->reclaimed);
            return true;
        }
        enum look look = ring_seek_round(r, i * (r->bytes / SEEKS / 2));
        if (look == LOOK_FAILED || (r->beyond && r->next == 0 && !dump_ring_update(r))) {
            return false;
        }
        /* Everything up to commit was overwritten since the update; with nothing shown yet, that is no reason to end.
         * */
        if (look == LOOK_OK && !(r->beyond && r->next == 0)) {
            break;
        }
    }
    return true;
}

/* ---- walking ----------------------------------------------------------------------------------------------------- */

static void ring_lose(struct dump_ring *r, const char *why) {
    r->started = false;
    r->lost = why;
    r->losses++;
    if (r->next == 0) {
        r->next = r->at;
    }
}

/* The entries from r->next up to `last` are not shown. */
static enum dump_step ring_step_gap(struct dump_ring *r, uint64_t last, struct dump_gap *gap) {
    *gap = (struct dump_gap){ r->next, last, r->lost };
    r->next = last + 1;
    return STEP_GAP;
}

static enum dump_step ring_start_walk(struct dump_ring *r, struct dump_gap *gap) {
    if (!ring_seek(r)) {
        return STEP_FAILED;
    }
    if (!r->started) { /* nothing that is committed can be reached */
        return r->next != 0 ? ring_step_gap(r, r->commit, gap) : STEP_END;
    }
    if (r->next != 0 && r->at > r->next) {
        return ring_step_gap(r, r->at - 1, gap);
    }
    return STEP_FRAME;
}

static void ring_damaged(struct dump_ring *r) {
    dump_problem(r->problems, "entry %llu at position %llu is damaged: %s", (unsigned long long)r->at,
                 (unsigned long long)r->pos, r->why);
    r->min_pos = r->pos + FRAME_ALIGN;
    ring_lose(r, "damaged");
}

/* Go behind the frame; is it one to show, or is it before the first of those? */
static bool ring_step_frame(struct dump_ring *r, const struct dump_frame *frame) {
    if (frame->crc_good) {
        r->last_ts = frame->f.commit_ts;
        r->last_term = frame->f.term;
    }
    r->pos += frame->f.length;
    r->at++;
    r->losses = 0;
    if (r->at <= r->next) {
        return false;
    }
    r->next = r->at;
    return true;
}

enum dump_step dump_ring_next(struct dump_ring *r, struct dump_frame *frame, struct dump_gap *gap) {
    for (;;) {
        if (r->commit == 0 || r->next > r->commit || (r->started && r->at > r->commit)) {
            return STEP_END;
        }
        if (r->losses > LOSSES_MAX) {
            return ring_step_gap(r, r->commit, gap);
        }
        if (!r->started) {
            enum dump_step step = ring_start_walk(r, gap);
            if (step != STEP_FRAME) {
                return step;
            }
        }
        enum look look = ring_look_again(r, r->pos, r->at, frame);
        if (look == LOOK_FAILED) {
            return STEP_FAILED;
        }
        if (look == LOOK_LOST) {
            ring_lose(r, "overwritten");
        } else if (look == LOOK_BAD) {
            ring_damaged(r);
        } else if (ring_step_frame(r, frame)) {
            return STEP_FRAME;
        }
    }
}
