/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * HDR histograms that may lie in shared memory (struct hdr of shm/layout.h).
 *
 * Bucket layout, equivalent values and percentiles are those of Gil Tene's HdrHistogram (hdrhistogram.org), so that its
 * tools read what bench/lib/hdrlog.h writes. Written from its documentation of the layout; checked against the Java
 * implementation by tests/hdr_reference.test.sh.
 *
 * Who may do what:
 *
 *                      the writer    another thread or process
 *   hdr_record*        yes           no: two writers lose counts (and nothing worse)
 *   hdr_reset          yes           no
 *   hdr_add(dst, src)  as dst, src   as src
 *   questions          yes           yes, beside the writer: all are wait-free
 *
 * Nothing locks and nothing is ordered. A reader sums the counts itself and believes `total`, `min` and `max` only for
 * hdr_total(). What it sees while the writer goes on: every value whose recording it already knows of (by some
 * acquire: `applied`, a join, a lock), and of those recorded meanwhile any part, with no order among them: a later
 * value may be there and an earlier one not. Each count is whole. Once the writer is quiet the view is exact.
 *
 * Histograms in memory that others can write: hdr_check() tells whether the bytes make sense now, but they may be
 * scribbled on a moment later, and the questions below believe the parameters in `h`. So a process that reads a foreign
 * histogram asks none of them. It takes a private copy first: hdr_snapshot() where the parameters are not known
 * beforehand, hdr_add() into a private histogram where they are. Both take each parameter from shared memory once,
 * check it against the room, and bound all further steps by the private copy. The counts in a copy are never negative
 * and their sum never overflows, whatever the bytes were.
 */
#ifndef TIDE_SHM_HDR_H
#define TIDE_SHM_HDR_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "shm/layout.h"

#define HDR_DIGITS_MAX 5

/* What lowest, highest and digits give. In private memory (or constant), so that it can be believed. */
struct hdr_shape {
    int64_t lowest;
    int64_t highest;
    int32_t digits;
    int32_t unit_magnitude;
    int32_t sub_bucket_half_magnitude;
    int32_t sub_bucket_count;
    int32_t bucket_count;
    int32_t counts_len;
};

/* Derives the shape. lowest >= 1, highest >= 2 * lowest, digits 0 to 5, and all of it must fit in 62 bits.
 * 0, or -1 where the parameters are not valid (`shape` untouched). Any thread. */
int hdr_shape(int64_t lowest, int64_t highest, int digits, struct hdr_shape *shape);

/* Bytes of a histogram, rounded up to 64; 0 where the parameters are not valid. */
size_t hdr_size_bytes(int64_t lowest, int64_t highest, int digits);

/* Makes an empty histogram of hdr_size_bytes() bytes at `h`, aligned to 8, better to 64. Before anybody else can see
 * it. 0, or -1 where the parameters are not valid. */
int hdr_init(struct hdr *h, int64_t lowest, int64_t highest, int digits);

/* Whether what lies at `h`, of which room_bytes may be read, is a histogram: every derived field is what the parameters
 * give, and the counts fit. 0 or -1. Says nothing about the counts. */
int hdr_check(const struct hdr *h, size_t room_bytes);

/* On the heap, empty; NULL: no memory, or the parameters are not valid. Free by hdr_free (NULL is fine). */
struct hdr *hdr_new(int64_t lowest, int64_t highest, int digits);
void hdr_free(struct hdr *h);

/* A private copy of a histogram that others may be writing, correctly or not. NULL: no memory, or not a histogram that
 * fits room_bytes. The caller frees it by hdr_free. */
struct hdr *hdr_snapshot(const struct hdr *src, size_t room_bytes);

/* hdr_value_at_index() and hdr_median_equivalent() for those who have the shape, and many counts: a histogram's is made out anew each time. */
int64_t hdr_value_at(const struct hdr_shape *shape, int32_t index);
int64_t hdr_median_of(const struct hdr_shape *shape, int64_t value);

/* The index of a value from 0 to shape->highest, as HdrHistogram counts it. */
static inline int32_t hdr_index_of(const struct hdr_shape *shape, int64_t value) {
    int64_t mask = (int64_t)(shape->sub_bucket_count - 1) << shape->unit_magnitude;
    int bits = 64 - __builtin_clzll((uint64_t)(value | mask));
    int bucket = bits - shape->unit_magnitude - (shape->sub_bucket_half_magnitude + 1);
    int32_t sub_bucket = (int32_t)(value >> (bucket + shape->unit_magnitude));
    return ((bucket + 1) << shape->sub_bucket_half_magnitude) + sub_bucket - (shape->sub_bucket_count >> 1);
}

