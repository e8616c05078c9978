/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide rm`: remove a domain. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/dump/peek.h"
#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide rm NAME [OPTION]...\n"
    "Remove the domain NAME from shared memory, with all its data. Refused while processes are attached to it.\n\n"
    "  --force               remove it all the same: attached processes notice, and their calls fail (\"the segment "
    "was\n"
    "                        unlinked or replaced\")\n"
    "  --json                {removed}\n"
    "  --help                print this text\n\n"
    "Exit codes: 0 removed; 2 usage; 3 no such domain; 4 processes are attached; 7 anything else.\n";

static int rm_refuse_removal(const struct cli *c, const struct peek *p) {
    char pids[128] = "";
    size_t at = 0;
    for (uint32_t i = 0; i < p->members && at + 16 < sizeof(pids); i++) {
        at += (size_t)snprintf(pids + at, sizeof(pids) - at, "%s%d", i ? ", " : ": ", (int)p->pids[i]);
    }
    cli_complain(c, TOOL_REFUSED, "in_use", "%s is in use by %u process%s%s", c->name, p->members,
                 p->members == 1 ? "" : "es", pids);
    fprintf(stderr, "  End them first, or use --force: then their next calls fail.\n");
    return TOOL_REFUSED;
}

static int rm_refuse_nothing(const struct cli *c) {
    const char *missing = peek_no_directory();
    if (missing) {
        return cli_complain(c, TOOL_FAILED, "directory", "%s", missing);
    }
    cli_complain(c, TOOL_NO_DOMAIN, "no_domain", "domain %s: no such domain: nothing was removed", c->name);
    fprintf(stderr, "  'tide ls' lists what is there\n");
    return TOOL_NO_DOMAIN;
}

static int rm_refuse_unseen(const struct cli *c, const struct peek *p) {
    cli_complain(c, TOOL_FAILED, "unseen", "who uses %s cannot be seen, so it is not removed: its log segment: %s",
                 c->name, p->why);
    fprintf(stderr, "  Mend that, or use --force: then the calls of those who use it fail.\n");
    return TOOL_FAILED;
}

/* Is a file of the removed domain left? A new domain may have the name by now: its files do not count. 1, 0, or -1: that cannot be seen. */
static int rm_is_left(const struct cli *c, const struct peek *was, char file[PEEK_FILE_BYTES]) {
    struct peek is;
    int left = peek_leftovers(c->name, 0, file);
    if (left <= 0) {
        return left;
    }
    return peek_domain(c->name, &is) != 0 || is.incarnation == 0 || is.incarnation == was->incarnation;
}

static int rm_remove_domain(const struct cli *c, int force) {
    struct peek p;
    struct json_out j = { 0 };
    char file[PEEK_FILE_BYTES];
    int there = peek_domain(c->name, &p) == 0;
    if (!there && peek_leftovers(c->name, 1, file) == 0) {
        return rm_refuse_nothing(c);
    }
    if (there && p.unseen && !force) {
        return rm_refuse_unseen(c, &p);
    }
    if (there && p.in_use && !force) {
        return rm_refuse_removal(c, &p);
    }
    int rc = tide_unlink(c->name);
    if (rc == TIDE_ERR_SYSTEM) {
        return cli_complain(c, TOOL_FAILED, "failed", "%s cannot be removed: %s", c->name, strerror(errno));
    }
    if (rc != 0 && (there || rc != TIDE_ERR_NO_DOMAIN)) { /* tables without a log are gone now, too */
        if (peek_fault()) {                               /* whose it is, say */
            args_say(c->tool, peek_fault());
        }
        return cli_fail(c, rc, "%s", c->name);
    }
    int left = rm_is_left(c, &p, file);
    if (left < 0) {
        return cli_complain(c, TOOL_FAILED, "unseen", "%s was removed; whether a file of it is left cannot be seen: %s",
                            c->name, strerror(errno));
    }
    if (left) {
        return cli_complain(c, TOOL_FAILED, "left", "%s: %s is still there and cannot be removed: remove it by hand",
                            c->name, file);
    }
    if (!c->json) {
        return TOOL_OK;
    }
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

static int rm_set_option(void *ctx, int option, char *arg) {
    struct removal *r = ctx;
    (void)arg;
    r->force |= option == 'f';
    r->cli.json |= option == 'j';
    return 0;
}

int tool_rm(int argc, char **argv) {
    static const struct option LIST[] = { { "force", no_argument, NULL, 'f' }, ARGS_LAST_OPTIONS };
    const struct args_options options = { HELP, "h", LIST, rm_set_option };
    struct removal r = { .cli = { .tool = argv[0] } };
    int code = args_options(&options, argc, argv, &r);
    code = code != 0 ? code : cli_arguments(&r.cli, argc, argv, 0, 0, "");
    return code != 0 ? code : cli_end(&r.cli, rm_remove_domain(&r.cli, r.force));
}
