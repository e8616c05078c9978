/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which key has to go when a domain that evicts needs room: S3-FIFO. New keys wait in a small queue, a tenth of all. Those that were read twice
 * meanwhile go on to the main queue, the others are evicted, and remembered for a while as ghosts: a ghost that comes back goes to the main
 * queue at once. The main queue gives every key that was read since it came there another round.
 *
 * The queues are memory of the process alone, and hold hashes: what they name is looked up in the table, which may have moved or lost it since.
 * Every replica has them. A follower learns from the log which key went and from which queue, and so moves on in its own as the leader
 * did; a new leader goes on where the old one was.
 *
 * What was read comes from the readers, wherever they are: each notes the hash of what it found in a row of its own in the log segment
 * (struct reader_slot), and nobody else writes there. evict_collect() looks at the rows, and counts in the nodes' `heat`. It may miss some.
 *
 * One thread, the table's writer. Source: Yang and others, "FIFO queues are all you need for cache eviction", SOSP 2023; docs/design.md,
 * *Eviction*.
 */
#ifndef TIDE_TABLE_EVICT_H
#define TIDE_TABLE_EVICT_H

#include "engine/table/table.h"

#define EVICT_CHUNK 1021u
#define EVICT_HEAT_MOST 3u

struct evict_chunk {
    struct evict_chunk *next; /* the younger one */
    uint32_t from, to;
    uint64_t hash[EVICT_CHUNK];
};

struct evict_queue {
    struct evict_chunk *oldest, *newest;
    uint64_t count;
};

#define EVICT_GHOSTS 8u

/* A line of ghosts, the youngest first: the upper half of each hash, and when it came. 0: none. */
struct evict_ghosts {
    alignas(LAYOUT_LINE) uint32_t hash[EVICT_GHOSTS];
    uint32_t came[EVICT_GHOSTS];
};

struct evict {
    struct table_evictor hooks;
    struct evict_queue small, main;
    struct evict_chunk *spare;
    bool begun; /* something was evicted: until then, what is new fills the main queue, too */
    bool
        astray; /* a key that the leader evicted was not where it should have been: these queues are not quite the leader's */
    struct evict_ghosts *ghosts;
    uint64_t ghost_lines;
    uint32_t ghost_clock; /* one for each ghost */
    uint64_t refill;      /* the next bucket to be looked at for keys that no queue names */
    struct evict_queue *sweeping;
    struct evict_chunk *swept;        /* the last chunk of it that was; NULL: none */
    uint32_t seen[LAYOUT_READERS];    /* how far each reader's notes are counted */
    uint32_t readers[LAYOUT_READERS]; /* those that have noted something */
    uint32_t reader_count;
    uint32_t gone, looked; /* keys that were evicted; as of the last look at all readers */
    bool look;             /* it is time for one */
};

/* From now on the writer's table, which is empty, has queues, until table_destroy(). 0, or -1: there is no memory. */
int evict_begin(struct table_writer *w);

struct evict_victim {
    uint64_t hash;
    uint32_t node;
    bool small; /* it was in the small queue */
};

/* Choose at most `most` keys that have to go, the first first, and take them from their queues. Returns how many. Those whose node has NODE_KEEP
 * or NODE_HELD are not chosen. */
size_t evict_choose(struct table_writer *w, struct evict_victim *victims, size_t most);

/* Prefetch what will be asked about a key that comes or goes. */
void evict_ask_ghost(const struct table_writer *w, uint64_t hash);

/* A victim that could not be evicted after all. */
void evict_restore(struct table_writer *w, const struct evict_victim *v);

/* A follower's: the leader evicted this key. To be called before the table forgets it. */
void evict_follow(struct table_writer *w, uint64_t hash, bool small);

/* Count what readers noted since. */
void evict_collect(struct table_writer *w, const struct log_segment *log);

/* The same where nothing may have been evicted for long. Called once a second. */
void evict_collect_idle(struct table_writer *w, const struct log_segment *log);

/* After the table was filled by copying, in no order: queues as if the keys had come in the order of their last writes. 0, or -1: there is no memory,
 * and the order is left as it is. */
int evict_settle(struct table_writer *w);

#endif
