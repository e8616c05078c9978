/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After fork() the child shares the parent's open files, and with them its locks: a parent that died would seem to live. It has
 * none of the parent's threads. So the child closes every descriptor and drops every mapping of a domain's log at once, and every
 * handle answers TIDE_ERR_FORKED there; it opens its own. (A child made by vfork(), posix_spawn() or a bare clone() that goes on
 * to exec() loses the descriptors by O_CLOEXEC and the mappings with its memory.)
 */
#ifndef ENGINE_FORK_H
#define ENGINE_FORK_H

#include "engine/replica/domain.h"

/* Around opening, until the handle is noted or nothing of it is left: a fork() waits, or the child would keep what it does not
 * know of. Other threads may open meanwhile. */
void fork_hold_off(void);
void fork_let_on(void);

/* From when the log is locked and mapped until just before it is let go. */
void fork_note_open(struct tide *d);
void fork_note_closed(struct tide *d);

/* Call look() for each of them; for none where a handle is being opened or closed, or a fork() is under way. Never waits:
 * who holds it then may be waiting for the calling thread. look() must not wait for anybody either. */
void fork_each_open(void (*look)(struct tide *d));

#endif
