/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the parts of `tide web` share. The way of the data:
 *
 *   tools/dump/gauges.c, rates.c, recent.c   looks at a domain, from outside
 *   state.c                                  one look, and what has changed since the one before, as JSON
 *   serve.c                                  requests: the page's files, one look, a stream of them
 *   page/, files.c                           the page, which is built into the command
 */
#ifndef TIDE_WEB_WEB_H
#define TIDE_WEB_WEB_H

#include <stddef.h>

#include "tools/dump/gauges.h"
#include "tools/dump/rates.h"
#include "tools/dump/recent.h"
#include "tools/lib/buf.h"

/* ---- looks ------------------------------------------------------------------------------------------------------- */

struct web_state {
    const char *name;            /* of the domain */
    struct gauges *now, *before; /* before: the look before; both on the heap */
    struct rates *rates;
    struct recent recent;
    size_t looks;
};

/* 0, or -1: no memory. */
int web_state_init(struct web_state *s, const char *name);
void web_state_free(struct web_state *s);

/* Look, and append it as one JSON object without a newline. Rates are since the last call. */
void web_state_look(struct web_state *s, struct buf *out);

/* ---- files ------------------------------------------------------------------------------------------------------- */

struct web_file {
    const char *path; /* "/page.css" */
    const char *type;
    const char *text;
    size_t size;
};

/* NULL: there is no such file. */
const struct web_file *web_file(const char *path);

/* ---- over HTTP --------------------------------------------------------------------------------------------------- */

/* Until a signal asks for the end. The exit code. */
int web_listen(const char *tool, const char *name, const char *text);

#endif
