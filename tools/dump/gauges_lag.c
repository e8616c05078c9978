/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A replica's histograms of lag, read for a scrape: of each only the counts between its least and its largest value. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shm/hdr.h"
#include "shm/lag.h"
#include "tools/dump/dump.h"
#include "tools/dump/gauges.h"

#define COUNT_MOST (INT64_C(1) << 47) /* scribbled bytes may be any number; so bounded, the sum of all counts fits */

/* Memory that serves one replica after the other. */
struct gauges_sum {
    struct hdr_shape shape;
    struct hdr *h;   /* empty: of the shape, for those that ask what an index means */
    int64_t *counts; /* of one histogram */
    int64_t *sum;    /* of the windows: 0 but from `first` to `last`, and there, too, between two replicas */
    int32_t first, last;
};

/* Which counts can be other than 0? The writer counts first and then moves min and max: what this look misses is being recorded just now. */
static bool gauges_bounds_of(const struct hdr_shape *shape, const struct hdr *head, int32_t *first, int32_t *last) {
    int64_t min = head->min, max = head->max;
    if (min == INT64_MAX) {
        return false;
    }
    *first = 0;
    *last = shape->counts_len - 1;
    if (min >= 0 && min <= max && max <= shape->highest) {
        *first = hdr_index_of(shape, min);
        *last = hdr_index_of(shape, max);
    }
    return true;
}

static bool gauges_is_shape(const struct hdr *head, const struct hdr_shape *shape) {
    return head->lowest == shape->lowest && head->highest == shape->highest && head->digits == shape->digits &&
           head->counts_len == shape->counts_len;
}

/* Copy the counts of the histogram at `off`, those from *first to *last. False: it is empty, or cannot be read. */
static bool gauges_copy_counts(struct gauges_sum *s, struct dump_file *f, uint64_t off, int32_t *first, int32_t *last) {
    struct hdr head;
    if (!dump_file_read(f, off, &head, sizeof(head)) || !gauges_is_shape(&head, &s->shape) ||
        !gauges_bounds_of(&s->shape, &head, first, last)) {
        return false;
    }
    return dump_file_read(f, off + sizeof(head) + (uint64_t)*first * sizeof(int64_t), s->counts,
                          (size_t)(*last - *first + 1) * sizeof(int64_t));
}

static int64_t gauges_sane_count(int64_t n) {
    return n < 0 ? 0 : n < COUNT_MOST ? n : COUNT_MOST;
}

static void gauges_add_window(struct gauges_sum *s, int32_t first, int32_t last) {
    for (int32_t i = first; i <= last; i++) {
        s->sum[i] += gauges_sane_count(s->counts[i - first]); /* a few times COUNT_MOST fit */
    }
    s->first = first < s->first ? first : s->first;
    s->last = last > s->last ? last : s->last;
}

/* As lag_rolling() does (shm/lag.h): the second that runs, and the ten before it. False: nothing was recorded in them. */
static bool gauges_add_windows(struct gauges_sum *s, struct dump_file *f, uint64_t windows_off) {
    struct lag_windows head, again;
    uint64_t second = dump_now_ns() / UINT64_C(1000000000);
    if (!dump_file_read(f, windows_off, &head, sizeof(head))) {
        return false;
    }
    for (uint32_t i = 0; i < LAYOUT_LAG_WINDOWS; i++) {
        int32_t first, last;
        uint64_t number = head.second[i];
        if (number == 0 || number > second + 2 || number + LAG_ROLLING_SECONDS < second + 1 ||
            !gauges_copy_counts(s, f, windows_off + sizeof(head) + i * lag_all_size_bytes(), &first, &last)) {
            continue;
        }
        atomic_thread_fence(memory_order_seq_cst);
        if (!dump_file_read(f, windows_off, &again, sizeof(again)) || again.second[i] != number) {
            continue; /* the writer has taken it for another second */
        }
        gauges_add_window(s, first, last);
    }
    return s->first <= s->last;
}

