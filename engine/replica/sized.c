/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/replica/sized.h"

#include <stdint.h>

SIZED_IS_FULL(tide_opts, source);
SIZED_IS_FULL(tide_info, writes_open);
SIZED_IS_FULL(tide_replica_opts, spin_ns);
SIZED_IS_FULL(tide_verify, has_damage);
SIZED_IS_FULL(tide_replica_info, sizes);
SIZED_IS_FULL(tide_bound, wait_ns);
SIZED_IS_FULL(tide_answer, ttl_ns);
SIZED_IS_FULL(tide_reader_opts, replicas);
SIZED_IS_FULL(tide_read_counts, waited);
SIZED_IS_FULL(tide_watch_opts, prefix_len);
SIZED_IS_FULL(tide_event, revision);
SIZED_IS_FULL(tide_make_opts, stale_ns);
SIZED_IS_FULL(tide_lease, slot);
SIZED_IS_FULL(tide_feed_write, request);
SIZED_IS_FULL(tide_feed_opts, wish);
SIZED_IS_FULL(tide_feed_op, ttl_ns);
SIZED_IS_FULL(tide_feed_probe, time_ns);
SIZED_IS_FULL(tide_feed_wish, bound_ns);
SIZED_IS_FULL(tide_feed_answer, results);

bool sized_take(void *ours, size_t our_size, const void *theirs, size_t their_size, size_t first_size) {
    if (their_size < first_size || their_size > SIZED_MOST) {
        return false;
    }
    for (size_t i = our_size; i < their_size; i++) {
        if (((const uint8_t *)theirs)[i] != 0) {
            return false;
        }
    }
    size_t both = their_size < our_size ? their_size : our_size;
    memcpy(ours, theirs, both);
    memset((uint8_t *)ours + both, 0, our_size - both);
    return true;
}
