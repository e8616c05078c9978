/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "shm/lag.h"

#include <stdlib.h>
#include <string.h>

/* What hdr_shape() makes of the three constants; lag_init() proves it. Constant, so that recording compiles to a few
 * shifts, and no index depends on shared bytes. */
#define LAG_COUNTS 4608
static const struct hdr_shape lag_shape = {
    .lowest = LAG_LOWEST_NS,
    .highest = LAG_HIGHEST_NS,
    .digits = LAG_DIGITS,
    .unit_magnitude = 0,
    .sub_bucket_half_magnitude = 7,
    .sub_bucket_count = 256,
    .bucket_count = 35,
    .counts_len = LAG_COUNTS,
};

#define NS_PER_S UINT64_C(1000000000)
#define LAG_HDR_BYTES                                                                                                  \
    ((sizeof(struct hdr) + LAG_COUNTS * sizeof(int64_t) + LAYOUT_LINE - 1) / LAYOUT_LINE * LAYOUT_LINE)

#define LAG_COUNT_MAX (INT64_C(1) << 47) /* in one second: far beyond what a thread can record */
_Static_assert(LAG_COUNT_MAX <= INT64_MAX / LAG_COUNTS / LAYOUT_LAG_WINDOWS,
               "the sum of all windows must not overflow");
_Static_assert(LAYOUT_LAG_WINDOWS == LAG_ROLLING_SECONDS + 1, "the second that runs needs a window of its own");

size_t lag_all_size_bytes(void) {
    return LAG_HDR_BYTES;
}

size_t lag_windows_size_bytes(void) {
    return sizeof(struct lag_windows) + LAYOUT_LAG_WINDOWS * LAG_HDR_BYTES;
}

size_t lag_size_bytes(void) {
    return lag_all_size_bytes() + lag_windows_size_bytes();
}

/* By the constant size, never by windows->hdr_bytes, which is input. */
static const struct hdr *lag_window_at(const struct lag_windows *windows, size_t i) {
    return (const struct hdr *)((const char *)(windows + 1) + i * LAG_HDR_BYTES);
}

static struct hdr *lag_window_of_writer(struct lag_windows *windows, size_t i) {
    return (struct hdr *)((char *)(windows + 1) + i * LAG_HDR_BYTES);
}

int lag_init(struct hdr *all, struct lag_windows *windows) {
    struct hdr_shape shape;
    if (hdr_shape(LAG_LOWEST_NS, LAG_HIGHEST_NS, LAG_DIGITS, &shape) != 0 ||
        memcmp(&shape, &lag_shape, sizeof(shape)) != 0) {
        return -1;
    }
    (void)hdr_init(all, LAG_LOWEST_NS, LAG_HIGHEST_NS, LAG_DIGITS);
    memset(windows, 0, sizeof(*windows));
    windows->hdr_bytes = LAG_HDR_BYTES;
    windows->window_count = LAYOUT_LAG_WINDOWS;
    for (size_t i = 0; i < LAYOUT_LAG_WINDOWS; i++) {
        (void)hdr_init(lag_window_of_writer(windows, i), LAG_LOWEST_NS, LAG_HIGHEST_NS, LAG_DIGITS);
    }
    return 0;
}

static int lag_check_shape(const struct hdr *h, size_t room_bytes) {
    if (hdr_check(h, room_bytes) != 0) {
        return -1;
    }
    return h->lowest == LAG_LOWEST_NS && h->highest == LAG_HIGHEST_NS && h->digits == LAG_DIGITS ? 0 : -1;
}