/* Counts from index `first` to `last` of a histogram of this shape. */
static void gauges_take_counts(struct gauges_histogram *out, const struct hdr_shape *shape, const int64_t *counts,
                               int32_t first, int32_t last) {
    uint32_t bucket = 0;
    for (int32_t i = first; i <= last; i++) {
        int64_t n = gauges_sane_count(counts[i - first]);
        if (n == 0) {
            continue;
        }
        int64_t value = hdr_value_at(shape, i);
        for (; bucket < GAUGES_BUCKETS && (uint64_t)value > gauges_bucket_end_ns(bucket); bucket++) {
            out->up_to[bucket] = out->count;
        }
        out->count += (uint64_t)n;
        out->sum_ns += (double)n * (double)hdr_median_of(shape, value);
    }
    for (; bucket < GAUGES_BUCKETS; bucket++) {
        out->up_to[bucket] = out->count;
    }
}

/* As hdr_values_at_percentiles() does (shm/hdr.h), of the sum: only where counts can be other than 0. */
static void gauges_take_quantiles(struct gauges_lag *lag, const struct gauges_sum *s) {
    static const double WANTED[GAUGES_QUANTILES] = { 50, 99, 99.9 };
    double wanted[GAUGES_QUANTILES];
    uint64_t seen = 0;
    for (int k = 0; k < GAUGES_QUANTILES; k++) {
        wanted[k] = ceil(nextafter(WANTED[k], 0) * (double)lag->recent.count / 100);
    }
    for (int32_t i = s->first, k = 0; i <= s->last && k < GAUGES_QUANTILES; i++) {
        seen += (uint64_t)s->sum[i];
        for (; k < GAUGES_QUANTILES && s->sum[i] != 0; k++) {
            if ((double)seen < wanted[k] && seen < lag->recent.count) {
                break;
            }
            lag->quantile_ns[k] = (uint64_t)hdr_highest_equivalent(s->h, hdr_value_at_index(s->h, i));
        }
    }
}

/* And the sum is empty again, for the next replica. */
static void gauges_take_recent(struct gauges_lag *lag, struct gauges_sum *s) {
    gauges_take_counts(&lag->recent, &s->shape, s->sum + s->first, s->first, s->last);
    gauges_take_quantiles(lag, s);
    memset(s->sum + s->first, 0, (size_t)(s->last - s->first + 1) * sizeof(*s->sum));
    s->first = s->shape.counts_len;
    s->last = -1;
}

double gauges_share_within(const struct gauges_histogram *h, uint64_t bound_ns) {
    uint64_t start_ns = 0, below = 0;
    if (h->count == 0) {
        return -1;
    }
    for (uint32_t i = 0; i < GAUGES_BUCKETS; i++) {
        uint64_t end_ns = gauges_bucket_end_ns(i);
        if (bound_ns < end_ns) {
            double part = (double)(bound_ns - start_ns) / (double)(end_ns - start_ns);
            return ((double)below + part * (double)(h->up_to[i] - below)) / (double)h->count;
        }
        start_ns = end_ns;
        below = h->up_to[i];
    }
    return (double)below / (double)h->count;
}

struct gauges_sum *gauges_sum_new(void) {
    struct gauges_sum *s = calloc(1, sizeof(*s));
    if (s && (hdr_shape(LAG_LOWEST_NS, LAG_HIGHEST_NS, LAG_DIGITS, &s->shape) != 0 || (s->h = lag_new()) == NULL ||
              (s->counts = malloc((size_t)s->shape.counts_len * sizeof(*s->counts))) == NULL ||
              (s->sum = calloc((size_t)s->shape.counts_len, sizeof(*s->sum))) == NULL)) {
        gauges_sum_free(s);
        return NULL;
    }
    if (s) {
        s->first = s->shape.counts_len;
        s->last = -1;
    }
    return s;
}

void gauges_sum_free(struct gauges_sum *s) {
    if (s) {
        hdr_free(s->h);
        free(s->counts);
        free(s->sum);
    }
    free(s);
}

void gauges_read_lag(struct gauges_lag *lag, struct gauges_sum *s, struct dump_file *f, uint64_t all_off,
                     uint64_t windows_off) {
    int32_t first, last;
    struct hdr head;
    *lag = (struct gauges_lag){ 0 };
    if (!dump_file_read(f, all_off, &head, sizeof(head)) || !gauges_is_shape(&head, &s->shape)) {
        return;
    }
    lag->known = true;
    if (gauges_copy_counts(s, f, all_off, &first, &last)) {
        gauges_take_counts(&lag->all, &s->shape, s->counts, first, last);
    }
    if (gauges_add_windows(s, f, windows_off)) {
        gauges_take_recent(lag, s);
    }
}
