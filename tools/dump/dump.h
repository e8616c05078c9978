/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of `tide dump` share. The way of the data:
 *
 *   file.c       opens by name or path; pread, and nothing else: a file that shrinks is an error, never SIGBUS
 *   log.c        a private copy of header, board, members, lanes and reads, and whether they make sense
 *   ring.c       walks the frames beside a live leader
 *   table.c      a table segment; of a spilled request the header is all
 *   print.c      what both forms of the output need; text.c and json.c are the two
 *
 * None of them believes what it reads: they check lengths and offsets against the file before they use them, and each
 * loop is bounded by the file's size. One thread.
 */
#ifndef TIDE_DUMP_DUMP_H
#define TIDE_DUMP_DUMP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/layout.h"
#include "tools/lib/codes.h"

#define DUMP_FAULT_BYTES 256

/* ---- the file ---------------------------------------------------------------------------------------------------- */

struct dump_file {
    int fd;
    uint64_t size_bytes; /* when it was opened */
    char path[4096];
    bool is_missing;              /* there is no such file */
    char fault[DUMP_FAULT_BYTES]; /* what went wrong last, in words */
    enum tool_code code;          /* and what it means */
};

/*
 * Open what the user named: a path where it has a slash; else a domain's log (NAME), a replica's table (NAME.rK),
 * a lane's large request (NAME.lK), or at last a file of that name here. Never blocks, also not on a FIFO. False: see
 * fault and code. Close by dump_file_close().
 */
bool dump_file_open(struct dump_file *f, const char *what);
void dump_file_close(struct dump_file *f);

/* Read exactly n bytes at an offset. False: the file ends before (code NO), or the system says no (code FAILED). */
bool dump_file_read(struct dump_file *f, uint64_t off, void *buf, size_t n);

/* Has the domain ended: was the file unlinked, or does nobody live who holds a lock on it? Takes no lock itself. */
bool dump_file_ended(const struct dump_file *f);

/* Does a process hold this byte of the file (shm/member.h), so that it lives? Asks only, and takes no lock. */
bool dump_file_held(const struct dump_file *f, uint64_t byte);

/* ---- what is wrong ----------------------------------------------------------------------------------------------- */

#define DUMP_PROBLEMS 64u

/* The first DUMP_PROBLEMS are kept, the others only counted. */
struct dump_problems {
    uint32_t count;
    char text[DUMP_PROBLEMS][DUMP_FAULT_BYTES];
};
void dump_problem(struct dump_problems *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Check a header against its file. False where nothing behind it can be understood: wrong magic, version or layout. */
bool dump_header_check(const struct segment_header *h, const struct dump_file *f, struct dump_problems *p);

/* Can the ring's place and size, as a log segment's first bytes tell them, be believed? */
bool dump_ring_check(const struct log_segment *seg, const struct dump_file *f, struct dump_problems *p);

/* Was it made by another version of Tidemark, with another layout? */
bool dump_is_other_version(const struct segment_header *h);

/* ---- a log segment ----------------------------------------------------------------------------------------------- */

struct dump_log {
    struct log_segment *seg; /* private; neither the ring nor the lanes' requests are in it */
    struct dump_problems problems;
    bool understood;            /* false: only the header is to be shown */
    bool ring_there;            /* the ring's place and size can be believed */
    bool led;                   /* a living process holds the leader's byte */
    bool lives[LAYOUT_MEMBERS]; /* of the members: the process does */
};

/* Take a copy and check it. Looks again where something seems wrong, because a live domain changes meanwhile. False:
 * the file cannot be read. Free by dump_log_free(), whatever this returned. */
bool dump_log_read(struct dump_log *log, struct dump_file *f);
void dump_log_free(struct dump_log *log);

/* Entries that a replica lacks. */
static inline uint64_t dump_lag(const struct log_segment *seg, const struct replica_board *b) {
    uint64_t commit = seg->leader.commit, applied = b->applied;
    return applied < commit ? commit - applied : 0;
}

/* The two parts of a lane's turn. */
static inline uint64_t dump_lane_seq(const struct lane *lane) {
    return lane->turn >> 3;
}
static inline enum lane_phase dump_lane_phase(const struct lane *lane) {
    return (enum lane_phase)(lane->turn & 7);
}

/* Does a process own it, or was it ever used? */
static inline bool dump_lane_shown(const struct lane *lane) {
    return lane->owner != 0 || lane->turn != 0;
}

/* How often each replica served, by reason, over all readers; and all replicas together. */
struct dump_reads {
    uint32_t readers;
    uint64_t by[LAYOUT_REPLICAS][LAYOUT_REASONS];
    uint64_t all[LAYOUT_REASONS];
    bool served[LAYOUT_REPLICAS]; /* at all */
};
void dump_reads_sum(struct dump_reads *r, const struct log_segment *seg);

/* ---- a table segment --------------------------------------------------------------------------------------------- */

struct hdr;

struct dump_table {
    struct table_segment seg; /* private */
    struct hdr *all;          /* replication lag of all time, of the last 10 s; NULL: cannot be believed */
    struct hdr *rolling;
    struct dump_problems problems;
    bool understood;
};
bool dump_table_read(struct dump_table *t, struct dump_file *f);

/* Replication lag: how many entries, and how long they took. */
#define DUMP_LAG_PERCENTILES 5
struct dump_lag_summary {
    int64_t entries;
    int64_t ns[DUMP_LAG_PERCENTILES]; /* at p50, p90, p99, p99.9, and the most */
};
struct dump_lag_summary dump_lag_summary(const struct hdr *h);
void dump_table_free(struct dump_table *t);

/* ---- time -------------------------------------------------------------------------------------------------------- */

#define DUMP_AGE_UNKNOWN UINT64_MAX

/* CLOCK_MONOTONIC: what the domain's clock follows to some microseconds. */
uint64_t dump_now_ns(void);

/* Are the segment's timestamps of this clock: the same time namespace, and made since this machine started? */
bool dump_clock_known(const struct segment_header *h);

/* now - ts by the domain's clock, of which `line` is a private copy; 0 where ts is ahead by less than a second (a stamp
 * may be newer than the copy), else DUMP_AGE_UNKNOWN. */
uint64_t dump_age_ns(const struct clock_line *line, uint64_t ts);

#endif
