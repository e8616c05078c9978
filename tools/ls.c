/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `tide ls`: the domains of this machine. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/lib/args.h"
#include "tools/lib/client.h"
#include "tools/lib/colour.h"
#include "tools/lib/escape.h"
#include "tools/dump/peek.h"
#include "tools/lib/sizes.h"
#include "tools/tools.h"

#define NAME_COLUMNS 20 /* of the narrow form: with the other columns they are 80 */

static const char HELP[] =
    "Usage: tide ls [OPTION]...\n"
    "List the domains in shared memory. Takes no lock and no slot.\n\n"
    "  --wide                all columns: sizes of ring and table, too. Else 80 columns, where the names allow it\n"
    "  --json                an object a line: {name, state, why, leader, leader_pid, led, term, replicas, serving,\n"
    "                        orphans, members, dead_members, pids, commit_index, incarnation, ring_bytes,\n"
    "                        table_bytes, memory_bytes, created_unix_ns}\n"
    "  --help                print this text\n\n"
    "STATE: alive (a process is attached); dead (no process is; 'tide serve' goes on from what is left); damaged; "
    "closed\n"
    "(another user's, or not a file); version (another version of Tidemark made it: save it with that version, remove "
    "it\n"
    "with 'tide rm', load it with this one). LEADER: replica and process. REPLICAS: how many serve, of how many. "
    "COMMIT:\n"
    "index of the last write. MEMORY: log and tables together.\n"
    "Domains lie in $TIDE_SHM_DIR, or in /dev/shm if that is not set.\n"
    "Exit codes: 0 listed (also when there is none); 2 usage; 7 the directory cannot be read.\n";

static const char *ls_state_name(enum peek_state s) {
    static const char *const NAMES[] = { "alive", "dead", "damaged", "closed", "version" };
    return NAMES[s];
}

static void ls_print_json(const struct peek *p) {
    struct json_out j = { 0 };
    int known = p->state == PEEK_ALIVE || p->state == PEEK_DEAD;
    json_out_open(&j, NULL, '{');
    json_out_text(&j, "name", p->name);
    json_out_text(&j, "state", ls_state_name(p->state));
    if (p->why[0]) {
        json_out_text(&j, "why", p->why);
    }
    json_out_bool(&j, "led", p->led);
    if (known) {
        json_out_i64(&j, "leader", p->led ? p->leader : -1);
        json_out_i64(&j, "leader_pid", p->leader_pid);
        json_out_u64(&j, "term", p->term);
        json_out_u64(&j, "replicas", p->replicas);
        json_out_u64(&j, "serving", p->serving);
        json_out_u64(&j, "orphans", p->orphans);
        json_out_u64(&j, "members", p->members);
        json_out_u64(&j, "dead_members", p->dead);
        json_out_open(&j, "pids", '[');
        for (uint32_t i = 0; i < p->members; i++) {
            json_out_i64(&j, NULL, p->pids[i]);
        }
        json_out_close(&j, ']');
        json_out_u64(&j, "commit_index", p->commit);
        json_out_hex(&j, "incarnation", p->incarnation);
        json_out_u64(&j, "ring_bytes", p->ring_bytes);
        json_out_u64(&j, "table_bytes", p->table_bytes);
        json_out_u64(&j, "created_unix_ns", p->created_unix_ns);
    }
    json_out_u64(&j, "memory_bytes", p->memory_bytes);
    json_out_close(&j, '}');
    json_out_print(&j, stdout);
}

static enum colour ls_state_colour(enum peek_state s) {
    return s == PEEK_ALIVE ? COLOUR_GOOD : s == PEEK_DAMAGED ? COLOUR_BAD : COLOUR_WARN;
}

static int ls_is_known(const struct peek *p) {
    return p->state == PEEK_ALIVE || p->state == PEEK_DEAD;
}

static const char *ls_leader_text(const struct peek *p, char leader[40]) {
    if (ls_is_known(p) && p->led && p->leader >= 0) {
        snprintf(leader, 40, "r%d (%d)", (int)p->leader, (int)p->leader_pid);
    } else {
        snprintf(leader, 40, "-");
    }
    return leader;
}

static const char *ls_replicas_text(const struct peek *p, char replicas[24]) {
    snprintf(replicas, 24, ls_is_known(p) ? "%u/%u" : "-", p->serving, p->replicas + p->orphans);
    return replicas;
}

