/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Compaction moves live nodes, so that memory which is free in small pieces serves nodes of any size. A node is moved as a put would
 * replace it, except that the copy keeps the index: the slot publishes the copy, and the old node is freed a grace period later.
 * Readers see the same version at the same index, whichever of the two they find.
 *
 * Why a table can hold whatever its sum admits (live + transit <= limit, engine/table/arena.h). Assume that nothing waits for a
 * grace period:
 *
 *   1. Spans. As long as a class has as many free nodes as a page holds, its sparsest span can be emptied into its other spans. That
 *      takes no more memory, and frees a page. When no class has that many, each class c has n(c) / each(c) pages, rounded up: its
 *      part of `live`, in pages, and less than one page more. `limit` leaves out that page for every class.
 *   2. The zone has used blocks and holes. Take the highest hole and the block below it. If the block fits into the hole, it is moved
 *      up. If not, it is moved aside, which enlarges the hole by the whole block, and from there to the upper end of the hole. Either
 *      way the hole is lower afterwards. In the end all holes are one, at the lower end, and its pages are free.
 *   3. Moving aside takes a free run as large as the block, below the zone. A span in the way moves into a page that is free elsewhere.
 *      The free pages suffice for that: transit is the largest block, and counts beside `live`.
 *   4. So a table that is compacted as far as possible has free at least: limit - live - transit, the transit itself, and `spare`. A
 *      node that is admitted finds its page or its run there, even before the node that it replaces is freed.
 *
 * Hence the room that is kept for moves has to be there whenever a move needs it. Once compaction is exhausted, the write that waited may take a
 * part of it for a node, whose predecessor then leaves a hole at least as large: the new node is the zone's lowest block, and is moved there first
 * (compact_lowest()). The permission ends with that write: compact_placed().
 *
 * Each step ends, and so do all of them together: spans become fewer, holes lower. Where a step needs memory that waits for a grace
 * period, that period comes between. No step is needed while free nodes are at hand: a table with values of one size never moves one.
 *
 * That holds where every node can be moved: while table_drain() compacts, all nodes are published, and none that was deleted or replaced is left.
 * Where another process has changed a node's words, it stays where it is, and step 3 could take other nodes out of its page as often as step 1
 * puts them back. So a page that could not be emptied for the zone is not tried again before the next table_drain().
 *
 * Apply and the sequencer try again as long as table_drain() has released something, or has moved something, or lets one node use the reserve. They
 * end as well. Entries that wait add nothing that could be released. Each try asks for twice as much (`demand`), until that is all there is;
 * then a few more tries may follow, and no more, whatever is still moved (compact_hopes()). Without that limit two nodes of a batch
 * that no leader admitted could take the reserve from each other for ever, and nodes that cannot be moved let the same moves be made anew with each try.
 */
#ifndef TIDE_TABLE_COMPACT_H
#define TIDE_TABLE_COMPACT_H

#include "engine/table/table.h"

/* Pages that could not be emptied are tried again. */
void compact_begin(struct table_writer *w);

/* Once a try has asked for all memory that there is, so many more may follow: each of a batch's nodes may be the one that finds no room. */
#define COMPACT_ALL_TRIES 4u

/* Another try for the node that was wanted last, after those since a node was placed: may it succeed, if something is moved for it? */
bool compact_hopes(struct arena *a);

/* Move nodes to make room for the node that was wanted last. Call it while nothing waits for a grace period. Returns
 * how many nodes were moved: the next grace period frees their old memory. Call it again until it returns 0. */
uint32_t compact_for_wanted(struct table_writer *w);

/* A write has its memory, or none. If it had to wait, what it was allowed to take, the reserve for moves, nobody after it is. */
static inline void compact_placed(struct table_writer *w) {
    w->arena.demand = w->arena.asked_all = 0;
    w->arena.exhausted = false;
}

/* While pages run low, move a few nodes of a sparse span with each publication. */
void compact_step_slow(struct table_writer *w);
static inline void compact_step(struct table_writer *w) {
    if (__builtin_expect((w->arena.credit | w->arena.demand) != 0, 0)) {
        compact_step_slow(w);
    }
}

#endif
