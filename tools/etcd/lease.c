/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tools/etcd/lease.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/etcd/inside.h"

#define GRANT_MS 2000u

static void lease_on_granted(void *ctx, const struct etcd_reply *reply) {
    struct lease *l = ctx;
    struct etcd_client *c = l->client;
    char why[300];
    l->call = NULL;
    const char *wrong = endpoint_error(c, reply, why, sizeof(why));
    if (!wrong && c->wire.id != 0) {
        l->id = c->wire.id;
        c->leases.why[0] = '\0';
        return;
    }
    l->end_s = 0;
    if (wrong && !reply->why && login_drop_refused(c)) {
        return;
    }
    snprintf(c->leases.why, sizeof(c->leases.why), "%s", wrong ? wrong : "the lease has no number");
    if (reply->why) {
        endpoint_failed(c, l->at, false, "%s", c->leases.why);
        endpoint_leave(c, l->at);
    }
}

static void lease_ask(struct etcd_client *c, struct lease *l, uint64_t end_s) {
    struct buf body = { 0 };
    uint64_t now_s = client_now() / SECOND;
    *l = (struct lease){ .end_s = end_s, .client = c, .at = c->unary_at };
    buf_add_char(&body, '{');
    wire_add_u64(&body, "TTL", end_s - now_s);
    buf_add_char(&body, '}');
    l->call = client_call(c, c->unary_at, "/v3/lease/grant", &body, GRANT_MS, lease_on_granted, l);
    c->leases.asked++;
    if (!l->call) {
        l->end_s = 0;
    }
    buf_free(&body);
}

uint64_t lease_get(struct etcd_client *c, uint64_t ttl_s) {
    struct lease_table *t = &c->leases;
    uint64_t now_s = client_now() / SECOND, end_s = now_s + 1 + ttl_s;
    struct lease *place = NULL;
    if (!t->all && (t->all = calloc(LEASES, sizeof(*t->all))) == NULL) {
        snprintf(t->why, sizeof(t->why), "out of memory");
        return 0;
    }
    for (uint32_t i = 0; i < LEASES; i++) {
        struct lease *l = &t->all[i];
        if (l->end_s == end_s) {
            return l->id;
        }
        if (!l->call && l->end_s < now_s && !place) {
            place = l;
        }
    }
    for (uint32_t tries = 0; !place && tries < LEASES; tries++) {
        struct lease *l = &t->all[t->next++ % LEASES];
        place = l->call ? NULL : l;
    }
    if (place) {
        lease_ask(c, place, end_s);
    }
    return 0;
}

void lease_forget_all(struct etcd_client *c) {
    for (uint32_t i = 0; c->leases.all && i < LEASES; i++) {
        if (!c->leases.all[i].call) {
            c->leases.all[i].end_s = 0;
        }
    }
}

void lease_close(struct etcd_client *c) {
    free(c->leases.all);
    c->leases.all = NULL;
}
