/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A read that looks at `commit` and finds its replica at or beyond it is linearizable: it has every write that was acknowledged before
 * it began. The leader's store of `commit` may linger in its core's store buffer, which only the barrier empties (x86-64's memory order;
 * the other stores are taken as seen at once, which no claim here leans on).
 *
 * SIZE: 3 writes, one follower, two readers with two reads each.
 *
 * STANDS FOR: shm/ring.h ring_commit
 * STANDS FOR: shm/board.h board_commit
 * STANDS FOR: shm/board.h board_applied
 * STANDS FOR: engine/log/sequencer.c seq_tell
 * STANDS FOR: engine/log/sequencer.c seq_flush
 *
 * MUTANT NO_BARRIER: the caller is told before the store buffer is empty
 * MUTANT EARLY_ANSWER: the caller is told before the commit
 * MUTANT OLD_COMMIT: the reader uses a `commit` that it loaded before it began
 */
#define WRITES 3

byte commit, buffered; /* buffered: what the leader's core has stored and nobody sees yet; 0: nothing */
byte applied;          /* of the follower's replica */
byte acknowledged;     /* what a caller has been told, at this instant */

active proctype Leader() {
    byte i = 1;
    do
    :: i <= WRITES ->
#ifdef EARLY_ANSWER
        acknowledged = i;
#endif
        if /* an older store leaves the buffer first */
        :: buffered != 0 -> atomic { commit = buffered; buffered = i }
        :: else -> buffered = i
        fi;
#ifndef NO_BARRIER
        atomic { if :: buffered != 0 -> commit = buffered; buffered = 0 :: else fi };
#endif
        acknowledged = i;
        i++
    :: else -> break
    od
}

active proctype Buffer() { /* stores leave the buffer whenever they like */
end:
    do
    :: atomic { buffered != 0 -> commit = buffered; buffered = 0 }
    od
}

active proctype Follower() {
end:
    do
    :: applied < commit -> applied++
    od
}

active [2] proctype Reader() {
    byte told, c, s, n;
    do
    :: n < 2 ->
#ifdef OLD_COMMIT
        c = commit;
        told = acknowledged;
#else
        told = acknowledged; /* the read begins */
        c = commit;
#endif
        s = applied;
        assert(s < c || s >= told);
        n++
    :: else -> break
    od
}
