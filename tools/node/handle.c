/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which function answers which type of request. */
#include "tools/node/node.h"

struct handler {
    const char *type;
    void (*handle)(struct node *n, const struct request *q);
};

static const struct handler HANDLERS[] = {
    { "init", node_init },
    { "read", node_read },
    { "follower_read", node_follower_read },
    { "ryw_read", node_ryw_read },
    { "write", node_write },
    { "delete", node_delete },
    { "cas", node_cas },
    { "touch", node_touch },
    { "incr", node_incr },
    { "snapshot_read", node_snapshot_read },
    { "status", node_status },
};

static const struct handler *handle_find_handler(const struct json_tape *t, uint32_t type) {
    for (size_t i = 0; i < sizeof(HANDLERS) / sizeof(HANDLERS[0]); i++) {
        if (json_is(t, type, HANDLERS[i].type)) {
            return &HANDLERS[i];
        }
    }
    return NULL;
}

void node_handle(struct node *n, const struct request *q) {
    struct protocol *p = &n->protocol;
    uint32_t type;
    if (field_any(p, q, "type", &type) != 0) {
        return;
    }
    if (p->tape.nodes[type].kind != JSON_STR) {
        protocol_error(p, q, CODE_MALFORMED, "type must be a string");
        return;
    }
    const struct handler *h = handle_find_handler(&p->tape, type);
    if (!h) {
        protocol_error(p, q, CODE_NOT_SUPPORTED, "type is none that this node knows");
    } else if (!n->domain && h->handle != node_init) {
        protocol_error(p, q, CODE_UNAVAILABLE, "not initialised: send init first");
    } else {
        h->handle(n, q);
    }
}
