/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How long a put takes to be seen: from its call to the moment when a reader of a follower's replica has the value. One
 * domain for each arrangement of threads and processes, kept over all repetitions.
 */
#ifndef TIDE_BENCH_SIGHT_H
#define TIDE_BENCH_SIGHT_H

#include "bench/lib/program.h"

struct bench_sight;

/* The thread that reads. The leader's writer has the first CPU, the follower's applying thread the second. */
enum bench_sight_reader {
    BENCH_SIGHT_WRITER, /* the thread that wrote asks the follower until it has the value: two CPUs are enough */
    BENCH_SIGHT_THIRD,  /* a thread of the follower's process, on the third CPU */
};

enum bench_sight_way {
    BENCH_SIGHT_ASK,    /* read at any staleness until the new value is there */
    BENCH_SIGHT_FENCE,  /* a session that has written reads; it is refused until the follower has applied that write */
    BENCH_SIGHT_RETURN, /* no reader: until put has returned */
};

/* Fork what is to be another process: before any domain is open. */
struct bench_sight *bench_sight_start(bool process, enum bench_sight_reader reader);

/* Open the domain, start leader and follower. */
void bench_sight_open(struct bench_sight *s);

/* Put and look for duration_ns, with rest_ns between a value that was seen and the next put. The times are there until the next call. */
const struct hdr *bench_sight_measure(struct bench_sight *s, enum bench_sight_way way, uint64_t rest_ns,
                                      uint64_t duration_ns);

#endif
