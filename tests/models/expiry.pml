/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A key that expires beside a write that depends on it, and beside reads. If a cas found the key there and succeeded, no linearizable read
 * ever said that this version is absent; the leader removes a version only after its expiry; and no read sees it then.
 *
 * SIZE: one version that expires at 2, a clock that goes to 4, at most two tries of a cas, the leader's removal, a leader that may die over
 * its decision, two readers of up to three looks each.
 *
 * STANDS FOR: engine/log/sequencer.h seq_decide
 * STANDS FOR: engine/log/sequencer.h seq_decided
 * STANDS FOR: engine/log/derive.c derive_is_there
 * STANDS FOR: engine/log/sequencer.c seq_find_expired
 * STANDS FOR: engine/log/sequencer.c seq_expire_some
 * STANDS FOR: engine/read/read.c read_hides
 * STANDS FOR: engine/read/read.h read_is_settled
 *
 * MUTANT NO_WORD: the leader does not say that it decides
 * MUTANT WORD_LATE: it says so after it has read the clock by which it decides
 * MUTANT CLEARED_EARLY: it takes the word back before the commit
 * MUTANT NO_SECOND_COMMIT: a read does not look whether anything was committed since its index
 * MUTANT COMMIT_FIRST: a read looks at `commit` before it looks at the word
 * MUTANT LOOK_BEFORE_CLOCK: a read looks at the two words before it reads the clock
 * MUTANT REMOVED_EARLY: the leader removes what expires soon
 */
#define EXPIRY 2
#define LAST 4

byte clock = 1, commit = 1, deciding;
byte state_of[5] = 1; /* by index; 1: the version that expires; 2: another that does not; 0: removed */
bool succeeded, absent, died;

active proctype Time() {
    do
    :: clock < LAST -> clock++
    :: else -> break
    od
}

active proctype Leader() {
    byte n, tries;
    do
    :: tries < 2 && state_of[commit] == 1 -> /* a cas that expects version 1 */
        tries++;
        n = clock;
        if
        :: n < EXPIRY ->
#ifndef NO_WORD
#ifndef WORD_LATE
            deciding = n;
#endif
#endif
            n = clock;
#ifdef WORD_LATE
            deciding = n;
#endif
            if
            :: !died -> died = true; deciding = 0 /* the next leader: the decision is void */
            :: true ->
                if
                :: n < EXPIRY ->
#ifdef CLEARED_EARLY
                    deciding = 0;
#endif
                    atomic {
                        state_of[commit + 1] = 2;
                        commit++;
                        succeeded = true;
                        assert(!absent)
                    }
                :: else
                fi;
                deciding = 0
            fi
        :: else
        fi
#ifdef REMOVED_EARLY
    :: state_of[commit] == 1 && clock + 1 >= EXPIRY ->
#else
    :: state_of[commit] == 1 && clock >= EXPIRY ->
#endif
        atomic { assert(clock >= EXPIRY); state_of[commit + 1] = 0; commit++ } /* an entry of the log */
    :: state_of[commit] != 1 || (tries == 2 && clock == LAST) -> break
    od
}

active [2] proctype Reader() {
    byte looks, s, t, again, word;
    do
    :: looks < 3 ->
        looks++;
        s = commit;
        if
        :: state_of[s] == 1 ->
#ifdef LOOK_BEFORE_CLOCK
            word = deciding;
            again = commit;
#endif
            t = clock;
            if
            :: t >= EXPIRY ->
#ifndef LOOK_BEFORE_CLOCK
#ifdef COMMIT_FIRST
                again = commit;
                word = deciding;
#else
                word = deciding;
                again = commit;
#endif
#endif
#ifdef NO_SECOND_COMMIT
                again = s;
#endif
                if
                :: again == s && (word == 0 || word >= t) -> atomic { absent = true; assert(!succeeded) }; break
                :: else /* once more, at a newer index */
                fi
            :: else -> break /* it is seen */
            fi
        :: else -> break
        fi
    :: else -> break
    od
}
