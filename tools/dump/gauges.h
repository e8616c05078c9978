/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sample of a domain, for `tide metrics`, `top` and `web`. It is taken from outside: by pread, as `tide dump` reads, so that a look
 * claims no member, takes no lock and writes no byte of any segment. A domain that is damaged, dead or gone is told as that. One thread.
 *
 * What two samples tell together: tools/dump/rates.h.
 */
#ifndef TIDE_DUMP_GAUGES_H
#define TIDE_DUMP_GAUGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/dump/peek.h"

/*
 * Buckets of time: their upper ends are 255, 319, 383, 447, 511, 639, ... ns, four to each doubling, up to about 69 s. There the recorded
 * histogram has ends of its own, so that no count is split. Every fourth end is a power of two less one.
 */
#define GAUGES_BUCKETS 113u
#define GAUGES_BUCKETS_DOUBLING 4u
static inline uint64_t gauges_bucket_end_ns(uint32_t bucket) {
    return ((UINT64_C(4) + bucket % 4) << (6 + bucket / 4)) - 1;
}

enum { GAUGES_P50, GAUGES_P99, GAUGES_P999, GAUGES_QUANTILES };

struct gauges_histogram {
    uint64_t up_to[GAUGES_BUCKETS]; /* how many entries took at most a bucket's end */
    uint64_t count;                 /* all of them, also those above the last end */
    double sum_ns;                  /* of the middles of what was recorded together: within 1 % */
};

/* Replication lag, from commit to applied. */
struct gauges_lag {
    bool known;                             /* false: the table has no such replica's histograms, or they are damaged */
    struct gauges_histogram all;            /* since the replica started */
    struct gauges_histogram recent;         /* of the last 10 s, */
    uint64_t quantile_ns[GAUGES_QUANTILES]; /* and exactly: how long they took; 0 where recent.count is 0 */
};

/* Which share of the entries was applied within `bound_ns` of their commit? Between two ends it is interpolated. Below 0: there was none. */
double gauges_share_within(const struct gauges_histogram *h, uint64_t bound_ns);

struct gauges_replica {
    uint32_t id;
    uint32_t state; /* enum tide_state; FREE and STOPPED are left out */
    bool leads, lives;
    char label[32]; /* ended by a zero */
    int32_t pid;    /* who runs it, or ran it last */
    uint64_t applied, lag, staleness_ns, apply_delay_ns, entries, joins, lapped;
    bool pins;    /* the ring at `pos`: the leader overwrites nothing from there on */
    uint64_t pos; /* of the next frame that it applies */
    uint64_t
        by_reason[PEEK_REASONS]; /* reads that were served by this replica, or refused while it was the one asked */
    bool has_table;              /* what follows is known */
    struct peek_table table;
    struct gauges_lag replication;
};

/* Who reads, or read once: a row of counts that one reader writes. */
struct gauges_reader {
    int32_t pid;    /* 0: it is gone */
    uint64_t reads; /* that were served */
    uint64_t refused;
    uint32_t replica; /* which served most of them */
};
#define GAUGES_READERS 256u

struct gauges {
    bool missing;     /* there is no such domain */
    struct peek peek; /* why it cannot be read, where it cannot: nothing below is known then */
    bool known;
    uint64_t now_ns;         /* CLOCK_MONOTONIC: when it was looked */
    bool evicts;             /* a full table makes room for a write, and does not refuse it */
    uint64_t default_ttl_ns; /* of a put that names none; 0: it does not expire */
    /* The ring by positions, which only grow: position p lies at byte p % peek.ring_bytes. */
    uint64_t ring_tail;      /* end of the last committed frame */
    uint64_t ring_reclaimed; /* what lies before it may be overwritten at any moment */
    uint64_t groups, ring_used_bytes, ring_waits, refused_full, lapped, expired, evicted;
    uint64_t hits, misses, made, waited;
    /* Of a domain that a source feeds; `source` is empty where none does. */
    char source[40], source_note[256];
    uint64_t source_revision, complete_revision, complete_ns /* UINT64_MAX: never, or not to be told */, questions,
        answered, writes_open;
    uint64_t by_reason[PEEK_REASONS];
    uint32_t n;
    struct gauges_replica replicas[PEEK_REPLICAS]; /* by id */
    uint32_t n_readers;                            /* rows that are owned or have counts */
    struct gauges_reader readers[GAUGES_READERS];
};

/* Look at a domain. Never fails: see `missing`, `known` and `peek.state`. A struct gauges is large (half a megabyte): on the heap. */
void gauges_read(struct gauges *g, const char *name);

/* Why it cannot be read, for people: "there is no such domain", "damaged: ...". Empty where it can. Not escaped. */
void gauges_why(const struct gauges *g, char *why, size_t why_size);

/* The replica's entry, or NULL. */
const struct gauges_replica *gauges_find(const struct gauges *g, uint32_t id);

/* What a replica does, in a word: as tide_state_name(), or "dead" where its process is gone and nobody has freed its slot. */
const char *gauges_state(const struct gauges_replica *r);

/* For gauges.c: the lag of the replica whose table is `f`; its histograms are at these bytes. `s`: memory for one look. */
struct dump_file;
struct gauges_sum;
struct gauges_sum *gauges_sum_new(void); /* NULL: no memory */
void gauges_sum_free(struct gauges_sum *s);
void gauges_read_lag(struct gauges_lag *lag, struct gauges_sum *s, struct dump_file *f, uint64_t all_off,
                     uint64_t windows_off);

#endif
