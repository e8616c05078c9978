/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After fork() the child shares the parent's open files, and with them its locks: a parent that died would seem to live. It has
 * none of the parent's threads. So the child closes every descriptor and drops every mapping of a domain's log at once, and every
 * handle answers TIDE_ERR_FORKED there; it opens its own. (A child made by vfork(), posix_spawn() or a bare clone() that goes on
 * to exec() loses the descriptors by O_CLOEXEC and the mappings with its memory.)
 */
#ifndef TIDE_LIFE_FORK_H
#define TIDE_LIFE_FORK_H

/* Around opening, until the handle is listed (engine/life/handles.h) or nothing of it is left: a fork() waits, or the child would keep what it does not
 * know of. Other threads may open meanwhile. */
void fork_hold_off(void);
void fork_let_on(void);

#endif
