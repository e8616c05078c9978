/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide gc`: free what dead processes left. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/dump/peek.h"
#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/tools.h"

static const char HELP[] =
    "Usage: tide gc [NAME] [OPTION]...\n"
    "Free the slots of dead processes (members, replicas, lanes, readers) in the domain NAME, or in all domains. This\n"
    "also happens by itself when a process joins and finds no free slot, and when one takes over. A replica that may "
    "be\n"
    "the last copy is kept for a warm start; 'tide rm' removes a whole domain.\n\n"
    "  --json                print one object a line: {name, dead_members, orphans, state}\n"
    "  --help                print this text\n\n"
    "Exit codes: 0 done; 2 usage; 3 no such domain; 7 anything else, also when one of several domains is damaged.\n";

static void gc_print_collected(const struct cli *c, const struct peek *before, const struct peek *after) {
    struct json_out j = { 0 };
    uint32_t freed = before->dead > after->dead ? before->dead - after->dead : 0;
    if (!c->json) {
        printf("%s: %u dead member%s freed", before->name, freed, freed == 1 ? "" : "s");
        if (after->orphans > 0) {
            printf("; %u replica%s kept for a warm start ('tide serve %s' takes it up, 'tide rm %s' removes it)",
                   after->orphans, after->orphans == 1 ? "" : "s", before->name, before->name);
        }
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

static int gc_collect(struct cli *c, const char *name) {
    struct tide_opts opts = TIDE_OPTS_INIT;
    struct peek before, after;
    opts.flags = 0;
    c->name = name;
    const char *missing = peek_no_directory();
    if (missing) {
        return cli_complain(c, TOOL_FAILED, "directory", "%s", missing);
    }
    if (peek_domain(name, &before) != 0) {
        return cli_fail(c, TIDE_ERR_NO_DOMAIN, "domain %s", name);
    }
    int code = cli_open(c, &opts);
    if (code != 0) {
        return code;
    }
    int rc = tide_gc(c->domain, NULL);
    tide_close(c->domain);
    c->domain = NULL;
    if (rc != 0) {
        return cli_fail(c, rc, "%s", name);
    }
    if (peek_domain(name, &after) == 0) {
        gc_print_collected(c, &before, &after);
    }
    return TOOL_OK;
}

static int gc_collect_all(struct cli *c) {
    char(*names)[64];
    const char *missing = peek_no_directory();
    if (missing) {
        return cli_complain(c, TOOL_FAILED, "directory", "%s", missing);
    }
    int worst = TOOL_OK, n = peek_list(&names);
    if (n < 0) {
        return cli_complain(c, TOOL_FAILED, "directory", "the directory of the segments: %s", strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        struct peek p;
        if (peek_domain(names[i], &p) != 0 || p.theirs || (p.state == PEEK_CLOSED && !p.unseen)) {
            continue; /* gone meanwhile, or not ours */
        }
        int code = gc_collect(c, names[i]);
        worst = code == TOOL_OK || code == TOOL_NO_DOMAIN ? worst : TOOL_FAILED;
    }
    free(names);
    return worst;
}

int tool_gc(int argc, char **argv) {
    struct cli c = { .tool = argv[0] };
    int code = cli_only_json(&c, argc, argv, HELP);
    if (code != 0) {
        return code;
    }
    if (optind == argc) {
        return cli_end(&c, gc_collect_all(&c));
    }
    code = cli_arguments(&c, argc, argv, 0, 0, "");
    return code != 0 ? code : cli_end(&c, gc_collect(&c, c.name));
}
