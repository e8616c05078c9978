/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which member is asked, and what became of it. */
#include <stdarg.h>
#include <stdio.h>

#include "tools/etcd/inside.h"

#define FIRST_NS (50 * MS)
#define MOST_NS (5 * SECOND)

/* Twice as long each time, and by chance from half of it to all of it, so that a thousand hosts do not come back at once. */
static uint64_t endpoints_pause_ns(struct etcd_client *c, uint32_t failures) {
    uint64_t most = failures > 7 ? MOST_NS : FIRST_NS << failures;
    most = most > MOST_NS ? MOST_NS : most;
    return most / 2 + client_random(c, most / 2);
}

bool endpoint_failed(struct etcd_client *c, unsigned at, bool hopeless, const char *format, ...) {
    struct endpoint *e = &c->endpoints[at];
    char before[sizeof(e->why)];
    va_list args;
    memcpy(before, e->why, sizeof(before));
    va_start(args, format);
    vsnprintf(e->why, sizeof(e->why), format, args);
    va_end(args);
    e->not_before_ns = client_now() + endpoints_pause_ns(c, e->failures);
    e->failures++;
    e->hopeless = hopeless;
    e->foreign = false;
    return strcmp(before, e->why) != 0;
}

void endpoint_works(struct etcd_client *c, unsigned at) {
    struct endpoint *e = &c->endpoints[at];
    e->failures = 0;
    e->not_before_ns = 0;
    e->hopeless = e->foreign = false;
    e->ours = true;
    e->why[0] = '\0';
}

bool endpoint_is_foreign(struct etcd_client *c, unsigned at, const char *words) {
    size_t n = 0;
    if (endpoint_failed(c, at, true, "%s", words)) {
        client_say(c, ETCD_WARN, "%s: %s", c->opts.address.endpoints[at], words);
    }
    c->endpoints[at].foreign = true;
    c->endpoints[at].ours = false;
    for (size_t i = 0; i < c->opts.address.n; i++) {
        n += c->endpoints[i].foreign;
    }
    endpoint_leave(c, at);
    return 2 * n > c->opts.address.n;
}

unsigned endpoint_choose(struct etcd_client *c, unsigned but) {
    unsigned n = (unsigned)c->opts.address.n, start = (unsigned)client_random(c, n), best = start;
    bool found = false;
    for (unsigned i = 0; i < n; i++) {
        unsigned at = (start + i) % n;
        if (at == but && n > 1) {
            continue;
        }
        if (!found || c->endpoints[at].not_before_ns < c->endpoints[best].not_before_ns) {
            best = at;
            found = true;
        }
    }
    return best;
}

void endpoint_leave(struct etcd_client *c, unsigned at) {
    if (c->unary_at == at) {
        c->unary_at = endpoint_choose(c, at);
    }
}

const char *endpoint_error(struct etcd_client *c, const struct etcd_reply *reply, char *text, size_t size) {
    if (reply->why) {
        snprintf(text, size, "%s", reply->why);
        return text;
    }
    if (wire_read(&c->wire, reply->text, reply->size) != 0) {
        snprintf(text, size, "status %ld, and no answer of etcd's: %s", reply->status, c->wire.text);
        return text;
    }
    if (c->wire.code >= 0) {
        snprintf(text, size, "%s (code %d)", c->wire.text, c->wire.code);
        return text;
    }
    if (reply->status != 200) {
        snprintf(text, size, "status %ld", reply->status);
        return text;
    }
    return NULL;
}
