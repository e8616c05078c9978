/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the commands on keys share: bounds from options, answers as JSON. */
#include "tools/lib/kv.h"

#include <stdio.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/lib/escape.h"

#define HOUR_NS (3600ull * 1000000000)
#define WAIT_DEFAULT_NS 1000000000ull

static int kv_read_fallback(const char *tool, struct kv_read *r, const char *arg) {
    static const char *const NAMES[] = { "leader", "wait", "error", "stale" };
    for (uint32_t i = 0; i < 4; i++) {
        if (strcmp(arg, NAMES[i]) == 0) {
            r->bound.fallback = i;
            return 0;
        }
    }
    return args_error(tool, "--fallback must be leader, wait, error or stale: %s", arg);
}

int kv_read_option(const char *tool, struct kv_read *r, int option, const char *arg) {
    uint64_t replica;
    switch (option) {
    case KV_STALENESS:
        if (strcmp(arg, "any") == 0) {
            r->bound.max_staleness_ns = TIDE_UNBOUNDED;
        } else if (args_duration(arg, &r->bound.max_staleness_ns) != 0) {
            return args_error(tool, "--max-staleness must be a time like 200ms, 0, or any: %s", arg);
        }
        return 0;
    case KV_LAG:
        if (strcmp(arg, "any") == 0) {
            r->bound.max_lag = TIDE_UNBOUNDED;
        } else if (args_u64(arg, 0, UINT64_MAX - 1, &r->bound.max_lag) != 0) {
            return args_error(tool, "--max-lag must be a number of entries, or any: %s", arg);
        }
        return 0;
    case KV_FALLBACK:
        return kv_read_fallback(tool, r, arg);
    case KV_WAIT:
        r->wait_given = 1;
        return args_take_duration(tool, arg, 0, HOUR_NS, &r->bound.wait_ns,
                                  "--wait must be a time like 100ms, at most 1h");
    case KV_TOKEN:
        if (cli_token(arg, &r->bound.min) != 0) {
            return args_error(tool, "--token must be INCARNATION:INDEX or rev:N, as a write printed it: %s", arg);
        }
        return 0;
    case KV_REPLICA:
        if (args_u64(arg, 0, TIDE_REPLICAS - 1, &replica) != 0) {
            return args_error(tool, "--replica must be a number from 0 to %u: %s", TIDE_REPLICAS - 1, arg);
        }
        r->replicas = 1ull << replica;
        return 0;
    default:
        return args_error(tool, "see above");
    }
}

void kv_read_settle(struct kv_read *r) {
    if (!r->wait_given && r->bound.fallback == TIDE_FALLBACK_WAIT) {
        r->bound.wait_ns = WAIT_DEFAULT_NS;
    }
}

void kv_answer_json(struct json_out *j, const struct tide_answer *a) {
    json_out_u64(j, "served_by", a->served_by);
    json_out_text(j, "reason", tide_reason_name(a->reason));
    json_out_bool(j, "linearizable", a->linearizable);
    json_out_bool(j, "stale", a->stale);
    json_out_bool(j, "from_leader", a->from_leader);
    json_out_u64(j, "index", a->index);
    json_out_u64(j, "commit_index", a->commit_index);
    json_out_u64(j, "staleness_ns", a->staleness_ns);
    json_out_u64(j, "waited_ns", a->waited_ns);
}

void kv_ttl_json(struct json_out *j, uint64_t ttl_ns) {
    if (ttl_ns == TIDE_TTL_NONE) {
        json_out_null(j, "ttl_ns");
    } else {
        json_out_u64(j, "ttl_ns", ttl_ns);
    }
}

int kv_read_failed(const struct cli *c, int error, const struct tide_answer *a, const char *what) {
    struct json_out j = { 0 };
    char least[32];
    json_out_open(&j, NULL, '{');
    if (error != TIDE_ERR_REFUSED && error != TIDE_ERR_TIMEOUT) {
        return cli_fail_with(c, error, &j, "%s", what);
    }
    if (a->staleness_ns == TIDE_UNBOUNDED) {
        json_out_null(&j, "staleness_ns");
    } else {
        json_out_u64(&j, "staleness_ns", a->staleness_ns);
    }
    json_out_u64(&j, "waited_ns", a->waited_ns);
    int code = cli_fail_with(c, error, &j, "%s", what);
    if (a->staleness_ns == TIDE_UNBOUNDED) { /* a fed domain that was never complete serves nobody */
        fprintf(stderr, "  what is there was never complete: 'tide stat %s' shows what its source says\n", c->name);
    } else if (a->staleness_ns > 0) {
        fprintf(stderr, "  the freshest that could be had is %s old\n",
                args_duration_text(a->staleness_ns, least, sizeof(least)));
    }
    return code;
}

void kv_tell_stale(const struct cli *c, const struct tide_answer *a) {
    char age[32];
    if (a->stale && !c->json) {
        fprintf(stderr, "%s: the bound was breached, as --fallback stale allows: %s old, from replica %u\n", c->tool,
                args_duration_text(a->staleness_ns, age, sizeof(age)), a->served_by);
    }
}

int kv_tell_damaged(const struct cli *c, size_t damaged, const char *more) {
    if (damaged == 0) {
        return TOOL_OK;
    }
    fprintf(stderr,
            "%s: of %zu key%s of %s what was written is damaged%s\n  'tide verify %s' names %s: put or delete %s, and "
            "all is whole again\n",
            c->tool, damaged, damaged == 1 ? "" : "s", c->name, more, c->name, damaged == 1 ? "it" : "them",
            damaged == 1 ? "it" : "them");
    return TOOL_NO;
}

int kv_key(const char *tool, char *arg, int escaped, size_t *size) {
    long length = escaped ? escape_undo(arg) : (long)strlen(arg);
    if (length < 0) {
        return args_error(tool, "the key has a backslash that starts neither \\xNN nor \\\\: %s", arg);
    }
    if (length == 0 || length > (long)TIDE_KEY_MAX) {
        return args_error(tool, "keys have 1 to %u bytes", TIDE_KEY_MAX);
    }
    *size = (size_t)length;
    return 0;
}

void kv_print_readable(const void *bytes, size_t size) {
    escape_readable_print(stdout, bytes, size);
}
