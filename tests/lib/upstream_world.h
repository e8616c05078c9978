/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Two hosts on one cluster of etcd: each has a folder of its own for shared memory, a `tide serve --upstream`, a candidate, a process of
 * clients and one that watches. The clients record every answer, while leaders are killed, members of the cluster are killed,
 * stopped or cut off from the others, its leader changes, its log is compacted, and the hosts' links to it are slow, lose one way, or are
 * cut (tests/lib/links.h). Then the test checks:
 *
 * - reads that claim staleness 0, of both hosts, have one order (history_check_search());
 * - a read holds all that was acknowledged, on any host, before the instant that its claim says;
 * - a session holds what it has seen and written, and a token of the other host what that had;
 * - each watch tells every write once, in the order of revisions.
 */
#ifndef TIDE_TESTS_UPSTREAM_WORLD_H
#define TIDE_TESTS_UPSTREAM_WORLD_H

#include "tests/lib/etcd.h"
#include "tests/lib/history_op.h"

struct upstream_counts {
    uint64_t rounds, reads, fresh, bounded, by_token, writes, pending, failed, watched;
    uint64_t kills, member_kills, member_stops, moves, compactions, differences;
    uint64_t partitions, slow, cuts;
};

/* Run rounds for so many seconds, at least one. False: a fault, the first of which is printed. Asserts that everything can be set up. */
bool upstream_world_run(uint64_t seed, unsigned members, uint64_t seconds, bool trouble,
                        struct upstream_counts *counts);
void upstream_counts_print(const struct upstream_counts *c);

#endif
