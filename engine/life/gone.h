/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain whose log was unlinked or replaced. A process that opens the name now gets another domain, or none, and a
 * read here serves data that no writer reaches any more. Writers, leaders and newcomers come across that by themselves.
 * A process that only reads would not: a read looks at no name. So the grace thread, which every process with an open
 * handle has, looks once a second whether the logs of all handles still have their names. Where one has not, it takes
 * the replicas away from the handle's readers. They come to the slow path, where they find TIDE_ERR_GONE; the fast path
 * has nothing more to look at than before.
 */
#ifndef TIDE_LIFE_GONE_H
#define TIDE_LIFE_GONE_H

#include "engine/replica/domain.h"

/* Look at every handle of this process. The calling thread is registered with liburcu. Never waits. */
void gone_look_all(void);

/* Send readers of this handle to the slow path from now on. The calling thread is registered with liburcu. Never
 * waits. */
void gone_hide(struct tide *d);

#endif
