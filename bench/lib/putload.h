/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes by the leader's process: domains of one number of keys, kept over all repetitions, and what is done there. */
#ifndef TIDE_BENCH_PUTLOAD_H
#define TIDE_BENCH_PUTLOAD_H

#include <stdint.h>

enum bench_putload_row {
    BENCH_PUT_PLAIN = 0, /* the peer: a table that nothing synchronises */
    BENCH_PUT_LOAD,      /* loads that wait for one another, from as much memory as the table has in use */
    BENCH_PUT_ALONE,
    BENCH_PUT_FOLLOWER, /* a follower applies beside it */
    BENCH_PUT_READER,   /* a thread reads the leader's replica beside it */
    BENCH_PUT_TWO,      /* two writers: flat combining */
    BENCH_PUT_BATCH16,
    BENCH_PUT_BATCH32,
    BENCH_PUT_BATCH100,
    BENCH_PUT_BATCH100_FOLLOWER,
    BENCH_PUT_DELETE,
    BENCH_PUT_CAS,
    BENCH_PUT_ROWS,
};

const char *bench_putload_id(enum bench_putload_row row);
const char *bench_putload_title(enum bench_putload_row row);
uint32_t bench_putload_threads(enum bench_putload_row row);

struct bench_putload;

/* Make the domains and fill them. Keys of 16 bytes, values of 64. */
struct bench_putload *bench_putload_create(uint64_t keys);

/* One slice of a row: writes/s. */
double bench_putload_slice(struct bench_putload *l, enum bench_putload_row row, uint64_t duration_ns);

#endif
