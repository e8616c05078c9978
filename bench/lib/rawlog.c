/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "bench/lib/rawlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/lib/child.h"
#include "bench/lib/rng.h"
#include "shm/bytes.h"
#include "shm/clock.h"
#include "shm/crc.h"
#include "shm/park.h"
#include "shm/segment.h"

#define POOL 32u                         /* pairs of key and value */
#define RUN 64u                          /* entries between two publications, as in engine/log/apply.c */
#define PATIENCE_NS UINT64_C(5000000000) /* no follower is lapped here: one may have lost its CPU for a while */

static struct log_segment *map_log(void) {
    size_t size = (sizeof(struct log_segment) + LAYOUT_PAIR - 1) / LAYOUT_PAIR * LAYOUT_PAIR;
    return bench_shared_map(size);
}

uint8_t *rawlog_ring_map(uint64_t bytes) {
    struct segment s = SEGMENT_INIT;
    uint64_t off = segment_ring_off(sizeof(struct log_segment), bytes);
    char name[SEGMENT_NAME_MAX + 1];
    uint8_t *ring = NULL;
    snprintf(name, sizeof(name), "rawlog-%ld", (long)getpid());
    if (segment_create(&s, NULL, name, SEGMENT_LOG, 0, off + bytes) == 0) {
        if (segment_map_ring(&s, off, bytes, &ring) == 0) {
            memset(ring, 0, bytes);
        }
        segment_discard(&s); /* the mapping stays, the name does not */
    }
    return ring;
}

void rawlog_ring_unmap(uint8_t *ring, uint64_t bytes) {
    segment_unmap_ring(ring, bytes);
}

int rawlog_create(struct rawlog *l, uint64_t ring_bytes) {
    memset(l, 0, sizeof(*l));
    l->log = map_log();
    l->ring = (struct ring){
        .log = l->log, .base = rawlog_ring_map(ring_bytes), .bytes = ring_bytes, .slow_follower_ns = PATIENCE_NS
    };
    l->pool = malloc((size_t)POOL * (RAWLOG_KEY + RAWLOG_VALUE_MAX));
    if (l->log == NULL || l->ring.base == NULL || l->pool == NULL) {
        rawlog_destroy(l);
        return -1;
    }
    for (uint32_t i = 0; i < POOL * (RAWLOG_KEY + RAWLOG_VALUE_MAX); i++) {
        l->pool[i] = (uint8_t)bench_mix64(i);
    }
    clock_init(&l->log->clock);
    l->log->ring_bytes = ring_bytes;
    ring_writer_init(&l->writer, &l->ring, 0, 1, 0, 1);
    return 0;
}

void rawlog_destroy(struct rawlog *l) {
    bench_shared_unmap(l->log, sizeof(struct log_segment));
    rawlog_ring_unmap(l->ring.base, l->ring.bytes);
    free(l->pool);
    memset(l, 0, sizeof(*l));
}

void rawlog_pin(struct rawlog *l, uint32_t id) {
    struct replica_board *b = &l->log->replicas[id];
    board_claim(l->log, (int)id, 0);
    board_pin(l->log, b, 0);
    board_set_state(b, REPLICA_SERVING);
}

uint64_t rawlog_touch(const struct rawlog *l) {
    uint64_t sum = 0;
    for (uint64_t at = 0; at < 2 * l->ring.bytes; at += 4096) {
        sum += *(volatile const uint8_t *)(l->ring.base + at);
    }
    return sum;
}

/* One entry as a writer prepares it and the sequencer appends it. */
static void append(struct rawlog *l, uint32_t value_len, uint64_t ts) {
    const uint8_t *key = l->pool + (l->writer.next_index % POOL) * (RAWLOG_KEY + RAWLOG_VALUE_MAX);
    const uint8_t *value = key + RAWLOG_KEY;
    struct ring_entry e = {
        .key = key,
        .value = value,
        .value_len = value_len,
        .payload_crc = crc32c_short(crc32c_short(0, key, RAWLOG_KEY), value, value_len),
        .key_len = RAWLOG_KEY,
        .type = FRAME_PUT,
    };
    ring_reserve(&l->writer, ring_frame_bytes(RAWLOG_KEY, value_len));
    ring_append(&l->writer, &e, ts);
}

uint64_t rawlog_lead(struct rawlog *l, uint32_t value_len, uint32_t group, uint64_t duration_ns) {
    struct log_segment *log = l->log;
    uint64_t first = l->writer.next_index;
    uint64_t ts = clock_stamp(&log->clock), end = ts + duration_ns;
    for (; ts < end; ts = clock_stamp(&log->clock)) {
        for (uint32_t i = 0; i < group; i++) {
            append(l, value_len, ts);
        }
        ring_commit(&l->writer);
        /* What the engine pays before it may say that a group is done: the barrier, and a look for sleepers. */
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(&log->leader.parked) != 0) {
            park_wake(&log->leader.wake, INT32_MAX);
        }
    }
    return l->writer.next_index - first;
}

/* Header, order in time, copy, checksum of the copy, nothing overwritten meanwhile: as apply_make() does. */
static bool read_entry(const struct rawlog *l, uint64_t pos, uint64_t index, struct frame *f, uint64_t last_ts) {
    uint8_t copy[RAWLOG_KEY + RAWLOG_VALUE_MAX];
    if (ring_header(&l->ring, pos, index, f) != RING_OK || f->commit_ts < last_ts || f->key_len != RAWLOG_KEY ||
        f->value_len > RAWLOG_VALUE_MAX) {
        return false;
    }
    size_t payload = (size_t)f->key_len + f->value_len;
    bytes_copy_racy(copy, ring_payload(&l->ring, pos), payload);
    return ring_frame_crc(f, crc32c_short(0, copy, payload)) == f->crc && ring_intact(&l->ring, pos);
}

int rawlog_follow(const struct rawlog *l, uint32_t id, const _Atomic uint32_t *over) {
    struct replica_board *b = &l->log->replicas[id];
    struct park_pace pace = { 0, 0 };
    uint64_t applied = 0, pos = 0, ts = 0;
    for (;;) {
        bool last = atomic_load(over) != 0; /* before commit: nothing is committed after it is set */
        uint64_t commit = board_commit(l->log), found = commit - applied;
        if (found == 0) {
            if (last) {
                return 0;
            }
            park_pace_nothing(&pace);
            park_relax();
            continue;
        }
        while (applied < commit) {
            for (uint32_t n = 0; n < RUN && applied < commit; n++) {
                struct frame f;
                ring_prefetch(&l->ring, pos, commit - applied);
                if (!read_entry(l, pos, applied + 1, &f, ts)) {
                    return -1;
                }
                applied++;
                pos += f.length;
                ts = f.commit_ts;
            }
            board_publish(b, applied, ts, pos);
        }
        park_pace_found(&pace, found);
    }
}

void rawlog_write(struct rawlog *l, uint32_t value_len, uint64_t entries) {
    for (uint64_t i = 0; i < entries; i++) {
        append(l, value_len, clock_stamp(&l->log->clock));
    }
    ring_commit(&l->writer);
}

int rawlog_read(const struct rawlog *l, uint64_t entries) {
    uint64_t pos = 0, ts = 0;
    for (uint64_t i = 1; i <= entries; i++) {
        struct frame f;
        ring_prefetch(&l->ring, pos, entries - i);
        if (!read_entry(l, pos, i, &f, ts)) {
            return -1;
        }
        pos += f.length;
        ts = f.commit_ts;
    }
    return 0;
}
