/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A short look at a domain from outside, for commands that must not disturb it or look before they open it. The kernel
 * tells which processes live; the rest is read from the file. Takes no lock and no slot. It reads as `tide dump` does,
 * so a damaged file is reported and never crashes the command. One thread.
 */
#ifndef TIDE_DUMP_PEEK_H
#define TIDE_DUMP_PEEK_H

#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/tidemark.h"
#include "shm/usage.h"

#define PEEK_REPLICAS 64u
#define PEEK_REASONS 8u
#define PEEK_PIDS 512u

enum peek_state {
    PEEK_ALIVE,   /* a process is attached */
    PEEK_DEAD,    /* no process is; serve may go on from what is left */
    PEEK_DAMAGED, /* `why` says what is wrong; `pids` and `led` are good all the same, nothing else is */
    PEEK_CLOSED,  /* another user's, or not a file: `why` */
    PEEK_VERSION, /* another version of Tidemark made it: `why` says which; otherwise as damaged */
};

struct peek {
    char name[64];
    enum peek_state state;
    int theirs; /* another user's file: root may look at it, and no more */
    int unseen; /* PEEK_CLOSED for want of something that this process lacks, a descriptor, say: nobody knows who uses it */
    char why[256];
    int in_use;         /* the kernel says that somebody has a lock on it */
    int led;            /* and on the leader's byte */
    int32_t leader;     /* replica number, -1; who led last where nobody does */
    int32_t leader_pid; /* 0 where nobody leads */
    uint32_t term;
    uint32_t serving, replicas, orphans; /* orphans: left by dead processes for a warm start */
    uint64_t living;                     /* bit k: replica k's process lives */
    uint32_t members, dead;              /* slots of the living, of the dead */
    int32_t pids[PEEK_PIDS];             /* of the living */
    uint64_t incarnation, commit, ring_bytes, table_bytes, expected_keys, slow_follower_ns;
    bool evicts;           /* a full table makes room for a write, and does not refuse it */
    uint64_t memory_bytes; /* what its files hold of memory */
    uint64_t created_unix_ns;
    uint64_t reads[PEEK_REPLICAS][PEEK_REASONS];
};

/* 0, or -1 when there is no such domain. Never fails otherwise: see `state`. */
int peek_domain(const char *name, struct peek *out);

/* The same; more() is called with the file and the private copy of the log, while both are there, where the state is ALIVE or DEAD. */
struct dump_file;
struct dump_log;
typedef void peek_more_fn(void *ctx, struct dump_file *f, const struct dump_log *log);
int peek_domain_more(const char *name, struct peek *out, peek_more_fn *more, void *ctx);

/* Nobody has the name any more, or another incarnation has it. 0 also where that cannot be told: a process that is out of
 * descriptors or memory has not found out anything. A cheap look. */
int peek_is_gone(const char *name, uint64_t incarnation);

/* The names that are in use, sorted, as one allocation: free(list). How many, or -1 with errno. */
int peek_list(char (**list)[64]);

/* Does this process have the domain's log mapped? From outside, by its memory map. 1 yes, 0 no or cannot be seen. */
int peek_maps(const char *name, int32_t pid);

/* Is a file of this domain's name there at all, also one that is no domain's? 1, and its name, without the directory, into `file`; 0; or -1
 * where the directory cannot be read: errno says why. half_made: also such as are being made, or whose maker died. */
#define PEEK_FILE_BYTES 256
int peek_leftovers(const char *name, int half_made, char file[PEEK_FILE_BYTES]);

/* What a replica's table says of itself, without attaching to it: for replicas that nobody serves. 0, or -1 where it
 * cannot be had or is another domain's. */
struct peek_table {
    uint64_t keys, keys_most, table_bytes, used_bytes;
    struct usage usage;
    struct tide_size sizes[TIDE_SIZES];
};
int peek_table(const char *name, uint32_t replica, uint64_t incarnation, struct peek_table *out);

/* The same of a table's first bytes, of which the caller has a private copy and has checked the header. */
struct table_segment;
int peek_table_of(const struct table_segment *seg, uint64_t file_bytes, struct peek_table *out);
/* Live keys by size, of the same. */
void peek_sizes_of(const struct table_segment *seg, struct tide_size out[TIDE_SIZES]);

/* Where the directory of the segments does not exist: a text that says so; else NULL. Lives until this thread's next call. */
const char *peek_no_directory(void);

/* The library's text of this thread's last failure, or NULL: for calls that have no log callback. */
const char *peek_fault(void);

#endif
