/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What many entries of a log have in common, for `tide dump --summary` and --html. Fed with one frame after the other; needs a bounded
 * amount of memory, however many keys there are. One thread.
 */
#ifndef TIDE_DUMP_SUMMARY_H
#define TIDE_DUMP_SUMMARY_H

#include "tools/dump/print.h"

#define SUMMARY_TYPES 7u  /* enum frame_type; 0: of no type that is known */
#define SUMMARY_SIZES 34u /* by key and value: 0, 1, 2 to 3, 4 to 7, ... bytes */
#define SUMMARY_RUNS 24u  /* entries at once: 1, 2 to 3, 4 to 7, ... */
#define SUMMARY_PAUSES 8u
#define SUMMARY_KEYS 10u   /* of those that were written most */
#define SUMMARY_CELLS 256u /* parts of the ring */

struct summary_type {
    uint64_t entries, frame_bytes, key_bytes, value_bytes;
};

/* Entries that came together. */
struct summary_runs {
    uint64_t runs, entries, most;
    uint64_t by_length[SUMMARY_RUNS];
};

struct summary_pause {
    uint64_t ns, before, after, ts; /* between these two indexes; the first one's commit */
};

struct summary_key {
    uint8_t *bytes;
    uint32_t len;
    uint64_t entries;
};

struct summary_cell {
    uint64_t first, last; /* indexes of the frames that begin in it; 0: none */
    uint64_t bytes[SUMMARY_TYPES];
};

struct summary {
    uint64_t entries, first, last, first_ts, last_ts;
    uint64_t missing; /* entries that were not there any more */
    uint64_t bad;     /* damaged: not counted anywhere else */
    struct summary_type types[SUMMARY_TYPES];
    uint64_t sizes[SUMMARY_SIZES];
    uint64_t of_lanes, expiring, kept, terms;
    struct summary_runs groups; /* entries of one instant */
    struct summary_runs batches;
    struct summary_pause pauses[SUMMARY_PAUSES]; /* the longest first */
    uint32_t n_pauses;
    uint64_t keys;     /* how many there are; where short_by is not 0, at least */
    uint64_t short_by; /* the counts below are too small by at most this */
    struct summary_key most[SUMMARY_KEYS];
    uint32_t n_most;
    uint64_t ring_bytes;
    struct summary_cell cells[SUMMARY_CELLS];
};

/* NULL: no memory. */
struct summary *summary_new(uint64_t ring_bytes);
void summary_free(struct summary *s);
void summary_add(struct summary *s, const struct dump_frame *frame);
void summary_add_gap(struct summary *s, const struct dump_gap *gap);
/* After the last one. */
void summary_end(struct summary *s);

/* "up to" of a bucket of sizes or runs. */
static inline uint64_t summary_bucket_end(uint32_t bucket) {
    return bucket == 0 ? 0 : (UINT64_C(1) << bucket) - 1;
}

void summary_print_text(const struct summary *s, struct dump_view *v, const struct log_segment *seg);
void summary_print_json(const struct summary *s, struct dump_view *v, const struct log_segment *seg);
/* A page with a picture of the ring, whole in itself and without a script. */
void summary_html(const struct summary *s, const struct dump_log *log, struct buf *out);

#endif
