/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes of other processes, across changes of leader: a request whose borrower was told "done" was done once; one that was cancelled was
 * never done; one of which nothing is known was done once or not at all.
 *
 * SIZE: one lane, three requests one after the other, leaders that die twice, at any instant.
 *
 * STANDS FOR: engine/write/lane_server.c lane_take
 * STANDS FOR: engine/write/lane_work.c lane_answer
 * STANDS FOR: engine/log/lane_notes.c lane_note
 * STANDS FOR: engine/log/lane_notes.c lane_leave
 *
 * MUTANT NO_NOTE: a new leader does not look whether the log has the request already
 * MUTANT NOTE_APART: the note is not in the frame that does the request
 * MUTANT CANCEL_TAKEN: a borrower that is out of time cancels a request that a leader has taken
 * MUTANT SAME_NUMBER: the next borrower takes the same number
 */
#define REQUESTS 3
mtype = { IDLE, SUBMITTED, TAKEN, ANSWERED, CANCELLED };

mtype phase = IDLE;
byte number;               /* of the lane's turn word, together with the phase: one word */
byte done[REQUESTS + 1];   /* how often the log did what this borrower asked for */
byte asked[REQUESTS + 1];  /* the borrower whose request has this number */
byte wants;                /* what is in the lane: which borrower's request */
byte note;                 /* the last number that the log has for this lane */
byte deaths;
bool over;

active proctype Leader() {
    byte seq, what;
alive:
    do
    :: over -> break
    :: atomic { phase == SUBMITTED || phase == TAKEN -> seq = number };
        if
        :: atomic { phase == SUBMITTED && number == seq -> phase = TAKEN }
        :: phase == TAKEN && number == seq
        :: else -> goto alive
        fi;
        if :: deaths < 2 -> deaths++; goto alive :: skip fi;
        what = wants; /* the request is copied */
#ifndef NO_NOTE
        if
        :: note >= seq -> goto answer
        :: else
        fi;
#endif
        if :: deaths < 2 -> deaths++; goto alive :: skip fi;
#ifdef NOTE_APART
        done[what]++;
        if :: deaths < 2 -> deaths++; goto alive :: skip fi;
        note = seq;
#else
        atomic { done[what]++; note = seq }; /* one frame, committed */
#endif
        if :: deaths < 2 -> deaths++; goto alive :: skip fi;
answer: atomic { phase = ANSWERED; number = seq }
    od
}

active proctype Borrowers() {
    byte who = 1, seq;
    do
    :: who <= REQUESTS ->
#ifdef SAME_NUMBER
        seq = 1;
#else
        seq = number + 1;
#endif
        wants = who;
        atomic { number = seq; phase = SUBMITTED };
        if
        :: phase == ANSWERED -> assert(done[who] == 1) /* told: done */
        :: true -> /* out of time */
            if
#ifdef CANCEL_TAKEN
            :: atomic { phase == SUBMITTED || phase == TAKEN -> phase = CANCELLED }; assert(done[who] == 0)
#else
            :: atomic { phase == SUBMITTED -> phase = CANCELLED }; assert(done[who] == 0) /* told: not done */
#endif
            :: phase == ANSWERED -> assert(done[who] == 1)
            :: phase == TAKEN -> phase == ANSWERED /* told: unknown. Nobody borrows the lane until it is answered */
            fi
        fi;
        assert(done[who] <= 1);
        if
        :: phase == CANCELLED -> asked[who] = 1
        :: else
        fi;
        who++
    :: else -> break
    od;
    over = true;
    assert(done[1] <= 1 && done[2] <= 1 && done[3] <= 1);
    assert(!(asked[1] && done[1]) && !(asked[2] && done[2]) && !(asked[3] && done[3]))
}
