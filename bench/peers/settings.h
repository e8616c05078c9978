/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The command line of build/bench/peers. */
#ifndef TIDEMARK_BENCH_PEERS_SETTINGS_H
#define TIDEMARK_BENCH_PEERS_SETTINGS_H

#include "bench/peers/peer.h"

#define PEER_COUNTS 8u
#define PEER_REPETITIONS 100u

enum peer_part { PART_GETS = 1, PART_PUTS = 2, PART_PAIRS = 4, PART_BESIDE = 8 };

struct peer_settings {
    uint64_t keys[PEER_COUNTS];
    uint32_t keys_n;
    uint64_t value_sizes[PEER_COUNTS];
    uint32_t value_sizes_n;
    enum bench_dist dists[2];
    uint32_t dists_n;
    uint32_t repetitions;
    uint32_t rounds; /* slices of each row in a repetition, and how long one is, where tables fit the caches */
    uint64_t slice_ns;
    unsigned chosen; /* bit k: peers[k] */
    unsigned parts;  /* of enum peer_part */
    int huge_pages;  /* for every peer's memory in this process */
    const char *json_path;
};

/* 0: go on; -1: help was shown; else an exit code, and the reason is on stderr. */
int peer_settings_parse(struct peer_settings *s, int argc, char **argv);

#endif
