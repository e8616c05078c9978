/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of build/bench/peers. */
#ifndef TIDEMARK_BENCH_PEERS_SETTINGS_H
#define TIDEMARK_BENCH_PEERS_SETTINGS_H

#include "bench/peers/peer.h"

#define PEER_REPETITIONS 100u

enum peer_part { PART_GETS = 1, PART_PUTS = 2, PART_PAIRS = 4, PART_BESIDE = 8 };

struct peer_settings {
    const char *name, *about; /* of the program */
    const struct peer *const
        *peers; /* PEERS of them, in the order of their rows; NULL where there are fewer. The program's
                                      * list: one that names few links none of the others' libraries */
    struct bench_counts keys, value_sizes;
    unsigned dists; /* a bit for each enum bench_dist */
    uint32_t repetitions;
    uint32_t rounds; /* slices of each row in a repetition, and how long one is, where tables fit the caches */
    uint64_t slice_ns;
    unsigned chosen; /* bit k: peers[k] */
    unsigned parts;  /* of enum peer_part */
    int huge_pages;  /* for every peer's memory in this process */
    int cost;        /* getcost: what a get costs, in more rows and against the plain table */
    int quick, check;
    const char *json_path;
};

/* What peers does with this list where nothing is said. */
void peer_settings_default(struct peer_settings *s, const struct peer *const list[PEERS]);

/* Over what stands there. -1: go on; else the exit code: help or what is wrong has been printed. */
int peer_settings_parse(struct peer_settings *s, int argc, char **argv);

#endif
