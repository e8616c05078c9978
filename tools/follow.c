/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide follow`: one follower in a process of its own. */
#include <stdio.h>

#include "tools/lib/args.h"
#include "tools/foreground.h"
#include "tools/tools.h"
#include "tools/upstream.h"
#include "tools/watchdog.h"

#define HOUR_NS (3600ull * 1000000000)
#define CPU_MAX 4095u
/* `tide serve` may have been started in the same moment: it gets so long to make the domain. */
#define FOLLOW_PATIENCE_NS UINT64_C(2000000000)

static const char HELP[] =
    "Usage: tide follow NAME [OPTION]...\n"
    "Run one follower of the domain NAME in the foreground, until SIGTERM, SIGINT or SIGHUP. It takes over when the\n"
    "leader's process dies. Once it serves, it prints one line: ready NAME replica=1 pid=... candidate=yes index=...\n"
    "term=...\n"
    "If there is no such domain, it waits two seconds for one: tide serve may have been started in the same moment.\n\n"
    "  --no-candidate        never take over (in a domain that etcd feeds, a follower without --upstream never does)\n"
    "  --delay TIME          apply each entry this long after its commit\n"
    "  --watchdog TIME       kill a leader that has not answered for this long (at least 10ms; off by default). A "
    "leader\n"
    "                        that is stopped or hangs counts as living, so no follower takes over from it by itself.\n"
    "                        Works within one pid namespace and one user\n"
    "  --table SIZE          budget of the table, at least that of the other replicas, which is the default\n"
    "  --cpu N               pin the thread that applies entries to CPU N\n"
    "  --label TEXT          name of the replica in the output of tools, up to 31 bytes (default rK)\n" UPSTREAM_HELP
    "  --json                print the ready line as one JSON object\n"
    "  --help                print this text\n\n"
    "A candidate of a domain that etcd feeds needs the --upstream options of the leader.\n"
    "TIME: 18us, 200ms, 1.5s. SIZE: bytes, or with K, M, G.\n"
    "Exit codes: 0 ended by a signal; 2 usage; 3 no such domain, or it was removed; 4 nothing to copy from;\n"
    "7 anything else (the replica cannot serve any more, shared memory is full).\n";

enum { OPT_NO_CANDIDATE = 256, OPT_DELAY, OPT_WATCHDOG, OPT_TABLE, OPT_CPU, OPT_LABEL };

struct follow {
    struct cli cli;
    struct tide_replica_opts replica;
    struct serve_watch watch;
    struct upstream_opts from;
    struct upstream *upstream;
};

static int follow_set_option(void *ctx, int option, char *arg) {
    struct follow *f = ctx;
    const char *tool = f->cli.tool;
    uint64_t cpu;
    switch (option) {
    case OPT_NO_CANDIDATE:
        f->replica.candidate = 0;
        return 0;
    case OPT_DELAY:
        return args_take_duration(tool, arg, 0, HOUR_NS, &f->replica.apply_delay_ns,
                                  "--delay must be a time like 18ms, at most 1h");
    case OPT_WATCHDOG:
        return args_take_duration(tool, arg, 10000000, HOUR_NS, &f->watch.patience_ns,
                                  "--watchdog must be a time from 10ms to 1h");
    case OPT_TABLE:
        return args_size(arg, &f->replica.table_bytes) == 0 && f->replica.table_bytes <= (60ull << 30)
                   ? 0
                   : args_error(tool, "--table must be a size up to 60G: %s", arg);
    case OPT_CPU:
        if (args_u64(arg, 0, CPU_MAX, &cpu) != 0) {
            return args_error(tool, "--cpu must be a CPU's number: %s", arg);
        }
        f->replica.cpu = (int32_t)cpu;
        return 0;
    case OPT_LABEL:
        f->replica.label = arg;
        return 0;
    case 'j':
        f->cli.json = 1;
        return 0;
    default:
        upstream_option(&f->from, option, arg);
        return 0;
    }
}

static int follow_read_options(int argc, char **argv, struct follow *f) {
    static const struct option LIST[] = {
        { "no-candidate", no_argument, NULL, OPT_NO_CANDIDATE },
        { "delay", required_argument, NULL, OPT_DELAY },
        { "watchdog", required_argument, NULL, OPT_WATCHDOG },
        { "table", required_argument, NULL, OPT_TABLE },
        { "cpu", required_argument, NULL, OPT_CPU },
        { "label", required_argument, NULL, OPT_LABEL },
        UPSTREAM_OPTIONS,
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, follow_set_option };
    int code = args_options(&options, argc, argv, f);
    if (code != 0) {
        return code;
    }
    if (f->watch.patience_ns > 0 && !f->replica.candidate) {
        fprintf(stderr,
                "%s: with --no-candidate this process does not take over from a leader that its watchdog kills: run "
                "another follower\n",
                f->cli.tool);
    }
    if ((code = upstream_check(&f->cli, &f->from)) != 0) {
        return code;
    }
    return cli_arguments(&f->cli, argc, argv, 0, 0, "");
}

static int follow_check_table(const struct follow *f) {
    struct tide_info info = TIDE_INFO_INIT;
    if (f->replica.table_bytes == 0 || tide_info(f->cli.domain, &info) != 0 ||
        f->replica.table_bytes >= info.table_bytes) {
        return 0;
    }
    return args_error(f->cli.tool, "--table must be at least the domain's %llu bytes",
                      (unsigned long long)info.table_bytes);
}

static int follow_run(struct follow *f) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    uint32_t id;
    opts.flags = 0;
    f->cli.leads = 1;
    int code = cli_open_within(&f->cli, &opts, FOLLOW_PATIENCE_NS);
    if (code != 0 || (code = follow_check_table(f)) != 0) {
        return code;
    }
    struct tide_info info = TIDE_INFO_INIT;
    if (!f->from.url && tide_info(f->cli.domain, &info) == 0 && info.source[0] != 0) {
        f->replica.candidate = 0; /* only what feeds the domain may lead it */
    }
    if (f->from.url && (code = upstream_open(&f->cli, &f->from, &f->upstream)) != 0) {
        return code;
    }
    int rc = tide_replica_start(f->cli.domain, &f->replica, &id);
    if (rc != 0) {
        return cli_fail(&f->cli, rc, "cannot follow %s", f->cli.name);
    }
    code = serve_ready(&f->cli, "follower", &id, 1, (int)f->replica.candidate);
    code = code == 0 ? serve_until_end(&f->cli, &id, 1, &f->watch, f->upstream) : code;
    if (code == 0 && f->upstream && upstream_is_another(f->upstream)) {
        if (upstream_is_astray(f->upstream)) {
            return upstream_leave(f->upstream);
        }
        /* Whoever opens the domain next makes it anew. */
        (void)tide_unlink(f->cli.name);
        return cli_complain(&f->cli, TOOL_NO_DOMAIN, "gone", "etcd: %s: the domain %s was removed: ending",
                            upstream_another_why(f->upstream), f->cli.name);
    }
    return code;
}

int tool_follow(int argc, char **argv) {
    struct follow f = { .cli = { .tool = argv[0], .chatty = 1 }, .replica = TIDE_REPLICA_OPTS_INIT };
    f.replica.candidate = 1;
    int code = follow_read_options(argc, argv, &f);
    if (code != 0) {
        return code;
    }
    cli_catch_signals();
    code = follow_run(&f);
    return upstream_end(f.upstream, &f.cli, code);
}
