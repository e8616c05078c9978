/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide demo --upstream`: three hosts on one etcd, one of which loses its link for a while. */
#ifndef TIDE_TOOLS_DEMO_UPSTREAM_H
#define TIDE_TOOLS_DEMO_UPSTREAM_H

#include <stdint.h>

/* Run it for so long: a line for each look, as text or JSON. Returns the exit code. tool: for messages. */
int demo_upstream(const char *tool, uint64_t duration_ns, int json);

#endif
