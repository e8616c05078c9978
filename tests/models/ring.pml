/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The ring, its pins and its laps. Whoever copies a frame out of the ring and then finds `reclaimed` at or below its position has a
 * whole frame, the right one. No frame is overwritten that a replica pins which was not lapped.
 *
 * SIZE: frames of one size, a ring of 2, 5 entries, one follower from the start, one newcomer that pins anywhere, at most 2 laps.
 *
 * STANDS FOR: shm/ring.c ring_reclaim
 * STANDS FOR: shm/ring.c ring_reserve_slow
 * STANDS FOR: shm/ring.h ring_intact
 * STANDS FOR: shm/board.c board_pin
 * STANDS FOR: shm/board.c board_least_pin
 * STANDS FOR: shm/board.c board_lap
 *
 * MUTANT NO_SECOND_LOOK: the leader does not look at the pins again after it has raised `reclaimed`
 * MUTANT PIN_AFTER_LOOK: the newcomer looks at `reclaimed` before it pins
 * MUTANT CHECK_BEFORE_COPY: a consumer asks whether the frame is intact before it copies it
 * MUTANT RAISED_LATE: the leader raises `reclaimed` after it has begun to overwrite
 */
#define RING 2
#define ENTRIES 5
#define REPLICAS 2
#define NOWHERE 255

byte first[RING], second[RING]; /* a frame: two words, which say its index */
byte commit, reclaimed;
byte pin[REPLICAS];             /* position of a JOINING or SERVING replica; NOWHERE: it pins nothing */
bool holds[REPLICAS];           /* nobody has told this replica yet that it holds nothing */

inline least_pin(to) {
    to = NOWHERE;
    f = 0;
    do
    :: f < REPLICAS -> if :: pin[f] < to -> to = pin[f] :: else fi; f++
    :: else -> break
    od
}

active proctype Leader() {
    byte tail, need, least, before, f, laps;
    do
    :: tail < ENTRIES ->
        if
        :: tail + 1 > reclaimed + RING ->
            need = tail + 1 - RING;
wait:       least_pin(least);
            if
            :: least >= need ->
#ifndef RAISED_LATE
                before = reclaimed;
                reclaimed = need;
#ifndef NO_SECOND_LOOK
                least_pin(least);
                if
                :: least < need -> reclaimed = before; goto wait
                :: else
                fi
#endif
#endif
            :: least < need && laps < 2 -> /* it took too long */
                laps++;
                reclaimed = need;
                f = 0;
                do
                :: f < REPLICAS -> atomic { if :: pin[f] < need -> pin[f] = NOWHERE; holds[f] = false :: else fi }; f++
                :: else -> break
                od
            :: least < need && laps == 2 -> goto wait
            fi;
            assert(!(holds[0] && pin[0] < need) && !(holds[1] && pin[1] < need))
        :: else
        fi;
        first[tail % RING] = tail + 1;
        second[tail % RING] = tail + 1;
#ifdef RAISED_LATE
        if :: tail + 1 > reclaimed + RING -> reclaimed = tail + 1 - RING :: else fi;
#endif
        tail++;
        commit = tail
    :: else -> break
    od
}

/* Read on from `at` until lapped, or until all is read. */
inline consume() {
    do
    :: at < commit ->
#ifdef CHECK_BEFORE_COPY
        intact = (reclaimed <= at);
#endif
        a = first[at % RING];
        b = second[at % RING];
#ifndef CHECK_BEFORE_COPY
        intact = (reclaimed <= at);
#endif
        if
        :: intact ->
            assert(a == at + 1 && b == at + 1);
            at++;
            atomic { if :: pin[me] != NOWHERE -> pin[me] = at :: else fi }
        :: else -> atomic { pin[me] = NOWHERE; holds[me] = false }; break /* lapped */
        fi
    :: at == ENTRIES -> atomic { pin[me] = NOWHERE; holds[me] = false }; break
    od
}

active proctype Follower() {
    byte me = 0, at, a, b;
    bool intact;
    consume()
}

active proctype Newcomer() {
    byte me = 1, at, a, b;
    bool intact;
    if /* at a mark that it found: any committed position */
    :: at = 0
    :: commit >= 1 -> at = 1
    :: commit >= 2 -> at = 2
    fi;
#ifdef PIN_AFTER_LOOK
    if
    :: reclaimed <= at -> atomic { pin[me] = at; holds[me] = true }
    :: else -> goto done
    fi;
#else
    pin[me] = at;
    if
    :: atomic { reclaimed <= at && pin[me] != NOWHERE -> holds[me] = true }
    :: else -> pin[me] = NOWHERE; goto done /* it takes another */
    fi;
#endif
    consume();
done:
    skip
}

init {
    atomic { pin[1] = NOWHERE; holds[0] = true }
}
