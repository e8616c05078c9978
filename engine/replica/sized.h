/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Structs of the public interface that begin with `size`. A program may have been compiled with an older or a newer header
 * than the library that it meets; `size` tells how much of the struct the program has.
 *
 * - A caller's struct is at least as large as it was in the first release: SIZED_ below. Smaller is INVALID.
 * - Options and bounds, which callers fill: what an older program does not have is 0 here, and 0 always means "as before".
 *   What a newer program has beyond this library's struct must be 0, else INVALID: the library cannot do what it does not
 *   know, and says so, as Linux does with structs that a program passes (copy_struct_from_user).
 * - Structs that the library fills: as far as both have them; then `size` says how far. An answer's `size` stays as it is.
 *
 * CONTRIBUTING.md, *Add a field to a public struct*, says how.
 */
#ifndef TIDE_REPLICA_SIZED_H
#define TIDE_REPLICA_SIZED_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "engine/tidemark.h"

/* Where a field of a struct ends. */
#define SIZED_END(type, field) (offsetof(struct type, field) + sizeof(((struct type *)0)->field))

/* The first released size of each, named by the last field that it had. These never change. */
#define SIZED_OPTS SIZED_END(tide_opts, log_ctx)
#define SIZED_INFO SIZED_END(tide_info, lapped_total)
#define SIZED_REPLICA_OPTS SIZED_END(tide_replica_opts, label)
#define SIZED_VERIFY SIZED_END(tide_verify, has_digest)
#define SIZED_REPLICA_INFO SIZED_END(tide_replica_info, label)
#define SIZED_BOUND SIZED_END(tide_bound, wait_ns)
#define SIZED_ANSWER SIZED_END(tide_answer, version)
#define SIZED_READER_OPTS SIZED_END(tide_reader_opts, replicas)
#define SIZED_READ_COUNTS SIZED_END(tide_read_counts, by_replica)
#define SIZED_PUT_OPTS SIZED_END(tide_put_opts, ttl_ns)
#define SIZED_WRITE_OP SIZED_END(tide_write_op, index)
#define SIZED_WATCH_OPTS SIZED_END(tide_watch_opts, prefix_len)
#define SIZED_MAKE_OPTS SIZED_END(tide_make_opts, stale_ns)
#define SIZED_LEASE SIZED_END(tide_lease, slot)
#define SIZED_EVENT SIZED_END(tide_event, ttl_ns)
#define SIZED_FEED_OPTS SIZED_END(tide_feed_opts, wish)
#define SIZED_FEED_OP SIZED_END(tide_feed_op, ttl_ns)
#define SIZED_FEED_PROBE SIZED_END(tide_feed_probe, time_ns)
#define SIZED_FEED_WISH SIZED_END(tide_feed_wish, bound_ns)
#define SIZED_FEED_ANSWER SIZED_END(tide_feed_answer, results)

#if defined(__LP64__)
_Static_assert(SIZED_OPTS == 72 && SIZED_INFO == 168 && SIZED_REPLICA_OPTS == 48 && SIZED_VERIFY == 576 &&
                   SIZED_REPLICA_INFO == 192 && SIZED_BOUND == 48 && SIZED_ANSWER == 64 && SIZED_READER_OPTS == 24 &&
                   SIZED_READ_COUNTS == 576,
               "0.1.0 was released with these sizes, and programs that pass them are out there");
#endif

/* A field that fills up padding would not change the size, and nobody could tell who has it. `last`: the struct's last field. */
#define SIZED_IS_FULL(type, last)                                                                                      \
    _Static_assert(SIZED_END(type, last) == sizeof(struct type), #type " ends with padding")

/* Does the caller's struct have this field? `p` points to the caller's struct. */
#define SIZED_HAS(p, type, field) ((p)->size >= SIZED_END(type, field))

/* More is no struct of any version but a `size` that nobody has set. */
#define SIZED_MOST 4096u

/* Options: `ours` becomes the caller's struct in this library's size. False: INVALID, `ours` holds nothing. */
bool sized_take(void *ours, size_t our_size, const void *theirs, size_t their_size, size_t first_size);
#define SIZED_TAKE(ours, theirs, first) sized_take((ours), sizeof(*(ours)), (theirs), (theirs)->size, (first))

/* Hand `ours` to the caller. What the caller's struct has beyond it stays untouched. */
#define SIZED_GIVE(theirs, ours)                                                                                       \
    do {                                                                                                               \
        (ours)->size = (theirs)->size < sizeof(*(ours)) ? (theirs)->size : sizeof(*(ours));                            \
        memcpy((theirs), (ours), (size_t)(ours)->size);                                                                \
    } while (0)

#endif