static void ls_print_wide(const struct peek *p, int width) {
    char leader[40], replicas[24], ring[24], table[24], memory[24], why[2 * sizeof(p->why)];
    printf("%-*s  ", width, p->name);
    colour_print(ls_state_colour(p->state), -7, ls_state_name(p->state));
    printf("  %-16s  %8s  ", ls_leader_text(p, leader), ls_replicas_text(p, replicas));
    sizes_text(p->memory_bytes, memory, sizeof(memory));
    if (ls_is_known(p)) {
        printf("%7u  %12llu  %8s  %8s  %8s\n", p->members, (unsigned long long)p->commit,
               sizes_text(p->ring_bytes, ring, sizeof(ring)), sizes_text(p->table_bytes, table, sizeof(table)), memory);
    } else {
        printf("%7s  %12s  %8s  %8s  %8s  %s\n", "-", "-", "-", "-", memory,
               escape_label(p->why, sizeof(p->why), why, sizeof(why)));
    }
}

/* A name that is longer than its column has a line to itself; so has the reason why a domain cannot be read. */
static void ls_print_narrow(const struct peek *p, int width) {
    char leader[40], replicas[24], number[24], memory[24], why[2 * sizeof(p->why)];
    bool fits = (int)strlen(p->name) <= width;
    if (!fits) {
        printf("%s\n", p->name);
    }
    printf("%-*s ", width, fits ? p->name : "");
    colour_print(ls_state_colour(p->state), -7, ls_state_name(p->state));
    printf(" %-13s %8s ", ls_leader_text(p, leader), ls_replicas_text(p, replicas));
    sizes_text(p->memory_bytes, memory, sizeof(memory));
    if (ls_is_known(p)) {
        snprintf(number, sizeof(number), "%llu", (unsigned long long)p->commit);
        printf("%7u %12s %7s\n", p->members, number, memory);
        return;
    }
    struct buf text = { 0 };
    printf("%7s %12s %7s\n", "-", "-", memory);
    buf_add_text(&text, escape_label(p->why, sizeof(p->why), why, sizeof(why)));
    colour_paragraph("  why", &text, COLOUR_NARROW);
}

static void ls_print_head(int width, bool wide) {
    char head[160];
    if (wide) {
        snprintf(head, sizeof(head), "%-*s  %-7s  %-16s  %8s  %7s  %12s  %8s  %8s  %8s", width, "NAME", "STATE",
                 "LEADER", "REPLICAS", "MEMBERS", "COMMIT", "RING", "TABLE", "MEMORY");
    } else {
        snprintf(head, sizeof(head), "%-*s %-7s %-13s %8s %7s %12s %7s", width, "NAME", "STATE", "LEADER", "REPLICAS",
                 "MEMBERS", "COMMIT", "MEMORY");
    }
    colour_print(COLOUR_HEAD, 0, head);
    putchar('\n');
}

static int ls_list_all(const struct cli *c, bool wide) {
    char(*names)[64];
    const char *missing = peek_no_directory();
    if (missing) {
        return cli_complain(c, TOOL_FAILED, "directory", "%s", missing);
    }
    int width = 4, n = peek_list(&names);
    if (n < 0) {
        return cli_complain(c, TOOL_FAILED, "directory", "the directory of the segments: %s", strerror(errno));
    }
    for (int i = 0; i < n; i++) {
        if ((int)strlen(names[i]) > width) {
            width = (int)strlen(names[i]);
        }
    }
    width = !wide && width > NAME_COLUMNS ? NAME_COLUMNS : width;
    if (!c->json && n > 0) {
        ls_print_head(width, wide);
    }
    for (int i = 0; i < n; i++) {
        struct peek p;
        if (peek_domain(names[i], &p) != 0) {
            continue; /* removed meanwhile */
        }
        if (c->json) {
            ls_print_json(&p);
        } else if (wide) {
            ls_print_wide(&p, width);
        } else {
            ls_print_narrow(&p, width);
        }
    }
    free(names);
    return TOOL_OK;
}

struct options {
    struct cli cli;
    bool wide;
};

static int ls_set_option(void *ctx, int option, char *arg) {
    struct options *o = ctx;
    (void)arg;
    o->cli.json |= option == 'j';
    o->wide |= option == 'W';
    return 0;
}

int tool_ls(int argc, char **argv) {
    static const struct option LIST[] = { { "wide", no_argument, NULL, 'W' }, ARGS_LAST_OPTIONS };
    const struct args_options options = { HELP, "h", LIST, ls_set_option };
    struct options o = { .cli = { .tool = argv[0] } };
    int code = args_options(&options, argc, argv, &o);
    if (code != 0) {
        return code;
    }
    if (optind < argc) {
        return args_error(argv[0], "unexpected argument: %s ('tide stat %s' tells of one domain)", argv[optind],
                          argv[optind]);
    }
    return cli_end(&o.cli, ls_list_all(&o.cli, o.wide));
}
