/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of `tide metrics` share. The way of the data:
 *
 *   tools/dump/gauges.c  a look at a domain, from outside
 *   collect.c            of one domain, or of all, and the text of it
 *   families.c           which metrics there are, and their samples
 *   prom.c               the two formats
 *   textfile.c, serve.c  where the text goes, besides standard output; negotiate.c and tools/http/ for the latter
 */
#ifndef TIDE_METRICS_METRICS_H
#define TIDE_METRICS_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/dump/gauges.h"
#include "tools/lib/codes.h"
#include "tools/metrics/prom.h"

/* The samples of these domains. `p` is zero-initialised but for its format; its text is the caller's to free. */
void families_write(struct prom *p, const struct gauges *domains, size_t n);

/*
 * Look at the domain `name` (NULL: all of this machine) and write what is found; in `why` (of `why_size` bytes) what is wrong, where something
 * is. What a failure is to one domain's caller: OK, NO (damaged), NO_DOMAIN, FAILED; of all domains only that they cannot be listed.
 */
enum tool_code collect(struct prom *p, const char *name, char *why, size_t why_size);

/* Does the value of an Accept header (NULL: there was none) prefer OpenMetrics to the text format? */
bool negotiate_open_metrics(const char *accept);

/* GET /metrics over HTTP, until a signal asks for the end. `name` as for collect(). The exit code. */
int metrics_listen(const char *tool, const char *name, const char *text);

#endif
