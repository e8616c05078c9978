/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sample of a domain as members of an open JSON object, the same for `tide top --json` and for the page of `tide web`. One thread. */
#ifndef TIDE_DUMP_SAMPLE_JSON_H
#define TIDE_DUMP_SAMPLE_JSON_H

#include "tools/dump/rates.h"
#include "tools/lib/json_out.h"

/*
 * name, at_unix_ns, state (as `tide ls`, or missing); of one that cannot be read then `why` and no more. Else the totals, the rates (of
 * `rates`, null where there was no sample before), ring, replicas and readers. A name means what it means in `tide stat --json`.
 */
void sample_json(struct json_out *j, const struct gauges *g, const struct rates *rates);

/* events: [{event, replica, bad, text}]; -1: of the domain. */
void sample_events_json(struct json_out *j, const struct event *events, size_t n);

#endif
