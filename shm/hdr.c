/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/hdr.h"

#include <math.h>
#include <stdlib.h>

/* The layout after Gil Tene: values up to sub_bucket_count units are counted one by one; each further bucket doubles
 * the range and the width of its counts, and only its upper half is new. */
int hdr_shape(int64_t lowest, int64_t highest, int digits, struct hdr_shape *shape) {
    if (lowest < 1 || lowest > INT64_MAX / 2 || highest < 2 * lowest || digits < 0 || digits > HDR_DIGITS_MAX) {
        return -1;
    }
    int64_t exact_up_to = 2;
    for (int i = 0; i < digits; i++) {
        exact_up_to *= 10;
    }
    int sub_bucket_magnitude = 64 - __builtin_clzll((uint64_t)exact_up_to - 1);
    int unit_magnitude = 63 - __builtin_clzll((uint64_t)lowest);
    if (sub_bucket_magnitude + unit_magnitude > 62) {
        return -1;
    }
    int buckets = 1;
    for (uint64_t beyond = UINT64_C(1) << (sub_bucket_magnitude + unit_magnitude); beyond <= (uint64_t)highest;
         beyond <<= 1) {
        buckets++; /* ends: at 2^63 the latest, beyond is above every int64_t */
    }
    *shape = (struct hdr_shape){
        .lowest = lowest,
        .highest = highest,
        .digits = digits,
        .unit_magnitude = unit_magnitude,
        .sub_bucket_half_magnitude = sub_bucket_magnitude - 1,
        .sub_bucket_count = 1 << sub_bucket_magnitude,
        .bucket_count = buckets,
        .counts_len = (buckets + 1) << (sub_bucket_magnitude - 1),
    };
    return 0;
}

static size_t hdr_shape_size_bytes(const struct hdr_shape *shape) {
    size_t bytes = offsetof(struct hdr, counts) + (size_t)shape->counts_len * sizeof(int64_t);
    return (bytes + LAYOUT_LINE - 1) / LAYOUT_LINE * LAYOUT_LINE;
}

size_t hdr_size_bytes(int64_t lowest, int64_t highest, int digits) {
    struct hdr_shape shape;
    return hdr_shape(lowest, highest, digits, &shape) == 0 ? hdr_shape_size_bytes(&shape) : 0;
}

/* Derives the shape from the three parameters in `h`, each read once: volatile, as the compiler would else be free to
 * read again after the check, when a stranger may have changed it. */
static int hdr_shape_of(const struct hdr *h, struct hdr_shape *shape) {
    const volatile struct hdr *shared = h;
    int64_t lowest = shared->lowest;
    int64_t highest = shared->highest;
    int32_t digits = shared->digits;
    return hdr_shape(lowest, highest, digits, shape);
}

/* The loads and stores of counts, total, min, max: MO(stats), as there is nothing else that they publish. */
static int64_t hdr_load(const _Atomic int64_t *word) {
    return atomic_load_explicit(word, memory_order_relaxed); /* MO(stats) */
}

static void hdr_store(_Atomic int64_t *word, int64_t value) {
    atomic_store_explicit(word, value, memory_order_relaxed); /* MO(stats) */
}

/* A count is never negative; scribbled bytes may be. */
static int64_t hdr_load_count(const _Atomic int64_t *word) {
    int64_t count = hdr_load(word);
    return count > 0 ? count : 0;
}

