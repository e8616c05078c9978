/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide serve` and `tide follow` share: running in the foreground until the end. One thread. */
#ifndef TIDE_TOOLS_FOREGROUND_H
#define TIDE_TOOLS_FOREGROUND_H

#include "tools/lib/client.h"

#define SERVE_LOOK_NS 1000000000ull /* how often the foreground looks whether all is well */

struct serve_watch; /* tools/watchdog.h */

/*
 * Stay until a signal asks for the end, the domain is removed or replaced, or none of this process's replicas can serve
 * any more. ids: those replicas. watch: NULL, or what looks after the leader meanwhile. The exit code.
 */
int serve_until_end(struct cli *c, const uint32_t *ids, size_t n, struct serve_watch *watch);

/* Print the line that tells others that we are there; at once, also into a pipe. 0 or an exit code. */
int serve_ready(const struct cli *c, const char *role, const uint32_t *ids, size_t n, int candidate);

#endif
