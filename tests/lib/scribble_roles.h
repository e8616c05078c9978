/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes of a domain whose words are changed: tests/lib/scribble.h. Each works until it is told to stop. */
#ifndef TIDE_TESTS_SCRIBBLE_ROLES_H
#define TIDE_TESTS_SCRIBBLE_ROLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/tidemark.h"

#define SCRIBBLE_TABLE_BYTES (1u << 20)

/* TOOLS runs the commands of `tide`, one after the other; it opens no domain itself. */
enum scribble_role { LEADER, FOLLOWER, NEWCOMER, READER, WATCHER, TOOLS, ROLES };

/* What the processes tell one another. */
struct scribble_shared {
    _Atomic uint32_t stop, served;
    struct {
        _Atomic uint64_t steps;
        _Atomic(const char *) where; /* the same address in all: they are children of one process */
    } roles[ROLES];
};

struct scribble_scene {
    struct scribble_shared *shared;
    char name[TIDE_NAME_MAX + 1];
    bool evicts; /* the domain does */
    bool fed;    /* the domain takes its entries from a source: leader and follower each run a feed */
    bool verbose;
    const char *without; /* TOOLS: leaves out commands that begin so; NULL: none */
    uint64_t random;
};

const char *scribble_role_name(int role);
/* Work in this role until `stop` is set. False (TOOLS): a command died, grew, or ended with a code that no command has. */
bool scribble_run_role(struct scribble_scene *s, int role);

uint64_t scribble_draw(uint64_t *state);
void scribble_nap(uint64_t ns);

#endif
