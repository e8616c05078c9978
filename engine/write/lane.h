/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes from processes that do not lead. A lane is a box in the log segment for one request. It is lent for one: a writer borrows a
 * free lane, has its request done, and gives the lane back, so that LAYOUT_LANES writes may be under way at once, whoever has written
 * before. Its words go back and forth between the borrower and the leader:
 *
 *   IDLE / ANSWERED --writer--> SUBMITTED --leader--> TAKEN --leader--> ANSWERED
 *                               SUBMITTED --writer, out of time--> CANCELLED: certainly not done
 *
 * Exactly once: the sequence number of a lane never falls, whoever borrows it, and stands in every frame that a request makes;
 * replicas keep the last one applied for each lane. A new leader that finds a request SUBMITTED or TAKEN looks there: committed
 * already, then it answers with that index; otherwise it does it. So a write is neither lost nor done twice when a leader dies
 * between commit and answer.
 *
 * A borrower that gives up, or dies, leaves no request that could be taken for the next one's. What nobody has taken is cancelled,
 * by the borrower or by whoever reaps it; a lane whose request the leader has taken is an orphan, which nobody borrows until the
 * request is answered; and the next request has the next number.
 *
 * One request a lane instead of a ring of them keeps that argument this short.
 */
#ifndef TIDE_WRITE_LANE_H
#define TIDE_WRITE_LANE_H

#include "engine/log/sequencer.h"

/* ---- the writer's side --------------------------------------------------------------------------------------------- */

/* Have the leader, wherever it is, do the request: any thread, waits up to d->write_timeout_ns, for a free lane as well. Fills q->result and
 * what belongs to it. TIMEOUT and NO_LEADER: certainly not done. UNKNOWN: it may be done yet. */
int lane_write(struct tide *d, struct seq_request *q);

/* ---- the leader's side ---------------------------------------------------------------------------------------------- */

int lane_serve_start(struct tide *d);
void lane_serve_stop(struct tide *d);

#endif
