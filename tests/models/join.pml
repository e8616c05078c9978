/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A newcomer copies its donor's table bucket by bucket and applies the log meanwhile. What it holds at any instant is a part of the state
 * that the log had at its index, and in the end it is that state.
 *
 * SIZE: two keys in two buckets; a log of puts and deletes of 5 entries, of every kind and order (chosen by the search); a newcomer that
 * begins at index 1; its donor is up to 4 entries ahead.
 *
 * STANDS FOR: engine/life/join.c join_some
 * STANDS FOR: engine/life/join.c join_copy_all
 * STANDS FOR: engine/life/join_quick.c join_quick_slot
 * STANDS FOR: engine/life/join.c join_put_local
 * STANDS FOR: engine/life/join.c join_put_foreign
 * STANDS FOR: engine/table/table.c table_publish_rest
 *
 * MUTANT COPY_NEWER: nodes that are newer than what the newcomer has applied are copied too
 * MUTANT AHEAD_OF_DONOR: the newcomer applies the log beyond what its donor has applied
 * MUTANT NOT_PASSED: the newcomer pins a position that its donor has not passed
 */
#define ENTRIES 5

#ifdef COPY_NEWER
#define NOT_NEWER true
#else
#define NOT_NEWER (node <= own_applied)
#endif

byte key_of[ENTRIES + 1];
bool puts[ENTRIES + 1];
byte commit;
byte donor[2], donor_applied; /* the version of each key, 0: not there */
byte own[2], own_applied;

inline state_at(s, k, out) { /* the version of key k in the state of index s */
    d_step {
        out = 0;
        t = 1;
        do
        :: t <= s -> if :: key_of[t] == k -> out = (puts[t] -> t : 0) :: else fi; t++
        :: else -> break
        od;
        t = 0
    }
}

active proctype Leader() {
    byte i = 1;
    do
    :: i <= ENTRIES ->
        atomic {
            if :: key_of[i] = 0 :: key_of[i] = 1 fi;
            if :: puts[i] = true :: puts[i] = false fi;
            commit = i;
            i++
        }
    :: else -> break
    od
}

active proctype Donor() {
    byte e;
    do
    :: donor_applied < commit ->
        e = donor_applied + 1;
        donor[key_of[e]] = (puts[e] -> e : 0);
        donor_applied = e
    :: donor_applied == ENTRIES -> break
    od
}

inline apply_one() {
    e = own_applied + 1;
    own[key_of[e]] = (puts[e] -> e : 0);
    own_applied = e
}

inline check() { /* no key has a version that the state of own_applied does not have */
    state_at(own_applied, 0, was);
    assert(own[0] == 0 || own[0] == was);
    state_at(own_applied, 1, was);
    assert(own[1] == 0 || own[1] == was)
}

active proctype Newcomer() {
    byte e, was, t, b, node, passed;
#ifdef NOT_PASSED
    commit >= 2;
    own_applied = 2;
#else
    donor_applied >= 1;
    own_applied = 1; /* the pin: the donor has passed it */
#endif
    do
    :: b < 2 ->
        passed = donor_applied;
        node = donor[b];
        if
        :: node != 0 && NOT_NEWER && node > own[b] -> own[b] = node
        :: else
        fi;
        check();
        b++;
        do /* between two buckets: the log, as far as the donor was before the copy, or less */
#ifdef AHEAD_OF_DONOR
        :: own_applied < commit -> apply_one(); check()
#else
        :: own_applied < passed -> apply_one(); check()
#endif
        :: break
        od
    :: else -> break
    od;
    do
    :: own_applied < commit -> apply_one(); check()
    :: own_applied == ENTRIES -> break
    od;
    state_at(ENTRIES, 0, was);
    assert(own[0] == was);
    state_at(ENTRIES, 1, was);
    assert(own[1] == was)
}
