/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `tide get`, put, del, cas and scan share. One thread. */
#ifndef TIDE_TOOLS_KV_H
#define TIDE_TOOLS_KV_H

#include "tools/lib/buf.h"
#include "tools/lib/client.h"

/* ---- the bound of a read ---- */

enum kv_option {
    KV_STALENESS = 256,
    KV_LAG,
    KV_FALLBACK,
    KV_WAIT,
    KV_TOKEN,
    KV_REPLICA,
    KV_OWN /* the first that a command may use for its own */
};

#define KV_BOUND_OPTIONS                                                                                               \
    { "max-staleness", required_argument, NULL, KV_STALENESS }, { "max-lag", required_argument, NULL, KV_LAG },        \
        { "fallback", required_argument, NULL, KV_FALLBACK }, { "wait", required_argument, NULL, KV_WAIT },            \
        { "token", required_argument, NULL, KV_TOKEN }, {                                                              \
        "replica", required_argument, NULL, KV_REPLICA                                                                 \
    }

#define KV_BOUND_HELP                                                                                                  \
    "  --max-staleness TIME  how old the data may be: 200ms; 0: linearizable (default); any\n"                         \
    "  --max-lag N           how many entries behind the commit index it may be (default: any)\n"                      \
    "  --fallback WHAT       what to do if no replica keeps the bound: ask the leader (leader, the default), wait,\n"  \
    "                        error, or serve older data and say so (stale)\n"                                          \
    "  --wait TIME           how long to wait for a replica before that (default 0; 1s with --fallback wait)\n"        \
    "  --token TOKEN         the answer must include the write that printed this token\n"                              \
    "  --replica K           only replica K may serve (the fallback 'leader' may still go to the leader)\n"

#define KV_BYTES_HELP "  --escaped             in keys given here \\xNN is the byte NN and \\\\ a backslash\n"

struct kv_read {
    struct tide_bound bound;
    uint64_t replicas; /* mask, 0: all */
    int wait_given;
};
#define KV_READ_INIT                                                                                                   \
    { .bound = TIDE_BOUND_INIT }

/* One option of KV_BOUND_OPTIONS: 0, or TOOL_USAGE after a message. */
int kv_read_option(const char *tool, struct kv_read *r, int option, const char *arg);
/* After the last one. */
void kv_read_settle(struct kv_read *r);

/* {served_by, reason, linearizable, stale, index, commit_index, staleness_ns, waited_ns} into an open object. */
void kv_answer_json(struct json_out *j, const struct tide_answer *a);

/* ttl_ns: what is left of a key's life, or null where it does not expire. */
void kv_ttl_json(struct json_out *j, uint64_t ttl_ns);

/* Tell a read's error; where the bound was the reason, also how fresh an answer could have been had. The exit code. */
int kv_read_failed(const struct cli *c, int error, const struct tide_answer *a, const char *what);

/* A read that breached its bound by choice says so on standard error, unless the JSON does. */
void kv_tell_stale(const struct cli *c, const struct tide_answer *a);

/* Of so many keys that were read the bytes are damaged in every replica that serves: say so, and what to do. `more` stands behind it. The exit code. */
int kv_tell_damaged(const struct cli *c, size_t damaged, const char *more);

/* ---- keys and values ---- */

/* The key of an argument, decoded in place where `escaped`. 0, or TOOL_USAGE after a message. */
int kv_key(const char *tool, char *arg, int escaped, size_t *size);

/* Bytes on standard output as people read them and as --escaped takes them: UTF-8 as it is, a backslash twice, control
 * characters and what is no UTF-8 as \xNN. */
void kv_print_readable(const void *bytes, size_t size);

#endif
