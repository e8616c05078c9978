/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A follower's thread, for callers that start it, stop it, or take over. All under d->control, except
 * follower_await(). */
#ifndef TIDE_LIFE_FOLLOWER_H
#define TIDE_LIFE_FOLLOWER_H

#include "engine/replica/replica.h"

/* Start the thread of a new replica, which joins first. 0 or TIDE_ERR_NOMEM. */
int follower_start(struct replica *r);

/* Wait until a thread that was started serves or has failed. Any thread, with or without d->control. */
void follower_await(struct replica *r);

/* After follower_await(): 0, or why it failed; then the thread has ended. */
int follower_error(struct replica *r);

/* A replica that served before: start the thread again where none runs. It goes on where it was, or joins anew for as long as that takes.
 * Nobody waits for that. 0 or TIDE_ERR_NOMEM. */
int follower_resume(struct replica *r);

/* End the thread, where one runs, and wait for its end. */
void follower_end(struct replica *r);

#endif
