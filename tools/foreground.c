/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The foreground of `tide serve` and `tide follow`. */
#include <stdio.h>
#include <unistd.h>

#include "tools/dump/peek.h"
#include "tools/lib/notify.h"
#include "tools/lib/stdio.h"
#include "tools/foreground.h"
#include "tools/upstream.h"
#include "tools/watchdog.h"

int serve_ready(const struct cli *c, const char *role, const uint32_t *ids, size_t n, int candidate) {
    struct tide_info info = TIDE_INFO_INIT;
    struct json_out j = { 0 };
    int rc = tide_info(c->domain, &info);
    if (rc != 0) {
        return cli_fail(c, rc, "%s", c->name);
    }
    notify_manager("READY=1");
    int leads = role[0] == 'l';
    if (c->json) {
        json_out_open(&j, NULL, '{');
        json_out_text(&j, "ready", c->name);
        json_out_text(&j, "role", role);
        json_out_u64(&j, leads ? "leader" : "replica", ids[0]);
        json_out_u64(&j, "replicas", n);
        json_out_i64(&j, "pid", getpid());
        json_out_bool(&j, "candidate", candidate);
        json_out_u64(&j, "index", info.commit_index);
        json_out_u64(&j, "term", info.term);
        json_out_hex(&j, "incarnation", info.incarnation);
        json_out_close(&j, '}');
        json_out_print(&j, stdout);
    } else if (leads) {
        printf("ready %s leader=%u replicas=%zu pid=%ld index=%llu term=%llu\n", c->name, ids[0], n, (long)getpid(),
               (unsigned long long)info.commit_index, (unsigned long long)info.term);
    } else {
        printf("ready %s replica=%u pid=%ld candidate=%s index=%llu term=%llu\n", c->name, ids[0], (long)getpid(),
               candidate ? "yes" : "no", (unsigned long long)info.commit_index, (unsigned long long)info.term);
    }
    if (stdio_output_was_closed()) { /* nobody can wait for the line */
        stdio_discard();
        return 0;
    }
    return stdio_finish(c->tool, 0);
}

/* A replica that is LAPPED or JOINING serves again by itself. */
static int foreground_can_serve(struct tide *d, uint32_t id) {
    struct tide_replica_info info = TIDE_REPLICA_INFO_INIT;
    if (tide_replica_info(d, id, &info) != 0) {
        return 0;
    }
    return info.state != TIDE_STATE_FAILED && info.state != TIDE_STATE_DIVERGED && info.state != TIDE_STATE_STOPPED;
}

static int foreground_any_can_serve(struct tide *d, const uint32_t *ids, size_t n) {
    int any = 0;
    for (size_t i = 0; i < n && !any; i++) {
        any = foreground_can_serve(d, ids[i]);
    }
    return any;
}

int serve_until_end(struct cli *c, const uint32_t *ids, size_t n, struct serve_watch *watch,
                    struct upstream *upstream) {
    struct tide_info info = TIDE_INFO_INIT;
    int rc = tide_info(c->domain, &info);
    if (rc != 0) {
        return cli_fail(c, rc, "%s", c->name);
    }
    while (!cli_sleep(SERVE_LOOK_NS)) {
        if (peek_is_gone(c->name, info.incarnation)) {
            return cli_complain(c, TOOL_NO_DOMAIN, "gone", "the domain %s was removed or replaced: ending", c->name);
        }
        if (!foreground_any_can_serve(c->domain, ids, n)) {
            return cli_complain(c, TOOL_FAILED, "failed", "no replica of this process can serve any more: ending");
        }
        if (upstream && upstream_is_another(upstream)) {
            return TOOL_OK;
        }
        /* The second question follows at once: the first one has waited long enough. */
        if (watch && watch->patience_ns > 0 && !watchdog_look(c, watch) && watch->suspect_pid != 0) {
            watchdog_look(c, watch);
        }
    }
    return TOOL_OK;
}
