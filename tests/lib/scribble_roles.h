/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The processes of a domain whose words are changed: tests/lib/scribble.h. Each works until it is told to stop. */
#ifndef TIDE_TESTS_SCRIBBLE_ROLES_H
#define TIDE_TESTS_SCRIBBLE_ROLES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/tidemark.h"

#define SCRIBBLE_TABLE_BYTES (1u << 20)

/* TOOLS runs the commands of `tide`, one after the other; it is no process of the domain itself. */
enum scribble_role { LEADER, FOLLOWER, NEWCOMER, READER, WATCHER, TOOLS, ROLES };

/* What the processes tell each other. */
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
    bool fed;    /* it takes its entries from a source: leader and follower have a feed each */
    bool verbose;
    uint64_t random;
};

const char *scribble_role_name(int role);
/* Be this role. Returns when `stop` is set, or (TOOLS) at a command that died, grew, or answered what no command answers: then false. */
bool scribble_run_role(struct scribble_scene *s, int role);

uint64_t scribble_draw(uint64_t *state);
void scribble_nap(uint64_t ns);

#endif
