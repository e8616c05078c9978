/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide serve` and `tide follow` share: running in the foreground until the end. One thread. */
#ifndef TIDE_TOOLS_FOREGROUND_H
#define TIDE_TOOLS_FOREGROUND_H

#include "tools/lib/client.h"

#define SERVE_LOOK_NS 1000000000ull /* between two looks at the domain and the replicas */

struct serve_watch; /* tools/watchdog.h */
struct upstream;    /* tools/upstream.h */

/*
 * Run until a signal asks for the end, the domain is removed or replaced, or no replica of this process can serve any
 * more. ids: those replicas. watch: NULL, or the watchdog that looks at the leader meanwhile. upstream: NULL, or the source, which also
 * ends it, with 0, when it becomes another one. Returns the exit code.
 */
int serve_until_end(struct cli *c, const uint32_t *ids, size_t n, struct serve_watch *watch, struct upstream *upstream);

/* Print the line that says that this process serves, and tell a service manager; also into a pipe the line leaves at once. 0 or an exit code. */
int serve_ready(const struct cli *c, const char *role, const uint32_t *ids, size_t n, int candidate);

#endif
