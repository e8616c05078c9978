/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide serve`: a leader and followers in the foreground. */
#include "tools/foreground.h"

#include <stdio.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/dump/peek.h"
#include "tools/tools.h"
#include "tools/upstream.h"

#define HOUR_NS (3600ull * 1000000000)
#define FOLLOWERS_MAX (TIDE_REPLICAS - 1)
#define CPU_MAX 4095u

static const char HELP[] =
    "Usage: tide serve NAME [OPTION]...\n"
    "Lead the domain NAME in the foreground and run followers in the same process, until SIGTERM, SIGINT or SIGHUP.\n"
    "Creates the domain if it does not exist. If all processes of the domain died, serve goes on from the data they\n"
    "left; if those are damaged, it says so and begins with an empty domain. Every replica is a candidate: if another\n"
    "process takes the lead, this one follows. If another process leads already (a candidate took over, say), this "
    "one\n"
    "follows it, and takes over when it ends, or when 'tide step-down NAME' asks it to hand over.\n"
    "Once it serves, it prints one line: ready NAME leader=0 replicas=2 pid=... index=... term=...; where another\n"
    "process leads: ready NAME replica=2 pid=... candidate=yes index=... term=...\n"
    "When it ends, the data stay in shared memory for the next 'tide serve'; 'tide rm' removes them.\n\n"
    "  --followers N         run N followers besides the leader (default 1; at most 63)\n"
    "  --ring SIZE           size of the log, a power of two from 64K to 4G (default 16M, less where shared memory is\n"
    "                        short); only for a new domain\n"
    "  --table SIZE          budget of each replica's table (default 64M or twice the ring, less where shared memory\n"
    "                        is short); an existing domain's can only be raised\n"
    "  --expected-keys N     make room in the index for N keys at once; only for a new domain\n"
    "  --evict s3fifo|none   when the tables are full, remove what nobody reads, or refuse (none, the default); only\n"
    "                        for a new domain\n"
    "  --default-ttl TIME    how long a value lives whose write names no ttl (default: for ever); only for a new "
    "domain\n"
    "  --delay TIME,...      the followers apply each entry this long after its commit; one time for all, or one each\n"
    "  --slow-follower TIME  how long the leader waits for a slow follower (default 50ms); only for a new domain\n"
    "  --cpu N,...           pin the followers' threads to these CPUs; - leaves one unpinned\n" UPSTREAM_HELP
    "  --json                print the ready line as one JSON object\n"
    "  --help                print this text\n\n"
    "With --upstream, reads and writes of every process of this host are those of the cluster: docs/operations.md, "
    "*More\n"
    "than one host*. If the cluster is replaced, or restored from an older backup, the domain is made anew.\n"
    "TIME: 18us, 200ms, 1.5s. SIZE: bytes, or with K, M, G.\n"
    "Exit codes: 0 ended by a signal; 2 usage; 3 the domain was removed or replaced; 4 another process leads, and\n"
    "there is nothing to copy from; 7 anything else (shared memory is full, say).\n";

enum { OPT_FOLLOWERS = 256, OPT_RING, OPT_TABLE, OPT_KEYS, OPT_EVICT, OPT_DELAY, OPT_SLOW, OPT_CPU, OPT_TTL };

struct serve {
    struct cli cli;
    struct tide_opts opts;
    uint64_t followers;
    uint64_t delays_ns[FOLLOWERS_MAX];
    int32_t cpus[FOLLOWERS_MAX];
    int n_delays, n_cpus;
    uint32_t ids[TIDE_REPLICAS];
    size_t n_ids;
    struct upstream_opts from;
    struct upstream *upstream;
    bool evict_given;
    int follows; /* another process led already */
    int again;   /* the domain was removed, to be made anew */
};

static int serve_read_delay(void *ctx, size_t number, const char *piece) {
    uint64_t *delays_ns = ctx;
    return args_duration(piece, &delays_ns[number]) == 0 && delays_ns[number] <= HOUR_NS ? 0 : -1;
}

static int serve_read_cpu(void *ctx, size_t number, const char *piece) {
    int32_t *cpus = ctx;
    uint64_t cpu;
    cpus[number] = -1;
    if (strcmp(piece, "-") == 0) {
        return 0;
    }
    if (args_u64(piece, 0, CPU_MAX, &cpu) != 0) {
        return -1;
    }
    cpus[number] = (int32_t)cpu;
    return 0;
}

static int serve_set_size(struct serve *s, int option, const char *arg) {
    uint64_t *to = option == OPT_RING ? &s->opts.ring_bytes : &s->opts.table_bytes;
    const char *name = option == OPT_RING ? "--ring" : "--table";
    if (args_size(arg, to) != 0 || *to == 0) {
        return args_error(s->cli.tool, "%s must be a size like 16M: %s", name, arg);
    }
    if (option == OPT_RING && (*to < (64u << 10) || *to > (4ull << 30) || (*to & (*to - 1)) != 0)) {
        return args_error(s->cli.tool, "--ring must be a power of two from 64K to 4G: %s", arg);
    }
    if (option == OPT_TABLE && (*to < (256u << 10) || *to > (60ull << 30))) {
        return args_error(s->cli.tool, "--table must be from 256K to 60G: %s", arg);
    }
    return 0;
}

static int serve_set_option(void *ctx, int option, char *arg) {
    struct serve *s = ctx;
    const char *tool = s->cli.tool;
    switch (option) {
    case OPT_FOLLOWERS:
        return args_u64(arg, 0, FOLLOWERS_MAX, &s->followers) == 0
                   ? 0
                   : args_error(tool, "--followers must be 0 to %u: %s", FOLLOWERS_MAX, arg);
    case OPT_RING:
    case OPT_TABLE:
        return serve_set_size(s, option, arg);
    case OPT_KEYS:
        return args_u64(arg, 0, 1ull << 32, &s->opts.expected_keys) == 0
                   ? 0
                   : args_error(tool, "--expected-keys must be a number: %s", arg);
    case OPT_EVICT:
        s->evict_given = true;
        s->opts.evict = strcmp(arg, "s3fifo") == 0 ? TIDE_EVICT_S3FIFO : TIDE_EVICT_NONE;
        return s->opts.evict != TIDE_EVICT_NONE || strcmp(arg, "none") == 0
                   ? 0
                   : args_error(tool, "--evict must be s3fifo or none: %s", arg);
    case OPT_DELAY:
        s->n_delays = cli_list(arg, FOLLOWERS_MAX, serve_read_delay, s->delays_ns);
        return s->n_delays > 0 ? 0 : args_error(tool, "--delay must be times up to 1h, like 18ms,78ms: %s", arg);
    case OPT_SLOW:
        return args_take_duration(tool, arg, 1, HOUR_NS, &s->opts.slow_follower_ns,
                                  "--slow-follower must be a time like 50ms, above 0 and at most 1h");
    case OPT_TTL:
        return args_take_duration(tool, arg, 1, UINT64_MAX, &s->opts.default_ttl_ns,
                                  "--default-ttl must be a time like 10m, above 0");
    case OPT_CPU:
        s->n_cpus = cli_list(arg, FOLLOWERS_MAX, serve_read_cpu, s->cpus);
        return s->n_cpus > 0 ? 0 : args_error(tool, "--cpu must be CPU numbers like 2,3, or -: %s", arg);
    case 'j':
        s->cli.json = 1;
        return 0;
    default:
        upstream_option(&s->from, option, arg);
        return 0;
    }
}

static int serve_read_options(int argc, char **argv, struct serve *s) {
    static const struct option LIST[] = {
        { "followers", required_argument, NULL, OPT_FOLLOWERS },
        { "ring", required_argument, NULL, OPT_RING },
        { "table", required_argument, NULL, OPT_TABLE },
        { "expected-keys", required_argument, NULL, OPT_KEYS },
        { "evict", required_argument, NULL, OPT_EVICT },
        { "default-ttl", required_argument, NULL, OPT_TTL },
        { "delay", required_argument, NULL, OPT_DELAY },
        { "slow-follower", required_argument, NULL, OPT_SLOW },
        { "cpu", required_argument, NULL, OPT_CPU },
        UPSTREAM_OPTIONS,
        ARGS_LAST_OPTIONS,
    };
    const struct args_options options = { HELP, "h", LIST, serve_set_option };
    int code = args_options(&options, argc, argv, s);
    if (code != 0) {
        return code;
    }
    if (s->n_delays > 1 && (uint64_t)s->n_delays > s->followers) {
        return args_error(argv[0], "--delay has %d times for %llu followers", s->n_delays,
                          (unsigned long long)s->followers);
    }
    if (s->n_cpus > 1 && (uint64_t)s->n_cpus > s->followers) {
        return args_error(argv[0], "--cpu has %d CPUs for %llu followers", s->n_cpus, (unsigned long long)s->followers);
    }
    if ((code = upstream_check(&s->cli, &s->from)) != 0) {
        return code;
    }
    if (s->from.url && (s->opts.evict != TIDE_EVICT_NONE || s->opts.default_ttl_ns != 0)) {
        return args_error(argv[0],
                          "--evict and --default-ttl are not for a domain with --upstream: it holds what etcd holds");
    }
    s->opts.source = s->from.url ? "etcd" : NULL;
    return cli_arguments(&s->cli, argc, argv, 0, 0, "");
}

/* Does another process lead? Then its pid, 0 if the board does not tell, or -1. */
static int64_t serve_led_by(const struct serve *s) {
    struct peek p;
    return peek_domain(s->cli.name, &p) == 0 && p.led ? p.leader_pid : -1;
}

/* Say what was asked for that the existing domain does not have. */
static void serve_warn_sizes(const struct serve *s) {
    struct tide_info info = TIDE_INFO_INIT;
    if (tide_info(s->cli.domain, &info) != 0) {
        return;
    }
    if (s->opts.ring_bytes != 0 && s->opts.ring_bytes != info.ring_bytes) {
        fprintf(stderr, "%s: the domain is there already, its ring has %llu bytes: --ring has no effect\n", s->cli.tool,
                (unsigned long long)info.ring_bytes);
    }
    if (s->opts.table_bytes != 0 && s->opts.table_bytes < info.table_bytes) {
        fprintf(stderr, "%s: the domain is there already, its tables have %llu bytes: --table has no effect\n",
                s->cli.tool, (unsigned long long)info.table_bytes);
    }
    if (s->opts.default_ttl_ns != 0 && s->opts.default_ttl_ns != info.default_ttl_ns) {
        fprintf(stderr, "%s: the domain is there already, with its own ttl: --default-ttl has no effect\n",
                s->cli.tool);
    }
    struct peek p;
    if (peek_domain(s->cli.name, &p) != 0 || p.incarnation != info.incarnation) {
        return;
    }
    if (s->evict_given && (s->opts.evict != TIDE_EVICT_NONE) != p.evicts) {
        fprintf(stderr, "%s: the domain is there already, and %s: --evict has no effect\n", s->cli.tool,
                p.evicts ? "evicts" : "does not evict");
    }
    if (s->opts.expected_keys != 0 && s->opts.expected_keys != p.expected_keys) {
        fprintf(stderr, "%s: the domain is there already, made for %llu expected keys: --expected-keys has no effect\n",
                s->cli.tool, (unsigned long long)p.expected_keys);
    }
    if (s->opts.slow_follower_ns != 0 && s->opts.slow_follower_ns != p.slow_follower_ns) {
        char time[32];
        fprintf(stderr, "%s: the domain is there already, its leaders wait %s: --slow-follower has no effect\n",
                s->cli.tool, args_duration_text(p.slow_follower_ns, time, sizeof(time)));
    }
}

/* Open the domain, and what feeds it. */
static int serve_open_domain(struct serve *s) {
    int code = cli_open(&s->cli, &s->opts);
    return code == 0 && s->from.url ? upstream_open(&s->cli, &s->from, &s->upstream) : code;
}

/* The domain and what feeds it. */
static int serve_close_domain(struct serve *s, int code) {
    struct upstream *u = s->upstream;
    s->upstream = NULL;
    return upstream_end(u, &s->cli, code);
}

static int serve_start_replica(struct serve *s, struct tide_replica_opts *o) {
    struct tide_info info = TIDE_INFO_INIT;
    o->candidate = 1;
    if (tide_info(s->cli.domain, &info) == 0 && s->opts.table_bytes > info.table_bytes) {
        o->table_bytes = s->opts.table_bytes;
    }
    int rc = tide_replica_start(s->cli.domain, o, &s->ids[s->n_ids]);
    s->n_ids += rc == 0;
    return rc;
}

static int serve_start_leader(struct serve *s) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    o.role = TIDE_LEADER;
    s->n_ids = 0;
    return serve_start_replica(s, &o);
}

/* Another process leads: the replica that would have led follows. */
static int serve_join(struct serve *s) {
    struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
    int64_t pid = serve_led_by(s); /* 0 or less where the leader has not said yet who it is */
    s->follows = 1;
    s->n_ids = 0;
    int rc = serve_start_replica(s, &o);
    if (rc != 0) {
        return cli_fail(&s->cli, rc, "another process leads %s already, and this one cannot follow it", s->cli.name);
    }
    char who[48] = "another process";
    if (pid > 0) {
        snprintf(who, sizeof(who), "process %lld", (long long)pid);
    }
    args_sayf(s->cli.tool, "%s leads %s already: this one follows, and takes over when that one ends", who,
              s->cli.name);
    fprintf(stderr, "  'tide step-down %s' asks it to hand over now\n", s->cli.name);
    serve_warn_sizes(s);
    return 0;
}

/* What a dead domain left is damaged, and no process uses it: remove it and create it anew. */
static int serve_create_anew(struct serve *s) {
    struct peek p;
    int rc = serve_close_domain(s, 0);
    if (rc != 0 ||
        (peek_domain(s->cli.name, &p) == 0 && p.state != PEEK_DEAD)) { /* in use, or it cannot be seen whether it is */
        return TIDE_ERR_NO_REPLICA;
    }
    fprintf(stderr, "%s: nothing whole is left of %s, and nobody else uses it: created anew, empty\n", s->cli.tool,
            s->cli.name);
    rc = tide_unlink(s->cli.name);
    return rc == TIDE_ERR_NO_DOMAIN ? 0 : rc;
}

static int serve_lead(struct serve *s) {
    s->follows = 0;
    s->cli.leads = 1;
    int code = serve_open_domain(s);
    if (code != 0) {
        return code;
    }
    int rc = serve_led_by(s) >= 0 ? TIDE_ERR_BUSY : serve_start_leader(s);
    if (rc == TIDE_ERR_NO_REPLICA && (rc = serve_create_anew(s)) == 0) {
        if ((code = serve_open_domain(s)) != 0) {
            return code;
        }
        rc = serve_start_leader(s);
    }
    if (rc == TIDE_ERR_BUSY) {
        return serve_join(s);
    }
    if (rc != 0) {
        return cli_fail(&s->cli, rc, "cannot lead %s", s->cli.name);
    }
    serve_warn_sizes(s);
    return 0;
}

static int serve_start_followers(struct serve *s) {
    for (uint64_t i = 0; i < s->followers; i++) {
        struct tide_replica_opts o = TIDE_REPLICA_OPTS_INIT;
        if (s->n_delays > 0) {
            o.apply_delay_ns = s->delays_ns[s->n_delays == 1 ? 0 : i];
        }
        if (s->n_cpus > 0 && (s->n_cpus == 1 || i < (uint64_t)s->n_cpus)) {
            o.cpu = s->cpus[s->n_cpus == 1 ? 0 : i];
        }
        int rc = serve_start_replica(s, &o);
        if (rc != 0) {
            return cli_fail(&s->cli, rc, "cannot start follower %llu of %llu", (unsigned long long)i + 1,
                            (unsigned long long)s->followers);
        }
    }
    return 0;
}

static int serve_is_another(const struct serve *s) {
    return s->upstream && upstream_is_another(s->upstream);
}

/* The cluster is another one: nothing that the domain holds is worth anything. */
static int serve_begin_anew(struct serve *s) {
    args_sayf(s->cli.tool, "etcd: %s: the domain %s begins anew", upstream_another_why(s->upstream), s->cli.name);
    int code = serve_close_domain(s, 0);
    int rc = tide_unlink(s->cli.name);
    if (code == 0 && rc != 0 && rc != TIDE_ERR_NO_DOMAIN) {
        code = cli_fail(&s->cli, rc, "cannot remove %s", s->cli.name);
    }
    s->again = code == 0;
    return code;
}

static int serve_run(struct serve *s) {
    s->again = 0;
    int code = serve_lead(s);
    code = code == 0 ? serve_start_followers(s) : code;
    code = code == 0 && s->upstream && !s->follows ? upstream_wait(s->upstream) : code;
    const char *role = s->follows ? "follower" : "leader";
    code = code == 0 && !serve_is_another(s) ? serve_ready(&s->cli, role, s->ids, s->n_ids, 1) : code;
    return code == 0 && !serve_is_another(s) ? serve_until_end(&s->cli, s->ids, s->n_ids, NULL, s->upstream) : code;
}

int tool_serve(int argc, char **argv) {
    struct serve s = { .cli = { .tool = argv[0], .chatty = 1 }, .opts = TIDE_OPTS_INIT, .followers = 1 };
    int code = serve_read_options(argc, argv, &s);
    if (code != 0) {
        return code;
    }
    cli_catch_signals();
    do {
        code = serve_run(&s);
        if (code == 0 && serve_is_another(&s)) {
            code = s.follows && upstream_is_astray(s.upstream) ? upstream_leave(s.upstream) : serve_begin_anew(&s);
        }
    } while (code == 0 && s.again);
    return serve_close_domain(&s, code);
}
