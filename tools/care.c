/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide gc`, `tide rm`, `tide step-down`. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/args.h"
#include "tools/client.h"
#include "tools/dump_peek.h"
#include "tools/tools.h"

#define HOUR_NS (3600ull * 1000000000)
#define LOOK_NS 2000000u

static const char GC_HELP[] =
    "Usage: tide gc [NAME] [OPTION]...\n"
    "Free the slots of dead processes: members, replicas, lanes, readers. Of NAME, or of all domains. It also happens\n"
    "whenever somebody joins and finds no free slot, or takes over. A replica that may be the last copy is kept for a\n"
    "warm start; 'tide rm' removes a domain with everything.\n\n"
    "  --json                an object a line: {name, dead_members, orphans, state}\n"
    "  --help                this text\n\n"
    "Exit codes: 0 done; 2 usage; 3 no such domain; 7 anything else, also when one of several domains is damaged.\n";

static const char RM_HELP[] =
    "Usage: tide rm NAME [OPTION]...\n"
    "Remove the domain NAME from shared memory, with all its data. Refused while processes are attached.\n\n"
    "  --force               also then: they notice and end with an error (\"the segment was unlinked or replaced\");\n"
    "                        a file that is no domain, or a damaged one, goes as well\n"
    "  --json                {removed}\n"
    "  --help                this text\n\n"
    "Exit codes: 0 removed; 2 usage; 3 no such domain; 4 processes are attached; 7 anything else.\n";

static const char STEP_DOWN_HELP[] =
    "Usage: tide step-down NAME [OPTION]...\n"
    "Ask the leader's process to hand over to a candidate in another one, and wait until that leads. Nothing is lost;\n"
    "writes wait meanwhile. Where no other process takes over within a second, a replica of the same one leads again,\n"
    "with a new term.\n\n"
    "  --wait TIME           how long to wait for it (default 5s)\n"
    "  --json                {from, from_pid, to, to_pid, term, waited_ns}\n"
    "  --help                this text\n\n"
    "Exit codes: 0 another process or replica leads; 1 the same one leads again; 2 usage; 3 no such\n"
    "domain; 4 nobody leads, or not in time (the leader is no candidate, or stopped); 7 anything else.\n";

/* ---- gc ---- */

static void print_collected(const struct cli *c, const struct peek *before, const struct peek *after) {
    struct json_out j = { 0 };
    uint32_t freed = before->dead > after->dead ? before->dead - after->dead : 0;
    if (!c->json) {
        printf("%s: %u dead member%s freed", before->name, freed, freed == 1 ? "" : "s");
        if (after->orphans > 0)
            printf("; %u replica%s kept for a warm start ('tide serve %s' takes it up, 'tide rm %s' removes it)",
                   after->orphans, after->orphans == 1 ? "" : "s", before->name, before->name);
        putchar('\n');
        return;
    }
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "name", before->name);
    json_out_u64(&j, "dead_members", freed);
    json_out_u64(&j, "orphans", after->orphans);
    json_out_text(&j, "state", after->state == PEEK_ALIVE ? "alive" : "dead");
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static int collect(struct cli *c, const char *name) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct peek before, after;
    opts.flags = 0;
    c->name = name;
    if (peek_domain(name, &before) != 0)
        return cli_fail(c, TIDE_ERR_NO_DOMAIN, "domain %s", name);
    int code = cli_open(c, &opts);
    if (code != 0)
        return code;
    int rc = tide_gc(c->domain, NULL);
    tide_close(c->domain);
    c->domain = NULL;
    if (rc != 0)
        return cli_fail(c, rc, "%s", name);
    if (peek_domain(name, &after) == 0)
        print_collected(c, &before, &after);
    return CLI_OK;
}

static int collect_all(struct cli *c) {
    char(*names)[64];
    int worst = CLI_OK, n = peek_list(&names);
    if (n < 0)
        return cli_complain(c, CLI_FAILED, "directory", "the directory of the segments: %s", strerror(errno));
    for (int i = 0; i < n; i++) {
        struct peek p;
        if (peek_domain(names[i], &p) != 0 || p.state == PEEK_CLOSED)
            continue; /* gone meanwhile, or not ours */
        int code = collect(c, names[i]);
        worst = code == CLI_OK || code == CLI_NO_DOMAIN ? worst : CLI_FAILED;
    }
    free(names);
    return worst;
}

int tool_gc(int argc, char **argv) {
    struct cli c = { .tool = argv[0] };
    int code = cli_only_json(&c, argc, argv, GC_HELP);
    if (code != 0)
        return code;
    if (optind == argc)
        return cli_end(&c, collect_all(&c));
    code = cli_arguments(&c, argc, argv, 0, 0, "");
    return code != 0 ? code : cli_end(&c, collect(&c, c.name));
}

/* ---- rm ---- */

static int refuse_removal(const struct cli *c, const struct peek *p) {
    char pids[128] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < p->members && at + 16 < sizeof(pids); i++)
        at += (size_t)snprintf(pids + at, sizeof(pids) - at, "%s%d", i ? ", " : ": ", (int)p->pids[i]);
    cli_complain(c, CLI_REFUSED, "in_use", "%s is in use by %u process%s%s", c->name, p->members,
                 p->members == 1 ? "" : "es", pids);
    fprintf(stderr, "  end them first, or use --force: they will notice and end with an error\n");
    return CLI_REFUSED;
}

static int remove_domain(const struct cli *c, int force) {
    struct peek p;
    struct json_out j = { 0 };
    int there = peek_domain(c->name, &p) == 0;
    if (!there && !peek_leftovers(c->name))
        return cli_fail(c, TIDE_ERR_NO_DOMAIN, "domain %s", c->name);
    if (there && p.in_use && !force)
        return refuse_removal(c, &p);
    int rc = tide_unlink(c->name);
    if (rc != 0 && (there || rc != TIDE_ERR_NO_DOMAIN)) /* tables without a log are gone now, too */
        return cli_fail(c, rc, "%s", c->name);
    if (!c->json)
        return CLI_OK;
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "removed", c->name);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
    return CLI_OK;
}

struct removal {
    struct cli cli;
    int force;
};

static int set_rm_option(void *ctx, int option, char *arg) {
    struct removal *r = ctx;
    (void)arg;
    r->force |= option == 'f';
    r->cli.json |= option == 'j';
    return 0;
}

int tool_rm(int argc, char **argv) {
    static const struct option LIST[] = { { "force", no_argument, NULL, 'f' }, ARGS_LAST_OPTIONS };
    const struct args_options options = { RM_HELP, CLI_FAILED, "h", LIST, set_rm_option };
    struct removal r = { .cli = { .tool = argv[0] } };
    int code = args_options(&options, argc, argv, &r);
    code = code != 0 ? code : cli_arguments(&r.cli, argc, argv, 0, 0, "");
    return code != 0 ? code : cli_end(&r.cli, remove_domain(&r.cli, r.force));
}

/* ---- step-down ---- */

static int print_handed_over(const struct cli *c, const struct tide_info *was, const struct tide_info *is,
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
    if (!other)
        fprintf(stderr, "%s: no candidate of another process took over: replica %d (process %d) leads on, term %llu\n",
                c->tool, is->leader, is->leader_pid, (unsigned long long)is->term);
    return other ? CLI_OK : CLI_NO;
}

static int step_down(struct cli *c, uint64_t wait_ns) {
    struct tide_info was = TIDE_INFO_INIT, is = TIDE_INFO_INIT;
    int rc = tide_info(c->domain, &was);
    rc = rc == 0 ? tide_step_down(c->domain) : rc;
    if (rc != 0)
        return cli_fail(c, rc, "%s", c->name);
    uint64_t start = tide_now(c->domain), waited_ns;
    do {
        cli_sleep(LOOK_NS);
        waited_ns = tide_now(c->domain) - start;
        rc = tide_info(c->domain, &is);
        if (rc == 0 && is.led && is.leader >= 0 && is.term != was.term)
            return print_handed_over(c, &was, &is, waited_ns);
    } while (rc == 0 && waited_ns < wait_ns);
    if (rc == 0 && is.led && is.term == was.term)
        return cli_complain(c, CLI_REFUSED, "timeout",
                            "%s: replica %d (process %d) still leads: it is no candidate, stopped, or busy", c->name,
                            is.leader, is.leader_pid);
    return cli_fail(c, rc != 0 ? rc : TIDE_ERR_NO_LEADER, "%s", c->name);
}

struct handover {
    struct cli cli;
    uint64_t wait_ns;
};

static int set_step_down_option(void *ctx, int option, char *arg) {
    struct handover *h = ctx;
    if (option == 'w' && (args_duration(arg, &h->wait_ns) != 0 || h->wait_ns > HOUR_NS))
        return args_error(h->cli.tool, "--wait must be a time like 5s, at most 1h: %s", arg);
    h->cli.json |= option == 'j';
    return 0;
}

int tool_step_down(int argc, char **argv) {
    static const struct option LIST[] = { { "wait", required_argument, NULL, 'w' }, ARGS_LAST_OPTIONS };
    const struct args_options options = { STEP_DOWN_HELP, CLI_FAILED, "h", LIST, set_step_down_option };
    struct handover h = { .cli = { .tool = argv[0] }, .wait_ns = 5000000000u };
    struct tide_opts opts = TIDE_OPTS_INIT;
    int code = args_options(&options, argc, argv, &h);
    opts.flags = 0;
    if (code != 0 || (code = cli_arguments(&h.cli, argc, argv, 0, 0, "")) != 0 || (code = cli_open(&h.cli, &opts)) != 0)
        return code;
    return cli_end(&h.cli, step_down(&h.cli, h.wait_ns));
}
