/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A replica's replication lag, commit to applied, in ns: one histogram for all time, and one for each of the last
 * seconds. They lie in the replica's table segment, so that anybody can read them, also after its
 * process has died. The one thread that applies writes; any thread of any process reads; nothing locks.
 *
 * The windows: second s lies in window s % 11, and lag_windows.second[] says which second a window holds. The writer
 * that reaches a new second clears the window of eleven seconds ago and takes it. That is a seqlock on the window's
 * own number: a reader that finds the number changed after it has added a window up leaves that window out, and loses
 * only a second that has just become too old.
 *
 * All sizes are constants, and no step is bounded by shared bytes: whatever lies there, a reader gets some numbers,
 * quickly.
 */
#ifndef TIDE_SHM_LAG_H
#define TIDE_SHM_LAG_H

#include <stddef.h>
#include <stdint.h>

#include "shm/hdr.h"
#include "shm/layout.h"

#define LAG_LOWEST_NS INT64_C(1)
#define LAG_HIGHEST_NS INT64_C(3600000000000)
#define LAG_DIGITS 2
#define LAG_ROLLING_SECONDS 10u

/* Bytes of the histogram of all time; of the windows with their head; of both. Multiples of 64. Place each at a
 * multiple of 64. */
size_t lag_all_size_bytes(void);
size_t lag_windows_size_bytes(void);
size_t lag_size_bytes(void);

/* Makes both empty. Before anybody else can see them. 0 (it cannot fail, but for a broken build: -1). */
int lag_init(struct hdr *all, struct lag_windows *windows);

/* Whether both are what lag_init made, given the bytes that may be read at each. 0 or -1. Ask it once, at attach: later
 * scribbling is harmless to the functions below. */
int lag_check(const struct hdr *all, size_t all_room_bytes, const struct lag_windows *windows,
              size_t windows_room_bytes);

/* Counts a lag n times (n >= 1). The thread that applies, alone. now_ns: any clock whose seconds the readers share.
 * Some 10 ns; once a second some us, for clearing a window. Negative lags count as 0, above an hour as an hour. */
void lag_record(struct hdr *all, struct lag_windows *windows, uint64_t now_ns, int64_t lag_ns, uint64_t n);

/* An empty private histogram of the right shape, for the two below; NULL: no memory. Free by hdr_free. */
struct hdr *lag_new(void);

/* Puts what was recorded in the last 10 s into `out` (of lag_new; emptied first): the second of now_ns and the ten
 * before it, so 10 to 11 s. Wait-free, some 40 us; any thread. `out` is private to the caller. */
void lag_rolling(const struct lag_windows *windows, uint64_t now_ns, struct hdr *out);

/* The same for all time. Where the shape found in shared memory is wrong, `out` is left empty. */
void lag_all(const struct hdr *all, struct hdr *out);

#endif
