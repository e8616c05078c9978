/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What has happened between two samples of a domain. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/tidemark.h"
#include "tools/dump/rates.h"
#include "tools/lib/escape.h"

struct list {
    struct event *events;
    size_t n, room;
};

const char *event_name(enum event_kind kind) {
    static const char *const NAMES[EVENT_KINDS] = { "gone",   "damaged",   "made",   "led",  "leaderless",
                                                    "new",    "left",      "state",  "died", "lapped",
                                                    "joined", "ring_wait", "refused" };
    return (unsigned)kind < EVENT_KINDS ? NAMES[kind] : "unknown";
}

bool event_is_bad(const struct event *e) {
    switch (e->kind) {
    case EVENT_GONE:
    case EVENT_DAMAGED:
    case EVENT_LEADERLESS:
    case EVENT_DIED:
    case EVENT_LAPPED:
    case EVENT_RING_WAIT:
    case EVENT_REFUSED:
        return true;
    default:
        return false;
    }
}

__attribute__((format(printf, 4, 5))) static void events_add(struct list *l, enum event_kind kind, int32_t replica,
                                                             const char *format, ...) {
    if (l->n == l->room) {
        return;
    }
    struct event *e = &l->events[l->n++];
    va_list args;
    *e = (struct event){ .kind = kind, .replica = replica };
    va_start(args, format);
    vsnprintf(e->text, sizeof(e->text), format, args);
    va_end(args);
}

/* "r1 (label)"; the label only where it says more than the number. */
#define NAME_BYTES (ESCAPE_LABEL_BYTES + 24)
static const char *events_name_of(const struct gauges_replica *r, char name[NAME_BYTES]) {
    char label[ESCAPE_LABEL_BYTES], plain[16];
    snprintf(plain, sizeof(plain), "r%u", r->id);
    if (r->label[0] == '\0' || strcmp(r->label, plain) == 0) {
        snprintf(name, NAME_BYTES, "%s", plain);
    } else {
        snprintf(name, NAME_BYTES, "%s (%s)", plain, escape_label(r->label, sizeof(r->label), label, sizeof(label)));
    }
    return name;
}

static void events_domain_events(struct list *l, const struct gauges *before, const struct gauges *now) {
    char name[NAME_BYTES];
    if (!now->peek.led && before->peek.led) {
        events_add(l, EVENT_LEADERLESS, -1, "nobody leads: writes wait");
    }
    if (now->peek.led && now->peek.leader >= 0 &&
        (!before->peek.led || before->peek.leader != now->peek.leader || before->peek.term != now->peek.term)) {
        const struct gauges_replica *r = gauges_find(now, (uint32_t)now->peek.leader);
        events_add(l, EVENT_LED, now->peek.leader, "%s leads, term %u", r ? events_name_of(r, name) : "a replica",
                   now->peek.term);
    }
    if (now->ring_waits > before->ring_waits) {
        events_add(l, EVENT_RING_WAIT, -1, "the ring was full: the leader waited %llu times",
                   (unsigned long long)(now->ring_waits - before->ring_waits));
    }
    if (now->refused_full > before->refused_full) {
        events_add(l, EVENT_REFUSED, -1, "the table was full: %llu writes were refused",
                   (unsigned long long)(now->refused_full - before->refused_full));
    }
}

static void events_replica_events(struct list *l, const struct gauges_replica *before,
                                  const struct gauges_replica *now) {
    char name[NAME_BYTES];
    int32_t id = (int32_t)now->id;
    events_name_of(now, name);
    if (!before) {
        events_add(l, EVENT_NEW, id, "%s is new, process %d: %s", name, (int)now->pid, gauges_state(now));
        return;
    }
    const char *was = gauges_state(before), *is = gauges_state(now);
    if (now->lapped > before->lapped) {
        events_add(l, EVENT_LAPPED, id, "%s was lapped: the log overtook it", name);
    }
    if (now->joins > before->joins) {
        events_add(l, EVENT_JOINED, id, "%s copied another replica", name);
    }
    if (strcmp(was, is) != 0 && strcmp(is, "dead") == 0) {
        events_add(l, EVENT_DIED, id, "%s: its process %d is gone", name, (int)now->pid);
    } else if (strcmp(was, is) != 0) {
        events_add(l, EVENT_STATE, id, "%s, process %d: %s, was %s", name, (int)now->pid, is, was);
    }
}

static void events_of_known(struct list *l, const struct gauges *before, const struct gauges *now) {
    char name[NAME_BYTES];
    events_domain_events(l, before, now);
    for (uint32_t i = 0; i < now->n; i++) {
        events_replica_events(l, gauges_find(before, now->replicas[i].id), &now->replicas[i]);
    }
    for (uint32_t i = 0; i < before->n; i++) {
        if (!gauges_find(now, before->replicas[i].id)) {
            events_add(l, EVENT_LEFT, (int32_t)before->replicas[i].id, "%s is gone",
                       events_name_of(&before->replicas[i], name));
        }
    }
}

size_t events_between(struct event *events, size_t room, const struct gauges *before, const struct gauges *now) {
    struct list l = { events, 0, room };
    char why[320], escaped[120];
    if (now->missing && !before->missing) {
        events_add(&l, EVENT_GONE, -1, "the domain was removed");
    } else if (!now->known && !now->missing) {
        if (before->known || before->missing) {
            gauges_why(now, why, sizeof(why));
            events_add(&l, EVENT_DAMAGED, -1, "%s", escape_label(why, sizeof(why), escaped, sizeof(escaped)));
        }
    } else if (now->known && (!before->known || before->peek.incarnation != now->peek.incarnation)) {
        events_add(&l, EVENT_MADE, -1, before->known ? "another domain has the name now" : "the domain is there");
    } else if (now->known) {
        events_of_known(&l, before, now);
    }
    return l.n;
}
