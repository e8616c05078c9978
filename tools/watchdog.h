/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watchdog of `tide follow --watchdog`. A leader that is stopped or hangs keeps the lead, because the kernel certifies
 * that it lives. The watchdog kills such a leader; the kernel then drops its locks, and a candidate takes over as after
 * any death. One thread.
 */
#ifndef TIDE_TOOLS_WATCHDOG_H
#define TIDE_TOOLS_WATCHDOG_H

#include "tools/lib/client.h"

struct serve_watch {
    uint64_t patience_ns; /* how long the leader may leave questions unanswered; 0: no watchdog */
    int32_t suspect_pid;  /* the leader that did not answer last time; 0: none */
    uint64_t suspect_term;
    int32_t spared_pid; /* the leader that must not be killed: said once */
};

/*
 * Ask the leader whether it answers, for at most half of the patience; kill it if it did not answer twice in a row.
 * It kills only a process that the board names as the leader before and after the question, while the kernel certifies
 * that there is a leader, and that has this domain's log mapped. It kills by a pidfd, so that a process that got the
 * same pid later is safe. Returns 1 if it killed the leader.
 */
int watchdog_look(struct cli *c, struct serve_watch *w);

#endif
