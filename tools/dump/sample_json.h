/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A sample of a domain as members of an open JSON object: the whole, as `tide top --json` prints it, and the parts that `tide web` has, too. One
 * thread. */
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

/* alive, dead, damaged, closed, version (as `tide ls`), or missing. */
const char *sample_state(const struct gauges *g);

/* A ratio of nothing, which is below 0, is null. */
void sample_ratio_json(struct json_out *j, const char *name, double ratio);
/* {fresh, within_bound, ...}: reads a second, or reads, by reason. */
void sample_reason_rates_json(struct json_out *j, const char *name, const double by_reason_s[PEEK_REASONS]);
void sample_reason_counts_json(struct json_out *j, const char *name, const uint64_t by_reason[PEEK_REASONS]);
/* Keys and bytes of a replica's table. */
void sample_table_json(struct json_out *j, const struct peek_table *t);
/* The time between the two looks, and what happened a second. */
void sample_rate_members_json(struct json_out *j, const struct rates *r);

#endif
