/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain whose words another process changes: leader, follower, newcomer, reader, watcher and the commands of `tide`, each a process, work
 * while the caller writes into their segments. Every third domain evicts, and every third is fed, by its leader and by its follower when that
 * comes to lead. None of them may die, hang, or grow in memory.
 */
#ifndef TIDE_TESTS_SCRIBBLE_H
#define TIDE_TESTS_SCRIBBLE_H

#include <stdbool.h>
#include <stdint.h>

struct scribble_options {
    uint64_t seed;
    double seconds;
    const char *word; /* change only words whose name contains this; NULL: all words */
    bool no_leads;    /* leave out the words that say where other words lie, or how many there are */
    bool verbose;     /* print each word that is changed, and what the library says */
};

/* Run rounds, each with a domain of its own, until the time is over. 0; or 1: a process broke one of the rules above (printed). The caller
 * must have no threads. */
int scribble_run(const struct scribble_options *o);

#endif
