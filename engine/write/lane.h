/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes from processes that do not lead. A lane is a box in the log segment for one request. A writer borrows a free lane for
 * one request, waits until the leader has done it, and gives the lane back. So LAYOUT_LANES writes may be under way at once,
 * however many writers there are. The lane's turn word goes back and forth between borrower and leader:
 *
 *   IDLE / ANSWERED --writer--> SUBMITTED --leader--> TAKEN --leader--> ANSWERED
 *                               SUBMITTED --writer, out of time--> CANCELLED: certainly not done
 *
 * Exactly once. The sequence number of a lane never falls, whoever borrows it, and stands in every frame that a request makes;
 * every replica keeps the last number that it applied for each lane. A new leader that finds a request SUBMITTED or TAKEN looks
 * there. If the number was committed, the leader answers with that index; otherwise it does the request. So a write is neither
 * lost nor done twice when a leader dies between commit and answer.
 *
 * No leader can take an abandoned request for the next borrower's. If no leader has taken it, the borrower cancels it, or the
 * member that reaps the borrower does. If the leader has taken it, the lane becomes an orphan, which nobody borrows until the
 * request is answered. And the next request has the next number.
 *
 * One request a lane instead of a ring of them keeps this argument short.
 */
#ifndef TIDE_WRITE_LANE_H
#define TIDE_WRITE_LANE_H

#include "engine/log/sequencer.h"

/* ---- the writer's side --------------------------------------------------------------------------------------------- */

/* Have the leader, wherever it is, do the request. Any thread. Waits up to d->write_timeout_ns, for a free lane as
 * well. Fills q->result and what belongs to it. TIMEOUT and NO_LEADER: certainly not done. UNKNOWN: it may still be
 * done. */
int lane_write(struct tide *d, struct seq_request *q);

/* ---- the leader's side ---------------------------------------------------------------------------------------------- */

int lane_serve_start(struct tide *d);
void lane_serve_stop(struct tide *d);

#endif
