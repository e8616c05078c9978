/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All handles of this process: a forked child lets them go (fork.h), and the grace thread looks after them (gone.h). */
#ifndef TIDE_LIFE_HANDLES_H
#define TIDE_LIFE_HANDLES_H

#include "engine/replica/domain.h"

/* A handle is listed from when its log is locked and mapped until just before that is let go. */
void handles_add(struct tide *d);
void handles_remove(struct tide *d);

/* Call look() for each of them; for none where a handle is being opened or closed, or a fork() is under way. Never waits: whoever
 * holds the list then may be waiting for the calling thread. look() must not wait for anybody either. */
void handles_each(void (*look)(struct tide *d));

/* Around fork(): nobody changes the list meanwhile. */
void handles_lock(void);
void handles_unlock(void);

/* The list, and empty it. Between handles_lock() and handles_unlock(). */
struct tide *handles_take(void);

#endif
