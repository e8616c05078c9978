/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of `tide metrics` share. The way of the data:
 *
 *   tools/dump/gauges.c  a look at a domain, from outside
 *   collect.c            of one domain, or of all, and the text of it
 *   families.c           which metrics there are, and their samples
 *   prom.c               the two formats
 *   textfile.c, http.c   where the text goes, besides standard output; address.c, negotiate.c for the latter
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

/* Write the text beside `path` and rename it into place, readable by all. 0, or -1 with `why`. */
int textfile_write(const char *path, const char *text, size_t size, char *why, size_t why_size);

/* Does the value of an Accept header (NULL: there was none) prefer OpenMetrics to the text format? */
bool negotiate_open_metrics(const char *accept);

/* A socket that listens at "ADDR:PORT", ":PORT" and "PORT" (loopback), "[ADDR6]:PORT" or "unix:PATH". Port 0: any.
 * `at` gets where it does, as an URL. -1 with `why`. *usage: what was typed is wrong. */
#define ADDRESS_TEXT 160
int address_listen(const char *text, char at[ADDRESS_TEXT], bool *usage, char *why, size_t why_size);
/* Close it, and remove the file of "unix:PATH". */
void address_close(const char *text, int fd);

/* Serve until a signal asks for the end. `name` as for collect(). `fd` listens and stays the caller's. TOOL_OK or an exit code after a message. */
int http_serve(const char *tool, const char *name, int fd, const char *at);
/* Can it be served? NULL, or a text that says why not. */
const char *http_missing(void);

#endif
