/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A long run of everything at once: two domains, one that evicts and one that refuses, with leaders, followers, newcomers, writers through
 * lanes, readers of other processes, sections, watchers, commands. Load and sizes vary, processes are killed and stopped. It is about
 * what grows: tests/lib/soak.c measures, tests/lib/soak_roles.c is what the processes do.
 */
#ifndef TIDE_TESTS_SOAK_H
#define TIDE_TESTS_SOAK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/tidemark.h"

#define SOAK_SLOTS 28u
#define SOAK_DOMAINS 2u

enum { SOAK_REFUSES, SOAK_EVICTS };

struct soak_slot {
    _Atomic uint64_t beats;  /* steps of its process */
    _Atomic uint64_t writes; /* that were done */
    _Atomic uint64_t reads;
    pid_t pid; /* for the driver; 0: nobody */
    bool stopped;
    uint64_t beats_seen, beats_ns; /* when they last changed */
};

struct soak_world {
    char name[SOAK_DOMAINS][TIDE_NAME_MAX + 1];
    _Atomic uint32_t load;     /* 0 none to 100 */
    _Atomic uint32_t failures; /* what must not be was seen */
    _Atomic uint64_t refused;  /* writes that were certainly not done, or may have been */
    struct soak_slot slots[SOAK_SLOTS];
};

struct soak_options {
    double hours;
    uint64_t seed;
    const char *json; /* a file for the whole, or NULL */
};

typedef void soak_role(struct soak_world *w, uint32_t slot, uint32_t domain, uint64_t seed);

/* A replica that leads, or takes over; a follower that never does. Both write and read as well. */
soak_role soak_node, soak_follower;
/* Writes through lanes; reads other processes' replicas; keeps sections open; watches; collects garbage, verifies, asks to step down. */
soak_role soak_writer, soak_reader, soak_sections, soak_watcher, soak_janitor;
/* Opens, starts a replica, reads, closes, and begins anew, in one process. */
soak_role soak_comer;
/* The command, again and again. */
soak_role soak_commands;

/* Something that must not be. Any process. */
void soak_fail(struct soak_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Run it. Returns the exit status: 0: nothing grew, nothing failed; 1: something. */
int soak_run(const struct soak_options *o);

#endif