int lag_check(const struct hdr *all, size_t all_room_bytes, const struct lag_windows *windows,
              size_t windows_room_bytes) {
    if (all_room_bytes < LAG_HDR_BYTES || lag_check_shape(all, all_room_bytes) != 0) {
        return -1;
    }
    if (windows_room_bytes < lag_windows_size_bytes() || windows->hdr_bytes != LAG_HDR_BYTES ||
        windows->window_count != LAYOUT_LAG_WINDOWS) {
        return -1;
    }
    for (size_t i = 0; i < LAYOUT_LAG_WINDOWS; i++) {
        if (lag_check_shape(lag_window_at(windows, i), LAG_HDR_BYTES) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Makes window i that of another second. */
static void lag_take_window(struct lag_windows *windows, size_t i, uint64_t number) {
    struct hdr *window = lag_window_of_writer(windows, i);
    /* MO(lag.count): relaxed is enough here, as each of the stores below releases it. */
    atomic_store_explicit(&windows->second[i], 0, memory_order_relaxed);
    for (size_t k = 0; k < LAG_COUNTS; k++) {
        /* MO(lag.count): release; pairs with the acquire of a count in lag_copy_window(). Without it a reader could add
         * counts of the new second and still find the old second's number afterwards. A later hdr_bump() of the count
         * continues the release sequence. */
        atomic_store_explicit(&window->counts[k], 0, memory_order_release);
    }
    /* MO(stats): nobody reads these four to add a window up. */
    atomic_store_explicit(&window->total, 0, memory_order_relaxed);
    atomic_store_explicit(&window->min, INT64_MAX, memory_order_relaxed); /* MO(stats) */
    atomic_store_explicit(&window->max, 0, memory_order_relaxed);         /* MO(stats) */
    atomic_store_explicit(&window->reserved, 0, memory_order_relaxed);    /* MO(stats) */
    /* MO(lag.second): release; pairs with the acquire in lag_copy_window(). Without it a reader could take the counts of
     * eleven seconds ago for those of this second. */
    atomic_store_explicit(&windows->second[i], number, memory_order_release);
}

void lag_record(struct hdr *all, struct lag_windows *windows, uint64_t now_ns, int64_t lag_ns, uint64_t n) {
    uint64_t second = now_ns / NS_PER_S;
    size_t i = second % LAYOUT_LAG_WINDOWS;
    /* MO(lag.second): relaxed, as this thread is the one that writes it. */
    if (atomic_load_explicit(&windows->second[i], memory_order_relaxed) != second + 1) {
        lag_take_window(windows, i, second + 1);
    }
    hdr_record_shaped(lag_window_of_writer(windows, i), &lag_shape, lag_ns, (int64_t)n);
    hdr_record_shaped(all, &lag_shape, lag_ns, (int64_t)n);
}

struct hdr *lag_new(void) {
    return hdr_new(LAG_LOWEST_NS, LAG_HIGHEST_NS, LAG_DIGITS);
}

/* Copies the counts of window i, if it is of a second that counts, and stayed so all the while. */
static int lag_copy_window(const struct lag_windows *windows, size_t i, uint64_t second, int64_t *counts) {
    const struct hdr *window = lag_window_at(windows, i);
    /* MO(lag.second): acquire; pairs with the release in lag_take_window(). */
    uint64_t number = atomic_load_explicit(&windows->second[i], memory_order_acquire);
    /* One second ahead counts too: the reader took its time before the writer did. */
    if (number == 0 || number > second + 2 || number + LAG_ROLLING_SECONDS < second + 1) {
        return -1;
    }
    for (size_t k = 0; k < LAG_COUNTS; k++) {
        /* MO(lag.count): acquire; pairs with the release in lag_take_window(), and keeps the load below behind it. */
        counts[k] = atomic_load_explicit(&window->counts[k], memory_order_acquire);
    }
    /* MO(lag.count): relaxed is enough, after the acquires. */
    return atomic_load_explicit(&windows->second[i], memory_order_relaxed) == number ? 0 : -1;
}

/* Scribbled bytes may be any number. Bounded like this, the sum of all counts of all windows fits. */
static int64_t lag_sane_count(int64_t count) {
    return count < 0 ? 0 : count > LAG_COUNT_MAX ? LAG_COUNT_MAX : count;
}

void lag_rolling(const struct lag_windows *windows, uint64_t now_ns, struct hdr *out) {
    hdr_reset(out);
    int64_t *counts = malloc(LAG_COUNTS * sizeof(*counts)); /* not on a caller's stack, which may be small */
    if (counts == NULL || lag_check_shape(out, LAG_HDR_BYTES) != 0) {
        free(counts);
        return;
    }
    for (size_t i = 0; i < LAYOUT_LAG_WINDOWS; i++) {
        if (lag_copy_window(windows, i, now_ns / NS_PER_S, counts) != 0) {
            continue;
        }
        for (size_t k = 0; k < LAG_COUNTS; k++) {
            hdr_bump(&out->counts[k], lag_sane_count(counts[k]));
        }
    }
    free(counts);
    hdr_recount(out);
}

void lag_all(const struct hdr *all, struct hdr *out) {
    hdr_reset(out);
    (void)hdr_add(out, all);
}
