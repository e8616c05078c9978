/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The log ring without a domain around it: a leader that appends as engine/log/sequencer.c does, and followers that
 * read as engine/log/apply.c does, but keep no table. What is left is what the log itself can carry.
 *
 * It looks inside shm/ (ring, board, segment, and the layout with them), as nothing else in bench/ may: the question is
 * about just these.
 */
#ifndef TIDE_BENCH_RAWLOG_H
#define TIDE_BENCH_RAWLOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/board.h"
#include "shm/ring.h"

#define RAWLOG_KEY 16u
#define RAWLOG_VALUE_MAX 256u

struct rawlog {
    struct log_segment *log; /* shared with children forked later */
    struct ring ring;
    uint8_t *pool; /* keys and values that are written, small enough for the first-level cache */
    /* The leader's alone, and changed with each entry: not on a line that followers look at. */
    _Alignas(LAYOUT_PAIR) struct ring_writer writer;
};

/* A ring's memory, made as the engine makes it: twice in a row, in huge pages where the system has them, but
 * nameless. Zeroed. Children forked later share it. NULL: none. */
uint8_t *rawlog_ring_map(uint64_t bytes);
void rawlog_ring_unmap(uint8_t *ring, uint64_t bytes);

/* An empty log with its clock; ring_bytes: a power of two. 0, or -1: no memory. */
int rawlog_create(struct rawlog *l, uint64_t ring_bytes);
void rawlog_destroy(struct rawlog *l);

/* Take slot `id` for a follower, at the log's start: before anything is written. */
void rawlog_pin(struct rawlog *l, uint32_t id);

/* Append and commit groups of `group` entries until the time is over; the caller is the leader. Returns the entries. */
uint64_t rawlog_lead(struct rawlog *l, uint32_t value_len, uint32_t group, uint64_t duration_ns);

/* Read everything, in order, until *over is set and nothing is left. 0; -1: a frame was not as it must be. */
int rawlog_follow(const struct rawlog *l, uint32_t id, const _Atomic uint32_t *over);

/* Append so many entries that the ring need not go round, and read them all again, as rawlog_follow() reads. -1: a frame was not as it must
 * be. For followers there is none; nothing was led before. */
void rawlog_write(struct rawlog *l, uint32_t value_len, uint64_t entries);
int rawlog_read(const struct rawlog *l, uint64_t entries);

/* Read a byte of every page, so that the measurement meets mapped pages alone. */
uint64_t rawlog_touch(const struct rawlog *l);

#endif
