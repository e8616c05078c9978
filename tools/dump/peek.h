/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A short look at a domain from outside, for commands that must not disturb it, or that want to know before they
 * open it: who lives is asked of the kernel, the rest is read from the file. Takes no lock and no slot. Built on what
 * `tide dump` reads with, so that damaged files are told of and never crash anything. One thread.
 */
#ifndef TIDE_DUMP_PEEK_H
#define TIDE_DUMP_PEEK_H

#include <stddef.h>
#include <stdint.h>

#define PEEK_REPLICAS 64u
#define PEEK_REASONS 8u
#define PEEK_PIDS 512u

enum peek_state {
    PEEK_ALIVE,   /* somebody is attached */
    PEEK_DEAD,    /* nobody is; what lies there may be taken up again */
    PEEK_DAMAGED, /* `why` says what is wrong; `pids` and `led` are good all the same, nothing else is */
    PEEK_CLOSED,  /* another user's, or not a file: `why` */
};

struct peek {
    char name[64];
    enum peek_state state;
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
    uint64_t incarnation, commit, ring_bytes, table_bytes;
    uint64_t memory_bytes; /* what its files hold of memory */
    uint64_t created_unix_ns;
    uint64_t reads[PEEK_REPLICAS][PEEK_REASONS];
};

/* 0, or -1 when there is no such domain. Never fails otherwise: see `state`. */
int peek_domain(const char *name, struct peek *out);

/* Nobody has the name any more, or another incarnation has it. 0 also where that cannot be told: a process that is out of
 * descriptors or memory has not found out anything. A cheap look. */
int peek_is_gone(const char *name, uint64_t incarnation);

/* The names that are in use, sorted, as one allocation: free(list). How many, or -1 with errno. */
int peek_list(char (**list)[64]);

/* Does this process have the domain's log mapped? From outside, by its memory map. 1 yes, 0 no or cannot be seen. */
int peek_maps(const char *name, int32_t pid);

/* Is a file of this domain's name there at all, also one that is no domain's? */
int peek_leftovers(const char *name);

#endif
