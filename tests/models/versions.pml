/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Versions of a key and the memory they lie in, for readers of the table's own process: a section that loaded `applied` = S finds the
 * version of S, whole, however soon memory is used again. Rule 1: `applied` reaches i before the grace period starts for what entry i
 * replaced. Rule 2: a deleted node leaves its bucket after one grace period and is used again after another.
 *
 * SIZE: one key, entries put, put, delete, put, put; three nodes; two readers, one with two sections and one with one. What a grace period waits for is
 * exact: the sections that were open when it began.
 *
 * STANDS FOR: engine/table/table_slots.h table_publish
 * STANDS FOR: engine/table/table_slots.h table_swap
 * STANDS FOR: engine/table/table_slots.h table_swap_at
 * STANDS FOR: engine/table/table.c table_clear_tomb
 * STANDS FOR: engine/table/table.c table_clear_hinted
 * STANDS FOR: engine/table/visible.h visible_at
 * STANDS FOR: engine/replica/replica.h replica_advance
 *
 * MUTANT PERIOD_FIRST: the grace period starts before `applied` is published
 * MUTANT NO_PERIOD: memory is used again at once
 * MUTANT SLOT_FIRST: the slot leads to the node before it is filled
 * MUTANT ONE_PERIOD: a deleted node is used again as soon as it has left its bucket
 * MUTANT NO_LINK: a new version has no link to the one before
 */
#define ENTRIES 5
#define NODES 4 /* 0: none */
#define READERS 2
#define FREE 99

byte index[NODES], deleted[NODES], value[NODES], prev[NODES];
byte slot, applied;
bool inside[READERS];
bool waits[NODES * READERS]; /* node n is not free before reader r's section has ended */
byte tomb;                   /* a deleted node that has not left its bucket; 0: none */
bool limbo[NODES];
bool used[NODES];

/* The value at index S; 0: deleted, or not there yet. */
#define TRUTH(s) ((s) == 3 -> 0 : (s))

inline start_period(n) {
    atomic {
        waits[n * READERS] = inside[0];
        waits[n * READERS + 1] = inside[1];
        limbo[n] = true
    }
}
#define ENDED(n) (!waits[(n) * READERS] && !waits[(n) * READERS + 1])

inline retire(n) {
#ifdef NO_PERIOD
    used[n] = false
#else
    start_period(n)
#endif
}

inline take() { /* a node that is free: those whose grace period has ended are */
    do
    :: atomic { !used[1] -> fresh = 1; used[1] = true }; break
    :: atomic { !used[2] -> fresh = 2; used[2] = true }; break
    :: atomic { !used[3] -> fresh = 3; used[3] = true }; break
    :: else -> skip
    od;
    index[fresh] = 0;
    value[fresh] = FREE; /* its bytes are being written */
    deleted[fresh] = 0
}

active proctype Writer() {
    byte i = 1, fresh, old;
    do
    :: i <= ENTRIES && i != 3 ->
        take();
        old = slot;
#ifdef SLOT_FIRST
        slot = fresh;
#endif
        value[fresh] = i;
#ifdef NO_LINK
        prev[fresh] = 0;
#else
        prev[fresh] = old;
#endif
        index[fresh] = i;
        slot = fresh;
        if
        :: old != 0 ->
            atomic { if :: tomb == old -> tomb = 0 :: else fi }; /* its slot was taken over: it is retired like any other */
#ifdef PERIOD_FIRST
            retire(old);
            applied = i
#else
            applied = i;
            retire(old)
#endif
        :: else -> applied = i
        fi;
        i++
    :: i == 3 ->
        old = slot;
        deleted[old] = 3;
        applied = 3;
        atomic { tomb = old; waits[old * READERS] = inside[0]; waits[old * READERS + 1] = inside[1] };
        i++
    :: i > ENTRIES -> break
    :: tomb != 0 && ENDED(tomb) -> /* between two entries */
        old = tomb;
        tomb = 0;
        slot = 0;
#ifdef ONE_PERIOD
        used[old] = false
#else
        retire(old)
#endif
    od
}

active proctype Grace() {
end:
    do
    :: atomic { limbo[1] && ENDED(1) -> limbo[1] = false; used[1] = false }
    :: atomic { limbo[2] && ENDED(2) -> limbo[2] = false; used[2] = false }
    :: atomic { limbo[3] && ENDED(3) -> limbo[3] = false; used[3] = false }
    od
}

active [READERS] proctype Reader() {
    byte me, s, n, i, d, v, sections;
    me = _pid - 2;
    do
    :: sections < 2 - me ->
        inside[me] = true;
        s = applied;
        n = slot;
        v = 0;
        do
        :: n == 0 -> break
        :: else ->
            i = index[n];
            d = deleted[n];
            if
            :: i > s -> n = prev[n]
            :: i <= s && d != 0 && d <= s -> break
            :: else -> v = value[n]; break
            fi
        od;
        assert(v == TRUTH(s));
        atomic {
            inside[me] = false;
            waits[READERS + me] = false;
            waits[2 * READERS + me] = false;
            waits[3 * READERS + me] = false
        };
        sections++
    :: else -> break
    od
}
