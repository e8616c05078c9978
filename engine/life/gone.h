/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A domain whose log was unlinked or replaced: whoever opens the name now gets another one, or none, and what is read
 * here is nobody's present any more. Writers, leaders and joiners come across it. A process that only reads would not: a
 * read looks at no name. So the grace thread, which every process with an open handle has, looks once a second whether
 * the logs of all handles still have theirs, and takes the replicas away from the readers of one that has not. They come
 * to the slow path, where they find TIDE_ERR_GONE; the fast path has nothing more to look at than before.
 */
#ifndef TIDE_LIFE_GONE_H
#define TIDE_LIFE_GONE_H

#include "engine/replica/domain.h"

/* Look at every handle of this process. By a thread that is registered with liburcu. Waits for nobody. */
void gone_look_all(void);

/* Readers of this handle come to the slow path from now on. The same. */
void gone_hide(struct tide *d);

#endif