static int64_t hdr_add_capped(int64_t a, int64_t b) {
    int64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int hdr_init(struct hdr *h, int64_t lowest, int64_t highest, int digits) {
    struct hdr_shape shape;
    if (hdr_shape(lowest, highest, digits, &shape) != 0) {
        return -1;
    }
    h->lowest = shape.lowest;
    h->highest = shape.highest;
    h->digits = shape.digits;
    h->unit_magnitude = shape.unit_magnitude;
    h->sub_bucket_half_magnitude = shape.sub_bucket_half_magnitude;
    h->sub_bucket_count = shape.sub_bucket_count;
    h->bucket_count = shape.bucket_count;
    h->counts_len = shape.counts_len;
    hdr_reset(h);
    return 0;
}

int hdr_check(const struct hdr *h, size_t room_bytes) {
    struct hdr_shape shape;
    if (room_bytes < offsetof(struct hdr, counts) || hdr_shape_of(h, &shape) != 0) {
        return -1;
    }
    const volatile struct hdr *shared = h;
    if (shared->unit_magnitude != shape.unit_magnitude ||
        shared->sub_bucket_half_magnitude != shape.sub_bucket_half_magnitude ||
        shared->sub_bucket_count != shape.sub_bucket_count || shared->bucket_count != shape.bucket_count ||
        shared->counts_len != shape.counts_len) {
        return -1;
    }
    return hdr_shape_size_bytes(&shape) <= room_bytes ? 0 : -1;
}

struct hdr *hdr_new(int64_t lowest, int64_t highest, int digits) {
    size_t size_bytes = hdr_size_bytes(lowest, highest, digits);
    struct hdr *h = size_bytes ? aligned_alloc(LAYOUT_LINE, size_bytes) : NULL;
    if (h) {
        (void)hdr_init(h, lowest, highest, digits);
    }
    return h;
}

void hdr_free(struct hdr *h) {
    free(h);
}

struct hdr *hdr_snapshot(const struct hdr *src, size_t room_bytes) {
    if (hdr_check(src, room_bytes) != 0) {
        return NULL;
    }
    /* The parameters may have changed since the check: from here on only this copy of them is used. */
    struct hdr_shape shape;
    if (hdr_shape_of(src, &shape) != 0 || hdr_shape_size_bytes(&shape) > room_bytes) {
        return NULL;
    }
    struct hdr *copy = hdr_new(shape.lowest, shape.highest, shape.digits);
    if (copy && hdr_add(copy, src) != 0) {
        hdr_free(copy);
        copy = NULL;
    }
    return copy;
}

void hdr_reset(struct hdr *h) {
    for (int32_t i = 0; i < h->counts_len; i++) {
        hdr_store(&h->counts[i], 0);
    }
    hdr_store(&h->total, 0);
    hdr_store(&h->min, INT64_MAX);
    hdr_store(&h->max, 0);
    hdr_store(&h->reserved, 0);
}

/* ---- values and indexes ------------------------------------------------------------------------------------------ */

static int hdr_bucket_of(const struct hdr_shape *shape, int64_t value) {
    int64_t mask = (int64_t)(shape->sub_bucket_count - 1) << shape->unit_magnitude;
    int bits = 64 - __builtin_clzll((uint64_t)(value | mask));
    return bits - shape->unit_magnitude - (shape->sub_bucket_half_magnitude + 1);
}

static int64_t hdr_lowest_of(const struct hdr_shape *shape, int64_t value) {
    int shift = hdr_bucket_of(shape, value) + shape->unit_magnitude;
    return value >> shift << shift;
}

/* How many values are counted together with this one. */
static int64_t hdr_width_of(const struct hdr_shape *shape, int64_t value) {
    return INT64_C(1) << (hdr_bucket_of(shape, value) + shape->unit_magnitude);
}

static int64_t hdr_highest_of(const struct hdr_shape *shape, int64_t value) {
    return hdr_lowest_of(shape, value) + (hdr_width_of(shape, value) - 1);
}

int64_t hdr_median_of(const struct hdr_shape *shape, int64_t value) {
    return hdr_lowest_of(shape, value) + (hdr_width_of(shape, value) >> 1);
}

int64_t hdr_value_at(const struct hdr_shape *shape, int32_t index) {
    int32_t half = shape->sub_bucket_count >> 1;
    int bucket = (index >> shape->sub_bucket_half_magnitude) - 1;
    int64_t sub_bucket = (index & (half - 1)) + half;
    if (bucket < 0) {
        sub_bucket -= half;
        bucket = 0;
    }
    return sub_bucket << (bucket + shape->unit_magnitude);
}

int64_t hdr_lowest_equivalent(const struct hdr *h, int64_t value) {
    struct hdr_shape shape;
    return hdr_shape_of(h, &shape) != 0 || value < 0 ? 0 : hdr_lowest_of(&shape, value);
}

int64_t hdr_highest_equivalent(const struct hdr *h, int64_t value) {
    struct hdr_shape shape;
    return hdr_shape_of(h, &shape) != 0 ? 0 : hdr_highest_of(&shape, value > 0 ? value : 0);
}

int64_t hdr_median_equivalent(const struct hdr *h, int64_t value) {
    struct hdr_shape shape;
    return hdr_shape_of(h, &shape) != 0 ? 0 : hdr_median_of(&shape, value > 0 ? value : 0);
}

int64_t hdr_count_at_index(const struct hdr *h, int32_t index) {
    struct hdr_shape shape;
    if (hdr_shape_of(h, &shape) != 0 || index < 0 || index >= shape.counts_len) {
        return 0;
    }
    return hdr_load_count(&h->counts[index]);
}

int64_t hdr_value_at_index(const struct hdr *h, int32_t index) {
    struct hdr_shape shape;
    if (hdr_shape_of(h, &shape) != 0 || index < 0 || index >= shape.counts_len) {
        return 0;
    }
    return hdr_value_at(&shape, index);
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

static void hdr_add_at(struct hdr *h, const struct hdr_shape *shape, int32_t index, int64_t n) {
    int64_t total = hdr_load(&h->total);
    if (n > INT64_MAX - total) {
        n = INT64_MAX - total; /* no count is above total: so none can overflow either */
    }
    if (n <= 0) {
        return;
    }
    hdr_store(&h->counts[index], hdr_add_capped(hdr_load(&h->counts[index]), n));
    hdr_store(&h->total, total + n);
    int64_t lowest = hdr_value_at(shape, index);
    int64_t highest = hdr_highest_of(shape, lowest);
    if (lowest < hdr_load(&h->min)) {
        hdr_store(&h->min, lowest);
    }
    if (highest > hdr_load(&h->max)) {
        hdr_store(&h->max, highest);
    }
}

int hdr_add_at_index(struct hdr *h, int32_t index, int64_t n) {
    if (index < 0 || index >= h->counts_len || n < 0) {
        return -1;
    }
    struct hdr_shape shape = {
        .unit_magnitude = h->unit_magnitude,
        .sub_bucket_half_magnitude = h->sub_bucket_half_magnitude,
        .sub_bucket_count = h->sub_bucket_count,
    };
    hdr_add_at(h, &shape, index, n);
    return 0;
}

int hdr_add(struct hdr *dst, const struct hdr *src) {
    struct hdr_shape shape;
    struct hdr_shape other;
    if (hdr_shape_of(dst, &shape) != 0 || hdr_shape_of(src, &other) != 0 || shape.lowest != other.lowest ||
        shape.highest != other.highest || shape.digits != other.digits) {
        return -1;
    }
    for (int32_t i = 0; i < shape.counts_len; i++) {
        int64_t count = hdr_load_count(&src->counts[i]);
        if (count) {
            hdr_add_at(dst, &shape, i, count);
        }
    }
    hdr_store(&dst->reserved, hdr_add_capped(hdr_load(&dst->reserved), hdr_load_count(&src->reserved)));
    return 0;
}

/* ---- questions --------------------------------------------------------------------------------------------------- */

static int64_t hdr_sum_counts(const struct hdr *h, const struct hdr_shape *shape) {
    int64_t sum = 0;
    for (int32_t i = 0; i < shape->counts_len; i++) {
        sum = hdr_add_capped(sum, hdr_load_count(&h->counts[i]));
    }
    return sum;
}

/* How many of `total` values have to be passed to have p percent of them. One ulp less than p: p * total rounded up
 * would else take one more where the product is a whole number but for rounding. */
static int64_t hdr_count_at_percentile(double p, int64_t total) {
    double wanted = nextafter(p, -INFINITY);
    if (!(wanted > 0)) {
        wanted = 0;
    }
    if (wanted > 100) {
        wanted = 100;
    }
    double count = ceil(wanted * (double)total / 100);
    if (count >= (double)total) { /* also: a double near 2^63 may not fit back */
        return total;
    }
    return count < 1 ? 1 : (int64_t)count;
}

/* Counts only grow, so the walk after the sum gets at least as far as the sum said. Until it gets there, v[k] holds the
 * count that is wanted for p[k], negated: values are never negative. */
void hdr_values_at_percentiles(const struct hdr *h, const double *p, int64_t *v, size_t n) {
    struct hdr_shape shape;
    int64_t total = hdr_shape_of(h, &shape) == 0 ? hdr_sum_counts(h, &shape) : 0;
    for (size_t k = 0; k < n; k++) {
        v[k] = total ? -hdr_count_at_percentile(p[k], total) : 0;
    }
    int64_t seen = 0;
    for (int32_t i = 0; seen < total && i < shape.counts_len; i++) {
        int64_t count = hdr_load_count(&h->counts[i]);
        seen = hdr_add_capped(seen, count);
        for (size_t k = 0; count && k < n; k++) {
            if (v[k] < 0 && seen >= -v[k]) {
                v[k] = p[k] > 0 ? hdr_highest_of(&shape, hdr_value_at(&shape, i)) : hdr_value_at(&shape, i);
            }
        }
    }
    for (size_t k = 0; k < n; k++) {
        if (v[k] < 0) {
            v[k] = 0; /* the writer has reset it in between */
        }
    }
}

int64_t hdr_value_at_percentile(const struct hdr *h, double p) {
    int64_t value;
    hdr_values_at_percentiles(h, &p, &value, 1);
    return value;
}

int64_t hdr_min(const struct hdr *h) {
    struct hdr_shape shape;
    if (hdr_shape_of(h, &shape) != 0) {
        return 0;
    }
    for (int32_t i = 0; i < shape.counts_len; i++) {
        if (hdr_load_count(&h->counts[i])) {
            return hdr_value_at(&shape, i);
        }
    }
    return 0;
}

int64_t hdr_max(const struct hdr *h) {
    struct hdr_shape shape;
    if (hdr_shape_of(h, &shape) != 0) {
        return 0;
    }
    for (int32_t i = shape.counts_len - 1; i >= 0; i--) {
        if (hdr_load_count(&h->counts[i])) {
            return hdr_highest_of(&shape, hdr_value_at(&shape, i));
        }
    }
    return 0;
}

static double hdr_mean_of(const struct hdr *h, const struct hdr_shape *shape) {
    double sum = 0;
    int64_t total = 0;
    for (int32_t i = 0; i < shape->counts_len; i++) {
        int64_t count = hdr_load_count(&h->counts[i]);
        if (!count) {
            continue;
        }
        sum += (double)hdr_median_of(shape, hdr_value_at(shape, i)) * (double)count;
        total = hdr_add_capped(total, count);
    }
    return total ? sum / (double)total : 0;
}

double hdr_mean(const struct hdr *h) {
    struct hdr_shape shape;
    return hdr_shape_of(h, &shape) == 0 ? hdr_mean_of(h, &shape) : 0;
}

double hdr_stddev(const struct hdr *h) {
    struct hdr_shape shape;
    if (hdr_shape_of(h, &shape) != 0) {
        return 0;
    }
    double mean = hdr_mean_of(h, &shape);
    double sum = 0;
    int64_t total = 0;
    for (int32_t i = 0; i < shape.counts_len; i++) {
        int64_t count = hdr_load_count(&h->counts[i]);
        if (!count) {
            continue;
        }
        double deviation = (double)hdr_median_of(&shape, hdr_value_at(&shape, i)) - mean;
        sum += deviation * deviation * (double)count;
        total = hdr_add_capped(total, count);
    }
    return total ? sqrt(sum / (double)total) : 0;
}

void hdr_recount(struct hdr *h) {
    int64_t max = hdr_max(h);
    struct hdr_shape shape;
    int64_t total = hdr_shape_of(h, &shape) == 0 ? hdr_sum_counts(h, &shape) : 0;
    hdr_store(&h->total, total);
    hdr_store(&h->min, total ? hdr_min(h) : INT64_MAX);
    hdr_store(&h->max, max);
}

int64_t hdr_total(const struct hdr *h) {
    return hdr_load(&h->total);
}

int64_t hdr_clamped(const struct hdr *h) {
    return hdr_load(&h->reserved);
}
