/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes from processes that do not lead. A lane is a box in the log segment for one request at a time, owned by one process; its
 * words go back and forth between that process and the leader:
 *
 *   IDLE / ANSWERED --writer--> SUBMITTED --leader--> TAKEN --leader--> ANSWERED
 *                               SUBMITTED --writer, out of time--> CANCELLED: certainly not done
 *
 * Exactly once: the sequence number of a lane never falls, whoever owns it, and stands in every frame that a request makes; replicas
 * keep the last one applied for each lane. A new leader that finds a request SUBMITTED or TAKEN looks there: committed
 * already, then it answers with that index; otherwise it does it. So a write is neither lost nor done twice when a leader dies
 * between commit and answer.
 *
 * One request a lane instead of a ring of them keeps that argument this short; a process that writes with several threads
 * has several lanes.
 */
#ifndef TIDE_WRITE_LANE_H
#define TIDE_WRITE_LANE_H

#include "engine/log/sequencer.h"

/* ---- the writer's side --------------------------------------------------------------------------------------------- */

int lane_pool_create(struct tide *d);
void lane_pool_destroy(struct tide *d);

/* Have the leader, wherever it is, do the request: any thread, waits up to d->write_timeout_ns. Fills q->result and what
 * belongs to it. TIMEOUT and NO_LEADER: certainly not done. UNKNOWN: it may be done yet. */
int lane_write(struct tide *d, struct seq_request *q);

/* ---- the leader's side ---------------------------------------------------------------------------------------------- */

int lane_serve_start(struct tide *d);
void lane_serve_stop(struct tide *d);

#endif
