/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What `tide metrics` tells of a domain, taken from outside: by pread, as `tide dump` reads, so that a look claims no member, takes no lock
 * and writes no byte of any segment. A domain that is damaged, dead or gone is told as that. One thread.
 */
#ifndef TIDE_DUMP_GAUGES_H
#define TIDE_DUMP_GAUGES_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/dump/peek.h"

/* The buckets' upper ends are 2^k - 1 ns: there the recorded histogram has ends of its own, so that no count is split. */
#define GAUGES_BUCKET_FIRST 8u
#define GAUGES_BUCKETS 29u
static inline uint64_t gauges_bucket_end_ns(uint32_t bucket) {
    return (UINT64_C(1) << (GAUGES_BUCKET_FIRST + bucket)) - 1;
}

enum { GAUGES_P50, GAUGES_P99, GAUGES_P999, GAUGES_QUANTILES };

/* Replication lag. */
struct gauges_lag {
    bool known;                     /* 0: the table has no such replica's histograms, or they are damaged */
    uint64_t up_to[GAUGES_BUCKETS]; /* since the replica started: how many entries took at most a bucket's end */
    uint64_t count;                 /* all of them */
    double sum_ns;                  /* of the middles of what was recorded together: within 1 % */
    uint64_t recent;                /* of the last 10 s: how many, */
    uint64_t quantile_ns[GAUGES_QUANTILES]; /* and how long they took */
};

struct gauges_replica {
    uint32_t id;
    uint32_t state; /* enum tide_state; FREE and STOPPED are left out */
    bool leads, lives;
    char label[32]; /* ended by a zero */
    uint64_t applied, lag, staleness_ns, apply_delay_ns, entries, joins, lapped;
    bool has_table; /* what follows is known */
    struct peek_table table;
    struct gauges_lag replication;
};

struct gauges {
    bool missing;     /* there is no such domain */
    struct peek peek; /* why it cannot be read, where it cannot: nothing below is known then */
    bool known;
    uint64_t groups, ring_used_bytes, ring_waits, refused_full, lapped, expired, evicted;
    uint64_t hits, misses, made, waited;
    uint64_t by_reason[PEEK_REASONS];
    uint32_t n;
    struct gauges_replica replicas[PEEK_REPLICAS];
};

/* Look at a domain. Never fails: see `missing`, `known` and `peek.state`. */
void gauges_read(struct gauges *g, const char *name);

/* For gauges.c: the lag of the replica whose table is `f`; its histograms are at these bytes. `s`: memory for one look. */
struct dump_file;
struct gauges_sum;
struct gauges_sum *gauges_sum_new(void); /* NULL: no memory */
void gauges_sum_free(struct gauges_sum *s);
void gauges_read_lag(struct gauges_lag *lag, struct gauges_sum *s, struct dump_file *f, uint64_t all_off,
                     uint64_t windows_off);

#endif
