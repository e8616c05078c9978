/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide node`: options, and what stands around answering the JSON-lines protocol. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/node/node.h"
#include "tools/tools.h"

/* Together small enough for three replicas in the 64 MiB of /dev/shm that containers are given; a quarter of the
 * ring still holds the largest value that fits a line. */
#define RING_BYTES (8ull << 20)
#define TABLE_BYTES (16ull << 20)
#define RYW_WAIT_NS (200ull * 1000000)

#define TOOL "tide node"

static const char HELP[] =
    "Usage: tide node [OPTION]...\n"
    "Answer the JSON-lines protocol (docs/protocol.md): requests on standard input, answers on standard output, one\n"
    "JSON object a line; messages on standard error. One process hosts every replica of node_ids; the first leads.\n"
    "With --domain each process hosts the replica of its own node_id; the first process leads, another takes over.\n\n"
    "  --domain NAME         share this domain with other processes; it is created if it does not exist, and stays\n"
    "  --delay ID=TIME,...   these followers apply each entry so long after its commit: n2=18ms,n3=78ms\n"
    "  --ryw-wait TIME       how long a ryw_read waits for a follower before the leader answers (default 200ms)\n"
    "  --missing error|null  answer to a read of a key that does not exist: error 20, or the value null (default)\n"
    "  --ring SIZE           the log, a power of two from 64K to 4G (default 8M); a value takes at most a quarter\n"
    "  --table SIZE          budget of each replica's table (default 16M)\n"
    "  --json                accepted, since every tool has it: the output is always JSON\n"
    "  --help                print this text\n\n"
    "TIME: 18us, 200ms, 1.5s. SIZE: bytes, or with K, M, G.\n"
    "Exit codes: 0 end of input, closed output, or SIGTERM, SIGINT, SIGHUP; 2 a bad option; 7\n"
    "input or output failed.\n";

/* `list` stays, the delays point into it. */
static int node_read_delays(const char *list, struct node_opts *opts) {
    opts->n_delays = 0;
    for (const char *at = list;; at++) {
        char time[32];
        const char *end = strchrnul(at, ',');
        const char *equals = memrchr(at, '=', (size_t)(end - at));
        if (!equals || equals == at || end - equals > (ptrdiff_t)sizeof(time)) {
            return -1;
        }
        memcpy(time, equals + 1, (size_t)(end - equals - 1));
        time[end - equals - 1] = '\0';
        struct node_delay delay = { at, (size_t)(equals - at), 0 };
        if (opts->n_delays == TIDE_REPLICAS || args_duration(time, &delay.delay_ns) != 0 ||
            delay.delay_ns > PROTOCOL_WAIT_MAX_NS) {
            return -1;
        }
        opts->delays[opts->n_delays++] = delay;
        if (*end == '\0') {
            return 0;
        }
        at = end;
    }
}

static int node_set_option(void *ctx, int option, char *arg) {
    struct node_opts *opts = ctx;
    switch (option) {
    case 'd':
        if (node_read_delays(arg, opts) != 0) {
            return args_error(TOOL, "--delay must be like n2=18ms,n3=78ms, at most 1h each: %s", arg);
        }
        return 0;
    case 'w':
        return args_take_duration(TOOL, arg, 0, PROTOCOL_WAIT_MAX_NS, &opts->ryw_wait_ns,
                                  "--ryw-wait must be a time like 200ms, at most 1h");
    case 'm':
        opts->missing_is_error = strcmp(arg, "error") == 0;
        if (!opts->missing_is_error && strcmp(arg, "null") != 0) {
            return args_error(TOOL, "--missing must be error or null: %s", arg);
        }
        return 0;
    case 'r':
        if (args_size(arg, &opts->ring_bytes) != 0 || opts->ring_bytes < (64u << 10) ||
            opts->ring_bytes > (4ull << 30) || (opts->ring_bytes & (opts->ring_bytes - 1)) != 0) {
            return args_error(TOOL, "--ring must be a power of two from 64K to 4G: %s", arg);
        }
        return 0;
    case 't':
        if (args_size(arg, &opts->table_bytes) != 0 || opts->table_bytes == 0 || opts->table_bytes > (60ull << 30)) {
            return args_error(TOOL, "--table must be a size up to 60G: %s", arg);
        }
        return 0;
    case 'D':
        if (!cli_name_is_good(arg)) {
            return args_error(TOOL, "--domain must be 1 to %u of A-Z a-z 0-9 _ - . and not a dot first: %s",
                              TIDE_NAME_MAX, arg);
        }
        opts->domain = arg;
        return 0;
    default:
        return 0;
    }
}

static int node_read_options(int argc, char **argv, struct node_opts *opts) {
    static const struct option LIST[] = {
        { "delay", required_argument, NULL, 'd' },
        { "ryw-wait", required_argument, NULL, 'w' },
        { "missing", required_argument, NULL, 'm' },
        { "ring", required_argument, NULL, 'r' },
        { "table", required_argument, NULL, 't' },
        { "domain", required_argument, NULL, 'D' },
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, node_set_option };
    int code = args_options(&options, argc, argv, opts);
    return code == 0 && optind < argc ? args_error(argv[0], "unexpected argument: %s", argv[optind]) : code;
}

void node_end(struct node *n) {
    node_domain_close(n);
    protocol_free(&n->protocol);
    json_tape_free(&n->stored);
    json_out_free(&n->values);
    json_out_free(&n->ttls);
    buf_free(&n->key);
    buf_free(&n->value);
    buf_free(&n->other);
    buf_free(&n->sorted);
    buf_free(&n->other_sorted);
}

int tool_node(int argc, char **argv) {
    struct node n = {
        .opts = { .ryw_wait_ns = RYW_WAIT_NS, .ring_bytes = RING_BYTES, .table_bytes = TABLE_BYTES },
        .out_fd = STDOUT_FILENO,
    };
    int code = node_read_options(argc, argv, &n.opts);
    if (code != 0) {
        return code;
    }
    code = node_serve(&n, STDIN_FILENO) == 0 ? TOOL_OK : TOOL_FAILED;
    node_end(&n);
    return code;
}
