/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide rm`: remove a domain. */
#include <stdio.h>

#include "tools/dump/peek.h"
#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide rm NAME [OPTION]...\n"
    "Remove the domain NAME from shared memory, with all its data. Refused while processes are attached.\n\n"
    "  --force               also then: they notice and end with an error (\"the segment was unlinked or replaced\");\n"
    "                        a file that is no domain, or a damaged one, goes as well\n"
    "  --json                {removed}\n"
    "  --help                this text\n\n"
    "Exit codes: 0 removed; 2 usage; 3 no such domain; 4 processes are attached; 7 anything else.\n";

static int refuse_removal(const struct cli *c, const struct peek *p) {
    char pids[128] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < p->members && at + 16 < sizeof(pids); i++)
        at += (size_t)snprintf(pids + at, sizeof(pids) - at, "%s%d", i ? ", " : ": ", (int)p->pids[i]);
    cli_complain(c, TOOL_REFUSED, "in_use", "%s is in use by %u process%s%s", c->name, p->members,
                 p->members == 1 ? "" : "es", pids);
    fprintf(stderr, "  end them first, or use --force: they will notice and end with an error\n");
    return TOOL_REFUSED;
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
        return TOOL_OK;
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "removed", c->name);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
    return TOOL_OK;
}

struct removal {
    struct cli cli;
    int force;
};

static int set_option(void *ctx, int option, char *arg) {
    struct removal *r = ctx;
    (void)arg;
    r->force |= option == 'f';
    r->cli.json |= option == 'j';
    return 0;
}

int tool_rm(int argc, char **argv) {
    static const struct option LIST[] = { { "force", no_argument, NULL, 'f' }, ARGS_LAST_OPTIONS };
    const struct args_options options = { HELP, "h", LIST, set_option };
    struct removal r = { .cli = { .tool = argv[0] } };
    int code = args_options(&options, argc, argv, &r);
    code = code != 0 ? code : cli_arguments(&r.cli, argc, argv, 0, 0, "");
    return code != 0 ? code : cli_end(&r.cli, remove_domain(&r.cli, r.force));
}
