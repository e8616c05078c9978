/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/life/sizes.h"

#include <string.h>

#define SIZES_RING_DEFAULT (UINT64_C(16) << 20)
#define SIZES_RING_LEAST (UINT64_C(256) << 10) /* that a default shrinks to */
#define SIZES_TABLE_DEFAULT (UINT64_C(64) << 20)
#define SIZES_SLOW_DEFAULT UINT64_C(50000000)
#define SIZES_WRITE_DEFAULT UINT64_C(1000000000)
#define SIZES_STEP UINT64_C(65536)
#define SIZES_TABLES 3u      /* that are to fit: a leader's, a follower's, a newcomer's */
#define SIZES_LOG_SHARE 7u   /* one part in so many of what there is may be the log */
#define SIZES_REST_SHARE 16u /* and one part in so many stays free: of a memory limit the process itself needs some */

static uint64_t sizes_ring_default(const struct tide_opts *asked) {
    uint64_t ring = SIZES_RING_DEFAULT;
    while (asked->table_bytes != 0 && ring > asked->table_bytes && ring > LAYOUT_RING_MIN) {
        ring /= 2; /* a table holds what the ring does, at least */
    }
    return ring;
}

int sizes_settle(struct tide *d, const struct tide_opts *asked, struct tide_opts *out) {
    *out = *asked;
    out->ring_bytes = asked->ring_bytes != 0 ? asked->ring_bytes : sizes_ring_default(asked);
    out->write_timeout_ns = asked->write_timeout_ns != 0 ? asked->write_timeout_ns : SIZES_WRITE_DEFAULT;
    out->slow_follower_ns = asked->slow_follower_ns != 0 ? asked->slow_follower_ns : SIZES_SLOW_DEFAULT;
    if (asked->table_bytes == 0) {
        /* A ring that was made larger than the default needs a table that goes with it. */
        out->table_bytes = 2 * out->ring_bytes > SIZES_TABLE_DEFAULT ? 2 * out->ring_bytes : SIZES_TABLE_DEFAULT;
    }
    if (out->ring_bytes < LAYOUT_RING_MIN || out->ring_bytes > LAYOUT_RING_MAX ||
        (out->ring_bytes & (out->ring_bytes - 1)) != 0) {
        tide_logf(d, TIDE_LOG_ERROR, "ring_bytes (--ring) is %llu: a power of two from 64 KiB to 4 GiB is needed",
                  (unsigned long long)out->ring_bytes);
        return TIDE_ERR_INVALID;
    }
    if (out->table_bytes < SIZES_TABLE_MIN || out->table_bytes > TABLE_BYTES_MAX ||
        out->table_bytes < out->ring_bytes) {
        tide_logf(d, TIDE_LOG_ERROR,
                  "table_bytes (--table) is %llu: at least 256 KiB and the ring's %llu bytes (--ring), at most 60 GiB",
                  (unsigned long long)out->table_bytes, (unsigned long long)out->ring_bytes);
        return TIDE_ERR_INVALID;
    }
    return 0;
}

uint64_t sizes_log_bytes(uint64_t ring_bytes) {
    return segment_ring_off(sizeof(struct log_segment), ring_bytes) + ring_bytes;
}

static bool sizes_are_there(const struct room *r, const struct tide_opts *o) {
    uint64_t table = table_segment_bytes(o->table_bytes), log = sizes_log_bytes(o->ring_bytes);
    if (r->kind == ROOM_FILE_SIZE) {
        return table <= r->free_bytes && log <= r->free_bytes;
    }
    uint64_t left = r->free_bytes - r->free_bytes / SIZES_REST_SHARE;
    return table <= left && SIZES_TABLES * table + log <= left;
}

void sizes_fit(struct tide *d, const struct tide_opts *asked, struct tide_opts *settled) {
    struct room r;
    if ((asked->ring_bytes != 0 && asked->table_bytes != 0) || segment_room(d->dir, &r) != 0 ||
        r.free_bytes == UINT64_MAX) {
        return;
    }
    struct tide_opts o = *settled;
    while (!sizes_are_there(&r, &o)) {
        uint64_t smaller = (o.table_bytes - o.table_bytes / 16) / SIZES_STEP * SIZES_STEP;
        bool table_may = asked->table_bytes == 0 && smaller >= o.ring_bytes && smaller >= SIZES_TABLE_MIN;
        bool ring_may = asked->ring_bytes == 0 && o.ring_bytes > SIZES_RING_LEAST;
        if (ring_may && (!table_may || sizes_log_bytes(o.ring_bytes) > r.free_bytes / SIZES_LOG_SHARE)) {
            o.ring_bytes /= 2;
        } else if (table_may) {
            o.table_bytes = smaller;
        } else {
            return; /* nothing fits: the sizes that were meant go into the error */
        }
    }
    if (o.ring_bytes != settled->ring_bytes || o.table_bytes != settled->table_bytes) {
        tide_logf(d, TIDE_LOG_WARN,
                  "%.1f MiB of shared memory can be had here: the ring gets %.1f MiB (--ring) and each table %.1f MiB "
                  "(--table), not %.1f and %.1f",
                  (double)r.free_bytes / 1048576.0, (double)o.ring_bytes / 1048576.0, (double)o.table_bytes / 1048576.0,
                  (double)settled->ring_bytes / 1048576.0, (double)settled->table_bytes / 1048576.0);
    }
    *settled = o;
}

bool sizes_differ(const struct domain_words *w, const struct tide_opts *asked) {
    return (asked->ring_bytes != 0 && asked->ring_bytes != w->ring_bytes) ||
           (asked->table_bytes != 0 && asked->table_bytes != w->table_bytes) ||
           (asked->evict != TIDE_EVICT_NONE && asked->evict != w->evict) ||
           (asked->source != NULL && strcmp(asked->source, w->source) != 0);
}
