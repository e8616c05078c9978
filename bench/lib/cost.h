/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Cost of one get beside an unsynchronised table: the same keys, the same loop, slices in turn. */
#ifndef TIDEMARK_BENCH_COST_H
#define TIDEMARK_BENCH_COST_H

#include <signal.h>
#include <stdint.h>

#include "bench/lib/machine.h"
#include "bench/lib/plain.h"
#include "bench/lib/stats.h"
#include "bench/lib/workload.h"
#include "engine/tidemark.h"

#define BENCH_COST_KEY 16u
#define BENCH_COST_VALUE 64u
#define BENCH_COST_BATCH 32u
#define BENCH_COST_BOUND_NS UINT64_C(200000000)
#define BENCH_COST_DELAY_NS UINT64_C(150000000) /* of the follower that is kept behind: below the bound */

enum bench_cost_row {
    BENCH_COST_LOOP = 0,    /* the loop alone: next key, its first bytes */
    BENCH_COST_PLAIN_FIXED, /* plain table, sizes known to the compiler */
    BENCH_COST_PLAIN_DENSE, /* the same at a load of up to 0.75 */
    BENCH_COST_PLAIN,       /* plain table, sizes known at run time */
    BENCH_COST_PLAIN_BATCH, /* the same, 32 at a time, prefetched */
    BENCH_COST_GET,         /* tide_get, bound 0 */
    BENCH_COST_GET_BOUND,   /* tide_get, bound 200 ms, the follower up to date */
    BENCH_COST_GET_BEHIND,  /* tide_get, bound 200 ms, the follower behind: the clock is read */
    BENCH_COST_MGET,        /* tide_mget of 32, bound 0 */
    BENCH_COST_GET_OTHER,   /* tide_get, bound 0, of another process's replica: a validated copy */
    BENCH_COST_ROWS
};

struct bench_cost_figure {
    struct bench_spread ns; /* of one get, over repetitions; each is the median of its slices */
    struct bench_spread
        to_plain; /* ns / ns of the plain table (fixed sizes; batches for mget; for GET_OTHER of GET), by repetition */
    double net_to_plain; /* the same of the medians less the loop */
};

struct bench_cost {
    uint64_t keys;
    double plain_load;
    double dense_load;
    double within_bound_share; /* of the reads of row BENCH_COST_GET_BEHIND */
    struct bench_cost_figure rows[BENCH_COST_ROWS];
};

/* What the row is, for tables; and its name in JSON. */
const char *bench_cost_title(enum bench_cost_row row);
const char *bench_cost_name(enum bench_cost_row row);
/* The row that a row is compared with. */
enum bench_cost_row bench_cost_peer(enum bench_cost_row row);

typedef void bench_cost_progress_fn(uint64_t keys, uint32_t done, uint32_t total);

/* Measure. 0; 1 when *stop was set; -1 with `error` (BENCH_ERROR_BYTES). No segment, thread and process
 * stays. No domain may be open in this process: it forks. */
int bench_cost_run(struct bench_cost *out, uint64_t keys, uint32_t repetitions, const struct bench_machine *machine,
                   const volatile sig_atomic_t *stop, bench_cost_progress_fn *progress, char *error);

/* The loops (cost_loops.c). Each returns a sum that depends on all it read; a failed get is counted in *bad. */
struct bench_cost_ctx {
    const struct bench_workload *workload;
    struct plain plain;         /* load at most 0.5 */
    struct plain dense;         /* at most 0.75 */
    struct tide_reader *fresh;  /* on a follower without delay */
    struct tide_reader *behind; /* on a follower with delay */
    struct tide_reader *other;  /* on the leader's replica in another process */
    struct tide_bound zero;
    struct tide_bound bounded;
    uint64_t bad;
};
uint64_t bench_cost_loop(struct bench_cost_ctx *c, enum bench_cost_row row, uint64_t from, uint64_t n);

#endif
