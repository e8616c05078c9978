/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A bucket is split while the key that it moves is written and read. A section finds the version of its index in the bucket that its
 * number of buckets names; no slot leads to a node that was replaced; a reader of another process, for which nobody waits, believes that a key is not there only where no slot was
 * cleared and no bucket was split since before it loaded its index.
 *
 * SIZE: one key, put at 1 and 2 and deleted at 3; one split, at any instant; a reader of each kind with two reads. Nodes are not used again:
 * versions.pml and foreign.pml are about that.
 *
 * STANDS FOR: engine/table/table.c table_split
 * STANDS FOR: engine/table/table.c table_clear_split
 * STANDS FOR: engine/table/table.c table_twin_of
 * STANDS FOR: engine/table/table.c table_replace_twins
 * STANDS FOR: engine/table/table_slots.h table_reorganise
 * STANDS FOR: engine/replica/foreign.c foreign_quiet
 *
 * MUTANT BUCKETS_FIRST: the number of buckets grows before the new bucket is filled
 * MUTANT CLEARED_EARLY: the old bucket is cleared without a grace period
 * MUTANT NO_TWIN: a write replaces the node in one of the two buckets alone
 * MUTANT NOT_ODD: the writer does not say that it clears slots
 * MUTANT EPOCH_LATE: the other process's reader loads that word after its index
 */
byte bucket[2]; /* the version that the key's slot leads to, 0: none; its link leads to the one before */
byte buckets = 1, applied, reorganised;
bool inside, waits, waits_tomb;

inline reorganise() {
#ifndef NOT_ODD
    reorganised++
#else
    skip
#endif
}

inline put(i) {
    if
    :: buckets == 1 -> bucket[0] = i
    :: buckets == 2 -> bucket[1] = i;
#ifndef NO_TWIN
        if :: !cleared && bucket[0] != 0 -> bucket[0] = i :: else fi
#endif
    fi;
    applied = i
}

active proctype Writer() {
    byte i = 1;
    bool cleared, gone;
    do
    :: i <= 2 -> put(i); i++
    :: i == 3 -> /* the node stays in its slots, marked, until a grace period has ended */
        applied = 3;
        waits_tomb = inside;
        i++
    :: i > 1 && buckets == 1 ->
#ifdef BUCKETS_FIRST
        buckets = 2;
        bucket[1] = bucket[0];
#else
        bucket[1] = bucket[0];
        buckets = 2;
#endif
        waits = inside
#ifdef CLEARED_EARLY
    :: buckets == 2 && !cleared ->
#else
    :: buckets == 2 && !cleared && !waits ->
#endif
        assert(bucket[0] == 0 || bucket[0] == (i > 2 -> 2 : i - 1)); /* its key is hashed: it must be a node still */
        reorganise();
        bucket[0] = 0;
        reorganise();
        cleared = true
    :: i > 3 && !gone && !waits_tomb ->
        reorganise();
        bucket[0] = 0;
        bucket[1] = 0;
        reorganise();
        gone = true
    :: i > 3 && cleared && gone -> break
    od
}

/* Of this process: in a section. */
active proctype Local() {
    byte reads, s, n, v;
    do
    :: reads < 2 ->
        inside = true;
        s = applied;
        n = buckets;
        v = bucket[n - 1];
        assert(s == 0 || s == 3 || v >= s); /* a version of s or later, whose links lead to that of s */
        atomic { inside = false; waits = false; waits_tomb = false };
        reads++
    :: else -> break
    od
}

/* Of another process. */
active proctype Foreign() {
    byte reads, s, n, v, before;
    do
    :: reads < 2 ->
#ifndef EPOCH_LATE
        before = reorganised;
#endif
        s = applied;
        n = buckets;
#ifdef EPOCH_LATE
        v = bucket[n - 1];
        before = reorganised;
#else
        v = bucket[n - 1];
#endif
        if
        :: v != 0 -> assert(s == 3 || v >= s)
        :: else -> /* not found: believed where nothing moved */
            if
            :: before % 2 == 0 && reorganised == before && buckets == n -> assert(s == 0 || s == 3)
            :: else
            fi
        fi;
        reads++
    :: else -> break
    od
}