/* Adds by load and store: there is one writer, and a locked add would cost ten times as much. */
static inline void hdr_bump(_Atomic int64_t *word, int64_t n) {
    /* MO(stats): a counter with one writer; readers want any recent value. */
    int64_t old = atomic_load_explicit(word, memory_order_relaxed);
    atomic_store_explicit(word, (int64_t)((uint64_t)old + (uint64_t)n), memory_order_relaxed);
}

/* hdr_record_n for a shape that the caller knows: faster where it is constant, and safe where `h` lies in memory that
 * others can write, as no step is bounded by shared bytes. `h` must have been made with just this shape. */
static inline void hdr_record_shaped(struct hdr *h, const struct hdr_shape *shape, int64_t value, int64_t n) {
    if (value > shape->highest) {
        value = shape->highest;
        hdr_bump(&h->reserved, n);
    }
    if (value < 0) {
        value = 0;
    }
    hdr_bump(&h->counts[hdr_index_of(shape, value)], n);
    hdr_bump(&h->total, n);
    /* MO(stats): see hdr_bump. */
    if (value > atomic_load_explicit(&h->max, memory_order_relaxed)) {
        atomic_store_explicit(&h->max, value, memory_order_relaxed);
    }
    /* MO(stats): see hdr_bump. */
    if (value < atomic_load_explicit(&h->min, memory_order_relaxed)) {
        atomic_store_explicit(&h->min, value, memory_order_relaxed);
    }
}

/* Counts a value n times (n >= 1). Below 0 it counts as 0; above highest as highest, and hdr_clamped() tells how many
 * were. The writer only; a few ns. Believes the parameters in `h`. */
static inline void hdr_record_n(struct hdr *h, int64_t value, int64_t n) {
    struct hdr_shape shape = {
        .highest = h->highest,
        .unit_magnitude = h->unit_magnitude,
        .sub_bucket_half_magnitude = h->sub_bucket_half_magnitude,
        .sub_bucket_count = h->sub_bucket_count,
    };
    hdr_record_shaped(h, &shape, value, n);
}

static inline void hdr_record(struct hdr *h, int64_t value) {
    hdr_record_n(h, value, 1);
}

/* Empties it. The writer only; a reader beside it sees any mix of before and after. */
void hdr_reset(struct hdr *h);

/*
 * Adds the counts of src to dst. The caller is dst's writer; src may be anybody's, also scribbled memory, as long as
 * hdr_check() has once found that it has the room: the loop is bounded by dst's parameters, and negative counts count
 * as 0. 0, or -1 where the parameters differ (dst untouched). dst's min and max become those of the counts, that is,
 * exact to the width of a count.
 */
int hdr_add(struct hdr *dst, const struct hdr *src);

/* Adds n (>= 0) at an index; the sums stop at INT64_MAX. The writer only. 0, or -1 where there is no such index or n is
 * negative. */
int hdr_add_at_index(struct hdr *h, int32_t index, int64_t n);

/* Sets total, min and max to what the counts say, after they were written one by one. The writer only. */
void hdr_recount(struct hdr *h);

/*
 * The largest value that p percent of all counted values are at or below, as HdrHistogram's getValueAtPercentile: the
 * highest value equivalent to it; for p = 0 the lowest equivalent to the least. 0 while empty. p below 0 (or not a
 * number) is taken as 0, above 100 as 100.
 */
int64_t hdr_value_at_percentile(const struct hdr *h, double p);

/* n percentiles of one view of the counts: v[i] for p[i], which may stand in any order. */
void hdr_values_at_percentiles(const struct hdr *h, const double *p, int64_t *v, size_t n);

int64_t hdr_min(const struct hdr *h);     /* lowest equivalent of the least; 0 while empty */
int64_t hdr_max(const struct hdr *h);     /* highest equivalent of the largest; 0 while empty */
double hdr_mean(const struct hdr *h);     /* of the median equivalents; 0 while empty */
double hdr_stddev(const struct hdr *h);   /* of the population; 0 while empty */
int64_t hdr_total(const struct hdr *h);   /* the writer's own sum: one load */
int64_t hdr_clamped(const struct hdr *h); /* values that were above highest */

/* Values that are counted together with `value`: the least, the largest, the one in the middle. */
int64_t hdr_lowest_equivalent(const struct hdr *h, int64_t value);
int64_t hdr_highest_equivalent(const struct hdr *h, int64_t value);
int64_t hdr_median_equivalent(const struct hdr *h, int64_t value);

/* Count at an index from 0 to h->counts_len - 1, and the lowest value that is counted there; 0 outside. */
int64_t hdr_count_at_index(const struct hdr *h, int32_t index);
int64_t hdr_value_at_index(const struct hdr *h, int32_t index);

#endif
