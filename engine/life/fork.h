/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After fork() the child shares the parent's open files, and with them its locks: a parent that died would seem to
 * live. The child has none of the parent's threads. So the child closes every descriptor and drops every mapping of a
 * domain's log at once, and every handle answers TIDE_ERR_FORKED there. The child opens its own handles. (A child of
 * vfork(), posix_spawn() or a bare clone() that goes on to exec() loses the descriptors by O_CLOEXEC, and the mappings
 * with its memory.)
 */
#ifndef TIDE_LIFE_FORK_H
#define TIDE_LIFE_FORK_H

/* Hold fork() off while a handle is being opened or closed: until the handle is listed (engine/life/handles.h), or
 * nothing of it is left. A child would keep a handle that is not listed. Other threads may open meanwhile. */
void fork_hold_off(void);
void fork_let_on(void);

#endif
