/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The user's token, asked for again when it is refused: a member that was started anew knows none. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/etcd/inside.h"

#define LOGIN_MS 5000u
/* After a token that was refused at once: a login costs the cluster a tenth of a second. */
#define AGAIN_NS (SECOND / 2)

bool login_done(const struct etcd_client *c) {
    return !c->opts.user || c->token || c->login.not_enabled;
}

static void login_on_login(void *ctx, const struct etcd_reply *reply) {
    struct etcd_client *c = ctx;
    char why[300], token[4096];
    c->login.call = NULL;
    c->login.answered_ns = client_now();
    const char *wrong = endpoint_error(c, reply, why, sizeof(why));
    if (wrong && !reply->why && c->wire.code == WIRE_PRECONDITION) {
        c->login.not_enabled = true;
        client_say(c, ETCD_WARN, "the cluster asks for no password: %s", wrong);
        return;
    }
    if (!wrong && wire_string(&c->wire, "token", token, sizeof(token)) != 0) {
        wrong = "the answer has no token";
    }
    if (wrong) {
        bool hopeless = reply->mistrusted || c->wire.code == WIRE_INVALID;
        c->login.not_before_ns = client_now() + SECOND / 2 + client_random(c, SECOND / 2);
        if (endpoint_failed(c, c->login.at, hopeless, "user %s: %s", c->opts.user, wrong)) {
            client_say(c, ETCD_WARN, "%s: user %s: %s", c->opts.address.endpoints[c->login.at], c->opts.user, wrong);
        }
        c->unary_at = endpoint_choose(c, c->login.at);
        return;
    }
    c->token = strdup(token);
    c->login.tokens++;
}

uint64_t login_step(struct etcd_client *c, uint64_t now_ns) {
    if (login_done(c) || c->login.call || c->stream.phase == PHASE_REST) {
        return UINT64_MAX;
    }
    if (c->login.not_before_ns > now_ns) {
        return c->login.not_before_ns;
    }
    struct json_out j = { 0 };
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "name", c->opts.user);
    json_out_text(&j, "password", c->opts.password);
    json_out_close(&j, '}');
    c->login.at = c->stream.phase == PHASE_LOGIN ? c->stream.at : c->unary_at;
    c->login.call = client_call(c, c->login.at, "/v3/auth/authenticate", &j.text, LOGIN_MS, login_on_login, c);
    json_out_free(&j);
    return UINT64_MAX;
}

/*
 * A token that the member does not know; one of before the cluster's users or roles were changed (etcd's JWT has their revision in it; a simple
 * token is refused so where they change while a request is under way); none, because the cluster asked for no password until now. A watch is
 * ended with the same words.
 */
bool login_drop_refused(struct etcd_client *c) {
    const struct wire *w = &c->wire;
    bool refused = w->code == WIRE_UNAUTHENTICATED ||
                   ((w->code == WIRE_INVALID || w->canceled) &&
                    (strstr(w->text, "revision of auth store is old") || strstr(w->text, "user name is empty") ||
                     (w->canceled && strstr(w->text, "invalid auth token"))));
    if (!c->opts.user || !refused) {
        return false;
    }
    free(c->token);
    c->token = NULL;
    c->login.not_enabled = false;
    c->login.not_before_ns = c->login.answered_ns + AGAIN_NS;
    return true;
}
