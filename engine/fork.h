/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * After fork() the child shares the parent's descriptors, and with them its locks: a parent that died would seem to live. It has
 * none of the parent's threads. So the child closes every descriptor of a domain at once, and every handle answers
 * TIDE_ERR_FORKED there; it opens its own. (A child made by vfork(), posix_spawn() or a bare clone() that goes on to exec() loses
 * the descriptors by O_CLOEXEC.)
 */
#ifndef ENGINE_FORK_H
#define ENGINE_FORK_H

#include "engine/domain.h"

void fork_note_open(struct tide *d);
void fork_note_closed(struct tide *d);

#endif
