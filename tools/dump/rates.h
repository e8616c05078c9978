/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What two samples of a domain tell together: rates, and what has happened. For `tide top` and `tide web`. One thread. */
#ifndef TIDE_DUMP_RATES_H
#define TIDE_DUMP_RATES_H

#include "tools/dump/gauges.h"

struct rates_replica {
    bool known; /* it was there in both samples, and is the same */
    double reads_s, refused_s, applied_s;
    double by_reason_s[PEEK_REASONS];
    struct gauges_histogram lag;     /* of what was applied in between; sum_ns is 0 */
    uint64_t lag_p50_ns, lag_p99_ns; /* as the end of a bucket; 0 where lag.count is 0 */
};

struct rates {
    double seconds; /* between the two; 0: there was none before, or it was another incarnation's: all else is 0 then */
    double writes_s, groups_s, reads_s, refused_s, hits_s, misses_s, made_s, waited_s, expired_s, evicted_s,
        refused_full_s;
    double by_reason_s[PEEK_REASONS];
    double hit_ratio;      /* of the keys looked up in between; below 0: none was */
    double fallback_ratio; /* of the reads in between: redirected, stale by choice, refused; below 0: there was none */
    struct rates_replica replicas[PEEK_REPLICAS]; /* by the replica's id */
};

/* `before` may be NULL. */
void rates_between(struct rates *r, const struct gauges *before, const struct gauges *now);

/* What a reason of a read counts as, where there is room for few: served as asked, or not. */
bool rates_is_fallback(uint32_t reason);

/* ---- what has happened ------------------------------------------------------------------------------------------- */

enum event_kind {
    EVENT_GONE,       /* the domain was removed */
    EVENT_DAMAGED,    /* it cannot be read any more */
    EVENT_MADE,       /* it is there (again), or another one has its name */
    EVENT_LED,        /* a replica leads that did not */
    EVENT_LEADERLESS, /* nobody leads any more */
    EVENT_NEW,        /* a replica is there that was not */
    EVENT_LEFT,       /* one is not any more */
    EVENT_STATE,      /* its state is another */
    EVENT_DIED,       /* its process is gone */
    EVENT_LAPPED,     /* the log overtook it, since the sample before: it may serve again by now */
    EVENT_JOINED,     /* it copied another replica */
    EVENT_RING_WAIT,  /* the leader found the ring full and waited */
    EVENT_REFUSED,    /* writes were refused because the table was full */
    EVENT_KINDS
};

struct event {
    enum event_kind kind;
    int32_t replica; /* -1: of the domain */
    char text[160];  /* a sentence without a full stop; labels in it are escaped */
};

/* In a word: "led", "lapped". */
const char *event_name(enum event_kind kind);
/* Is it something that a person should look at? */
bool event_is_bad(const struct event *e);

/* At most `room` of them, the gravest first. Returns how many. */
#define EVENTS_MOST 32u
size_t events_between(struct event *events, size_t room, const struct gauges *before, const struct gauges *now);

#endif
