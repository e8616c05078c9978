/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A reader of another process, which nobody waits for: what it takes for a key's value at index S is that, although memory is used again
 * at once, for other keys' nodes and for bytes that imitate a node of this key.
 *
 * SIZE: one key in one slot, three writes; two nodes' places, one on a page that comes to hold other bytes and nodes again; one reader
 * with two reads.
 *
 * STANDS FOR: engine/replica/foreign.c foreign_find
 * STANDS FOR: engine/replica/foreign.c foreign_version
 * STANDS FOR: engine/replica/foreign.c foreign_take
 * STANDS FOR: engine/replica/foreign.h foreign_load
 * STANDS FOR: engine/replica/foreign.h foreign_whole
 * STANDS FOR: engine/replica/foreign.h foreign_in_slot
 * STANDS FOR: engine/table/arena.c arena_reuse
 * STANDS FOR: engine/table/table_slots.h table_node_begin
 *
 * MUTANT NO_PAGE_WORD: the reader does not look at the page's word
 * MUTANT PAGE_WORD_LATE: it loads the page's word after it has looked at the slot again
 * MUTANT NO_SECOND_SLOT: it does not look whether the slot still leads to the node
 * MUTANT NO_SECOND_INDEX: it does not look whether the index is still the same
 * MUTANT NO_REUSED: it follows a link although memory came to another use since it loaded S
 * MUTANT PAGE_WORD_FIRST: the writer changes the page's word before the one that counts all of them
 * MUTANT USED_BEFORE_WORD: the writer writes other bytes before it changes the page's word
 */
#define OTHER 77 /* bytes that are not this key's value */

byte index[3], value[3], prev[3]; /* places 1 and 2 */
byte page[3];                     /* the word of the place's page */
byte reused;                      /* changes with each of these words */
byte slot, applied;

inline fill(n, i, old) { /* a node of the key */
    index[n] = 0;
    value[n] = i;
    prev[n] = old;
    index[n] = i;
    slot = n;
    applied = i
}

inline other_use(n) { /* the page serves another size from now on: its old use is over */
#ifdef PAGE_WORD_FIRST
    page[n]++;
    reused++
#else
    reused++;
    page[n]++
#endif
}

active proctype Writer() {
    byte k;
    fill(1, 1, 0);
    fill(2, 2, 1);
#ifdef USED_BEFORE_WORD
    index[1] = 1;
    value[1] = OTHER;
    other_use(1);
#else
    other_use(1);
    /* A value lies there now, whose bytes look like a node of the key with an index that a reader believes. */
    value[1] = OTHER;
    if
    :: index[1] = 1
    :: index[1] = 2
    fi;
    prev[1] = 0;
#endif
    /* The page holds nodes again, one of them the key's. */
    other_use(1);
    fill(1, 3, 2);
    /* Place 2 is the node of another key now, which is whole: its index is that of its write. */
    index[2] = 0;
    value[2] = OTHER;
    index[2] = 4
}

active proctype Reader() {
    byte s, n, seen, i, v, p, again, before, reads;
    do
    :: reads < 2 ->
        before = reused;
        s = applied;
        n = slot;
        if :: n == 0 -> goto lost :: else fi;
#ifndef PAGE_WORD_LATE
        seen = page[n];
#endif
        i = index[n];
        p = prev[n];
        if :: i == 0 -> goto lost :: else fi;
#ifndef NO_SECOND_SLOT
        again = slot;
        if :: again != n -> goto lost :: else fi;
#endif
#ifdef PAGE_WORD_LATE
        seen = page[n];
#endif
#ifndef NO_SECOND_INDEX
        if :: index[n] != i -> goto lost :: else fi; /* the key was compared meanwhile */
#endif
#ifndef NO_PAGE_WORD
        if :: page[n] != seen -> goto lost :: else fi;
#endif
        if
        :: i > s -> /* the older version */
            n = p;
            if :: n == 0 -> goto lost :: else fi;
#ifndef NO_PAGE_WORD
            seen = page[n];
#endif
            i = index[n];
#ifndef NO_REUSED
            if :: reused != before -> goto lost :: else fi;
#endif
            if :: i == 0 || i > s -> goto lost :: else fi
        :: else
        fi;
        v = value[n];
#ifndef NO_SECOND_INDEX
        if :: index[n] != i -> goto lost :: else fi;
#endif
#ifndef NO_PAGE_WORD
        if :: page[n] != seen -> goto lost :: else fi;
#endif
        assert(v == s);
lost:   reads++
    :: else -> break
    od
}
