/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide step-down`: the leader hands over to another process. */
#include <stdio.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/tools.h"

#define HOUR_NS (3600ull * 1000000000)
#define LOOK_NS 2000000u

static const char HELP[] =
    "Usage: tide step-down NAME [OPTION]...\n"
    "Ask the leader's process to hand over to a candidate in another process, and wait until that one leads. Nothing "
    "is\n"
    "lost; writes wait meanwhile. If no other process takes over within a second, a replica of the same process leads\n"
    "again, with a new term.\n\n"
    "  --wait TIME           how long to wait for the new leader (default 5s)\n"
    "  --json                {from, from_pid, to, to_pid, term, waited_ns}\n"
    "  --help                print this text\n\n"
    "Exit codes: 0 another process or replica leads; 1 the same one leads again; 2 usage; 3 no such\n"
    "domain; 4 nobody leads, or not in time (the leader is no candidate, or stopped); 7 anything else.\n";

static int step_down_print_handed_over(const struct cli *c, const struct tide_info *was, const struct tide_info *is,
                                       uint64_t waited_ns) {
    struct json_out j = { 0 };
    char waited[32];
    int other = is->leader != was->leader || is->leader_pid != was->leader_pid;
    args_duration_text(waited_ns, waited, sizeof(waited));
    if (c->json) {
        json_out_open(&j, NULL, '{');
        json_out_i64(&j, "from", was->leader);
        json_out_i64(&j, "from_pid", was->leader_pid);
        json_out_i64(&j, "to", is->leader);
        json_out_i64(&j, "to_pid", is->leader_pid);
        json_out_u64(&j, "term", is->term);
        json_out_u64(&j, "waited_ns", waited_ns);
        json_out_close(&j, '}');
        json_out_print(&j, stdout);
    } else if (other) {
        printf("replica %d (process %d) handed over to replica %d (process %d), term %llu, after %s\n", was->leader,
               was->leader_pid, is->leader, is->leader_pid, (unsigned long long)is->term, waited);
    }
    if (!other) {
        fprintf(stderr, "%s: no candidate of another process took over: replica %d (process %d) leads on, term %llu\n",
                c->tool, is->leader, is->leader_pid, (unsigned long long)is->term);
    }
    return other ? TOOL_OK : TOOL_NO;
}

static int step_down(struct cli *c, uint64_t wait_ns) {
    struct tide_info was = TIDE_INFO_INIT, is = TIDE_INFO_INIT;
    int rc = tide_info(c->domain, &was);
    rc = rc == 0 ? tide_step_down(c->domain) : rc;
    if (rc != 0) {
        return cli_fail(c, rc, "%s", c->name);
    }
    uint64_t start = tide_now(c->domain), waited_ns;
    do {
        cli_sleep(LOOK_NS);
        waited_ns = tide_now(c->domain) - start;
        rc = tide_info(c->domain, &is);
        if (rc == 0 && is.led && is.leader >= 0 && is.term != was.term) {
            return step_down_print_handed_over(c, &was, &is, waited_ns);
        }
    } while (rc == 0 && waited_ns < wait_ns);
    if (rc == 0 && is.led && is.term == was.term) {
        return cli_complain(c, TOOL_REFUSED, "timeout",
                            "%s: replica %d (process %d) still leads: it is no candidate, stopped, or busy", c->name,
                            is.leader, is.leader_pid);
    }
    return cli_fail(c, rc != 0 ? rc : TIDE_ERR_NO_LEADER, "%s", c->name);
}

struct handover {
    struct cli cli;
    uint64_t wait_ns;
};

static int step_down_set_option(void *ctx, int option, char *arg) {
    struct handover *h = ctx;
    if (option == 'w') {
        return args_take_duration(h->cli.tool, arg, 0, HOUR_NS, &h->wait_ns,
                                  "--wait must be a time like 5s, at most 1h");
    }
    h->cli.json |= option == 'j';
    return 0;
}

int tool_step_down(int argc, char **argv) {
    static const struct option LIST[] = { { "wait", required_argument, NULL, 'w' }, ARGS_LAST_OPTIONS };
    const struct args_options options = { HELP, "h", LIST, step_down_set_option };
    struct handover h = { .cli = { .tool = argv[0] }, .wait_ns = 5000000000u };
    struct tide_opts opts = TIDE_OPTS_INIT;
    int code = args_options(&options, argc, argv, &h);
    opts.flags = 0;
    if (code != 0 || (code = cli_arguments(&h.cli, argc, argv, 0, 0, "")) != 0 ||
        (code = cli_open(&h.cli, &opts)) != 0) {
        return code;
    }
    return cli_end(&h.cli, step_down(&h.cli, h.wait_ns));
}
