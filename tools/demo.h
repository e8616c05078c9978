/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide demo`: what is measured, and the result. */
#ifndef TIDE_TOOLS_DEMO_H
#define TIDE_TOOLS_DEMO_H

#include <stddef.h>
#include <stdint.h>

#define DEMO_FOLLOWERS_MAX 8
#define DEMO_BOUNDS_MAX 16

struct demo_opts {
    uint64_t delays_ns[DEMO_FOLLOWERS_MAX]; /* of the followers; the leader, replica 0, has none */
    size_t n_followers;
    uint64_t bounds_ns[DEMO_BOUNDS_MAX];
    size_t n_bounds;
    uint64_t duration_ns; /* 0: none was given */
    uint64_t write_every_ns;
    int json;
    int upstream; /* the other demo */
};

/* Reads under one bound by clients of one follower, or of whichever follower is freshest. */
struct demo_row {
    uint64_t bound_ns;
    uint32_t replica; /* 0: any follower */
    uint64_t reads;
    uint64_t served;        /* by a follower; the others fell back to the leader */
    uint64_t *staleness_ns; /* of those that a follower served, sorted once the run is over */
    size_t room;
};

struct demo_follower {
    uint64_t lag_p50_ns, lag_p99_ns; /* commit to applied, since it started */
};

struct demo_result {
    struct demo_row rows[DEMO_BOUNDS_MAX * (DEMO_FOLLOWERS_MAX + 1)];
    size_t n_rows;
    struct demo_follower followers[DEMO_FOLLOWERS_MAX];
    uint64_t writes;
};

/* Run it: blocks for the duration and a little more; progress on standard error where that is a terminal. 0 or a
 * TIDE_ERR_ code. demo_result_free() in both cases. */
int demo_run(const struct demo_opts *opts, struct demo_result *out);
void demo_result_free(struct demo_result *r);

/* The percentile of the staleness of a row's served reads; 0 if there were none. */
uint64_t demo_staleness(const struct demo_row *row, double percent);

#endif
