/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Tables of one domain may differ in size; what the leader admits has to fit each of them. So the leader admits what a table of the
 * smallest budget among the replicas holds, and says that budget on its board. A newcomer with less is refused at once: it could only
 * join again and again. When the last replica of the smallest budget has gone, the leader finds out within a second, and admits more. So
 * a domain grows while it runs, by larger replicas that take the place of smaller ones; whichever of them leads meanwhile, none runs out.
 *
 * Two words, and a pair of looks in which one of two sees the other: a newcomer writes its budget into its slot, then reads the leader's
 * word; the leader writes its word, then reads all slots again before it admits more. The word never falls, but where nobody was left and
 * a smaller leader begins: a newcomer with less is about to be refused, and is not looked at.
 */
#ifndef TIDE_LOG_AGREE_H
#define TIDE_LOG_AGREE_H

#include "engine/replica/domain.h"

/* A newcomer's budget: what was asked for, or with 0 what the others have. 0 or TIDE_ERR_INVALID, and the reason as a fault. The
 * slot is claimed, and others see the budget from now on. */
int agree_join(struct replica *r, uint64_t asked_bytes, bool leads);

/* The leader's table admits what all hold. For the thread that has the sequencer's turn: when it leads, and from time to time. */
void agree_lead(struct replica *leader);

/* It leads no more: its table admits what it holds. */
void agree_unlead(struct replica *r);

#endif
