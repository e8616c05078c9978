/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A fed domain. Across changes of leader the log has each revision of the source once, in order. A read at bound 0 has everything that the
 * source had acknowledged when the read began, wherever that was written; readers share the questions to the source.
 *
 * SIZE: two revisions; a leader that dies at any instant and the next one; one follower; two readers with one read each; three questions.
 *
 * STANDS FOR: engine/replica/source.c source_ask
 * STANDS FOR: engine/replica/source.c source_check
 * STANDS FOR: engine/replica/source.h source_answered
 * STANDS FOR: engine/write/feed.c tide_feed_probe
 * STANDS FOR: engine/write/feed.c tide_feed_append
 * STANDS FOR: engine/write/feed.c feed_publish
 * STANDS FOR: engine/write/feed.c feed_begin
 *
 * MUTANT SHARED_EARLY: a reader takes the answer of a question that was begun before it
 * MUTANT ASKED_FIRST: the leader asks the source before it makes the question's number known
 * MUTANT DONE_FIRST: the question is called answered before the index is known that a replica must have
 * MUTANT REVISION_APART: the revision is not in the log with what was done at it
 * MUTANT FROM_COMPLETE: a new leader begins behind the revision that was complete, and not behind the last in its log
 */
#define REVISIONS 2
#define QUESTIONS 3
#define DEATHS 1

byte source;                     /* its highest revision, acknowledged to whoever wrote it */
byte content[2 * REVISIONS + 2]; /* of the log: the revision of each entry */
byte commit, holds;            /* the last entry, and the revision that the log says it holds */
byte begun, done, complete_index, complete_revision;
byte applied;
byte deaths;

active proctype Source() {
    do
    :: source < REVISIONS -> source++
    :: else -> break
    od
}

#define DIE if :: deaths < DEATHS -> deaths++; goto alive :: true fi

active proctype Leader() {
    byte own, mine, asked, answer;
alive:
#ifdef FROM_COMPLETE
    own = complete_revision;
#else
    own = holds;
#endif
    mine = begun;
    asked = 0;
end:
    do
    :: own < source -> /* an event of the watch */
        own++;
        DIE;
#ifdef REVISION_APART
        atomic { commit++; content[commit] = own };
        DIE;
        holds = own;
#else
        atomic { commit++; content[commit] = own; holds = own };
#endif
        assert(content[commit] == content[commit - 1] + 1)
    :: asked == 0 && mine < QUESTIONS ->
#ifdef ASKED_FIRST
        answer = source;
        mine++;
        begun = mine;
#else
        mine++;
        begun = mine;
        answer = source;
#endif
        asked = mine;
        DIE
    :: asked != 0 && own >= answer ->
#ifdef DONE_FIRST
        done = asked;
#endif
        complete_index = commit;
        DIE;
        complete_revision = own;
        DIE;
#ifndef DONE_FIRST
        done = asked;
#endif
        asked = 0
    od
}

active proctype Follower() {
end:
    do
    :: applied < commit -> applied++
    od
}

active [2] proctype Reader() {
    byte told, question, from, s;
    told = source; /* the read begins */
#ifdef SHARED_EARLY
    question = begun;
#else
    question = begun + 1;
#endif
    if
    :: done >= question -> /* this question's answer, or a later one's */
        from = complete_index;
        applied >= from;
        s = applied;
        assert(content[s] >= told)
    :: true /* out of time */
    fi
}
