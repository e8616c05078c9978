/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide scan`: all keys at one index. */
#include <stdio.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/lib/gather.h"
#include "tools/lib/kv.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide scan NAME [OPTION]...\n"
    "Print every key and its value, sorted by key, all at one index: one line with key, tab and value for each. UTF-8\n"
    "is shown as it is, a backslash twice; control characters and bytes that are no UTF-8 as \\xNN. The scan is\n"
    "complete before the first line is printed. If the domain is written too fast to be read from outside, or all\n"
    "its processes are dead, this process joins as a follower for a moment, which needs the memory of one more "
    "table.\n\n"
    "  --prefix PREFIX       only keys that begin with it\n"
    "  --limit N             print at most N keys\n"
    "  --keys                keys only\n" KV_BOUND_HELP
    "  --escaped             in PREFIX \\xNN is the byte NN and \\\\ a backslash\n"
    "  --json                an object a line: {key, value, encoding, version, ttl_ns (null: it does not expire)} "
    "each,\n"
    "                        then {keys, printed, joined, damaged, and index, served_by, staleness_ns, ... as in\n"
    "                        'tide get --json'}\n"
    "  --help                print this text\n\n"
    "Exit codes: 0 done (also without any key); 1 done, and something in it is damaged in every replica that serves;\n"
    "2 usage; 3 no such domain; 4 the bound cannot be kept, or nobody serves; 7 anything else.\n";

enum { OPT_PREFIX = KV_OWN, OPT_LIMIT, OPT_KEYS, OPT_ESCAPED };

struct scan {
    struct cli cli;
    struct kv_read read;
    char *prefix;
    int escaped, keys_only;
    uint64_t limit;
};

static int scan_set_option(void *ctx, int option, char *arg) {
    struct scan *s = ctx;
    switch (option) {
    case OPT_PREFIX:
        s->prefix = arg;
        return 0;
    case OPT_LIMIT:
        if (args_u64(arg, 0, UINT64_MAX, &s->limit) != 0) {
            return args_error(s->cli.tool, "--limit must be a number: %s", arg);
        }
        return 0;
    case OPT_KEYS:
        s->keys_only = 1;
        return 0;
    case OPT_ESCAPED:
        s->escaped = 1;
        return 0;
    case 'j':
        s->cli.json = 1;
        return 0;
    default:
        return kv_read_option(s->cli.tool, &s->read, option, arg);
    }
}

static int scan_read_options(int argc, char **argv, struct scan *s) {
    static const struct option LIST[] = {
        KV_BOUND_OPTIONS,
        { "prefix", required_argument, NULL, OPT_PREFIX },
        { "limit", required_argument, NULL, OPT_LIMIT },
        { "keys", no_argument, NULL, OPT_KEYS },
        { "escaped", no_argument, NULL, OPT_ESCAPED },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, scan_set_option };
    int code = args_options(&options, argc, argv, s);
    if (code != 0) {
        return code;
    }
    kv_read_settle(&s->read);
    return cli_arguments(&s->cli, argc, argv, 0, 0, "");
}

static void scan_print_record(const struct scan *s, const struct records *r, const struct record *x) {
    struct json_out j = { 0 };
    if (!s->cli.json) {
        kv_print_readable(records_key(r, x), x->key_size);
        if (!s->keys_only) {
            putchar('\t');
            kv_print_readable(records_value(r, x), x->value_size);
        }
        putchar('\n');
        return;
    }
    json_out_open(&j, NULL, '{');
    json_out_bytes(&j, "key", records_key(r, x), x->key_size, NULL);
    if (!s->keys_only) {
        json_out_bytes(&j, "value", records_value(r, x), x->value_size, "encoding");
    }
    json_out_u64(&j, "version", x->version);
    kv_ttl_json(&j, x->ttl_ns);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static void scan_print_all(const struct scan *s, const struct gather *g, const struct records *r,
                           const struct tide_answer *a) {
    struct json_out j = { 0 };
    size_t n = s->limit < r->n ? (size_t)s->limit : r->n;
    for (size_t i = 0; i < n && !ferror(stdout); i++) {
        scan_print_record(s, r, &r->list[i]);
    }
    kv_tell_stale(&s->cli, a);
    if (!s->cli.json) {
        return;
    }
    json_out_open(&j, NULL, '{');
    json_out_u64(&j, "keys", r->n);
    json_out_u64(&j, "printed", n);
    json_out_bool(&j, "joined", g->joined);
    kv_answer_json(&j, a);
    json_out_u64(&j, "damaged", g->damaged);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

int tool_scan(int argc, char **argv) {
    struct scan s = { .cli = { .tool = argv[0] }, .read = KV_READ_INIT, .limit = UINT64_MAX };
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct tide_answer answer = TIDE_ANSWER_INIT;
    struct records found = { 0 };
    struct gather g = { 0 };
    int code = scan_read_options(argc, argv, &s);
    if (code == 0 && s.prefix && s.prefix[0] != '\0') {
        code = kv_key(argv[0], s.prefix, s.escaped, &g.prefix_size);
        g.prefix = s.prefix;
    }
    opts.flags = 0;
    if (code != 0 || (code = cli_open(&s.cli, &opts)) != 0) {
        return code;
    }
    g.bound = s.read.bound;
    g.replicas = s.read.replicas;
    g.keys_only = s.keys_only;
    int rc = gather_scan(s.cli.domain, &g, &found, &answer);
    if (rc != 0) {
        code = kv_read_failed(&s.cli, rc, &answer, s.cli.name);
    } else {
        scan_print_all(&s, &g, &found, &answer);
        code = kv_tell_damaged(&s.cli, g.damaged, "");
    }
    records_free(&found);
    return cli_end(&s.cli, code);
}
