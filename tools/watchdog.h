/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watchdog of `tide follow --watchdog`: a leader that is stopped or hangs keeps its place, because the kernel says
 * that it lives. Whoever would rather lose it than wait has it killed; then the kernel drops its locks, and a
 * candidate takes over as after any death. One thread.
 */
#ifndef TIDE_TOOLS_WATCHDOG_H
#define TIDE_TOOLS_WATCHDOG_H

#include "tools/lib/client.h"

struct serve_watch {
    uint64_t patience_ns; /* how long the leader may leave questions unanswered; 0: no watchdog */
    int32_t suspect_pid;  /* who did not answer, 0: nobody */
    uint64_t suspect_term;
    int32_t spared_pid; /* who was not to be killed: said once */
};

/*
 * Ask the leader whether it answers, for at most half of the patience; kill it when it did not answer twice in a row.
 * Killed is only a process that the board names as the leader before and after, while the kernel certifies that there
 * is one, and that has this domain's log mapped; by a pidfd, so that a pid that was given away meets nobody.
 * 1: somebody was killed.
 */
int watchdog_look(struct cli *c, struct serve_watch *w);

#endif
