/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A follower's thread, as those who start, stop and take over see it. All under d->control, but for follower_await(). */
#ifndef TIDE_LIFE_FOLLOWER_H
#define TIDE_LIFE_FOLLOWER_H

#include "engine/replica/replica.h"

/* Start the thread, which joins first where the replica is not exact. 0 or TIDE_ERR_NOMEM. */
int follower_start(struct replica *r);

/* Wait until a thread that was started serves or has failed. Any thread, with or without d->control. */
void follower_await(struct replica *r);

/* After follower_await(): 0, or why it failed; then the thread has ended. */
int follower_error(struct replica *r);

/* All three, where no thread runs; where one does, the last two. */
int follower_resume(struct replica *r);

/* End the thread, where one runs, and wait for its end. */
void follower_end(struct replica *r);

#endif
